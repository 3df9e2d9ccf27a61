/* What a finished PRDP run tells: paired differences with standard errors, said plainly, and the pictures. */
#include "run/prdp_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/clock.h"
#include "io/draw.h"
#include "io/file.h"
#include "metrics/stats.h"

enum { CLAIM = 3 }; /* standard errors below which no change is claimed */

/* "clip:shapes-clip" of "clip:assets/encoders/shapes-clip": pictures and summaries name no folders of this
 * machine. */
static void name_reward(struct tl_prdp_run *r)
{
    const char *spec = r->p->reward.n == 1 ? r->p->reward.items[0] : "reward", *colon = strchr(spec, ':');
    const char *slash = colon ? strrchr(colon, '/') : NULL;
    int head = slash ? (int)(colon + 1 - spec) : 0;
    snprintf(r->label, sizeof r->label, "%.*s%s", head, spec, slash ? slash + 1 : spec);
}

static const char *reward_name(const struct tl_prdp_run *r, int k)
{
    return k > 0 ? "held-out reward" : r->label;
}

static uint32_t *clusters(const struct tl_prdp_run *r, const struct tl_prdp_eval *e)
{
    uint32_t *c = malloc((e->n + 1) * sizeof *c);
    for (size_t i = 0; c && i < e->n; i++) c[i] = (uint32_t)(i / (size_t)r->p->eval_samples);
    return c;
}

static bool add_reading(struct tl_prdp_run *r, const struct tl_prdp_eval *e, int k, struct tl_str *text,
                        cJSON *list, struct tl_err *err)
{
    const double *before = e->before + (size_t)k * e->n, *after = e->after + (size_t)k * e->n;
    struct tl_stats_paired d;
    uint32_t *cluster = e->n_prompts > 1 ? clusters(r, e) : NULL;
    bool ok = tl_stats_paired_difference(after, before, cluster, e->n, &d, err);
    free(cluster);
    if (!ok) return false;
    double b = tl_stats_mean(before, e->n), a = tl_stats_mean(after, e->n),
           z = d.se > 0      ? d.mean / d.se
               : d.mean == 0 ? 0
                             : INFINITY;
    bool claimed = fabs(z) >= CLAIM;
    tl_str_printf(text,
                  "%s prompts, %s: %.4f -> %.4f, change %+.4f (se %.4f, %.1f standard errors%s; se over "
                  "prompts %.4f; %zu pictures of %zu prompts)\n",
                  e->name, reward_name(r, k), b, a, d.mean, d.se, z, claimed ? "" : ": no significant change",
                  d.clustered_se, e->n, e->n_prompts);
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "prompts", e->name);
    cJSON_AddStringToObject(row, "reward", k > 0 ? "held_out" : "trained");
    cJSON_AddNumberToObject(row, "before", b);
    cJSON_AddNumberToObject(row, "after", a);
    cJSON_AddNumberToObject(row, "change", d.mean);
    cJSON_AddNumberToObject(row, "se", d.se);
    cJSON_AddNumberToObject(row, "clustered_se", d.clustered_se);
    cJSON_AddNumberToObject(row, "n", (double)e->n);
    cJSON_AddBoolToObject(row, "significant", claimed);
    cJSON_AddItemToArray(list, row);
    return true;
}

static bool write_result(struct tl_prdp_run *r, struct tl_err *err)
{
    struct tl_str text = {0}, path = {0};
    cJSON *json = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(json, "readings");
    const struct tl_prdp_eval *const evals[2] = {&r->trained, &r->others};
    bool ok = true;
    for (int i = 0; ok && i < 2; i++)
        for (int k = 0; ok && evals[i]->n > 0 && k < evals[i]->n_rewards; k++)
            ok = add_reading(r, evals[i], k, &text, list, err);
    cJSON_AddNumberToObject(json, "epochs", r->epoch);
    cJSON_AddNumberToObject(json, "updates", (double)r->trainer->optimizer->step);
    ok = ok && tl_run_folder_path(r->t.folder, "result.json", &path, err) &&
         tl_json_write(path.data, json, err) && tl_run_folder_path(r->t.folder, "summary.txt", &path, err) &&
         tl_file_write(path.data, text.data ? text.data : "", text.len, err);
    char *save = NULL;
    for (char *line = ok && text.data ? strtok_r(text.data, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save))
        tl_log(TL_LOG_INFO, "%s", line);
    cJSON_Delete(json);
    tl_str_finish(&text);
    tl_str_finish(&path);
    return ok;
}

