#include "gpu/gpu_vk.h"

#include <stdlib.h>
#include <string.h>

struct tl_gpu_view {
    uint64_t offset, bytes;
    enum tl_gpu_texel texel;
    VkBufferView handle;
};

enum { STAGING_BYTES = 16 << 20 };

struct tl_gpu_buffer *tl_gpu_buffer_create(struct tl_gpu *gpu, enum tl_gpu_place place, uint64_t bytes,
                                           struct tl_err *err)
{
    struct tl_gpu_buffer *b = calloc(1, sizeof *b);
    if (!b || bytes == 0 || bytes > UINT64_MAX / 2) {
        free(b);
        tl_err_set(err, TL_FAIL, "cannot create a buffer of %llu bytes", (unsigned long long)bytes);
        return NULL;
    }
    b->gpu = gpu;
    b->bytes = (bytes + 15) & ~UINT64_C(15);
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = b->bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT};
    TL_VK(gpu->vk.vkCreateBuffer(gpu->device, &info, NULL, &b->handle), err);
    VkMemoryRequirements need;
    gpu->vk.vkGetBufferMemoryRequirements(gpu->device, b->handle, &need);
    if (!tl_gpu_memory_alloc(gpu, place, need.size, need.alignment, &b->span, err)) goto fail;
    TL_VK(gpu->vk.vkBindBufferMemory(gpu->device, b->handle, tl_gpu_span_memory(&b->span), b->span.offset),
          err);
    b->mapped = tl_gpu_span_mapped(&b->span);
    return b;
fail:
    tl_gpu_buffer_destroy(&b);
    return NULL;
}

void tl_gpu_buffer_destroy(struct tl_gpu_buffer **buffer)
{
    struct tl_gpu_buffer *b = *buffer;
    if (!b) return;
    struct tl_gpu *gpu = b->gpu;
    for (size_t i = 0; i < b->n_views; i++)
        gpu->vk.vkDestroyBufferView(gpu->device, b->views[i].handle, NULL);
    free(b->views);
    if (b->handle) gpu->vk.vkDestroyBuffer(gpu->device, b->handle, NULL);
    tl_gpu_memory_free(gpu, &b->span);
    free(b);
    *buffer = NULL;
}

uint64_t tl_gpu_buffer_bytes(const struct tl_gpu_buffer *buffer)
{
    return buffer->bytes;
}

void *tl_gpu_buffer_mapped(struct tl_gpu_buffer *buffer)
{
    return buffer->mapped;
}

struct tl_gpu_slice tl_gpu_slice(struct tl_gpu_buffer *buffer, uint64_t offset, uint64_t bytes)
{
    return (struct tl_gpu_slice){
        .buffer = buffer, .offset = offset, .bytes = bytes ? bytes : buffer->bytes - offset};
}

static VkFormat format_of(enum tl_gpu_texel texel, uint32_t *out_bytes)
{
    static const struct {
        VkFormat format;
        uint32_t bytes;
    } table[] = {
        [TL_GPU_R32F] = {VK_FORMAT_R32_SFLOAT, 4}, [TL_GPU_RGBA32F] = {VK_FORMAT_R32G32B32A32_SFLOAT, 16},
        [TL_GPU_R16F] = {VK_FORMAT_R16_SFLOAT, 2}, [TL_GPU_RGBA16F] = {VK_FORMAT_R16G16B16A16_SFLOAT, 8},
        [TL_GPU_R32I] = {VK_FORMAT_R32_SINT, 4},
    };
    *out_bytes = table[texel].bytes;
    return table[texel].format;
}

VkBufferView tl_gpu_buffer_view(struct tl_gpu_buffer *b, uint64_t offset, uint64_t bytes,
                                enum tl_gpu_texel texel, struct tl_err *err)
{
    uint32_t texel_bytes;
    const VkFormat format = format_of(texel, &texel_bytes);
    /* A partial last texel belongs to nobody: views cover whole ones. */
    bytes -= bytes % texel_bytes;
    if (bytes == 0 || bytes / texel_bytes > b->gpu->facts.max_texels) {
        tl_err_set(err, TL_DEVICE, "a texel view of %llu bytes is outside of the device's limits",
                   (unsigned long long)bytes);
        return VK_NULL_HANDLE;
    }
    for (size_t i = 0; i < b->n_views; i++) {
        const struct tl_gpu_view *v = &b->views[i];
        if (v->offset == offset && v->bytes == bytes && v->texel == texel) return v->handle;
    }
    if (b->n_views == b->cap_views) {
        size_t cap = b->cap_views ? 2 * b->cap_views : 16;
        struct tl_gpu_view *views = realloc(b->views, cap * sizeof *views);
        if (!views) {
            tl_err_set(err, TL_FAIL, "out of memory");
            return VK_NULL_HANDLE;
        }
        b->views = views;
        b->cap_views = cap;
    }
    const VkBufferViewCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
                                         .buffer = b->handle,
                                         .format = format,
                                         .offset = offset,
                                         .range = bytes};
    VkBufferView handle = VK_NULL_HANDLE;
    TL_VK(b->gpu->vk.vkCreateBufferView(b->gpu->device, &info, NULL, &handle), err);
    b->views[b->n_views++] = (struct tl_gpu_view){offset, bytes, texel, handle};
    return handle;
