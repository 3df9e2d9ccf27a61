/* Pictures of a reading, for people: samples/step-N/ with the kept ones, the rewards of all, and a grid. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/draw.h"
#include "io/file.h"
#include "run/tune.h"

/* A sample's kept picture and what it is kept for; NULL where it was not. */
static const uint8_t *kept(const struct tl_tune *r, const struct tl_tune_eval *e,
                           const struct tl_tune_reading *now, size_t sample, const char **out_role)
{
    const struct tl_tune_extremes *const extremes[2] = {&e->best, &e->worst};
    static const char *const roles[2] = {"best", "worst"};
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < extremes[side]->n; i++)
            if (extremes[side]->sample[i] == sample) {
                *out_role = roles[side];
                return extremes[side]->rgb + i * r->bytes;
            }
    *out_role = "shown";
    for (size_t k = 0; k < e->n_shown; k++)
        if (tl_tune_shown_sample(r, k) == sample) return now->shown + k * r->bytes;
    return NULL;
}

static bool write_set(const struct tl_tune *r, const struct tl_tune_eval *e, bool start, const char *folder,
                      struct tl_str *rows, struct tl_err *err)
{
    const struct tl_tune_reading *now = start ? &e->start : &e->now;
    struct tl_str path = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < e->n; i++) {
        size_t each = (size_t)r->p->eval_samples;
        const char *role;
        const uint8_t *rgb = kept(r, e, now, i, &role);
        char name[64];
        snprintf(name, sizeof name, "%s-%03zu-%zu.png", e->name, i / each, i % each);
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "set", e->name);
        cJSON_AddStringToObject(row, "prompt", e->prompts[i / each]);
        cJSON_AddNumberToObject(row, "prompt_index", (double)(i / each));
        cJSON_AddNumberToObject(row, "sample", (double)(i % each));
        cJSON_AddNumberToObject(row, "reward", now->rewards[i]);
        if (e->n_rewards > 1) cJSON_AddNumberToObject(row, "held_out", now->rewards[e->n + i]);
        if (rgb) {
            cJSON_AddStringToObject(row, "file", name);
            cJSON_AddStringToObject(row, "role", role);
            struct tl_image picture = {r->width, r->height, 3, (uint8_t *)(uintptr_t)rgb};
            tl_str_clear(&path);
            tl_str_printf(&path, "%s/%s", folder, name);
            ok = !path.failed && tl_image_save_png(path.data, &picture, NULL, 0, err);
        }
        char *line = ok ? tl_json_print(row, false, err) : NULL;
        ok = line != NULL;
        if (line) tl_str_printf(rows, "%s\n", line);
        free(line);
        cJSON_Delete(row);
    }
    tl_str_finish(&path);
    return ok;
}

static struct tl_image *pictures(const struct tl_tune *r, uint8_t *rgb, size_t n)
{
    struct tl_image *list = calloc(n + 1, sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        list[i] = (struct tl_image){r->width, r->height, 3, rgb + i * r->bytes};
    return list; /* pixels are borrowed */
}

/* A row a prompt, the reward under each picture. */
static bool draw_grid(const struct tl_tune *r, const struct tl_tune_eval *e, bool start, struct tl_image *out,
                      struct tl_err *err)
{
    enum { TEXT = 24 };
    const struct tl_tune_reading *now = start ? &e->start : &e->now;
    struct tl_image *list = pictures(r, now->shown, e->n_shown);
    char *texts = malloc(e->n_shown * TEXT + 1), title[96];
    const char **captions = malloc((e->n_shown + 1) * sizeof *captions);
    bool ok = (list && texts && captions) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t k = 0; ok && k < e->n_shown; k++) {
        snprintf(texts + k * TEXT, TEXT, "%.4g", now->rewards[tl_tune_shown_sample(r, k)]);
        captions[k] = texts + k * TEXT;
    }
    snprintf(title, sizeof title, "%s prompts, epoch %d", e->name, r->epoch);
    if (ok)
        ok = tl_draw_grid(&(struct tl_draw_grid){.rows = (int)(e->n_shown / tl_tune_shown_each(r)),
                                                 .columns = (int)tl_tune_shown_each(r),
                                                 .pictures = list,
                                                 .title = title,
                                                 .row_titles = e->prompts,
                                                 .captions = captions,
                                                 .scale = r->width < 128 ? 2 : 1},
                          out, err);
    free(list);
    free(texts);
    free(captions);
    return ok;
}

/* The grid as a file, and in the event file for TensorBoard. */
static bool write_grid(struct tl_tune *r, const struct tl_tune_eval *e, bool start, const char *folder,
                       struct tl_err *err)
{
    struct tl_image grid = {0};
    uint8_t *png = NULL;
    size_t n = 0;
    char tag[32];
    struct tl_str path = {0};
    tl_str_printf(&path, "%s/grid%s%s.png", folder, e == &r->others ? "" : "-",
                  e == &r->others ? "" : e->name);
    snprintf(tag, sizeof tag, "samples/%s", e->name);
    bool ok = !path.failed && draw_grid(r, e, start, &grid, err) &&
              tl_image_encode_png(&grid, NULL, 0, &png, &n, err) && tl_file_write(path.data, png, n, err);
    if (ok) tl_run_metrics_image(r->metrics, tag, r->epoch, png, n, grid.width, grid.height);
    free(png);
    tl_image_finish(&grid);
    tl_str_finish(&path);
    return ok;
}

bool tl_tune_write_samples(struct tl_tune *r, bool start, struct tl_err *err)
{
    const struct tl_tune_eval *const evals[2] = {&r->trained, &r->others};
    struct tl_str folder = {0}, rows = {0}, path = {0};
    bool ok = tl_run_folder_samples(r->t.folder, r->epoch, &folder, err);
    for (int i = 0; ok && i < 2; i++)
        if (evals[i]->n)
            ok = write_set(r, evals[i], start, folder.data, &rows, err) &&
                 write_grid(r, evals[i], start, folder.data, err);
    tl_str_printf(&path, "%s/rewards.jsonl", folder.data ? folder.data : "");
    ok = ok && !path.failed && !rows.failed &&
         tl_file_write(path.data, rows.data ? rows.data : "", rows.len, err);
    tl_str_finish(&folder);
    tl_str_finish(&rows);
    tl_str_finish(&path);
    return ok || tl_err_set(err, TL_FAIL, "out of memory");
}

bool tl_tune_before_after(const struct tl_tune *r, const struct tl_tune_eval *e, struct tl_image *out,
                          struct tl_err *err)
{
    struct tl_image *before = pictures(r, e->start.shown, e->n_shown),
                    *after = pictures(r, e->now.shown, e->n_shown);
    double *scores = malloc((2 * e->n_shown + 1) * sizeof *scores);
    bool ok = (before && after && scores) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t k = 0; ok && k < e->n_shown; k++) {
        scores[k] = e->start.rewards[tl_tune_shown_sample(r, k)];
        scores[e->n_shown + k] = e->now.rewards[tl_tune_shown_sample(r, k)];
    }
    if (ok)
        ok = tl_draw_before_after(
            &(struct tl_draw_before_after){.n_prompts = (int)(e->n_shown / tl_tune_shown_each(r)),
                                           .n_each = (int)tl_tune_shown_each(r),
                                           .before = before,
                                           .after = after,
                                           .reward_before = scores,
                                           .reward_after = scores + e->n_shown,
                                           .prompts = e->prompts,
                                           .title = "before and after, the same noise",
                                           .reward_name = r->label,
                                           .scale = r->width < 128 ? 2 : 1},
            out, err);
    free(before);
    free(after);
    free(scores);
    return ok;
}
