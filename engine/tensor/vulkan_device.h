/* Inside of the vulkan device, for benches and tests: its context, and where time goes. */
#ifndef TL_TENSOR_VULKAN_DEVICE_H
#define TL_TENSOR_VULKAN_DEVICE_H

#include "gpu/gpu_command.h"
#include "gpu/gpu_context.h"
#include "tensor/device.h"

/* The context of a device made by tl_device_vulkan_open; borrowed. NULL for another device. */
struct tl_gpu *tl_device_vulkan_gpu(struct tl_device *device);

/* Programs recorded from now on are timed, command by command (barriers then keep commands apart). */
void tl_device_vulkan_set_timed(struct tl_device *device, bool on);
/* For tests: programs made from now on write as if the device bound only so many elements at once. */
void tl_device_vulkan_set_limit(struct tl_device *device, int64_t elements);
/* Seconds by label since the last call, of all timed runs; up to cap, the number of labels is returned. */
size_t tl_device_vulkan_times(struct tl_device *device, struct tl_gpu_time *out, size_t cap);

#endif
