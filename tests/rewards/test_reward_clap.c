/* Reward `clap` against transformers (fixtures clap_score, clap_score_fused): file to number, front end,
 * tokenizer and both towers; company, embeddings, sharing, settings, what is refused. */
#include "support/check.h"

#include "io/json.h"
#include "io/sound.h"
#include "rewards/clap_encoder.h"
#include "rewards/rewards.h"
#include "rewards/support_reward.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures/"

enum { MOST = 8 };
static struct tl_sound sounds[MOST];
static struct tl_reward_item items[MOST];
static size_t n_items;

static cJSON *open_rows(const char *folder)
{
    struct tl_err err = {0};
    char path[512];
    snprintf(path, sizeof path, FIXTURES "%s/rows.json", folder);
    cJSON *json = tl_json_read(path, &err);
    check_ok(json, &err);
    const cJSON *row;
    n_items = 0;
    cJSON_ArrayForEach(row, tl_json_get(json, "rows"))
    {
        struct tl_sound *s = &sounds[n_items];
        snprintf(path, sizeof path, FIXTURES "%s", tl_json_get(row, "file")->valuestring);
        check_ok(tl_sound_load(path, s, &err), &err);
        items[n_items++] = (struct tl_reward_item){.prompt = tl_json_get(row, "prompt")->valuestring,
                                                   .samples = s->samples,
                                                   .frames = s->frames,
                                                   .channels = s->channels,
                                                   .rate = s->rate};
    }
    assert_int_equal(n_items, 3);
    return json;
}

static void close_rows(cJSON *json)
{
    for (size_t i = 0; i < n_items; i++) tl_sound_finish(&sounds[i]);
    cJSON_Delete(json);
}

static void check_folder(const char *folder, const char *settings)
{
    struct tl_err err = {0};
    char spec[512];
    double out[MOST], alone, logit[MOST];
    cJSON *json = open_rows(folder);
    double scale = tl_json_get(json, "scale")->valuedouble;
    snprintf(spec, sizeof spec, "clap:" FIXTURES "%s%s", folder, settings);
    struct tl_reward_set *set = support_reward_open(spec, NULL);
    check_ok(tl_reward_set_score(set, items, n_items, out, NULL, &err), &err);
    for (size_t i = 0; i < n_items; i++) {
        const cJSON *row = cJSON_GetArrayItem(tl_json_get(json, "rows"), (int)i);
        check_near(out[i], tl_json_get(row, "cosine")->valuedouble, 2e-5);
        check_ok(tl_reward_set_score(set, &items[i], 1, &alone, NULL, &err), &err);
        assert_true(alone == out[i]); /* no company changes a bit */
    }
    tl_reward_set_close(&set);
    snprintf(spec, sizeof spec, "clap:" FIXTURES "%s,flavour=logit%s", folder, settings);
    set = support_reward_open(spec, NULL);
    check_ok(tl_reward_set_score(set, items, n_items, logit, NULL, &err), &err);
    for (size_t i = 0; i < n_items; i++) check_near(logit[i], scale * out[i], 1e-4 * scale);
    struct tl_reward_about about;
    check_ok(tl_reward_set_about(set, 0, &about, &err), &err);
    assert_string_equal(about.variant, "logit");
    assert_int_equal(strlen(about.sha256), 64);
    check_near(about.high, scale, 1e-4 * scale);
    tl_reward_set_close(&set);
    close_rows(json);
}

static void test_unfused(void **state)
{
    (void)state;
    check_folder("clap_score", "");
}

static void test_fused(void **state)
{
    (void)state;
    check_folder("clap_score_fused", ",crop=windows");
}

/* What longer sounds are cut to changes their score and no other's. */
static void test_crops(void **state)
{
    (void)state;
    static const char *const folders[] = {"clap_score", "clap_score_fused"};
    struct tl_err err = {0};
    for (int f = 0; f < 2; f++) {
        char spec[512];
        double all[MOST], one[MOST];
        cJSON *json = open_rows(folders[f]);
        snprintf(spec, sizeof spec, "clap:" FIXTURES "%s,crop=windows", folders[f]);
        struct tl_reward_set *set = support_reward_open(spec, NULL);
        check_ok(tl_reward_set_score(set, items, n_items, all, NULL, &err), &err);
        tl_reward_set_close(&set);
        snprintf(spec, sizeof spec, "clap:" FIXTURES "%s,crop=%s", folders[f], f ? "start" : "centre");
        set = support_reward_open(spec, NULL);
        check_ok(tl_reward_set_score(set, items, n_items, one, NULL, &err), &err);
        tl_reward_set_close(&set);
        assert_true(one[0] == all[0] && one[1] == all[1]);
        assert_true(one[2] != all[2] && fabs(one[2]) <= 1);
        close_rows(json);
    }
}

