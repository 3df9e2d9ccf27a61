#include "io/svg_chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/html.h"
#include "io/svg_inner.h"

enum {
    STRETCHES = 240,   /* of a thinned series; two points each */
    MOST_DOTS = 40,    /* a series of no more points shows them */
    LEAST_SMOOTH = 50, /* points from which a smooth series gets its mean */
    LABEL_STEP = 12,   /* between end labels */
    LABEL_WIDTH = 45,  /* labels further apart do not meet */
    MOST_LABELS = 24,
};

/* A series ready to draw; all arrays own. */
struct line {
    const struct tl_svg_series *from;
    double *x, *y, *e, *mean; /* e and mean may be NULL */
    size_t n;
};

static void line_finish(struct line *l)
{
    free(l->x);
    free(l->y);
    free(l->e);
    free(l->mean);
}

static bool usable(const struct tl_svg_series *s, size_t i)
{
    return fabs(s->x[i]) <= 1e300 && fabs(s->y[i]) <= 1e300;
}

static double error_of(const struct tl_svg_series *s, size_t i)
{
    return s->error && s->error[i] > 0 && s->error[i] <= 1e300 ? s->error[i] : 0;
}

/* Centred over a thirtieth of the series, narrower at its ends. */
static double *running_mean(const double *y, size_t n)
{
    size_t half = n / 60 > 2 ? n / 60 : 2;
    double *mean = malloc((n + 1) * sizeof *mean), *sum = malloc((n + 1) * sizeof *sum);
    if (mean && sum) {
        sum[0] = 0;
        for (size_t i = 0; i < n; i++) sum[i + 1] = sum[i] + y[i];
        for (size_t i = 0; i < n; i++) {
            size_t reach = i < half ? i : half;
            reach = n - 1 - i < reach ? n - 1 - i : reach;
            mean[i] = (sum[i + reach + 1] - sum[i - reach]) / (double)(2 * reach + 1);
        }
    }
    free(sum);
    return mean;
}

static void move_point(struct line *l, size_t from, size_t to)
{
    l->x[to] = l->x[from];
    l->y[to] = l->y[from];
    if (l->e) l->e[to] = l->e[from];
    if (l->mean) l->mean[to] = l->mean[from];
}

/* Keeps the lowest and the highest point of each stretch, in their order, and the last one of all. */
static void thin(struct line *l)
{
    if (l->n <= 2 * STRETCHES) return;
    size_t kept = 0, end = 0;
    for (size_t s = 0; s < STRETCHES; s++) {
        size_t a = s * l->n / STRETCHES, b = (s + 1) * l->n / STRETCHES, low = a, high = a;
        for (size_t i = a; i < b; i++) {
            if (l->y[i] < l->y[low]) low = i;
            if (l->y[i] > l->y[high]) high = i;
        }
        size_t pair[2] = {low < high ? low : high, low < high ? high : low};
        for (int k = 0; k < (low == high ? 1 : 2); k++) move_point(l, pair[k], kept++);
        end = pair[1];
    }
    if (end != l->n - 1) move_point(l, l->n - 1, kept++);
    l->n = kept;
}

static bool line_init(struct line *l, const struct tl_svg_series *s)
{
    *l = (struct line){.from = s};
    size_t size = (s->n + 1) * sizeof(double);
    l->x = malloc(size);
    l->y = malloc(size);
    l->e = s->error ? malloc(size) : NULL;
    if (!l->x || !l->y || (s->error && !l->e)) return false;
    for (size_t i = 0; i < s->n; i++) {
        if (!usable(s, i)) continue;
        l->x[l->n] = s->x[i];
        l->y[l->n] = s->y[i];
        if (l->e) l->e[l->n] = error_of(s, i);
        l->n++;
    }
    if (s->smooth && l->n >= LEAST_SMOOTH && !(l->mean = running_mean(l->y, l->n))) return false;
    thin(l);
    return true;
}

/* ---- drawing ---- */

struct chart {
    const struct tl_svg_chart *what;
    struct line *lines;
    struct tl_svg_axis x, y;
};

static void draw_path(struct tl_str *out, const struct chart *c, const struct line *l, const double *y,
                      const char *kind)
{
    tl_str_printf(out, "<path class=\"%s\" d=\"", kind);
    for (size_t i = 0; i < l->n; i++)
        tl_str_printf(out, "%c%.1f %.1f", i ? 'L' : 'M', tl_svg_axis_place(&c->x, l->x[i]),
                      tl_svg_axis_place(&c->y, y[i]));
    tl_str_append(out, "\"/>");
}

