/* A method that trains from data, as the training loop sees it: something that adds the gradient of a batch
 * to a store.
 *
 * The loop (train_loop.h) owns optimiser, schedule, accumulation, EMA, checkpoints and progress; a task owns
 * model, data and graphs. An update is made from `parts` batches; batch `part` of update `step` is a function
 * of (seed, step, part) alone, so that a resumed run goes on with the same bytes. */
#ifndef TL_RUN_TASK_H
#define TL_RUN_TASK_H

#include "tensor/store.h"

enum { TL_TASK_METRICS = 8 };

struct tl_task {
    void *self;
    struct tl_store *weights, *grads;         /* what is trained; borrowed from self */
    struct tl_store *aux_weights, *aux_grads; /* a head that is dropped at the end, or NULL */
    const char *metrics[TL_TASK_METRICS];     /* names of what gradient() reports; the first is the loss */
    bool (*gradient)(void *self, uint64_t step, uint32_t part, double out[TL_TASK_METRICS],
                     struct tl_err *err);
    /* On pictures that are not trained on, with these weights: the same weights give the same numbers. NULL:
     * there are none. `validation` names what it reports; the first is the loss. */
    const char *validation[TL_TASK_METRICS];
    bool (*validate)(void *self, struct tl_store *weights, double out[TL_TASK_METRICS], struct tl_err *err);
    /* Pictures of fixed prompts and seeds with these weights, into a folder that is there. NULL: none.
     * validate() and sample() end with TL_INTERRUPTED where they are asked to stop: they are called again
     * when the run goes on. */
    bool (*sample)(void *self, struct tl_store *weights, const char *folder, struct tl_err *err);
    /* Writes what was trained with these weights (the trained ones or their EMA) into the run's folder: a
     * model/ that opens again, or a lora/. With every checkpoint too where it is small. */
    bool (*save)(void *self, struct tl_store *weights, const char *run_folder, struct tl_err *err);
    bool saves_often;
    size_t n_pictures, n_skipped; /* of the data: found, and left out because they cannot be used */
    size_t n_strays;              /* rows of metadata that name no picture */
    void (*destroy)(void *self);
};

/* Shuffled passes over n visits: the item at a position, each pass a new permutation. `order` is scratch for
 * n numbers that keeps the current pass. */
struct tl_task_order {
    uint64_t seed;
    uint32_t n;
    uint64_t pass;
    uint32_t *order; /* owns */
    uint32_t *item;  /* of each visit; owns; NULL: visit i is item i */
};
bool tl_task_order_init(struct tl_task_order *o, uint64_t seed, uint32_t n, struct tl_err *err);
/* Over a data set's pictures, each as often as it repeats. */
struct tl_dataset;
bool tl_task_order_of(struct tl_task_order *o, uint64_t seed, const struct tl_dataset *data,
                      struct tl_err *err);
void tl_task_order_finish(struct tl_task_order *o);
uint32_t tl_task_order_item(struct tl_task_order *o, uint64_t position);

#endif
