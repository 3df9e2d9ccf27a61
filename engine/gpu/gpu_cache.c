/* The pipeline cache on disk: $XDG_CACHE_HOME/tiller (or ~/.cache/tiller) / pipelines-<uuid>.bin.
 * A file is input like any other: our own header with a hash, the driver's identity and the length stands in
 * front, and whatever does not match is ignored. Failing to read or write it costs time, never a run. */
#include "gpu/gpu_vk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tiller/log.h>

#include "base/sha256.h"

struct header {
    char magic[8];
    uint32_t vendor, device, driver, reserved;
    uint8_t uuid[16];
    uint64_t bytes;
    char hash[64];
};

enum { MAX_CACHE_BYTES = 256 << 20 };

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

static struct header make_header(const struct tl_gpu *gpu, const void *data, size_t bytes)
{
    struct header h = {.magic = "TLRPIPE1",
                       .vendor = gpu->facts.vendor_id,
                       .device = gpu->facts.device_id,
                       .driver = gpu->facts.driver_version,
                       .bytes = bytes};
    memcpy(h.uuid, gpu->facts.cache_uuid, sizeof h.uuid);
    struct tl_sha256 s;
    char hex[65];
    tl_sha256_init(&s);
    tl_sha256_add(&s, data, bytes);
    tl_sha256_hex(&s, hex);
    memcpy(h.hash, hex, sizeof h.hash);
    return h;
}

/* The checked payload, or NULL. The caller frees. */
static void *read_payload(const struct tl_gpu *gpu, const char *path, size_t *out_bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    struct header h;
    void *data = NULL;
    bool ok = fread(&h, sizeof h, 1, f) == 1 && memcmp(h.magic, "TLRPIPE1", 8) == 0 && h.bytes > 0 &&
              h.bytes <= MAX_CACHE_BYTES && (data = malloc(h.bytes)) &&
              fread(data, 1, h.bytes, f) == h.bytes && fgetc(f) == EOF;
    fclose(f);
    if (ok) {
        struct header want = make_header(gpu, data, h.bytes);
        ok = memcmp(&want, &h, sizeof h) == 0;
    }
    if (!ok) {
        tl_log(TL_LOG_INFO, "pipeline cache %s does not match this driver or is damaged: ignored", path);
        free(data);
        return NULL;
    }
    *out_bytes = h.bytes;
    return data;
}

void tl_gpu_cache_load(struct tl_gpu *gpu)
{
    char path[4096];
    size_t bytes = 0;
    void *data = cache_path(gpu, path, sizeof path, false) ? read_payload(gpu, path, &bytes) : NULL;
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

static bool write_file(const char *path, const struct header *h, const void *data)
{
    char temporary[4200];
    snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    FILE *f = fopen(temporary, "wb");
    if (!f) return false;
    bool ok = fwrite(h, sizeof *h, 1, f) == 1 && fwrite(data, 1, h->bytes, f) == h->bytes;
    ok = fclose(f) == 0 && ok;
    ok = ok && rename(temporary, path) == 0;
    if (!ok) remove(temporary);
    return ok;
}

void tl_gpu_cache_save(struct tl_gpu *gpu)
{
    size_t bytes = 0;
    if (!gpu->cache || gpu->vk.vkGetPipelineCacheData(gpu->device, gpu->cache, &bytes, NULL) != VK_SUCCESS)
        return;
    /* Caches only grow; 32 bytes are Vulkan's own header, which means empty. */
    if (bytes <= 32 || bytes <= gpu->cache_loaded_bytes || bytes > MAX_CACHE_BYTES) return;
    void *data = malloc(bytes);
    char path[4096];
    if (data && gpu->vk.vkGetPipelineCacheData(gpu->device, gpu->cache, &bytes, data) == VK_SUCCESS &&
        cache_path(gpu, path, sizeof path, true)) {
        struct header h = make_header(gpu, data, bytes);
        if (!write_file(path, &h, data)) tl_log(TL_LOG_INFO, "pipeline cache %s could not be written", path);
    }
    free(data);
}
