/* Plain samples beside a steered run: what its report compares with at equal network evaluations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tiller/interrupt.h>

#include "run/run_folder_inner.h"
#include "run/steer_parts.h"
#include "sample/walk.h"

/* Groups first .. first + n - 1; a round is k samples of each. */
struct plain {
    struct tl_steer *s;
    size_t first, n, samples; /* of a prompt, in whole rounds at most that many are kept */
    double *rewards;          /* [n][samples] */
    double *round;            /* [n][k] */
    uint8_t *rgb;             /* [n][samples] pictures; of the groups that are shown, and of the round */
    uint8_t *round_rgb;       /* [n][k] */
};

size_t tl_steer_plain_samples(const struct tl_steer *s)
{
    size_t steps = (size_t)s->p->sample.steps;
    return (s->k * tl_steer_network_evaluations(s) + steps - 1) / steps;
}

/* Steered particles that nothing steers are the plain samples. */
static bool is_wanted(const struct tl_steer *s)
{
    return s->p->report && s->p->compare && (s->n_scored || s->n_guided);
}

/* ---- drawing ---- */

/* Round 0 is that of `tiller sample`; the others have seeds of their own. */
static uint64_t seed_of(const struct tl_steer *s, size_t round)
{
    return s->job->seed ^ (uint64_t)round * 0x9e3779b97f4a7c15u;
}

static bool walk(struct plain *p, size_t round, struct tl_walk *w, struct tl_err *err)
{
    struct tl_steer *s = p->s;
    size_t steps = (size_t)s->p->sample.steps, rounds = (p->samples + s->k - 1) / s->k;
    while (w->k < w->run->n_steps) {
        if (!tl_interrupt_check("drawing plain samples", err) || !tl_walk_predict(w, err) ||
            !tl_walk_advance(w, NULL, NULL, NULL, err))
            return false;
        tl_progress_advance(&s->meter,
                            (int64_t)((p->first * rounds + p->n * round) * s->k * steps + w->n * w->k), "");
    }
    return true;
}

static bool draw_round(struct plain *p, size_t round, struct tl_err *err)
{
    struct tl_steer *s = p->s;
    size_t n = p->n * s->k, first = p->first * s->k;
    struct tl_sample_batch batch;
    struct tl_walk w = {0};
    bool ok = tl_sample_batch_begin(&batch, &s->model, seed_of(s, round), first, n, err) &&
              tl_walk_begin(&w, &batch.run, 0, n, err) && walk(p, round, &w, err);
    if (ok) {
        const struct tl_steer_look look = {
            .x0 = w.x, .first = first, .n = n, .step = w.k, .numbers = batch.numbers};
        ok = tl_steer_score(s, &look, p->round, NULL, p->round_rgb, err);
    }
    tl_walk_finish(&w);
    tl_sample_batch_finish(&batch);
    return ok;
}

static void take_round(struct plain *p, size_t round)
{
    size_t k = p->s->k, bytes = p->s->model.bytes, at = round * k;
    size_t take = p->samples - at < k ? p->samples - at : k;
    for (size_t g = 0; g < p->n; g++) {
        memcpy(p->rewards + g * p->samples + at, p->round + g * k, take * sizeof *p->rewards);
        if (p->first + g < TL_STEER_SHOWN)
            memcpy(p->rgb + (g * p->samples + at) * bytes, p->round_rgb + g * k * bytes, take * bytes);
    }
}

/* ---- lines ---- */

static cJSON *line_of(const struct plain *p, size_t g)
{
    const struct tl_steer *s = p->s;
    cJSON *o = cJSON_CreateObject();
    if (o && tl_run_json_add(o, "group", cJSON_CreateNumber((double)(p->first + g))) &&
        tl_run_json_add_text(o, "prompt", s->inputs.prompts[p->first + g].text) &&
        tl_run_json_add(o, "rewards",
                        cJSON_CreateDoubleArray(p->rewards + g * p->samples, (int)p->samples)) &&
        tl_run_json_add(o, "network_evaluations",
                        cJSON_CreateNumber((double)(p->samples * (size_t)s->p->sample.steps))))
        return o;
    cJSON_Delete(o);
    return NULL;
}

static bool keep(const struct plain *p, size_t g, struct tl_err *err)
{
    struct tl_steer *s = p->s;
    size_t group = p->first + g;
    char name[32];
    if (s->plain[group]) return true;
    snprintf(name, sizeof name, "%04zu.png", group);
    cJSON *line = line_of(p, g);
    bool ok =
        (line || tl_err_set(err, TL_FAIL, "out of memory")) &&
        (group >= TL_STEER_SHOWN ||
         tl_steer_save_strip(s, "plain", name, p->rgb + g * p->samples * s->model.bytes, p->samples, err)) &&
        tl_steer_append(s, s->plain_log, "plain.jsonl", line, err);
    if (ok)
        s->plain[group] = line;
    else
        cJSON_Delete(line);
    return ok;
}

