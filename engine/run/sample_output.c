#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>
#include <tiller/version.h>

#include "io/draw.h"
#include "io/file.h"
#include "io/json.h"
#include "run/sample_parts.h"

enum { GRID_ROWS = 32, GRID_COLUMNS = 8 };

static const struct tl_prompt *prompt_of(const struct tl_sample_settings *s, size_t i)
{
    return &s->inputs->prompts[i / (size_t)s->params->n];
}

static uint64_t number_of(const struct tl_sample_settings *s, size_t i)
{
    return (uint64_t)s->params->first + i;
}

/* A pipeline's name: its folder's. */
static void model_name(const char *folder, struct tl_str *out)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    size_t at = n;
    while (at > 0 && folder[at - 1] != '/') at--;
    tl_str_append_n(out, folder + at, n - at);
}

/* A value in A1111's line: quoted as JSON where it holds what separates values. */
static void add_value(struct tl_str *out, const char *key, const char *value)
{
    tl_str_printf(out, ", %s: ", key);
    if (strpbrk(value, ",:\n\""))
        tl_json_quote(out, value);
    else
        tl_str_append(out, value);
}

/* What A1111 and its readers expect under "parameters". */
static void a1111(const struct tl_sample_settings *s, size_t i, struct tl_str *out)
{
    const struct tl_sample_params *p = s->params;
    struct tl_str text = {0};
    tl_str_append(out, prompt_of(s, i)->text);
    if (p->negative_prompt && *p->negative_prompt)
        tl_str_printf(out, "\nNegative prompt: %s", p->negative_prompt);
    tl_str_printf(out, "\nSteps: %d, Sampler: %s, CFG scale: %g, Seed: %" PRIu64 ", Size: %dx%d", p->steps,
                  strcmp(s->sampler, "ddim") == 0 ? "DDIM" : "DDPM", p->guidance, s->seed, s->width,
                  s->height);
    model_name(p->model, &text);
    add_value(out, "Model", text.data ? text.data : "");
    tl_str_printf(out, ", Eta: %g, Picture: %" PRIu64, p->eta, number_of(s, i));
    for (size_t k = 0; k < s->inputs->n_loras; k++) {
        char key[32];
        snprintf(key, sizeof key, "Lora %zu", k + 1);
        tl_str_clear(&text);
        tl_str_printf(&text, "%s@%g", tl_path_base(s->inputs->loras[k].path), s->inputs->loras[k].scale);
        add_value(out, key, text.data ? text.data : "");
    }
    tl_str_printf(out, ", Version: tiller %s", TL_VERSION);
    if (text.failed) out->failed = true;
    tl_str_finish(&text);
}

/* JSON numbers are exact up to 2^53 only. */
static bool add_seed(cJSON *object, uint64_t seed)
{
    char text[24];
    if (seed <= UINT64_C(1) << 53) return cJSON_AddNumberToObject(object, "seed", (double)seed) != NULL;
    snprintf(text, sizeof text, "%" PRIu64, seed);
    return cJSON_AddStringToObject(object, "seed", text) != NULL;
}

/* Ours, under "tiller": everything that the picture depends on. */
static char *own_json(const struct tl_sample_settings *s, size_t i, struct tl_err *err)
{
    const struct tl_sample_params *p = s->params;
    cJSON *o = cJSON_CreateObject();
    bool ok =
        o && cJSON_AddStringToObject(o, "version", TL_VERSION) &&
        (!s->command || cJSON_AddStringToObject(o, "command", s->command)) &&
        cJSON_AddStringToObject(o, "prompt", prompt_of(s, i)->text) &&
        (!p->negative_prompt || cJSON_AddStringToObject(o, "negative_prompt", p->negative_prompt)) &&
        add_seed(o, s->seed) && cJSON_AddNumberToObject(o, "number", (double)number_of(s, i)) &&
        cJSON_AddStringToObject(o, "model", p->model) && cJSON_AddStringToObject(o, "sampler", s->sampler) &&
        cJSON_AddNumberToObject(o, "steps", p->steps) && cJSON_AddNumberToObject(o, "eta", p->eta) &&
        cJSON_AddNumberToObject(o, "guidance", p->guidance) &&
        cJSON_AddNumberToObject(o, "width", s->width) && cJSON_AddNumberToObject(o, "height", s->height) &&
        (!p->init_latents || cJSON_AddStringToObject(o, "init_latents", p->init_latents));
    cJSON *loras = ok ? cJSON_AddArrayToObject(o, "lora") : NULL;
    ok = loras != NULL;
    for (size_t k = 0; ok && k < s->inputs->n_loras; k++) {
        cJSON *row = cJSON_CreateObject();
        ok = row && cJSON_AddStringToObject(row, "file", s->inputs->loras[k].path) &&
             cJSON_AddNumberToObject(row, "scale", s->inputs->loras[k].scale);
        if (!ok || !cJSON_AddItemToArray(loras, row)) {
            cJSON_Delete(row);
            ok = false;
        }
    }
    char *text = ok ? tl_json_print(o, false, err) : NULL;
    cJSON_Delete(o);
    if (!text) tl_err_set(err, TL_FAIL, "out of memory");
    return text;
}

