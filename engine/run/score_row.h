/* One value of the job `score`, with everything that is told of it. */
#ifndef TL_RUN_SCORE_ROW_H
#define TL_RUN_SCORE_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "base/arena.h"
#include "io/json.h"

enum { TL_SCORE_MOST_NUMBERS = 8, TL_SCORE_MOST_NOTES = 8 };

struct tl_score_side {
    const char *path;
    size_t n, rows; /* files, rows of the encoder; 0: not known */
};

struct tl_score_skip {
    const char *folder, *file, *reason;
};

/* A file, or a pair of files, of a metric that is a mean over them. */
struct tl_score_item {
    const char *file, *other; /* other: the prompt, or the file of the pair; may be NULL */
    double score;
    const double *parts; /* [n_parts] of an ensemble; NULL without */
};

/* Strings are borrowed from the job, or lie in the arena. A zeroed row may be finished. */
struct tl_score_row {
    struct tl_arena arena;
    const char *metric;
    double value, low, high; /* the interval, NaN where there is none */
    const char *interval;    /* how it was found */
    bool is_drawn;           /* value or interval hang on the seed */
    uint64_t seed;
    const char *failed; /* why there is no value (NaN); NULL else */
    size_t n; /* files behind the value; of two sets, of the evaluated one; rows where files are not known */
    struct tl_score_side sides[2];
    size_t n_sides;
    const char *encoder, *sha256, *flavour; /* NULL or "" without */
    const char *encoder_settings, *settings;
    struct {
        const char *key;
        double value;
    } numbers[TL_SCORE_MOST_NUMBERS]; /* what else the metric has to say */
    size_t n_numbers;
    const char *notes[TL_SCORE_MOST_NOTES]; /* warnings */
    size_t n_notes;
    struct tl_score_skip *skipped; /* [n_skipped] */
    size_t n_skipped;
    struct tl_score_item *items; /* [n_items], of a mean over files; else NULL */
    size_t n_items;

    /* of rewards */
    bool is_reward;
    double weight, range_low, range_high;
    const char *spec;
    size_t n_parts;
    struct tl_score_member {
        const char *spec, *encoder, *sha256, *flavour;
        double value, low, high;
    } * members; /* [n_parts]; NULL but for ensembles */
};

/* Both are dropped silently where the row is full. */
void tl_score_row_number(struct tl_score_row *row, const char *key, double value);
void tl_score_row_note(struct tl_score_row *row, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Notes the seed if the interval's method draws: a bootstrap, or who is in which group. */
void tl_score_row_draws(struct tl_score_row *row, uint64_t seed, const char *method);
/* Value and interval at 0 where they are negative, as torchmetrics has its means. */
void tl_score_row_clamp(struct tl_score_row *row);
bool tl_score_row_skip(struct tl_score_row *row, const char *folder, const char *file, const char *reason);
void tl_score_row_finish(struct tl_score_row *row);

/* ---- score_report.c ---- */

/* The report of n values; the caller frees. csv NULL: none was written. */
char *tl_score_report(const struct tl_score_row *rows, size_t n, const char *csv, bool json,
                      struct tl_err *err);

/* ---- score_csv.c ---- */

/* A row a file where the values are means over files (with the folder in front where there are several), else
 * a row a value. */
bool tl_score_write_csv(const struct tl_score_row *rows, size_t n, const char *path, struct tl_err *err);
/* RFC 4180: quoted, quotes doubled. */
void tl_score_csv_text(struct tl_str *out, const char *text);
/* The shortest number that reads back the same, '.' in any locale; nothing where it is not finite. */
bool tl_score_csv_number(struct tl_str *out, double x, struct tl_err *err);

#endif
