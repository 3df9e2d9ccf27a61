/* Large memory of the cpu device: zeroed, and on huge pages where the system gives them, since a page fault
 * for every 4 KB of a gigabyte costs as much as computing with it. */
#ifndef TL_TENSOR_CPU_MEMORY_H
#define TL_TENSOR_CPU_MEMORY_H

#include <stddef.h>

#include <tiller/err.h>

/* 64-byte aligned, zeroed. NULL: out of memory, TL_DEVICE. Given back with the same number of bytes. */
void *tl_cpu_memory_take(size_t bytes, struct tl_err *err);
void tl_cpu_memory_give(void *memory, size_t bytes);

#endif
