#include "run/plots.h"

#include <stdlib.h>

#include "io/draw.h"
#include "run/run_metrics.h"

/* The arrays of one curve; all own. */
struct curve {
    double *x, *y, *error_x, *error;
    size_t n, n_error;
};

/* Errors stand at the steps of their values; a value without one gets no band there. */
static bool align_errors(struct curve *c)
{
    double *aligned = malloc((c->n + 1) * sizeof *aligned);
    if (!aligned) return false;
    for (size_t i = 0, j = 0; i < c->n; i++) {
        while (j < c->n_error && c->error_x[j] < c->x[i]) j++;
        aligned[i] = j < c->n_error && c->error_x[j] == c->x[i] ? c->error[j] : 0;
    }
    free(c->error);
    c->error = aligned;
    return true;
}

static bool read_curve(const char *path, const struct tl_plot_curve *what, struct curve *c,
                       struct tl_err *err)
{
    if (!tl_run_metrics_column(path, what->phase, what->column, &c->x, &c->y, &c->n, err)) return false;
    if (!what->error) return true;
    return tl_run_metrics_column(path, what->phase, what->error, &c->error_x, &c->error, &c->n_error, err) &&
           (align_errors(c) || tl_err_set(err, TL_FAIL, "%s: out of memory", path));
}

static bool draw(const struct tl_plot *plot, const struct tl_draw_series *series, const char *png_path,
                 struct tl_err *err)
{
    struct tl_image image = {0};
    const struct tl_draw_chart chart = {.title = plot->title,
                                        .x_label = "step",
                                        .y_label = plot->y_label,
                                        .series = series,
                                        .n_series = plot->n_curves,
                                        .width = plot->width,
                                        .height = plot->height};
    bool ok = tl_draw_chart(&chart, &image, err) && tl_image_save_png(png_path, &image, NULL, 0, err);
    tl_image_finish(&image);
    return ok;
}

bool tl_plot_metrics(const char *metrics_path, const struct tl_plot *plot, const char *png_path,
                     struct tl_err *err)
{
    struct curve *curves = calloc(plot->n_curves + 1, sizeof *curves);
    struct tl_draw_series *series = calloc(plot->n_curves + 1, sizeof *series);
    bool ok = (curves && series) || tl_err_set(err, TL_FAIL, "%s: out of memory", metrics_path);
    for (size_t i = 0; ok && i < plot->n_curves; i++) {
        ok = read_curve(metrics_path, &plot->curves[i], &curves[i], err);
        series[i] = (struct tl_draw_series){.name = plot->curves[i].label,
                                            .x = curves[i].x,
                                            .y = curves[i].y,
                                            .error = plot->curves[i].error ? curves[i].error : NULL,
                                            .n = curves[i].n};
    }
    ok = ok && draw(plot, series, png_path, err);
    for (size_t i = 0; curves && i < plot->n_curves; i++) {
        free(curves[i].x);
        free(curves[i].y);
        free(curves[i].error_x);
        free(curves[i].error);
    }
    free(curves);
    free(series);
    return ok;
}