static void draw_band(struct tl_str *out, const struct chart *c, const struct line *l)
{
    tl_str_append(out, "<path class=\"band\" d=\"");
    for (size_t k = 0; k < 2 * l->n; k++) {
        size_t i = k < l->n ? k : 2 * l->n - 1 - k;
        double v = k < l->n ? l->y[i] + l->e[i] : l->y[i] - l->e[i];
        tl_str_printf(out, "%c%.1f %.1f", k ? 'L' : 'M', tl_svg_axis_place(&c->x, l->x[i]),
                      tl_svg_axis_place(&c->y, v));
    }
    tl_str_append(out, "Z\"/>");
}

static void draw_dots(struct tl_str *out, const struct chart *c, const struct line *l)
{
    char value[TL_SVG_LABEL], error[TL_SVG_LABEL];
    for (size_t i = 0; i < l->n; i++) {
        tl_svg_number(l->y[i], c->what->percent, value);
        tl_svg_number(l->e ? l->e[i] : 0, c->what->percent, error);
        tl_str_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.4\"><title>",
                      tl_svg_axis_place(&c->x, l->x[i]), tl_svg_axis_place(&c->y, l->y[i]));
        tl_html_text_cut(out, l->from->name, 60);
        tl_str_printf(out, ", %.10g: %s%s%s</title></circle>", l->x[i], value,
                      l->e && l->e[i] > 0 ? " \xc2\xb1 " : "", l->e && l->e[i] > 0 ? error : "");
    }
}

static void put_numbers(struct tl_str *out, const char *name, const double *v, size_t n, int digits)
{
    tl_str_printf(out, " data-%s=\"", name);
    for (size_t i = 0; i < n; i++) tl_str_printf(out, "%s%.*g", i ? " " : "", digits, v[i] + 0.0);
    tl_str_append(out, "\"");
}

static void draw_line(struct tl_str *out, const struct chart *c, const struct line *l)
{
    const struct tl_svg_series *s = l->from;
    if (l->n == 0) return;
    tl_str_printf(out, "<g class=\"line c%d%s%s\" data-name=\"", s->colour % TL_SVG_COLOURS,
                  s->colour >= TL_SVG_COLOURS ? " dash" : "", s->faint ? " faint" : "");
    tl_html_text_cut(out, s->name, 60);
    tl_str_append(out, "\"");
    put_numbers(out, "x", l->x, l->n, 10);
    put_numbers(out, "y", l->y, l->n, 5);
    if (l->e) put_numbers(out, "e", l->e, l->n, 2);
    tl_str_append(out, ">");
    if (l->e && l->n > 1) draw_band(out, c, l);
    if (l->n > 1) draw_path(out, c, l, l->y, l->mean ? "raw" : "l");
    if (l->mean) draw_path(out, c, l, l->mean, "l");
    if (l->n <= MOST_DOTS && (!s->faint || l->n == 1)) draw_dots(out, c, l);
    tl_str_append(out, "</g>");
}

static double last_of(const struct line *l)
{
    return l->mean ? l->mean[l->n - 1] : l->y[l->n - 1];
}

static void put_end(struct tl_str *out, const struct chart *c, const struct line *l, double x, double y)
{
    char label[TL_SVG_LABEL];
    tl_svg_number(last_of(l), c->what->percent, label);
    tl_str_printf(out, "<text class=\"end c%d\" x=\"%.1f\" y=\"%.1f\">%s</text>",
                  l->from->colour % TL_SVG_COLOURS, x, y + 3.8, label);
}

/* Whether the line ends well before the others, so that its label stands inside the plot. */
static bool ends_early(const struct chart *c, const struct line *l)
{
    return l->x[l->n - 1] < c->x.hi - 0.12 * (c->x.hi - c->x.lo);
}

/* Labels that are placed already; a new one moves down until it meets none. */
struct labels {
    double x[MOST_LABELS], y[MOST_LABELS];
    size_t n;
};

static double free_place(struct labels *p, double x, double y)
{
    for (size_t i = 0; i < p->n; i++) {
        if (fabs(p->x[i] - x) > LABEL_WIDTH || fabs(p->y[i] - y) > LABEL_STEP - 0.5) continue;
        y = p->y[i] + LABEL_STEP;
        i = (size_t)-1; /* from the beginning: it may meet another one now */
    }
    p->x[p->n] = x;
    p->y[p->n++] = y;
    return y;
}

/* The last values stand behind their lines' ends, from the top down, pushed apart where they would meet. */
static void draw_ends(struct tl_str *out, const struct chart *c)
{
    const struct line *ends[MOST_LABELS];
    struct labels placed = {.n = 0};
    double y[MOST_LABELS];
    size_t n = 0;
    for (size_t s = 0; s < c->what->n_series && n < MOST_LABELS; s++) {
        const struct line *l = &c->lines[s];
        if (l->n == 0 || l->from->faint) continue;
        double at = tl_svg_axis_place(&c->y, last_of(l));
        size_t k = n++;
        for (; k > 0 && y[k - 1] > at; k--) {
            y[k] = y[k - 1];
            ends[k] = ends[k - 1];
        }
        y[k] = at;
        ends[k] = l;
    }
    for (size_t k = 0; k < n; k++) {
        double x = ends_early(c, ends[k]) ? tl_svg_axis_place(&c->x, ends[k]->x[ends[k]->n - 1]) : c->x.to;
        put_end(out, c, ends[k], x + 5, free_place(&placed, x, y[k]));
    }
}

