/* Rewards of sounds: loudness, silence, clipping; and pictures and sounds kept apart. */
#include <tiller/reward.h>

#include "rewards/support_reward.h"
#include "support/check.h"

static const double pi = 3.14159265358979323846;
enum { RATE = 16000, N = 2 * RATE };
static float x[3][2 * N];

/* A sine for the first second, nothing then; and the item of it. */
static struct tl_reward_item tone(int k, int channels, double gain, double other)
{
    for (size_t i = 0; i < N; i++)
        for (int c = 0; c < channels; c++)
            x[k][i * (size_t)channels + (size_t)c] =
                (float)((i < RATE ? gain : other) * sin(2 * pi * 1000 * ((double)i + 0.5) / RATE));
    return (struct tl_reward_item){
        .name = "tone.wav", .samples = x[k], .frames = N, .channels = channels, .rate = RATE};
}

static double score(const char *spec, const struct tl_reward_item *item)
{
    struct tl_err err = {0};
    double out = NAN;
    struct tl_reward_set *set = support_reward_open(spec, NULL);
    check_ok(tl_reward_set_score(set, item, 1, &out, NULL, &err), &err);
    tl_reward_set_close(&set);
    return out;
}

static void test_loudness(void **state)
{
    (void)state;
    struct tl_reward_item loud = tone(0, 2, 0.5, 0.5), soft = tone(1, 2, 0.25, 0.25), none = tone(2, 1, 0, 0);
    double l = score("loudness", &loud);
    check_near(l, -6, 0.2);
    check_near(l - score("loudness:", &soft), 20 * log10(2), 1e-6);
    check_near(score("loudness:-23", &loud), -fabs(l + 23), 1e-12);
    check_near(score("loudness:0", &loud), l, 1e-12);
    check_near(score("loudness:-23@0.5", &loud), -0.5 * fabs(l + 23), 1e-12);
    double p = score("loudness:,flavour=pyloudnorm", &loud);
    assert_true(p < l && p > l - 0.2);
    check_near(score("loudness:-23,flavour=pyloudnorm", &loud), -fabs(p + 23), 1e-12);
    check_near(score("loudness", &none), -70, 0);
    check_near(score("loudness:-20", &none), -50, 0);
}

static void test_loudness_refused(void **state)
{
    (void)state;
    struct tl_err err = {0};
    double out[2];
    support_reward_refused("loudness:loud", TL_USAGE, "'loud' is no target; write loudness:-23");
    support_reward_refused("loudness:23", TL_USAGE, "'23' is no target");
    support_reward_refused("loudness:-71", TL_USAGE, "'-71' is no target");
    support_reward_refused("loudness:-23,flavour=rms", TL_USAGE, "no flavour 'rms'; there are bs1770");
    support_reward_refused("loudness:-23,target=3", TL_USAGE, "no setting 'target'");
    struct tl_reward_item items[2] = {tone(0, 1, 0.5, 0.5), tone(1, 1, 0.5, 0.5)};
    items[1].frames = 100;
    items[1].name = NULL;
    struct tl_reward_set *set = support_reward_open("loudness", NULL);
    assert_false(tl_reward_set_score(set, items, 2, out, NULL, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "sample 1: 0.00625 s long"));
    struct tl_reward_about about;
    tl_err_clear(&err);
    check_ok(tl_reward_set_about(set, 0, &about, &err), &err);
    assert_string_equal(about.variant, "bs1770");
    assert_true(about.low == -70 && isinf(about.high));
    tl_reward_set_close(&set);
    set = support_reward_open("loudness:-14", NULL);
    check_ok(tl_reward_set_about(set, 0, &about, &err), &err);
    assert_string_equal(about.variant, "bs1770, target -14 LUFS");
    assert_true(about.high == 0 && isinf(about.low));
    tl_reward_set_close(&set);
}

static void test_silence(void **state)
{
    (void)state;
    struct tl_reward_item half = tone(0, 2, 0.5, 0), soft = tone(1, 1, 0.5, 0.001), none = tone(2, 1, 0, 0);
    check_near(score("silence", &half), -0.5, 1e-12);
    check_near(score("silence", &soft), -0.5, 1e-12);
    check_near(score("silence:-70", &soft), 0, 0);
    check_near(score("silence:0", &soft), -1, 0);
    check_near(score("silence", &none), -1, 0);
    half.frames = 3;
    check_near(score("silence", &half), 0, 0);
    support_reward_refused("silence:quiet", TL_USAGE, "'quiet' is no level");
    support_reward_refused("silence:3", TL_USAGE, "'3' is no level");
}

static void test_clipping(void **state)
{
    (void)state;
    struct tl_reward_item a = tone(0, 2, 0.9, 0.9);
    check_near(score("clipping", &a), 0, 0);
    for (size_t i = 0; i < 320; i++) x[0][i] = i % 2 ? -1 : 32767.0f / 32768;
    check_near(score("clipping", &a), -320.0 / (2 * N), 1e-12);
    support_reward_refused("clipping:3", TL_USAGE, "clipping takes no argument");
}

/* Either way round, at once, in an ensemble, and where embeddings are asked for. */
static void test_modality(void **state)
{
    (void)state;
    static const uint8_t px[3] = {1, 2, 3};
    struct tl_err err = {0};
    double out[2];
    struct tl_reward_item picture = {.name = "cat.png", .rgb = px, .width = 1, .height = 1};
    struct tl_reward_item mixed[2] = {tone(0, 1, 0.5, 0.5), picture};
    static const struct {
        const char *spec, *part;
        int first;
    } cases[] = {
        {"loudness", "reward loudness: cat.png: this is a picture, and loudness scores sounds", 0},
        {"jpeg", "reward jpeg: tone.wav: this is a sound, and jpeg scores pictures", 0},
        {"silence", "cat.png: this is a picture", 1},
        {"ensemble:mean:loudness+jpeg", "this is a picture, and loudness scores sounds", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tl_reward_set *set = support_reward_open(cases[i].spec, NULL);
        const struct tl_reward_item *items = mixed + cases[i].first;
        assert_false(tl_reward_set_score(set, items, (size_t)(2 - cases[i].first), NULL, out, &err));
        assert_int_equal(err.code, TL_USAGE);
        if (!strstr(err.text, cases[i].part)) fail_msg("%s; expected %s", err.text, cases[i].part);
        tl_err_clear(&err);
        tl_reward_set_close(&set);
    }
    struct tl_reward_set *set = support_reward_open("clip:" SUPPORT_REWARD_MODEL, NULL);
    float *row = malloc(tl_reward_set_embed_dim(set) * sizeof *row);
    assert_false(tl_reward_set_embed(set, mixed, 1, row, &err));
    assert_int_equal(err.code, TL_USAGE);
    assert_non_null(strstr(err.text, "tone.wav: this is a sound, and clip scores pictures"));
    free(row);
    tl_reward_set_close(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loudness), cmocka_unit_test(test_loudness_refused),
        cmocka_unit_test(test_silence),  cmocka_unit_test(test_clipping),
        cmocka_unit_test(test_modality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
