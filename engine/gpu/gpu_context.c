/* Loader, instance, choice of device, logical device. */
#define VOLK_IMPLEMENTATION
#include "gpu/gpu_vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

bool tl_gpu_vk_fail(struct tl_err *err, VkResult result, const char *call)
{
    const char *what;
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        what = "out of host memory";
        break;
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        what = "out of device memory";
        break;
    case VK_ERROR_DEVICE_LOST:
        what = "the device was lost (driver reset or a kernel ran too long)";
        break;
    case VK_ERROR_INITIALIZATION_FAILED:
        what = "initialisation failed";
        break;
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        what = "no Vulkan driver is installed; on Debian: mesa-vulkan-drivers";
        break;
    case VK_ERROR_LAYER_NOT_PRESENT:
        what = "a layer is missing";
        break;
    case VK_ERROR_EXTENSION_NOT_PRESENT:
        what = "an extension is missing";
        break;
    case VK_ERROR_FEATURE_NOT_PRESENT:
        what = "a feature is missing";
        break;
    case VK_TIMEOUT:
        what = "timed out";
        break;
    default:
        what = "failed";
        break;
    }
    return tl_err_set(err, TL_DEVICE, "Vulkan: %s (result %d) in %.60s", what, (int)result, call);
}

/* The loader is process-wide; volk keeps it. */
static bool load_loader(struct tl_err *err)
{
    static bool loaded;
    if (loaded) return true;
    if (volkInitialize() != VK_SUCCESS)
        return tl_err_set(
            err, TL_DEVICE,
            "no Vulkan loader (libvulkan.so.1) on this machine; install it (Debian: libvulkan1 and a "
            "driver such as mesa-vulkan-drivers) or use --device cpu");
    loaded = true;
    return true;
}

static bool create_instance(bool validate, VkInstance *out, struct tl_err *err)
{
    if (volkGetInstanceVersion() < VK_API_VERSION_1_2)
        return tl_err_set(err, TL_DEVICE, "the Vulkan loader is older than 1.2; update libvulkan1");
    const VkValidationFeatureEnableEXT enable[] = {
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    const VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = enable,
    };
    const char *layers[] = {"VK_LAYER_KHRONOS_validation"};
    const char *extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME};
    const VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                   .pEngineName = "tiller",
                                   .apiVersion = VK_API_VERSION_1_2};
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = validate ? &features : NULL,
        .pApplicationInfo = &app,
        .enabledLayerCount = validate ? 1 : 0,
        .ppEnabledLayerNames = layers,
        .enabledExtensionCount = validate ? 2 : 0,
        .ppEnabledExtensionNames = extensions,
    };
    TL_VK(vkCreateInstance(&info, NULL, out), err);
    volkLoadInstanceOnly(*out);
    return true;
fail:
    *out = VK_NULL_HANDLE;
    return false;
}

static bool enumerate(VkInstance instance, VkPhysicalDevice *out, uint32_t *n, struct tl_err *err)
{
    VkResult r = vkEnumeratePhysicalDevices(instance, n, out);
    if (r == VK_INCOMPLETE) return true;
    TL_VK(r, err);
    return true;
fail:
    *n = 0;
    return false;
}

enum { MAX_DEVICES = 16 };

bool tl_gpu_list(struct tl_gpu_facts *out, size_t cap, size_t *out_n, struct tl_err *err)
{
    VkInstance instance = VK_NULL_HANDLE;
    *out_n = 0;
    if (!load_loader(err) || !create_instance(false, &instance, err)) return false;
    VkPhysicalDevice devices[MAX_DEVICES];
    uint32_t n = MAX_DEVICES;
    bool ok = enumerate(instance, devices, &n, err);
    for (uint32_t i = 0; ok && i < n && i < cap; i++) {
        struct tl_gpu_probe probe;
        if (!tl_gpu_probe(devices[i], (int)i, &probe, &out[i]))
            ok = tl_err_set(err, TL_FAIL, "out of memory");
        tl_gpu_probe_finish(&probe);
    }
    if (ok) *out_n = n;
    vkDestroyInstance(instance, NULL);
    return ok;
}

