/* Curves out of a run's metrics.jsonl. */
#ifndef TL_RUN_PLOTS_H
#define TL_RUN_PLOTS_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

struct tl_plot_curve {
    const char *label;  /* in the legend */
    const char *phase;  /* "train", "eval"; NULL: any */
    const char *column; /* "reward_mean" */
    const char *error;  /* column of its standard error, drawn as a band; NULL: none */
};

struct tl_plot {
    const char *title, *y_label; /* may be NULL; the x axis is the step */
    const struct tl_plot_curve *curves;
    size_t n_curves;
    int width, height; /* 0: the chart's default */
};

/* A PNG, written whole or not at all. A column that no row has is an empty curve. */
bool tl_plot_metrics(const char *metrics_path, const struct tl_plot *plot, const char *png_path,
                     struct tl_err *err);

#endif
