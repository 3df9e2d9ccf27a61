#include "gpu/gpu_hazard.h"

#include <stdlib.h>
#include <string.h>

void tl_gpu_hazard_finish(struct tl_gpu_hazard *h)
{
    free(h->list);
    *h = (struct tl_gpu_hazard){0};
}

void tl_gpu_hazard_clear(struct tl_gpu_hazard *h)
{
    h->n = 0;
}

static bool overlap(const struct tl_gpu_access *a, const struct tl_gpu_access *b)
{
    return a->buffer == b->buffer && a->begin < b->end && b->begin < a->end && (a->write || b->write);
}

bool tl_gpu_hazard_clash(const struct tl_gpu_hazard *h, const struct tl_gpu_access *accesses, size_t n)
{
    for (size_t i = 0; i < h->n; i++)
        for (size_t j = 0; j < n; j++)
            if (overlap(&h->list[i], &accesses[j])) return true;
    return false;
}

bool tl_gpu_hazard_add(struct tl_gpu_hazard *h, const struct tl_gpu_access *accesses, size_t n)
{
    if (h->n + n > h->cap) {
        size_t cap = 2 * h->cap + n + 32;
        struct tl_gpu_access *list = realloc(h->list, cap * sizeof *list);
        if (!list) return false;
        h->list = list;
        h->cap = cap;
    }
    memcpy(h->list + h->n, accesses, n * sizeof *accesses);
    h->n += n;
    return true;
}
