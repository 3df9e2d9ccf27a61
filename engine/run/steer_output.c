/* What is made from the lines of all groups: metadata.jsonl, steer.json, the report. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/version.h>

#include "io/file.h"
#include "rewards/rewards.h"
#include "run/listing.h"
#include "run/run_folder_inner.h"
#include "run/steer_compare.h"
#include "run/steer_parts.h"

static const char *const works[TL_STEER_WORKS] = {"network", "rewards", "sampler", "particles", "files"};

/* ---- metadata ---- */

static cJSON *item_of(const cJSON *line, const char *key, size_t j)
{
    return cJSON_Duplicate(cJSON_GetArrayItem(tl_json_get(line, key), (int)j), false);
}

static bool add_particle(const struct tl_steer *s, size_t g, size_t j, struct tl_str *all,
                         struct tl_str *best, struct tl_err *err)
{
    const cJSON *line = s->lines[g];
    bool is_best = cJSON_GetNumberValue(tl_json_get(line, "best")) == (double)j;
    cJSON *more = cJSON_CreateObject();
    bool ok = (more && tl_run_json_add(more, "group", cJSON_CreateNumber((double)g)) &&
               tl_run_json_add(more, "particle", cJSON_CreateNumber((double)j)) &&
               tl_run_json_add(more, "reward", item_of(line, "rewards", j)) &&
               tl_run_json_add(more, "log_weight", item_of(line, "log_weights", j)) &&
               tl_run_json_add(more, "weight", item_of(line, "weights", j)) &&
               tl_run_json_add(more, "best", cJSON_CreateBool(is_best))) ||
              tl_err_set(err, TL_FAIL, "out of memory");
    size_t i = g * s->k + j;
    ok = ok && tl_sample_add_row(&s->settings, i, more, all, err) &&
         (!is_best || tl_sample_add_row(&s->settings, i, more, best, err));
    cJSON_Delete(more);
    return ok;
}

static bool write_text(const struct tl_steer *s, const char *name, const char *text, size_t n,
                       struct tl_err *err)
{
    struct tl_str path = {0};
    bool ok = tl_run_folder_path(s->t.folder, name, &path, err) &&
              tl_file_write(path.data, text ? text : "", n, err);
    tl_str_finish(&path);
    return ok;
}

bool tl_steer_write_metadata(const struct tl_steer *s, struct tl_err *err)
{
    struct tl_str all = {0}, best = {0};
    bool ok = true;
    for (size_t g = 0; ok && g < s->n_groups; g++)
        for (size_t j = 0; ok && s->lines[g] && j < s->k; j++) ok = add_particle(s, g, j, &all, &best, err);
    ok = ok && (s->n_finished == 0 || (write_text(s, "metadata.jsonl", all.data, all.len, err) &&
                                       write_text(s, "best/metadata.jsonl", best.data, best.len, err)));
    tl_str_finish(&all);
    tl_str_finish(&best);
    return ok;
}

/* ---- times, over all calls of a run ---- */

bool tl_steer_note_seconds(struct tl_steer *s, struct tl_err *err)
{
    tl_steer_begin_work(s, s->work);
    cJSON *about = tl_run_folder_read_about(s->t.folder, err);
    if (!about) return false;
    const cJSON *before = tl_json_get(about, "seconds");
    cJSON *now = cJSON_CreateObject();
    bool ok = now != NULL;
    double value = 0;
    for (int i = 0; ok && i < TL_STEER_WORKS; i++)
        ok = tl_json_double(before, works[i], 0, &value, err) &&
             tl_run_json_add(now, works[i], cJSON_CreateNumber(value + s->seconds[i]));
    ok = ok && tl_json_double(before, "samples", 0, &value, err) &&
         tl_run_json_add(now, "samples", cJSON_CreateNumber(value + (double)s->n_drawn));
    cJSON_Delete(about);
    if (!ok) {
        cJSON_Delete(now);
        return tl_err_set(err, TL_FAIL, "out of memory");
    }
    return tl_run_folder_note(s->t.folder, "seconds", now, err);
}

struct times {
    double work[TL_STEER_WORKS], total, samples;
};

