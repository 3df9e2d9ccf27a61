/* Reads from a SPIR-V module what a pipeline layout needs: bindings with their kind and access, push size. */
#ifndef TL_GPU_REFLECT_H
#define TL_GPU_REFLECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

enum { TL_GPU_REFLECT_MAX = 12 };

enum tl_gpu_bind_kind { TL_GPU_BIND_NONE, TL_GPU_BIND_STORAGE, TL_GPU_BIND_TEXEL };

struct tl_gpu_reflection {
    uint32_t n_bind; /* highest binding + 1; in between some may be unused (NONE): the optimiser drops them */
    enum tl_gpu_bind_kind kind[TL_GPU_REFLECT_MAX];
    bool reads[TL_GPU_REFLECT_MAX], writes[TL_GPU_REFLECT_MAX];
    uint32_t push_bytes; /* end of the last push constant member */
};

/* Every index is checked: a damaged module is an error, never a crash. */
bool tl_gpu_reflect(const uint32_t *words, size_t n_words, struct tl_gpu_reflection *out, struct tl_err *err);

#endif
