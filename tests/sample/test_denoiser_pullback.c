/* The gradient of a denoiser by its input: against differences of its own output in double, with and without
 * guidance and a LoRA, kept and recomputed; float and Vulkan against double. */
#include "support/check.h"

#include "base/rng.h"
#include "sample/denoiser.h"

#define UNET TL_SOURCE_DIR "/tests/fixtures/unet_sd1"
enum { BATCH = 2, SIDE = 8, CHANNELS = 4, TOKENS = 7, WIDTH = 8, N = BATCH * SIDE * SIDE * CHANNELS };

static const float times[BATCH] = {10, 700};

struct kit {
    struct tl_device *device;
    struct tl_component *unet;
    struct tl_lora_spec spec;
    struct tl_denoiser *denoiser;
    struct tl_store *lora;
    struct tl_denoiser_weights weights;
    struct tl_condition condition;
    double guidance;
    float x[N], d_m[N], context[2 * BATCH * TOKENS * WIDTH];
};

struct how {
    bool guided, lora, checkpoint;
};

/* Unit normals on a grid of 2^-16, so that small sums of them are exact in float. */
static void normals(uint32_t seed, size_t n, float *out)
{
    tl_rng_normal((struct tl_rng_key){.seed = seed, .stream = TL_RNG_TEST}, 0, n, out);
    for (size_t i = 0; i < n; i++) out[i] = rintf(out[i] * 0x1p16f) * 0x1p-16f;
}

static void give_lora(struct kit *k)
{
    struct tl_err err = {0};
    const struct tl_store_layout *l = tl_denoiser_lora_layout(k->denoiser);
    float *w = malloc(l->n_elements * sizeof *w);
    k->lora = tl_store_create(k->device, l, &err);
    check_ok(k->lora, &err);
    normals(3, l->n_elements, w);
    for (size_t i = 0; i < l->n_elements; i++) w[i] *= 0.2f;
    check_ok(tl_store_write_flat(k->lora, w, &err), &err);
    free(w);
    k->weights = (struct tl_denoiser_weights){.lora = k->lora, .lora_scale = 0.7};
}

/* "cpu", "f64" (the oracle), "vulkan": false where there is none. */
static bool open_kit(struct kit *k, const char *name, struct how how)
{
    struct tl_err err = {0};
    bool f64 = strcmp(name, "f64") == 0;
    *k = (struct kit){.guidance = how.guided ? 3 : 1};
    k->device = tl_device_open(
        &(struct tl_device_params){.name = f64 ? "cpu" : name, .threads = 1, .f64 = f64}, &err);
    if (!k->device && err.code == TL_DEVICE) return false;
    check_ok(k->device, &err);
    k->unet = tl_component_open(k->device, UNET, &err);
    check_ok(k->unet, &err);
    check_ok(tl_lora_spec_parse("to_q,to_out.0,ff.net.2", 2, 2, &k->spec, &err), &err);
    struct tl_denoiser_params p = {.unet = k->unet,
                                   .batch = BATCH,
                                   .height = SIDE,
                                   .width = SIDE,
                                   .tokens = TOKENS,
                                   .guided = how.guided,
                                   .lora = how.lora ? &k->spec : NULL,
                                   .input_gradient = true,
                                   .checkpoint = how.checkpoint};
    k->denoiser = tl_denoiser_create(&p, &err);
    check_ok(k->denoiser, &err);
    if (how.lora) give_lora(k);
    normals(4, N, k->x);
    normals(5, N, k->d_m);
    normals(6, 2 * BATCH * TOKENS * WIDTH, k->context);
    k->condition.context = k->context;
    return true;
}

static void close_kit(struct kit *k)
{
    tl_store_destroy(&k->lora);
    tl_denoiser_destroy(&k->denoiser);
    tl_lora_spec_finish(&k->spec);
    tl_component_close(&k->unet);
    tl_device_close(&k->device);
}

