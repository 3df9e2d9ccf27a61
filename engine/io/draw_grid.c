#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "io/draw.h"
#include "io/draw_inner.h"

enum {
    MARGIN = 12,    /* round the page */
    GAP = 8,        /* between pictures */
    GROUP_GAP = 28, /* between groups of columns */
    WANTED = 192,   /* pixels, a picture's width by default */
    CAPTION_LINES = 3,
    ROW_TITLE_LINES = 2,
    LEAST_WIDTH = 400, /* room for titles above few pictures */
    BLANK = 0xe8e8e8,
};

/* Where everything stands, in pixels. */
struct layout {
    const struct tl_draw_grid *grid;
    int scale, text, group; /* enlargement, font scale, columns of a group */
    int64_t cell_width, cell_height, width, height;
    int64_t top;                          /* of the first row */
    int columns_of_cell, columns_of_page; /* characters that fit */
};

static const char *text_at(const char *const *texts, size_t i)
{
    return texts && texts[i] ? texts[i] : "";
}

static int line_height(const struct layout *l)
{
    return TL_DRAW_CELL_HEIGHT * l->text;
}

static int64_t column_x(const struct layout *l, int column)
{
    return MARGIN + column * (l->cell_width + GAP) + (column / l->group) * (int64_t)(GROUP_GAP - GAP);
}

static int row_title_lines(const struct layout *l, int row)
{
    return tl_draw_wrapped(NULL, 0, 0, text_at(l->grid->row_titles, (size_t)row), l->columns_of_page,
                           ROW_TITLE_LINES, l->text, 0);
}

static int caption_lines(const struct layout *l, int row)
{
    int most = 0;
    for (int c = 0; c < l->grid->columns; c++) {
        size_t i = (size_t)row * (size_t)l->grid->columns + (size_t)c;
        int lines = tl_draw_wrapped(NULL, 0, 0, text_at(l->grid->captions, i), l->columns_of_cell,
                                    CAPTION_LINES, l->text, 0);
        most = lines > most ? lines : most;
    }
    return most;
}

static int64_t row_height(const struct layout *l, int row)
{
    int lines = row_title_lines(l, row) + caption_lines(l, row);
    return l->cell_height + 4 + lines * line_height(l) + 2 * GAP;
}

/* The size that all pictures share; false where they do not, or where there is none. */
static bool picture_size(const struct tl_draw_grid *grid, struct tl_image *out, struct tl_err *err)
{
    size_t n = (size_t)grid->rows * (size_t)grid->columns;
    *out = (struct tl_image){0};
    for (size_t i = 0; i < n; i++) {
        const struct tl_image *p = &grid->pictures[i];
        if (!p->px) continue;
        if (p->channels != 1 && p->channels != 3)
            return tl_err_set(err, TL_USAGE, "grid: picture %zu has %d channels; 1 or 3 are drawn", i + 1,
                              p->channels);
        if (out->width && (p->width != out->width || p->height != out->height))
            return tl_err_set(err, TL_USAGE, "grid: picture %zu is %d x %d, others %d x %d", i + 1, p->width,
                              p->height, out->width, out->height);
        out->width = p->width;
        out->height = p->height;
    }
    return out->width || tl_err_set(err, TL_USAGE, "grid: no picture in it");
}

static bool lay_out(const struct tl_draw_grid *grid, struct layout *l, struct tl_err *err)
{
    struct tl_image size;
    if (grid->rows < 1 || grid->columns < 1 || grid->rows > 4096 || grid->columns > 4096 || grid->scale < 0 ||
        grid->scale > 64 || grid->group < 0)
        return tl_err_set(err, TL_USAGE, "grid of %d x %d pictures at scale %d cannot be drawn", grid->rows,
                          grid->columns, grid->scale);
    if (!picture_size(grid, &size, err)) return false;
    *l = (struct layout){.grid = grid, .scale = grid->scale, .group = grid->columns};
    if (grid->group > 0 && grid->group < grid->columns) l->group = grid->group;
    if (!l->scale) l->scale = (WANTED + size.width - 1) / size.width;
    l->cell_width = (int64_t)size.width * l->scale;
    l->cell_height = (int64_t)size.height * l->scale;
    l->text = l->cell_width < 160 ? 1 : 2;
    l->width = column_x(l, grid->columns - 1) + l->cell_width + MARGIN;
    if (l->width < LEAST_WIDTH) l->width = LEAST_WIDTH;
    l->columns_of_cell = (int)((l->cell_width - 4) / (TL_DRAW_CELL_WIDTH * l->text));
    l->columns_of_page = (int)((l->width - 2 * MARGIN) / (TL_DRAW_CELL_WIDTH * l->text));
    l->top = MARGIN;
    if (grid->title) l->top += TL_DRAW_CELL_HEIGHT * (l->text + 1) + GAP;
    if (grid->group_titles) l->top += line_height(l) + GAP / 2;
    l->height = l->top + MARGIN - GAP;
    for (int r = 0; r < grid->rows; r++) l->height += row_height(l, r);
    return true;
}