static bool read_times(const struct tl_steer *s, struct times *t, struct tl_err *err)
{
    cJSON *about = tl_run_folder_read_about(s->t.folder, err);
    const cJSON *seconds = tl_json_get(about, "seconds");
    bool ok = about != NULL;
    *t = (struct times){0};
    for (int i = 0; ok && i < TL_STEER_WORKS; i++) {
        ok = tl_json_double(seconds, works[i], 0, &t->work[i], err);
        t->total += t->work[i];
    }
    ok = ok && tl_json_double(seconds, "samples", 0, &t->samples, err);
    cJSON_Delete(about);
    return ok;
}

/* The share of the time that neither network nor rewards take. */
static double overhead(const struct times *t)
{
    return t->total > 0 ? 1 - (t->work[TL_STEER_NETWORK] + t->work[TL_STEER_REWARDS]) / t->total : 0;
}

static double per_sample(const struct times *t)
{
    return t->samples > 0 ? t->total / t->samples : NAN;
}

/* ---- steered beside plain ---- */

/* n: 0 where nothing is compared. */
static bool compare(const struct tl_steer *s, struct tl_steer_comparison *out, struct tl_err *err)
{
    struct tl_steer_pair *pairs = calloc(s->n_groups, sizeof *pairs);
    size_t n = 0;
    *out = (struct tl_steer_comparison){0};
    if (!pairs) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t g = 0; s->plain && g < s->n_groups; g++)
        n += tl_steer_pair_of(s->lines[g], s->plain[g], s->p->lambda, &pairs[n]);
    bool ok = n == 0 || tl_steer_compare(pairs, n, out, err);
    free(pairs);
    return ok;
}

static void add_mean(cJSON *o, const char *key, struct tl_steer_mean mean)
{
    cJSON *one = tl_listing_object(o, key);
    tl_listing_number(one, "mean", mean.mean);
    if (isfinite(mean.se)) tl_listing_number(one, "se", mean.se);
}

static void add_comparison(const struct tl_steer *s, const struct tl_steer_comparison *c, cJSON *o)
{
    tl_listing_count(o, "prompts", c->n);
    tl_listing_count(o, "plain_samples", tl_steer_plain_samples(s)); /* of each prompt */
    tl_listing_number(o, "network_evaluations",
                      (double)(c->n * tl_steer_plain_samples(s)) * s->p->sample.steps);
    tl_listing_count(o, "reward_evaluations", c->n * tl_steer_plain_samples(s));
    add_mean(o, "base", c->base);
    add_mean(o, "best_of_plain", c->best_of);
    add_mean(o, "steered_weighted", c->weighted);
    add_mean(o, "steered_best", c->best);
    add_mean(o, "best_of_plain_minus_base", c->best_of_base);
    add_mean(o, "weighted_minus_base", c->weighted_base);
    add_mean(o, "best_minus_base", c->best_base);
    add_mean(o, "best_minus_best_of_plain", c->best_best_of);
}

/* ---- steer.json ---- */

void tl_steer_add_strength(const struct tl_steer *s, cJSON *o)
{
    const struct tl_steer_params *p = s->p;
    tl_listing_count(o, "particles", s->k);
    tl_listing_number(o, "lambda", p->lambda);
    tl_listing_text(o, "potential", s->potential->name);
    tl_listing_text(o, "resample", s->resampler->name);
    tl_listing_number(o, "ess", p->ess);
    tl_listing_count(o, "every", (uint64_t)p->every);
    tl_listing_number(o, "from", p->from);
    tl_listing_number(o, "to", p->to);
    tl_listing_count(o, "draws", (uint64_t)p->draws);
    tl_listing_number(o, "guide", p->guide);
    tl_listing_text(o, "intermediate_reward_path", s->by_lens ? "device" : "bytes");
}

/* As asked for; with the scale where each of them is one part. */
static void add_rewards(const struct tl_steer *s, cJSON *rows)
{
    const struct tl_reward_standard *standards = tl_reward_set_standards(s->reward);
    bool single = tl_reward_set_count(s->reward) == s->p->reward.n;
    for (size_t i = 0; i < s->p->reward.n; i++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "reward", s->p->reward.items[i]);
        if (!standards || !single) continue;
        tl_listing_number(row, "mean", standards[i].mean);
        tl_listing_number(row, "deviation", standards[i].deviation);
    }
}

