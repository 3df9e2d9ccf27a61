#include "gpu/gpu_vk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Free ranges of a block, ascending, never touching each other. */
struct range {
    struct range *next;
    uint64_t offset, bytes;
};

struct tl_gpu_block {
    struct tl_gpu_block *next;
    enum tl_gpu_place place;
    VkDeviceMemory memory;
    unsigned char *mapped;
    uint64_t bytes;
    struct range *free; /* owns */
};

/* First type that has all of want, in the order of preference given. */
static int find_type(const VkPhysicalDeviceMemoryProperties *m, uint32_t allowed,
                     const VkMemoryPropertyFlags *prefer, size_t n_prefer, VkMemoryPropertyFlags without)
{
    for (size_t p = 0; p < n_prefer; p++)
        for (uint32_t i = 0; i < m->memoryTypeCount; i++) {
            VkMemoryPropertyFlags flags = m->memoryTypes[i].propertyFlags;
            if (((allowed >> i) & 1u) && (flags & prefer[p]) == prefer[p] && !(flags & without))
                return (int)i;
        }
    return -1;
}

/* All our buffers have the same usage, so one buffer's requirements hold for all. */
static bool allowed_types(struct tl_gpu *gpu, uint32_t *out, struct tl_err *err)
{
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = 65536,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT};
    VkBuffer buffer = VK_NULL_HANDLE;
    TL_VK(gpu->vk.vkCreateBuffer(gpu->device, &info, NULL, &buffer), err);
    VkMemoryRequirements need;
    gpu->vk.vkGetBufferMemoryRequirements(gpu->device, buffer, &need);
    gpu->vk.vkDestroyBuffer(gpu->device, buffer, NULL);
    *out = need.memoryTypeBits;
    return true;
fail:
    return false;
}

bool tl_gpu_heap_init(struct tl_gpu *gpu, const VkPhysicalDeviceMemoryProperties *m, struct tl_err *err)
{
    enum {
        DEVICE = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
        MAP = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
        CACHED = VK_MEMORY_PROPERTY_HOST_CACHED_BIT
    };
    struct tl_gpu_heap *heap = &gpu->heap;
    uint32_t allowed;
    if (!allowed_types(gpu, &allowed, err)) return false;
    const bool unified = gpu->facts.kind == TL_GPU_CLASS_CPU || strcmp(gpu->facts.type, "integrated") == 0;
    const VkMemoryPropertyFlags shared[] = {DEVICE | MAP | CACHED, DEVICE | MAP, DEVICE};
    const VkMemoryPropertyFlags discrete[] = {DEVICE};
    const VkMemoryPropertyFlags host[] = {MAP | CACHED, MAP};
    int local = unified ? find_type(m, allowed, shared, 3, 0) : find_type(m, allowed, discrete, 1, 0);
    /* A card whose whole memory the host can map (resizable BAR) saves the bounce buffer. */
    const VkMemoryPropertyFlags bar[] = {DEVICE | MAP};
    int mapped = unified ? -1 : find_type(m, allowed, bar, 1, 0);
    if (local >= 0 && mapped >= 0) {
        uint64_t whole = m->memoryHeaps[m->memoryTypes[local].heapIndex].size;
        if (m->memoryHeaps[m->memoryTypes[mapped].heapIndex].size >= whole) local = mapped;
    }
    int staging = find_type(m, allowed, host, 2, 0);
    if (local < 0 || staging < 0)
        return tl_err_set(err, TL_DEVICE, "%s has no memory type for storage buffers", gpu->facts.name);
    const int types[TL_GPU_N_PLACES] = {local, staging};
    for (int i = 0; i < TL_GPU_N_PLACES; i++) {
        heap->type[i] = (uint32_t)types[i];
        heap->host_visible[i] = (m->memoryTypes[types[i]].propertyFlags & MAP) == MAP;
        heap->heap_bytes[i] = m->memoryHeaps[m->memoryTypes[types[i]].heapIndex].size;
    }
    heap->block_bytes = heap->heap_bytes[0] / 16 < (256u << 20) ? heap->heap_bytes[0] / 16 : 256u << 20;
    return true;
}

static void block_destroy(struct tl_gpu *gpu, struct tl_gpu_block *b)
{
    while (b->free) {
        struct range *next = b->free->next;
        free(b->free);
        b->free = next;
    }
    if (b->mapped) gpu->vk.vkUnmapMemory(gpu->device, b->memory);
    if (b->memory) gpu->vk.vkFreeMemory(gpu->device, b->memory, NULL);
    gpu->heap.reserved -= b->bytes;
    free(b);
}

