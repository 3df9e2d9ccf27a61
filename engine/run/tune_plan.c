/* The memory of a run that learns from rewards, planned before it is taken; and how the network is run,
 * chosen so that it fits a budget.
 *
 * Model, rewards and trainer are opened on a device that only counts (tensor/device_planning.h), by the same
 * functions and in the same order as the run opens them. What the program keeps beside the device is added by
 * formula. */
#include <stdio.h>
#include <stdlib.h>

#include <tiller/log.h>

#include "base/checked.h"
#include "base/log_mute.h"
#include "io/json.h"
#include "run/tune.h"

enum { MOST_BATCH = 64 };

static size_t samples_of(const struct tl_tune *r)
{
    return (size_t)r->p->prompts_per_epoch * (size_t)r->p->samples_per_prompt;
}

static size_t eval_prompts_of(const struct tl_tune *r, size_t *out_shown)
{
    const size_t n[2] = {r->prompts.n, r->eval_prompts.n},
                 most[2] = {(size_t)r->p->eval_trained_most, (size_t)r->p->eval_others_most};
    size_t sum = 0, each = (size_t)r->p->eval_samples;
    *out_shown = 0;
    for (int i = 0; i < 2; i++) {
        size_t here = n[i] < most[i] ? n[i] : most[i];
        size_t prompts = here < TL_TUNE_SHOWN_PROMPTS ? here : TL_TUNE_SHOWN_PROMPTS;
        *out_shown +=
            here ? 2 * TL_TUNE_EXTREMES + 2 * prompts * (each < TL_TUNE_SHOWN ? each : TL_TUNE_SHOWN) : 0;
        sum += here;
    }
    return sum;
}

/* What the program keeps for as long as the run lasts, whatever the choice. */
static void count_program(struct tl_tune *r, struct tl_device *planning, int decode_batch)
{
    const struct tl_pipeline *pipeline = r->pipeline;
    size_t shown, prompts = r->prompts.n + eval_prompts_of(r, &shown) + 1,
                  row = (size_t)pipeline->tokens * (size_t)pipeline->width * sizeof(float);
    tl_device_planning_host(planning, "prompts, encoded", prompts * row);
    tl_device_planning_host(planning, "pictures", (samples_of(r) + shown) * r->bytes);
    tl_device_planning_host(planning, "decoder, pictures as floats",
                            (size_t)decode_batch * r->bytes * sizeof(float));
}

/* Trajectories, and what a chunk of samples is put together in. */
static void count_trainer(struct tl_tune *r, struct tl_device *planning, const struct tl_policy_trainer *t)
{
    size_t paths = 0, rows = (size_t)t->p.batch * (t->p.guidance > 1 ? 2 : 1);
    size_t context = (size_t)r->pipeline->tokens * (size_t)r->pipeline->width;
    tl_trajectory_bytes(t->p.loss.n_steps, t->n, t->dim, &paths);
    paths += (t->n_drawn + t->n + t->n / (size_t)t->p.minibatches) * t->n_learn * t->dim * sizeof(float);
    if (t->n_drawn > t->n) paths += (t->p.loss.n_steps + 1) * t->n_drawn * t->dim * sizeof(float);
    tl_device_planning_host(planning, "trajectories", paths);
    tl_device_planning_host(planning, "network's inputs",
                            (rows * (context + 2 * t->dim) + 3 * (size_t)t->p.batch * t->dim) *
                                    sizeof(float) +
                                (size_t)t->p.batch * r->bytes);
}

/* A picture of nothing, so that a reward plans what it plans when it is first asked. Its score is not looked
 * at. */
static void ask_reward(struct tl_tune *r, struct tl_reward_set *set)
{
    uint8_t *rgb = calloc(1, r->bytes);
    const char *prompt = r->prompts.n ? r->prompts.items[0].text : "";
    double parts[64];
    if (rgb && set && tl_reward_set_count(set) <= 64) {
        const struct tl_reward_item item = {
            .prompt = prompt, .rgb = rgb, .width = r->width, .height = r->height};
        (void)tl_reward_set_score(set, &item, 1, NULL, parts, NULL);
    }
    free(rgb);
}

/* All but the trainer. */
static bool open_model(struct tl_tune *r, struct tl_device *planning, struct tl_err *err)
{
    struct tl_encoding none = {0};
    const char *text = "";
    tl_device_planning_part(planning, "rewards, weights and activations");
    if (!tl_tune_open_model(r, planning, err)) return false;
    bool ok = tl_pipeline_encode(r->pipeline, &text, 1, &none, err);
    tl_encoding_finish(&none);
    if (!ok || !tl_tune_open_rewards(r, planning, err)) return false;
    if (!r->p->full) tl_pipeline_free_text(r->pipeline);
    ask_reward(r, r->reward);
    ask_reward(r, r->held_out);
    tl_device_planning_mark(planning);
    return true;
}

