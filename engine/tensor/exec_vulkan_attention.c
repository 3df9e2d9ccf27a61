/* attention and its gradient: tiles of scores of bounded size, made and used by the fast matrix products,
 * with one pass over each tile's rows in between. A tile is some samples with all their queries, or some
 * queries of one sample, always with all heads and keys. Sums over tiles are added in order. */
#include "gpu/gpu_gemm.h"
#include "tensor/vulkan_call.h"

/* Scores a tile holds, about: what caches hold on a CPU, what keeps a GPU busy. */
enum { CPU_TILE = 1 << 20, GPU_TILE = 1 << 24, LEAST_QUERIES = 16 };

struct attention {
    struct tl_vulkan_call *call;
    int64_t n, t, s, c, heads, d;
    float scale;
    int64_t tile_n, tile_t;                 /* samples and queries a tile */
    int64_t first_n, now_n, first_t, now_t; /* the present one */
    struct tl_gpu_slice mask;               /* no buffer: none */
};

/* shaders/attention/attention.glsl */
struct attention_push {
    int32_t rows, keys, queries;
    int32_t n_queries, heads;
    int32_t first_query, first_sample;
    int32_t width, channels;
    float scale;
};

static struct attention attention_of(struct tl_vulkan_call *call)
{
    const struct tl_shape *q = call->in_shape[0], *k = call->in_shape[1];
    struct attention a = {.call = call,
                          .n = q->dim[0],
                          .t = q->dim[1],
                          .s = k->dim[1],
                          .c = q->dim[2],
                          .heads = call->attr->attention.heads,
                          .scale = call->attr->attention.scale,
                          .mask = call->in[3]};
    a.d = a.c / a.heads;
    const int64_t most = tl_gpu_min(call->cpu ? CPU_TILE : GPU_TILE, tl_vulkan_limit(call));
    const int64_t sample = a.heads * a.t * a.s;
    a.tile_n = sample <= most ? tl_gpu_min(most / sample, a.n) : 1;
    a.tile_t = a.t;
    if (sample > most) {
        a.tile_t = most / (a.heads * a.s) / LEAST_QUERIES * LEAST_QUERIES;
        if (a.tile_t < LEAST_QUERIES) a.tile_t = LEAST_QUERIES;
        if (a.tile_t > a.t) a.tile_t = a.t;
    }
    return a;
}

static int64_t tile_elements(const struct attention *a)
{
    return a->tile_n * a->heads * a->tile_t * a->s;
}

/* A matrix a sample and head: where it begins, its row stride, and its steps along heads and samples. */
struct operand {
    struct tl_gpu_slice slice;
    int64_t first, ld, head, sample;
};

static struct operand tile_operand(const struct attention *a, struct tl_gpu_slice tile)
{
    return (struct operand){tile, 0, a->s, a->now_t * a->s, a->heads * a->now_t * a->s};
}

/* Rows of queries (q, o, and their gradients) or of keys (k, v). */
static struct operand query_operand(const struct attention *a, struct tl_gpu_slice x)
{
    return (struct operand){x, (a->first_n * a->t + a->first_t) * a->c, a->c, a->d, a->t * a->c};
}

static struct operand key_operand(const struct attention *a, struct tl_gpu_slice x)
{
    return (struct operand){x, a->first_n * a->s * a->c, a->c, a->d, a->s * a->c};
}

static struct tl_gpu_slice from(struct operand o)
{
    o.slice.offset += (uint64_t)o.first * 4;
    o.slice.bytes -= (uint64_t)o.first * 4;
    return o.slice;
}

/* out = alpha * x op y (+ out) for every head and sample of the tile */
static bool product(const struct attention *a, enum tl_gpu_gemm_op op, int64_t m, int64_t n, int64_t k,
                    float alpha, struct operand x, struct operand y, struct operand out, bool accumulate,
                    struct tl_err *err)
{
    struct tl_gpu_gemm g = {.op = op,
                            .m = m,
                            .n = n,
                            .k = k,
                            .lda = x.ld,
                            .ldb = y.ld,
                            .ldc = out.ld,
                            .batch = {a->heads, a->now_n},
                            .a_stride = {x.head, x.sample},
                            .b_stride = {y.head, y.sample},
                            .c_stride = {out.head, out.sample},
                            .a = from(x),
                            .b = from(y),
                            .c = from(out),
                            .alpha = alpha,
                            .accumulate = accumulate};
    return !a->call->program || tl_gpu_gemm_record(a->call->gpu, a->call->program, &g, err);
}

static bool run_rows(const struct attention *a, struct tl_vulkan_launch launch, struct tl_err *err)
{
    const int64_t rows = a->now_n * a->heads * a->now_t;
    const struct attention_push push = {
        (int32_t)rows,       (int32_t)a->s,       (int32_t)a->now_t, (int32_t)a->t, (int32_t)a->heads,
        (int32_t)a->first_t, (int32_t)a->first_n, (int32_t)a->d,     (int32_t)a->c, a->scale};
    launch.spec[0] = tl_vulkan_row_share(a->call, rows, a->s);
    launch.spec[1] = a->s % 4 == 0;
    launch.spec[2] = a->call->attr->attention.causal != 0;
    launch.spec[3] = a->mask.buffer != NULL;
    launch.spec[4] = a->d % 4 == 0;
    launch.n_spec = 5;
    launch.push = &push;
    launch.push_bytes = sizeof push;
    launch.rows = rows;
    launch.bytes = 16.0 * (double)(rows * a->s);
    return tl_vulkan_run(a->call, &launch, err);
}