/* More sounds than are held at a time, of one window and of three in every order: runs are shared, and no bit
 * tells. */
static void test_embed(void **state)
{
    (void)state;
    enum { N = 21 };
    struct tl_err err = {0};
    struct tl_reward_item many[N];
    double score[N], alone[MOST];
    cJSON *json = open_rows("clap_score");
    struct tl_reward_set *set = support_reward_open("clap:" FIXTURES "clap_score", NULL);
    size_t dim = tl_reward_set_embed_dim(set);
    assert_int_equal(dim, 64);
    float *one = malloc((n_items + N) * dim * sizeof *one), *rows = one + n_items * dim;
    for (size_t i = 0; i < n_items; i++) {
        double length = 0;
        check_ok(tl_reward_set_embed(set, &items[i], 1, one + i * dim, &err), &err);
        check_ok(tl_reward_set_score(set, &items[i], 1, &alone[i], NULL, &err), &err);
        for (size_t k = 0; k < dim; k++) length += (double)one[i * dim + k] * (double)one[i * dim + k];
        check_near(length, 1, 1e-6);
    }
    assert_memory_not_equal(one, one + dim, dim * sizeof *one);
    for (size_t i = 0; i < N; i++) many[i] = items[i * i % 7 % 3];
    check_ok(tl_reward_set_embed(set, many, N, rows, &err), &err);
    check_ok(tl_reward_set_score(set, many, N, score, NULL, &err), &err);
    for (size_t i = 0; i < N; i++) {
        size_t which = i * i % 7 % 3;
        assert_memory_equal(rows + i * dim, one + which * dim, dim * sizeof *one);
        assert_true(score[i] == alone[which]);
    }
    free(one);
    tl_reward_set_close(&set);
    close_rows(json);
}

/* A bad sample is named, also where it lies in a run with others. */
static void test_bad_sound(void **state)
{
    (void)state;
    struct tl_err err = {0};
    double out[MOST];
    cJSON *json = open_rows("clap_score");
    struct tl_reward_set *set = support_reward_open("clap:" FIXTURES "clap_score", NULL);
    sounds[1].samples[100] = NAN;
    assert_false(tl_reward_set_score(set, items, n_items, out, NULL, &err));
    if (err.code != TL_BAD_INPUT || !strstr(err.text, "sample 1")) fail_msg("%d, %s", err.code, err.text);
    sounds[1].samples[100] = 0;
    items[2].prompt = NULL;
    err = (struct tl_err){0};
    assert_false(tl_reward_set_score(set, items, n_items, out, NULL, &err));
    if (err.code != TL_BAD_INPUT || !strstr(err.text, "sample 2")) fail_msg("%d, %s", err.code, err.text);
    tl_reward_set_close(&set);
    close_rows(json);
}

/* One folder is opened once, whatever it is called, for each way to cut. */
static void test_shared(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *settings;
        enum tl_dtype dtype;
    } ways[] = {{FIXTURES "clap_score", "", TL_F32},
                {FIXTURES "clap_score_fused/../clap_score", "", TL_F32},
                {FIXTURES "clap_score", ",crop=start", TL_F32},
                {FIXTURES "clap_score", "", TL_F16}};
    struct tl_err err = {0};
    struct tl_clap_encoder *e[4];
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = "cpu"}, &err);
    check_ok(device, &err);
    for (int i = 0; i < 4; i++) {
        struct tl_reward_env env = {.device = device, .dtype = ways[i].dtype};
        e[i] = tl_clap_encoder_open(&env, ways[i].folder, ways[i].settings, &err);
        check_ok(e[i], &err);
    }
    assert_ptr_equal(e[0], e[1]);
    assert_ptr_not_equal(e[0], e[2]);
    assert_ptr_not_equal(e[0], e[3]);
    for (int i = 0; i < 4; i++) tl_clap_encoder_close(&e[i]);
    tl_device_close(&device);
}

static void test_refused(void **state)
{
    (void)state;
    support_reward_refused("clap", TL_USAGE, "clap:FOLDER");
    support_reward_refused("clap:" FIXTURES "clap_score,flavour=dot", TL_USAGE, "cosine, logit");
    support_reward_refused("clap:" FIXTURES "clap_score,crop=all", TL_USAGE, "windows, centre, start");
    support_reward_refused("clap:" FIXTURES "clap_score_fused,crop=fadtk", TL_USAGE, "unfused");
    support_reward_refused("clap:" FIXTURES "clip_score", TL_BAD_INPUT, "ClapModel");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_unfused),   cmocka_unit_test(test_fused),
                                       cmocka_unit_test(test_crops),     cmocka_unit_test(test_embed),
                                       cmocka_unit_test(test_bad_sound), cmocka_unit_test(test_shared),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
