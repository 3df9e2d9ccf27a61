/* The float functions of the plain kernels against libm in double: error in units in the last place over the
 * ranges that networks use, and the ends. Then the extremes that a softmax or an attention must survive. */
#include "op/support_ops.h"
#include "support/check.h"
#include "tensor/cpu_plain_math.h"

enum { N_POINTS = 400000 };

static double ulp_of(double exact)
{
    int e;
    frexp(exact, &e);
    return ldexp(1, e < -125 ? -149 : e - 24);
}

/* Worst error in ulp over [lo, hi], evenly or, if geometric, in ratio. */
static double worst_ulp(float (*f)(float), double (*exact)(double), double lo, double hi, bool geometric)
{
    double worst = 0;
    for (int i = 0; i <= N_POINTS; i++) {
        double t = (double)i / N_POINTS;
        float x = (float)(geometric ? lo * pow(hi / lo, t) : lo + (hi - lo) * t);
        double want = exact(x), error = fabs(f(x) - want) / ulp_of(want);
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

static double sigmoid_exact(double x)
{
    return 1 / (1 + exp(-x));
}

static void functions_are_accurate(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        float (*f)(float);
        double (*exact)(double);
        double lo, hi, ulp;
        bool geometric;
    } rows[] = {
        {"exp", tl_cpu_expf, exp, -87, 88, 2, false},
        {"log", tl_cpu_logf, log, 1e-44, 3e38, 2, true},
        {"log near 1", tl_cpu_logf, log, 0.5, 2, 2, false},
        {"erf", tl_cpu_erff, erf, -6, 6, 2, false},
        {"erf near 0", tl_cpu_erff, erf, 1e-30, 1, 2, true},
        {"tanh", tl_cpu_tanhf, tanh, -12, 12, 3, false},
        {"tanh near 0", tl_cpu_tanhf, tanh, 1e-30, 1, 3, true},
        {"sigmoid", tl_cpu_sigmoidf, sigmoid_exact, -80, 80, 4, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double worst = worst_ulp(rows[i].f, rows[i].exact, rows[i].lo, rows[i].hi, rows[i].geometric);
        printf("%-12s %.2f ulp\n", rows[i].name, worst);
        if (!(worst <= rows[i].ulp)) fail_msg("%s is off by %.2f ulp", rows[i].name, worst);
    }
    for (double x = -1000; x <= 1000; x += 0.01) {
        check_near(tl_cpu_sinf((float)x), sin((double)(float)x), 2.5e-7);
        check_near(tl_cpu_cosf((float)x), cos((double)(float)x), 2.5e-7);
    }
}

static void functions_have_right_ends(void **state)
{
    (void)state;
    assert_true(tl_cpu_logf(0) == -INFINITY && tl_cpu_logf(INFINITY) == INFINITY);
    assert_true(isnan(tl_cpu_logf(-1)) && isnan(tl_cpu_logf(NAN)));
    assert_true(tl_cpu_erff(1e30f) == 1 && tl_cpu_erff(-INFINITY) == -1 && isnan(tl_cpu_erff(NAN)));
    assert_true(tl_cpu_tanhf(1e30f) == 1 && tl_cpu_tanhf(-INFINITY) == -1 && isnan(tl_cpu_tanhf(NAN)));
    assert_true(tl_cpu_sigmoidf(INFINITY) == 1 && tl_cpu_sigmoidf(-INFINITY) < 1e-37f &&
                isnan(tl_cpu_sigmoidf(NAN)));
}

/* ---- extremes ---- */

static const struct {
    const char *label;
    const tl_cpu_kernel *table;
    bool f64;
} tables[] = {
    {"double", tl_cpu_plain_f64, true}, {"float", tl_cpu_plain_f32, false}, {"fast", tl_cpu_fast_f32, false}};

static void run(size_t table, const struct op_case *c, const struct op_numbers *numbers,
                struct op_results *out)
{
    struct tl_err err = {0};
    bool has = tables[table].table[c->op] != NULL;
    struct op_kernel_params params = {has ? tables[table].table : tl_cpu_plain_f32, tables[table].f64, false,
                                      1};
    check_ok(op_kernel_run(&params, c, numbers, out, &err), &err);
}

static void softmax_survives_extremes(void **state)
{
    (void)state;
    const double x[2][4] = {{1e30, -1e30, 0, 1e30}, {-INFINITY, 3, -INFINITY, 3}};
    const struct op_case c = {.op = TL_OP_SOFTMAX, .in = {{OP_NORMAL, {2, {2, 4}}}}, .out = {{2, {2, 4}}}};
    const struct op_numbers numbers = {.real = {(double *)x}};
    for (size_t t = 0; t < 3; t++) {
        struct op_results y;
        run(t, &c, &numbers, &y);
        const double want[8] = {0.5, 0, 0, 0.5, 0, 0.5, 0, 0.5};
        for (int i = 0; i < 8; i++) check_near(y.value[0][i], want[i], 1e-6);
        op_results_free(&y);
    }
}

/* A sample whose every key is masked sees nothing: zeros, no NaN, and no gradient. */
static void attention_survives_masks(void **state)
{
    (void)state;
    enum { T = 3, S = 5, C = 8 };
    double q[T * C], k[S * C], v[S * C], mask[S], o[T * C] = {0}, lse[T], d_o[T * C];
    for (int i = 0; i < S * C; i++) {
        k[i] = sin(i), v[i] = cos(2.0 * i);
        if (i < T * C) q[i] = sin(3.0 * i), d_o[i] = 1;
    }
    const struct tl_shape qs = tl_shape3(1, T, C), ks = tl_shape3(1, S, C), ls = tl_shape3(1, 1, T);
    struct op_case c = {.op = TL_OP_ATTENTION,
                        .attr = {.attention = {1, 0, 0.3f}},
                        .in = {{OP_NORMAL, qs}, {OP_NORMAL, ks}, {OP_NORMAL, ks}, {OP_MASK, {2, {1, S}}}},
                        .out = {qs, ls}};
    struct op_case grad = c;
    grad.op = TL_OP_ATTENTION_GRAD;
    grad.in[4] = (struct op_operand){OP_NORMAL, qs};
    grad.in[5] = (struct op_operand){OP_NORMAL, ls};
    grad.in[6] = (struct op_operand){OP_NORMAL, qs};
    grad.out[0] = qs, grad.out[1] = ks, grad.out[2] = ks;
    for (size_t t = 0; t < 3; t++) {
        struct op_results y, d;
        for (int s = 0; s < S; s++) mask[s] = s == 2 ? 0 : -INFINITY;
        run(t, &c, &(struct op_numbers){.real = {q, k, v, mask}}, &y);
        for (int i = 0; i < T * C; i++) check_near(y.value[0][i], v[2 * C + i % C], 1e-6);
        op_results_free(&y);

        for (int s = 0; s < S; s++) mask[s] = -INFINITY;
        run(t, &c, &(struct op_numbers){.real = {q, k, v, mask}}, &y);
        for (int i = 0; i < T * C; i++)
            if (y.value[0][i] != 0)
                fail_msg("%s: a fully masked row gives %g", tables[t].label, y.value[0][i]);
        memcpy(lse, y.value[1], sizeof lse);
        run(t, &grad, &(struct op_numbers){.real = {q, k, v, mask, o, lse, d_o}}, &d);
        for (int i = 0; i < d.n; i++)
            for (int64_t j = 0; j < d.count[i]; j++)
                if (d.value[i][j] != 0)
                    fail_msg("%s: a fully masked row gives gradient %g", tables[t].label, d.value[i][j]);
        op_results_free(&y);
        op_results_free(&d);
    }
}

/* A mean far above the spread must not eat the variance. */
static void norms_survive_large_means(void **state)
{
    (void)state;
    enum { ROWS = 64, C = 8 };
    double x[ROWS * C], gamma[C], beta[C];
    for (int i = 0; i < ROWS * C; i++) x[i] = (float)(3000 + sin(i));
    for (int i = 0; i < C; i++) gamma[i] = 1, beta[i] = 0;
    const struct tl_shape xs = tl_shape3(1, ROWS, C), cs = tl_shape1(C);
    struct op_case group = {.op = TL_OP_GROUP_NORM,
                            .attr = {.norm = {2, 0, 1e-5f}},
                            .in = {{OP_NORMAL, xs}, {OP_NORMAL, cs}, {OP_NORMAL, cs}},
                            .out = {xs, tl_shape3(1, 2, 2)}};
    struct op_case layer = group;
    layer.op = TL_OP_LAYER_NORM;
    layer.out[1] = tl_shape2(ROWS, 2);
    const struct op_case *both[] = {&group, &layer};
    for (size_t i = 0; i < 2; i++) {
        struct op_results want;
        run(0, both[i], &(struct op_numbers){.real = {x, gamma, beta}}, &want);
        for (size_t t = 1; t < 3; t++) {
            struct op_results got;
            run(t, both[i], &(struct op_numbers){.real = {x, gamma, beta}}, &got);
            double error =
                op_results_distance(&got, &want); /* float holds 3000 to 1.2e-4: the mean's own rounding */
            if (!(error <= 3e-4))
                fail_msg("%s of a large mean is off by %.3g", tl_op_name(both[i]->op), error);
            op_results_free(&got);
        }
        op_results_free(&want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_accurate),    cmocka_unit_test(functions_have_right_ends),
        cmocka_unit_test(softmax_survives_extremes), cmocka_unit_test(attention_survives_masks),
        cmocka_unit_test(norms_survive_large_means),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