/* What the columns of a line's "parts" are: an ensemble has several. */
static void add_parts(const struct tl_steer *s, cJSON *rows)
{
    const struct tl_reward_standard *standards = tl_reward_set_standards(s->reward);
    for (size_t i = 0; i < tl_reward_set_count(s->reward); i++) {
        double weight;
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "reward", tl_reward_set_spec(s->reward, i, &weight));
        if (standards) {
            tl_listing_number(row, "mean", standards[i].mean);
            tl_listing_number(row, "deviation", standards[i].deviation);
        }
        tl_listing_number(row, "weight", weight);
    }
}

static void add_settings(const struct tl_steer *s, cJSON *o)
{
    const struct tl_steer_params *p = s->p;
    tl_listing_text(o, "model", p->sample.model);
    add_rewards(s, tl_listing_array(o, "rewards"));
    add_parts(s, tl_listing_array(o, "parts"));
    tl_steer_add_strength(s, o);
    tl_listing_count(o, "guided_steps", s->n_guided);
    tl_listing_text(o, "sampler", s->settings.sampler);
    tl_listing_bool(o, "karras", s->settings.karras);
    tl_listing_count(o, "steps", (uint64_t)p->sample.steps);
    cJSON *scored = tl_listing_array(o, "scored_steps");
    for (size_t i = 0; i < (size_t)p->sample.steps; i++)
        if (s->scored[i]) cJSON_AddItemToArray(scored, cJSON_CreateNumber((double)i));
    tl_listing_number(o, "eta", p->sample.eta);
    tl_listing_number(o, "guidance", p->sample.guidance);
    tl_listing_text(o, "negative_prompt", p->sample.negative_prompt);
    tl_listing_count(o, "width", (uint64_t)s->model.width);
    tl_listing_count(o, "height", (uint64_t)s->model.height);
    cJSON *seed = tl_run_seed_json(s->job->seed);
    if (seed) (void)tl_run_json_add(o, "seed", seed);
    tl_listing_count(o, "first", (uint64_t)p->sample.first);
    tl_listing_count(o, "batch", (uint64_t)s->model.batch);
    tl_listing_count(o, "groups_together", s->together);
    tl_listing_format(o, "device", "%s (%s)", s->t.device->name, s->t.device->description);
    tl_listing_text(o, "version", TL_VERSION);
}

static void add_totals(const struct tl_steer_totals *t, const struct times *time, cJSON *o)
{
    tl_listing_count(o, "prompts", t->prompts);
    tl_listing_count(o, "pictures", t->pictures);
    tl_listing_number(o, "reward_mean", t->reward_mean);
    tl_listing_number(o, "reward_weighted", t->reward_weighted);
    tl_listing_number(o, "reward_best", t->reward_best);
    tl_listing_number(o, "log_z", t->log_z);
    tl_listing_count(o, "events", t->events);
    tl_listing_count(o, "resampled", t->resampled);
    tl_listing_number(o, "resampled_share", t->events ? (double)t->resampled / (double)t->events : NAN);
    tl_listing_number(o, "ess_mean", t->ess);
    tl_listing_number(o, "unique_mean", t->unique);
    tl_listing_number(o, "survivors_mean", t->survivors);
    tl_listing_number(o, "network_evaluations", t->network_evaluations);
    tl_listing_number(o, "reward_evaluations", t->reward_evaluations);
    cJSON *seconds = tl_listing_object(o, "seconds");
    for (int i = 0; i < TL_STEER_WORKS; i++) tl_listing_number(seconds, works[i], time->work[i]);
    tl_listing_number(seconds, "total", time->total);
    tl_listing_number(o, "seconds_per_sample", per_sample(time));
    tl_listing_number(o, "overhead", overhead(time));
}

