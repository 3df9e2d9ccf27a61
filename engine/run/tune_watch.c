/* What a run writes down while it goes, and what it looks at to warn or to stop. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/str.h"
#include "io/file.h"
#include "metrics/stats.h"
#include "run/tune.h"

/* Mean over prompts of the deviation within a prompt: falls to 0 where a policy collapses onto one score. */
static double spread_within(const struct tl_tune *r)
{
    double sum = 0;
    size_t each = (size_t)r->p->samples_per_prompt;
    for (size_t g = 0; g < (size_t)r->p->prompts_per_epoch; g++)
        sum += tl_stats_sd(r->rewards + g * each, each);
    return sum / r->p->prompts_per_epoch;
}

static void know(struct tl_tune *r, enum tl_guard_metric metric, double now)
{
    r->readings.of[metric] = (struct tl_guard_value){.now = now, .known = true};
}

bool tl_tune_watch_epoch(struct tl_tune *r, struct tl_err *err)
{
    const double *rewards = r->rewards;
    const struct tl_policy_epoch *e = &r->at;
    size_t n = r->n_drawn;
    double low = rewards[0], high = rewards[0], updates = e->updates > 0 ? (double)e->updates : 1;
    for (size_t i = 1; i < n; i++) {
        low = fmin(low, rewards[i]);
        high = fmax(high, rewards[i]);
    }
    double spread = spread_within(r),
           norm = e->updates > e->skipped ? e->grad_norm / (double)(e->updates - e->skipped) : 0;
    bool fresh =
        tl_tune_draws(r, r->epoch - 1); /* of stored samples the sum is no KL of the present policy */
    if (fresh) know(r, TL_GUARD_KL, e->kl_ref_nats);
    know(r, TL_GUARD_CLIP_FRACTION, e->clip_fraction / updates);
    know(r, TL_GUARD_REWARD_SPREAD, spread);
    know(r, TL_GUARD_GRAD_NORM, norm);
    const struct tl_run_metric row[] = {{"reward_mean", tl_stats_mean(rewards, n)},
                                        {"reward_sd", tl_stats_sd(rewards, n)},
                                        {"reward_se", tl_stats_se(rewards, n)},
                                        {"reward_min", low},
                                        {"reward_max", high},
                                        {"reward_spread", spread},
                                        {"loss", e->loss / updates},
                                        {"first_loss", e->first.loss},
                                        {"first_move", e->first.drift_max},
                                        {"clip_fraction", e->clip_fraction / updates},
                                        {"log_ratio_max", e->last.ratio_max},
                                        {"log_ratio_move", e->ratio_move / updates},
                                        {"correlation", e->last.correlation},
                                        {"grad_norm", norm},
                                        {"skipped", (double)e->skipped},
                                        {"kl_nats", e->kl_ref_nats}};
    size_t columns = sizeof row / sizeof *row;
    return tl_run_metrics_append(r->metrics, "train", r->epoch, row, fresh ? columns : columns - 1, err);
}

static uint32_t *clusters(const struct tl_tune *r, const struct tl_tune_eval *e)
{
    uint32_t *c = e->n_prompts > 1 ? malloc(e->n * sizeof *c) : NULL;
    for (size_t i = 0; c && i < e->n; i++) c[i] = (uint32_t)(i / (size_t)r->p->eval_samples);
    return c;
}

double tl_tune_se(const struct tl_tune *r, const struct tl_tune_eval *e, const double *rewards)
{
    uint32_t *cluster = clusters(r, e);
    double se = 0;
    if (!cluster || !tl_stats_clustered_se(rewards, cluster, e->n, &se, NULL))
        se = tl_stats_se(rewards, e->n);
    free(cluster);
    return se;
}

bool tl_tune_paired(const struct tl_tune *r, const struct tl_tune_eval *e, int reward,
                    struct tl_stats_paired *out, struct tl_err *err)
{
    size_t at = (size_t)reward * e->n;
    uint32_t *cluster = clusters(r, e);
    bool ok = tl_stats_paired_difference(e->now.rewards + at, e->start.rewards + at, cluster, e->n, out, err);
    free(cluster);
    return ok;
}

static bool write_reading(struct tl_tune *r, const struct tl_tune_eval *e, bool start, struct tl_err *err)
{
    const struct tl_tune_reading *now = start ? &e->start : &e->now;
    struct tl_run_metric row[5];
    size_t n = 0;
    row[n++] = (struct tl_run_metric){"reward", tl_stats_mean(now->rewards, e->n)};
    row[n++] = (struct tl_run_metric){"reward_se", tl_tune_se(r, e, now->rewards)};
    if (e->n_rewards > 1) {
        row[n++] = (struct tl_run_metric){"held_out", tl_stats_mean(now->rewards + e->n, e->n)};
        row[n++] = (struct tl_run_metric){"held_out_se", tl_tune_se(r, e, now->rewards + e->n)};
    }
    if (e->embedder) row[n++] = (struct tl_run_metric){"diversity", now->diversity};
    char phase[32];
    snprintf(phase, sizeof phase, "eval_%s", e->name);
    return tl_run_metrics_append(r->metrics, phase, r->epoch, row, n, err);
}