/* A row of metadata.jsonl: what we know, then what the prompt's own row had. */
static bool add_metadata(struct tl_sample_output *out, size_t i, const char *name, struct tl_err *err)
{
    static const char *const ours[] = {"file_name", "prompt", "text", "caption", "seed", "number"};
    const struct tl_prompt *prompt = prompt_of(out->settings, i);
    cJSON *row = cJSON_CreateObject(), *given = NULL;
    bool ok = row && cJSON_AddStringToObject(row, "file_name", name) &&
              cJSON_AddStringToObject(row, "prompt", prompt->text) && add_seed(row, out->settings->seed) &&
              cJSON_AddNumberToObject(row, "number", (double)number_of(out->settings, i));
    if (ok && prompt->json) {
        given = tl_json_parse(prompt->json, strlen(prompt->json), "prompts", err);
        ok = given != NULL;
        for (size_t k = 0; ok && k < sizeof ours / sizeof *ours; k++)
            cJSON_DeleteItemFromObjectCaseSensitive(given, ours[k]);
        for (cJSON *item; ok && (item = given->child);)
            ok = cJSON_AddItemToObject(row, item->string, cJSON_DetachItemViaPointer(given, item));
    }
    char *text = ok ? tl_json_print(row, false, err) : NULL;
    if (text) tl_str_printf(&out->metadata, "%s\n", text);
    free(text);
    cJSON_Delete(given);
    cJSON_Delete(row);
    return (text && !out->metadata.failed) || tl_err_set(err, TL_FAIL, "out of memory");
}

/* Pictures of an earlier, longer run would stand beside ours without being ours. */
static void warn_of_others(const struct tl_sample_settings *s)
{
    struct tl_arena arena = {0};
    const char *const *names;
    size_t n = 0, others = 0;
    uint64_t end = number_of(s, s->inputs->n);
    if (tl_file_list(s->params->out, &arena, &names, &n, NULL))
        for (size_t i = 0; i < n; i++) {
            char *rest = NULL;
            uint64_t number = strtoull(names[i], &rest, 10);
            if (rest == names[i] || strcmp(rest, ".png") != 0) continue;
            others += number < (uint64_t)s->params->first || number >= end;
        }
    tl_arena_finish(&arena);
    if (others)
        tl_log(TL_LOG_WARN,
               "%s holds %zu numbered pictures of another run; metadata.jsonl will not name them",
               s->params->out, others);
}

bool tl_sample_output_begin(struct tl_sample_output *out, const struct tl_sample_settings *settings,
                            struct tl_err *err)
{
    *out = (struct tl_sample_output){.settings = settings};
    if (!tl_file_make_folder(settings->params->out, err)) return false;
    warn_of_others(settings);
    if (!settings->params->grid) return true;
    out->grid = calloc(settings->inputs->n, sizeof *out->grid);
    return out->grid != NULL || tl_err_set(err, TL_FAIL, "out of memory");
}

/* Whether picture i has a place in the grid: eight a prompt of the first 32; the first 256 where there is one
 * prompt, or one picture of each. */
static bool in_grid(const struct tl_sample_settings *s, size_t i)
{
    size_t each = (size_t)s->params->n;
    if (s->inputs->n_prompts == 1 || each == 1) return i < (size_t)GRID_ROWS * GRID_COLUMNS;
    return i / each < GRID_ROWS && i % each < GRID_COLUMNS;
}

