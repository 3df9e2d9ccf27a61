/* Buffers, and slices of them that kernels bind: as storage, or as texels that a kernel fetches.
 *
 * A slice is a view, it owns nothing. Texel views are made on first use and live with their buffer. Offsets
 * must be multiples of tl_gpu_facts' storage_align (texel_align for texels); 256 always is. */
#ifndef TL_GPU_BUFFER_H
#define TL_GPU_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "gpu/gpu_memory.h"

struct tl_gpu_buffer;

/* What a texel binding fetches; one, or four neighbours. f16 arrives as f32. */
enum tl_gpu_texel { TL_GPU_R32F, TL_GPU_RGBA32F, TL_GPU_R16F, TL_GPU_RGBA16F, TL_GPU_R32I };

struct tl_gpu_slice {
    struct tl_gpu_buffer *buffer; /* borrows */
    uint64_t offset, bytes;
    enum tl_gpu_texel texel; /* how a texel binding sees it; storage bindings ignore this */
};

/* Contents are undefined. bytes > 0; rounded up to a multiple of 16 inside. */
struct tl_gpu_buffer *tl_gpu_buffer_create(struct tl_gpu *gpu, enum tl_gpu_place place, uint64_t bytes,
                                           struct tl_err *err);
/* The device must be done with it (tl_gpu_wait). Accepts empty. */
void tl_gpu_buffer_destroy(struct tl_gpu_buffer **buffer);

uint64_t tl_gpu_buffer_bytes(const struct tl_gpu_buffer *buffer);

/* Host address of a host-visible buffer, else NULL. The caller waits for the device before touching it. */
void *tl_gpu_buffer_mapped(struct tl_gpu_buffer *buffer);

/* Copies between host and device. Both wait for everything submitted before, and are done on return. */
bool tl_gpu_buffer_write(struct tl_gpu_buffer *buffer, uint64_t offset, const void *data, uint64_t bytes,
                         struct tl_err *err);
bool tl_gpu_buffer_read(struct tl_gpu_buffer *buffer, uint64_t offset, void *out, uint64_t bytes,
                        struct tl_err *err);

/* A part of a buffer; bytes 0: to its end. */
struct tl_gpu_slice tl_gpu_slice(struct tl_gpu_buffer *buffer, uint64_t offset, uint64_t bytes);

#endif
