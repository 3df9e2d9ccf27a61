/* A list of decode jobs and what came of each. */
#ifndef TL_TESTS_SUPPORT_DECODE_H
#define TL_TESTS_SUPPORT_DECODE_H

#include "io/decode_pool.h"

struct decode_got {
    struct tl_image image;
    struct tl_err err;
};

struct decode_case {
    struct tl_decode_job *jobs; /* own their paths */
    struct decode_got *got;
    size_t n, n_got;
};

struct decode_case *decode_case_new(size_t most);
void decode_case_add(struct decode_case *c, const char *path, enum tl_decode_kind kind, int width,
                     int height);
/* Opens a pool, runs all jobs, closes it; checks the order, and that no process or descriptor is left. */
void decode_case_run(struct decode_case *c, const struct tl_decode_params *params);
void decode_case_free(struct decode_case *c);

/* Job i gave this picture (only its size where px is NULL), or this error. */
void decode_case_is(const struct decode_case *c, size_t i, const struct tl_image *wanted);
void decode_case_fails(const struct decode_case *c, size_t i, const char *part);

#endif
