#include <math.h>
#include <stdlib.h>

#include "io/html.h"
#include "io/svg_chart.h"
#include "io/svg_inner.h"

enum { MOST_BINS = 60, MOST_WANTED = 24 };

struct bins {
    double first, width; /* of the first bin; of each */
    int n;
    double share[MOST_BINS]; /* of one sample */
};

/* Bins are a whole part of the axis' ticks, so that their edges are round numbers. */
static void choose(struct bins *b, struct tl_svg_axis *x, const struct tl_svg_sample *samples, size_t n)
{
    size_t most = 0;
    *x = tl_svg_axis_empty();
    for (size_t s = 0; s < n; s++) {
        most = samples[s].n > most ? samples[s].n : most;
        for (size_t i = 0; i < samples[s].n; i++) tl_svg_axis_widen(x, samples[s].values[i]);
    }
    int wanted = (int)fmin(MOST_WANTED, fmax(6, 2 * sqrt((double)most)));
    tl_svg_axis_close(x, wanted, true, false);
    b->first = x->lo;
    b->width = x->step;
    b->n = (int)fmin(MOST_BINS, fmax(1, floor((x->hi - x->lo) / x->step + 0.5)));
    x->lo = b->first;
    x->hi = b->first + b->n * b->width;
    tl_svg_axis_close(x, 6, false, false);
}

static double count(struct bins *b, const struct tl_svg_sample *s)
{
    double most = 0, total = 0;
    for (int k = 0; k < b->n; k++) b->share[k] = 0;
    for (size_t i = 0; i < s->n; i++) {
        double k = floor((s->values[i] - b->first) / b->width);
        if (!(fabs(s->values[i]) <= 1e300)) continue;
        b->share[(int)fmin(b->n - 1, fmax(0, k))]++;
        total++;
    }
    for (int k = 0; k < b->n; k++) {
        b->share[k] = total > 0 ? b->share[k] / total : 0;
        most = fmax(most, b->share[k]);
    }
    return most;
}

static double mean_of(const struct tl_svg_sample *s)
{
    double sum = 0, n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!(fabs(s->values[i]) <= 1e300)) continue;
        sum += s->values[i];
        n++;
    }
    return n > 0 ? sum / n : NAN;
}

/* A filled outline, with an unseen bar over each bin that carries its numbers. */
static void draw_sample(struct tl_str *out, const struct bins *b, const struct tl_svg_sample *s,
                        const struct tl_svg_axis *x, const struct tl_svg_axis *y)
{
    double mean = mean_of(s);
    tl_str_printf(out, "<g class=\"line c%d\"><path class=\"fill\" d=\"M%.1f %.1f",
                  s->colour % TL_SVG_COLOURS, x->from, y->from);
    for (int k = 0; k < b->n; k++)
        tl_str_printf(out, "V%.1fH%.1f", tl_svg_axis_place(y, b->share[k]),
                      tl_svg_axis_place(x, b->first + (k + 1) * b->width));
    tl_str_printf(out, "V%.1f\"/>", y->from);
    if (isfinite(mean))
        tl_str_printf(out, "<path class=\"mean\" d=\"M%.1f %.1fV%.1f\"/>", tl_svg_axis_place(x, mean),
                      y->from, y->to);
    tl_str_append(out, "</g>");
}

static void draw_hints(struct tl_str *out, struct bins *b, const struct tl_svg_sample *samples, size_t n,
                       const struct tl_svg_axis *x, const struct tl_svg_axis *y)
{
    for (int k = 0; k < b->n; k++) {
        double lo = b->first + k * b->width, from = tl_svg_axis_place(x, lo);
        tl_str_printf(out,
                      "<rect class=\"hint\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>",
                      from, y->to, tl_svg_axis_place(x, lo + b->width) - from, y->from - y->to);
        tl_str_printf(out, "%.6g to %.6g", lo, lo + b->width);
        for (size_t s = 0; s < n; s++) {
            count(b, &samples[s]);
            tl_str_append(out, "\n");
            tl_html_text_cut(out, samples[s].name, 60);
            tl_str_printf(out, ": %.1f%%", 100 * b->share[k]);
        }
        tl_str_append(out, "</title></rect>");
    }
}

void tl_svg_histogram(struct tl_str *out, const char *title, const struct tl_svg_sample *samples, size_t n)
{
    struct bins b;
    struct tl_svg_axis x, y = tl_svg_axis_empty();
    choose(&b, &x, samples, n);
    tl_svg_axis_widen(&y, 0);
    for (size_t s = 0; s < n; s++) tl_svg_axis_widen(&y, count(&b, &samples[s]));
    y.percent = true;
    tl_svg_axis_close(&y, 4, true, false);
    tl_svg_frame(out, title, title, &x, &y, 10);
    for (size_t s = 0; s < n; s++) {
        count(&b, &samples[s]);
        draw_sample(out, &b, &samples[s], &x, &y);
    }
    draw_hints(out, &b, samples, n, &x, &y);
    tl_str_append(out, "</svg>");
}
