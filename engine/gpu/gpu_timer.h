/* Timestamps: a growing list of marks in recorded commands, read back in seconds. Inside of engine/gpu. */
#ifndef TL_GPU_TIMER_H
#define TL_GPU_TIMER_H

#include "gpu/gpu_vk.h"

struct tl_gpu_timer {
    struct tl_gpu *gpu; /* borrows */
    VkQueryPool *pools; /* owns; TL_GPU_TIMER_POOL marks each */
    size_t n_pools, n_marks;
};

enum { TL_GPU_TIMER_POOL = 512 };

/* Without timestamps on the device every mark is a no-op and every read gives 0. */
void tl_gpu_timer_init(struct tl_gpu_timer *timer, struct tl_gpu *gpu);
void tl_gpu_timer_finish(struct tl_gpu_timer *timer);

/* Records a mark after all commands so far; *out is its number. */
bool tl_gpu_timer_mark(struct tl_gpu_timer *timer, VkCommandBuffer commands, size_t *out, struct tl_err *err);

/* Seconds from mark a to mark b of the last finished run; 0 when not available. */
double tl_gpu_timer_seconds(const struct tl_gpu_timer *timer, size_t a, size_t b);

#endif
