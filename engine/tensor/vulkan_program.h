/* Inside of the vulkan device: a planned graph, recorded once for each combination of memories that it is
 * bound to. */
#ifndef TL_TENSOR_VULKAN_PROGRAM_H
#define TL_TENSOR_VULKAN_PROGRAM_H

#include "gpu/gpu_buffer.h"
#include "gpu/gpu_command.h"
#include "tensor/device.h"

enum { TL_VULKAN_LABELS = 64, TL_VULKAN_RECORDINGS = 8 };

struct tl_vulkan_device {
    struct tl_device head;
    struct tl_gpu *gpu;
    struct tl_program *programs; /* all that live, linked; borrowed */
    uint64_t n_memories;         /* ever made: their numbers */
    struct tl_memory *gone;      /* owns; see device_vulkan.c */
    int64_t limit;               /* elements that a storage binding may have */
    bool timed;
    struct tl_gpu_time times[TL_VULKAN_LABELS];
    size_t n_times;
};

struct tl_memory {
    struct tl_gpu_buffer *buffer;
    size_t bytes;
    uint64_t number;        /* from 1 on, never used again */
    struct tl_memory *next; /* among those that are gone */
};

/* Commands for one combination of memories. */
struct tl_vulkan_recording {
    struct tl_gpu_program *commands; /* owns; NULL: free place */
    uint64_t sets[TL_N_SETS];        /* numbers of the memories; 0: none */
    uint64_t offsets;                /* hash of the params' places in them */
    uint64_t used_at;
    bool timed;
};

struct tl_program {
    struct tl_vulkan_device *device; /* borrows */
    struct tl_program *next;
    const struct tl_graph *g;
    const struct tl_plan *plan;
    struct tl_gpu_buffer *arena, *scratch; /* owns; scratch may be NULL */
    uint64_t scratch_bytes;
    bool *wanted; /* per value: somebody reads it */
    struct tl_vulkan_recording recordings[TL_VULKAN_RECORDINGS];
    struct tl_vulkan_recording *now; /* what the next run replays */
    uint64_t clock;
};

struct tl_program *tl_vulkan_program_create(struct tl_device *d, const struct tl_graph *g,
                                            const struct tl_plan *plan, struct tl_err *err);
void tl_vulkan_program_destroy(struct tl_device *d, struct tl_program *p);
bool tl_vulkan_program_bind(struct tl_device *d, struct tl_program *p,
                            struct tl_memory *const sets[TL_N_SETS], const size_t *param_offset,
                            struct tl_err *err);
bool tl_vulkan_program_scratch(struct tl_device *d, const struct tl_graph *g, const struct tl_plan *plan,
                               size_t *out_bytes, struct tl_err *err);
bool tl_vulkan_program_run(struct tl_device *d, struct tl_program *p, struct tl_err *err);
bool tl_vulkan_program_write(struct tl_device *d, struct tl_program *p, tl_val v, const void *data,
                             struct tl_err *err);
bool tl_vulkan_program_read(struct tl_device *d, struct tl_program *p, tl_val v, void *data,
                            struct tl_err *err);
/* A memory is about to go: recordings that use it go too. */
void tl_vulkan_program_forget(struct tl_program *p, uint64_t memory);

/* Every word of the slice becomes 0, now. */
bool tl_vulkan_zero(struct tl_vulkan_device *d, struct tl_gpu_slice slice, struct tl_err *err);

#endif
