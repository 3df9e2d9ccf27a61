/* What a report reads from a run's folder, finished or not. Parts that are absent are empty; what cannot be
 * read is passed over and counted, because a report on a damaged run is worth more than none.
 *
 *     config.json, run.json, result.json       as they are
 *     metrics.jsonl                             columns, one a phase and name
 *     warnings.jsonl                            {"step", "kind", "text"}
 *     samples/step-N/rewards.jsonl              readings: one row a picture
 *     samples/step-N/grid.png, grid-trained.png
 *
 * A row of rewards.jsonl is {"set", "prompt", "prompt_index", "sample", "reward", "held_out", "file", "role"}
 * (the last three may be absent); step 0 is the untouched model, and rows of two readings are the same
 * picture before and after where set, prompt_index and sample agree. */
#ifndef TL_RUN_REPORT_DATA_H
#define TL_RUN_REPORT_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "base/arena.h"
#include "io/json.h"

struct tl_report_column {
    const char *phase, *name;
    double *x, *y; /* own */
    size_t n, size;
};

struct tl_report_sample {
    const char *set, *prompt, *file, *role; /* "" where absent; file is a name inside the reading's folder */
    int64_t prompt_index, sample;
    double reward, held_out; /* NaN: none */
};

struct tl_report_reading {
    int64_t step;
    const char *folder; /* samples/step-... */
    bool has_grid;
    struct tl_report_sample *samples;
    size_t n;
};

struct tl_report_warning {
    int64_t step;
    const char *kind, *text;
};

struct tl_report_run {
    struct tl_arena arena;          /* owns strings, readings, warnings */
    const char *path;               /* as given */
    const char *name;               /* the folder's own name */
    cJSON *config, *about, *result; /* own; NULL where absent */
    struct tl_report_column *columns;
    size_t n_columns;
    struct tl_report_reading *readings; /* by step; with samples or a grid */
    size_t n_readings;
    struct tl_report_warning *warnings;
    size_t n_warnings;
    int64_t last_step;            /* of metrics.jsonl; -1: none */
    double first_time, last_time; /* of its rows; 0: none */
    size_t n_rows, n_bad_lines;   /* of all .jsonl */
};

/* TL_BAD_INPUT where the folder is no run; TL_FAIL out of memory. */
bool tl_report_load(struct tl_report_run *run, const char *path, struct tl_err *err);
void tl_report_unload(struct tl_report_run *run);

/* NULL where no row has it. */
const struct tl_report_column *tl_report_column(const struct tl_report_run *run, const char *phase,
                                                const char *name);

/* The reading of the untouched model, and the newest one after it, that have samples; NULL: none. */
const struct tl_report_reading *tl_report_first(const struct tl_report_run *run);
const struct tl_report_reading *tl_report_last(const struct tl_report_run *run);

/* The same picture in another reading, or NULL. */
const struct tl_report_sample *tl_report_pair(const struct tl_report_reading *reading,
                                              const struct tl_report_sample *of);

/* A JSON value as text: "" for null and NULL, a list joined by ", ". Borrowed or in the arena. */
const char *tl_report_value_text(struct tl_arena *arena, const cJSON *value);
/* The same of a member of config.json. */
const char *tl_report_config(struct tl_report_run *run, const char *key);

#endif