/* The plan of one choice, which becomes r's; a batch of 0 becomes the trainer's. */
static bool try_choice(struct tl_tune *r, struct tl_device *planning, const struct tl_lora_spec *lora,
                       struct tl_tune_choice *choice, struct tl_memory_plan *out, struct tl_err *err)
{
    int decode_batch = 0;
    *out = (struct tl_memory_plan){0};
    r->choice = *choice;
    struct tl_policy_trainer_params tp = tl_tune_trainer_params(r);
    tp.lora = lora;
    struct tl_latent_codec *codec = tl_latent_codec_create(r->pipeline->vae, err);
    bool ok = codec && tl_latent_codec_prepare(codec, tl_tune_decode_most(r), r->latent_h, r->latent_w,
                                               &decode_batch, err);
    tl_device_planning_part(planning, r->p->full ? "reference, gradient, Adam" : "LoRA, its gradient, Adam");
    struct tl_policy_trainer *t = ok ? tl_policy_trainer_create(&tp, err) : NULL;
    ok = t != NULL;
    if (t) {
        count_program(r, planning, decode_batch);
        count_trainer(r, planning, t);
        tl_memory_plan_take(planning, out);
        choice->batch = t->p.batch;
    }
    tl_policy_trainer_destroy(&t);
    tl_latent_codec_destroy(&codec);
    tl_device_planning_host(planning, "trajectories", 0);
    tl_device_planning_host(planning, "network's inputs", 0);
    tl_device_planning_host(planning, "decoder, pictures as floats", 0);
    tl_device_planning_host(planning, "pictures", 0);
    tl_device_planning_host(planning, "prompts, encoded", 0);
    tl_device_planning_rewind(planning);
    r->choice = *choice;
    r->plan = *out;
    return ok && choice->batch > 0;
}

struct search {
    struct tl_tune *r;
    struct tl_device *planning;
    const struct tl_lora_spec *lora;
    uint64_t budget;
    int batches[MOST_BATCH], n; /* that cut a minibatch evenly, ascending */
    struct tl_tune_choice least;
    struct tl_memory_plan least_plan; /* of the smallest plan so far */
};

static bool try_one(struct search *s, struct tl_tune_choice choice, bool *out_fits, struct tl_err *err)
{
    struct tl_memory_plan plan;
    if (!try_choice(s->r, s->planning, s->lora, &choice, &plan, err)) return false;
    *out_fits = plan.budgeted <= s->budget;
    if (s->least_plan.n == 0 || plan.budgeted < s->least_plan.budgeted) {
        s->least = choice;
        s->least_plan = plan;
    }
    return true;
}

/* The largest batch that fits, given the rest of the choice: memory grows with it. */
static bool largest(struct search *s, struct tl_tune_choice choice, bool *out_found, struct tl_err *err)
{
    int low = 0, high = s->n - 1; /* low fits */
    choice.batch = s->batches[0];
    if (!try_one(s, choice, out_found, err)) return false;
    if (!*out_found) return true;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        bool fits;
        choice.batch = s->batches[middle];
        if (!try_one(s, choice, &fits, err)) return false;
        if (fits)
            low = middle;
        else
            high = middle - 1;
    }
    bool fits;
    choice.batch = s->batches[low];
    return try_one(s, choice, &fits, err);
}

static bool nothing_fits(const struct search *s, struct tl_err *err)
{
    const struct tl_tune *r = s->r;
    char least[32];
    tl_log(TL_LOG_NOTE, "the smallest plan, network batch %d, recomputing%s:", s->least.batch,
           s->least.single ? ", decoding one picture at a time" : "");
    tl_memory_plan_log(&s->least_plan);
    return tl_err_set(
        err, TL_USAGE,
        "--memory %.40s: the smallest plan takes %s (network batch %d, activations recomputed); "
        "try a larger --memory%s%s, a smaller --size, a smaller --rank, fewer --steps or "
        "samples",
        r->p->memory, tl_memory_text(s->least_plan.budgeted, least), s->least.batch,
        r->p->dtype ? "" : ", --dtype f16", r->p->full ? ", no --full" : "");
}

/* Fastest first: recomputing costs a third of a gradient's time, decoding one picture at a time and small
 * batches little. */
static bool search(struct search *s, struct tl_err *err)
{
    const struct tl_tune_params *p = s->r->p;
    int minibatch = (int)(samples_of(s->r) / (size_t)p->minibatches);
    for (int b = 1; b <= minibatch && b <= MOST_BATCH; b++)
        if (minibatch % b == 0 && (p->batch == 0 || b <= p->batch)) s->batches[s->n++] = b;
    if (p->batch) { /* asked for: nothing else */
        s->batches[0] = s->batches[s->n - 1];
        s->n = 1;
    }
    for (int recompute = p->checkpoint; recompute < 2; recompute++)
        for (int single = 0; single < 2; single++) {
            bool found = false;
            if (!largest(s, (struct tl_tune_choice){.recompute = recompute != 0, .single = single != 0},
                         &found, err))
                return false;
            if (found) return true;
        }
    return nothing_fits(s, err);
}

