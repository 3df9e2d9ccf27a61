#include <math.h>

#include "io/html.h"
#include "io/svg_inner.h"

enum { TOP = 14, BOTTOM = 36, LEAST_LEFT = 26 };

static double label_room(const struct tl_svg_axis *y)
{
    double most = LEAST_LEFT;
    char label[TL_SVG_LABEL];
    for (double v = tl_svg_axis_first(y); tl_svg_axis_holds(y, v); v += y->step) {
        tl_svg_axis_label(y, v, label);
        most = fmax(most, tl_svg_text_width(label));
    }
    return most + 10;
}

static void draw_ticks(struct tl_str *out, const struct tl_svg_axis *x, const struct tl_svg_axis *y)
{
    char label[TL_SVG_LABEL];
    tl_str_append(out, "<path class=\"grid\" d=\"");
    for (double v = tl_svg_axis_first(y); tl_svg_axis_holds(y, v); v += y->step)
        tl_str_printf(out, "M%.1f %.1fH%.1f", x->from, tl_svg_axis_place(y, v), x->to);
    tl_str_printf(out, "\"/><path class=\"axis\" d=\"M%.1f %.1fH%.1f", x->from, y->from, x->to);
    for (double v = tl_svg_axis_first(x); tl_svg_axis_holds(x, v); v += x->step)
        tl_str_printf(out, "M%.1f %.1fv4", tl_svg_axis_place(x, v), y->from);
    tl_str_append(out, "\"/><g class=\"ticks\" text-anchor=\"end\">");
    for (double v = tl_svg_axis_first(y); tl_svg_axis_holds(y, v); v += y->step) {
        tl_svg_axis_label(y, v, label);
        tl_str_printf(out, "<text x=\"%.1f\" y=\"%.1f\">%s</text>", x->from - 6,
                      tl_svg_axis_place(y, v) + 3.8, label);
    }
    tl_str_append(out, "</g><g class=\"ticks\" text-anchor=\"middle\">");
    for (double v = tl_svg_axis_first(x); tl_svg_axis_holds(x, v); v += x->step) {
        tl_svg_axis_label(x, v, label);
        tl_str_printf(out, "<text x=\"%.1f\" y=\"%.1f\">%s</text>", tl_svg_axis_place(x, v), y->from + 15,
                      label);
    }
    tl_str_append(out, "</g>");
}

void tl_svg_frame(struct tl_str *out, const char *title, const char *x_label, struct tl_svg_axis *x,
                  struct tl_svg_axis *y, double right)
{
    x->from = label_room(y);
    x->to = TL_SVG_WIDTH - right;
    y->from = TL_SVG_HEIGHT - BOTTOM;
    y->to = TOP;
    tl_str_printf(out,
                  "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\" data-x=\"%.9g %.9g %.1f %.1f\" "
                  "data-y=\"%.1f %.1f\"%s data-unit=\"",
                  TL_SVG_WIDTH, TL_SVG_HEIGHT, x->lo, x->hi, x->from, x->to, y->to, y->from,
                  y->percent ? " data-percent=\"1\"" : "");
    tl_html_text_cut(out, x_label, 60);
    tl_str_append(out, "\" aria-label=\"");
    tl_html_text_cut(out, title, 200);
    tl_str_append(out, "\">");
    draw_ticks(out, x, y);
    if (x_label) {
        tl_str_printf(out, "<text class=\"ticks\" text-anchor=\"middle\" x=\"%.1f\" y=\"%d\">",
                      (x->from + x->to) / 2, TL_SVG_HEIGHT - 4);
        tl_html_text_cut(out, x_label, 60);
        tl_str_append(out, "</text>");
    }
}
