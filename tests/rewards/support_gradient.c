#include "rewards/support_gradient.h"

#include "support/check.h"

bool support_gradient_open(struct support_gradient *q, const struct support_reward_case *kit,
                           const char *spec, const char *device)
{
    struct tl_err err = {0};
    bool f64 = strcmp(device, "f64") == 0;
    *q = (struct support_gradient){0};
    q->device = tl_device_open(
        &(struct tl_device_params){.name = f64 ? "cpu" : device, .threads = 1, .f64 = f64}, &err);
    if (!q->device && err.code == TL_DEVICE) return false;
    if (!q->device) fail_msg("%s", err.text);
    q->set = tl_reward_set_open(
        &(struct tl_reward_set_params){.specs = &spec, .n_specs = 1, .device = q->device}, &err);
    if (!q->set) fail_msg("%s: %s", spec, err.text);
    struct tl_reward *r = tl_reward_set_part(q->set, 0);
    struct tl_reward_fragment f = {.set = TL_SET_AUX, .prefix = "r0"};
    struct tl_graph *g = tl_graph_create();
    f.pictures =
        tl_input(g, "pictures", TL_F32, tl_shape4(SUPPORT_PICTURES, SUPPORT_HEIGHT, SUPPORT_WIDTH, 3));
    tl_val scores = r->cls->build(r, g, &f);
    tl_val cot = tl_input(g, "cot", TL_F32, tl_shape1(SUPPORT_PICTURES)), grad = TL_NONE;
    struct tl_backward_params back = {.outputs = &scores,
                                      .cotangents = &cot,
                                      .n_outputs = 1,
                                      .wrt = &f.pictures,
                                      .out_wrt = &grad,
                                      .n_wrt = 1};
    tl_graph_backward(g, &back);
    tl_output(g, scores, "scores");
    tl_output(g, grad, "grad");
    check_ok(tl_graph_ok(g, &err), &err);
    q->exec = tl_exec_create(q->device, &g, &err);
    if (!q->exec) fail_msg("%s", err.text);
    if (r->cls->store) check_ok(tl_exec_bind(q->exec, TL_SET_AUX, r->cls->store(r), &err), &err);
    const char *prompts[SUPPORT_PICTURES] = {kit->items[1].prompt, kit->items[0].prompt};
    check_ok(r->cls->feed(r, q->exec, &f, prompts, SUPPORT_PICTURES, &err), &err);
    for (size_t i = 0; i < SUPPORT_PICTURES * SUPPORT_PIXELS; i++)
        q->pictures[i] = kit->items[1].rgb[i % SUPPORT_PIXELS] / 255.0;
    return true;
}

void support_gradient_close(struct support_gradient *q)
{
    tl_exec_destroy(&q->exec);
    tl_reward_set_close(&q->set);
    tl_device_close(&q->device);
}

void support_gradient_run(struct support_gradient *q, double scores[SUPPORT_PICTURES])
{
    struct tl_err err = {0};
    static const double cot[SUPPORT_PICTURES] = {1, -2};
    check_ok(tl_exec_write_f64(q->exec, "pictures", q->pictures, &err), &err);
    check_ok(tl_exec_write_f64(q->exec, "cot", cot, &err), &err);
    check_ok(tl_exec_run(q->exec, &err), &err);
    check_ok(tl_exec_read_f64(q->exec, "scores", scores, &err), &err);
    check_ok(tl_exec_read_f64(q->exec, "grad", q->gradient, &err), &err);
}

void support_gradient_check(const struct support_reward_case *kit, const char *spec)
{
    enum { N = SUPPORT_PICTURES * SUPPORT_PIXELS, STEPS = 23 };
    static struct support_gradient q;
    static double exact[N];
    double scores[2], up[2], down[2], h = 1e-6, largest = 0;
    support_gradient_open(&q, kit, spec, "f64");
    support_gradient_run(&q, scores);
    memcpy(exact, q.gradient, sizeof exact);
    for (size_t i = 0; i < N; i++) largest = fmax(largest, fabs(exact[i]));
    assert_true(largest > 0);
    for (size_t i = 5; i < N; i += N / STEPS) { /* pixels that an encoder crops, too */
        double x = q.pictures[i];
        q.pictures[i] = x + h;
        support_gradient_run(&q, up);
        q.pictures[i] = x - h;
        support_gradient_run(&q, down);
        q.pictures[i] = x;
        double slope = (up[0] - down[0] - 2 * (up[1] - down[1])) / (2 * h);
        check_near(exact[i], slope, 1e-6 * largest + 1e-9);
    }
    support_gradient_close(&q);
}

void support_gradient_check_vulkan(const struct support_reward_case *kit, const char *spec)
{
    static struct support_gradient cpu, gpu;
    double a[SUPPORT_PICTURES], b[SUPPORT_PICTURES], difference = 0, length = 0;
    if (!support_gradient_open(&gpu, kit, spec, "vulkan")) {
        printf("skipped: no Vulkan\n");
        return;
    }
    support_gradient_open(&cpu, kit, spec, "cpu");
    support_gradient_run(&cpu, a);
    support_gradient_run(&gpu, b);
    for (int i = 0; i < SUPPORT_PICTURES; i++) check_near(b[i], a[i], 1e-4 * (1 + fabs(a[i])));
    for (size_t i = 0; i < SUPPORT_PICTURES * SUPPORT_PIXELS; i++) {
        difference += pow(gpu.gradient[i] - cpu.gradient[i], 2);
        length += pow(cpu.gradient[i], 2);
    }
    printf("%.40s: gradient on Vulkan differs by %.1e\n", spec, sqrt(difference / length));
    assert_true(length > 0 && difference <= 1e-6 * length);
    support_gradient_close(&cpu);
    support_gradient_close(&gpu);
}
