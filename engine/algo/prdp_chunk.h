/* Inside of the PRDP trainer: the samples that go through the network together, with their conditions laid
 * out in rows. */
#ifndef TL_ALGO_PRDP_CHUNK_H
#define TL_ALGO_PRDP_CHUNK_H

#include "algo/prdp_trainer.h"

struct tl_prdp_chunk {
    struct tl_prdp_trainer *t;
    size_t n_real; /* samples of the chunk that count; the others repeat the first. 0: all */
    float *context, *text_embeds, *time_ids; /* rows; owns */
    float *times;                            /* [batch] */
    float *m;                                /* [batch][dim]: scratch for the caller */
    struct tl_condition condition;
};

bool tl_prdp_chunk_init(struct tl_prdp_chunk *chunk, struct tl_prdp_trainer *t, struct tl_err *err);
void tl_prdp_chunk_finish(struct tl_prdp_chunk *chunk);

/* Conditions of samples first, first + 1, ... */
bool tl_prdp_chunk_condition(struct tl_prdp_chunk *chunk, const struct tl_prdp_conditions *conditions,
                             size_t first, struct tl_err *err);

/* x [batch][dim] -> out [batch][dim] at step k, under the present policy or the reference. */
bool tl_prdp_chunk_run(struct tl_prdp_chunk *chunk, const float *x, size_t k, bool reference, float *out,
                       struct tl_err *err);

/* Adds the gradient of sum(d_m * m). */
bool tl_prdp_chunk_backward(struct tl_prdp_chunk *chunk, const float *x, size_t k, const float *d_m,
                            struct tl_err *err);

#endif
