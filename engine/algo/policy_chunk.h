/* Inside of the policy trainer: the samples that go through the network together, with their conditions laid
 * out in rows. */
#ifndef TL_ALGO_POLICY_CHUNK_H
#define TL_ALGO_POLICY_CHUNK_H

#include "algo/policy_trainer.h"

struct tl_policy_chunk {
    struct tl_policy_trainer *t;
    size_t n_real; /* samples of the chunk that count; the others repeat the first. 0: all */
    float *context, *text_embeds, *time_ids; /* rows; owns */
    float *times;                            /* [batch] */
    float *m;                                /* [batch][dim]: scratch for the caller */
    struct tl_condition condition;
};

bool tl_policy_chunk_init(struct tl_policy_chunk *chunk, struct tl_policy_trainer *t, struct tl_err *err);
void tl_policy_chunk_finish(struct tl_policy_chunk *chunk);

/* Conditions of samples first, first + 1, ... */
bool tl_policy_chunk_condition(struct tl_policy_chunk *chunk, const struct tl_policy_conditions *conditions,
                               size_t first, struct tl_err *err);

/* x [batch][dim] -> out [batch][dim] at step k, under the present policy or the reference. */
bool tl_policy_chunk_run(struct tl_policy_chunk *chunk, const float *x, size_t k, bool reference, float *out,
                         struct tl_err *err);

/* Adds the gradient of sum(d_m * m). */
bool tl_policy_chunk_backward(struct tl_policy_chunk *chunk, const float *x, size_t k, const float *d_m,
                              struct tl_err *err);

/* The network's output in step `step` of sample `sample` of the draw: [dim]. */
float *tl_policy_drawn_output(const struct tl_policy_trainer *t, size_t step, size_t sample);

#endif
