#include "tensor/cpu_memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 64, HUGE = 2 << 20 };

/* Mapped memory is whole huge pages, in number; the kernel chooses where it begins. */
static size_t mapped_size(size_t bytes)
{
    return bytes < 2 * HUGE || bytes > SIZE_MAX - HUGE ? 0 : (bytes + HUGE - 1) / HUGE * HUGE;
}

void *tl_cpu_memory_take(size_t bytes, struct tl_err *err)
{
    size_t mapped = mapped_size(bytes), size = bytes ? (bytes + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    void *p = NULL;
    if (mapped) {
        p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) p = NULL;
        if (p) (void)madvise(p, mapped, MADV_HUGEPAGE);
    } else if (bytes <= SIZE_MAX - HUGE) {
        p = aligned_alloc(ALIGN, size);
        if (p) memset(p, 0, size);
    }
    if (!p)
        tl_err_set(err, TL_DEVICE, "out of memory: %.1f MB wanted; try a smaller batch or --size",
                   (double)bytes / 1e6);
    return p;
}

void tl_cpu_memory_give(void *memory, size_t bytes)
{
    size_t mapped = mapped_size(bytes);
    if (!memory) return;
    if (mapped)
        munmap(memory, mapped);
    else
        free(memory);
}
