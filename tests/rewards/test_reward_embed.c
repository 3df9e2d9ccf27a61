/* Embeddings of pictures for measures of diversity, the encoder that several rewards share, and weights kept
 * in half precision. */
#include "support/check.h"

#include "rewards/rewards.h"
#include "rewards/support_reward.h"

#define CLIP "clip:" SUPPORT_REWARD_MODEL

static struct support_reward_case kit;
static struct tl_device *device;

static struct tl_reward_set *open_as(const char *const *specs, size_t n, const char *dtype)
{
    struct tl_err err = {0};
    struct tl_reward_set *set = tl_reward_set_open(
        &(struct tl_reward_set_params){
            .specs = specs, .n_specs = n, .raw = true, .device = device, .dtype = dtype},
        &err);
    if (!set) fail_msg("%s", err.text);
    return set;
}

static struct tl_store *store_of(struct tl_reward_set *set, size_t k)
{
    struct tl_reward *r = tl_reward_set_part(set, k);
    return r->cls->store(r);
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

/* Unit length, the same alone and in company, and after scoring. */
static void test_embed(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *specs[] = {"scene", CLIP};
    struct tl_reward_set *set = open_as(specs, 2, NULL);
    size_t dim = tl_reward_set_embed_dim(set), n = kit.n;
    assert_true(dim > 1);
    float *all = calloc(4 * n * dim, sizeof *all), *again = all + n * dim, *one = all + 2 * n * dim;
    double scores[2 * SUPPORT_REWARD_MOST];
    check_ok(tl_reward_set_embed(set, kit.items, n, all, &err), &err);
    struct tl_reward_set *other = open_as(&specs[1], 1, NULL);
    check_ok(tl_reward_set_score(other, kit.items, n, scores, NULL, &err), &err);
    check_ok(tl_reward_set_embed(other, kit.items, n, again, &err), &err);
    assert_memory_equal(all, again, n * dim * sizeof *all);
    bool differ = false;
    for (size_t i = 0; i < n; i++) {
        check_near(dot(all + i * dim, all + i * dim, dim), 1, 1e-6);
        check_ok(tl_reward_set_embed(set, &kit.items[i], 1, one, &err), &err);
        for (size_t k = 0; k < dim; k++) check_near(one[k], all[i * dim + k], 1e-5);
        differ = differ || dot(all, all + i * dim, dim) < 0.999;
    }
    assert_true(differ);
    /* a changed pixel is another picture, not one that is remembered */
    uint8_t *px = kit.image[0].px, kept[64];
    memcpy(kept, px, sizeof kept);
    memset(px, 255 - px[0], sizeof kept);
    check_ok(tl_reward_set_embed(set, kit.items, n, again, &err), &err);
    assert_memory_not_equal(all, again, dim * sizeof *all);
    memcpy(px, kept, sizeof kept);
    check_ok(tl_reward_set_embed(set, kit.items, n, again, &err), &err);
    assert_memory_equal(all, again, n * dim * sizeof *all);
    free(all);
    tl_reward_set_close(&set);
    tl_reward_set_close(&other);
}

static void test_without(void **state)
{
    (void)state;
    struct tl_err err = {0};
    float out[4];
    const char *spec = "scene";
    struct tl_reward_set *set = open_as(&spec, 1, NULL);
    assert_int_equal(tl_reward_set_embed_dim(set), 0);
    assert_false(tl_reward_set_embed(set, kit.items, 1, out, &err));
    assert_int_equal(err.code, TL_USAGE);
    tl_reward_set_close(&set);
}

static void test_shared(void **state)
{
    (void)state;
    const char *specs[] = {CLIP, CLIP ",flavour=logit"};
    const char *other_way = "clip:" SUPPORT_REWARD_MODEL "/../clip_score";
    struct tl_reward_set *set = open_as(specs, 2, NULL), *held_out = open_as(&other_way, 1, "f32");
    struct tl_reward_set *half = open_as(&other_way, 1, "f16");
    assert_ptr_equal(store_of(set, 0), store_of(set, 1));
    assert_ptr_equal(store_of(set, 0), store_of(held_out, 0));
    assert_ptr_not_equal(store_of(set, 0), store_of(half, 0));
    /* it lives as long as somebody uses it */
    struct tl_err err = {0};
    double before, after;
    check_ok(tl_reward_set_score(held_out, &kit.items[1], 1, &before, NULL, &err), &err);
    tl_reward_set_close(&set);
    tl_reward_set_close(&half);
    check_ok(tl_reward_set_score(held_out, &kit.items[1], 1, &after, NULL, &err), &err);
    assert_true(before == after);
    tl_reward_set_close(&held_out);
    /* another device has its own */
    struct tl_device *second = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    set = open_as(specs, 1, NULL);
    held_out = tl_reward_set_open(
        &(struct tl_reward_set_params){.specs = specs, .n_specs = 1, .device = second}, &err);
    assert_ptr_not_equal(store_of(set, 0), store_of(held_out, 0));
    tl_reward_set_close(&set);
    tl_reward_set_close(&held_out);
    tl_device_close(&second);
}

/* Rounded weights: 11 bits move a cosine by some 1e-4, 8 bits by some 1e-3; a logit's scale is not rounded.
 */
static void test_half(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *spec = CLIP, *logit = CLIP ",flavour=logit";
    static const struct {
        const char *dtype;
        double near;
    } rows[] = {{"f16", 2e-3}, {"bf16", 2e-2}};
    for (int k = 0; k < 2; k++) {
        struct tl_reward_set *set = open_as(&spec, 1, rows[k].dtype);
        struct tl_reward_set *scaled = open_as(&logit, 1, rows[k].dtype);
        double x[SUPPORT_REWARD_MOST], y[SUPPORT_REWARD_MOST], worst = 0;
        check_ok(tl_reward_set_score(set, kit.items, kit.n, x, NULL, &err), &err);
        check_ok(tl_reward_set_score(scaled, kit.items, kit.n, y, NULL, &err), &err);
        for (size_t i = 0; i < kit.n; i++) {
            worst = fmax(worst, fabs(x[i] - kit.cosine[i]));
            check_near(y[i], kit.scale * x[i], 1e-6 * kit.scale);
        }
        printf("%s: largest difference from f32 %.1e\n", rows[k].dtype, worst);
        assert_true(worst > 0 && worst < rows[k].near);
        tl_reward_set_close(&set);
        tl_reward_set_close(&scaled);
    }
    assert_null(tl_reward_set_open(
        &(struct tl_reward_set_params){.specs = &spec, .n_specs = 1, .device = device, .dtype = "f8"}, &err));
    assert_int_equal(err.code, TL_USAGE);
    assert_non_null(strstr(err.text, "there are f32, f16, bf16"));
}

static int open_kit(void **state)
{
    (void)state;
    struct tl_err err = {0};
    support_reward_case_open(&kit);
    device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    return device ? 0 : -1;
}

static int close_kit(void **state)
{
    (void)state;
    tl_device_close(&device);
    support_reward_case_close(&kit);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embed),
        cmocka_unit_test(test_without),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_half),
    };
    return cmocka_run_group_tests(tests, open_kit, close_kit);
}