int tl_gpu_pick(const struct tl_gpu_facts *facts, size_t n, bool hardware_only)
{
    static const char *const order[] = {"discrete", "integrated", "virtual", "other", "cpu"};
    const size_t n_order = sizeof order / sizeof *order - (hardware_only ? 1 : 0);
    for (size_t o = 0; o < n_order; o++)
        for (size_t i = 0; i < n; i++)
            if (facts[i].usable && strcmp(facts[i].type, order[o]) == 0) return (int)i;
    return -1;
}

/* Fills gpu->physical and gpu->facts. */
static bool choose(struct tl_gpu *gpu, const struct tl_gpu_params *params, struct tl_err *err)
{
    VkPhysicalDevice devices[MAX_DEVICES];
    struct tl_gpu_facts facts[MAX_DEVICES];
    uint32_t n = MAX_DEVICES;
    if (!enumerate(gpu->instance, devices, &n, err)) return false;
    for (uint32_t i = 0; i < n; i++) {
        struct tl_gpu_probe probe;
        bool ok = tl_gpu_probe(devices[i], (int)i, &probe, &facts[i]);
        tl_gpu_probe_finish(&probe);
        if (!ok) return tl_err_set(err, TL_FAIL, "out of memory");
    }
    int index = params->by_index ? params->index : tl_gpu_pick(facts, n, params->hardware_only);
    if (n == 0)
        return tl_err_set(err, TL_DEVICE, "Vulkan finds no device; install a driver or use --device cpu");
    if (params->by_index && (index < 0 || index >= (int)n))
        return tl_err_set(err, TL_DEVICE, "there is no Vulkan device %d: this machine has %u, counted from 0",
                          index, n);
    if (index < 0)
        return tl_err_set(err, TL_DEVICE, "none of the %u Vulkan devices will do (%s%s); see `tiller doctor`",
                          n, facts[0].usable ? "only CPU drivers" : "missing: ", facts[0].missing);
    if (!facts[index].usable)
        return tl_err_set(err, TL_DEVICE, "Vulkan device %d (%s) lacks: %s", index, facts[index].name,
                          facts[index].missing);
    gpu->physical = devices[index];
    gpu->facts = facts[index];
    return true;
}

static bool create_device(struct tl_gpu *gpu, bool no_robust, struct tl_err *err)
{
    struct tl_gpu_probe p = {0};
    struct tl_gpu_facts facts;
    if (!tl_gpu_probe(gpu->physical, gpu->facts.index, &p, &facts)) {
        tl_err_set(err, TL_FAIL, "out of memory");
        goto fail;
    }
    gpu->family = (uint32_t)p.family;
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = gpu->family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    /* Only what we use is enabled; the rest of the probed structs would turn on all that the driver has. */
    VkPhysicalDeviceVulkan12Features v12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .timelineSemaphore = VK_TRUE,
        .shaderFloat16 = p.v12.shaderFloat16,
    };
    VkPhysicalDeviceVulkan11Features v11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
        .pNext = &v12,
        .storageBuffer16BitAccess = p.v11.storageBuffer16BitAccess,
    };
    VkPhysicalDeviceFeatures2 features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
        .pNext = &v11,
        .features.robustBufferAccess = no_robust ? VK_FALSE : p.features.features.robustBufferAccess,
    };
    const char *extensions[1];
    uint32_t n_extensions = 0;
    if (tl_gpu_facts_has(&gpu->facts, TL_GPU_HAS_MEMORY_BUDGET))
        extensions[n_extensions++] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &features,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = n_extensions,
        .ppEnabledExtensionNames = extensions,
    };
    TL_VK(vkCreateDevice(gpu->physical, &info, NULL, &gpu->device), err);
    volkLoadDeviceTable(&gpu->vk, gpu->device);
    gpu->vk.vkGetDeviceQueue(gpu->device, gpu->family, 0, &gpu->queue);
    if (!tl_gpu_heap_init(gpu, &p.memory, err)) goto fail;
    tl_gpu_probe_finish(&p);
    return true;
