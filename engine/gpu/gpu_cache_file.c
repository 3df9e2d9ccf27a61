#include "gpu/gpu_cache_file.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tiller/log.h>

#include "base/sha256.h"

struct header {
    char magic[8];
    uint32_t vendor, device, driver, reserved;
    uint8_t uuid[16];
    uint64_t bytes;
    char hash[64]; /* SHA-256 of the payload in hex */
};

enum { MAX_BYTES = 256 << 20 };

static struct header make_header(const struct tl_gpu_facts *facts, const void *data, size_t bytes)
{
    struct header h = {.vendor = facts->vendor_id,
                       .device = facts->device_id,
                       .driver = facts->driver_version,
                       .bytes = bytes};
    memcpy(h.magic, "TLRPIPE1", sizeof h.magic);
    memcpy(h.uuid, facts->cache_uuid, sizeof h.uuid);
    struct tl_sha256 s;
    char hex[65];
    tl_sha256_init(&s);
    tl_sha256_add(&s, data, bytes);
    tl_sha256_hex(&s, hex);
    memcpy(h.hash, hex, sizeof h.hash);
    return h;
}

void *tl_gpu_cache_file_read(const struct tl_gpu_facts *facts, const char *path, size_t *out_bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    struct header h;
    void *data = NULL;
    bool ok = fread(&h, sizeof h, 1, f) == 1 && h.bytes > 0 && h.bytes <= MAX_BYTES &&
              (data = malloc(h.bytes)) && fread(data, 1, h.bytes, f) == h.bytes && fgetc(f) == EOF;
    fclose(f);
    if (ok) {
        const struct header want = make_header(facts, data, h.bytes);
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

bool tl_gpu_cache_file_write(const struct tl_gpu_facts *facts, const char *path, const void *data,
                             size_t bytes)
{
    char temporary[4200];
    if (bytes == 0 || bytes > MAX_BYTES) return false;
    if (snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid()) >= (int)sizeof temporary)
        return false;
    const struct header h = make_header(facts, data, bytes);
    FILE *f = fopen(temporary, "wb");
    if (!f) return false;
    bool ok = fwrite(&h, sizeof h, 1, f) == 1 && fwrite(data, 1, bytes, f) == bytes;
    ok = fclose(f) == 0 && ok;
    ok = ok && rename(temporary, path) == 0;
    if (!ok) remove(temporary);
    return ok;
}
