/* What a steered run keeps of a group: pictures first, then the group's line of steer.jsonl. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "run/steer_parts.h"

bool tl_steer_path(const struct tl_steer *s, const char *name, struct tl_str *path, struct tl_err *err)
{
    tl_path_join(path, s->p->sample.out, name);
    return !path->failed || tl_err_set(err, TL_FAIL, "out of memory");
}

/* ---- pictures ---- */

/* What a particle says of itself in the PNG. */
static cJSON *about(const struct tl_steer *s, const cJSON *line, size_t j)
{
    const struct tl_steer_params *p = s->p;
    cJSON *o = cJSON_CreateObject(), *specs = cJSON_AddArrayToObject(o, "rewards");
    for (size_t i = 0; i < p->reward.n; i++)
        cJSON_AddItemToArray(specs, cJSON_CreateString(p->reward.items[i]));
    cJSON_AddNumberToObject(o, "particle", (double)j);
    tl_steer_add_strength(s, o);
    static const char *const lists[][2] = {
        {"rewards", "reward"}, {"log_weights", "log_weight"}, {"weights", "weight"}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const cJSON *x = cJSON_GetArrayItem(tl_json_get(line, lists[i][0]), (int)j);
        if (x) cJSON_AddNumberToObject(o, lists[i][1], x->valuedouble);
    }
    return o;
}

static bool save_picture(const struct tl_steer *s, size_t group, size_t j, const cJSON *line,
                         const uint8_t *px, struct tl_err *err)
{
    const struct tl_steer_params *p = s->p;
    size_t i = group * s->k + j;
    struct tl_image image = {
        .width = s->model.width, .height = s->model.height, .channels = 3, .px = (uint8_t *)(uintptr_t)px};
    struct tl_sample_texts texts;
    struct tl_str path = {0};
    char name[32], best[40], words[128];
    cJSON *json = about(s, line, j);
    snprintf(words, sizeof words, "Steering: %s, Particles: %zu, Lambda: %g, Reward: %g", s->potential->name,
             s->k, p->lambda, cJSON_GetNumberValue(tl_json_get(json, "reward")));
    const struct tl_sample_more more = {words, "steer", json};
    tl_sample_file_name(&s->settings, i, name);
    bool ok = (json || tl_err_set(err, TL_FAIL, "out of memory")) &&
              tl_sample_texts_make(&s->settings, i, &more, &texts, err);
    ok =
        ok && tl_steer_path(s, name, &path, err) && tl_image_save_png(path.data, &image, texts.texts, 2, err);
    if (ok && (size_t)cJSON_GetNumberValue(tl_json_get(line, "best")) == j) {
        snprintf(best, sizeof best, "best/%s", name);
        ok = tl_steer_path(s, best, &path, err) && tl_image_save_png(path.data, &image, texts.texts, 2, err);
    }
    if (json) tl_sample_texts_finish(&texts);
    tl_str_finish(&path);
    cJSON_Delete(json);
    return ok;
}

/* ---- the line ---- */

bool tl_steer_append(const struct tl_steer *s, int log, const char *name, const cJSON *line,
                     struct tl_err *err)
{
    char *text = tl_json_print(line, false, err);
    struct tl_str whole = {0};
    if (!text) return tl_err_set(err, TL_FAIL, "out of memory");
    tl_str_printf(&whole, "%s\n", text);
    free(text);
    bool ok = !whole.failed || tl_err_set(err, TL_FAIL, "out of memory");
    size_t done = 0;
    while (ok && done < whole.len) {
        ssize_t n = write(log, whole.data + done, whole.len - done);
        if (n < 0 && errno == EINTR) continue;
        ok = n >= 0;
        done += ok ? (size_t)n : 0;
    }
    if (!ok || fsync(log) != 0) {
        int reason = errno;
        ok = tl_err_set(err, TL_OUTPUT, "%s/%s: cannot write: %s%s", s->p->sample.out, name, strerror(reason),
                        tl_file_advice(reason));
    }
    tl_str_finish(&whole);
    return ok;
}

bool tl_steer_keep(struct tl_steer *s, size_t group, cJSON *line, const uint8_t *rgb, struct tl_err *err)
{
    enum tl_steer_work before = s->work;
    bool ok = true;
    tl_steer_begin_work(s, TL_STEER_FILES);
    for (size_t j = 0; ok && j < s->k; j++)
        ok = save_picture(s, group, j, line, rgb + j * s->model.bytes, err);
    ok = ok && tl_steer_append(s, s->log, "steer.jsonl", line, err);
    tl_steer_begin_work(s, before);
    if (ok) {
        tl_steer_take(s, group, line);
    } else {
        cJSON_Delete(line);
    }
    return ok;
}

/* ---- the report's strips ---- */

bool tl_steer_save_strip(const struct tl_steer *s, const char *folder, const char *name, const uint8_t *rgb,
                         size_t n, struct tl_err *err)
{
    const struct tl_sample_model *m = &s->model;
    struct tl_image strip = {0};
    struct tl_str path = {0}, file = {0};
    size_t row = (size_t)m->width * 3;
    n = n < TL_STEER_STRIP ? n : TL_STEER_STRIP;
    while (n > 1 && n * (size_t)m->width * (size_t)m->height > TL_IMAGE_MAX_PIXELS) n--;
    bool ok = tl_image_init(&strip, (int)n * m->width, m->height, 3, err);
    for (size_t j = 0; ok && j < n; j++)
        for (size_t y = 0; y < (size_t)m->height; y++)
            memcpy(strip.px + (y * n + j) * row, rgb + j * m->bytes + y * row, row);
    ok = ok && tl_steer_path(s, folder, &path, err) && tl_file_make_folder(path.data, err);
    if (ok) {
        tl_path_join(&file, path.data, name);
        ok = (!file.failed || tl_err_set(err, TL_FAIL, "out of memory")) &&
             tl_image_save_png(file.data, &strip, NULL, 0, err);
    }
    tl_image_finish(&strip);
    tl_str_finish(&path);
    tl_str_finish(&file);
    return ok;
}

bool tl_steer_keep_step(struct tl_steer *s, size_t group, size_t step, const float *x0, struct tl_err *err)
{
    const struct tl_sample_model *m = &s->model;
    if (!s->p->report || group >= TL_STEER_SHOWN || s->lines[group]) return true;
    enum tl_steer_work before = s->work;
    tl_steer_begin_work(s, TL_STEER_FILES);
    size_t n = s->k < TL_STEER_STRIP ? s->k : TL_STEER_STRIP;
    char name[48];
    uint8_t *rgb = malloc(n * m->bytes);
    snprintf(name, sizeof name, "%04zu-%03zu.png", group, step);
    bool ok = (rgb || tl_err_set(err, TL_FAIL, "out of memory")) &&
              tl_latent_codec_decode(m->codec, x0, n, m->h, m->w, NULL, rgb, err) &&
              tl_steer_save_strip(s, "steps", name, rgb, n, err);
    free(rgb);
    tl_steer_begin_work(s, before);
    return ok;
}
