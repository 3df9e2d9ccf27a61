#include "gpu/gpu_timer.h"

#include <stdlib.h>

void tl_gpu_timer_init(struct tl_gpu_timer *timer, struct tl_gpu *gpu)
{
    *timer = (struct tl_gpu_timer){.gpu = gpu};
}

void tl_gpu_timer_finish(struct tl_gpu_timer *timer)
{
    struct tl_gpu *gpu = timer->gpu;
    for (size_t i = 0; i < timer->n_pools; i++)
        gpu->vk.vkDestroyQueryPool(gpu->device, timer->pools[i], NULL);
    free(timer->pools);
    *timer = (struct tl_gpu_timer){.gpu = gpu};
}

static bool grow(struct tl_gpu_timer *timer, VkCommandBuffer commands, struct tl_err *err)
{
    struct tl_gpu *gpu = timer->gpu;
    VkQueryPool *pools = realloc(timer->pools, (timer->n_pools + 1) * sizeof(VkQueryPool));
    if (!pools) return tl_err_set(err, TL_FAIL, "out of memory");
    timer->pools = pools;
    const VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                        .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                        .queryCount = TL_GPU_TIMER_POOL};
    TL_VK(gpu->vk.vkCreateQueryPool(gpu->device, &info, NULL, &pools[timer->n_pools]), err);
    gpu->vk.vkCmdResetQueryPool(commands, pools[timer->n_pools], 0, TL_GPU_TIMER_POOL);
    timer->n_pools++;
    return true;
fail:
    return false;
}

bool tl_gpu_timer_mark(struct tl_gpu_timer *timer, VkCommandBuffer commands, size_t *out, struct tl_err *err)
{
    struct tl_gpu *gpu = timer->gpu;
    *out = timer->n_marks;
    if (gpu->facts.timestamp_ns <= 0) return true;
    size_t pool = timer->n_marks / TL_GPU_TIMER_POOL;
    if (pool == timer->n_pools && !grow(timer, commands, err)) return false;
    gpu->vk.vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, timer->pools[pool],
                                (uint32_t)(timer->n_marks % TL_GPU_TIMER_POOL));
    timer->n_marks++;
    return true;
}

static bool read_mark(const struct tl_gpu_timer *timer, size_t mark, uint64_t *out)
{
    struct tl_gpu *gpu = timer->gpu;
    return mark < timer->n_marks &&
           gpu->vk.vkGetQueryPoolResults(gpu->device, timer->pools[mark / TL_GPU_TIMER_POOL],
                                         (uint32_t)(mark % TL_GPU_TIMER_POOL), 1, sizeof *out, out,
                                         sizeof *out, VK_QUERY_RESULT_64_BIT) == VK_SUCCESS;
}

double tl_gpu_timer_seconds(const struct tl_gpu_timer *timer, size_t a, size_t b)
{
    uint64_t begin, end;
    if (!read_mark(timer, a, &begin) || !read_mark(timer, b, &end) || end < begin) return 0;
    return (double)(end - begin) * timer->gpu->facts.timestamp_ns * 1e-9;
}
