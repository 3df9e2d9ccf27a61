#include "run/task.h"

#include <stdlib.h>

#include "base/rng.h"
#include "run/dataset.h"

bool tl_task_order_init(struct tl_task_order *o, uint64_t seed, uint32_t n, struct tl_err *err)
{
    *o = (struct tl_task_order){
        .seed = seed, .n = n, .pass = UINT64_MAX, .order = malloc(((size_t)n + 1) * sizeof *o->order)};
    return o->order ? true : tl_err_set(err, TL_FAIL, "out of memory");
}

bool tl_task_order_of(struct tl_task_order *o, uint64_t seed, const struct tl_dataset *data,
                      struct tl_err *err)
{
    uint64_t visits = 0;
    for (int i = 0; i < data->n; i++) visits += (uint64_t)tl_dataset_repeats(data, i);
    if (visits > INT32_MAX)
        return tl_err_set(err, TL_BAD_INPUT, "a pass of %llu pictures, repeats included, is too long",
                          (unsigned long long)visits);
    if (!tl_task_order_init(o, seed, (uint32_t)visits, err)) return false;
    if (visits == (uint64_t)data->n) return true;
    o->item = malloc((size_t)visits * sizeof *o->item);
    if (!o->item) return tl_err_set(err, TL_FAIL, "out of memory");
    for (int i = 0, k = 0; i < data->n; i++)
        for (int r = tl_dataset_repeats(data, i); r > 0; r--) o->item[k++] = (uint32_t)i;
    return true;
}

void tl_task_order_finish(struct tl_task_order *o)
{
    free(o->item);
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
    uint32_t visit = o->order[position % o->n];
    return o->item ? o->item[visit] : visit;
}
