/* Reward `aesthetic`: both layouts of heads against PyTorch (fixture rewards), the gradient, heads that are
 * refused. */
#include <unistd.h>

#include "support/check.h"

#include "io/file.h"
#include "io/safetensors.h"
#include "rewards/aesthetic_head.h"
#include "rewards/support_gradient.h"

#define HEADS  TL_SOURCE_DIR "/tests/fixtures/rewards/"
#define LINEAR "aesthetic:" HEADS "linear.safetensors,encoder=" SUPPORT_REWARD_MODEL
#define MLP    "aesthetic:" HEADS "mlp.safetensors,encoder=" SUPPORT_REWARD_MODEL
#define PTH    "aesthetic:" HEADS "mlp.pth,encoder=" SUPPORT_REWARD_MODEL

static struct support_reward_case kit;
static char folder[] = "/tmp/tl_test_head_XXXXXX";

static void check_head(const char *spec, const char *key, const char *variant)
{
    struct tl_err err = {0};
    struct tl_reward_about about;
    double out[SUPPORT_REWARD_MOST], worst = 0;
    cJSON *expected = tl_json_read(HEADS "expected.json", &err);
    struct tl_reward_set *set = support_reward_open(spec, NULL);
    struct tl_reward_item items[SUPPORT_REWARD_MOST];
    memcpy(items, kit.items, sizeof items);
    for (size_t i = 0; i < kit.n; i++) items[i].prompt = NULL;
    check_ok(tl_reward_set_score(set, items, kit.n, out, NULL, &err), &err);
    check_ok(tl_reward_set_about(set, 0, &about, &err), &err);
    assert_string_equal(about.variant, variant);
    assert_int_equal(strlen(about.sha256), 64);
    for (size_t i = 0; i < kit.n; i++) {
        double want =
            tl_json_get(cJSON_GetArrayItem(tl_json_get(expected, "rows"), (int)i), key)->valuedouble;
        check_near(out[i], want, 1e-5);
        worst = fmax(worst, fabs(out[i] - want));
        assert_true(out[i] >= about.low && out[i] <= about.high);
    }
    printf("%s: largest difference from PyTorch %.1e, range %.3g to %.3g\n", key, worst, about.low,
           about.high);
    assert_int_equal(tl_reward_set_embed_dim(set), 14);
    tl_reward_set_close(&set);
    cJSON_Delete(expected);
}

static void test_heads(void **state)
{
    (void)state;
    check_head(LINEAR, "linear", "linear");
    check_head(MLP, "mlp", "mlp");
    check_head(PTH, "mlp", "mlp");
}

static void test_gradient(void **state)
{
    (void)state;
    static struct support_gradient q;
    struct tl_err err = {0};
    double scores[SUPPORT_PICTURES], file;
    support_gradient_check(&kit, LINEAR);
    support_gradient_check(&kit, MLP);
    support_gradient_check_vulkan(&kit, MLP);
    support_gradient_open(&q, &kit, MLP, "cpu");
    support_gradient_run(&q, scores);
    check_ok(tl_reward_set_score(q.set, &kit.items[1], 1, &file, NULL, &err), &err);
    check_near(scores[0], file, 3e-2); /* Pillow's rounding, times the head's length */
    support_gradient_close(&q);
}

/* ---- heads that are refused ---- */

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void check_refused(const struct tl_st_item *items, size_t n, const char *part)
{
    struct tl_err err = {0};
    struct tl_aesthetic_head head;
    const char *path = path_of("head.safetensors");
    check_ok(tl_st_write(path, items, n, NULL, &err), &err);
    bool ok = tl_aesthetic_head_read(path, &head, &err);
    tl_aesthetic_head_finish(&head);
    if (ok || err.code != TL_BAD_INPUT || !strstr(err.text, part) || !strstr(err.text, "head.safetensors"))
        fail_msg("%s: code %d, %s", part, err.code, err.text);
}

#define ITEM(name_, rank_, a, b)                                                                             \
    {                                                                                                        \
        .name = name_, .rank = rank_, .shape = {a, b}, .dtype = TL_ST_F32, .data = zeros                     \
    }

static void test_refused_heads(void **state)
{
    (void)state;
    static float zeros[64];
    static const float nan[1] = {NAN};
    const struct tl_st_item activations[] = {ITEM("weight", 2, 1, 4), ITEM("running_mean", 1, 4, 0)};
    const struct tl_st_item simulacra[] = {ITEM("linear.weight", 2, 1, 4), ITEM("linear.bias", 1, 1, 0)};
    const struct tl_st_item both[] = {ITEM("weight", 2, 1, 4), ITEM("layers.0.weight", 2, 1, 4)};
    const struct tl_st_item gap[] = {ITEM("layers.0.weight", 2, 3, 4), ITEM("layers.2.weight", 2, 1, 4)};
    const struct tl_st_item wide[] = {ITEM("weight", 2, 2, 4), ITEM("bias", 1, 2, 0)};
    const struct tl_st_item bias[] = {ITEM("weight", 2, 1, 4), ITEM("bias", 1, 4, 0)};
    const struct tl_st_item lonely[] = {ITEM("bias", 1, 1, 0)};
    struct tl_st_item infinite[] = {ITEM("weight", 2, 1, 1)};
    infinite[0].data = nan;
    check_refused(activations, 2, "weight and bias, or layers.N.weight");
    check_refused(simulacra, 2, "linear.bias");
    check_refused(both, 2, "no head that is known");
    check_refused(gap, 2, "layers.2.weight has shape [1, 4]");
    check_refused(wide, 2, "gives 2 numbers");
    check_refused(bias, 2, "[1] is needed");
    check_refused(lonely, 1, "no head that is known");
    check_refused(infinite, 1, "not finite");
    check_refused(NULL, 0, "none");
}

