#include <math.h>

#include "io/html.h"
#include "io/svg_chart.h"
#include "io/svg_inner.h"

enum { MOST_POINTS = 2000 };

static bool is_drawn(const struct tl_svg_point *p)
{
    return fabs(p->x) <= 1e300 && fabs(p->y) <= 1e300;
}

static void draw_point(struct tl_str *out, const struct tl_svg_point *p, const struct tl_svg_axis *x,
                       const struct tl_svg_axis *y)
{
    char across[TL_SVG_LABEL], up[TL_SVG_LABEL];
    tl_svg_number(p->x, false, across);
    tl_svg_number(p->y, false, up);
    tl_str_printf(out, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>",
                  tl_svg_axis_place(x, p->x), tl_svg_axis_place(y, p->y));
    if (p->name) {
        tl_html_text_cut(out, p->name, 100);
        tl_str_append(out, ": ");
    }
    tl_str_printf(out, "%s across, %s up</title></circle>", across, up);
}

void tl_svg_scatter(struct tl_str *out, const char *title, const char *x_label,
                    const struct tl_svg_point *points, size_t n, int colour)
{
    struct tl_svg_axis x = tl_svg_axis_empty(), y;
    size_t shown = n < MOST_POINTS ? n : MOST_POINTS;
    for (size_t i = 0; i < shown; i++) {
        if (!is_drawn(&points[i])) continue;
        tl_svg_axis_widen(&x, points[i].x);
        tl_svg_axis_widen(&x, points[i].y);
    }
    tl_svg_axis_close(&x, 6, true, false);
    y = x;
    tl_svg_frame(out, title, x_label, &x, &y, 12);
    tl_str_printf(out, "<path class=\"equal\" d=\"M%.1f %.1fL%.1f %.1f\"/><g class=\"c%d\">", x.from, y.from,
                  x.to, y.to, colour % TL_SVG_COLOURS);
    for (size_t i = 0; i < shown; i++)
        if (is_drawn(&points[i])) draw_point(out, &points[i], &x, &y);
    tl_str_append(out, "</g></svg>");
}