/* Calls body for every tile in order. */
static bool each_tile(struct attention *a, void *user,
                      bool (*body)(const struct attention *a, void *user, struct tl_err *err),
                      struct tl_err *err)
{
    for (a->first_n = 0; a->first_n < a->n; a->first_n += a->tile_n) {
        a->now_n = tl_gpu_min(a->tile_n, a->n - a->first_n);
        for (a->first_t = 0; a->first_t < a->t; a->first_t += a->tile_t) {
            a->now_t = tl_gpu_min(a->tile_t, a->t - a->first_t);
            if (!body(a, user, err)) return false;
        }
    }
    return true;
}

static bool forward_tile(const struct attention *a, void *user, struct tl_err *err)
{
    const struct tl_vulkan_call *call = a->call;
    const struct tl_gpu_slice scores = *(struct tl_gpu_slice *)user;
    const bool vec = a->s % 4 == 0;
    const struct operand tile = tile_operand(a, scores);
    const struct tl_vulkan_launch softmax = {
        .kernel = "attention_softmax",
        .bind = {tl_gpu_texels(scores, vec), tl_gpu_texels(a->mask.buffer ? a->mask : scores, vec), scores,
                 call->out[1]},
        .n_bind = 4,
    };
    return product(a, TL_GPU_NT, a->now_t, a->s, a->d, a->scale, query_operand(a, call->in[0]),
                   key_operand(a, call->in[1]), tile, false, err) &&
           run_rows(a, softmax, err) &&
           product(a, TL_GPU_NN, a->now_t, a->d, a->s, 1, tile, key_operand(a, call->in[2]),
                   query_operand(a, call->out[0]), false, err);
}

bool tl_vulkan_attention(struct tl_vulkan_call *call, struct tl_err *err)
{
    if (!tl_vulkan_fits(call, err)) return false;
    struct attention a = attention_of(call);
    struct tl_gpu_slice scores = tl_vulkan_scratch(call, tile_elements(&a));
    return each_tile(&a, &scores, forward_tile, err);
}

/* Operands of attention_grad: q, k, v, mask, o, lse, do; results dq, dk, dv. */
enum { Q, K, V, MASK, O, LSE, DO };

static bool backward_tile(const struct attention *a, void *user, struct tl_err *err)
{
    const struct tl_vulkan_call *call = a->call;
    const struct tl_gpu_slice *tiles = user; /* probabilities, cotangents of the scores */
    const bool vec = a->s % 4 == 0, head_vec = a->d % 4 == 0, later = a->first_t > 0;
    const struct operand p = tile_operand(a, tiles[0]), ds = tile_operand(a, tiles[1]);
    const struct tl_vulkan_launch rows = {
        .kernel = "attention_grad",
        .bind = {tl_gpu_texels(tiles[0], vec), tl_gpu_texels(tiles[1], vec),
                 tl_gpu_texels(a->mask.buffer ? a->mask : tiles[0], vec),
                 tl_gpu_texels(call->in[O], head_vec), tl_gpu_texels(call->in[DO], head_vec),
                 tl_gpu_texels(call->in[LSE], false), tiles[0], tiles[1]},
        .n_bind = 8,
    };
    if (!product(a, TL_GPU_NT, a->now_t, a->s, a->d, a->scale, query_operand(a, call->in[Q]),
                 key_operand(a, call->in[K]), p, false, err) ||
        !product(a, TL_GPU_NT, a->now_t, a->s, a->d, 1, query_operand(a, call->in[DO]),
                 key_operand(a, call->in[V]), ds, false, err) ||
        !run_rows(a, rows, err))
        return false;
    if (call->wanted[2] && !product(a, TL_GPU_TN, a->s, a->d, a->now_t, 1, p, query_operand(a, call->in[DO]),
                                    key_operand(a, call->out[2]), later, err))
        return false;
    if (call->wanted[0] && !product(a, TL_GPU_NN, a->now_t, a->d, a->s, 1, ds, key_operand(a, call->in[K]),
                                    query_operand(a, call->out[0]), false, err))
        return false;
    return !call->wanted[1] ||
           product(a, TL_GPU_TN, a->s, a->d, a->now_t, 1, ds, query_operand(a, call->in[Q]),
                   key_operand(a, call->out[1]), later, err);
}

bool tl_vulkan_attention_grad(struct tl_vulkan_call *call, struct tl_err *err)
{
    if (!tl_vulkan_fits(call, err)) return false;
    struct attention a = attention_of(call);
    struct tl_gpu_slice tiles[2];
    tiles[0] = tl_vulkan_scratch(call, tile_elements(&a));
    tiles[1] = tl_vulkan_scratch(call, tile_elements(&a));
    return each_tile(&a, tiles, backward_tile, err);
}
