#include "io/svg_axis.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Beyond the first, ranges overflow; below the second, steps lose their digits. */
static const double MOST = 1e300, LEAST = 1e-290;

struct tl_svg_axis tl_svg_axis_empty(void)
{
    return (struct tl_svg_axis){.lo = DBL_MAX, .hi = -DBL_MAX};
}

void tl_svg_axis_widen(struct tl_svg_axis *a, double v)
{
    if (!(fabs(v) <= MOST)) return;
    if (fabs(v) < LEAST) v = 0;
    a->lo = fmin(a->lo, v);
    a->hi = fmax(a->hi, v);
}

static double nice_step(double range, int n)
{
    double raw = range / (n > 1 ? n : 1), power = pow(10, floor(log10(raw))), m = raw / power;
    return (m <= 1 + 1e-9 ? 1 : m <= 2 + 1e-9 ? 2 : m <= 5 + 1e-9 ? 5 : 10) * power;
}

void tl_svg_axis_close(struct tl_svg_axis *a, int n_ticks, bool round, bool whole)
{
    if (a->lo > a->hi) a->lo = a->hi = 0;
    double size = fmax(fabs(a->lo), fabs(a->hi));
    if (a->hi - a->lo <= 1e-9 * size || a->hi == a->lo) { /* one value, or none: some width */
        double half = size > 0 ? 0.1 * size : 0.5;
        a->lo -= half;
        a->hi += half;
    }
    a->step = nice_step(a->hi - a->lo, n_ticks);
    if (whole && a->step < 1) a->step = 1;
    if (!round) return;
    a->lo = floor(a->lo / a->step + 1e-9) * a->step;
    a->hi = ceil(a->hi / a->step - 1e-9) * a->step;
}

double tl_svg_axis_place(const struct tl_svg_axis *a, double v)
{
    return a->from + (a->to - a->from) * ((v - a->lo) / (a->hi - a->lo));
}

double tl_svg_axis_first(const struct tl_svg_axis *a)
{
    return ceil(a->lo / a->step - 1e-9) * a->step;
}

bool tl_svg_axis_holds(const struct tl_svg_axis *a, double v)
{
    double slack = 1e-6 * a->step;
    return v >= a->lo - slack && v <= a->hi + slack;
}

void tl_svg_axis_label(const struct tl_svg_axis *a, double v, char out[TL_SVG_LABEL])
{
    double scale = a->percent ? 100 : 1, step = scale * a->step,
           most = scale * fmax(fabs(a->lo), fabs(a->hi));
    v = fabs(v) < 1e-6 * a->step ? 0 : scale * v;
    if (most < 1e6 && step >= 1e-5)
        snprintf(out, TL_SVG_LABEL - 1, "%.*f", (int)fmax(0, ceil(-log10(step) - 1e-9)), v);
    else
        snprintf(out, TL_SVG_LABEL - 1, "%.*g", (int)fmin(12, ceil(log10(fmax(most / step, 1))) + 1), v);
    if (a->percent) strcat(out, "%");
}

void tl_svg_number(double v, bool percent, char out[TL_SVG_LABEL])
{
    snprintf(out, TL_SVG_LABEL - 1, "%.*g", percent ? 3 : 4, (percent ? 100 * v : v) + 0.0);
    if (percent) strcat(out, "%");
}

double tl_svg_text_width(const char *text)
{
    double width = 0;
    for (; *text; text++)
        if (((unsigned char)*text & 0xc0) != 0x80) width += strchr("il.,:|1' ", *text) ? 4.2 : 6.3;
    return width;
}