fail:
    tl_gpu_probe_finish(&p);
    return false;
}

static bool create_objects(struct tl_gpu *gpu, struct tl_err *err)
{
    const VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                            .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    const VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                             .pNext = &type};
    TL_VK(gpu->vk.vkCreateSemaphore(gpu->device, &semaphore, NULL, &gpu->timeline), err);
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                          .queueFamilyIndex = gpu->family};
    TL_VK(gpu->vk.vkCreateCommandPool(gpu->device, &pool, NULL, &gpu->commands), err);
    tl_gpu_cache_load(gpu);
    gpu->work_per_s = gpu->facts.kind == TL_GPU_CLASS_CPU ? 2e10 : 1e12;
    return true;
fail:
    return false;
}

static bool wants_validation(void)
{
    const char *v = getenv("TILLER_VALIDATE");
    return v && *v && strcmp(v, "0") != 0;
}

struct tl_gpu *tl_gpu_open(const struct tl_gpu_params *params, struct tl_err *err)
{
    static const struct tl_gpu_params defaults;
    if (!params) params = &defaults;
    struct tl_gpu *gpu = calloc(1, sizeof *gpu);
    if (!gpu) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    if (!load_loader(err)) goto fail;
    bool validate = wants_validation();
    if (validate && !tl_gpu_validation_available()) {
        tl_log(TL_LOG_WARN, "TILLER_VALIDATE is set, but the validation layer is not installed "
                            "(Debian: vulkan-validationlayers)");
        validate = false;
    }
    if (!create_instance(validate, &gpu->instance, err)) goto fail;
    gpu->validating = validate;
    if (validate) tl_gpu_validation_attach(gpu);
    if (!choose(gpu, params, err) || !create_device(gpu, params->no_robust, err) || !create_objects(gpu, err))
        goto fail;
    return gpu;
fail:
    tl_gpu_close(&gpu);
    return NULL;
}

void tl_gpu_close(struct tl_gpu **gpu)
{
    struct tl_gpu *g = *gpu;
    if (!g) return;
    if (g->device) {
        g->vk.vkDeviceWaitIdle(g->device); /* also after a lost device: objects must still go */
        if (!g->lost) tl_gpu_cache_save(g);
        tl_gpu_kernels_finish(g);
        tl_gpu_buffer_destroy(&g->staging);
        if (g->cache) g->vk.vkDestroyPipelineCache(g->device, g->cache, NULL);
        if (g->commands) g->vk.vkDestroyCommandPool(g->device, g->commands, NULL);
        if (g->timeline) g->vk.vkDestroySemaphore(g->device, g->timeline, NULL);
        tl_gpu_heap_finish(g);
        g->vk.vkDestroyDevice(g->device, NULL);
    }
    if (g->instance) {
        tl_gpu_validation_detach(g);
        vkDestroyInstance(g->instance, NULL);
    }
    free(g);
    *gpu = NULL;
}

const struct tl_gpu_facts *tl_gpu_facts(const struct tl_gpu *gpu)
{
    return &gpu->facts;
}

void tl_gpu_set_class(struct tl_gpu *gpu, enum tl_gpu_class kind)
{
    gpu->facts.kind = kind;
}

bool tl_gpu_wait(struct tl_gpu *gpu, struct tl_err *err)
{
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &gpu->timeline,
                                      .pValues = &gpu->submitted};
    VkResult r = gpu->vk.vkWaitSemaphores(gpu->device, &info, UINT64_MAX);
    if (r == VK_ERROR_DEVICE_LOST) gpu->lost = true;
    TL_VK(r, err);
    return true;
fail:
    return false;
}