static struct tl_image *pictures(const struct tl_prdp_run *r, uint8_t *rgb, size_t n)
{
    struct tl_image *list = calloc(n + 1, sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        list[i] = (struct tl_image){r->width, r->height, 3, rgb + i * r->bytes};
    return list; /* pixels are borrowed */
}

static bool draw_before_after(struct tl_prdp_run *r, struct tl_prdp_eval *e, const char *name,
                              struct tl_err *err)
{
    if (e->n_shown == 0) return true;
    size_t samples = (size_t)r->p->eval_samples, each = samples < TL_PRDP_SHOWN ? samples : TL_PRDP_SHOWN;
    struct tl_image *before = pictures(r, e->shown_before, e->n_shown),
                    *after = pictures(r, e->shown_after, e->n_shown), out = {0};
    double *scores = malloc(2 * e->n_shown * sizeof *scores);
    struct tl_str path = {0};
    bool ok = (before && after && scores) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t k = 0; ok && k < e->n_shown; k++) {
        scores[k] = e->before[k / each * samples + k % each];
        scores[e->n_shown + k] = e->after[k / each * samples + k % each];
    }
    if (ok) {
        struct tl_draw_before_after what = {.n_prompts = (int)(e->n_shown / each),
                                            .n_each = (int)each,
                                            .before = before,
                                            .after = after,
                                            .reward_before = scores,
                                            .reward_after = scores + e->n_shown,
                                            .prompts = e->prompts,
                                            .title = "before and after, the same noise",
                                            .reward_name = reward_name(r, 0),
                                            .scale = r->width < 128 ? 2 : 1};
        ok = tl_draw_before_after(&what, &out, err) && tl_run_folder_path(r->t.folder, name, &path, err) &&
             tl_image_save_png(path.data, &out, NULL, 0, err);
    }
    tl_image_finish(&out);
    free(before);
    free(after);
    free(scores);
    tl_str_finish(&path);
    return ok;
}

static bool draw_curve(struct tl_prdp_run *r, struct tl_err *err)
{
    struct tl_str path = {0}, out_path = {0};
    double *x = NULL, *mean = NULL, *x2 = NULL, *se = NULL;
    size_t n = 0, n_se = 0;
    struct tl_image out = {0};
    bool ok = tl_run_folder_path(r->t.folder, "metrics.jsonl", &path, err) &&
              tl_run_metrics_column(path.data, "train", "reward_mean", &x, &mean, &n, err) &&
              tl_run_metrics_column(path.data, "train", "reward_se", &x2, &se, &n_se, err);
    if (ok) {
        struct tl_draw_series series = {
            .name = "mean reward", .x = x, .y = mean, .error = n == n_se ? se : NULL, .n = n};
        struct tl_draw_chart chart = {.title = "PRDP: rewards of the samples of each epoch",
                                      .x_label = "epoch",
                                      .y_label = reward_name(r, 0),
                                      .series = &series,
                                      .n_series = 1};
        ok = tl_draw_chart(&chart, &out, err) &&
             tl_run_folder_path(r->t.folder, "curve.png", &out_path, err) &&
             tl_image_save_png(out_path.data, &out, NULL, 0, err);
    }
    tl_image_finish(&out);
    free(x);
    free(mean);
    free(x2);
    free(se);
    tl_str_finish(&path);
    tl_str_finish(&out_path);
    return ok;
}

bool tl_prdp_report(struct tl_prdp_run *r, struct tl_err *err)
{
    name_reward(r);
    return write_result(r, err) && draw_before_after(r, &r->trained, "before_after.png", err) &&
           draw_before_after(r, &r->others, "before_after_others.png", err) && draw_curve(r, err);
}
