#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/draw.h"
#include "io/draw_inner.h"

enum {
    MARGIN = 16,
    TICK = 5,        /* length of a tick mark */
    LEAST_PLOT = 64, /* pixels, either way */
    GRID_LINE = 0xe4e4e4,
    AXIS_LINE = 0x909090,
};
static const double MOST = 1e300; /* larger values count as not finite: ranges must not overflow */

/* Okabe and Ito's colours, told apart by colour-blind people too. */
static const uint32_t COLORS[] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x4d4d4d};

static uint32_t color_of(size_t series)
{
    return COLORS[series % (sizeof COLORS / sizeof *COLORS)];
}

/* One axis: values lo .. hi at pixels from .. to, ticks every step from the first multiple of it. */
struct axis {
    double lo, hi, step;
    double from, to;
};

struct plot {
    const struct tl_draw_chart *chart;
    struct tl_image *page;
    int text; /* font scale */
    int left, right, top,
        bottom; /* the frame; the axes' pixels lie inside, with room for marks and their labels */
    struct axis x, y;
};

static bool usable(double v)
{
    return fabs(v) <= MOST; /* false for NaN */
}

static double x_at(const struct tl_draw_series *s, size_t i)
{
    return s->x ? s->x[i] : (double)(i + 1);
}

static bool point_at(const struct tl_draw_series *s, size_t i, double *out_x, double *out_y)
{
    *out_x = x_at(s, i);
    *out_y = s->y[i];
    return usable(*out_x) && usable(*out_y);
}

static double error_at(const struct tl_draw_series *s, size_t i)
{
    return s->error && s->error[i] > 0 && usable(s->error[i]) ? s->error[i] : 0;
}

static double place(const struct axis *a, double v)
{
    return a->from + (a->to - a->from) * ((v - a->lo) / (a->hi - a->lo));
}

static bool lies_in(const struct axis *a, double v)
{
    double slack = 1e-9 * (a->hi - a->lo);
    return v >= a->lo - slack && v <= a->hi + slack;
}

/* ---- ranges and ticks ---- */

static void widen(struct axis *a, double v)
{
    a->lo = fmin(a->lo, v);
    a->hi = fmax(a->hi, v);
}

/* A range of one value, or of none, gets some width. */
static void give_width(struct axis *a, double relative)
{
    if (a->lo > a->hi) a->lo = a->hi = 0;
    double least = 1e-12 * fmax(fabs(a->lo), fabs(a->hi));
    if (a->hi - a->lo > least) return;
    double half = relative > 0 && a->lo != 0 ? relative * fabs(a->lo) : 0.5;
    a->lo -= half;
    a->hi += half;
}

/* 1, 2 or 5 times a power of ten, for about `count` steps. */
static double nice_step(double range, double count)
{
    double raw = range / fmax(count, 1), power = pow(10, floor(log10(raw))), m = raw / power;
    return (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10) * power;
}

static void find_ranges(struct plot *p)
{
    p->x.lo = p->y.lo = DBL_MAX;
    p->x.hi = p->y.hi = -DBL_MAX;
    for (size_t s = 0; s < p->chart->n_series; s++) {
        const struct tl_draw_series *series = &p->chart->series[s];
        for (size_t i = 0; i < series->n; i++) {
            double x, y;
            if (!point_at(series, i, &x, &y)) continue;
            widen(&p->x, x);
            widen(&p->y, y - error_at(series, i));
            widen(&p->y, y + error_at(series, i));
        }
    }
    give_width(&p->x, 0);
    give_width(&p->y, 0.1);
}

static bool whole_numbers(const struct tl_draw_chart *chart)
{
    for (size_t s = 0; s < chart->n_series; s++)
        for (size_t i = 0; i < chart->series[s].n; i++) {
            double x = x_at(&chart->series[s], i);
            if (usable(x) && x != floor(x)) return false;
        }
    return true;
}

