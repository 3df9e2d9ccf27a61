/* Rewards of latents on the device: their scores are those of the decoded bytes but for the rounding, their
 * gradients the slopes of their totals in double, on every device the same. */
#include "support/check.h"

#include "base/rng.h"
#include "rewards/rewards.h"
#include "run/reward_lens.h"
#include "sample/latents.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures"
#define CLIP     "clip:" FIXTURES "/clip_score"
#define HEAD     "aesthetic:" FIXTURES "/rewards/mlp.safetensors,encoder=" FIXTURES "/clip_score"
enum { N = 5, BATCH = 2, SIDE = 8, DIM = SIDE * SIDE * 4, PICTURE = 16 * 16 * 3, PARTS = 3 };

static const char *const prompts[N] = {"a red square", "a blue circle", "two green circles", "a red square",
                                       "a black cat"};

struct how {
    const char *device; /* "cpu", "f64" (the oracle), "vulkan" */
    const char *const *specs;
    size_t n_specs;
    bool raw;
};

struct kit {
    struct tl_device *device;
    struct tl_component *vae;
    struct tl_reward_set *set;
    struct tl_reward_lens *lens;
    float z[N * DIM];
};

/* Unit normals on a grid of 2^-16, so that small sums of them are exact in float. */
static void normals(uint32_t seed, size_t n, float *out)
{
    tl_rng_normal((struct tl_rng_key){.seed = seed, .stream = TL_RNG_TEST}, 0, n, out);
    for (size_t i = 0; i < n; i++) out[i] = rintf(out[i] * 0x1p16f) * 0x1p-16f;
}

static bool open_device(struct kit *k, const char *name)
{
    struct tl_err err = {0};
    bool f64 = strcmp(name, "f64") == 0;
    *k = (struct kit){0};
    k->device = tl_device_open(
        &(struct tl_device_params){.name = f64 ? "cpu" : name, .threads = 1, .f64 = f64}, &err);
    if (!k->device && err.code == TL_DEVICE) return false;
    check_ok(k->device, &err);
    return true;
}

/* False: there is no such device. */
static bool open_kit(struct kit *k, const struct how *how)
{
    static const struct tl_reward_standard standards[PARTS] = {{0.02, 0.11}, {-0.4, 0.05}, {5, 0.7}};
    struct tl_err err = {0};
    if (!open_device(k, how->device)) return false;
    k->vae = tl_component_open(k->device, FIXTURES "/pipeline_sd1/vae", &err);
    check_ok(k->vae, &err);
    k->set = tl_reward_set_open(
        &(struct tl_reward_set_params){
            .specs = how->specs, .n_specs = how->n_specs, .raw = how->raw, .device = k->device},
        &err);
    check_ok(k->set, &err);
    if (tl_reward_set_needs_standard(k->set))
        check_ok(tl_reward_set_standardise(k->set, standards, &err), &err);
    k->lens = tl_reward_lens_create(&(struct tl_reward_lens_params){.vae = k->vae,
                                                                    .rewards = k->set,
                                                                    .batch = BATCH,
                                                                    .height = SIDE,
                                                                    .width = SIDE,
                                                                    .gradient = true},
                                    &err);
    check_ok(k->lens, &err);
    normals(4, N * DIM, k->z);
    return true;
}

static void close_kit(struct kit *k)
{
    tl_reward_lens_destroy(&k->lens);
    tl_reward_set_close(&k->set);
    tl_component_close(&k->vae);
    tl_device_close(&k->device);
}

static const char *const one[] = {CLIP};
static const char *const sum[] = {CLIP "@2", "colour:orange@-0.5", HEAD};
static const char *const least[] = {"ensemble:min:" CLIP "+colour:orange+" HEAD "@1.5"};
static const char *const cautious[] = {"ensemble:mean-std:" CLIP "+colour:orange+" HEAD};
static const char *const raw[] = {"colour:orange", CLIP ",flavour=logit@0.1"};
static const struct how ways[] = {{"", one, 1, false},
                                  {"", sum, 3, false},
                                  {"", least, 1, false},
                                  {"", cautious, 1, false},
                                  {"", raw, 2, true}};
enum { WAYS = sizeof ways / sizeof *ways };

/* ---- scores ---- */

