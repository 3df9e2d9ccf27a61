#include "run/task.h"

#include <stdlib.h>

#include "base/rng.h"

bool tl_task_order_init(struct tl_task_order *o, uint64_t seed, uint32_t n, struct tl_err *err)
{
    *o = (struct tl_task_order){
        .seed = seed, .n = n, .pass = UINT64_MAX, .order = malloc(((size_t)n + 1) * sizeof *o->order)};
    return o->order ? true : tl_err_set(err, TL_FAIL, "out of memory");
}

void tl_task_order_finish(struct tl_task_order *o)
{
    free(o->order);
    *o = (struct tl_task_order){0};
}

uint32_t tl_task_order_item(struct tl_task_order *o, uint64_t position)
{
    uint64_t pass = position / o->n;
    if (pass != o->pass) {
        tl_rng_permute(
            (struct tl_rng_key){.seed = o->seed, .stream = TL_RNG_DATA_ORDER, .step = (uint32_t)pass}, o->n,
            o->order);
        o->pass = pass;
    }
    return o->order[position % o->n];
}
