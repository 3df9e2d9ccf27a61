/* Swin's attention inside windows, made of plain ops: nothing is fed, everything differentiates. */
#include <math.h>

#include "models/clap_inner.h"

/* table[2w-1,K] to [w,w,K] with out[j,i] = table[i - j + w - 1]. Rows of length 2w (one more than the table)
 * laid out one behind the other and read again in rows of 2w - 1 start one place earlier each time. */
static tl_val by_distance(struct tl_graph *g, tl_val table, int64_t w, int64_t k)
{
    tl_val rows = tl_pad(g, table, 0, 0, 1);
    rows = tl_broadcast(g, tl_reshape(g, rows, tl_shape3(1, 2 * w, k)), tl_shape3(w, 2 * w, k));
    rows = tl_slice(g, tl_reshape(g, rows, tl_shape2(2 * w * w, k)), 0, 0, w * (2 * w - 1));
    return tl_slice(g, tl_reshape(g, rows, tl_shape3(w, 2 * w - 1, k)), 1, w - 1, w);
}

/* The table [(2w-1)^2, heads] as a bias [heads, w*w queries, w*w keys]: entry
 * (query y - key y + w-1) * (2w-1) + query x - key x + w-1. */
static tl_val relative_bias(struct tl_nn *nn, int64_t w, int64_t heads, const char *name)
{
    struct tl_graph *g = nn->g;
    int64_t side = 2 * w - 1;
    tl_val table = tl_nn_weight(nn, tl_shape2(side * side, heads), "%s.relative_position_bias_table", name);
    tl_val y = by_distance(g, tl_reshape(g, table, tl_shape2(side, side * heads)), w, side * heads);
    y = tl_permute(g, tl_reshape(g, y, tl_shape3(w * w, side, heads)), (const int32_t[]){1, 0, 2});
    tl_val yx = by_distance(g, tl_reshape(g, y, tl_shape2(side, w * w * heads)), w, w * w * heads);
    yx = tl_reshape(g, yx, (struct tl_shape){5, {w, w, w, w, heads}}); /* key x, query x, key y, query y */
    yx = tl_permute(g, yx, (const int32_t[]){4, 3, 1, 2, 0});
    return tl_reshape(g, yx, tl_shape3(heads, w * w, w * w));
}

/* [N,H,W,C] to [N*windows, w, w*C] and back. */
static tl_val to_windows(struct tl_graph *g, tl_val x, int64_t w)
{
    if (x < 0) return TL_NONE;
    struct tl_shape s = *tl_shape_of(g, x);
    int64_t rows = s.dim[0] * s.dim[1] / w, across = s.dim[2] / w, c = s.dim[3];
    x = tl_permute(g, tl_reshape(g, x, tl_shape4(rows, w, across, w * c)), (const int32_t[]){0, 2, 1, 3});
    return tl_reshape(g, x, tl_shape3(rows * across, w, w * c));
}

static tl_val from_windows(struct tl_graph *g, tl_val x, int64_t w, struct tl_shape to)
{
    int64_t rows = to.dim[0] * to.dim[1] / w, across = to.dim[2] / w;
    x = tl_reshape(g, x, tl_shape4(rows, across, w, w * to.dim[3]));
    return tl_reshape(g, tl_permute(g, x, (const int32_t[]){0, 2, 1, 3}), to);
}

/* out[i] = x[(i + by) mod n] along an axis. */
static tl_val roll(struct tl_graph *g, tl_val x, int axis, int64_t by)
{
    if (x < 0 || by == 0) return x;
    int64_t n = tl_shape_of(g, x)->dim[axis];
    return tl_concat(g, tl_slice(g, x, axis, by, n - by), tl_slice(g, x, axis, 0, by), axis);
}

static tl_val roll_both(struct tl_graph *g, tl_val x, int64_t by_y, int64_t by_x)
{
    return roll(g, roll(g, x, 1, by_y), 2, by_x);
}

/* The number of each place's region along an axis that was rolled: 0 before the last window, 1 in it, 2 for
 * what came round from the other end. [n] */
static tl_val regions(struct tl_graph *g, int64_t n, int64_t w, int64_t shift, float unit)
{
    tl_val last =
        tl_concat(g, tl_fill(g, tl_shape1(w - shift), unit), tl_fill(g, tl_shape1(shift), 2 * unit), 0);
    return n == w ? last : tl_concat(g, tl_fill(g, tl_shape1(n - w), 0), last, 0);
}

