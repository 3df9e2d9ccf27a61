#include "base/half.h"

void tl_half_from_f32(const float *in, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i++) out[i] = tl_f32_to_f16(in[i]);
}

void tl_half_to_f32(const uint16_t *in, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = tl_f16_to_f32(in[i]);
}

void tl_half_bf16_from_f32(const float *in, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i++) out[i] = tl_f32_to_bf16(in[i]);
}

void tl_half_bf16_to_f32(const uint16_t *in, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = tl_bf16_to_f32(in[i]);
}
