/* The table of needs and wishes, and the facts of one physical device. */
#include "gpu/gpu_vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct tl_gpu_feature tl_gpu_features[TL_GPU_N_FEATURES] = {
    [TL_GPU_HAS_VULKAN_1_2] = {"vulkan-1.2", "the API level that everything is written to", true},
    [TL_GPU_HAS_COMPUTE_QUEUE] = {"compute-queue", "runs the kernels", true},
    [TL_GPU_HAS_TIMELINE] = {"timeline-semaphore", "ordering and waiting", true},
    [TL_GPU_HAS_SHUFFLE] = {"subgroup-shuffle", "reductions, and operand broadcast on CPU drivers", true},
    [TL_GPU_HAS_STORAGE_16] = {"storage-16bit", "half-precision tensors", false},
    [TL_GPU_HAS_FLOAT16] = {"float16", "half-precision arithmetic", false},
    [TL_GPU_HAS_SUBGROUP_SIZE] = {"subgroup-size-control", "kernels that assume a subgroup size", false},
    [TL_GPU_HAS_TIMESTAMPS] = {"timestamps", "kernel timings", false},
    [TL_GPU_HAS_ROBUST] = {"robust-buffer-access", "bounded out-of-range reads", false},
    [TL_GPU_HAS_PUSH_DESCRIPTOR] = {"push-descriptor", "binding without pools", false},
    [TL_GPU_HAS_MEMORY_BUDGET] = {"memory-budget", "free memory as the driver sees it", false},
    [TL_GPU_HAS_COOPMAT_KHR] = {"cooperative-matrix-khr", "matrix cores", false},
    [TL_GPU_HAS_COOPMAT_NV] = {"cooperative-matrix-nv", "matrix cores of older NVIDIA drivers", false},
    [TL_GPU_HAS_BFLOAT16] = {"bfloat16", "bf16 arithmetic", false},
};

static bool has_extension(const struct tl_gpu_probe *p, const char *name)
{
    for (uint32_t i = 0; i < p->n_extensions; i++)
        if (strcmp(p->extensions[i].extensionName, name) == 0) return true;
    return false;
}

/* A family with compute; one without graphics last, since dedicated compute queues are often slower to wake.
 */
static void find_family(VkPhysicalDevice physical, struct tl_gpu_probe *p)
{
    VkQueueFamilyProperties families[32];
    uint32_t n = 32;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, families);
    p->family = -1;
    for (uint32_t i = 0; i < n; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)) continue;
        bool first = p->family < 0;
        if (!first && !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT)) continue;
        if (!first && (families[p->family].queueFlags & VK_QUEUE_GRAPHICS_BIT)) continue;
        p->family = (int)i;
        p->timestamp_bits = families[i].timestampValidBits;
    }
}

static uint64_t find_features(const struct tl_gpu_probe *p)
{
    const VkPhysicalDeviceProperties *d = &p->properties.properties;
    const VkSubgroupFeatureFlags shuffle =
        VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
    const bool v12 = d->apiVersion >= VK_API_VERSION_1_2;
    const bool found[TL_GPU_N_FEATURES] = {
        [TL_GPU_HAS_VULKAN_1_2] = v12,
        [TL_GPU_HAS_COMPUTE_QUEUE] = p->family >= 0,
        [TL_GPU_HAS_TIMELINE] = p->v12.timelineSemaphore,
        [TL_GPU_HAS_SHUFFLE] = (p->subgroup.supportedOperations & shuffle) == shuffle &&
                               (p->subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT),
        [TL_GPU_HAS_STORAGE_16] = p->v11.storageBuffer16BitAccess,
        [TL_GPU_HAS_FLOAT16] = p->v12.shaderFloat16,
        [TL_GPU_HAS_SUBGROUP_SIZE] =
            d->apiVersion >= VK_API_VERSION_1_3 || has_extension(p, "VK_EXT_subgroup_size_control"),
        [TL_GPU_HAS_TIMESTAMPS] = p->timestamp_bits > 0 && d->limits.timestampPeriod > 0,
        [TL_GPU_HAS_ROBUST] = p->features.features.robustBufferAccess,
        [TL_GPU_HAS_PUSH_DESCRIPTOR] = has_extension(p, "VK_KHR_push_descriptor"),
        [TL_GPU_HAS_MEMORY_BUDGET] = has_extension(p, "VK_EXT_memory_budget"),
        [TL_GPU_HAS_COOPMAT_KHR] = has_extension(p, "VK_KHR_cooperative_matrix"),
        [TL_GPU_HAS_COOPMAT_NV] = has_extension(p, "VK_NV_cooperative_matrix"),
        [TL_GPU_HAS_BFLOAT16] = has_extension(p, "VK_KHR_shader_bfloat16"),
    };
    uint64_t bits = 0;
    for (int i = 0; i < TL_GPU_N_FEATURES; i++) bits |= (uint64_t)found[i] << i;
    return bits;
}

