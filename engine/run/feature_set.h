/* A set that is measured, in every form that it may come in: a folder, a list of files or one file (encoded
 * here), an .npy of rows (`tiller embed`, or anybody's), an .npz with mu and sigma (`tiller stats`,
 * pytorch-fid). */
#ifndef TL_RUN_FEATURE_SET_H
#define TL_RUN_FEATURE_SET_H

#include "base/arena.h"
#include "io/folder.h"
#include "io/json.h"
#include "metrics/moments.h"
#include "run/embedder.h"

enum tl_feature_source { TL_FEATURES_OF_FILES, TL_FEATURES_OF_ROWS, TL_FEATURES_OF_STATISTICS };

/* By what the rows were made; NULL where a file does not say. Strings live as long as the set, or the
 * embedder. */
struct tl_feature_origin {
    const char *encoder, *sha256, *settings;
    const char *config; /* hash of a model folder's configuration */
    const char *dtype;  /* of the weights; NULL of encoders without */
    const char *device; /* "host" of encoders that need none */
};

struct tl_feature_skip {
    const char *file, *reason;
};

/* A zeroed struct may be finished. */
struct tl_feature_set {
    const char *path; /* borrowed */
    enum tl_feature_source source;
    struct tl_arena arena;
    struct tl_folder folder;       /* of files */
    struct tl_feature_file *files; /* [n_files], in byte order of their names */
    size_t n_files;
    struct tl_features features; /* the files that could be used, or the rows; empty of statistics */
    float *x;                    /* owns */
    size_t *first;               /* owns */
    const char **names;          /* [features.n_items]; NULL where rows have no names */
    struct tl_gaussian gaussian; /* of statistics */
    struct tl_feature_origin origin;
    const struct tl_feature_skip *skipped; /* files that were left out, and rows of metadata without a file */
    size_t n_skipped;
};

/* The form that the path has, by its extension. */
enum tl_feature_source tl_feature_source_of(const char *path);

/* Finds the files, or reads what is there instead. With `strict` the first thing in trouble fails.
 * TL_BAD_INPUT. */
bool tl_feature_set_open(struct tl_feature_set *set, const char *path, enum tl_modality modality, bool strict,
                         struct tl_err *err);
/* Encodes the files of a set that has files; nothing to do for others. TL_BAD_INPUT where none can be used.
 */
bool tl_feature_set_encode(struct tl_feature_set *set, const struct tl_embedder *embedder,
                           struct tl_err *err);
void tl_feature_set_finish(struct tl_feature_set *set);

/* ---- feature_set_files.c ---- */

/* Rows as `tiller embed` writes them: PATH (.npy, F32 [n, dim]) and PATH.json, which says whose they are. */
bool tl_feature_set_write_rows(const struct tl_feature_set *set, const char *path, struct tl_err *err);
/* Mean and covariance as pytorch-fid writes them, and beside them n and what is known of the encoder. */
bool tl_feature_set_write_statistics(const struct tl_gaussian *g, const struct tl_feature_origin *origin,
                                     const char *path, struct tl_err *err);

/* [{folder, file, reason}] */
void tl_feature_set_list_skipped(const struct tl_feature_set *set, cJSON *array);

/* Rows of an .npy, and of its .json where there is one that fits. */
bool tl_feature_set_read_rows(struct tl_feature_set *set, struct tl_err *err);
bool tl_feature_set_read_statistics(struct tl_feature_set *set, struct tl_err *err);

#endif
