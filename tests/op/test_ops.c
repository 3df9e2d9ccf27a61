/* Every row of ops.def, by walking the table of cases (support_op_cases.c): gradients in double against
 * finite differences, every device's float against the plain kernels in double, guards around buffers,
 * threads. Prints the worst error of each op. */
#include "op/support_ops.h"
#include "support/check.h"

enum { N_DEVICES = 3 };

/* Float against double. Ops that only move numbers must be exact. */
static double tolerance_of(enum tl_op op)
{
    switch (op) {
    case TL_OP_FILL:
    case TL_OP_CAST:
    case TL_OP_BROADCAST:
    case TL_OP_RESHAPE:
    case TL_OP_PERMUTE:
    case TL_OP_SLICE:
    case TL_OP_CONCAT:
    case TL_OP_PAD:
    case TL_OP_UPSAMPLE:
    case TL_OP_MAX_POOL:
    case TL_OP_EMBEDDING:
        return 1e-7; /* float(value) of double reads back exactly; 1e-7 for fill's constant */
    case TL_OP_SINUSOID:
        return 1e-4; /* angles up to 1000 in float */
    default:
        return 2e-5;
    }
}

/* Ops that have a gradient with respect to their differentiable operands. Cast has one too, but rounding has
 * no differences to compare it with: test_half.c. */
static const bool differentiable[TL_N_OPS] = {
    [TL_OP_UNARY] = true,     [TL_OP_BINARY] = true,      [TL_OP_REDUCE_SUM] = true,
    [TL_OP_BROADCAST] = true, [TL_OP_RESHAPE] = true,     [TL_OP_PERMUTE] = true,
    [TL_OP_SLICE] = true,     [TL_OP_CONCAT] = true,      [TL_OP_PAD] = true,
    [TL_OP_UPSAMPLE] = true,  [TL_OP_GEMM] = true,        [TL_OP_CONV2D] = true,
    [TL_OP_CONV2D_DX] = true, [TL_OP_GROUP_NORM] = true,  [TL_OP_LAYER_NORM] = true,
    [TL_OP_SOFTMAX] = true,   [TL_OP_LOG_SOFTMAX] = true, [TL_OP_ATTENTION] = true,
    [TL_OP_GEGLU] = true,     [TL_OP_EMBEDDING] = true,   [TL_OP_SUM_SQUARES] = true,
    [TL_OP_MAX_POOL] = true,  [TL_OP_AVG_POOL] = true,
};

/* Worst error per op and column, printed at the end. */
enum column { GRADIENT, KERNELS, DEVICES, N_COLUMNS = DEVICES + N_DEVICES };
static double worst[TL_N_OPS][N_COLUMNS];
static bool measured[N_COLUMNS];

static void note(enum tl_op op, int column, double error)
{
    measured[column] = true;
    if (!(error <= worst[op][column])) worst[op][column] = error;
}

/* A case with its numbers; text names it in messages. */
struct one {
    const struct op_case *c;
    struct op_numbers *numbers;
    char text[256];
};

static void each_case(void (*body)(const struct one *one, void *user), void *user)
{
    size_t n;
    const struct op_case *cases = op_cases(&n);
    for (size_t i = 0; i < n; i++) {
        struct op_numbers numbers;
        struct one one = {.c = &cases[i], .numbers = &numbers};
        op_case_text(one.c, one.text);
        op_numbers_make(one.c, i, &numbers);
        body(&one, user);
        op_numbers_free(&numbers);
    }
}

static void every_op_has_cases(void **state)
{
    (void)state;
    size_t n, count[TL_N_OPS] = {0};
    const struct op_case *cases = op_cases(&n);
    for (size_t i = 0; i < n; i++) count[cases[i].op]++;
    for (int op = 0; op < TL_N_OPS; op++)
        if (count[op] == 0) fail_msg("%s has no case", tl_op_name((enum tl_op)op));
    printf("%zu cases of %d ops\n", n, TL_N_OPS);
}

/* ---- gradients ---- */

