/* What turns a folder's files into rows: an encoder with its device, the workers that decode, the cache. */
#ifndef TL_RUN_EMBEDDER_H
#define TL_RUN_EMBEDDER_H

#include <tiller/job.h>

#include "run/feature_pipe.h"

struct tl_embedder_params {
    const struct tl_job *job;
    const char *spec; /* of the encoder */
    enum tl_dtype dtype;
    int n_workers;     /* that decode; 0: as many as cores */
    bool no_cache;     /* neither reads nor writes embeddings on disk */
    const char *cache; /* folder; NULL: the user's */
    bool strict;
    size_t batch; /* 0: the encoder's own */
};

struct tl_embedder {
    struct tl_embedder_params params;
    struct tl_decode_pool *pool;
    struct tl_device *device; /* NULL where the encoder needs none */
    struct tl_encoder *encoder;
    struct tl_feature_cache *cache;
};

/* Starts the workers before anything else. On failure the struct is empty. */
bool tl_embedder_open(struct tl_embedder *e, const struct tl_embedder_params *params, struct tl_err *err);
/* Where it computes, by name. */
const char *tl_embedder_device(const struct tl_embedder *e);
void tl_embedder_close(struct tl_embedder *e);

#endif