fail:
    return VK_NULL_HANDLE;
}

static bool in_range(const struct tl_gpu_buffer *b, uint64_t offset, uint64_t bytes, struct tl_err *err)
{
    if (offset <= b->bytes && bytes <= b->bytes - offset) return true;
    return tl_err_set(err, TL_FAIL, "bytes %llu+%llu are outside of a buffer of %llu",
                      (unsigned long long)offset, (unsigned long long)bytes, (unsigned long long)b->bytes);
}

/* One copy on the device, waited for. */
static bool copy_now(struct tl_gpu *gpu, VkBuffer from, uint64_t from_offset, VkBuffer to, uint64_t to_offset,
                     uint64_t bytes, struct tl_err *err)
{
    VkCommandBuffer commands = VK_NULL_HANDLE;
    const VkCommandBufferAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                                  .commandPool = gpu->commands,
                                                  .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                                  .commandBufferCount = 1};
    TL_VK(gpu->vk.vkAllocateCommandBuffers(gpu->device, &allocate, &commands), err);
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    TL_VK(gpu->vk.vkBeginCommandBuffer(commands, &begin), err);
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT};
    gpu->vk.vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT,
                                 0, 1, &barrier, 0, NULL, 0, NULL);
    const VkBufferCopy region = {.srcOffset = from_offset, .dstOffset = to_offset, .size = bytes};
    gpu->vk.vkCmdCopyBuffer(commands, from, to, 1, &region);
    barrier.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
    barrier.dstAccessMask = VK_ACCESS_HOST_READ_BIT;
    gpu->vk.vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
                                 &barrier, 0, NULL, 0, NULL);
    TL_VK(gpu->vk.vkEndCommandBuffer(commands), err);
    bool ok = tl_gpu_submit(gpu, commands, err) && tl_gpu_wait(gpu, err);
    gpu->vk.vkFreeCommandBuffers(gpu->device, gpu->commands, 1, &commands);
    return ok;
fail:
    if (commands) gpu->vk.vkFreeCommandBuffers(gpu->device, gpu->commands, 1, &commands);
    return false;
}

static bool need_staging(struct tl_gpu *gpu, struct tl_err *err)
{
    if (!gpu->staging) gpu->staging = tl_gpu_buffer_create(gpu, TL_GPU_HOST, STAGING_BYTES, err);
    return gpu->staging != NULL;
}

bool tl_gpu_buffer_write(struct tl_gpu_buffer *b, uint64_t offset, const void *data, uint64_t bytes,
                         struct tl_err *err)
{
    struct tl_gpu *gpu = b->gpu;
    if (!in_range(b, offset, bytes, err) || !tl_gpu_wait(gpu, err)) return false;
    if (b->mapped) {
        memcpy(b->mapped + offset, data, bytes);
        return true;
    }
    if (!need_staging(gpu, err)) return false;
    for (uint64_t done = 0; done < bytes;) {
        uint64_t n = bytes - done < STAGING_BYTES ? bytes - done : STAGING_BYTES;
        memcpy(gpu->staging->mapped, (const char *)data + done, n);
        if (!copy_now(gpu, gpu->staging->handle, 0, b->handle, offset + done, n, err)) return false;
        done += n;
    }
    return true;
}

bool tl_gpu_buffer_read(struct tl_gpu_buffer *b, uint64_t offset, void *out, uint64_t bytes,
                        struct tl_err *err)
{
    struct tl_gpu *gpu = b->gpu;
    if (!in_range(b, offset, bytes, err) || !tl_gpu_wait(gpu, err)) return false;
    if (b->mapped) {
        memcpy(out, b->mapped + offset, bytes);
        return true;
    }
    if (!need_staging(gpu, err)) return false;
    for (uint64_t done = 0; done < bytes;) {
        uint64_t n = bytes - done < STAGING_BYTES ? bytes - done : STAGING_BYTES;
        if (!copy_now(gpu, b->handle, offset + done, gpu->staging->handle, 0, n, err)) return false;
        memcpy((char *)out + done, gpu->staging->mapped, n);
        done += n;
    }
    return true;
}
