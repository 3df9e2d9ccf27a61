#include "support_steer.h"

#include "support/check.h"
#include "support_folder.h"
#include "support_train.h"

#include "io/file.h"

static const char *place;

int support_steer_setup(void **state)
{
    if (support_folder_make(state)) return -1;
    place = *state;
    support_prompts(support_path(place, "two.txt"), 2);
    support_prompts(support_path(place, "three.txt"), 3);
    return 0;
}

static void set(struct tl_options *options, const char *pair)
{
    struct tl_err err = {0};
    check_ok(tl_options_set_pair(&options, 1, pair, TL_FROM_COMMAND, &err), &err);
}

static bool starts(const char *const *more, const char *name)
{
    for (; more && *more; more++)
        if (strncmp(*more, name, strlen(name)) == 0) return true;
    return false;
}

static void fill(struct tl_options *options, const struct support_steer *run)
{
    static const char *const first[] = {"model=" SUPPORT_PIPELINE,
                                        "particles=3",
                                        "steps=4",
                                        "guidance=1",
                                        "lambda=2000",
                                        "every=1",
                                        "from=0"};
    char pair[600];
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) set(options, first[i]);
    if (!starts(run->more, "prompt")) {
        snprintf(pair, sizeof pair, "prompts=%s/three.txt", place);
        set(options, pair);
    }
    if (!starts(run->more, "reward=")) set(options, "reward=clip:" SUPPORT_CLIP);
    snprintf(pair, sizeof pair, "out=%s/%s", place, run->out);
    set(options, pair);
    if (run->resume) set(options, "resume=true");
    for (const char *const *o = run->more; o && *o; o++) set(options, *o);
}

enum tl_code support_steer(const struct support_steer *run, char **out_text, struct tl_err *err)
{
    struct tl_steer_params params;
    struct tl_options *options = tl_options_create(tl_steer_options, &params, err);
    if (!options) fail_msg("%s", err->text);
    fill(options, run);
    params.json = run->json;
    struct tl_job job = {.device = "cpu",
                         .threads = 1,
                         .seed = run->seed ? run->seed : 5,
                         .command = "tiller steer",
                         .progress = run->progress,
                         .user = run->user};
    bool whole;
    char *text = tl_steer(&params, options, &job, &whole, err);
    assert_true((text != NULL) == (err->code == TL_OK));
    if (out_text)
        *out_text = text;
    else
        free(text);
    tl_options_destroy(&options);
    return err->code;
}

void support_steer_ok(const char *out, const char *const *more)
{
    struct tl_err err = {0};
    const struct support_steer run = {.out = out, .more = more};
    if (support_steer(&run, NULL, &err) != TL_OK) fail_msg("%s: %s", out, err.text);
}

void support_steer_fails(const char *out, const char *const *more, enum tl_code code, const char *says)
{
    struct tl_err err = {0};
    const struct support_steer run = {.out = out, .more = more};
    support_steer(&run, NULL, &err);
    if (err.code != code || !strstr(err.text, says))
        fail_msg("code %d, '%s'; expected %d, '%s'", err.code, err.text, code, says);
}

const char *support_steer_path(const char *out, const char *name)
{
    return support_path(place, "%s/%s", out, name);
}

cJSON *support_steer_json(const char *out)
{
    struct tl_err err = {0};
    cJSON *json = tl_json_read(support_steer_path(out, "steer.json"), &err);
    if (!json) fail_msg("%s", err.text);
    return json;
}

static void same(const char *a, const char *b, const char *name)
{
    char left[600], right[600];
    snprintf(left, sizeof left, "%s", support_steer_path(a, name));
    snprintf(right, sizeof right, "%s", support_steer_path(b, name));
    support_same_file(left, right);
}

void support_steer_same(const char *a, const char *b, size_t n)
{
    static const char *const names[] = {"steer.jsonl", "metadata.jsonl", "best/metadata.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) same(a, b, names[i]);
    for (size_t i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof name, "%05zu.png", i);
        same(a, b, name);
        snprintf(name, sizeof name, "best/%05zu.png", i);
        assert_true(tl_file_exists(support_steer_path(a, name)) ==
                    tl_file_exists(support_steer_path(b, name)));
    }
}

const cJSON *support_steer_group(const cJSON *json, size_t g)
{
    return cJSON_GetArrayItem(tl_json_get(json, "prompts"), (int)g);
}

double support_steer_number(const cJSON *object, const char *key)
{
    const cJSON *x = tl_json_get(object, key);
    assert_true(cJSON_IsNumber(x));
    return x->valuedouble;
}

double support_steer_at(const cJSON *object, const char *key, size_t i)
{
    const cJSON *x = cJSON_GetArrayItem(tl_json_get(object, key), (int)i);
    assert_true(cJSON_IsNumber(x));
    return x->valuedouble;
}
