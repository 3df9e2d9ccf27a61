/* AdamW over whole stores, with the gradient's norm and clipping; and the exponential moving average of a
 * store.
 *
 * Decoupled weight decay (Loshchilov and Hutter): p -= lr * wd * p, then the Adam step with bias correction,
 * as torch.optim.AdamW. Everything runs on the device of the stores; only the norm and eight numbers cross.
 */
#ifndef TL_NN_OPTIMIZER_H
#define TL_NN_OPTIMIZER_H

#include "tensor/exec.h"

struct tl_adamw_params {
    double lr, beta1, beta2, eps, weight_decay;
    double clip_norm; /* > 0: gradients are scaled down to this norm; 0: not clipped */
};

struct tl_optimizer {
    struct tl_device *device;
    struct tl_store *m, *v; /* moments; owns */
    uint64_t step;          /* updates made */
    struct tl_exec *norm, *update, *average;
};

/* For stores of this layout (borrowed). */
struct tl_optimizer *tl_optimizer_create(struct tl_device *device, const struct tl_store_layout *layout,
                                         struct tl_err *err);
void tl_optimizer_destroy(struct tl_optimizer **optimizer);

/* L2 norm of a store of this layout: of gradients, before clipping. */
bool tl_optimizer_norm(struct tl_optimizer *o, struct tl_store *grads, double *out_norm, struct tl_err *err);

/* One update: norm, clip, AdamW, gradients zeroed. `scale` multiplies the gradients first (1 / number of
 * accumulated batches). A non-finite norm changes nothing but the zeroing and gives *out_skipped true.
 * out_norm is after `scale`, before clipping. */
bool tl_optimizer_step(struct tl_optimizer *o, const struct tl_adamw_params *params, struct tl_store *weights,
                       struct tl_store *grads, double scale, double *out_norm, bool *out_skipped,
                       struct tl_err *err);

/* ema += (1 - decay) * (weights - ema) */
bool tl_optimizer_average(struct tl_optimizer *o, struct tl_store *ema, struct tl_store *weights,
                          double decay, struct tl_err *err);

#endif