static void draw_head(const struct layout *l, struct tl_image *page)
{
    int y = MARGIN, size = l->text + 1;
    if (l->grid->title) {
        int columns = (int)((l->width - 2 * MARGIN) / (TL_DRAW_CELL_WIDTH * size));
        tl_draw_wrapped(page, MARGIN, y, l->grid->title, columns, 1, size, TL_DRAW_INK);
        y += TL_DRAW_CELL_HEIGHT * size + GAP;
    }
    int columns = (int)((l->group * (l->cell_width + GAP) - GAP) / (TL_DRAW_CELL_WIDTH * l->text));
    for (int c = 0; l->grid->group_titles && c < l->grid->columns; c += l->group)
        tl_draw_wrapped(page, (int)column_x(l, c), y, text_at(l->grid->group_titles, (size_t)(c / l->group)),
                        columns, 1, l->text, TL_DRAW_FAINT);
}

static void draw_cell(const struct layout *l, struct tl_image *page, int row, int column, int y)
{
    size_t i = (size_t)row * (size_t)l->grid->columns + (size_t)column;
    const struct tl_image *picture = &l->grid->pictures[i];
    int x = (int)column_x(l, column);
    if (picture->px)
        tl_draw_picture(page, x, y, picture, l->scale);
    else
        tl_draw_fill(page, x, y, (int)l->cell_width, (int)l->cell_height, BLANK);
    uint32_t color = l->grid->caption_colors ? l->grid->caption_colors[i] : TL_DRAW_INK;
    tl_draw_wrapped(page, x, y + (int)l->cell_height + 4, text_at(l->grid->captions, i), l->columns_of_cell,
                    CAPTION_LINES, l->text, color);
}

bool tl_draw_grid(const struct tl_draw_grid *grid, struct tl_image *out, struct tl_err *err)
{
    struct layout l;
    *out = (struct tl_image){0};
    if (!lay_out(grid, &l, err) || !tl_draw_page(l.width, l.height, out, err)) return false;
    draw_head(&l, out);
    int64_t y = l.top;
    for (int r = 0; r < grid->rows; r++) {
        tl_draw_wrapped(out, MARGIN, (int)y, text_at(grid->row_titles, (size_t)r), l.columns_of_page,
                        ROW_TITLE_LINES, l.text, TL_DRAW_INK);
        int64_t cells = y + row_title_lines(&l, r) * line_height(&l);
        for (int c = 0; c < grid->columns; c++) draw_cell(&l, out, r, c, (int)cells);
        y += row_height(&l, r);
    }
    return true;
}

/* ---- before and after ---- */

/* The texts and pictures of a before/after grid, all in one arena. */
struct pairs {
    struct tl_arena arena;
    struct tl_image *pictures; /* [n_prompts][2 n_each]; pixels borrowed */
    const char **captions, **row_titles;
    uint32_t *colors;
};

static double mean(const double *v, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += v[i];
    return sum / n;
}

static void fill_row(const struct tl_draw_before_after *w, struct pairs *p, int row)
{
    int n = w->n_each, from = row * n;
    const char *prompt = text_at(w->prompts, (size_t)row), *name = w->reward_name ? w->reward_name : "reward";
    p->row_titles[row] = prompt;
    for (int k = 0; k < n; k++) {
        int before = 2 * from + k, after = before + n;
        p->pictures[before] = w->before[from + k];
        p->pictures[after] = w->after[from + k];
        p->colors[before] = p->colors[after] = TL_DRAW_INK;
        if (!w->reward_before || !w->reward_after) continue;
        double a = w->reward_before[from + k], b = w->reward_after[from + k];
        p->captions[before] = tl_arena_printf(&p->arena, "%.3f", a);
        p->captions[after] = tl_arena_printf(&p->arena, "%.3f (%+.3f)", b, b - a);
        if (b != a) p->colors[after] = b > a ? TL_DRAW_GREEN : TL_DRAW_RED;
    }
    if (w->reward_before && w->reward_after)
        p->row_titles[row] =
            tl_arena_printf(&p->arena, "%s   %s %.3f -> %.3f", prompt, name, mean(w->reward_before + from, n),
                            mean(w->reward_after + from, n));
}

bool tl_draw_before_after(const struct tl_draw_before_after *w, struct tl_image *out, struct tl_err *err)
{
    static const char *const SIDES[] = {"before", "after"};
    *out = (struct tl_image){0};
    if (w->n_prompts < 1 || w->n_each < 1 || w->n_prompts > 4096 || w->n_each > 2048)
        return tl_err_set(err, TL_USAGE, "grid of %d prompts with %d pictures each cannot be drawn",
                          w->n_prompts, w->n_each);
    size_t n = 2 * (size_t)w->n_prompts * (size_t)w->n_each;
    struct pairs p = {0};
    p.pictures = tl_arena_alloc(&p.arena, n, sizeof *p.pictures);
    p.captions = tl_arena_alloc(&p.arena, n, sizeof *p.captions);
    p.colors = tl_arena_alloc(&p.arena, n, sizeof *p.colors);
    p.row_titles = tl_arena_alloc(&p.arena, (size_t)w->n_prompts, sizeof *p.row_titles);
    for (int r = 0; !p.arena.failed && r < w->n_prompts; r++) fill_row(w, &p, r);
    struct tl_draw_grid grid = {.rows = w->n_prompts,
                                .columns = 2 * w->n_each,
                                .group = w->n_each,
                                .pictures = p.pictures,
                                .scale = w->scale,
                                .title = w->title,
                                .group_titles = SIDES,
                                .row_titles = p.row_titles,
                                .captions = p.captions,
                                .caption_colors = p.colors};
    bool ok =
        p.arena.failed ? tl_err_set(err, TL_FAIL, "out of memory for a grid") : tl_draw_grid(&grid, out, err);
    tl_arena_finish(&p.arena);
    return ok;
}
