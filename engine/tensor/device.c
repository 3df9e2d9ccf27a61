#include "tensor/device.h"

#include <stdlib.h>
#include <string.h>

#ifndef TILLER_HAVE_VULKAN
int tl_device_vulkan_hardware(void)
{
    return -1;
}

struct tl_device *tl_device_vulkan_open(int index, const struct tl_device_params *params, struct tl_err *err)
{
    (void)index;
    (void)params;
    tl_err_set(err, TL_DEVICE, "this build has no Vulkan (TILLER_VULKAN was off); use --device cpu");
    return NULL;
}
#endif

struct tl_device *tl_device_open(const struct tl_device_params *params, struct tl_err *err)
{
    const char *name = params->name ? params->name : "auto";
    if (strcmp(name, "auto") == 0) {
        int hardware = tl_device_vulkan_hardware();
        return hardware >= 0 ? tl_device_vulkan_open(hardware, params, err) : tl_device_cpu_open(params, err);
    }
    if (strcmp(name, "cpu") == 0) return tl_device_cpu_open(params, err);
    if (strcmp(name, "vulkan") == 0) return tl_device_vulkan_open(-1, params, err);
    if (strncmp(name, "vulkan:", 7) == 0) {
        char *end;
        long index = strtol(name + 7, &end, 10);
        if (end != name + 7 && *end == 0 && index >= 0 && index < 64)
            return tl_device_vulkan_open((int)index, params, err);
    }
    tl_err_set(err, TL_USAGE,
               "unknown device '%s'; there are auto, cpu, vulkan, vulkan:N (see tiller doctor)", name);
    return NULL;
}

void tl_device_close(struct tl_device **device)
{
    if (!*device) return;
    (*device)->backend->destroy(*device);
    *device = NULL;
}

void tl_device_bytes(struct tl_device *d, size_t *out_now, size_t *out_peak)
{
    if (out_now) *out_now = atomic_load_explicit(&d->bytes, memory_order_relaxed);
    if (out_peak) *out_peak = atomic_load_explicit(&d->peak, memory_order_relaxed);
}

void tl_device_reset_peak(struct tl_device *d)
{
    atomic_store_explicit(&d->peak, atomic_load_explicit(&d->bytes, memory_order_relaxed),
                          memory_order_relaxed);
}

void tl_device_count_taken(struct tl_device *d, size_t bytes)
{
    size_t now = atomic_fetch_add_explicit(&d->bytes, bytes, memory_order_relaxed) + bytes;
    size_t peak = atomic_load_explicit(&d->peak, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak_explicit(&d->peak, &peak, now, memory_order_relaxed,
                                                                memory_order_relaxed))
        ;
}

void tl_device_count_given(struct tl_device *d, size_t bytes)
{
    atomic_fetch_sub_explicit(&d->bytes, bytes, memory_order_relaxed);
}