static bool keep_for_grid(struct tl_sample_output *out, size_t i, const struct tl_image *image,
                          struct tl_err *err)
{
    if (!out->grid || !in_grid(out->settings, i)) return true;
    if (!tl_image_init(&out->grid[i], image->width, image->height, 3, err)) return false;
    memcpy(out->grid[i].px, image->px, (size_t)image->width * (size_t)image->height * 3);
    return true;
}

bool tl_sample_output_picture(struct tl_sample_output *out, size_t i, const uint8_t *px, struct tl_err *err)
{
    const struct tl_sample_settings *s = out->settings;
    struct tl_image image = {
        .width = s->width, .height = s->height, .channels = 3, .px = (uint8_t *)(uintptr_t)px};
    struct tl_str path = {0}, settings = {0};
    char name[32];
    snprintf(name, sizeof name, "%05" PRIu64 ".png", number_of(s, i));
    tl_path_join(&path, s->params->out, name);
    a1111(s, i, &settings);
    char *own = own_json(s, i, err);
    bool ok = own && ((!path.failed && !settings.failed) || tl_err_set(err, TL_FAIL, "out of memory"));
    const struct tl_png_text texts[] = {{"parameters", settings.data}, {"tiller", own}};
    ok = ok && tl_image_save_png(path.data, &image, texts, 2, err) && add_metadata(out, i, name, err) &&
         keep_for_grid(out, i, &image, err);
    if (ok) out->n_done++;
    free(own);
    tl_str_finish(&path);
    tl_str_finish(&settings);
    return ok;
}

/* One prompt: a near-square grid under its title. One picture of each prompt: the same, the prompt under
 * each. Else a row a prompt. */
static bool write_grid(const struct tl_sample_output *out, struct tl_err *err)
{
    const struct tl_sample_settings *s = out->settings;
    size_t each = (size_t)s->params->n, prompts = s->inputs->n_prompts;
    size_t rows = prompts < GRID_ROWS ? prompts : GRID_ROWS,
           columns = each < GRID_COLUMNS ? each : GRID_COLUMNS;
    bool square = prompts == 1 || each == 1, captions = square && prompts > 1;
    if (square) {
        for (columns = 1; columns < GRID_COLUMNS && columns * columns < s->inputs->n;) columns++;
        rows = (s->inputs->n + columns - 1) / columns;
        if (rows > GRID_ROWS) rows = GRID_ROWS;
    }
    struct tl_image *pictures = calloc(rows * columns, sizeof *pictures), grid = {0};
    const char **texts = calloc(rows * columns, sizeof *texts);
    bool ok = (pictures && texts) || tl_err_set(err, TL_FAIL, "out of memory for the grid");
    for (size_t r = 0; ok && r < rows; r++) {
        if (!square) texts[r] = s->inputs->prompts[r].text;
        for (size_t c = 0; c < columns; c++) {
            size_t i = square ? r * columns + c : r * each + c;
            if (i >= s->inputs->n) continue;
            pictures[r * columns + c] = out->grid[i]; /* borrowed */
            if (captions) texts[i] = s->inputs->prompts[i].text;
        }
    }
    struct tl_draw_grid what = {.rows = (int)rows,
                                .columns = (int)columns,
                                .pictures = pictures,
                                .title = prompts == 1 ? s->inputs->prompts[0].text : NULL,
                                .row_titles = square ? NULL : texts,
                                .captions = captions ? texts : NULL};
    ok = ok && tl_draw_grid(&what, &grid, err) && tl_image_save_png(s->params->grid, &grid, NULL, 0, err);
    tl_image_finish(&grid);
    free(pictures);
    free((void *)texts);
    return ok;
}

bool tl_sample_output_end(struct tl_sample_output *out, struct tl_err *err)
{
    struct tl_str path = {0};
    tl_path_join(&path, out->settings->params->out, "metadata.jsonl");
    bool ok = out->n_done == 0 || tl_file_write(path.data, out->metadata.data, out->metadata.len, err);
    tl_str_finish(&path);
    return ok && (!out->grid || out->n_done < out->settings->inputs->n || write_grid(out, err));
}

void tl_sample_output_finish(struct tl_sample_output *out)
{
    for (size_t i = 0; out->grid && i < out->settings->inputs->n; i++) tl_image_finish(&out->grid[i]);
    free(out->grid);
    tl_str_finish(&out->metadata);
    *out = (struct tl_sample_output){0};
}
