/* Inside of the cpu device: what a kernel is given. Every op has a plain kernel in float and in double from
 * one source (cpu_plain_*.inc, included by cpu_plain_f32.c and cpu_plain_f64.c); hot ops have a fast float
 * one (cpu_fast_*.c). */
#ifndef TL_TENSOR_CPU_H
#define TL_TENSOR_CPU_H

#include "base/thread.h"
#include "tensor/graph.h"

struct tl_cpu_call {
    const struct tl_node *node;
    const union tl_attr *attr;
    int n_in, n_out;
    const struct tl_shape *in_shape[TL_MAX_IN]; /* NULL where the operand is absent */
    const struct tl_shape *out_shape[TL_MAX_OUT];
    const void *in[TL_MAX_IN]; /* NULL where absent; float or double, int32_t for I32, uint16_t for halves */
    void *out[TL_MAX_OUT];     /* in-place ops: equals the storage of in[0] */
    bool accumulate;           /* add into out[0] instead of writing it (gemm, conv2d_dw, reduce_sum, ...: see
                                  tl_cpu_can_accumulate) */
    struct tl_pool *pool;
    struct tl_cpu_cache
        *cache; /* this node's slot for prepared primitives and scratch; owned by the program */
};

typedef bool (*tl_cpu_kernel)(const struct tl_cpu_call *call, struct tl_err *err);

/* Indexed by enum tl_op; fast has NULL where the plain one serves. */
extern const tl_cpu_kernel tl_cpu_plain_f32[TL_N_OPS], tl_cpu_plain_f64[TL_N_OPS], tl_cpu_fast_f32[TL_N_OPS];

/* A node's memory: scratch that grows and is lent by the device for one run of the kernel (nothing in it
 * outlives the run), and prepared objects with their destructor, which are kept. */
struct tl_cpu_cache {
    void *scratch;
    size_t scratch_bytes;
    void *prepared;
    void (*destroy)(void *prepared);
    bool asked; /* the kernel is called to learn its scratch: asking for it notes the size and gives none */
};
/* 64-byte aligned; holds anything at first, and contents are lost when it grows. NULL: the kernel ends,
 * having touched no operand yet. */
void *tl_cpu_scratch(const struct tl_cpu_call *call, size_t bytes, struct tl_err *err);

#endif
