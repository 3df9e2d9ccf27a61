#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "io/draw.h"
#include "io/file.h"
#include "run/sample_parts.h"

enum { GRID_ROWS = 32, GRID_COLUMNS = 8 };

static uint64_t number_of(const struct tl_sample_settings *s, size_t i)
{
    return (uint64_t)s->params->first + i;
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
    struct tl_sample_texts texts;
    struct tl_str path = {0};
    char name[32];
    tl_sample_file_name(s, i, name);
    tl_path_join(&path, s->params->out, name);
    bool ok = tl_sample_texts_make(s, i, NULL, &texts, err) &&
              (!path.failed || tl_err_set(err, TL_FAIL, "out of memory")) &&
              tl_image_save_png(path.data, &image, texts.texts, 2, err) &&
              tl_sample_add_row(s, i, NULL, &out->metadata, err) && keep_for_grid(out, i, &image, err);
    if (ok) out->n_done++;
    tl_sample_texts_finish(&texts);
    tl_str_finish(&path);
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

bool tl_sample_grid_from_files(const struct tl_sample_settings *s, struct tl_err *err)
{
    struct tl_sample_output out = {.settings = s};
    struct tl_str path = {0};
    if (!s->params->grid) return true;
    out.grid = calloc(s->inputs->n, sizeof *out.grid);
    bool ok = out.grid || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; ok && i < s->inputs->n; i++) {
        char name[32];
        tl_sample_file_name(s, i, name);
        tl_path_join(&path, s->params->out, name);
        ok = !in_grid(s, i) || (!path.failed && tl_image_load(path.data, &out.grid[i], err));
    }
    ok = ok && write_grid(&out, err);
    tl_str_finish(&path);
    tl_sample_output_finish(&out);
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