static unsigned wanted_of(const struct op_case *c)
{
    unsigned wanted = 0;
    for (int k = 0; k < TL_MAX_IN; k++)
        if (c->in[k].data == OP_NORMAL || c->in[k].data == OP_POSITIVE || c->in[k].data == OP_APART)
            wanted |= 1u << k;
    return differentiable[c->op] ? wanted : 0;
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* <output 0, cotangent> with the operand's element i moved by h */
static double loss_at(struct op_graph *graph, struct op_numbers *numbers, int k, int64_t i, double h,
                      const double *cotangent)
{
    struct tl_err err = {0};
    char name[16];
    double old = numbers->real[k][i];
    snprintf(name, sizeof name, "in%d", k);
    numbers->real[k][i] = old + h;
    check_ok(tl_exec_write_f64(graph->exec, name, numbers->real[k], &err), &err);
    numbers->real[k][i] = old;
    check_ok(tl_exec_run(graph->exec, &err), &err);
    struct op_results results;
    check_ok(op_graph_results(graph, &results, &err), &err);
    double loss = dot(results.value[0], cotangent, results.count[0]);
    op_results_free(&results);
    check_ok(tl_exec_write_f64(graph->exec, name, numbers->real[k], &err), &err);
    return loss;
}

/* Relative distance between grad[k] and central differences at up to n_probes elements. */
static double gradient_error(struct op_graph *graph, struct op_numbers *numbers, int k,
                             const double *cotangent, const double *grad)
{
    const double h = 1e-5;
    int64_t n = tl_shape_count(&graph->c->in[k].shape), all = 0;
    for (int i = 0; i < TL_MAX_IN; i++)
        if (numbers->real[i]) all += tl_shape_count(&graph->c->in[i].shape);
    int64_t n_probes = all > 6000   ? 16
                       : all > 1000 ? 64
                                    : 192; /* of a large case fewer: it must run in seconds */
    if (n_probes > n) n_probes = n;
    double d = 0, r = 0;
    for (int64_t p = 0; p < n_probes; p++) {
        int64_t i = n_probes == n ? p : (p * 2654435761u + 12345) % n;
        double up = loss_at(graph, numbers, k, i, h, cotangent),
               down = loss_at(graph, numbers, k, i, -h, cotangent);
        double slope = (up - down) / (2 * h);
        d += (slope - grad[i]) * (slope - grad[i]);
        r += grad[i] * grad[i];
    }
    return sqrt(d / (r + 1e-6));
}

static void check_gradients(const struct one *one, void *device)
{
    const struct op_case *c = one->c;
    const char *text = one->text;
    struct op_numbers *numbers = one->numbers;
    struct tl_err err = {0};
    struct op_graph graph;
    unsigned wanted = wanted_of(c);
    if (!wanted) return;
    int64_t n_out = tl_shape_count(&c->out[0]);
    double *cotangent = calloc((size_t)n_out, sizeof *cotangent), *grad[TL_MAX_IN] = {0};
    for (int64_t i = 0; i < n_out; i++) cotangent[i] = sin(1.7 * (double)i + 0.3);
    if (!op_graph_open(&graph, device, c, wanted, &err)) fail_msg("%s: %s", text, err.text);
    check_ok(op_graph_write(&graph, numbers, &err), &err);
    check_ok(tl_exec_write_f64(graph.exec, "cotangent", cotangent, &err), &err);
    check_ok(tl_exec_run(graph.exec, &err), &err);
    for (int k = 0; k < TL_MAX_IN; k++) {
        if (!(wanted >> k & 1)) continue;
        char name[16];
        snprintf(name, sizeof name, "grad%d", k);
        grad[k] = calloc((size_t)tl_shape_count(&c->in[k].shape), sizeof *grad[k]);
        check_ok(tl_exec_read_f64(graph.exec, name, grad[k], &err), &err);
    }
    op_graph_close(&graph);
    if (!op_graph_open(&graph, device, c, 0, &err)) fail_msg("%s: %s", text, err.text);
    check_ok(op_graph_write(&graph, numbers, &err), &err);
    for (int k = 0; k < TL_MAX_IN; k++) {
        if (!grad[k]) continue;
        double error = gradient_error(&graph, numbers, k, cotangent, grad[k]);
        note(c->op, GRADIENT, error);
        if (!(error <= 1e-6)) fail_msg("%s: gradient of operand %d is off by %.3g", text, k, error);
        free(grad[k]);
    }
    op_graph_close(&graph);
    free(cotangent);
}

static void gradients_match_differences(void **state)
{
    (void)state;
    struct tl_err open_err = {0};
    struct tl_device *device =
        tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1, .f64 = true}, &open_err);
    if (!device) fail_msg("%s", open_err.text);
    each_case(check_gradients, device);
    tl_device_close(&device);
}

/* ---- devices ---- */

static void compare(const struct one *one, int column, const char *who, const struct op_results *got,
                    const struct op_results *reference)
{
    double error = op_results_distance(got, reference);
    note(one->c->op, column, error);
    if (!(error <= tolerance_of(one->c->op))) fail_msg("%s: %s is off by %.3g", one->text, who, error);
}

static const struct device_row {
    const char *label;
    struct tl_device_params params;
    bool optional;
} device_rows[N_DEVICES] = {
    {"cpu plain", {.name = "cpu", .threads = 1, .plain = true}, false},
    {"cpu", {.name = "cpu", .threads = 2}, false},
    {"vulkan", {.name = "vulkan"}, true},
};

struct pair {
    struct tl_device *oracle, *device;
    int row;
};

static void compare_case(const struct one *one, void *user)
{
    const struct pair *pair = user;
    const char *label = device_rows[pair->row].label;
    struct op_results reference, got;
    struct tl_err err = {0};
    if (!op_graph_run(pair->oracle, one->c, one->numbers, &reference, &err))
        fail_msg("%s: oracle: %s", one->text, err.text);
    if (!op_graph_run(pair->device, one->c, one->numbers, &got, &err))
        fail_msg("%s: %s: %s", one->text, label, err.text);
    compare(one, DEVICES + pair->row, label, &got, &reference);
    op_results_free(&got);
    op_results_free(&reference);
}