static void score_bytes(struct kit *k, double *total, double *parts)
{
    struct tl_err err = {0};
    static uint8_t rgb[N * PICTURE];
    struct tl_reward_item items[N];
    struct tl_latent_codec *codec = tl_latent_codec_create(k->vae, &err);
    check_ok(codec, &err);
    check_ok(tl_latent_codec_decode(codec, k->z, N, SIDE, SIDE, NULL, rgb, &err), &err);
    for (size_t i = 0; i < N; i++)
        items[i] = (struct tl_reward_item){
            .prompt = prompts[i], .rgb = rgb + i * PICTURE, .width = 16, .height = 16};
    check_ok(tl_reward_set_score(k->set, items, N, total, parts, &err), &err);
    tl_latent_codec_destroy(&codec);
}

/* Part `part` of the decoder's float pictures, by a graph that has nothing else in it. */
static void score_floats(struct kit *k, size_t part, double out[N])
{
    struct tl_err err = {0};
    static float pictures[N * PICTURE], scores[N];
    struct tl_reward *r = tl_reward_set_part(k->set, part);
    struct tl_reward_fragment f = {.set = TL_SET_AUX, .prefix = "alone"};
    struct tl_latent_codec *codec = tl_latent_codec_create(k->vae, &err);
    check_ok(codec, &err);
    check_ok(tl_latent_codec_decode(codec, k->z, N, SIDE, SIDE, pictures, NULL, &err), &err);
    tl_latent_codec_destroy(&codec);
    struct tl_graph *g = tl_graph_create();
    f.pictures = tl_input(g, "pictures", TL_F32, tl_shape4(N, 16, 16, 3));
    tl_output(g, r->cls->build(r, g, &f), "scores");
    check_ok(tl_graph_ok(g, &err), &err);
    struct tl_exec *exec = tl_exec_create(k->device, &g, &err);
    check_ok(exec, &err);
    if (r->cls->store) check_ok(tl_exec_bind(exec, TL_SET_AUX, r->cls->store(r), &err), &err);
    check_ok(r->cls->feed(r, exec, &f, prompts, N, &err) && tl_exec_write(exec, "pictures", pictures, &err) &&
                 tl_exec_run(exec, &err) && tl_exec_read(exec, "scores", scores, &err),
             &err);
    tl_exec_destroy(&exec);
    for (size_t i = 0; i < N; i++) out[i] = (double)scores[i];
}

static void check_parts(struct kit *k, const double *parts)
{
    size_t n = tl_reward_set_count(k->set);
    double alone[N];
    for (size_t part = 0; part < n; part++) {
        score_floats(k, part, alone);
        for (size_t i = 0; i < N; i++) check_near(parts[i * n + part], alone[i], 1e-5 * (1 + fabs(alone[i])));
    }
}

/* Each part is its fragment's; the total differs from that of the bytes by their rounding, which a network of
 * random weights makes much of. */
static void scores_are_those_of_pictures(void **state)
{
    (void)state;
    for (size_t w = 0; w < WAYS; w++) {
        struct how how = ways[w];
        struct tl_err err = {0};
        struct kit k;
        double a[N], b[N], parts[N * PARTS], of_bytes[N * PARTS], far = 0, spread = 0;
        how.device = "cpu";
        open_kit(&k, &how);
        check_ok(tl_reward_lens_score(k.lens, k.z, prompts, N, a, parts, &err), &err);
        check_parts(&k, parts);
        score_bytes(&k, b, of_bytes);
        for (size_t i = 0; i < N; i++) {
            far = fmax(far, fabs(a[i] - b[i]));
            spread = fmax(spread, fabs(b[i] - b[0]));
        }
        printf("way %zu: totals %.1e from those of bytes, which are up to %.1e apart\n", w, far, spread);
        assert_true(far < 0.15 * spread);
        close_kit(&k);
    }
}

