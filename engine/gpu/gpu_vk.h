/* Inside of engine/gpu only: Vulkan's types and the structs behind the opaque handles. */
#ifndef TL_GPU_VK_H
#define TL_GPU_VK_H

#include <stdatomic.h>

#include <volk.h>

#include "gpu/gpu_buffer.h"
#include "gpu/gpu_context.h"
#include "gpu/gpu_memory.h"
#include "gpu/gpu_pipeline.h"

struct tl_gpu_block; /* gpu_memory.c */

/* One list of blocks a place; see gpu_memory.h. */
struct tl_gpu_heap {
    struct tl_gpu_block *blocks[TL_GPU_N_PLACES];
    uint32_t type[TL_GPU_N_PLACES]; /* memory type index */
    bool host_visible[TL_GPU_N_PLACES];
    uint64_t heap_bytes[TL_GPU_N_PLACES];
    uint64_t reserved, used, peak;
    uint64_t block_bytes;
    uint64_t n_allocations, fail_at;
};

struct tl_gpu {
    struct tl_gpu_facts facts;
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    VkPhysicalDevice physical;
    VkDevice device;
    struct VolkDeviceTable vk;
    uint32_t family;
    VkQueue queue;
    VkSemaphore timeline; /* value = number of submissions finished */
    uint64_t submitted;
    VkCommandPool commands;
    bool lost;
    bool validating;
    atomic_ullong validation_messages;
    struct tl_gpu_heap heap;
    struct tl_gpu_buffer *staging; /* host-visible bounce buffer, made on first need; owns */
    VkPipelineCache cache;
    size_t cache_loaded_bytes;
    struct tl_gpu_kernel *kernels; /* list; owns */
    double work_per_s;             /* learnt: how fast estimated work goes, for cutting submissions */
};

struct tl_gpu_view; /* gpu_buffer.c */

struct tl_gpu_buffer {
    struct tl_gpu *gpu; /* borrows */
    VkBuffer handle;
    uint64_t bytes;
    struct tl_gpu_span span;
    unsigned char *mapped; /* NULL: not host visible */
    struct tl_gpu_view *views;
    size_t n_views, cap_views;
};

enum { TL_GPU_MAX_BIND = 12 };

struct tl_gpu_kernel {
    struct tl_gpu_kernel *next;
    char name[64];
    uint32_t spec[TL_GPU_MAX_SPEC];
    size_t n_spec;
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    uint32_t n_bind;
    bool used[TL_GPU_MAX_BIND]; /* the optimiser drops bindings that a variant does not touch */
    VkDescriptorType type[TL_GPU_MAX_BIND];
    bool reads[TL_GPU_MAX_BIND], writes[TL_GPU_MAX_BIND];
    uint32_t push_bytes;
};

/* Records what Vulkan call failed and how. Out of memory and a lost device keep their names. Returns false.
 */
bool tl_gpu_vk_fail(struct tl_err *err, VkResult result, const char *call);

#define TL_VK(call, err)                                                                                     \
    do {                                                                                                     \
        VkResult result_ = (call);                                                                           \
        if (result_ != VK_SUCCESS) {                                                                         \
            tl_gpu_vk_fail(err, result_, #call);                                                             \
            goto fail;                                                                                       \
        }                                                                                                    \
    } while (0)

/* gpu_probe.c: facts of one physical device, and the feature chain to enable (valid while `probe` is). */
struct tl_gpu_probe {
    VkPhysicalDeviceFeatures2 features;
    VkPhysicalDeviceVulkan11Features v11;
    VkPhysicalDeviceVulkan12Features v12;
    VkPhysicalDeviceProperties2 properties;
    VkPhysicalDeviceSubgroupProperties subgroup;
    VkPhysicalDeviceMaintenance3Properties maintenance3;
    VkPhysicalDeviceDriverProperties driver;
    VkPhysicalDeviceMemoryProperties memory;
    VkExtensionProperties *extensions; /* owns */
    uint32_t n_extensions;
    int family; /* -1: none */
    uint32_t timestamp_bits;
};
bool tl_gpu_probe(VkPhysicalDevice physical, int index, struct tl_gpu_probe *probe, struct tl_gpu_facts *out);
void tl_gpu_probe_finish(struct tl_gpu_probe *probe);

/* gpu_validation.c */
bool tl_gpu_validation_available(void);
void tl_gpu_validation_attach(struct tl_gpu *gpu);
void tl_gpu_validation_detach(struct tl_gpu *gpu);

/* gpu_memory.c */
bool tl_gpu_heap_init(struct tl_gpu *gpu, const VkPhysicalDeviceMemoryProperties *memory, struct tl_err *err);
void tl_gpu_heap_finish(struct tl_gpu *gpu);
VkDeviceMemory tl_gpu_span_memory(const struct tl_gpu_span *span);
unsigned char *tl_gpu_span_mapped(const struct tl_gpu_span *span);

/* gpu_buffer.c: the cached view of a range; VK_NULL_HANDLE and err on failure. Owned by the buffer. */
VkBufferView tl_gpu_buffer_view(struct tl_gpu_buffer *buffer, uint64_t offset, uint64_t bytes,
                                enum tl_gpu_texel texel, struct tl_err *err);

/* gpu_cache.c */
void tl_gpu_cache_load(struct tl_gpu *gpu);
void tl_gpu_cache_save(struct tl_gpu *gpu);

/* gpu_pipeline.c */
void tl_gpu_kernels_finish(struct tl_gpu *gpu);

/* gpu_command.c: submits a command buffer and counts it on the timeline. */
bool tl_gpu_submit(struct tl_gpu *gpu, VkCommandBuffer commands, struct tl_err *err);

#endif
