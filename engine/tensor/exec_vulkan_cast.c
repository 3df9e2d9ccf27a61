/* cast: shaders/elementwise/cast.comp. */
#include "tensor/vulkan_call.h"

struct cast_push {
    uint32_t n;
};

static struct tl_gpu_slice part(struct tl_gpu_slice s, int64_t first, int64_t n, int64_t width)
{
    s.offset += (uint64_t)(first * width);
    s.bytes = (uint64_t)(n * width);
    return s;
}

/* In fours, the last perhaps partial, in windows that the device can bind: of 16 bytes, or of 8 in halves. */
bool tl_vulkan_cast(struct tl_vulkan_call *call, struct tl_err *err)
{
    const int32_t from = call->attr->cast.from, to = call->attr->cast.dtype;
    const int64_t width_in = from == TL_F32 ? 16 : 8, width_out = to == TL_F32 ? 16 : 8;
    const int64_t fours = tl_gpu_ceil_div(tl_shape_count(call->out_shape[0]), 4),
                  limit = tl_vulkan_limit(call) / 4, window = limit - limit % (TL_GPU_ALIGN / 8);
    if (!tl_vulkan_fits(call, err)) return false;
    for (int64_t first = 0; first < fours; first += window) {
        const int64_t n = tl_gpu_min(window, fours - first);
        const struct cast_push push = {(uint32_t)n};
        const struct tl_vulkan_launch launch = {
            .kernel = "cast",
            .spec = {(uint32_t)from, (uint32_t)to},
            .n_spec = 2,
            .bind = {tl_vulkan_ints(part(call->in[0], first, n, width_in)),
                     part(call->out[0], first, n, width_out)},
            .n_bind = 2,
            .push = &push,
            .push_bytes = sizeof push,
            .lanes = n,
            .bytes = (double)(n * (width_in + width_out)),
        };
        if (!tl_vulkan_run(call, &launch, err)) return false;
    }
    return true;
}
