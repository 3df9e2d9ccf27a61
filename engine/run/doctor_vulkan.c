#include "run/doctor_vulkan.h"

#include <stdio.h>

#ifdef TILLER_HAVE_VULKAN

#include "gpu/gpu_context.h"
#include "tensor/device.h"

enum { MOST_DEVICES = 16 };

static void add_limits(cJSON *out, const struct tl_gpu_facts *f)
{
    tl_listing_count(out, "heap_bytes", f->heap_bytes);
    tl_listing_count(out, "max_allocation_bytes", f->max_allocation_bytes);
    tl_listing_count(out, "max_storage_bytes", f->max_storage_bytes);
    tl_listing_count(out, "max_texels", f->max_texels);
    tl_listing_count(out, "storage_align_bytes", f->storage_align);
    tl_listing_count(out, "texel_align_bytes", f->texel_align);
    tl_listing_count(out, "max_push_bytes", f->max_push_bytes);
    tl_listing_count(out, "shared_bytes", f->shared_bytes);
    tl_listing_count(out, "max_invocations", f->max_invocations);
    tl_listing_count(out, "subgroup_size", f->subgroup_size);
    tl_listing_format(out, "max_groups", "%u x %u x %u", f->max_groups[0], f->max_groups[1],
                      f->max_groups[2]);
    tl_listing_number(out, "timestamp_ns", f->timestamp_ns);
}

static void add_device(cJSON *out, const struct tl_gpu_facts *f)
{
    tl_listing_format(out, "name", "vulkan:%d", f->index);
    tl_listing_text(out, "device", f->name);
    tl_listing_text(out, "driver", f->driver);
    tl_listing_text(out, "type", f->type);
    tl_listing_text(out, "api", f->api);
    tl_listing_text(out, "kernels", f->kind == TL_GPU_CLASS_CPU ? "for CPU drivers" : "for GPUs");
    tl_listing_bool(out, "usable", f->usable);
    if (!f->usable) tl_listing_text(out, "lacks", f->missing);
    add_limits(tl_listing_object(out, "limits"), f);
    cJSON *rows = tl_listing_array(out, "features");
    for (int i = 0; i < TL_GPU_N_FEATURES; i++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "feature", tl_gpu_features[i].name);
        tl_listing_bool(row, "found", tl_gpu_facts_has(f, (enum tl_gpu_feature_id)i));
        tl_listing_bool(row, "needed", tl_gpu_features[i].needed);
        tl_listing_text(row, "purpose", tl_gpu_features[i].purpose);
    }
}

static void explain(const struct tl_gpu_facts *facts, size_t n, char *why, size_t size)
{
    int hardware = tl_device_vulkan_hardware();
    if (hardware >= 0) {
        snprintf(why, size, "vulkan:%d is a hardware GPU with all that is needed", hardware);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (facts[i].usable) {
            snprintf(why, size, "no hardware GPU; vulkan:%d runs on the CPU, where the cpu device is faster",
                     facts[i].index);
            return;
        }
    snprintf(why, size,
             n ? "no Vulkan device has all that is needed" : "the Vulkan loader is there, but no driver");
}

void tl_doctor_add_vulkan(cJSON *out, char *why, size_t size)
{
    struct tl_gpu_facts facts[MOST_DEVICES];
    struct tl_err err = {0};
    size_t n = 0;
    if (!tl_gpu_list(facts, MOST_DEVICES, &n, &err)) {
        tl_listing_bool(out, "found", false);
        tl_listing_text(out, "problem", err.text);
        snprintf(why, size, "no Vulkan: %s", err.text);
        return;
    }
    tl_listing_bool(out, "found", true);
    tl_listing_count(out, "count", n);
    if (n > MOST_DEVICES) n = MOST_DEVICES;
    cJSON *rows = n ? tl_listing_array(out, "devices") : NULL;
    for (size_t i = 0; i < n; i++) add_device(tl_listing_row(rows), &facts[i]);
    explain(facts, n, why, size);
}

#else

void tl_doctor_add_vulkan(cJSON *out, char *why, size_t size)
{
    tl_listing_bool(out, "found", false);
    tl_listing_text(out, "problem", "this build has no Vulkan (TILLER_VULKAN was off)");
    snprintf(why, size, "this build has no Vulkan");
}

#endif
