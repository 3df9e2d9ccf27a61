/* Additions into persistent tensors run as soon as what they read is there, and keep their place among
 * readers and writers of the tensor. */
#include <stdlib.h>

#include "support/check.h"
#include "tensor/exec.h"

enum { N = 4 };

static int32_t place_of(const struct tl_plan *plan, int32_t node)
{
    for (int32_t i = 0; i < plan->n_order; i++)
        if (plan->order[i] == node) return i;
    return -1;
}

/* Where the addition into a set's tensor of this name runs, or -1. */
static int32_t addition(const struct tl_graph *g, const struct tl_plan *plan, int set, const char *name)
{
    tl_val dst = tl_graph_find_param(g, set, name);
    for (int32_t i = 0; i < plan->n_order; i++) {
        const struct tl_node *n = &g->nodes[plan->order[i]];
        if ((n->accumulate || n->op == TL_OP_ACCUMULATE) && tl_graph_storage(g, n->out[0]) == dst) return i;
    }
    return -1;
}

/* Two layers: the second one's weight gradient needs nothing of the first one's backward pass. */
static void gradients_do_not_wait_for_the_end(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_graph *g = tl_graph_create();
    tl_val x = tl_input(g, "x", TL_F32, tl_shape2(N, N)), dy = tl_input(g, "dy", TL_F32, tl_shape2(N, N)), dx;
    tl_val a = tl_param(g, TL_SET_BASE, TL_LAYOUT_PLAIN, tl_shape2(N, N), "a");
    tl_val b = tl_param(g, TL_SET_BASE, TL_LAYOUT_PLAIN, tl_shape2(N, N), "b");
    tl_val h = tl_gemm(g, x, a, TL_NONE, TL_NONE, false, false),
           y = tl_gemm(g, h, b, TL_NONE, TL_NONE, false, false);
    struct tl_backward_params backward = {.outputs = &y,
                                          .cotangents = &dy,
                                          .n_outputs = 1,
                                          .wrt = &x,
                                          .out_wrt = &dx,
                                          .n_wrt = 1,
                                          .param_sets = 1u << TL_SET_BASE};
    assert_true(tl_graph_backward(g, &backward));
    tl_output(g, dx, "dx");
    struct tl_plan plan;
    check_ok(tl_plan_make(g, 4, true, &plan, &err), &err);
    int32_t first = addition(g, &plan, TL_SET_GRADS, "a"), second = addition(g, &plan, TL_SET_GRADS, "b");
    int32_t at_dx = place_of(&plan, g->values[dx].node);
    assert_true(first >= 0 && second >= 0);
    assert_true(second < first);
    assert_true(second < at_dx);
    assert_int_equal(plan.n_order, 5); /* h, b's gradient, dh, a's gradient, dx: y itself is not asked for */
    for (int32_t i = 0; i < plan.n_order; i++) { /* operands come first */
        const struct tl_node *n = &g->nodes[plan.order[i]];
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] >= 0 && g->values[n->in[k]].node >= 0)
                assert_true(place_of(&plan, g->values[n->in[k]].node) < i);
    }
    tl_plan_finish(&plan);
    tl_graph_destroy(&g);
}

/* t += x; read t; t += 2 x; read t; u += t: each sees what the ones in front of it have done, no more. */
static void readers_see_what_stands_in_front_of_them(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    if (!device) fail_msg("%s", err.text);
    struct tl_graph *g = tl_graph_create();
    tl_val x = tl_input(g, "x", TL_F32, tl_shape1(N));
    tl_val t = tl_param(g, TL_SET_GRADS, TL_LAYOUT_PLAIN, tl_shape1(N), "t"),
           u = tl_param(g, TL_SET_GRADS, TL_LAYOUT_PLAIN, tl_shape1(N), "u");
    tl_val twice = tl_scale(g, x, 2);
    tl_accumulate(g, t, x);
    tl_output(g, tl_scale(g, t, 10), "before");
    tl_accumulate(g, t, twice);
    tl_output(g, tl_scale(g, t, 10), "after");
    tl_accumulate(g, u, t);
    const struct tl_graph *const graphs[1] = {g};
    struct tl_store_layout *layout = tl_store_layout_create(graphs, 1, TL_SET_GRADS, NULL, NULL, &err);
    struct tl_store *store = layout ? tl_store_create(device, layout, &err) : NULL;
    if (!store) fail_msg("%s", err.text);
    struct tl_exec *exec = tl_exec_create(device, &g, &err);
    if (!exec) fail_msg("%s", err.text);
    float in[N] = {1, 2, 3, 4}, got[N];
    check_ok(tl_exec_bind(exec, TL_SET_GRADS, store, &err), &err);
    check_ok(tl_exec_write(exec, "x", in, &err), &err);
    check_ok(tl_exec_run(exec, &err), &err);
    check_ok(tl_exec_read(exec, "before", got, &err), &err);
    for (int i = 0; i < N; i++) assert_true(got[i] == 10 * in[i]);
    check_ok(tl_exec_read(exec, "after", got, &err), &err);
    for (int i = 0; i < N; i++) assert_true(got[i] == 30 * in[i]);
    check_ok(tl_store_read(store, tl_store_layout_find(layout, "u"), got, &err), &err);
    for (int i = 0; i < N; i++) assert_true(got[i] == 3 * in[i]);
    tl_exec_destroy(&exec);
    tl_store_destroy(&store);
    tl_store_layout_destroy(&layout);
    tl_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_do_not_wait_for_the_end),
        cmocka_unit_test(readers_see_what_stands_in_front_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