static cJSON *tree_of(const struct tl_steer *s, const struct tl_steer_totals *t, const struct times *time,
                      const struct tl_steer_comparison *c)
{
    cJSON *o = cJSON_CreateObject();
    tl_listing_text(o, "out", s->p->sample.out);
    add_settings(s, tl_listing_object(o, "settings"));
    add_totals(t, time, tl_listing_object(o, "totals"));
    if (c->n) add_comparison(s, c, tl_listing_object(o, "comparison"));
    cJSON *prompts = tl_listing_array(o, "prompts");
    for (size_t g = 0; prompts && g < s->n_groups; g++) {
        cJSON *copy = cJSON_Duplicate(s->lines[g], true);
        if (copy && cJSON_AddItemToArray(prompts, copy)) continue;
        cJSON_Delete(copy);
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

/* ---- for people ---- */

static cJSON *summary_of(const struct tl_steer *s, const struct tl_steer_totals *t, const struct times *time,
                         const struct tl_steer_comparison *c)
{
    const struct tl_steer_params *p = s->p;
    cJSON *o = cJSON_CreateObject();
    tl_listing_text(o, "out", p->sample.out);
    tl_listing_format(o, "pictures", "%zu, %zu for each of %zu prompt%s; the best of each in best/",
                      t->pictures, s->k, t->prompts, t->prompts == 1 ? "" : "s");
    if (s->n_kept) tl_listing_count(o, "prompts that were finished before", s->n_kept);
    if (s->model.left_out) tl_listing_count(o, "left_out", s->model.left_out);
    tl_listing_format(o, "steering", "%zu particles, lambda %g, %s, %s, %zu scored steps", s->k, p->lambda,
                      s->potential->name, s->resampler->name, s->n_scored);
    if (s->n_guided)
        tl_listing_format(o, "guidance by the reward", "%g lambda in %zu steps", p->guide, s->n_guided);
    tl_sample_say_sampler(&s->settings, o);
    tl_listing_format(o, "seed", "%llu", (unsigned long long)s->job->seed);
    tl_listing_format(o, "reward", "%.4f mean of all, %.4f weighted, %.4f best of each prompt",
                      t->reward_mean, t->reward_weighted, t->reward_best);
    if (c->n) {
        tl_listing_format(o, "plain samples", "%.4f mean, %.4f best of %zu, which cost the network as much",
                          c->base.mean, c->best_of.mean, tl_steer_plain_samples(s));
        tl_listing_format(o, "best, beside best of plain", "%+.4f (se %.4f, %zu prompts paired)",
                          c->best_best_of.mean, c->best_best_of.se, c->n);
    }
    if (t->events) {
        tl_listing_format(o, "ESS", "%.2f of %zu, mean over scored steps", t->ess, s->k);
        tl_listing_format(o, "resampled", "%.0f %% of scored steps",
                          100 * (double)t->resampled / (double)t->events);
        if (t->resampled)
            tl_listing_format(o, "lineages", "%.2f of %zu left by a resampling", t->unique, s->k);
        tl_listing_format(o, "starts", "%.2f of %zu left at the end", t->survivors, s->k);
    }
    tl_listing_format(o, "evaluations", "%.0f of the network, %.0f of the reward", t->network_evaluations,
                      t->reward_evaluations);
    tl_listing_format(o, "device", "%s (%s)", s->t.device->name, s->t.device->description);
    tl_listing_format(o, "time",
                      "%.1f s, %.3f s a picture; %.1f %% beside network and reward (%.1f %% for files)",
                      time->total, per_sample(time), 100 * overhead(time),
                      time->total > 0 ? 100 * time->work[TL_STEER_FILES] / time->total : 0);
    if (p->report) tl_listing_format(o, "report", "%s/report.html", p->sample.out);
    return o;
}

char *tl_steer_finish(struct tl_steer *s, struct tl_err *err)
{
    struct tl_steer_totals totals;
    struct tl_steer_comparison c;
    struct times time;
    tl_steer_sum_up(s, &totals);
    if (!read_times(s, &time, err) || !compare(s, &c, err)) return NULL;
    char *json = tl_listing_print(tree_of(s, &totals, &time, &c), "tiller.steer/1", true, err);
    if (!json || !write_text(s, "steer.json", json, strlen(json), err)) {
        free(json);
        return NULL;
    }
    if (s->p->json) return json;
    free(json);
    return tl_listing_print(summary_of(s, &totals, &time, &c), "tiller.steer/1", false, err);
}
