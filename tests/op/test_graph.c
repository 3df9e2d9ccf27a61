/* A small network through graph, reverse mode, fusion, plan and stores: weight gradients against finite
 * differences, blocks recomputed in the backward pass, gradients that add up over runs, weights swapped by
 * binding, and devices against each other. */
#include "base/rng.h"
#include "support/check.h"
#include "tensor/exec.h"

enum { N = 2, H = 6, W = 5, C = 8, HEADS = 2, TOKENS = H * W };

static tl_val weight(struct tl_graph *g, struct tl_shape shape, const char *name)
{
    return tl_param(g, TL_SET_BASE, TL_LAYOUT_PLAIN, shape, "%s", name);
}

/* A residual block and an attention block that share what networks share: norms, residual sums, one weight
 * used twice. */
static tl_val network(struct tl_graph *g, tl_val x, bool segments)
{
    const struct tl_conv same = {.pad = {1, 1, 1, 1}};
    if (segments) tl_segment_begin(g);
    tl_val gamma = weight(g, tl_shape1(C), "norm.weight"), beta = weight(g, tl_shape1(C), "norm.bias");
    tl_val h = tl_group_norm(g, x, gamma, beta, 4, 1e-5f, true);
    h = tl_conv2d(g, h, weight(g, tl_shape4(3, 3, C, C), "conv.weight"), weight(g, tl_shape1(C), "conv.bias"),
                  TL_NONE, same);
    x = tl_add(g, x, h);
    if (segments) tl_segment_end(g);
    if (segments) tl_segment_begin(g);
    tl_val t = tl_reshape(g, x, tl_shape3(N, TOKENS, C));
    tl_val n = tl_layer_norm(g, t, gamma, beta, 1e-5f); /* the same weights once more */
    tl_val flat = tl_reshape(g, n, tl_shape2(N * TOKENS, C));
    tl_val q = tl_gemm(g, flat, weight(g, tl_shape2(C, C), "q.weight"), TL_NONE, TL_NONE, false, false);
    tl_val kv = tl_gemm(g, flat, weight(g, tl_shape2(C, C), "kv.weight"), TL_NONE, TL_NONE, false, false);
    kv = tl_reshape(g, kv, tl_shape3(N, TOKENS, C));
    tl_val o =
        tl_attention(g, tl_reshape(g, q, tl_shape3(N, TOKENS, C)), kv, kv, TL_NONE, HEADS, 0.5f, false);
    o = tl_gemm(g, tl_reshape(g, o, tl_shape2(N * TOKENS, C)), weight(g, tl_shape2(C, C), "q.weight"),
                TL_NONE, TL_NONE, false, true);
    o = tl_add(g, o, tl_reshape(g, t, tl_shape2(N * TOKENS, C)));
    if (segments) tl_segment_end(g);
    return tl_silu(g, o);
}

struct run {
    struct tl_device *device;
    struct tl_exec *exec;
    struct tl_store_layout *layout[2]; /* weights, gradients */
    struct tl_store *store[2];
};

static void run_open(struct run *r, const struct tl_device_params *params, bool segments)
{
    struct tl_err err = {0};
    *r = (struct run){.device = tl_device_open(params, &err)};
    if (!r->device) fail_msg("%s", err.text);
    struct tl_graph *g = tl_graph_create();
    tl_val x = tl_input(g, "x", TL_F32, tl_shape4(N, H, W, C));
    tl_val y = network(g, x, segments), loss = tl_mean_all(g, tl_unary(g, TL_UNARY_SQUARE, y, 0, 0)),
           one = tl_fill(g, tl_shape1(1), 1), dx;
    tl_output(g, loss, "loss");
    struct tl_backward_params backward = {.outputs = &loss,
                                          .cotangents = &one,
                                          .n_outputs = 1,
                                          .wrt = &x,
                                          .out_wrt = &dx,
                                          .n_wrt = 1,
                                          .param_sets = 1u << TL_SET_BASE};
    if (!tl_graph_backward(g, &backward)) check_ok(tl_graph_ok(g, &err), &err);
    tl_output(g, dx, "dx");
    const int sets[2] = {TL_SET_BASE, TL_SET_BASE + TL_SET_GRADS};
    for (int s = 0; s < 2; s++) {
        r->layout[s] =
            tl_store_layout_create((const struct tl_graph *const[]){g}, 1, sets[s], NULL, NULL, &err);
        check_ok(r->layout[s], &err);
        r->store[s] = tl_store_create(r->device, r->layout[s], &err);
        check_ok(r->store[s], &err);
    }
    r->exec = tl_exec_create(r->device, &g, &err);
    check_ok(r->exec, &err);
    for (int s = 0; s < 2; s++) check_ok(tl_exec_bind(r->exec, sets[s], r->store[s], &err), &err);
}

