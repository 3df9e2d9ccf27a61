/* A denoiser over F16 and BF16 base weights: its output and the gradients of its LoRA are those of an F32
 * UNet whose weights were rounded first, kept or recomputed; an update store of the wrong type is refused. */
#include "support/check.h"

#include "base/rng.h"
#include "models/weights.h"
#include "sample/denoiser.h"

#define UNET TL_SOURCE_DIR "/tests/fixtures/unet_sd1"
enum { BATCH = 2, SIDE = 8, CHANNELS = 4, TOKENS = 7, WIDTH = 8, N = BATCH * SIDE * SIDE * CHANNELS };

static void normals(uint32_t seed, size_t n, float *out)
{
    tl_rng_normal((struct tl_rng_key){.seed = seed, .stream = TL_RNG_TEST}, 0, n, out);
}

static struct tl_component *open_as(struct tl_device *device, enum tl_dtype dtype)
{
    struct tl_err err = {0};
    struct tl_component *c = tl_component_open_as(device, UNET, dtype, &err);
    if (!c) fail_msg("%s", err.text);
    return c;
}

static void take_weights(struct tl_component *to, struct tl_component *from)
{
    struct tl_err err = {0};
    for (int32_t i = 0; i < to->layout->n_entries; i++) {
        const struct tl_store_entry *e = &to->layout->entries[i];
        float *w = malloc((size_t)tl_shape_count(&e->shape) * sizeof *w);
        check_ok(tl_store_read(from->store, tl_store_layout_find(from->layout, e->name), w, &err) &&
                     tl_store_write(to->store, e, w, &err),
                 &err);
        free(w);
    }
}

struct outcome {
    float m[N];
    float *grads;
    size_t n_grads;
};

static void run(struct tl_component *unet, bool checkpoint, struct outcome *out)
{
    struct tl_err err = {0};
    struct tl_lora_spec spec;
    check_ok(tl_lora_spec_parse("to_q,to_out.0,ff.net.2", 2, 2, &spec, &err), &err);
    struct tl_denoiser_params p = {.unet = unet,
                                   .batch = BATCH,
                                   .height = SIDE,
                                   .width = SIDE,
                                   .tokens = TOKENS,
                                   .guided = true,
                                   .lora = &spec,
                                   .gradient = true,
                                   .checkpoint = checkpoint};
    struct tl_denoiser *d = tl_denoiser_create(&p, &err);
    if (!d) fail_msg("%s", err.text);
    const struct tl_store_layout *l = tl_denoiser_lora_layout(d);
    assert_int_equal(l->dtype, TL_F32);
    struct tl_store *lora = tl_store_create(unet->store->device, l, &err),
                    *grads = tl_store_create(unet->store->device, l, &err);
    check_ok(lora && grads, &err);
    out->n_grads = l->n_elements;
    out->grads = malloc(out->n_grads * sizeof *out->grads);
    normals(3, out->n_grads, out->grads);
    for (size_t i = 0; i < out->n_grads; i++) out->grads[i] *= 0.2f;
    check_ok(tl_store_write_flat(lora, out->grads, &err), &err);
    struct tl_denoiser_weights w = {.lora = lora, .grads = grads, .lora_scale = 0.7};
    float x[N], d_m[N], context[2 * BATCH * TOKENS * WIDTH], t[BATCH] = {10, 700};
    normals(4, N, x);
    normals(5, N, d_m);
    normals(6, 2 * BATCH * TOKENS * WIDTH, context);
    struct tl_condition c = {.context = context};
    check_ok(tl_denoiser_run(d, &w, x, t, &c, 3, out->m, &err), &err);
    check_ok(tl_denoiser_backward(d, &w, x, t, &c, 3, d_m, &err), &err);
    check_ok(tl_store_read_flat(grads, out->grads, &err), &err);
    tl_store_destroy(&lora);
    tl_store_destroy(&grads);
    tl_denoiser_destroy(&d);
    tl_lora_spec_finish(&spec);
}

static void check_device(struct tl_device *device)
{
    for (enum tl_dtype dtype = TL_F16; dtype <= TL_BF16; dtype++) {
        struct tl_component *half = open_as(device, dtype), *rounded = open_as(device, TL_F32);
        struct outcome a, b;
        run(rounded, false, &b);
        float first = b.m[0];
        free(b.grads);
        take_weights(rounded, half);
        for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
            run(half, checkpoint, &a);
            run(rounded, checkpoint, &b);
            assert_true(b.m[0] != first); /* rounding is seen */
            double m = check_rel_l2(a.m, b.m, N), g = check_rel_l2(a.grads, b.grads, a.n_grads);
            printf("%s, %s base%s: output %.1e, LoRA gradients %.1e from those of rounded F32\n",
                   device->name, tl_dtype_name(dtype), checkpoint ? ", recomputed" : "", m, g);
            assert_true(m <= 1e-5 && g <= 1e-5);
            float zero = 0;
            for (size_t i = 0; i < b.n_grads; i++) zero += fabsf(b.grads[i]);
            assert_true(zero > 1e-3f);
            free(a.grads);
            free(b.grads);
        }
        tl_component_close(&half);
        tl_component_close(&rounded);
    }
}

static void lora_gradients_pass_through_halves(void **state)
{
    (void)state;
    const char *names[] = {"cpu", "vulkan"};
    for (int i = 0; i < 2; i++) {
        struct tl_err err = {0};
        struct tl_device *device =
            tl_device_open(&(struct tl_device_params){.name = names[i], .threads = 1}, &err);
        if (!device && i == 1) {
            printf("skipped: %s\n", err.text);
            continue;
        }
        if (!device) fail_msg("%s", err.text);
        check_device(device);
        tl_device_close(&device);
    }
}

/* Full fine-tuning keeps its gradients in F32: a store with the layout of the weights does not do. */
static void gradients_in_halves_are_refused(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    if (!device) fail_msg("%s", err.text);
    struct tl_component *unet = open_as(device, TL_F16);
    struct tl_denoiser_params p = {
        .unet = unet, .batch = 1, .height = SIDE, .width = SIDE, .tokens = TOKENS, .gradient = true};
    struct tl_denoiser *d = tl_denoiser_create(&p, &err);
    if (!d) fail_msg("%s", err.text);
    struct tl_store *grads = tl_store_create(device, unet->layout, &err);
    check_ok(grads, &err);
    float x[N] = {0}, context[TOKENS * WIDTH] = {0}, t[1] = {10};
    struct tl_condition c = {.context = context};
    assert_false(
        tl_denoiser_backward(d, &(struct tl_denoiser_weights){.grads = grads}, x, t, &c, 1, x, &err));
    assert_non_null(strstr(err.text, "is f16 in the weights, the graph reads it as f32"));
    tl_store_destroy(&grads);
    tl_denoiser_destroy(&d);
    tl_component_close(&unet);
    tl_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lora_gradients_pass_through_halves),
                                       cmocka_unit_test(gradients_in_halves_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