/* A layer without a bias, in half precision. */
static void test_half_head(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_aesthetic_head head;
    static const float w[] = {0.5f, -2, 8}, v[] = {4};
    const struct tl_st_item items[] = {
        {.name = "layers.0.weight",
         .rank = 2,
         .shape = {1, 3},
         .dtype = TL_ST_F16,
         .from_f32 = true,
         .data = w},
        {.name = "layers.2.weight",
         .rank = 2,
         .shape = {1, 1},
         .dtype = TL_ST_BF16,
         .from_f32 = true,
         .data = v},
        {.name = "layers.2.bias", .rank = 1, .shape = {1}, .dtype = TL_ST_F32, .data = w}};
    const char *path = path_of("half.safetensors");
    check_ok(tl_st_write(path, items, 3, NULL, &err), &err);
    check_ok(tl_aesthetic_head_read(path, &head, &err), &err);
    assert_true(head.dim == 3 && head.n_layers == 2 && head.bias == 0.5);
    assert_true(head.weight[0] == 2 && head.weight[1] == -8 && head.weight[2] == 32);
    tl_aesthetic_head_finish(&head);
    unlink(path);
}

static void test_refusals(void **state)
{
    (void)state;
    struct tl_err err = {0};
    char spec[512];
    static float zeros[8];
    support_reward_refused("aesthetic", TL_USAGE, "aesthetic:HEAD,encoder=FOLDER");
    support_reward_refused("aesthetic:h.safetensors", TL_USAGE, "aesthetic:HEAD,encoder=FOLDER");
    support_reward_refused("aesthetic:,encoder=x", TL_USAGE, "aesthetic:HEAD,encoder=FOLDER");
    support_reward_refused("aesthetic:h.safetensors,encoder=", TL_USAGE, "aesthetic:HEAD,encoder=FOLDER");
    support_reward_refused("aesthetic:no.pth,encoder=x", TL_BAD_INPUT, "no.pth");
    support_reward_refused("aesthetic:no.safetensors,encoder=x", TL_BAD_INPUT, "no.safetensors");
    support_reward_refused("aesthetic:" HEADS "mlp.safetensors,encoder=/nowhere", TL_BAD_INPUT, "nowhere");
    const struct tl_st_item items[] = {ITEM("weight", 2, 1, 8)};
    check_ok(tl_st_write(path_of("eight.safetensors"), items, 1, NULL, &err), &err);
    snprintf(spec, sizeof spec, "aesthetic:%s,encoder=%s", path_of("eight.safetensors"),
             SUPPORT_REWARD_MODEL);
    support_reward_refused(spec, TL_BAD_INPUT, "a head over 8 numbers");
    unlink(path_of("eight.safetensors"));
}

/* A vision model alone will do for a head, and not for prompts. */
static void test_vision_only(void **state)
{
    (void)state;
    struct tl_err err = {0};
    char spec[512];
    static float zeros[32];
    double out;
    uint64_t dim = 10; /* projection_dim of the fixture */
    const struct tl_st_item items[] = {ITEM("weight", 2, 1, dim)};
    check_ok(tl_st_write(path_of("v.safetensors"), items, 1, NULL, &err), &err);
    snprintf(spec, sizeof spec, "aesthetic:%s,encoder=%s", path_of("v.safetensors"),
             TL_SOURCE_DIR "/tests/fixtures/clip_vision_projection");
    struct tl_reward_set *set = support_reward_open(spec, NULL);
    check_ok(tl_reward_set_score(set, &kit.items[0], 1, &out, NULL, &err), &err);
    assert_true(out == 0);
    tl_reward_set_close(&set);
    support_reward_refused("clip:" TL_SOURCE_DIR "/tests/fixtures/clip_vision_projection", TL_BAD_INPUT,
                           "a CLIPModel is needed");
    unlink(path_of("v.safetensors"));
}

static int open_kit(void **state)
{
    (void)state;
    support_reward_case_open(&kit);
    return mkdtemp(folder) ? 0 : -1;
}

static int close_kit(void **state)
{
    (void)state;
    unlink(path_of("head.safetensors"));
    rmdir(folder);
    support_reward_case_close(&kit);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),         cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_refused_heads), cmocka_unit_test(test_half_head),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_vision_only),
    };
    return cmocka_run_group_tests(tests, open_kit, close_kit);
}
