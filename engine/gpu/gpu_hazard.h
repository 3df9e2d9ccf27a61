/* Which byte ranges have been touched since the last barrier, and whether a new command clashes with them. */
#ifndef TL_GPU_HAZARD_H
#define TL_GPU_HAZARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tl_gpu_access {
    const void *buffer; /* identity only */
    uint64_t begin, end;
    bool write; /* false: read only */
};

struct tl_gpu_hazard {
    struct tl_gpu_access *list; /* owns */
    size_t n, cap;
};

void tl_gpu_hazard_finish(struct tl_gpu_hazard *h);

/* True when one of the accesses overlaps an earlier one and either of the two writes. */
bool tl_gpu_hazard_clash(const struct tl_gpu_hazard *h, const struct tl_gpu_access *accesses, size_t n);

/* Notes the accesses of a command. False: out of memory. */
bool tl_gpu_hazard_add(struct tl_gpu_hazard *h, const struct tl_gpu_access *accesses, size_t n);

/* After a barrier nothing is pending. */
void tl_gpu_hazard_clear(struct tl_gpu_hazard *h);

#endif