/* In any company, and whatever was asked before. */
static void a_score_is_the_samples_own(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct kit k;
    double all[N], parts[N * PARTS], again[N], alone, total[N];
    static float d[N * DIM], one_d[DIM];
    open_kit(&k, &(struct how){"cpu", sum, 3, false});
    check_ok(tl_reward_lens_score(k.lens, k.z, prompts, N, all, parts, &err), &err);
    check_ok(tl_reward_lens_gradient(k.lens, k.z, prompts, N, total, NULL, d, &err), &err);
    for (size_t i = N; i-- > 0;) {
        check_ok(tl_reward_lens_score(k.lens, k.z + i * DIM, prompts + i, 1, &alone, NULL, &err), &err);
        check_near(alone, all[i], 1e-5);
        check_near(total[i], all[i], 1e-5);
        check_ok(tl_reward_lens_gradient(k.lens, k.z + i * DIM, prompts + i, 1, &alone, NULL, one_d, &err),
                 &err);
        assert_true(check_rel_l2(one_d, d + i * DIM, DIM) < 1e-4);
    }
    check_ok(tl_reward_lens_score(k.lens, k.z, prompts, N, again, NULL, &err), &err);
    assert_memory_equal(again, all, sizeof all);
    close_kit(&k);
}

/* ---- gradients ---- */

/* Of the total of the samples at z + s v, all of them together. */
static double value(struct kit *k, const float *v, float s)
{
    static float z[N * DIM];
    struct tl_err err = {0};
    double total[N], all = 0;
    for (size_t i = 0; i < N * DIM; i++) z[i] = k->z[i] + s * v[i];
    check_ok(tl_reward_lens_score(k->lens, z, prompts, N, total, NULL, &err), &err);
    for (size_t i = 0; i < N; i++) all += total[i];
    return all;
}

static double slope(struct kit *k, const float *v)
{
    const float h = 0x1p-9f;
    return (8 * (value(k, v, h) - value(k, v, -h)) - (value(k, v, 2 * h) - value(k, v, -2 * h))) / (12 * h);
}

static void check_differences(struct kit *k, const float *g)
{
    static float v[N * DIM];
    double length = 0, worst = 0;
    for (size_t i = 0; i < N * DIM; i++) length += (double)g[i] * g[i];
    length = sqrt(length);
    assert_true(length > 0);
    for (uint32_t seed = 20; seed < 25; seed++) { /* along the gradient, then along anything */
        double along = 0;
        normals(seed, N * DIM, v);
        for (size_t i = 0; i < N * DIM; i++) {
            v[i] = seed == 20 ? rintf((float)(g[i] / length) * 0x1p9f) * 0x1p-9f
                              : rintf(v[i] * 0x1p4f) * 0x1p-9f;
            along += (double)v[i] * g[i];
        }
        worst = fmax(worst, fabs(along - slope(k, v)) / length);
    }
    printf("gradient %.2e long, differences off by %.1e of it\n", length, worst);
    assert_true(worst < 1e-4);
}

static void gradients_are_slopes(void **state)
{
    (void)state;
    for (size_t w = 0; w < WAYS; w++) {
        struct how how = ways[w];
        struct tl_err err = {0};
        struct kit k;
        static float g[N * DIM];
        how.device = "f64";
        open_kit(&k, &how);
        check_ok(tl_reward_lens_gradient(k.lens, k.z, prompts, N, NULL, NULL, g, &err), &err);
        check_differences(&k, g);
        close_kit(&k);
    }
}

static void devices_agree(void **state)
{
    (void)state;
    static float exact[N * DIM], g[N * DIM];
    const char *const names[] = {"cpu", "vulkan"};
    struct tl_err err = {0};
    struct kit k;
    double want[N], got[N];
    open_kit(&k, &(struct how){"f64", cautious, 1, false});
    check_ok(tl_reward_lens_gradient(k.lens, k.z, prompts, N, want, NULL, exact, &err), &err);
    close_kit(&k);
    for (int i = 0; i < 2; i++) {
        if (!open_kit(&k, &(struct how){names[i], cautious, 1, false})) {
            printf("skipped: no %s\n", names[i]);
            continue;
        }
        check_ok(tl_reward_lens_gradient(k.lens, k.z, prompts, N, got, NULL, g, &err), &err);
        for (size_t s = 0; s < N; s++) check_near(got[s], want[s], 1e-4);
        double error = check_rel_l2(g, exact, N * DIM);
        printf("%s: gradient off by %.1e\n", names[i], error);
        assert_true(error < 1e-4);
        close_kit(&k);
    }
}

/* ---- what is refused ---- */

