/* The page of a steered run, from its folder alone, finished or not; the parts that every report has are
 * report_parts.h's.
 *
 *     steer_report_data    lines of steer.jsonl and plain.jsonl
 *     steer_report_page    one run: head, tiles, plain samples beside it, table of prompts, cost
 *     steer_report_charts  its curves
 *     steer_report_tree    pictures over time and who descends from whom
 *     steer_report_runs    several runs side by side */
#ifndef TL_RUN_STEER_REPORT_H
#define TL_RUN_STEER_REPORT_H

#include "run/report_parts.h"
#include "run/steer_compare.h"

/* A line that is not such is passed over and counted. Arrays [k] live in the run's arena. */
struct tl_steer_report_event {
    int64_t step;
    double t, ess;
    bool resampled;
    size_t unique;
    double *rewards;
    size_t *ancestors; /* each below k */
};

struct tl_steer_report_row { /* a prompt */
    size_t group, best;
    const char *prompt;
    double *rewards, *weights;
    double log_z, network, reward; /* the last two: evaluations */
    struct tl_steer_report_event *events;
    size_t n_events;
    double *plain; /* [n_plain] rewards of plain samples */
    size_t n_plain, best_plain;
    struct tl_steer_pair pair; /* best and weighted always; the others where has_pair */
    bool has_pair;
};

struct tl_steer_report_totals { /* means over prompts */
    struct tl_steer_mean best, weighted, mean, log_z;
    double ess, survivors; /* mean over events; starts that are left of a prompt */
    size_t events, resampled;
    double network, reward, plain_network, plain_reward; /* evaluations */
};

struct tl_steer_report {
    struct tl_report_run *run;        /* borrowed: config, about, arena, counts what is damaged */
    cJSON *summary;                   /* steer.json; NULL: the run is not through */
    size_t k;                         /* particles */
    struct tl_steer_report_row *rows; /* by group */
    size_t n;
    struct tl_steer_report_totals totals;
    struct tl_steer_comparison comparison; /* n 0: none */
    bool is_plain;                         /* nothing steers: the particles are the plain samples */
};

/* Whether the folder is that of a steered run. */
bool tl_steer_report_is(struct tl_report_run *run);
bool tl_steer_report_load(struct tl_steer_report *report, struct tl_report_run *run, struct tl_err *err);
void tl_steer_report_unload(struct tl_steer_report *report);

/* "finished, 8 prompts" */
const char *tl_steer_report_state(const struct tl_steer_report *report);
/* A setting of the run as a number; NaN: it has none. */
double tl_steer_report_setting(const struct tl_steer_report *report, const char *key);
/* Strength; below 0 the smaller reward is the better one. 1 where it is not known. */
double tl_steer_report_lambda(const struct tl_steer_report *report);

/* Whole pages. */
void tl_steer_report_page(struct tl_str *out, struct tl_steer_report *report);
void tl_steer_report_runs(struct tl_str *out, struct tl_steer_report *reports, size_t n);

/* Sections and pieces. */
void tl_steer_report_trees(struct tl_str *out, struct tl_steer_report *report);
void tl_steer_report_charts(struct tl_str *out, const struct tl_steer_report *report);
void tl_steer_report_style(struct tl_str *out); /* with that of all reports */
/* "0.7213" and, where it is known, its error in dim. */
void tl_steer_report_mean(struct tl_str *out, struct tl_steer_mean mean);
/* The same of a difference, in the colour of what the run is steered to. */
void tl_steer_report_difference(struct tl_str *out, const struct tl_steer_report *report,
                                struct tl_steer_mean mean);

#endif
