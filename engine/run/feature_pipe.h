/* Files to embeddings: decoded in worker processes, prepared in a reader's thread, encoded on the caller's
 * thread, all at the same time.
 *
 * Rows of a file do not depend on the files beside it, on threads or on the order of work. A file that cannot
 * be used is skipped with its reason. Files whose content is in the cache are neither decoded nor encoded;
 * what was encoded is put there as it comes, so that an interrupted job leaves its work behind. */
#ifndef TL_RUN_FEATURE_PIPE_H
#define TL_RUN_FEATURE_PIPE_H

#include "io/decode_pool.h"
#include "run/feature_cache.h"
#include "run/progress.h"

struct tl_feature_file {
    const char *path, *name; /* borrowed */
    const char *trouble;     /* borrowed; it is known that it cannot be used */
    char *skipped;           /* owns; why it was not: from trouble, decoding or the front end */
    float *rows;             /* [n][dim]; owns */
    size_t n;
};
void tl_feature_files_finish(struct tl_feature_file *files, size_t n);

struct tl_feature_pipe {
    struct tl_decode_pool *pool; /* opened for the encoder's modality */
    struct tl_encoder *encoder;
    struct tl_feature_cache *cache; /* NULL: none */
    bool strict;                    /* the first file that would be skipped is the job's failure */
    size_t batch;                   /* windows of one run; 0: the encoder's own number */
    tl_progress_fn progress;
    void *user;
    const char *phase; /* "encoding ref/" */
};

/* Fills rows and n, or skipped, of each file. All borrowed for the call. */
bool tl_feature_pipe_run(const struct tl_feature_pipe *pipe, struct tl_feature_file *files, size_t n,
                         struct tl_err *err);

/* Opens a pool for files of one modality. Before anything large is in memory, for it forks. */
struct tl_decode_pool *tl_feature_pool_open(enum tl_modality modality, int n_workers, struct tl_err *err);

#endif
