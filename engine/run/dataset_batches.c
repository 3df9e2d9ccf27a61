#include "run/dataset_batches.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* A bucket's visits in a pass: pictures, each as often as it comes, and their order in the current pass. */
struct tl_visits {
    int bucket;
    uint32_t n;
    int *pictures;   /* [n] */
    uint32_t *order; /* [n] */
    uint32_t first_batch, n_batches;
};

/* Of the key's `sample`: a bucket's permutation has the bucket's number, that of the batches this. */
enum { BATCH_ORDER = INT32_MAX };

static int times(const struct tl_batches *b, int picture)
{
    if (b->data->held_out[picture] != (b->part == TL_PART_HELD_OUT)) return 0;
    return b->part == TL_PART_HELD_OUT ? 1 : tl_dataset_repeats(b->data, picture);
}

static bool fill_visits(struct tl_batches *b, int bucket, struct tl_err *err)
{
    const struct tl_bucket *k = &b->data->buckets[bucket];
    struct tl_visits *v = &b->visits_of[bucket];
    uint64_t n = 0;
    v->bucket = bucket;
    for (int i = 0; i < k->n; i++) n += (uint64_t)times(b, k->pictures[i]);
    if (n > INT32_MAX || b->per_pass + n > INT32_MAX)
        return tl_err_set(err, TL_USAGE, "more than %d visits of pictures in a pass; repeat them less often",
                          INT32_MAX);
    v->pictures = malloc((size_t)(n + 1) * sizeof *v->pictures);
    v->order = malloc((size_t)(n + 1) * sizeof *v->order);
    if (!v->pictures || !v->order) return tl_err_set(err, TL_FAIL, "out of memory");
    for (int i = 0; i < k->n; i++)
        for (int r = times(b, k->pictures[i]); r > 0; r--) v->pictures[v->n++] = k->pictures[i];
    for (uint32_t i = 0; i < v->n; i++) v->order[i] = i;
    v->first_batch = (uint32_t)b->per_pass;
    v->n_batches = (v->n + (uint32_t)b->size - 1) / (uint32_t)b->size;
    b->per_pass += v->n_batches;
    b->visits += v->n;
    return true;
}

bool tl_batches_init(struct tl_batches *b, const struct tl_dataset *data, enum tl_part part, int size,
                     uint64_t seed, struct tl_err *err)
{
    *b = (struct tl_batches){.data = data, .seed = seed, .part = part, .size = size, .pass = UINT64_MAX};
    b->visits_of = calloc((size_t)data->n_buckets + 1, sizeof *b->visits_of);
    b->pictures = calloc((size_t)size, sizeof *b->pictures);
    bool ok = (b->visits_of && b->pictures) || tl_err_set(err, TL_FAIL, "out of memory");
    for (int k = 0; ok && k < data->n_buckets; k++) ok = fill_visits(b, k, err);
    if (ok) {
        b->order = malloc((size_t)(b->per_pass + 1) * sizeof *b->order);
        ok = b->order || tl_err_set(err, TL_FAIL, "out of memory");
    }
    for (uint32_t i = 0; ok && i < b->per_pass; i++) b->order[i] = i;
    if (!ok) tl_batches_finish(b);
    return ok;
}

void tl_batches_finish(struct tl_batches *b)
{
    for (int k = 0; b->visits_of && k < b->data->n_buckets; k++) {
        free(b->visits_of[k].pictures);
        free(b->visits_of[k].order);
    }
    free(b->visits_of);
    free(b->order);
    free(b->pictures);
    *b = (struct tl_batches){0};
}

static void begin_pass(struct tl_batches *b, uint64_t pass)
{
    struct tl_rng_key key = {.seed = b->seed, .stream = TL_RNG_DATA_ORDER, .step = (uint32_t)pass};
    b->pass = pass;
    if (b->part == TL_PART_HELD_OUT) return;
    for (int k = 0; k < b->data->n_buckets; k++) {
        key.sample = (uint32_t)k;
        tl_rng_permute(key, b->visits_of[k].n, b->visits_of[k].order);
    }
    key.sample = BATCH_ORDER;
    tl_rng_permute(key, (uint32_t)b->per_pass, b->order);
}

struct tl_batch tl_batches_get(struct tl_batches *b, uint64_t number)
{
    uint64_t pass = number / b->per_pass;
    if (pass != b->pass) begin_pass(b, pass);
    uint32_t at = b->order[number % b->per_pass];
    const struct tl_visits *v = b->visits_of;
    while (at >= v->first_batch + v->n_batches) v++;
    uint32_t first = (at - v->first_batch) * (uint32_t)b->size, left = v->n - first;
    for (uint32_t j = 0; j < (uint32_t)b->size; j++)
        b->pictures[j] = v->pictures[v->order[(first + j) % v->n]];
    return (struct tl_batch){.bucket = &b->data->buckets[v->bucket],
                             .pictures = b->pictures,
                             .n_own = left < (uint32_t)b->size ? (int)left : b->size,
                             .pass = pass};
}