static struct tl_guard_value paired(const struct tl_tune *r, const struct tl_tune_eval *e, int reward)
{
    size_t at = (size_t)reward * e->n;
    struct tl_guard_value v = {.now = tl_stats_mean(e->now.rewards + at, e->n),
                               .start = tl_stats_mean(e->start.rewards + at, e->n),
                               .scale = tl_stats_sd(e->start.rewards + at, e->n),
                               .known = true,
                               .has_start = true};
    struct tl_stats_paired d;
    if (tl_tune_paired(r, e, reward, &d, NULL) && !isnan(d.z)) v.z = d.z;
    return v;
}

/* The readings that guards and the best checkpoint go by: of prompts that are not trained on, if there are
 * any. */
static const struct tl_tune_eval *watched(const struct tl_tune *r)
{
    return r->others.n ? &r->others : &r->trained;
}

static bool is_best(struct tl_tune *r, bool start)
{
    const struct tl_tune_eval *e = watched(r);
    const struct tl_tune_reading *now = start ? &e->start : &e->now;
    double value = tl_stats_mean(now->rewards + (e->n_rewards > 1 ? e->n : 0), e->n);
    if (r->best_epoch >= 0 && value <= r->best_value) return false;
    r->best_epoch = r->epoch;
    r->best_value = value;
    return true;
}

/* run.json's "best": which reading was the best one. */
static bool note_best(struct tl_tune *r, struct tl_err *err)
{
    cJSON *best = cJSON_CreateObject();
    cJSON_AddNumberToObject(best, "step", r->best_epoch);
    cJSON_AddStringToObject(best, "metric", watched(r)->n_rewards > 1 ? "held_out" : "reward");
    cJSON_AddStringToObject(best, "prompts", watched(r)->name);
    cJSON_AddNumberToObject(best, "value", r->best_value);
    return tl_run_folder_note(r->t.folder, "best", best, err);
}

bool tl_tune_watch_evals(struct tl_tune *r, bool start, bool *out_best, struct tl_err *err)
{
    struct tl_tune_eval *const evals[2] = {&r->trained, &r->others};
    for (int i = 0; i < 2; i++)
        if (evals[i]->n && !tl_tune_eval_read(r, evals[i], start, err)) return false;
    for (int i = 0; i < 2; i++)
        if (evals[i]->n && !write_reading(r, evals[i], start, err)) return false;
    const struct tl_tune_eval *e = watched(r);
    if (!start) {
        r->readings.of[TL_GUARD_REWARD] = paired(r, e, 0);
        if (e->n_rewards > 1) r->readings.of[TL_GUARD_HELD_OUT] = paired(r, e, 1);
        if (e->embedder)
            r->readings.of[TL_GUARD_DIVERSITY] = (struct tl_guard_value){
                .now = e->now.diversity, .start = e->start.diversity, .known = true, .has_start = true};
    }
    *out_best = is_best(r, start);
    return tl_tune_write_samples(r, start, err) && (!*out_best || note_best(r, err));
}

static bool told(const struct tl_tune *r, const char *kind)
{
    const cJSON *w = NULL;
    cJSON_ArrayForEach(w, r->warnings)
    {
        const char *known = cJSON_GetStringValue(tl_json_get(w, "kind"));
        if (known && strcmp(known, kind) == 0) return true;
    }
    return false;
}

/* warnings.jsonl, from the list. */
static bool write_warnings(struct tl_tune *r, struct tl_err *err)
{
    struct tl_str text = {0}, path = {0};
    const cJSON *w = NULL;
    bool ok = true;
    cJSON_ArrayForEach(w, r->warnings)
    {
        char *line = tl_json_print(w, false, err);
        ok = ok && line != NULL;
        if (line) tl_str_printf(&text, "%s\n", line);
        free(line);
    }
    ok = ok && !text.failed && tl_run_folder_path(r->t.folder, "warnings.jsonl", &path, err) &&
         tl_file_write(path.data, text.data ? text.data : "", text.len, err);
    tl_str_finish(&text);
    tl_str_finish(&path);
    return ok || tl_err_set(err, TL_FAIL, "out of memory");
}

static void add_warning(struct tl_tune *r, const char *kind, const char *text)
{
    cJSON *w = cJSON_CreateObject();
    cJSON_AddNumberToObject(w, "step", r->epoch);
    cJSON_AddStringToObject(w, "kind", kind);
    cJSON_AddStringToObject(w, "text", text);
    cJSON_AddItemToArray(r->warnings, w);
    tl_log(TL_LOG_WARN, "epoch %d: %s: %s", r->epoch, kind, text);
}

bool tl_tune_watch_guards(struct tl_tune *r, bool may_stop, bool *out_stop, struct tl_err *err)
{
    struct tl_guard_warning w[TL_GUARD_WARNINGS];
    size_t n = tl_guard_warnings(&r->readings, r->method->restrain, w);
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (told(r, w[i].kind)) continue;
        add_warning(r, w[i].kind, w[i].text);
        any = true;
    }
    for (size_t i = 0; may_stop && i < r->n_rules && !r->stopped[0]; i++) {
        if (!tl_guard_fires(&r->rules[i], &r->readings)) continue;
        snprintf(r->stopped, sizeof r->stopped, "%s at epoch %d: %s is %.5g", r->p->stop_when.items[i],
                 r->epoch, tl_guard_metric_name(r->rules[i].metric), r->readings.of[r->rules[i].metric].now);
        add_warning(r, "stopped", r->stopped);
        any = true;
    }
    *out_stop |= r->stopped[0] != 0;
    return !any || write_warnings(r, err);
}
