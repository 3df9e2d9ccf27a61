/* Aspect ratio bucketing as kohya's sd-scripts do it (make_bucket_resolutions, BucketManager.select_bucket).
 *
 * Sizes on offer: for every width from half to twice area_side in steps, the largest height in that range with
 * width * height <= area_side^2, if there is one; each also lying on its side; and the square. A
 * picture goes to its own size if that is on offer, else to the size of nearest width / height (the first in
 * order of width, then height, of equally near ones). With no_upscale there is no list: a picture of more
 * than area_side^2 pixels is thought shrunk to that area with one side a multiple of the step, and what it
 * gets is that size, or its own, with both sides cut down to multiples of the step. */
#ifndef TL_RUN_DATASET_BUCKETS_H
#define TL_RUN_DATASET_BUCKETS_H

#include "run/dataset.h"

struct tl_size {
    int width, height;
};

struct tl_bucket_rule {
    int area_side, step;
    bool no_upscale;
    struct tl_size *sizes; /* by width, then height; owns; none with no_upscale */
    int n;
};

/* From params of TL_FIT_BUCKET; TL_USAGE where they offer nothing. */
bool tl_bucket_rule_init(struct tl_bucket_rule *rule, const struct tl_dataset_params *params,
                         struct tl_err *err);
void tl_bucket_rule_finish(struct tl_bucket_rule *rule);

/* The size for a picture; {0, 0} for one that is smaller than a step (no_upscale only). */
struct tl_size tl_bucket_rule_pick(const struct tl_bucket_rule *rule, int width, int height);

#endif
