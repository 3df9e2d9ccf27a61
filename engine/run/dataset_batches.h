/* Which pictures batch number k holds: a function of (data set, part, batch size, seed, k) alone, so that a
 * resumed run goes on exactly.
 *
 * A pass visits every picture of the part as often as it repeats. Within a pass the visits of each bucket are
 * permuted and cut into batches; a bucket's last batch, if short, is filled from the start of the same
 * permutation, so that every batch has the same size; then the batches of all buckets are permuted among each
 * other. Held-out pictures come once each, in order, and every pass is the same. */
#ifndef TL_RUN_DATASET_BATCHES_H
#define TL_RUN_DATASET_BATCHES_H

#include "run/dataset.h"

enum tl_part { TL_PART_TRAIN, TL_PART_HELD_OUT };

struct tl_batch {
    const struct tl_bucket *bucket;
    const int *pictures; /* `size` of them; valid until the next call */
    int n_own;           /* the first of them are this batch's visits, the rest fill it up */
    uint64_t pass;
};

struct tl_batches {
    const struct tl_dataset *data; /* borrowed */
    uint64_t seed;
    enum tl_part part;
    int size;
    uint64_t per_pass; /* batches; 0: the part is empty */
    uint64_t visits;   /* of pictures in a pass */
    /* scratch, owned */
    struct tl_visits *visits_of; /* a bucket each */
    uint32_t *order;             /* of the batches in the current pass */
    uint64_t pass;
    int *pictures;
};

bool tl_batches_init(struct tl_batches *b, const struct tl_dataset *data, enum tl_part part, int size,
                     uint64_t seed, struct tl_err *err);
void tl_batches_finish(struct tl_batches *b);

/* per_pass must not be 0. */
struct tl_batch tl_batches_get(struct tl_batches *b, uint64_t number);

#endif