static void draw_marks(struct tl_str *out, const struct chart *c)
{
    for (size_t i = 0; i < c->what->n_marks; i++) {
        const struct tl_svg_mark *m = &c->what->marks[i];
        double x = tl_svg_axis_place(&c->x, m->x);
        if (!tl_svg_axis_holds(&c->x, m->x)) continue;
        if (!m->label) {
            tl_str_printf(out, "<path class=\"mark\" d=\"M%.1f %.1fv-7\"/>", x, c->y.from);
            continue;
        }
        bool left = x > (c->x.from + c->x.to) / 2;
        tl_str_printf(out,
                      "<path class=\"mark\" stroke-dasharray=\"3 3\" d=\"M%.1f %.1fV%.1f\"/>"
                      "<text class=\"marked\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">",
                      x, c->y.from, c->y.to - 4, left ? "end" : "start", left ? x - 4 : x + 4, c->y.to - 4);
        tl_html_text_cut(out, m->label, 40);
        tl_str_append(out, "</text>");
    }
}

static void find_ranges(struct chart *c)
{
    bool whole = true;
    c->x = c->y = tl_svg_axis_empty();
    c->y.percent = c->what->percent;
    if (c->what->x_lo < c->what->x_hi) {
        tl_svg_axis_widen(&c->x, c->what->x_lo);
        tl_svg_axis_widen(&c->x, c->what->x_hi);
    }
    for (size_t s = 0; s < c->what->n_series; s++) {
        const struct line *l = &c->lines[s];
        for (size_t i = 0; i < l->n; i++) {
            double e = l->e ? l->e[i] : 0;
            tl_svg_axis_widen(&c->x, l->x[i]);
            tl_svg_axis_widen(&c->y, l->y[i] - e);
            tl_svg_axis_widen(&c->y, l->y[i] + e);
            whole = whole && l->x[i] == floor(l->x[i]);
        }
    }
    if (c->y.lo > 0 && c->y.lo < 0.4 * c->y.hi) c->y.lo = 0; /* near enough to show it */
    tl_svg_axis_close(&c->x, 6, false, whole);
    tl_svg_axis_close(&c->y, 5, true, false);
}

static double end_room(const struct chart *c)
{
    double most = 10;
    for (size_t s = 0; s < c->what->n_series; s++) {
        char label[TL_SVG_LABEL];
        if (c->lines[s].n == 0 || c->lines[s].from->faint || ends_early(c, &c->lines[s])) continue;
        tl_svg_number(last_of(&c->lines[s]), c->what->percent, label);
        most = fmax(most, 1.1 * tl_svg_text_width(label) + 8); /* bold */
    }
    return most;
}

void tl_svg_chart(struct tl_str *out, const struct tl_svg_chart *what)
{
    struct chart c = {.what = what, .lines = calloc(what->n_series + 1, sizeof *c.lines)};
    bool ok = c.lines != NULL;
    for (size_t s = 0; ok && s < what->n_series; s++) ok = line_init(&c.lines[s], &what->series[s]);
    if (ok) {
        find_ranges(&c);
        tl_svg_frame(out, what->title, what->x_label, &c.x, &c.y, end_room(&c));
        for (int faint = 1; faint >= 0; faint--)
            for (size_t s = 0; s < what->n_series; s++)
                if (what->series[s].faint == (bool)faint) draw_line(out, &c, &c.lines[s]);
        draw_marks(out, &c);
        draw_ends(out, &c);
        tl_str_append(out, "</svg>");
    } else {
        out->failed = true;
    }
    for (size_t s = 0; c.lines && s < what->n_series; s++) line_finish(&c.lines[s]);
    free(c.lines);
}

void tl_svg_legend(struct tl_str *out, const struct tl_svg_chart *what)
{
    tl_str_append(out, "<p class=\"legend\">");
    for (size_t s = 0; s < what->n_series; s++) {
        const struct tl_svg_series *series = &what->series[s];
        if (series->n == 0) continue;
        tl_str_printf(out, "<span class=\"c%d%s%s\"><i></i>", series->colour % TL_SVG_COLOURS,
                      series->colour >= TL_SVG_COLOURS ? " dash" : "", series->faint ? " faint" : "");
        tl_html_text_cut(out, series->name, 60);
        tl_str_append(out, "</span> ");
    }
    tl_str_append(out, "</p>");
}
