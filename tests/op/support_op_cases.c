/* The table of cases: what can be written down as rows. Those that come in families are generated in
 * support_op_families.c. */
#include "op/support_op_families.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHAPE(...)                                                                                           \
    {                                                                                                        \
        (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                                           \
        {                                                                                                    \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define IN(kind, ...)                                                                                        \
    {                                                                                                        \
        OP_##kind, SHAPE(__VA_ARGS__)                                                                        \
    }
#define X(...) IN(NORMAL, __VA_ARGS__)
#define D(...) IN(COTANGENT, __VA_ARGS__)
#define Y(...) SHAPE(__VA_ARGS__)
#define PERMUTE(...)                                                                                         \
    {                                                                                                        \
        .permute = { {__VA_ARGS__} }                                                                         \
    }

/* clang-format off */
static const struct op_case rows[] = {
    {TL_OP_FILL, {.fill = {1.5f}}, {{0}}, {Y(1)}},
    {TL_OP_FILL, {.fill = {-0.3f}}, {{0}}, {Y(3, 1, 2, 1, 5)}},
    {TL_OP_FILL, {.fill = {2}}, {{0}}, {Y(40001)}},

    {TL_OP_CAST, {.cast = {TL_F32, TL_F16}}, {X(1)}, {Y(1)}},
    {TL_OP_CAST, {.cast = {TL_F32, TL_F16}}, {X(3, 5, 7)}, {Y(3, 5, 7)}},
    {TL_OP_CAST, {.cast = {TL_F32, TL_F16}}, {X(40003)}, {Y(40003)}},
    {TL_OP_CAST, {.cast = {TL_F32, TL_BF16}}, {X(2)}, {Y(2)}},
    {TL_OP_CAST, {.cast = {TL_F32, TL_BF16}}, {X(3, 40001)}, {Y(3, 40001)}},
    {TL_OP_CAST, {.cast = {TL_F16, TL_F32}}, {X(1)}, {Y(1)}},
    {TL_OP_CAST, {.cast = {TL_F16, TL_F32}}, {X(3, 5, 7)}, {Y(3, 5, 7)}},
    {TL_OP_CAST, {.cast = {TL_F16, TL_F32}}, {X(40003)}, {Y(40003)}},
    {TL_OP_CAST, {.cast = {TL_BF16, TL_F32}}, {X(3)}, {Y(3)}},
    {TL_OP_CAST, {.cast = {TL_BF16, TL_F32}}, {X(5, 1, 1601)}, {Y(5, 1, 1601)}},
    {TL_OP_CAST, {.cast = {TL_F16, TL_BF16}}, {X(1)}, {Y(1)}},
    {TL_OP_CAST, {.cast = {TL_F16, TL_BF16}}, {X(17, 63)}, {Y(17, 63)}},
    {TL_OP_CAST, {.cast = {TL_BF16, TL_F16}}, {X(17, 63)}, {Y(17, 63)}},
    {TL_OP_CAST, {.cast = {TL_BF16, TL_F16}}, {X(40003)}, {Y(40003)}},

    {TL_OP_REDUCE_SUM, {{0}}, {X(7)}, {Y(1)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(3, 5)}, {Y(1, 5)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(3, 5)}, {Y(3, 1)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(2, 3, 4, 5)}, {Y(2, 1, 1, 5)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(2, 3, 4, 5)}, {Y(1, 3, 1, 5)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(2, 3, 4, 5)}, {Y(2, 1, 4, 1)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(2, 3, 4, 5)}, {Y(1, 3, 4, 1)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(2, 3, 4, 5, 6)}, {Y(1, 3, 1, 5, 1)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(2, 3, 1, 5, 1)}, {Y(2, 1, 1, 5, 1)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(5, 1100)}, {Y(1, 1100)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(40000, 3)}, {Y(1, 3)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(100003)}, {Y(1)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(3, 50000)}, {Y(3, 1)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(7, 11, 600)}, {Y(7, 1, 1)}},
    {TL_OP_REDUCE_SUM, {{0}}, {X(300, 4, 40)}, {Y(1, 4, 1)}},

    {TL_OP_BROADCAST, {{0}}, {X(1)}, {Y(7)}},
    {TL_OP_BROADCAST, {{0}}, {X(1, 5)}, {Y(3, 5)}},
    {TL_OP_BROADCAST, {{0}}, {X(3, 1)}, {Y(3, 5)}},
    {TL_OP_BROADCAST, {{0}}, {X(2, 1, 1, 5)}, {Y(2, 3, 4, 5)}},
    {TL_OP_BROADCAST, {{0}}, {X(2, 1, 4, 1)}, {Y(2, 3, 4, 5)}},
    {TL_OP_BROADCAST, {{0}}, {X(1, 3, 1, 5, 1)}, {Y(2, 3, 4, 5, 6)}},
    {TL_OP_BROADCAST, {{0}}, {X(3, 1)}, {Y(3, 20000)}},

    {TL_OP_RESHAPE, {{0}}, {X(2, 3, 4)}, {Y(4, 6)}},
    {TL_OP_RESHAPE, {{0}}, {X(5)}, {Y(1, 1, 5, 1)}},

    {TL_OP_PERMUTE, PERMUTE(1, 0), {X(3, 5)}, {Y(5, 3)}},
    {TL_OP_PERMUTE, PERMUTE(1, 0), {X(1, 5)}, {Y(5, 1)}},
    {TL_OP_PERMUTE, PERMUTE(1, 0), {X(70, 65)}, {Y(65, 70)}},
    {TL_OP_PERMUTE, PERMUTE(0, 1, 2), {X(2, 3, 4)}, {Y(2, 3, 4)}},
    {TL_OP_PERMUTE, PERMUTE(0, 3, 1, 2), {X(2, 3, 4, 5)}, {Y(2, 5, 3, 4)}},
    {TL_OP_PERMUTE, PERMUTE(0, 2, 3, 1), {X(2, 3, 4, 5)}, {Y(2, 4, 5, 3)}},
    {TL_OP_PERMUTE, PERMUTE(0, 2, 1, 3), {X(2, 3, 4, 5)}, {Y(2, 4, 3, 5)}},
    {TL_OP_PERMUTE, PERMUTE(3, 2, 1, 0), {X(2, 3, 4, 5)}, {Y(5, 4, 3, 2)}},
    {TL_OP_PERMUTE, PERMUTE(4, 0, 3, 2, 1), {X(2, 3, 1, 4, 5)}, {Y(5, 2, 4, 1, 3)}},
    {TL_OP_PERMUTE, PERMUTE(2, 0, 1), {X(40, 3, 35)}, {Y(35, 40, 3)}},

    {TL_OP_SLICE, {.slice = {0, 2}}, {X(7)}, {Y(3)}},
    {TL_OP_SLICE, {.slice = {0, 1}}, {X(3, 5, 4)}, {Y(2, 5, 4)}},
    {TL_OP_SLICE, {.slice = {1, 3}}, {X(3, 5, 4)}, {Y(3, 2, 4)}},
    {TL_OP_SLICE, {.slice = {2, 0}}, {X(3, 5, 4)}, {Y(3, 5, 1)}},
    {TL_OP_SLICE, {.slice = {1, 7}}, {X(2, 20000)}, {Y(2, 19990)}},

    {TL_OP_CONCAT, {.concat = {0}}, {X(1), X(6)}, {Y(7)}},
    {TL_OP_CONCAT, {.concat = {0}}, {X(2, 3), X(1, 3)}, {Y(3, 3)}},
    {TL_OP_CONCAT, {.concat = {1}}, {X(2, 3, 5), X(2, 4, 5)}, {Y(2, 7, 5)}},
    {TL_OP_CONCAT, {.concat = {3}}, {X(2, 3, 2, 5), X(2, 3, 2, 1)}, {Y(2, 3, 2, 6)}},
    {TL_OP_CONCAT, {.concat = {1}}, {X(70, 300), X(70, 11)}, {Y(70, 311)}},

    {TL_OP_PAD, {.pad = {0, 2}}, {X(3)}, {Y(6)}},
    {TL_OP_PAD, {.pad = {1, 0}}, {X(2, 3, 4, 5)}, {Y(2, 4, 4, 5)}},
    {TL_OP_PAD, {.pad = {2, 1}}, {X(2, 3, 4, 5)}, {Y(2, 3, 5, 5)}},
    {TL_OP_PAD, {.pad = {3, 1}}, {X(2, 3, 1, 5)}, {Y(2, 3, 1, 9)}},
    {TL_OP_PAD, {.pad = {1, 100}}, {X(3, 17000)}, {Y(3, 17101)}},

    {TL_OP_UPSAMPLE, {{0}}, {X(1, 1, 1, 1)}, {Y(1, 3, 2, 1)}},
    {TL_OP_UPSAMPLE, {{0}}, {X(2, 3, 5, 3)}, {Y(2, 6, 10, 3)}},
    {TL_OP_UPSAMPLE, {{0}}, {X(1, 3, 2, 8)}, {Y(1, 5, 3, 8)}},
    {TL_OP_UPSAMPLE, {{0}}, {X(2, 16, 16, 33)}, {Y(2, 32, 32, 33)}},
    {TL_OP_UPSAMPLE_GRAD, {{0}}, {D(1, 3, 2, 1)}, {Y(1, 1, 1, 1)}},
    {TL_OP_UPSAMPLE_GRAD, {{0}}, {D(2, 6, 10, 3)}, {Y(2, 3, 5, 3)}},
    {TL_OP_UPSAMPLE_GRAD, {{0}}, {D(1, 5, 3, 8)}, {Y(1, 3, 2, 8)}},
    {TL_OP_UPSAMPLE_GRAD, {{0}}, {D(2, 32, 32, 33)}, {Y(2, 16, 16, 33)}},

    {TL_OP_LAYER_NORM, {.norm = {.eps = 1e-5f}}, {X(3, 5), X(5), X(5)}, {Y(3, 5), Y(3, 2)}},
    {TL_OP_LAYER_NORM, {.norm = {.eps = 1e-5f}}, {X(3, 5)}, {Y(3, 5), Y(3, 2)}},
    {TL_OP_LAYER_NORM, {.norm = {.eps = 1e-6f}}, {X(2, 7, 64), X(64), X(64)}, {Y(2, 7, 64), Y(14, 2)}},
    {TL_OP_LAYER_NORM, {.norm = {.eps = 1e-5f}}, {X(60, 1001), X(1001), X(1001)}, {Y(60, 1001), Y(60, 2)}},
    {TL_OP_LAYER_NORM, {.norm = {.eps = 1e-3f}}, {X(4, 1), X(1), X(1)}, {Y(4, 1), Y(4, 2)}},
    {TL_OP_LAYER_NORM_GRAD, {.norm = {.eps = 1e-5f}}, {X(3, 5), IN(DERIVED, 3, 2), X(5), D(3, 5)}, {Y(3, 5), Y(2, 5)}},
    {TL_OP_LAYER_NORM_GRAD, {.norm = {.eps = 1e-5f}}, {X(3, 5), IN(DERIVED, 3, 2), {0}, D(3, 5)}, {Y(3, 5), Y(2, 5)}},
    {TL_OP_LAYER_NORM_GRAD, {.norm = {.eps = 1e-5f}}, {X(2, 70, 64), IN(DERIVED, 140, 2), X(64), D(2, 70, 64)}, {Y(2, 70, 64), Y(2, 64)}},
    {TL_OP_LAYER_NORM_GRAD, {.norm = {.eps = 1e-5f}}, {X(60, 1001), IN(DERIVED, 60, 2), X(1001), D(60, 1001)}, {Y(60, 1001), Y(2, 1001)}},

    {TL_OP_GEGLU, {{0}}, {X(1, 2)}, {Y(1, 1)}},
    {TL_OP_GEGLU, {{0}}, {X(3, 10)}, {Y(3, 5)}},
    {TL_OP_GEGLU, {{0}}, {X(2, 3, 66)}, {Y(2, 3, 33)}},
    {TL_OP_GEGLU, {{0}}, {X(40, 1024)}, {Y(40, 512)}},
    {TL_OP_GEGLU_GRAD, {{0}}, {X(1, 2), D(1, 1)}, {Y(1, 2)}},
    {TL_OP_GEGLU_GRAD, {{0}}, {X(3, 10), D(3, 5)}, {Y(3, 10)}},
    {TL_OP_GEGLU_GRAD, {{0}}, {X(40, 1024), D(40, 512)}, {Y(40, 1024)}},

    {TL_OP_EMBEDDING, {{0}}, {IN(IDS, 4), X(5, 3)}, {Y(4, 3)}},
    {TL_OP_EMBEDDING, {{0}}, {IN(IDS, 2, 7), X(11, 16)}, {Y(2, 7, 16)}},
    {TL_OP_EMBEDDING, {{0}}, {IN(IDS, 1), X(1, 1)}, {Y(1, 1)}},
    {TL_OP_EMBEDDING_GRAD, {{0}}, {IN(IDS, 4), D(4, 3)}, {Y(5, 3)}},
    {TL_OP_EMBEDDING_GRAD, {{0}}, {IN(IDS, 4, 77), D(4, 77, 16)}, {Y(37, 16)}},

    {TL_OP_SINUSOID, {.sinusoid = {0, 1, 10000}}, {IN(TIMES, 3)}, {Y(3, 8)}},
    {TL_OP_SINUSOID, {.sinusoid = {1, 0, 10000}}, {IN(TIMES, 5)}, {Y(5, 32)}},
    {TL_OP_SINUSOID, {.sinusoid = {1, 0, 100}}, {IN(TIMES, 1)}, {Y(1, 7)}},
    {TL_OP_SINUSOID, {.sinusoid = {1, 0, 10000}}, {IN(TIMES, 16)}, {Y(16, 320)}},

    {TL_OP_RANDOM_NORMAL, {{0}}, {IN(KEYS, 1, 5)}, {Y(1, 3)}},
    {TL_OP_RANDOM_NORMAL, {{0}}, {IN(KEYS, 3, 5)}, {Y(3, 5, 7)}},
    {TL_OP_RANDOM_NORMAL, {{0}}, {IN(KEYS, 2, 5)}, {Y(2, 33, 33, 1)}},

    {TL_OP_ACCUMULATE, {{0}}, {X(1), X(1)}, {Y(1)}},
    {TL_OP_ACCUMULATE, {{0}}, {X(3, 17), X(3, 17)}, {Y(3, 17)}},
    {TL_OP_ACCUMULATE, {{0}}, {X(40003), X(40003)}, {Y(40003)}},
    {TL_OP_SUM_SQUARES, {{0}}, {X(1)}, {Y(1)}},
    {TL_OP_SUM_SQUARES, {{0}}, {X(3, 17)}, {Y(1)}},
    {TL_OP_SUM_SQUARES, {{0}}, {X(40003)}, {Y(1)}},
    {TL_OP_ADAMW, {{0}}, {X(1), X(1), X(1), IN(POSITIVE, 1), IN(HYPER, 8)}, {Y(1)}},
    {TL_OP_ADAMW, {{0}}, {X(259), X(259), X(259), IN(POSITIVE, 259), IN(HYPER, 8)}, {Y(259)}},
    {TL_OP_ADAMW, {{0}}, {X(40003), X(40003), X(40003), IN(POSITIVE, 40003), IN(HYPER, 8)}, {Y(40003)}},
    {TL_OP_LERP, {{0}}, {X(1), X(1), IN(WEIGHT, 1)}, {Y(1)}},
    {TL_OP_LERP, {{0}}, {X(259), X(259), IN(WEIGHT, 1)}, {Y(259)}},
    {TL_OP_LERP, {{0}}, {X(40003), X(40003), IN(WEIGHT, 1)}, {Y(40003)}},
};
/* clang-format on */

const struct op_case *op_cases(size_t *n_out)
{
    static struct op_case table[OP_CASES_MAX];
    static size_t n = 0;
    if (n == 0) {
        n = sizeof rows / sizeof *rows;
        memcpy(table, rows, sizeof rows);
        n = op_families_add(table, n);
    }
    *n_out = n;
    return table;
}

int op_case_n_in(const struct op_case *c)
{
    int n = TL_MAX_IN;
    while (n > 0 && c->in[n - 1].data == OP_ABSENT) n--;
    return n;
}

int op_case_n_out(const struct op_case *c)
{
    int n = TL_MAX_OUT;
    while (n > 0 && c->out[n - 1].rank == 0) n--;
    return n;
}

unsigned op_in_place(enum tl_op op)
{
    switch (op) {
    case TL_OP_ADAMW:
        return 1u << 0 | 1u << 2 | 1u << 3;
    case TL_OP_ACCUMULATE:
    case TL_OP_LERP:
        return 1u << 0;
    default:
        return 0;
    }
}

bool op_is_int(enum op_data data)
{
    return data == OP_IDS || data == OP_KEYS;
}

enum tl_dtype op_in_dtype(const struct op_case *c)
{
    return c->op == TL_OP_CAST ? (enum tl_dtype)c->attr.cast.from : TL_F32;
}

enum tl_dtype op_out_dtype(const struct op_case *c)
{
    return c->op == TL_OP_CAST ? (enum tl_dtype)c->attr.cast.dtype : TL_F32;
}

const char *op_case_text(const struct op_case *c, char text[256])
{
    char shape[96];
    const char *kind = c->op == TL_OP_UNARY || c->op == TL_OP_UNARY_GRAD
                           ? tl_unary_name((enum tl_unary)c->attr.unary.kind)
                       : c->op == TL_OP_CAST ? tl_dtype_name(op_in_dtype(c))
                                             : "";
    int at = snprintf(text, 256, "%s %s", tl_op_name(c->op), kind);
    for (int i = 0; i < op_case_n_in(c) && at < 256; i++)
        at += snprintf(text + at, (size_t)(256 - at), " %s",
                       c->in[i].data == OP_ABSENT ? "-" : tl_shape_text(&c->in[i].shape, shape));
    if (at < 256)
        snprintf(text + at, (size_t)(256 - at), " -> %s%s",
                 c->op == TL_OP_CAST ? tl_dtype_name(op_out_dtype(c)) : "", tl_shape_text(&c->out[0], shape));
    return text;
}