/* y: the range grows to whole steps. */
static void find_y_steps(struct plot *p)
{
    struct axis *a = &p->y;
    a->step = nice_step(a->hi - a->lo, fabs(a->to - a->from) / (2.5 * TL_DRAW_CELL_HEIGHT * p->text));
    a->lo = floor(a->lo / a->step + 1e-9) * a->step;
    a->hi = ceil(a->hi / a->step - 1e-9) * a->step;
}

/* x: the range stays, ticks lie inside; steps and epochs have no fractions. */
static void find_x_steps(struct plot *p)
{
    struct axis *a = &p->x;
    a->step = nice_step(a->hi - a->lo, (a->to - a->from) / (9.0 * TL_DRAW_CELL_WIDTH * p->text));
    if (a->step < 1 && whole_numbers(p->chart)) a->step = 1;
}

/* Digits enough to tell neighbouring ticks apart. */
static void tick_text(const struct axis *a, double v, char out[32])
{
    double most = fmax(fabs(a->lo), fabs(a->hi)), step = a->step;
    if (fabs(v) < 1e-9 * step) v = 0;
    if (most < 1e7 && step >= 1e-6)
        snprintf(out, 32, "%.*f", (int)fmax(0, ceil(-log10(step) - 1e-9)), v);
    else
        snprintf(out, 32, "%.*g", (int)fmin(15, ceil(log10(most / step)) + 1), v);
}

static double first_tick(const struct axis *a)
{
    return ceil(a->lo / a->step - 1e-9);
}

/* Pixels of the widest label of an axis. */
static int tick_width(const struct axis *a, int text)
{
    int widest = 0;
    for (double k = first_tick(a); lies_in(a, k * a->step); k++) {
        char label[32];
        tick_text(a, k * a->step, label);
        int width = tl_draw_text_width(label, text);
        widest = width > widest ? width : widest;
    }
    return widest;
}

/* ---- layout ---- */

static int legend_line(const struct plot *p)
{
    return (TL_DRAW_CELL_HEIGHT + 1) * p->text;
}

/* Pixels that the label of a point needs above or below it. */
static int label_room(const struct plot *p)
{
    return 8 * p->text + 4;
}

static bool no_room(int width, int height, struct tl_err *err)
{
    return tl_err_set(err, TL_USAGE, "a chart of %d x %d has no room for its plot; draw it larger", width,
                      height);
}

/* Places the plot's rectangle on the page: titles above, ticks, x label and a legend line a series below. */
static bool lay_out(struct plot *p, int width, int height, struct tl_err *err)
{
    const struct tl_draw_chart *c = p->chart;
    int line = TL_DRAW_CELL_HEIGHT * p->text;
    int64_t below =
        TICK + line + (c->x_label ? line + 4 : 0) + 8 + (int64_t)c->n_series * legend_line(p) + MARGIN;
    int above = MARGIN + (c->title ? TL_DRAW_CELL_HEIGHT * (p->text + 1) + 6 : 0) +
                (c->y_label ? line + 4 : 0) + line / 2;
    p->bottom = (int)(height > below ? height - below : 0);
    p->top = above;
    p->left = MARGIN;
    p->right = width - MARGIN - line;
    if (p->bottom - p->top < LEAST_PLOT || p->right - p->left < LEAST_PLOT)
        return no_room(width, height, err);
    p->y.from = p->bottom - label_room(p);
    p->y.to = p->top + label_room(p);
    find_ranges(p);
    find_y_steps(p);
    p->left += tick_width(&p->y, p->text) + TICK + 4;
    if (p->right - p->left < LEAST_PLOT) return no_room(width, height, err);
    p->x.from = p->left + 3 * p->text;
    p->x.to = p->right - 3 * p->text;
    find_x_steps(p);
    return true;
}

/* ---- drawing ---- */

static void centred(struct plot *p, double x, int y, const char *text, uint32_t rgb)
{
    tl_draw_text(p->page, (int)x - tl_draw_text_width(text, p->text) / 2, y, text, p->text, rgb);
}