bool tl_tune_fits(const struct tl_tune *r)
{
    uint64_t left = tl_memory_free(r->t.device);
    return left == 0 || r->plan.budgeted <= left;
}

static void say(const struct tl_tune *r)
{
    char line[256], text[32];
    uint64_t left = tl_memory_free(r->t.device);
    tl_memory_plan_line(&r->plan, line, sizeof line);
    tl_log(TL_LOG_NOTE, "memory: %s; network batch %d, %s, %s%s", line, r->choice.batch,
           r->choice.recompute ? "activations of the UNet's blocks are recomputed in the backward pass"
                               : "nothing is recomputed",
           tl_dtype_choices[r->p->full ? TL_F32 : r->p->dtype],
           r->choice.single ? ", pictures decoded one at a time" : "");
    if (r->p->dry_run) tl_memory_plan_log(&r->plan);
    if (!tl_tune_fits(r))
        tl_log(TL_LOG_WARN, "the machine has %s left: --memory chooses a smaller way, where there is one",
               tl_memory_text(left, text));
}

/* Of a run that was begun. */
static bool recall(struct tl_tune *r, bool *out_known, struct tl_err *err)
{
    *out_known = false;
    if (!r->t.folder || !r->t.folder->begun) return true;
    /* a run that was left before its first checkpoint begins anew, maybe without a run.json */
    bool anew = !r->t.folder->resumes;
    cJSON *about = tl_run_folder_read_about(r->t.folder, anew ? NULL : err);
    if (!about) return anew;
    const cJSON *plan = tl_json_get(about, "plan");
    int64_t batch = 0;
    bool ok = !plan || (tl_json_int(plan, "batch", 0, &batch, err) &&
                        tl_json_bool(plan, "recompute", false, &r->choice.recompute, err) &&
                        tl_json_bool(plan, "single", false, &r->choice.single, err));
    *out_known = plan || !anew; /* without an entry: as the options say, from a time before there were any */
    if (ok && plan) r->choice.batch = (int)batch;
    cJSON_Delete(about);
    return ok;
}

bool tl_tune_plan_note(struct tl_tune *r, struct tl_err *err)
{
    cJSON *about = tl_run_folder_read_about(r->t.folder, err);
    bool noted = tl_json_get(about, "plan") != NULL;
    cJSON_Delete(about);
    if (!about || noted) return noted;
    cJSON *plan = cJSON_CreateObject();
    cJSON_AddNumberToObject(plan, "batch", r->choice.batch);
    cJSON_AddBoolToObject(plan, "recompute", r->choice.recompute);
    cJSON_AddBoolToObject(plan, "single", r->choice.single);
    cJSON_AddNumberToObject(plan, "device_bytes", (double)r->plan.device);
    cJSON_AddNumberToObject(plan, "program_bytes", (double)r->plan.host);
    return tl_run_folder_note(r->t.folder, "plan", plan, err);
}

static bool choose(struct tl_tune *r, struct tl_device *planning, const struct tl_lora_spec *lora,
                   struct tl_err *err)
{
    struct search s = {.r = r, .planning = planning, .lora = lora};
    bool known;
    if (!tl_memory_parse(r->p->memory, &s.budget, err)) return tl_err_add(err, "--memory");
    if (!recall(r, &known, err)) return false;
    if (s.budget && !known) {
        tl_log_mute(false); /* what is said of the plan is said once */
        bool ok = search(&s, err);
        tl_log_mute(true);
        return ok;
    }
    struct tl_tune_choice choice = r->choice;
    struct tl_memory_plan plan;
    if (!try_choice(r, planning, lora, &choice, &plan, err)) return false;
    if (s.budget && plan.budgeted > s.budget) {
        char text[2][32];
        tl_log_mute(false);
        tl_log(TL_LOG_WARN,
               "the run began with a network batch of %d and goes on with it: it takes %s, more than "
               "--memory %s",
               choice.batch, tl_memory_text(plan.budgeted, text[0]), tl_memory_text(s.budget, text[1]));
        tl_log_mute(true);
    }
    return true;
}

bool tl_tune_plan(struct tl_tune *r, struct tl_err *err)
{
    int width = r->width, height = r->height;
    struct tl_device *planning = tl_device_planning_open(r->t.device, err);
    if (!planning) return false;
    tl_log_mute(true);
    bool ok = open_model(r, planning, err);
    const struct tl_lora_spec *lora = ok ? tl_tune_choose_lora(r, err) : NULL;
    ok = ok && (lora || r->p->full) && choose(r, planning, lora, err);
    tl_log_mute(false);
    tl_tune_close_model(r);
    tl_device_close(&planning);
    if (ok && r->p->full && r->p->dtype)
        tl_log(TL_LOG_NOTE, "--full: the model stays in f32, --dtype %s is for the rewards' encoders alone",
               tl_dtype_choices[r->p->dtype]);
    if (ok) say(r);
    r->width = width; /* as they were asked for: the run works them out itself */
    r->height = height;
    return ok;
}