static const char *type_name(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return "discrete";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return "integrated";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return "virtual";
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return "cpu";
    default:
        return "other";
    }
}

static void fill_limits(const struct tl_gpu_probe *p, struct tl_gpu_facts *f)
{
    const VkPhysicalDeviceLimits *l = &p->properties.properties.limits;
    for (uint32_t i = 0; i < p->memory.memoryHeapCount; i++) {
        const VkMemoryHeap *h = &p->memory.memoryHeaps[i];
        if ((h->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) && h->size > f->heap_bytes) f->heap_bytes = h->size;
    }
    f->max_allocation_bytes = p->maintenance3.maxMemoryAllocationSize;
    f->max_storage_bytes = l->maxStorageBufferRange;
    f->max_texels = l->maxTexelBufferElements;
    f->storage_align = (uint32_t)l->minStorageBufferOffsetAlignment;
    f->texel_align = (uint32_t)l->minTexelBufferOffsetAlignment;
    f->max_push_bytes = l->maxPushConstantsSize;
    f->shared_bytes = l->maxComputeSharedMemorySize;
    f->max_invocations = l->maxComputeWorkGroupInvocations;
    f->subgroup_size = p->subgroup.subgroupSize;
    memcpy(f->max_groups, l->maxComputeWorkGroupCount, sizeof f->max_groups);
    f->timestamp_ns = p->timestamp_bits > 0 ? (double)l->timestampPeriod : 0;
}

static void fill_facts(const struct tl_gpu_probe *p, int index, struct tl_gpu_facts *f)
{
    const VkPhysicalDeviceProperties *d = &p->properties.properties;
    *f = (struct tl_gpu_facts){.index = index, .vendor_id = d->vendorID, .device_id = d->deviceID};
    f->driver_version = d->driverVersion;
    memcpy(f->cache_uuid, d->pipelineCacheUUID, sizeof f->cache_uuid);
    snprintf(f->name, sizeof f->name, "%.255s", d->deviceName);
    snprintf(f->driver, sizeof f->driver, "%.150s %.150s", p->driver.driverName, p->driver.driverInfo);
    snprintf(f->type, sizeof f->type, "%s", type_name(d->deviceType));
    snprintf(f->api, sizeof f->api, "%u.%u.%u", VK_API_VERSION_MAJOR(d->apiVersion) & 0xffu,
             VK_API_VERSION_MINOR(d->apiVersion) & 0xffu, VK_API_VERSION_PATCH(d->apiVersion) & 0xfffu);
    f->kind = d->deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU ? TL_GPU_CLASS_CPU : TL_GPU_CLASS_GPU;
    fill_limits(p, f);
    f->found = find_features(p);
    f->usable = true;
    for (int i = 0; i < TL_GPU_N_FEATURES; i++) {
        if (!tl_gpu_features[i].needed || ((f->found >> i) & 1u)) continue;
        size_t len = strlen(f->missing);
        snprintf(f->missing + len, sizeof f->missing - len, "%s%s", len ? ", " : "", tl_gpu_features[i].name);
        f->usable = false;
    }
}

bool tl_gpu_probe(VkPhysicalDevice physical, int index, struct tl_gpu_probe *p, struct tl_gpu_facts *out)
{
    *p = (struct tl_gpu_probe){0};
    p->features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    p->v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
    p->v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    p->properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    p->subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES;
    p->maintenance3.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES;
    p->driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
    vkGetPhysicalDeviceProperties(physical, &p->properties.properties);
    const uint32_t api = p->properties.properties.apiVersion;
    if (api >= VK_API_VERSION_1_1) { /* before, there is nothing to chain and the device is refused anyway */
        p->properties.pNext = &p->subgroup;
        p->subgroup.pNext = &p->maintenance3;
        if (api >= VK_API_VERSION_1_2) {
            p->maintenance3.pNext = &p->driver;
            p->features.pNext = &p->v11;
            p->v11.pNext = &p->v12;
        }
        vkGetPhysicalDeviceProperties2(physical, &p->properties);
        vkGetPhysicalDeviceFeatures2(physical, &p->features);
    }
    vkGetPhysicalDeviceMemoryProperties(physical, &p->memory);
    find_family(physical, p);
    uint32_t n = 0;
    if (vkEnumerateDeviceExtensionProperties(physical, NULL, &n, NULL) == VK_SUCCESS && n > 0) {
        p->extensions = calloc(n, sizeof *p->extensions);
        if (!p->extensions) return false;
        vkEnumerateDeviceExtensionProperties(physical, NULL, &n, p->extensions);
        p->n_extensions = n;
    }
    fill_facts(p, index, out);
    return true;
}

void tl_gpu_probe_finish(struct tl_gpu_probe *probe)
{
    free(probe->extensions);
    probe->extensions = NULL;
    probe->n_extensions = 0;
}
