/* Reward `clap` against transformers (fixtures clap_score, clap_score_fused): file to number, front end,
 * tokenizer and both towers; company, settings, what is refused. */
#include "support/check.h"

#include "io/json.h"
#include "io/sound.h"
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_unfused), cmocka_unit_test(test_fused),
                                       cmocka_unit_test(test_crops), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