static void run_close(struct run *r)
{
    tl_exec_destroy(&r->exec);
    for (int s = 0; s < 2; s++) {
        tl_store_destroy(&r->store[s]);
        tl_store_layout_destroy(&r->layout[s]);
    }
    tl_device_close(&r->device);
}

/* The weights of a layout by name, so that every run has the same. */
static void fill_weights(struct run *r, struct tl_store *store)
{
    struct tl_err err = {0};
    for (int32_t i = 0; i < r->layout[0]->n_entries; i++) {
        const struct tl_store_entry *e = &r->layout[0]->entries[i];
        size_t n = (size_t)tl_shape_count(&e->shape);
        float *w = calloc(n, sizeof *w);
        tl_rng_normal((struct tl_rng_key){.seed = 3,
                                          .stream = TL_RNG_TEST,
                                          .sample = (uint32_t)strlen(e->name),
                                          .step = (uint32_t)e->name[0]},
                      0, n, w);
        for (size_t j = 0; j < n; j++)
            w[j] = 0.4f * w[j] + (strcmp(e->name, "norm.weight") == 0 ? 1.0f : 0.0f);
        check_ok(tl_store_write(store, e, w, &err), &err);
        free(w);
    }
}

static double run_once(struct run *r)
{
    struct tl_err err = {0};
    float x[N * H * W * C];
    double loss;
    tl_rng_normal((struct tl_rng_key){.seed = 4, .stream = TL_RNG_TEST}, 0, N * H * W * C, x);
    check_ok(tl_exec_write(r->exec, "x", x, &err), &err);
    check_ok(tl_exec_run(r->exec, &err), &err);
    check_ok(tl_exec_read_f64(r->exec, "loss", &loss, &err), &err);
    return loss;
}

static float *read_flat(struct tl_store *store)
{
    struct tl_err err = {0};
    float *flat = calloc(store->layout->n_elements, sizeof *flat);
    check_ok(tl_store_read_flat(store, flat, &err), &err);
    return flat;
}

static const struct tl_device_params oracle = {.name = "cpu", .threads = 1, .f64 = true};

/* Gradient of one weight tensor along a random direction: what moving all of it a little does to the loss. */
static double slope_along(struct run *r, const struct tl_store_entry *e, const float *direction, double h)
{
    struct tl_err err = {0};
    size_t n = (size_t)tl_shape_count(&e->shape);
    float *w = calloc(n, sizeof *w), *moved = calloc(n, sizeof *moved);
    double loss[2], step = 0, length = 0;
    check_ok(tl_store_read(r->store[0], e, w, &err), &err);
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < n; i++) moved[i] = (float)(w[i] + (side ? h : -h) * direction[i]);
        check_ok(tl_store_write(r->store[0], e, moved, &err), &err);
        loss[side] = run_once(r);
    }
    for (size_t i = 0; i < n; i++) { /* weights travel as float: the step is what really moved */
        double up = (float)(w[i] + h * direction[i]), down = (float)(w[i] - h * direction[i]);
        step += (up - down) * direction[i];
        length += (double)direction[i] * direction[i];
    }
    check_ok(tl_store_write(r->store[0], e, w, &err), &err);
    free(w);
    free(moved);
    return (loss[1] - loss[0]) / (step / length);
}

static void weight_gradients_match_differences(void **state)
{
    (void)state;
    struct run r;
    struct tl_err err = {0};
    run_open(&r, &oracle, false);
    fill_weights(&r, r.store[0]);
    check_ok(tl_store_zero(r.store[1], &err), &err);
    run_once(&r);
    float *grads = read_flat(r.store[1]);
    assert_int_equal(r.layout[1]->n_entries, 6);
    for (int32_t i = 0; i < r.layout[1]->n_entries; i++) {
        const struct tl_store_entry *e = &r.layout[1]->entries[i];
        size_t n = (size_t)tl_shape_count(&e->shape);
        double expected = 0;
        for (size_t j = 0; j < n; j++) expected += (double)grads[e->offset + j] * grads[e->offset + j];
        double slope = slope_along(&r, tl_store_layout_find(r.layout[0], e->name), grads + e->offset,
                                   1e-3 / sqrt(expected));
        printf("%-12s %.9f against %.9f\n", e->name, expected, slope);
        if (!(expected > 1e-8)) fail_msg("%s has no gradient", e->name);
        check_near(slope, expected, 2e-5 * expected);
    }
    free(grads);
    run_close(&r);
}

/* Everything a run leaves: loss, dx and the flat gradients. */
struct outcome {
    double loss;
    float dx[N * H * W * C];
    float *grads;
    size_t n_grads;
};