static void pullback(struct kit *k, float *out)
{
    struct tl_err err = {0};
    check_ok(tl_denoiser_pullback(k->denoiser, &k->weights, k->x, times, &k->condition, k->guidance, k->d_m,
                                  out, &err),
             &err);
}

/* sum(d_m * m) at x + s v. */
static double value(struct kit *k, const float *v, float s)
{
    struct tl_err err = {0};
    float x[N], m[N];
    double sum = 0;
    for (size_t i = 0; i < N; i++) x[i] = k->x[i] + s * v[i];
    check_ok(tl_denoiser_run(k->denoiser, &k->weights, x, times, &k->condition, k->guidance, m, &err), &err);
    for (size_t i = 0; i < N; i++) sum += (double)k->d_m[i] * m[i];
    return sum;
}

/* Central differences of fourth order. */
static double slope(struct kit *k, const float *v)
{
    const float h = 0x1p-4f;
    return (8 * (value(k, v, h) - value(k, v, -h)) - (value(k, v, 2 * h) - value(k, v, -2 * h))) / (12 * h);
}

static void check_differences(struct kit *k, const float *g)
{
    double length = 0;
    for (size_t i = 0; i < N; i++) length += (double)g[i] * g[i];
    length = sqrt(length);
    assert_true(length > 0);
    for (uint32_t seed = 20; seed < 26; seed++) { /* both samples', then one's own */
        float v[N];
        double along = 0;
        normals(seed, N, v);
        for (size_t i = 0; i < N; i++) {
            if (seed == 24)
                v[i] = rintf((float)(g[i] / length) * 0x1p12f) * 0x1p-12f;
            else
                v[i] = seed == 25 && i < N / 2 ? 0 : rintf(v[i] * 0x1p8f) * 0x1p-12f;
            along += (double)v[i] * g[i];
        }
        check_near(along, slope(k, v), 1e-5 * length);
    }
}

static void it_is_the_slope(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct kit k;
        float g[N];
        open_kit(&k, "f64", (struct how){.guided = i & 1, .lora = i & 2});
        pullback(&k, g);
        check_differences(&k, g);
        close_kit(&k);
    }
}

/* A way of `how` on a device against double. */
static void check_device(const char *name, struct how how, const float *exact)
{
    struct kit k;
    float g[N];
    if (!open_kit(&k, name, how)) {
        printf("skipped: no %s\n", name);
        return;
    }
    pullback(&k, g);
    double error = check_rel_l2(g, exact, N);
    printf("%s%s%s: %.1e\n", name, how.guided ? ", guided" : "", how.checkpoint ? ", recomputed" : "", error);
    assert_true(error <= 1e-5);
    close_kit(&k);
}

static void devices_agree(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct kit k;
        float exact[N];
        struct how how = {.guided = i, .lora = true};
        open_kit(&k, "f64", how);
        pullback(&k, exact);
        close_kit(&k);
        check_device("cpu", how, exact);
        check_device("vulkan", how, exact);
        how.checkpoint = true;
        check_device("cpu", how, exact);
    }
}

static void it_is_planned_on_request(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct kit k;
    float g[N];
    open_kit(&k, "cpu", (struct how){0});
    size_t with = tl_denoiser_bytes(k.denoiser);
    tl_denoiser_destroy(&k.denoiser);
    struct tl_denoiser_params p = {
        .unet = k.unet, .batch = BATCH, .height = SIDE, .width = SIDE, .tokens = TOKENS};
    k.denoiser = tl_denoiser_create(&p, &err);
    check_ok(k.denoiser, &err);
    assert_true(tl_denoiser_bytes(k.denoiser) < with);
    assert_false(tl_denoiser_pullback(k.denoiser, &k.weights, k.x, times, &k.condition, 1, k.d_m, g, &err));
    assert_non_null(strstr(err.text, "planned without"));
    close_kit(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_the_slope), cmocka_unit_test(devices_agree),
                                       cmocka_unit_test(it_is_planned_on_request)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
