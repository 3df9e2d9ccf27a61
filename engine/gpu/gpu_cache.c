/* The pipeline cache: loaded when a device opens, saved when it closes if it grew, in
 * $XDG_CACHE_HOME/tiller (or ~/.cache/tiller) / pipelines-<driver's uuid>.bin. Failing to costs time, never a
 * run. */
#include "gpu/gpu_vk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <tiller/log.h>

#include "gpu/gpu_cache_file.h"

static bool cache_path(const struct tl_gpu *gpu, char *out, size_t size, bool make)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char folder[3072];
    int n = -1;
    if (xdg && xdg[0] == '/')
        n = snprintf(folder, sizeof folder, "%s", xdg);
    else if (home && home[0] == '/')
        n = snprintf(folder, sizeof folder, "%s/.cache", home);
    if (n < 0 || n >= (int)sizeof folder - 16) return false;
    if (make) mkdir(folder, 0700);
    strcat(folder, "/tiller");
    if (make && mkdir(folder, 0700) != 0 && errno != EEXIST) return false;
    char uuid[33];
    for (int i = 0; i < 16; i++) snprintf(uuid + 2 * i, 3, "%02x", gpu->facts.cache_uuid[i]);
    return snprintf(out, size, "%s/pipelines-%s.bin", folder, uuid) < (int)size;
}

void tl_gpu_cache_load(struct tl_gpu *gpu)
{
    char path[4096];
    size_t bytes = 0;
    void *data = NULL;
    if (cache_path(gpu, path, sizeof path, false)) data = tl_gpu_cache_file_read(&gpu->facts, path, &bytes);
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                      .initialDataSize = bytes,
                                      .pInitialData = data};
    if (gpu->vk.vkCreatePipelineCache(gpu->device, &info, NULL, &gpu->cache) != VK_SUCCESS) {
        info.initialDataSize = bytes = 0;
        info.pInitialData = NULL;
        if (gpu->vk.vkCreatePipelineCache(gpu->device, &info, NULL, &gpu->cache) != VK_SUCCESS)
            gpu->cache = VK_NULL_HANDLE;
    }
    gpu->cache_loaded_bytes = bytes;
    free(data);
}

void tl_gpu_cache_save(struct tl_gpu *gpu)
{
    size_t bytes = 0;
    if (!gpu->cache || gpu->vk.vkGetPipelineCacheData(gpu->device, gpu->cache, &bytes, NULL) != VK_SUCCESS)
        return;
    /* Caches only grow; 32 bytes are Vulkan's own header, which means empty (llvmpipe keeps its own cache).
     */
    if (bytes <= 32 || bytes <= gpu->cache_loaded_bytes) return;
    void *data = malloc(bytes);
    char path[4096];
    if (data && gpu->vk.vkGetPipelineCacheData(gpu->device, gpu->cache, &bytes, data) == VK_SUCCESS &&
        cache_path(gpu, path, sizeof path, true) && !tl_gpu_cache_file_write(&gpu->facts, path, data, bytes))
        tl_log(TL_LOG_INFO, "pipeline cache %s could not be written", path);
    free(data);
}
