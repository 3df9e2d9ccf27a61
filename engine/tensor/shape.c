#include "tensor/shape.h"

#include <stdio.h>

#include "base/checked.h"

size_t tl_dtype_bytes(enum tl_dtype dtype)
{
    static const size_t bytes[TL_N_DTYPES] = {
        [TL_F32] = 4, [TL_F16] = 2, [TL_BF16] = 2, [TL_I32] = 4, [TL_U8] = 1};
    return bytes[dtype];
}

const char *tl_dtype_name(enum tl_dtype dtype)
{
    static const char *const names[TL_N_DTYPES] = {
        [TL_F32] = "f32", [TL_F16] = "f16", [TL_BF16] = "bf16", [TL_I32] = "i32", [TL_U8] = "u8"};
    return names[dtype];
}

bool tl_shape_valid(const struct tl_shape *s)
{
    if (s->rank < 1 || s->rank > TL_RANK_MAX) return false;
    size_t n = 16; /* room for the widest element and its alignment */
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] < 1 || !tl_checked_mul(n, (size_t)s->dim[i], &n)) return false;
    return n <= INT64_MAX;
}

const char *tl_shape_text(const struct tl_shape *s, char text[96])
{
    int used = snprintf(text, 96, "[");
    for (int i = 0; i < s->rank && i < TL_RANK_MAX && used < 90; i++)
        used += snprintf(text + used, 96 - (size_t)used, i ? ",%lld" : "%lld", (long long)s->dim[i]);
    if (used < 95) snprintf(text + used, 96 - (size_t)used, "]");
    return text;
}
