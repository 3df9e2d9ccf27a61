/* --memory: how many particles the network sees at a time, so that the run fits. Everything is opened on a
 * device that only counts (tensor/device_planning.h), as the run opens it; what the program keeps beside the
 * device is added by formula. */
#include <stdio.h>
#include <stdlib.h>

#include <tiller/log.h>

#include "base/log_mute.h"
#include "run/steer_parts.h"

/* Batches that are tried, at most: up to FINE of whole groups, some halves of a large group, FINE more. */
enum { FINE = 128, MOST = 2 * FINE + 16 };

/* What the program keeps while groups walk: states, pictures, encodings of their prompts. */
static void count_program(const struct tl_steer *t, struct tl_device *planning)
{
    const struct tl_sample_model *m = &t->model;
    size_t n = t->together * t->k, row = (size_t)m->pipeline->tokens * (size_t)m->pipeline->width;
    size_t arrays = t->n_guided ? 6 : 5,
           rows = (size_t)m->batch * (tl_guidance_active(m->params->guidance) + 1);
    tl_device_planning_host(planning, "particles", n * m->dim * arrays * sizeof(float));
    tl_device_planning_host(planning, "pictures", n * m->bytes);
    tl_device_planning_host(planning, "prompts, encoded", (n + rows) * row * sizeof(float));
    tl_device_planning_host(planning, "decoder, pictures as floats",
                            (size_t)m->batch * m->bytes * sizeof(float));
}

/* A picture of nothing, so that rewards plan what they plan when they are first asked. */
static void ask_rewards(struct tl_steer *t)
{
    uint8_t *rgb = calloc(1, t->model.bytes);
    double *parts = calloc(tl_reward_set_count(t->reward), sizeof *parts);
    const struct tl_reward_item item = {
        .prompt = t->inputs.prompts[0].text, .rgb = rgb, .width = t->model.width, .height = t->model.height};
    if (rgb && parts) (void)tl_reward_set_score(t->reward, &item, 1, NULL, parts, NULL);
    free(rgb);
    free(parts);
}

static bool open_trial(struct tl_steer *t, struct tl_device *planning, struct tl_err *err)
{
    struct tl_encoding none = {0};
    if (!tl_steer_open_model(t, err)) return false;
    bool ok = tl_pipeline_encode(t->model.pipeline, &t->inputs.prompts[0].text, 1, &none, err);
    tl_encoding_finish(&none);
    tl_device_planning_part(planning, "rewards, weights and activations");
    if (!ok || !tl_steer_open_rewards(t, err)) return false;
    ask_rewards(t);
    tl_device_planning_mark(planning);
    return true;
}

static bool try_batch(struct tl_steer *t, int batch, struct tl_memory_plan *out, struct tl_err *err)
{
    struct tl_device *planning = t->t.device;
    t->own.sample.batch = batch;
    bool ok = tl_steer_plan_model(t, err) &&
              tl_latent_codec_prepare(t->model.codec, t->together * t->k, t->model.h, t->model.w, NULL, err);
    if (ok) {
        count_program(t, planning);
        tl_memory_plan_take(planning, out);
    }
    tl_steer_unplan_model(t);
    static const char *const parts[] = {"particles", "pictures", "prompts, encoded",
                                        "decoder, pictures as floats"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) tl_device_planning_host(planning, parts[i], 0);
    tl_device_planning_rewind(planning);
    return ok;
}

/* The next smaller batch: whole groups, then parts of one, finely where they are few; 0: there is none. */
static size_t batch_below(size_t batch, size_t k)
{
    if (batch > k) return batch - k;
    if (batch == k || batch <= FINE) return batch - 1;
    return batch / 2;
}

/* The largest first. */
static size_t list_batches(const struct tl_steer *t, int *out)
{
    size_t n = 0, k = t->k, groups = t->n_groups < FINE ? t->n_groups : FINE;
    if (t->p->sample.batch) {
        out[n++] = t->p->sample.batch; /* asked for: nothing else */
        return n;
    }
    while (groups > 1 && groups * k > 4096) groups--;
    for (size_t batch = groups * k; batch > 0 && n < MOST; batch = batch_below(batch, k))
        out[n++] = (int)batch;
    return n;
}

