/* The table of metrics over sets: what they need, their flavours, the function that measures. */
#ifndef TL_RUN_SCORE_METRICS_H
#define TL_RUN_SCORE_METRICS_H

#include <tiller/score.h>

#include "metrics/frechet.h"
#include "run/feature_set.h"
#include "run/score_row.h"

enum { TL_METRIC_MOST_SETTINGS = 3 };

struct tl_metric_way {
    struct tl_metric_flavour flavour;
    /* What an encoder of this class gets behind its ARG, "compat=fadtk"; TL_USAGE where the user says
     * something else of one of its keys. */
    struct {
        const char *encoder, *setting;
    } settings[TL_METRIC_MOST_SETTINGS];
    bool is_input; /* says what the encoder is fed, and nothing of the arithmetic */
};

/* One value to find. Everything is borrowed for the call. */
struct tl_measure {
    const struct tl_score_params *params;
    const struct tl_metric_way *way;
    const struct tl_feature_set *reference; /* NULL with one set */
    const struct tl_feature_set *set;
    struct tl_pool *pool;
    uint64_t seed;
};

/* What options of `tiller score` a metric has beside those of all. */
enum tl_metric_extras {
    TL_METRIC_INF = 1 << 0,   /* --inf */
    TL_METRIC_INDIV = 1 << 1, /* --indiv */
    TL_METRIC_ORDER = 1 << 2,
    TL_METRIC_BANDWIDTH = 1 << 3,
};

struct tl_metric {
    struct tl_metric_info info;
    const struct tl_metric_way *ways; /* ends at a NULL name; [0] is the default */
    unsigned extras;
    /* Fills value, interval, extra numbers, notes and the metric's settings. */
    bool (*measure)(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err);
};

extern const struct tl_metric tl_metrics[]; /* ends at a NULL name */

/* NULL where there is none. n_folders decides where a reward has the same name (clip). */
const struct tl_metric *tl_metric_find(const char *name, size_t n_folders);
/* NULL name: the default. TL_USAGE. */
const struct tl_metric_way *tl_metric_way_find(const struct tl_metric *metric, const char *name,
                                               struct tl_err *err);

/* ---- the functions ---- */
bool tl_measure_frechet(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err);
bool tl_measure_kid(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err);
bool tl_measure_kad(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err);
bool tl_measure_cmmd(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err);
bool tl_measure_vendi(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err);
bool tl_measure_similarity(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err);

/* Flavour fadtk: each item's mean rounded to float16 before items are merged. score_fadtk.c */
bool tl_score_fadtk_gaussian(const struct tl_features *x, struct tl_pool *pool, struct tl_gaussian *out,
                             struct tl_err *err);
/* As tl_frechet_per_item. */
bool tl_score_fadtk_per_item(const struct tl_features *x, const struct tl_gaussian *reference,
                             struct tl_pool *pool, struct tl_frechet_item *out, struct tl_err *err);

/* Each file's own distance to the reference, as CSV at params->indiv. score_individual.c */
bool tl_score_write_individual(const struct tl_measure *m, struct tl_err *err);

#endif