static void compare_device(int row)
{
    struct tl_err err = {0};
    struct pair pair = {.row = row, .device = tl_device_open(&device_rows[row].params, &err)};
    if (!pair.device && device_rows[row].optional) {
        printf("skipped: %s: %s\n", device_rows[row].label, err.text);
        return;
    }
    if (!pair.device) fail_msg("%s", err.text);
    pair.oracle = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1, .f64 = true}, &err);
    if (!pair.oracle) fail_msg("%s", err.text);
    each_case(compare_case, &pair);
    tl_device_close(&pair.device);
    tl_device_close(&pair.oracle);
}

static void plain_device_matches_the_oracle(void **state)
{
    (void)state;
    compare_device(0);
}

static void cpu_device_matches_the_oracle(void **state)
{
    (void)state;
    compare_device(1);
}

static void vulkan_device_matches_the_oracle(void **state)
{
    (void)state;
    compare_device(2);
}

/* ---- kernels between guards ---- */

static const struct kernel_row {
    const char *label;
    const tl_cpu_kernel *table;
    bool f64;
} kernel_rows[] = {
    {"plain double", tl_cpu_plain_f64, true}, /* the reference of the others */
    {"plain float", tl_cpu_plain_f32, false},
    {"fast float", tl_cpu_fast_f32, false},
};

enum { N_KERNEL_ROWS = sizeof kernel_rows / sizeof *kernel_rows };

static void run_kernel(const struct one *one, const struct kernel_row *row, bool accumulate, int threads,
                       struct op_results *out)
{
    struct op_kernel_params params = {
        .table = row->table, .f64 = row->f64, .accumulate = accumulate, .threads = threads};
    struct tl_err err = {0};
    if (!op_kernel_run(&params, one->c, one->numbers, out, &err))
        fail_msg("%s: %s: %s", one->text, row->label, err.text);
}

/* Right results, nothing written elsewhere, and the same bytes with one and with two threads. */
static void check_kernels(const struct one *one, void *user)
{
    (void)user;
    if (!kernel_rows[0].table[one->c->op]) return; /* reshape: no kernel */
    struct op_results reference, single, twin;
    run_kernel(one, &kernel_rows[0], false, 1, &reference);
    for (const struct kernel_row *row = kernel_rows; row < kernel_rows + N_KERNEL_ROWS; row++) {
        if (!row->table[one->c->op]) continue;
        run_kernel(one, row, false, 1, &single);
        run_kernel(one, row, false, 2, &twin);
        compare(one, KERNELS, row->label, &single, &reference);
        for (int i = 0; i < single.n; i++)
            if (memcmp(single.value[i], twin.value[i], (size_t)single.count[i] * sizeof(double)) != 0)
                fail_msg("%s: %s differs between one and two threads", one->text, row->label);
        op_results_free(&single);
        op_results_free(&twin);
    }
    op_results_free(&reference);
}

static void kernels_keep_to_their_buffers(void **state)
{
    (void)state;
    each_case(check_kernels, NULL);
}

/* What fuse.c merges with an accumulate: the kernel adds to what is there. */
static void check_accumulating(const struct one *one, void *user)
{
    (void)user;
    enum tl_op op = one->c->op;
    if (op != TL_OP_GEMM && op != TL_OP_CONV2D_DW && op != TL_OP_REDUCE_SUM && op != TL_OP_EMBEDDING_GRAD)
        return;
    struct op_results reference, got;
    run_kernel(one, &kernel_rows[0], false, 1, &reference);
    for (int64_t i = 0; i < reference.count[0]; i++) reference.value[0][i] += 0.25;
    for (const struct kernel_row *row = kernel_rows; row < kernel_rows + N_KERNEL_ROWS; row++) {
        if (!row->table[op]) continue;
        run_kernel(one, row, true, 2, &got);
        compare(one, KERNELS, row->label, &got, &reference);
        op_results_free(&got);
    }
    op_results_free(&reference);
}

static void kernels_accumulate(void **state)
{
    (void)state;
    each_case(check_accumulating, NULL);
}

static int print_table(void **state)
{
    (void)state;
    printf("%-17s %10s %10s %10s %10s %10s\n", "worst error", "gradient", "kernels", "cpu plain", "cpu",
           "vulkan");
    for (int op = 0; op < TL_N_OPS; op++) {
        printf("%-17s", tl_op_name((enum tl_op)op));
        for (int i = 0; i < N_COLUMNS; i++)
            if (measured[i] && (i != GRADIENT || differentiable[op]))
                printf(" %10.1e", worst[op][i]);
            else
                printf(" %10s", "-");
        printf("\n");
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_has_cases),
        cmocka_unit_test(kernels_keep_to_their_buffers),
        cmocka_unit_test(kernels_accumulate),
        cmocka_unit_test(plain_device_matches_the_oracle),
        cmocka_unit_test(cpu_device_matches_the_oracle),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(vulkan_device_matches_the_oracle),
    };
    return cmocka_run_group_tests(tests, NULL, print_table);
}