static void refused(const char *spec, enum tl_code code, const char *words)
{
    struct tl_err err = {0};
    struct kit k;
    open_device(&k, "cpu");
    k.set = tl_reward_set_open(
        &(struct tl_reward_set_params){.specs = &spec, .n_specs = 1, .device = k.device}, &err);
    check_ok(k.set, &err);
    assert_false(tl_reward_lens_serves(k.set, &err));
    assert_false(tl_reward_lens_serves(k.set, NULL));
    assert_int_equal(err.code, code);
    if (!strstr(err.text, words)) fail_msg("%s", err.text);
    close_kit(&k);
}

static tl_val no_build(struct tl_reward *reward, struct tl_graph *g, const struct tl_reward_fragment *f)
{
    (void)reward, (void)g, (void)f;
    return TL_NONE;
}

struct own_weights {
    struct tl_reward base;
    struct tl_store store;
};

static struct tl_store *own_store(struct tl_reward *reward)
{
    return &((struct own_weights *)reward)->store;
}

static struct tl_reward *own_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err);

static void own_close(struct tl_reward *reward)
{
    free(reward);
}

static const struct tl_reward_class own = {
    .info = {.name = "own", .argument = "", .modality = "image", .has_gradient = true},
    .open = own_open,
    .close = own_close,
    .build = no_build,
    .store = own_store};

static struct tl_reward *own_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    (void)env, (void)arg, (void)err;
    struct own_weights *r = calloc(1, sizeof *r);
    if (r) r->base.cls = &own;
    return r ? &r->base : NULL;
}

static void sets_of_weights_are_counted(void **state)
{
    (void)state;
    static const struct tl_reward_class *const classes[] = {&own, NULL};
    const char *specs[TL_REWARD_LENS_STORES + 1];
    for (size_t i = 0; i <= TL_REWARD_LENS_STORES; i++) specs[i] = "own";
    for (size_t n = TL_REWARD_LENS_STORES; n <= TL_REWARD_LENS_STORES + 1; n++) {
        struct tl_err err = {0};
        struct tl_reward_set *set = tl_reward_set_open_among(
            classes, &(struct tl_reward_set_params){.specs = specs, .n_specs = n}, &err);
        check_ok(set, &err);
        assert_int_equal(tl_reward_lens_serves(set, &err), n == TL_REWARD_LENS_STORES);
        if (n > TL_REWARD_LENS_STORES) assert_non_null(strstr(err.text, "more than 7 different encoders"));
        tl_reward_set_close(&set);
    }
}

static void refusals(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct kit k;
    double total[N];
    float d[DIM];
    const char *const none[] = {NULL};
    refused("jpeg", TL_USAGE, "jpeg has no gradient");
    refused("loudness", TL_USAGE, "loudness scores sounds");
    refused("ensemble:min:colour:red+jpeg", TL_USAGE, "jpeg has no gradient");
    open_kit(&k, &(struct how){"cpu", one, 1, false});
    assert_false(tl_reward_lens_score(k.lens, k.z, NULL, 1, total, NULL, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    tl_err_clear(&err);
    assert_false(tl_reward_lens_score(k.lens, k.z, none, 1, total, NULL, &err));
    assert_non_null(strstr(err.text, "sample 0 has no prompt"));
    tl_err_clear(&err);
    k.z[DIM + 3] = NAN;
    assert_false(tl_reward_lens_score(k.lens, k.z, prompts, N, total, NULL, &err));
    assert_int_equal(err.code, TL_NUMERIC);
    assert_non_null(strstr(err.text, "sample 1: the score is nan"));
    tl_err_clear(&err);
    tl_reward_lens_destroy(&k.lens);
    k.lens = tl_reward_lens_create(
        &(struct tl_reward_lens_params){
            .vae = k.vae, .rewards = k.set, .batch = BATCH, .height = SIDE, .width = SIDE},
        &err);
    check_ok(k.lens, &err);
    assert_false(tl_reward_lens_gradient(k.lens, k.z, prompts, 1, total, NULL, d, &err));
    assert_non_null(strstr(err.text, "without gradients"));
    close_kit(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_those_of_pictures), cmocka_unit_test(a_score_is_the_samples_own),
        cmocka_unit_test(gradients_are_slopes),         cmocka_unit_test(devices_agree),
        cmocka_unit_test(sets_of_weights_are_counted),  cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
