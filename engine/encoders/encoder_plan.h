/* A network planned for a fixed number of rows, so that a row does not depend on its company: short batches
 * are padded with zeros. Not thread-safe. */
#ifndef TL_ENCODERS_ENCODER_PLAN_H
#define TL_ENCODERS_ENCODER_PLAN_H

#include "tensor/exec.h"

/* Zeroed is empty. */
struct tl_encoder_plan {
    struct tl_exec *exec;
    size_t rows, n_in, n_out; /* elements of a row */
    void *in;                 /* of 4-byte elements, as `out` */
    float *out;
};

/* The graph has an F32 or I32 input "in" and an output "out", both with the rows as first axis; its other
 * inputs are the caller's to write into `exec`. Takes it over, also where it has failed. Store borrowed. */
bool tl_encoder_plan_init(struct tl_encoder_plan *plan, struct tl_graph **g, struct tl_store *store,
                          struct tl_err *err);
void tl_encoder_plan_finish(struct tl_encoder_plan *plan);

/* x [n][n_in] to out [n][n_out], any n. */
bool tl_encoder_plan_run(struct tl_encoder_plan *plan, const void *x, size_t n, float *out,
                         struct tl_err *err);

#endif