/* The first that fits; memory falls along the list. */
static bool search(struct tl_steer *t, uint64_t budget, struct tl_memory_plan *out, struct tl_err *err)
{
    int batches[MOST];
    size_t n = list_batches(t, batches), low = 0, high = n - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (!try_batch(t, batches[middle], out, err)) return false;
        if (out->budgeted <= budget)
            high = middle;
        else
            low = middle + 1;
    }
    if (!try_batch(t, batches[low], out, err)) return false;
    if (out->budgeted <= budget) return true;
    char least[32];
    tl_log_mute(false);
    tl_log(TL_LOG_NOTE, "the smallest plan, batch %d:", batches[low]);
    tl_memory_plan_log(out);
    tl_log_mute(true);
    return tl_err_set(
        err, TL_USAGE,
        "--memory %.40s: the smallest plan takes %s (batch %d); try a larger --memory, a smaller "
        "--size%s%s",
        t->p->memory, tl_memory_text(out->budgeted, least), batches[low],
        t->p->sample.dtype ? "" : ", --dtype f16", t->n_groups && t->p->guide > 0 ? ", no --guide" : "");
}

/* Of a run that was begun; 0: it has none. */
static bool recall(const struct tl_steer *s, int *out, struct tl_err *err)
{
    int64_t batch = 0;
    *out = 0;
    if (!s->t.folder->begun) return true;
    cJSON *about = tl_run_folder_read_about(s->t.folder, NULL); /* a run may have ended before it was there */
    bool ok = tl_json_int(tl_json_get(about, "plan"), "batch", 0, &batch, err) && batch >= 0 && batch <= 4096;
    *out = (int)batch;
    cJSON_Delete(about);
    return ok || tl_err_set(err, TL_BAD_INPUT, "%s/run.json: \"plan\" has no batch", s->t.folder->path);
}

bool tl_steer_choose_batch(struct tl_steer *s, struct tl_err *err)
{
    uint64_t budget;
    int known;
    if (!tl_memory_parse(s->p->memory, &budget, err)) return tl_err_add(err, "--memory");
    if (!recall(s, &known, err)) return false;
    if (known) s->own.sample.batch = known;
    if (!budget || known) return true;
    struct tl_device *planning = tl_device_planning_open(s->t.device, err);
    if (!planning) return false;
    struct tl_steer t = {.job = s->job,
                         .own = *s->p,
                         .inputs = s->inputs, /* borrowed */
                         .potential = s->potential,
                         .resampler = s->resampler,
                         .t = {.device = planning}};
    t.p = &t.own;
    t.inputs.n_loras = 0; /* they go into weights that are there anyway */
    tl_log_mute(true);
    bool ok = open_trial(&t, planning, err);
    t.own.sample.batch = s->p->sample.batch;
    ok = ok && search(&t, budget, &s->plan, err);
    tl_log_mute(false);
    if (ok) s->own.sample.batch = t.own.sample.batch;
    tl_steer_close_model(&t);
    tl_device_close(&planning);
    if (!ok) return false;
    char line[256];
    tl_memory_plan_line(&s->plan, line, sizeof line);
    tl_log(TL_LOG_NOTE, "memory: %s; batch %d", line, s->own.sample.batch);
    return true;
}

bool tl_steer_note_batch(struct tl_steer *s, struct tl_err *err)
{
    if (s->plan.n == 0) return true;
    cJSON *plan = cJSON_CreateObject();
    cJSON_AddNumberToObject(plan, "batch", s->own.sample.batch);
    cJSON_AddNumberToObject(plan, "device_bytes", (double)s->plan.device);
    cJSON_AddNumberToObject(plan, "program_bytes", (double)s->plan.host);
    return tl_run_folder_note(s->t.folder, "plan", plan, err);
}
