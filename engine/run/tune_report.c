/* What a finished run tells: paired differences with standard errors, said plainly, and the pictures. */
#include "run/tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>
#include <tiller/report.h>

#include "base/clock.h"
#include "io/draw.h"
#include "io/file.h"
#include "metrics/stats.h"

enum { CLAIM = 3 }; /* standard errors below which no change is claimed */

static const char *reward_name(const struct tl_tune *r, int k)
{
    return k > 0 ? "held-out reward" : r->label;
}

static bool add_reading(struct tl_tune *r, const struct tl_tune_eval *e, int k, struct tl_str *text,
                        cJSON *list, struct tl_err *err)
{
    struct tl_stats_paired d;
    if (!tl_tune_paired(r, e, k, &d, err)) return false;
    double b = tl_stats_mean(e->start.rewards + (size_t)k * e->n, e->n),
           a = tl_stats_mean(e->now.rewards + (size_t)k * e->n, e->n);
    bool claimed = fabs(d.z) >= CLAIM;
    tl_str_printf(
        text,
        "%s prompts, %s: %.4f -> %.4f, change %+.4f (se over prompts %.4f, %.1f standard errors%s; se "
        "over pictures %.4f; %zu pictures of %zu prompts)\n",
        e->name, reward_name(r, k), b, a, d.mean, d.clustered_se, d.z,
        claimed ? "" : ": no significant change", d.se, e->n, e->n_prompts);
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
    return cJSON_AddItemToArray(list, row) || tl_err_set(err, TL_FAIL, "out of memory");
}

/* Where the best reading's weights are. */
static void say_best(const struct tl_tune *r, struct tl_str *text)
{
    const char *what = r->held_out ? "held-out reward" : "reward";
    if (r->best_epoch < 0) return;
    if (r->best_epoch == 0)
        tl_str_printf(text, "best reading of the %s: %.4f, as the run began\n", what, r->best_value);
    else
        tl_str_printf(text, "best reading of the %s: %.4f at epoch %d, in %s\n", what, r->best_value,
                      r->best_epoch,
                      !r->p->full                 ? "lora-best/"
                      : r->best_epoch == r->epoch ? "model/"
                                                  : "model-best/");
}

static bool write_result(struct tl_tune *r, struct tl_err *err)
{
    struct tl_str text = {0}, path = {0};
    cJSON *json = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(json, "readings");
    const struct tl_tune_eval *const evals[2] = {&r->trained, &r->others};
    bool ok = true;
    for (int i = 0; ok && i < 2; i++)
        for (int k = 0; ok && evals[i]->n > 0 && k < evals[i]->n_rewards; k++)
            ok = add_reading(r, evals[i], k, &text, list, err);
    say_best(r, &text);
    cJSON_AddNumberToObject(json, "epochs", r->epoch);
    cJSON_AddNumberToObject(json, "updates", (double)r->trainer->optimizer->step);
    cJSON_AddNumberToObject(json, "kl_nats", r->readings.of[TL_GUARD_KL].now);
    cJSON_AddNumberToObject(json, "reward_queries", (double)r->queries);
    cJSON_AddNumberToObject(json, "network_evaluations", (double)r->evaluations);
    cJSON_AddNumberToObject(json, "best_epoch", r->best_epoch);
    if (r->stopped[0]) {
        cJSON_AddStringToObject(json, "stopped", r->stopped);
        tl_str_printf(&text, "stopped by --stop-when %s\n", r->stopped);
    }
    ok = ok && (!text.failed || tl_err_set(err, TL_FAIL, "out of memory")) &&
         tl_run_folder_path(r->t.folder, "result.json", &path, err) && tl_json_write(path.data, json, err) &&
         tl_run_folder_path(r->t.folder, "summary.txt", &path, err) &&
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

static bool draw_before_after(struct tl_tune *r, const struct tl_tune_eval *e, const char *name,
                              struct tl_err *err)
{
    if (e->n_shown == 0) return true;
    struct tl_image out = {0};
    struct tl_str path = {0};
    bool ok = tl_tune_before_after(r, e, &out, err) && tl_run_folder_path(r->t.folder, name, &path, err) &&
              tl_image_save_png(path.data, &out, NULL, 0, err);
    tl_image_finish(&out);
    tl_str_finish(&path);
    return ok;
}

static bool draw_curve(struct tl_tune *r, struct tl_err *err)
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
        char title[96];
        snprintf(title, sizeof title, "%s: rewards of the samples of each epoch", r->method->headline);
        struct tl_draw_chart chart = {.title = title,
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

bool tl_tune_report(struct tl_tune *r, struct tl_err *err)
{
    return write_result(r, err) && draw_before_after(r, &r->trained, "before_after.png", err) &&
           draw_before_after(r, &r->others, "before_after_others.png", err) && draw_curve(r, err) &&
           tl_run_metrics_sync(r->metrics, err) && tl_report_write(r->t.folder->path, err);
}
