/* Measures of folders: what `tiller score` does.
 *
 * METRIC is a row of the table of metrics (tl_metric_at: distances between two sets, diversity of one), or a
 * reward of single items (tiller/reward.h), whose mean over the files is told, or a reward of a whole set.
 *
 * A set is a folder (subfolders too), a list file, one file, an .npy of embeddings (`tiller embed`, or
 * anybody's float matrix), or, for Frechet distances, an .npz with mu and sigma (`tiller stats`,
 * pytorch-fid). Files that cannot be used are skipped and listed; the value is that of the others alone, to
 * the last bit. It does not depend on threads, on batches or on the order in which files are found.
 *
 * For rewards that read prompts, files are paired with them by the folder's metadata.jsonl (`file_name` with
 * `text`, `prompt` or `caption`) or a text file of the same stem; or by a file of prompts, in the order of
 * the files' names: a prompt a file, or each prompt for the same number of files that follow one another, as
 * `tiller sample` numbers them. */
#ifndef TILLER_SCORE_H
#define TILLER_SCORE_H

#include <stddef.h>

#include <tiller/job.h>
#include <tiller/option.h>

enum tl_metric_kind {
    TL_METRIC_TWO_SETS, /* a distance between a reference and what is evaluated */
    TL_METRIC_ONE_SET,  /* a number for a set as a whole */
    TL_METRIC_OF_PAIRS, /* mean over pairs of files that have the same name in two folders */
};
const char *tl_metric_kind_name(enum tl_metric_kind kind); /* "two sets", ... */

/* A way of computing the metric: the right one, or a tool's. */
struct tl_metric_flavour {
    const char *name;
    const char *help; /* one clause; says where the tool has a bug */
};

struct tl_metric_info {
    const char *name;
    const char *help;     /* one clause */
    const char *modality; /* "image", "audio", "any": what the encoder must be of */
    enum tl_metric_kind kind;
    const char *encoder;        /* the default; NULL: it must be named */
    const char *encoder_advice; /* which ones people use */
    const char *interval;       /* how the 95 % interval is found */
    bool takes_statistics;      /* an .npz serves */
};

/* Row i of the table; NULL behind the last. */
const struct tl_metric_info *tl_metric_at(size_t i);
/* Flavour k of row i, the default first; NULL behind the last. */
const struct tl_metric_flavour *tl_metric_flavour_at(size_t i, size_t k);

struct tl_score_params {
    const char *metric; /* a row's name, or NAME[:ARG][@WEIGHT] of a reward */
    const char *const
        *folders; /* [n_folders]. Two sets: the reference, then one or more that are evaluated */
    size_t n_folders;
    const char *encoder; /* NAME:ARG or a model's folder; NULL: the row's default, or said in metric */
    const char *flavour; /* NULL: the first */
    const char *prompts; /* file: one a line, or JSONL; NULL: the folder's own */
    const char
        *csv; /* file to write: a row a file of metrics that are means over files, else a row a value */
    const char *indiv; /* Frechet distances: file to write, each file's own distance to the reference */
    const char *cache; /* folder of embeddings; NULL: the user's */
    double order;      /* vendi; 0: 1 */
    double bandwidth;  /* kad; 0: found */
    int dtype;         /* encoders' weights are kept in: 0 f32, 1 f16, 2 bf16 */
    int workers;       /* processes that decode; 0: one a core */
    bool inf;          /* Frechet distances: extrapolated to infinitely many rows */
    bool no_interval;  /* the value alone */
    bool no_cache;
    bool strict; /* a file that would be skipped is the job's failure, TL_BAD_INPUT */
    bool json;   /* the report as JSON */
};

extern const struct tl_option tl_score_options[]; /* encoder to strict */

/* A report that the caller frees. The JSON form is an array of objects, one a value: metric, value, n,
 * interval [low, high] (nulls where there are too few files for one), interval_method, seed (null where
 * nothing is drawn; a string beyond 2^53), error (null, or why this set has no value), encoder (null
 * without), encoder_sha256 (null without), flavour (null where there is one only), settings, sets [{path, n,
 * rows}], skipped [{folder, file, reason}], warnings; of rewards also weight and range [low, high]; of an
 * ensemble also members [{reward, value, encoder, encoder_sha256, flavour, range}], whose scores are combined
 * as they are here, for there is no untouched model to standardise them by.
 *
 * Of several evaluated sets one that cannot be used (TL_BAD_INPUT, TL_NUMERIC) has a row with value null and an
 * error, unless `strict`; all of them are the job's failure. What would be overwritten and is read is TL_USAGE.
 *
 * Where only the table of --csv could not be written, the report is there and err->code is set all the same;
 * otherwise a report means that err->code is TL_OK.
 *
 * *out_whole: false where files were skipped, or a set has no value. Codes: TL_USAGE; TL_BAD_INPUT also where nothing could be
 * scored; TL_NUMERIC for a score that is not finite; TL_OUTPUT, TL_DEVICE, TL_INTERRUPTED. */
char *tl_score(const struct tl_score_params *params, const struct tl_job *job, bool *out_whole,
               struct tl_err *err);

#endif