void tl_gpu_heap_finish(struct tl_gpu *gpu)
{
    for (int i = 0; i < TL_GPU_N_PLACES; i++)
        while (gpu->heap.blocks[i]) {
            struct tl_gpu_block *next = gpu->heap.blocks[i]->next;
            block_destroy(gpu, gpu->heap.blocks[i]);
            gpu->heap.blocks[i] = next;
        }
}

/* On a CPU driver device memory is the process's own. Matrix kernels walk it in strides of whole pages, so
 * huge pages are asked for; where the system has none this does nothing. */
static void ask_huge_pages(unsigned char *begin, uint64_t bytes)
{
#ifdef MADV_HUGEPAGE
    const uintptr_t page = 4096, first = ((uintptr_t)begin + page - 1) & ~(page - 1);
    const uintptr_t last = ((uintptr_t)begin + bytes) & ~(page - 1);
    if (last > first) (void)madvise((void *)first, last - first, MADV_HUGEPAGE);
#else
    (void)begin;
    (void)bytes;
#endif
}

static struct tl_gpu_block *block_create(struct tl_gpu *gpu, enum tl_gpu_place place, uint64_t bytes,
                                         VkResult *out)
{
    struct tl_gpu_heap *heap = &gpu->heap;
    struct tl_gpu_block *b = calloc(1, sizeof *b);
    struct range *all = calloc(1, sizeof *all);
    *out = VK_ERROR_OUT_OF_HOST_MEMORY;
    if (!b || !all) {
        free(b);
        free(all);
        return NULL;
    }
    *all = (struct range){.bytes = bytes};
    *b = (struct tl_gpu_block){.place = place, .bytes = bytes, .free = all};
    heap->reserved += bytes;
    const VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .allocationSize = bytes,
                                       .memoryTypeIndex = heap->type[place]};
    *out = gpu->vk.vkAllocateMemory(gpu->device, &info, NULL, &b->memory);
    if (*out == VK_SUCCESS && heap->host_visible[place]) {
        void *mapped = NULL;
        *out = gpu->vk.vkMapMemory(gpu->device, b->memory, 0, VK_WHOLE_SIZE, 0, &mapped);
        b->mapped = mapped;
        if (mapped && gpu->facts.kind == TL_GPU_CLASS_CPU) ask_huge_pages(mapped, bytes);
    }
    if (*out != VK_SUCCESS) {
        block_destroy(gpu, b);
        return NULL;
    }
    b->next = heap->blocks[place];
    heap->blocks[place] = b;
    return b;
}

static bool block_take(struct tl_gpu_block *b, uint64_t bytes, uint64_t align, struct tl_gpu_span *out)
{
    for (struct range **link = &b->free; *link; link = &(*link)->next) {
        struct range *r = *link;
        uint64_t begin = (r->offset + align - 1) & ~(align - 1), end = r->offset + r->bytes;
        if (begin > end || end - begin < bytes) continue;
        *out = (struct tl_gpu_span){.block = b, .offset = begin, .bytes = bytes};
        uint64_t before = begin - r->offset, after = end - (begin + bytes);
        if (before && after) {
            struct range *tail = calloc(1, sizeof *tail);
            if (!tail) return false;
            *tail = (struct range){.next = r->next, .offset = begin + bytes, .bytes = after};
            r->next = tail;
            r->bytes = before;
        } else if (before) {
            r->bytes = before;
        } else if (after) {
            r->offset = begin + bytes;
            r->bytes = after;
        } else {
            *link = r->next;
            free(r);
        }
        return true;
    }
    return false;
}

/* What the device has left: by the driver's own budget where it tells, else heap minus what we took. */
static uint64_t free_bytes(const struct tl_gpu *gpu)
{
    const struct tl_gpu_heap *heap = &gpu->heap;
    if (tl_gpu_facts_has(&gpu->facts, TL_GPU_HAS_MEMORY_BUDGET)) {
        VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
        VkPhysicalDeviceMemoryProperties2 m = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
                                               .pNext = &budget};
        vkGetPhysicalDeviceMemoryProperties2(gpu->physical, &m);
        uint32_t i = m.memoryProperties.memoryTypes[heap->type[TL_GPU_LOCAL]].heapIndex;
        uint64_t left =
            budget.heapBudget[i] > budget.heapUsage[i] ? budget.heapBudget[i] - budget.heapUsage[i] : 0;
        return left + (heap->reserved - heap->used);
    }
    return heap->heap_bytes[TL_GPU_LOCAL] > heap->used ? heap->heap_bytes[TL_GPU_LOCAL] - heap->used : 0;
}

