/* The Vulkan device: which ones there are, what each can do, and one opened for work.
 *
 * Nothing here needs Vulkan headers; only engine/gpu does. The loader is opened on first use, so a program
 * that never asks for Vulkan runs where there is none. A context belongs to one thread at a time.
 * Environment: TILLER_VALIDATE=1 turns on the Khronos validation layer (core and synchronisation checks). */
#ifndef TL_GPU_CONTEXT_H
#define TL_GPU_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

struct tl_gpu;

/* One row of what we ask of a device: needs refuse a device that lacks them, wishes choose kernels. */
struct tl_gpu_feature {
    const char *name;
    const char *purpose;
    bool needed;
};

enum tl_gpu_feature_id {
    TL_GPU_HAS_VULKAN_1_2,
    TL_GPU_HAS_COMPUTE_QUEUE,
    TL_GPU_HAS_TIMELINE,
    TL_GPU_HAS_SHUFFLE,
    TL_GPU_HAS_STORAGE_16,
    TL_GPU_HAS_FLOAT16,
    TL_GPU_HAS_SUBGROUP_SIZE,
    TL_GPU_HAS_TIMESTAMPS,
    TL_GPU_HAS_ROBUST,
    TL_GPU_HAS_PUSH_DESCRIPTOR,
    TL_GPU_HAS_MEMORY_BUDGET,
    TL_GPU_HAS_COOPMAT_KHR,
    TL_GPU_HAS_COOPMAT_NV,
    TL_GPU_HAS_BFLOAT16,
    TL_GPU_N_FEATURES
};
extern const struct tl_gpu_feature tl_gpu_features[TL_GPU_N_FEATURES];

/* How kernels are chosen: a CPU driver wants texel fetches and no shared memory, a GPU the opposite. */
enum tl_gpu_class { TL_GPU_CLASS_CPU, TL_GPU_CLASS_GPU };

struct tl_gpu_facts {
    int index; /* position in the driver's list: `--device vulkan:INDEX` */
    char name[256];
    char driver[320]; /* name and version text */
    char type[16];    /* discrete, integrated, virtual, cpu, other */
    char api[16];     /* "1.3.230" */
    enum tl_gpu_class kind;
    uint32_t vendor_id, device_id, driver_version;
    uint8_t cache_uuid[16];
    uint64_t found;      /* bit per tl_gpu_feature_id */
    bool usable;         /* all needs are met */
    char missing[256];   /* names of unmet needs, comma separated */
    uint64_t heap_bytes; /* largest device-local heap */
    uint64_t max_allocation_bytes, max_storage_bytes, max_texels;
    uint32_t storage_align, texel_align; /* of binding offsets */
    uint32_t max_push_bytes, shared_bytes, max_invocations, subgroup_size;
    uint32_t max_groups[3];
    double timestamp_ns; /* per tick; 0: no timestamps */
};

static inline bool tl_gpu_facts_has(const struct tl_gpu_facts *f, enum tl_gpu_feature_id id)
{
    return (f->found >> id) & 1u;
}

/* Fills up to cap entries and *out_n with the number of devices. False: no loader or no instance (TL_DEVICE).
 */
bool tl_gpu_list(struct tl_gpu_facts *out, size_t cap, size_t *out_n, struct tl_err *err);

/* The device `auto` takes: hardware first (discrete, integrated, virtual), then CPU drivers unless
 * hardware_only. -1: none. */
int tl_gpu_pick(const struct tl_gpu_facts *facts, size_t n, bool hardware_only);

struct tl_gpu_params {
    bool by_index; /* take `index`, else pick */
    int index;
    bool hardware_only; /* refuse CPU drivers when picking */
    bool no_robust;     /* leave out-of-bounds checks off where the driver lets us */
};

/* NULL with TL_DEVICE where there is no loader, no such device, or a need is unmet. params may be NULL. */
struct tl_gpu *tl_gpu_open(const struct tl_gpu_params *params, struct tl_err *err);

/* Waits for work, saves the pipeline cache, destroys all. Programs and buffers must be destroyed before. */
void tl_gpu_close(struct tl_gpu **gpu);

/* Valid until close. */
const struct tl_gpu_facts *tl_gpu_facts(const struct tl_gpu *gpu);

/* Overrides the class that kernels are chosen by (tests of the other class's kernels). */
void tl_gpu_set_class(struct tl_gpu *gpu, enum tl_gpu_class kind);

/* Errors and warnings of the validation layer so far; 0 too when it is off. */
uint64_t tl_gpu_validation_count(const struct tl_gpu *gpu);
/* True: TILLER_VALIDATE was set and the layer is there. */
bool tl_gpu_validation_on(const struct tl_gpu *gpu);

/* Blocks until everything submitted has finished. */
bool tl_gpu_wait(struct tl_gpu *gpu, struct tl_err *err);

#endif
