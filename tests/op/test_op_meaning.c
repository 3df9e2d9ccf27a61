/* What each op means, by small numbers worked out by hand: the plain double kernels, which everything else is
 * compared with, are pinned here. */
#include "base/rng.h"
#include "op/support_ops.h"
#include "support/check.h"

enum { MAX_NUMBERS = 24 };

struct meaning {
    struct op_case c; /* shapes and kinds of operands (ids or reals) */
    double in[5][MAX_NUMBERS];
    double want[2][MAX_NUMBERS];
};

#define SHAPE(...)                                                                                           \
    {                                                                                                        \
        (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                                           \
        {                                                                                                    \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define X(...)                                                                                               \
    {                                                                                                        \
        OP_NORMAL, SHAPE(__VA_ARGS__)                                                                        \
    }
#define IDS(...)                                                                                             \
    {                                                                                                        \
        OP_IDS, SHAPE(__VA_ARGS__)                                                                           \
    }
#define Y(...) SHAPE(__VA_ARGS__)

#define GELU_1 0.84134474606854293 /* Phi(1) */

/* clang-format off */
static const struct meaning rows[] = {
    {{TL_OP_FILL, {.fill = {0.5f}}, {{0}}, {Y(3)}}, {{0}}, {{0.5, 0.5, 0.5}}},
    {{TL_OP_REDUCE_SUM, {{0}}, {X(2, 3)}, {Y(1, 3)}}, {{1, 2, 3, 4, 5, 6}}, {{5, 7, 9}}},
    {{TL_OP_REDUCE_SUM, {{0}}, {X(2, 3)}, {Y(2, 1)}}, {{1, 2, 3, 4, 5, 6}}, {{6, 15}}},
    {{TL_OP_BROADCAST, {{0}}, {X(2, 1)}, {Y(2, 3)}}, {{1, 2}}, {{1, 1, 1, 2, 2, 2}}},
    {{TL_OP_PERMUTE, {.permute = {{1, 0}}}, {X(2, 3)}, {Y(3, 2)}}, {{1, 2, 3, 4, 5, 6}}, {{1, 4, 2, 5, 3, 6}}},
    {{TL_OP_PERMUTE, {.permute = {{2, 0, 1}}}, {X(2, 1, 3)}, {Y(3, 2, 1)}}, {{1, 2, 3, 4, 5, 6}}, {{1, 4, 2, 5, 3, 6}}},
    {{TL_OP_PERMUTE, {.permute = {{1, 2, 0}}}, {X(2, 2, 2)}, {Y(2, 2, 2)}}, {{0, 1, 2, 3, 4, 5, 6, 7}}, {{0, 4, 1, 5, 2, 6, 3, 7}}},
    {{TL_OP_SLICE, {.slice = {1, 1}}, {X(2, 3)}, {Y(2, 2)}}, {{1, 2, 3, 4, 5, 6}}, {{2, 3, 5, 6}}},
    {{TL_OP_CONCAT, {.concat = {1}}, {X(2, 1), X(2, 2)}, {Y(2, 3)}}, {{1, 4}, {2, 3, 5, 6}}, {{1, 2, 3, 4, 5, 6}}},
    {{TL_OP_PAD, {.pad = {1, 1}}, {X(2, 2)}, {Y(2, 5)}}, {{1, 2, 3, 4}}, {{0, 1, 2, 0, 0, 0, 3, 4, 0, 0}}},
    {{TL_OP_UPSAMPLE, {{0}}, {X(1, 2, 1, 1)}, {Y(1, 3, 2, 1)}}, {{1, 2}}, {{1, 1, 1, 1, 2, 2}}},
    {{TL_OP_UPSAMPLE_GRAD, {{0}}, {X(1, 3, 2, 1)}, {Y(1, 2, 1, 1)}}, {{1, 2, 3, 4, 5, 6}}, {{10, 11}}},

    {{TL_OP_GEMM, {.gemm = {0, 0}}, {X(2, 3), X(3, 2), X(2), X(2, 2)}, {Y(2, 2)}},
     {{1, 2, 3, 4, 5, 6}, {1, 2, 3, 4, 5, 6}, {100, 200}, {1, 2, 3, 4}}, {{123, 230, 152, 268}}},
    {{TL_OP_GEMM, {.gemm = {1, 0}}, {X(3, 2), X(3, 2)}, {Y(2, 2)}}, {{1, 4, 2, 5, 3, 6}, {1, 2, 3, 4, 5, 6}}, {{22, 28, 49, 64}}},
    {{TL_OP_GEMM, {.gemm = {0, 1}}, {X(1, 2, 3), X(1, 2, 3)}, {Y(1, 2, 2)}}, {{1, 2, 3, 4, 5, 6}, {1, 3, 5, 2, 4, 6}}, {{22, 28, 49, 64}}},
    {{TL_OP_GEMM, {.gemm = {1, 1}}, {X(3, 2), X(2, 3)}, {Y(2, 2)}}, {{1, 4, 2, 5, 3, 6}, {1, 3, 5, 2, 4, 6}}, {{22, 28, 49, 64}}},

    /* rows of zeros above, a column of zeros at the right; correlation: w[0][0] meets the upper left */
    {{TL_OP_CONV2D, {.conv = {{1, 1}, {1, 1}, {1, 0, 0, 1}}}, {X(1, 2, 2, 1), X(2, 2, 1, 1), X(1)}, {Y(1, 2, 2, 1)}},
     {{1, 2, 3, 4}, {1, 10, 100, 1000}, {0.5}}, {{2100.5, 200.5, 4321.5, 402.5}}},
    {{TL_OP_CONV2D, {.conv = {{1, 2}, {1, 2}, {0}}}, {X(1, 1, 5, 1), X(1, 2, 1, 2)}, {Y(1, 1, 2, 2)}},
     {{1, 2, 3, 4, 5}, {1, 2, 10, 20}}, {{31, 62, 53, 106}}},
    {{TL_OP_CONV2D, {.conv = {{1, 1}, {1, 1}, {0}}}, {X(1, 1, 2, 2), X(1, 1, 2, 3)}, {Y(1, 1, 2, 3)}},
     {{1, 2, 3, 4}, {1, 2, 3, 10, 20, 30}}, {{21, 42, 63, 43, 86, 129}}},
    /* the transposed convolution: each number of dy puts down the kernel, two apart */
    {{TL_OP_CONV2D_DX, {.conv = {{1, 2}, {1, 1}, {0}}}, {X(1, 1, 2, 1), X(1, 3, 1, 1)}, {Y(1, 1, 5, 1)}},
     {{1, 2}, {1, 10, 100}}, {{1, 10, 102, 20, 200}}},
    {{TL_OP_CONV2D_DW, {.conv = {{1, 1}, {1, 1}, {0}}}, {X(1, 1, 3, 1), X(1, 1, 2, 1)}, {Y(1, 2, 1, 1)}},
     {{1, 2, 3}, {1, 10}}, {{21, 32}}},

    /* 3x3, two apart, one pixel of padding at the top and left; the padding is smaller than any number */
    {{TL_OP_MAX_POOL, {.pool = {{{3, 3}, {2, 2}, {1, 1, 0, 0}}, 0}}, {X(1, 3, 3, 1)}, {Y(1, 1, 1, 1)}}, {{-4, -3, 9, -2, -1, 9, 9, 9, 9}}, {{-1}}},
    {{TL_OP_MAX_POOL, {.pool = {{{1, 2}, {1, 1}, {0}}, 0}}, {X(1, 1, 3, 2)}, {Y(1, 1, 2, 2)}}, {{1, 6, 3, 4, 2, 5}}, {{3, 6, 3, 5}}},
    /* of equal maxima the first in rows takes the gradient */
    {{TL_OP_MAX_POOL_GRAD, {.pool = {{{2, 2}, {1, 1}, {0}}, 0}}, {X(1, 2, 3, 1), X(1, 1, 2, 1)}, {Y(1, 2, 3, 1)}}, {{0, 7, 7, 7, 1, 2}, {10, 1}}, {{0, 11, 0, 0, 0, 0}}},
    {{TL_OP_AVG_POOL, {.pool = {{{2, 2}, {2, 2}, {1, 1, 1, 1}}, 0}}, {X(1, 2, 2, 1)}, {Y(1, 2, 2, 1)}}, {{1, 2, 3, 4}}, {{1, 2, 3, 4}}},
    {{TL_OP_AVG_POOL, {.pool = {{{2, 2}, {2, 2}, {1, 1, 1, 1}}, 1}}, {X(1, 2, 2, 1)}, {Y(1, 2, 2, 1)}}, {{1, 2, 3, 4}}, {{0.25, 0.5, 0.75, 1}}},
    {{TL_OP_AVG_POOL, {.pool = {{{1, 3}, {1, 1}, {0, 1, 0, 1}}, 0}}, {X(1, 1, 3, 1)}, {Y(1, 1, 3, 1)}}, {{1, 2, 6}}, {{1.5, 3, 4}}},
    {{TL_OP_AVG_POOL_GRAD, {.pool = {{{1, 3}, {1, 1}, {0, 1, 0, 1}}, 0}}, {X(1, 1, 3, 1)}, {Y(1, 1, 3, 1)}}, {{2, 6, 4}}, {{3, 5, 4}}},
    {{TL_OP_AVG_POOL_GRAD, {.pool = {{{1, 3}, {1, 1}, {0, 1, 0, 1}}, 1}}, {X(1, 1, 3, 1)}, {Y(1, 1, 3, 1)}}, {{3, 6, 9}}, {{3, 6, 5}}},

    /* mean 2.5, variance 1.25, eps 1.25 - 0.25... chosen so that the root is whole: 1.25 + 2.75 = 4 */
    {{TL_OP_GROUP_NORM, {.norm = {1, 0, 2.75f}}, {X(1, 2, 2), X(2), X(2)}, {Y(1, 2, 2), Y(1, 1, 2)}},
     {{1, 2, 3, 4}, {1, 2}, {0, 10}}, {{-0.75, 9.5, 0.25, 11.5}, {2.5, 0.5}}},
    {{TL_OP_GROUP_NORM, {.norm = {2, 0, 3}}, {X(1, 2, 2), X(2), X(2)}, {Y(1, 2, 2), Y(1, 2, 2)}},
     {{1, 2, 3, 4}, {1, 2}, {0, 10}}, {{-0.5, 9, 0.5, 11}, {2, 0.5, 3, 0.5}}},
    {{TL_OP_GROUP_NORM, {.norm = {1, 1, 3}}, {X(1, 2, 1), X(1), X(1)}, {Y(1, 2, 1), Y(1, 1, 2)}},
     {{1, 3}, {2}, {0}}, {{-0.26894142136999512, 0.73105857863000488}, {2, 0.5}}},
    {{TL_OP_LAYER_NORM, {.norm = {.eps = 2.75f}}, {X(1, 4), X(4), X(4)}, {Y(1, 4), Y(1, 2)}},
     {{1, 2, 3, 4}, {1, 2, 1, 2}, {0, 10, 0, 10}}, {{-0.75, 9.5, 0.25, 11.5}, {2.5, 0.5}}},

    {{TL_OP_SOFTMAX, {{0}}, {X(2, 2)}, {Y(2, 2)}}, {{0, 1, 5, 5}}, {{0.26894142136999512, 0.73105857863000488, 0.5, 0.5}}},
    {{TL_OP_LOG_SOFTMAX, {{0}}, {X(1, 2)}, {Y(1, 2)}}, {{0, 1}}, {{-1.3132616875182228, -0.31326168751822281}}},

    /* scores 2*0.5 = 1 and 0; two heads of one channel: the second head has equal scores */
    {{TL_OP_ATTENTION, {.attention = {2, 0, 0.5f}}, {X(1, 1, 2), X(1, 2, 2), X(1, 2, 2)}, {Y(1, 1, 2), Y(1, 2, 1)}},
     {{2, 1}, {1, 3, 0, 3}, {1, 10, 3, 20}},
     {{1 * 0.73105857863000488 + 3 * 0.26894142136999512, 15}, {1.3132616875182228, 1.5 + 0.69314718055994531}}},
    {{TL_OP_ATTENTION, {.attention = {1, 1, 1}}, {X(1, 2, 1), X(1, 2, 1), X(1, 2, 1)}, {Y(1, 2, 1), Y(1, 1, 2)}},
     {{1, 1}, {1, 1}, {4, 8}}, {{4, 6}, {1, 1.69314718055994531}}},
    {{TL_OP_ATTENTION, {.attention = {1, 0, 1}}, {X(1, 1, 1), X(1, 2, 1), X(1, 2, 1), X(1, 2)}, {Y(1, 1, 1), Y(1, 1, 1)}},
     {{1}, {1, 0}, {4, 8}, {0, 1}}, {{6}, {1.69314718055994531}}},

    {{TL_OP_GEGLU, {{0}}, {X(2, 2)}, {Y(2, 1)}}, {{2, 1, 3, 0}}, {{2 * GELU_1, 0}}},
    {{TL_OP_EMBEDDING, {{0}}, {IDS(4), X(3, 2)}, {Y(4, 2)}}, {{2, -1, 0, 3}, {1, 2, 3, 4, 5, 6}}, {{5, 6, 0, 0, 1, 2, 0, 0}}},
    {{TL_OP_EMBEDDING_GRAD, {{0}}, {IDS(4), X(4, 2)}, {Y(3, 2)}}, {{2, -1, 2, 3}, {1, 2, 3, 4, 5, 6, 7, 8}}, {{0, 0, 0, 0, 6, 8}}},

    /* frequencies 1 and 1/10000^(1/(2 - shift)) */
    {{TL_OP_SINUSOID, {.sinusoid = {1, 0, 10000}}, {X(1)}, {Y(1, 4)}}, {{5}},
     {{0.28366218546322625, 0.99875026039496628, -0.95892427466313845, 0.049979169270678331}}},
    {{TL_OP_SINUSOID, {.sinusoid = {0, 1, 10000}}, {X(1)}, {Y(1, 5)}}, {{5}},
     {{-0.95892427466313845, 0.00049999997916666693, 0.28366218546322625, 0.99999987500000256, 0}}},

    {{TL_OP_ACCUMULATE, {{0}}, {X(2), X(2)}, {Y(2)}}, {{1, 2}, {10, 20}}, {{11, 22}}},
    {{TL_OP_SUM_SQUARES, {{0}}, {X(3)}, {Y(1)}}, {{1, 2, -3}}, {{14}}},
    {{TL_OP_LERP, {{0}}, {X(2), X(2), X(1)}, {Y(2)}}, {{1, 2}, {3, 10}, {0.25}}, {{1.5, 4}}},
    /* g = 2: m = 0.5*2 + 0.5*2 = 2, v = 0.75*4 + 0.25*4 = 4; p = 8*(1 - 0.5*0.25) - 0.5 * (2*2) / (sqrt(4*4) + 1) */
    {{TL_OP_ADAMW, {{0}}, {X(1), X(1), X(1), X(1), X(8)}, {Y(1)}},
     {{8}, {4}, {2}, {4}, {0.5, 0.5, 0.75, 1, 0.25, 2, 4, 0.5}}, {{7 - 0.4}, {2}}},
};
/* clang-format on */

static void ops_mean_what_they_say(void **state)
{
    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const struct meaning *m = &rows[r];
        struct op_numbers numbers = {0};
        int32_t ids[MAX_NUMBERS];
        for (int k = 0; k < op_case_n_in(&m->c); k++) {
            if (m->c.in[k].data == OP_NORMAL) numbers.real[k] = (double *)m->in[k];
            if (m->c.in[k].data != OP_IDS) continue;
            for (int i = 0; i < MAX_NUMBERS; i++) ids[i] = (int32_t)m->in[k][i];
            numbers.ids[k] = ids;
        }
        struct op_kernel_params params = {.table = tl_cpu_plain_f64, .f64 = true, .threads = 1};
        struct op_results got;
        struct tl_err err = {0};
        check_ok(op_kernel_run(&params, &m->c, &numbers, &got, &err), &err);
        for (int k = 0; k < got.n && k < 2; k++)
            for (int64_t i = 0; i < got.count[k]; i++)
                if (!(fabs(got.value[k][i] - m->want[k][i]) <= 1e-12 * (1 + fabs(m->want[k][i]))))
                    fail_msg("row %zu, %s: output %d [%d] is %.15g, not %.15g", r, tl_op_name(m->c.op), k,
                             (int)i, got.value[k][i], m->want[k][i]);
        op_results_free(&got);
    }
}

/* y of one number through an elementwise op. */
static double apply(struct op_case c, double x, double y)
{
    struct op_kernel_params params = {.table = tl_cpu_plain_f64, .f64 = true, .threads = 1};
    struct op_results got;
    struct tl_err err = {0};
    c.in[0] = (struct op_operand){OP_NORMAL, tl_shape1(1)};
    if (c.op == TL_OP_BINARY) c.in[1] = c.in[0];
    c.out[0] = tl_shape1(1);
    check_ok(op_kernel_run(&params, &c, &(struct op_numbers){.real = {&x, &y}}, &got, &err), &err);
    double result = got.value[0][0];
    op_results_free(&got);
    return result;
}

static void functions_mean_what_they_say(void **state)
{
    (void)state;
    static const struct {
        enum tl_unary kind;
        double a, b, x, y;
    } unary[] = {
        {TL_UNARY_AFFINE, 2, 3, 5, 13},
        {TL_UNARY_EXP, 0, 0, 1, 2.7182818284590452},
        {TL_UNARY_LOG, 0, 0, 2, 0.69314718055994531},
        {TL_UNARY_SQRT, 0, 0, 2, 1.4142135623730950},
        {TL_UNARY_SQUARE, 0, 0, -3, 9},
        {TL_UNARY_ABS, 0, 0, -3, 3},
        {TL_UNARY_RECIP, 0, 0, 4, 0.25},
        {TL_UNARY_SIN, 0, 0, 1, 0.84147098480789651},
        {TL_UNARY_COS, 0, 0, 1, 0.54030230586813972},
        {TL_UNARY_TANH, 0, 0, 1, 0.76159415595576489},
        {TL_UNARY_RELU, 0, 0, -2, 0},
        {TL_UNARY_RELU, 0, 0, 2, 2},
        {TL_UNARY_LEAKY_RELU, 0.25, 0, -2, -0.5},
        {TL_UNARY_CLAMP, -1, 2, -3, -1},
        {TL_UNARY_CLAMP, -1, 2, 3, 2},
        {TL_UNARY_CLAMP, -1, 2, 0.5, 0.5},
        {TL_UNARY_SIGMOID, 0, 0, 1, 0.73105857863000488},
        {TL_UNARY_SILU, 0, 0, 1, 0.73105857863000488},
        {TL_UNARY_QUICK_GELU, 0, 0, 1, 0.84579576593282129},
        {TL_UNARY_GELU, 0, 0, 1, GELU_1},
        {TL_UNARY_GELU_TANH, 0, 0, 1, 0.84119199060827676},
    };
    bool seen[TL_N_UNARY] = {false};
    for (size_t i = 0; i < sizeof unary / sizeof *unary; i++) {
        struct op_case c = {.op = TL_OP_UNARY,
                            .attr = {.unary = {unary[i].kind, (float)unary[i].a, (float)unary[i].b}}};
        seen[unary[i].kind] = true;
        double y = apply(c, unary[i].x, 0);
        if (!(fabs(y - unary[i].y) <= 1e-14))
            fail_msg("%s(%g) is %.17g", tl_unary_name(unary[i].kind), unary[i].x, y);
    }
    for (int k = 0; k < TL_N_UNARY; k++)
        if (!seen[k]) fail_msg("%s is not pinned", tl_unary_name((enum tl_unary)k));
    static const double want[TL_N_BINARY][2] = {{5, 6}, {1, 0}, {6, 9}, {1.5, 1}, {3, 3}, {2, 3}, {1, 1}};
    for (int k = 0; k < TL_N_BINARY; k++) {
        struct op_case c = {.op = TL_OP_BINARY, .attr = {.binary = {k}}};
        check_near(apply(c, 3, 2), want[k][0], 0);
        check_near(apply(c, 3, 3), want[k][1], 0);
    }
    check_near(apply((struct op_case){.op = TL_OP_BINARY, .attr = {.binary = {TL_BINARY_GE}}}, 2, 3), 0, 0);
}

/* random_normal is base/rng's sequence of the row's key. */
static void random_numbers_are_the_keys_own(void **state)
{
    (void)state;
    const int32_t keys[10] = {1, -2, TL_RNG_TEST, 4, 5, 7, 0, TL_RNG_SAMPLER, -1, 3};
    const struct op_case c = {
        .op = TL_OP_RANDOM_NORMAL, .in = {{OP_KEYS, {2, {2, 5}}}}, .out = {{2, {2, 700}}}};
    struct op_kernel_params params = {.table = tl_cpu_plain_f64, .f64 = true, .threads = 2};
    struct op_results got;
    struct tl_err err = {0};
    check_ok(op_kernel_run(&params, &c, &(struct op_numbers){.ids = {(int32_t *)keys}}, &got, &err), &err);
    const struct tl_rng_key want[2] = {
        {.seed = 0xfffffffe00000001u, .stream = TL_RNG_TEST, .sample = 4, .step = 5},
        {.seed = 7, .stream = TL_RNG_SAMPLER, .sample = 0xffffffffu, .step = 3},
    };
    for (int n = 0; n < 2; n++) {
        float row[700];
        tl_rng_normal(want[n], 0, 700, row);
        for (int i = 0; i < 700; i++) check_near(got.value[0][n * 700 + i], row[i], 0);
    }
    op_results_free(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_mean_what_they_say),
        cmocka_unit_test(functions_mean_what_they_say),
        cmocka_unit_test(random_numbers_are_the_keys_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