static bool out_of_memory(const struct tl_gpu *gpu, uint64_t bytes, struct tl_err *err)
{
    return tl_err_set(
        err, TL_DEVICE,
        "%s is out of memory: %llu bytes needed, about %llu free of %llu; try a smaller batch or size, "
        "or --device cpu",
        gpu->facts.name, (unsigned long long)bytes, (unsigned long long)free_bytes(gpu),
        (unsigned long long)gpu->heap.heap_bytes[TL_GPU_LOCAL]);
}

bool tl_gpu_memory_alloc(struct tl_gpu *gpu, enum tl_gpu_place place, uint64_t bytes, uint64_t align,
                         struct tl_gpu_span *out, struct tl_err *err)
{
    struct tl_gpu_heap *heap = &gpu->heap;
    *out = (struct tl_gpu_span){0};
    heap->n_allocations++;
    if (heap->fail_at && heap->n_allocations == heap->fail_at) return out_of_memory(gpu, bytes, err);
    bool taken = false;
    for (struct tl_gpu_block *b = heap->blocks[place]; b && !taken; b = b->next)
        taken = block_take(b, bytes, align, out);
    if (!taken) {
        /* A block of the usual size, its own block for what is larger; when the driver refuses the usual
         * size, just what is needed. Offsets start at 0, which any alignment divides. */
        VkResult result = VK_ERROR_OUT_OF_DEVICE_MEMORY;
        struct tl_gpu_block *b = NULL;
        if (bytes < heap->block_bytes) b = block_create(gpu, place, heap->block_bytes, &result);
        if (!b) b = block_create(gpu, place, bytes, &result);
        if (!b) return out_of_memory(gpu, bytes, err);
        if (!block_take(b, bytes, align, out)) return tl_err_set(err, TL_FAIL, "out of host memory");
    }
    heap->used += bytes;
    if (heap->used > heap->peak) heap->peak = heap->used;
    return true;
}

static void unlink_block(struct tl_gpu *gpu, struct tl_gpu_block *b)
{
    struct tl_gpu_block **link = &gpu->heap.blocks[b->place];
    while (*link != b) link = &(*link)->next;
    *link = b->next;
    block_destroy(gpu, b);
}

void tl_gpu_memory_free(struct tl_gpu *gpu, struct tl_gpu_span *span)
{
    struct tl_gpu_block *b = span->block;
    if (!b) return;
    gpu->heap.used -= span->bytes;
    struct range *before = NULL, *after = b->free;
    while (after && after->offset < span->offset) {
        before = after;
        after = after->next;
    }
    struct range *r = NULL;
    if (before && before->offset + before->bytes == span->offset) {
        r = before;
        r->bytes += span->bytes;
    } else {
        r = calloc(1, sizeof *r);
        /* Without host memory for the note the range is lost until its block goes: safe, only wasteful. */
        if (r) {
            *r = (struct range){.next = after, .offset = span->offset, .bytes = span->bytes};
            *(before ? &before->next : &b->free) = r;
        }
    }
    if (r && after && r->offset + r->bytes == after->offset) {
        r->bytes += after->bytes;
        r->next = after->next;
        free(after);
    }
    *span = (struct tl_gpu_span){0};
    if (b->free && b->free->bytes == b->bytes) unlink_block(gpu, b);
}

void tl_gpu_memory_stats(const struct tl_gpu *gpu, struct tl_gpu_memory_stats *out)
{
    *out = (struct tl_gpu_memory_stats){.used = gpu->heap.used,
                                        .peak = gpu->heap.peak,
                                        .reserved = gpu->heap.reserved,
                                        .free = free_bytes(gpu)};
}

void tl_gpu_memory_reset_peak(struct tl_gpu *gpu)
{
    gpu->heap.peak = gpu->heap.used;
}

void tl_gpu_memory_fail_at(struct tl_gpu *gpu, uint64_t nth)
{
    gpu->heap.fail_at = nth ? gpu->heap.n_allocations + nth : 0;
}

VkDeviceMemory tl_gpu_span_memory(const struct tl_gpu_span *span)
{
    return span->block->memory;
}

unsigned char *tl_gpu_span_mapped(const struct tl_gpu_span *span)
{
    return span->block->mapped ? span->block->mapped + span->offset : NULL;
}