static void draw_axes(struct plot *p)
{
    int left = p->left, right = p->right, top = p->top, bottom = p->bottom;
    char label[32];
    for (double k = first_tick(&p->y); lies_in(&p->y, k * p->y.step); k++) {
        int y = (int)lround(place(&p->y, k * p->y.step));
        tick_text(&p->y, k * p->y.step, label);
        tl_draw_fill(p->page, left, y, right - left, 1, GRID_LINE);
        tl_draw_fill(p->page, left - TICK, y, TICK, 1, AXIS_LINE);
        tl_draw_text(p->page, left - TICK - 3 - tl_draw_text_width(label, p->text), y - 3 * p->text, label,
                     p->text, TL_DRAW_INK);
    }
    for (double k = first_tick(&p->x); lies_in(&p->x, k * p->x.step); k++) {
        int x = (int)lround(place(&p->x, k * p->x.step));
        tick_text(&p->x, k * p->x.step, label);
        tl_draw_fill(p->page, x, top, 1, bottom - top, GRID_LINE);
        tl_draw_fill(p->page, x, bottom, 1, TICK, AXIS_LINE);
        centred(p, x, bottom + TICK + 3, label, TL_DRAW_INK);
    }
    tl_draw_fill(p->page, left, top, 1, bottom - top + 1, AXIS_LINE);
    tl_draw_fill(p->page, left, bottom, right - left + 1, 1, AXIS_LINE);
}

static void draw_titles(struct plot *p)
{
    const struct tl_draw_chart *c = p->chart;
    int y = MARGIN, line = TL_DRAW_CELL_HEIGHT * p->text, room = p->page->width - 2 * MARGIN;
    if (c->title) {
        tl_draw_wrapped(p->page, MARGIN, y, c->title, room / (TL_DRAW_CELL_WIDTH * (p->text + 1)), 1,
                        p->text + 1, TL_DRAW_INK);
        y += TL_DRAW_CELL_HEIGHT * (p->text + 1) + 6;
    }
    if (c->y_label) tl_draw_text(p->page, MARGIN, y, c->y_label, p->text, TL_DRAW_FAINT);
    if (c->x_label)
        centred(p, (p->left + p->right) / 2, p->bottom + TICK + line + 6, c->x_label, TL_DRAW_FAINT);
}

/* The band of the segment from point i to i + 1, a column of pixels at a time. */
static void draw_band(struct plot *p, const struct tl_draw_series *s, size_t i, uint32_t rgb)
{
    double x0, y0, x1, y1;
    if (!point_at(s, i, &x0, &y0) || !point_at(s, i + 1, &x1, &y1)) return;
    double from = place(&p->x, x0), to = place(&p->x, x1);
    for (double x = ceil(from); x < to; x++) {
        double t = (x - from) / (to - from);
        double y = y0 + t * (y1 - y0), error = error_at(s, i) + t * (error_at(s, i + 1) - error_at(s, i));
        int top = (int)lround(place(&p->y, y + error)), bottom = (int)lround(place(&p->y, y - error));
        for (int v = top; v < bottom; v++) tl_draw_blend(p->page, (int)x, v, rgb, 0.18);
    }
}

static void draw_curve(struct plot *p, const struct tl_draw_series *s, uint32_t rgb)
{
    for (size_t i = 0; s->error && i + 1 < s->n; i++) draw_band(p, s, i, rgb);
    bool joined = false;
    for (size_t i = 0; i < s->n; i++) {
        double x0, y0, x1, y1;
        bool here = point_at(s, i, &x0, &y0), next = i + 1 < s->n && point_at(s, i + 1, &x1, &y1);
        if (here && next)
            tl_draw_line(p->page, place(&p->x, x0), place(&p->y, y0), place(&p->x, x1), place(&p->y, y1),
                         p->text + 0.5, rgb);
        else if (here && !joined) /* a point by itself */
            tl_draw_line(p->page, place(&p->x, x0), place(&p->y, y0), place(&p->x, x0), place(&p->y, y0),
                         3.0 * p->text, rgb);
        joined = here && next;
    }
}

