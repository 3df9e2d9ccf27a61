/* A method that trains from data, as the training loop sees it: something that adds the gradient of batch
 * number k to a store.
 *
 * The loop (train_loop.h) owns optimiser, schedule, EMA, checkpoints and progress; a task owns model, data
 * and graphs. Batch k is a function of (seed, k) alone, so that a resumed run goes on with the same bytes. */
#ifndef TL_RUN_TASK_H
#define TL_RUN_TASK_H

#include "tensor/store.h"

enum { TL_TASK_METRICS = 8 };

struct tl_task {
    void *self;
    struct tl_store *weights, *grads;         /* what is trained; borrowed from self */
    struct tl_store *aux_weights, *aux_grads; /* a head that is dropped at the end, or NULL */
    const char *metrics[TL_TASK_METRICS];     /* names of what gradient() reports; the first is the loss */
    uint64_t items_per_step;                  /* pictures a step looks at, for the rate */
    bool (*gradient)(void *self, uint64_t step, double out[TL_TASK_METRICS], struct tl_err *err);
    /* Writes the model with these weights (the trained ones or their EMA) as a folder that opens again. */
    bool (*save)(void *self, struct tl_store *weights, const char *folder, struct tl_err *err);
    void (*destroy)(void *self);
};

/* Shuffled passes over n items: item j of batch `step` of `batch` items, each pass a new permutation. `order`
 * is scratch for n numbers that keeps the current pass; *pass starts at UINT64_MAX. */
struct tl_task_order {
    uint64_t seed;
    uint32_t n;
    uint64_t pass;
    uint32_t *order; /* owns */
};
bool tl_task_order_init(struct tl_task_order *o, uint64_t seed, uint32_t n, struct tl_err *err);
void tl_task_order_finish(struct tl_task_order *o);
uint32_t tl_task_order_item(struct tl_task_order *o, uint64_t position);

#endif