/* -100 between places of different regions, else 0: [windows, L, L]. */
static tl_val shift_mask(struct tl_graph *g, int64_t height, int64_t width, int64_t w, int64_t shift)
{
    int64_t l = w * w, n = height * width / l;
    tl_val y = tl_reshape(g, regions(g, height, w, shift, 3), tl_shape4(1, height, 1, 1));
    tl_val x = tl_reshape(g, regions(g, width, w, shift, 1), tl_shape4(1, 1, width, 1));
    tl_val r = to_windows(g, tl_add(g, y, x), w);
    tl_val gap = tl_sub(g, tl_reshape(g, r, tl_shape3(n, l, 1)), tl_reshape(g, r, tl_shape3(n, 1, l)));
    gap = tl_unary(g, TL_UNARY_SQUARE, gap, 0, 0); /* 0, or 1 and more */
    return tl_scale(g, tl_unary(g, TL_UNARY_CLAMP, gap, 0, 1), -100);
}

/* [B,L,C] to [B*heads, L, C/heads] and back. */
static tl_val to_heads(struct tl_graph *g, tl_val x, int64_t b, int64_t l, int64_t heads, int64_t c)
{
    x = tl_permute(g, tl_reshape(g, x, tl_shape4(b, l, heads, c / heads)), (const int32_t[]){0, 2, 1, 3});
    return tl_reshape(g, x, tl_shape3(b * heads, l, c / heads));
}

static tl_val from_heads(struct tl_graph *g, tl_val x, int64_t b, int64_t l, int64_t heads, int64_t c)
{
    x = tl_permute(g, tl_reshape(g, x, tl_shape4(b, heads, l, c / heads)), (const int32_t[]){0, 2, 1, 3});
    return tl_reshape(g, x, tl_shape3(b, l, c));
}

/* x [B,L,C] of n pictures, B windows in all; mask [B/n, L, L] or TL_NONE. */
static tl_val attend(struct tl_nn *nn, tl_val x, int64_t n, tl_val mask, const struct tl_clap_windows *how,
                     const char *name)
{
    struct tl_graph *g = nn->g;
    if (x < 0) return TL_NONE;
    struct tl_shape s = *tl_shape_of(g, x);
    int64_t b = s.dim[0], l = s.dim[1], c = s.dim[2], heads = how->heads;
    tl_val q = tl_nn_linear(nn, x, c, how->has_bias, "%s.query", name);
    tl_val k = tl_nn_linear(nn, x, c, how->has_bias, "%s.key", name);
    tl_val v = tl_nn_linear(nn, x, c, how->has_bias, "%s.value", name);
    q = tl_scale(g, to_heads(g, q, b, l, heads, c), 1.0f / sqrtf((float)(c / heads)));
    tl_val scores = tl_gemm(g, q, to_heads(g, k, b, l, heads, c), TL_NONE, TL_NONE, false, true);
    tl_val bias = relative_bias(nn, how->window, heads, name);
    int64_t period = heads; /* the bias repeats after so many score matrices */
    if (mask >= 0) {
        period *= b / n;
        bias = tl_add(g, tl_reshape(g, bias, tl_shape4(1, heads, l, l)),
                      tl_reshape(g, mask, tl_shape4(b / n, 1, l, l)));
    }
    scores = tl_add(g, tl_reshape(g, scores, tl_shape2(b * heads / period, period * l * l)),
                    tl_reshape(g, bias, tl_shape2(1, period * l * l)));
    tl_val p = tl_softmax(g, tl_reshape(g, scores, tl_shape3(b * heads, l, l)));
    tl_val o = tl_gemm(g, p, to_heads(g, v, b, l, heads, c), TL_NONE, TL_NONE, false, false);
    return from_heads(g, o, b, l, heads, c);
}

tl_val tl_clap_window_attention(struct tl_nn *nn, tl_val x, const struct tl_clap_windows *how,
                                const char *name)
{
    struct tl_graph *g = nn->g;
    if (x < 0) return TL_NONE;
    struct tl_shape s = *tl_shape_of(g, x), full = s;
    int64_t w = how->window, shift = how->shift;
    full.dim[1] = (s.dim[1] + w - 1) / w * w;
    full.dim[2] = (s.dim[2] + w - 1) / w * w;
    x = tl_pad(g, tl_pad(g, x, 1, 0, full.dim[1] - s.dim[1]), 2, 0, full.dim[2] - s.dim[2]);
    x = to_windows(g, roll_both(g, x, shift, shift), w);
    tl_val mask = shift ? shift_mask(g, full.dim[1], full.dim[2], w, shift) : TL_NONE;
    int64_t n_windows = tl_shape_count(&full) / (w * w * s.dim[3]);
    x = attend(nn, tl_reshape(g, x, tl_shape3(n_windows, w * w, s.dim[3])), s.dim[0], mask, how, name);
    x = from_windows(g, x, w, full);
    if (shift) x = roll_both(g, x, full.dim[1] - shift, full.dim[2] - shift);
    return tl_slice(g, tl_slice(g, x, 1, 0, s.dim[1]), 2, 0, s.dim[2]);
}