static bool take_line(struct tl_steer *s, cJSON *line, struct tl_err *err)
{
    int64_t group;
    const char *prompt;
    if (!tl_json_int(line, "group", -1, &group, err) || !tl_json_string(line, "prompt", "", &prompt, err))
        return false;
    if (group < 0 || (size_t)group >= s->n_groups || s->plain[group] ||
        strcmp(prompt, s->inputs.prompts[group].text) != 0 ||
        !tl_steer_has_list(line, "rewards", tl_steer_plain_samples(s)))
        return tl_err_set(err, TL_BAD_INPUT, "the line is not one of this run");
    s->plain[group] = line;
    return true;
}

/* ---- all groups ---- */

static bool draw_groups(struct tl_steer *s, size_t first, size_t n, struct tl_err *err)
{
    struct plain p = {.s = s, .first = first, .n = n, .samples = tl_steer_plain_samples(s)};
    size_t shown = first >= TL_STEER_SHOWN ? 0 : n < TL_STEER_SHOWN - first ? n : TL_STEER_SHOWN - first;
    p.rewards = malloc(n * p.samples * sizeof *p.rewards);
    p.round = malloc(n * s->k * sizeof *p.round);
    p.rgb = malloc(shown * p.samples * s->model.bytes + 1);
    p.round_rgb = malloc(n * s->k * s->model.bytes);
    bool ok = (p.rewards && p.round && p.rgb && p.round_rgb) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t round = 0; ok && round * s->k < p.samples; round++) {
        ok = draw_round(&p, round, err);
        if (ok) take_round(&p, round);
    }
    for (size_t g = 0; ok && g < n; g++) ok = keep(&p, g, err);
    free(p.rewards);
    free(p.round);
    free(p.rgb);
    free(p.round_rgb);
    return ok;
}

static bool draw_all(struct tl_steer *s, struct tl_err *err)
{
    size_t rounds = (tl_steer_plain_samples(s) + s->k - 1) / s->k, each = rounds * s->k, kept = 0;
    for (size_t g = 0; g < s->n_groups; g++) kept += s->plain[g] != NULL;
    s->meter = (struct tl_progress_meter){.fn = s->job->progress,
                                          .user = s->job->user,
                                          .phase = "plain samples",
                                          .unit = "steps",
                                          .total = (int64_t)(s->n_groups * each) * s->p->sample.steps};
    tl_progress_begin(&s->meter, (int64_t)(kept * each) * s->p->sample.steps);
    bool ok = true;
    for (size_t first = 0, n; ok && first < s->n_groups; first += n) {
        n = s->n_groups - first < s->together ? s->n_groups - first : s->together;
        bool whole = true;
        for (size_t g = first; g < first + n; g++) whole &= s->plain[g] != NULL;
        ok = whole || draw_groups(s, first, n, err);
    }
    return ok;
}

/* Seconds of this call to those of run.json. */
static bool note_seconds(struct tl_steer *s, struct tl_err *err)
{
    double before = 0, total = 0;
    tl_steer_begin_work(s, s->work);
    for (int i = 0; i < TL_STEER_WORKS; i++) total += s->seconds[i];
    cJSON *about = tl_run_folder_read_about(s->t.folder, err);
    bool ok = about && tl_json_double(about, "plain_seconds", 0, &before, err) &&
              tl_run_folder_note(s->t.folder, "plain_seconds", cJSON_CreateNumber(before + total), err);
    cJSON_Delete(about);
    return ok;
}

bool tl_steer_draw_plain(struct tl_steer *s, struct tl_err *err)
{
    if (!is_wanted(s)) return true;
    s->plain = calloc(s->n_groups, sizeof *s->plain);
    if (!s->plain) return tl_err_set(err, TL_FAIL, "out of memory");
    tl_steer_begin_work(s, TL_STEER_NETWORK);
    memset(s->seconds, 0, sizeof s->seconds);
    if (!tl_steer_take_lines(s, "plain.jsonl", take_line, &s->plain_log, err)) return false;
    struct tl_err more = {0};
    bool ok = draw_all(s, err), noted = note_seconds(s, &more);
    return ok && (noted || tl_err_set(err, more.code, "%s", more.text));
}