static void outcome_of(const struct tl_device_params *params, bool segments, int runs, struct outcome *out)
{
    struct run r;
    struct tl_err err = {0};
    run_open(&r, params, segments);
    fill_weights(&r, r.store[0]);
    for (int i = 0; i < runs; i++) out->loss = run_once(&r);
    check_ok(tl_exec_read(r.exec, "dx", out->dx, &err), &err);
    out->grads = read_flat(r.store[1]);
    out->n_grads = r.layout[1]->n_elements;
    run_close(&r);
}

static void check_same(const struct outcome *a, const struct outcome *b, double tolerance, const char *what)
{
    assert_int_equal(a->n_grads, b->n_grads);
    double loss = fabs(a->loss - b->loss) / fabs(b->loss), dx = check_rel_l2(a->dx, b->dx, N * H * W * C);
    double grads = check_rel_l2(a->grads, b->grads, a->n_grads);
    printf("%s: loss %.1e, dx %.1e, gradients %.1e\n", what, loss, dx, grads);
    if (!(loss <= tolerance && dx <= tolerance && grads <= tolerance)) fail_msg("%s differs", what);
}

static void recomputed_blocks_change_nothing(void **state)
{
    (void)state;
    struct outcome plain, segments;
    outcome_of(&oracle, false, 1, &plain);
    outcome_of(&oracle, true, 1, &segments);
    check_same(&segments, &plain, 1e-7, "recomputed blocks"); /* the order of sums may differ */
    free(plain.grads);
    free(segments.grads);
}

static void gradients_add_up_over_runs(void **state)
{
    (void)state;
    struct outcome once, thrice;
    outcome_of(&oracle, true, 1, &once);
    outcome_of(&oracle, true, 3, &thrice);
    for (size_t i = 0; i < once.n_grads; i++) once.grads[i] *= 3;
    check_same(&thrice, &once, 1e-6, "three runs");
    free(once.grads);
    free(thrice.grads);
}

static void devices_agree(void **state)
{
    (void)state;
    static const struct {
        const char *label;
        struct tl_device_params params;
    } rows[] = {
        {"cpu plain", {.name = "cpu", .threads = 1, .plain = true}},
        {"cpu", {.name = "cpu", .threads = 2}},
        {"vulkan", {.name = "vulkan"}},
    };
    struct outcome reference;
    outcome_of(&oracle, false, 2, &reference);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        struct tl_device *probe = tl_device_open(&rows[i].params, &err);
        if (!probe) {
            if (strcmp(rows[i].label, "vulkan") != 0) fail_msg("%s: %s", rows[i].label, err.text);
            printf("skipped: %s: %s\n", rows[i].label, err.text);
            continue;
        }
        tl_device_close(&probe);
        struct outcome got;
        outcome_of(&rows[i].params, true, 2, &got);
        check_same(&got, &reference, 1e-5, rows[i].label);
        free(got.grads);
    }
    free(reference.grads);
}

/* One prepared graph serves several sets of weights. */
static void other_weights_are_a_binding_away(void **state)
{
    (void)state;
    struct run r;
    struct tl_err err = {0};
    run_open(&r, &oracle, false);
    fill_weights(&r, r.store[0]);
    struct tl_store *other = tl_store_create(r.device, r.layout[0], &err);
    check_ok(other, &err);
    double first = run_once(&r);
    check_ok(tl_exec_bind(r.exec, TL_SET_BASE, other, &err), &err);
    double zeros = run_once(&r);
    assert_true(fabs(first - zeros) > 1e-3);
    check_ok(tl_store_copy(other, r.store[0], &err), &err);
    check_near(run_once(&r), first, 0);
    check_ok(tl_exec_bind(r.exec, TL_SET_BASE, r.store[0], &err), &err);
    tl_store_destroy(&other);
    run_close(&r);
}

static void wrong_shapes_are_named(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_graph *g = tl_graph_create();
    tl_val a = tl_input(g, "a", TL_F32, tl_shape2(3, 4)), b = tl_input(g, "b", TL_F32, tl_shape2(5, 6));
    assert_int_equal(tl_gemm(g, a, b, TL_NONE, TL_NONE, false, false), TL_NONE);
    assert_int_equal(tl_add(g, a, a), TL_NONE); /* after a failure nothing is built */
    assert_false(tl_graph_ok(g, &err));
    assert_non_null(strstr(err.text, "gemm"));
    assert_non_null(strstr(err.text, "[3,4]"));
    assert_non_null(strstr(err.text, "[5,6]"));
    tl_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weight_gradients_match_differences),
        cmocka_unit_test(recomputed_blocks_change_nothing),
        cmocka_unit_test(gradients_add_up_over_runs),
        cmocka_unit_test(devices_agree),
        cmocka_unit_test(other_weights_are_a_binding_away),
        cmocka_unit_test(wrong_shapes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
