/* A device runs graphs and holds persistent tensors: `cpu` (plain C with its own register-tiled products;
 * f32, or f64 as the oracle) and `vulkan`. Everything above this folder is written against exec.h and store.h
 * and never asks which one it has.
 *
 * A backend is one `struct tl_backend`: device_cpu.c and device_vulkan.c define one each. Not thread-safe:
 * one thread a device. */
#ifndef TL_TENSOR_DEVICE_H
#define TL_TENSOR_DEVICE_H

#include <stdatomic.h>

#include <tiller/err.h>

#include "tensor/graph.h"
#include "tensor/plan.h"

struct tl_device;
struct tl_memory;  /* a backend's block of persistent memory */
struct tl_program; /* a backend's prepared graph */

struct tl_device_params {
    const char *name; /* "auto", "cpu", "vulkan", "vulkan:1"; NULL: auto */
    int threads;      /* cpu; 0: as many as the process may use */
    bool f64;         /* cpu only: real tensors are double, plain kernels: the oracle of the tests */
    bool plain;       /* no fast kernels: what the fast ones are compared with */
};

/* What the executor asks of a backend. `real_bytes` is 4, or 8 in f64 mode. Offsets and sizes in bytes. */
struct tl_backend {
    const char *name;
    /* Persistent memory, zeroed. Reads and writes wait for the device. */
    struct tl_memory *(*memory_create)(struct tl_device *d, size_t bytes, struct tl_err *err);
    void (*memory_destroy)(struct tl_device *d, struct tl_memory *m);
    bool (*memory_write)(struct tl_device *d, struct tl_memory *m, size_t offset, const void *data,
                         size_t bytes, struct tl_err *err);
    bool (*memory_read)(struct tl_device *d, struct tl_memory *m, size_t offset, void *data, size_t bytes,
                        struct tl_err *err);
    bool (*memory_fill_zero)(struct tl_device *d, struct tl_memory *m, struct tl_err *err);
    bool (*memory_copy)(struct tl_device *d, struct tl_memory *dst, struct tl_memory *src, size_t bytes,
                        struct tl_err *err);
    /* A program borrows graph and plan until it is destroyed. `sets` gives, per set, the memory bound and
     * `param_offset` (per value of the graph; only params are looked at) where each tensor lies in it. It is
     * called again when other memory is bound. */
    struct tl_program *(*program_create)(struct tl_device *d, const struct tl_graph *g,
                                         const struct tl_plan *plan, struct tl_err *err);
    void (*program_destroy)(struct tl_device *d, struct tl_program *p);
    bool (*program_bind)(struct tl_device *d, struct tl_program *p, struct tl_memory *const sets[TL_N_SETS],
                         const size_t *param_offset, struct tl_err *err);
    /* Inputs and outputs live in the program's arena at plan->offset[value]. */
    bool (*program_write)(struct tl_device *d, struct tl_program *p, tl_val v, const void *data,
                          struct tl_err *err);
    bool (*program_read)(struct tl_device *d, struct tl_program *p, tl_val v, void *data, struct tl_err *err);
    bool (*program_run)(struct tl_device *d, struct tl_program *p, struct tl_err *err);
    /* Bytes of work space that running the plan takes besides its arena. Where `shared_scratch`, one block of
     * the largest such size serves all programs of the device. */
    bool (*program_scratch)(struct tl_device *d, const struct tl_graph *g, const struct tl_plan *plan,
                            size_t *out_bytes, struct tl_err *err);
    bool shared_scratch;
    void (*destroy)(struct tl_device *d);
};

/* The common head of every backend's device struct. */
struct tl_device {
    const struct tl_backend *backend;
    size_t real_bytes;
    char name[64];             /* "cpu", "vulkan:0" */
    char description[192];     /* "2 threads, AVX-512", "llvmpipe (LLVM 15.0.6, 256 bits)" */
    bool software;             /* cpu, or a Vulkan driver that runs on the CPU */
    bool plans_only;           /* counts what is made on it and keeps no data (device_planning.h) */
    atomic_size_t bytes, peak; /* see tl_device_bytes */
};

/* auto: a hardware Vulkan GPU if there is one, else the cpu. Unknown names are TL_USAGE, missing devices
 * TL_DEVICE. */
struct tl_device *tl_device_open(const struct tl_device_params *params, struct tl_err *err);
void tl_device_close(struct tl_device **device);

/* Bytes of tensors that the device holds now, and the most since it was opened or the peak was reset: stores,
 * arenas of programs, work space of kernels. Not what a driver takes for itself, nor Vulkan's transfer
 * buffers. Either may be NULL. May be asked from any thread. */
void tl_device_bytes(struct tl_device *device, size_t *out_now, size_t *out_peak);
void tl_device_reset_peak(struct tl_device *device);
/* For backends: memory was taken or given back. */
void tl_device_count_taken(struct tl_device *device, size_t bytes);
void tl_device_count_given(struct tl_device *device, size_t bytes);

/* The backends' doors. */
struct tl_device *tl_device_cpu_open(const struct tl_device_params *params, struct tl_err *err);
struct tl_device *tl_device_vulkan_open(int index, const struct tl_device_params *params, struct tl_err *err);
/* Whether a hardware GPU with Vulkan is there: what `auto` asks. index of it, or -1. */
int tl_device_vulkan_hardware(void);

#endif