struct extremes {
    size_t min, max, last; /* indices of points */
    bool any;
};

static struct extremes find_extremes(const struct tl_draw_series *s)
{
    struct extremes e = {0};
    for (size_t i = 0; i < s->n; i++) {
        double x, y;
        if (!point_at(s, i, &x, &y)) continue;
        if (!e.any) e = (struct extremes){i, i, i, true};
        if (y < s->y[e.min]) e.min = i;
        if (y > s->y[e.max]) e.max = i;
        e.last = i;
    }
    return e;
}

/* A dot, and its value above or below it, kept inside the frame. */
static void mark(struct plot *p, const struct tl_draw_series *s, size_t i, bool above, uint32_t rgb)
{
    double x = place(&p->x, x_at(s, i)), y = place(&p->y, s->y[i]);
    char label[32];
    snprintf(label, sizeof label, "%.4g", s->y[i]);
    tl_draw_line(p->page, x, y, x, y, 3.5 * p->text, rgb);
    double half = tl_draw_text_width(label, p->text) / 2.0;
    double cx = fmin(fmax(x, p->left + half + 2), p->right - half);
    double cy = above ? y - label_room(p) : y + 2 * p->text + 1;
    centred(p, cx, (int)cy, label, rgb);
}

/* Swatch, name, and the figures that a reader looks for. */
static void draw_legend_line(struct plot *p, size_t number, int y)
{
    const struct tl_draw_series *s = &p->chart->series[number];
    struct extremes e = find_extremes(s);
    int x = p->left, text = p->text, room;
    char figures[128] = "no values";
    if (e.any)
        snprintf(figures, sizeof figures, "min %.4g  max %.4g  last %.4g", s->y[e.min], s->y[e.max],
                 s->y[e.last]);
    tl_draw_fill(p->page, x, y + 2 * text, 12 * text, 3 * text, color_of(number));
    x += 16 * text;
    room =
        (p->page->width - MARGIN - x - tl_draw_text_width(figures, text)) / (TL_DRAW_CELL_WIDTH * text) - 2;
    const char *name = s->name ? s->name : "";
    if (room > 3) tl_draw_wrapped(p->page, x, y, name, room, 1, text, TL_DRAW_INK);
    tl_draw_text(p->page, p->page->width - MARGIN - tl_draw_text_width(figures, text), y, figures, text,
                 TL_DRAW_FAINT);
}

static void draw_plot(struct plot *p)
{
    const struct tl_draw_chart *c = p->chart;
    bool any = false;
    draw_axes(p);
    draw_titles(p);
    for (size_t s = 0; s < c->n_series; s++) draw_curve(p, &c->series[s], color_of(s));
    for (size_t s = 0; s < c->n_series; s++) {
        struct extremes e = find_extremes(&c->series[s]);
        any |= e.any;
        if (e.any && e.max != e.min) mark(p, &c->series[s], e.min, false, color_of(s));
        if (e.any) mark(p, &c->series[s], e.max, true, color_of(s));
    }
    if (!any) centred(p, (p->left + p->right) / 2, (p->top + p->bottom) / 2, "no values", TL_DRAW_FAINT);
    int y = p->page->height - MARGIN - (int)c->n_series * legend_line(p);
    for (size_t s = 0; s < c->n_series; s++) draw_legend_line(p, s, y + (int)s * legend_line(p));
}

bool tl_draw_chart(const struct tl_draw_chart *chart, struct tl_image *out, struct tl_err *err)
{
    int width = chart->width ? chart->width : 960, height = chart->height ? chart->height : 540;
    struct plot p = {.chart = chart, .page = out, .text = width < 640 ? 1 : 2};
    *out = (struct tl_image){0};
    if (!lay_out(&p, width, height, err) || !tl_draw_page(width, height, out, err)) return false;
    draw_plot(&p);
    return true;
}
