/* Reward `clip` against transformers: the towers on given tensors (fixture clip_model), whole scores of files
 * (fixture clip_score: preprocessing, tokenizer, both towers), flavours, company, gradient. */
#include "support/check.h"

#include <tiller/log.h>

#include "io/safetensors.h"
#include "encoders/clip_pixels.h"
#include "encoders/clip_towers.h"
#include "rewards/rewards.h"
#include "rewards/support_gradient.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures"

static struct support_reward_case kit;

static double cosine_of(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

/* ---- the towers on transformers' own tensors ---- */

static float *read_tensor(const struct tl_st_file *io, const char *name, size_t *out_n)
{
    struct tl_err err = {0};
    const struct tl_st_tensor *t = tl_st_find(io, name);
    if (!t) fail_msg("%s is missing", name);
    float *data = malloc(t->n * sizeof *data);
    check_ok(tl_st_to_f32(t, data, &err), &err);
    *out_n = t->n;
    return data;
}

static void test_towers(void **state)
{
    (void)state;
    enum { SIDE = 20, TEXTS = 3, GIVEN = 9, POSITIONS = 12, WIDTH = 14, IMAGES = 2 };
    struct tl_err err = {0};
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    struct tl_clip_towers *towers = tl_clip_towers_open(device, FIXTURES "/clip_model", TL_F32, &err);
    struct tl_st_file *io = tl_st_open(FIXTURES "/clip_model/io.safetensors", &err);
    if (!towers || !io) fail_msg("%s", err.text);
    size_t n;
    float *nchw = read_tensor(io, "pixel_values", &n), *given = read_tensor(io, "input_ids", &n);
    float *logits = read_tensor(io, "out.logits_per_image", &n);
    assert_int_equal(n, IMAGES * TEXTS);
    float pixels[IMAGES][SIDE][SIDE][3], image[IMAGES][WIDTH], text[TEXTS][WIDTH];
    int32_t ids[TEXTS][POSITIONS];
    for (int i = 0; i < IMAGES; i++)
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < SIDE; y++)
                for (int x = 0; x < SIDE; x++) pixels[i][y][x][c] = nchw[((i * 3 + c) * SIDE + y) * SIDE + x];
    for (int i = 0; i < TEXTS; i++)
        for (int k = 0; k < POSITIONS; k++) ids[i][k] = k < GIVEN ? (int32_t)given[i * GIVEN + k] : 50;
    check_ok(tl_clip_towers_images(towers, &pixels[0][0][0][0], IMAGES, &image[0][0], &err), &err);
    check_ok(tl_clip_towers_texts(towers, &ids[0][0], TEXTS, &text[0][0], &err), &err);
    double scale = tl_clip_towers_scale(towers);
    for (int i = 0; i < IMAGES; i++)
        for (int k = 0; k < TEXTS; k++)
            check_near(cosine_of(image[i], text[k], WIDTH), logits[i * TEXTS + k] / scale, 1e-5);
    free(nchw);
    free(given);
    free(logits);
    tl_st_close(&io);
    tl_clip_towers_close(&towers);
    tl_device_close(&device);
}

/* ---- preprocessing ---- */

static void test_pixels(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_clip_pixels how;
    check_ok(tl_clip_pixels_read(SUPPORT_REWARD_MODEL, 20, &how, &err), &err);
    for (size_t i = 0; i < kit.n; i++) {
        float out[20 * 20 * 3];
        const cJSON *row = cJSON_GetArrayItem(tl_json_get(kit.json, "rows"), (int)i);
        const struct tl_reward_item *item = &kit.items[i];
        check_ok(tl_clip_pixels_bytes(&how, item->rgb, item->width, item->height, out, &err), &err);
        double sum = 0;
        for (size_t k = 0; k < sizeof out / sizeof *out; k++) sum += out[k];
        check_near(sum, tl_json_get(row, "pixel_sum")->valuedouble, 1e-3);
        for (int c = 0; c < 3; c++)
            check_near(out[(3 * 20 + 7) * 3 + c],
                       cJSON_GetArrayItem(tl_json_get(row, "pixels"), c)->valuedouble, 1e-6);
    }
}

/* ---- scores of files ---- */

static int n_warnings;
static char warnings[2048];

static void take_log(void *user, enum tl_log_level level, const char *text)
{
    (void)user;
    size_t used = strlen(warnings);
    if (level != TL_LOG_WARN) return;
    n_warnings++;
    snprintf(warnings + used, sizeof warnings - used, "%s\n", text);
}

static void check_files(struct tl_device *device)
{
    struct tl_err err = {0};
    double out[SUPPORT_REWARD_MOST], again[SUPPORT_REWARD_MOST], worst = 0;
    struct tl_reward_set *set = support_reward_open("clip:" SUPPORT_REWARD_MODEL, device);
    n_warnings = 0;
    warnings[0] = 0;
    tl_log_set(take_log, NULL);
    check_ok(tl_reward_set_score(set, kit.items, kit.n, out, NULL, &err), &err);
    int first = n_warnings;
    check_ok(tl_reward_set_score(set, kit.items, kit.n, again, NULL, &err), &err);
    tl_log_set(NULL, NULL);
    for (size_t i = 0; i < kit.n; i++) {
        check_near(out[i], kit.cosine[i], 1e-5);
        assert_true(out[i] == again[i]);
        worst = fmax(worst, fabs(out[i] - kit.cosine[i]));
    }
    printf("largest difference from transformers: %.1e\n", worst);
    assert_true(first > 0); /* a caption has more than 16 tokens */
    assert_non_null(strstr(warnings, "white background"));
    assert_int_equal(n_warnings, first); /* said once a prompt */
    tl_reward_set_close(&set);
}

static void test_files(void **state)
{
    (void)state;
    check_files(NULL);
}

static void test_files_vulkan(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = "vulkan"}, &err);
    if (!device && err.code == TL_DEVICE) {
        printf("skipped: %s\n", err.text);
        return;
    }
    if (!device) fail_msg("%s", err.text);
    check_files(device);
    tl_device_close(&device);
}

static void test_company(void **state)
{
    (void)state;
    enum { MANY = 37 };
    struct tl_err err = {0};
    struct tl_reward_set *set = support_reward_open("clip:" SUPPORT_REWARD_MODEL, NULL);
    struct tl_reward_item many[MANY];
    double all[MANY], one;
    for (size_t i = 0; i < MANY; i++) many[i] = kit.items[(i * i + i / 5) % kit.n];
    check_ok(tl_reward_set_score(set, many, MANY, all, NULL, &err), &err);
    double worst = 0;
    for (size_t i = 0; i < MANY; i++) {
        check_ok(tl_reward_set_score(set, &many[i], 1, &one, NULL, &err), &err);
        check_near(all[i], one, 1e-6);
        worst = fmax(worst, fabs(all[i] - one));
    }
    printf("largest difference between alone and in company: %.1e\n", worst);
    tl_reward_set_close(&set);
}

static void test_flavours(void **state)
{
    (void)state;
    struct tl_err err = {0};
    double cos[SUPPORT_REWARD_MOST], x[SUPPORT_REWARD_MOST];
    struct tl_reward_set *set = support_reward_open("clip:" SUPPORT_REWARD_MODEL ",flavour=cosine", NULL);
    check_ok(tl_reward_set_score(set, kit.items, kit.n, cos, NULL, &err), &err);
    tl_reward_set_close(&set);

    bool negative = false;
    set = support_reward_open("clip:" SUPPORT_REWARD_MODEL ",flavour=torchmetrics", NULL);
    check_ok(tl_reward_set_score(set, kit.items, kit.n, x, NULL, &err), &err);
    for (size_t i = 0; i < kit.n; i++) {
        check_near(x[i], 100 * cos[i], 1e-9);
        negative = negative || cos[i] < 0;
    }
    assert_true(negative);
    tl_reward_set_close(&set);

    set = support_reward_open("clip:" SUPPORT_REWARD_MODEL ",flavour=logit", NULL);
    check_ok(tl_reward_set_score(set, kit.items, kit.n, x, NULL, &err), &err);
    for (size_t i = 0; i < kit.n; i++) check_near(x[i], kit.scale * cos[i], 1e-4);
    tl_reward_set_close(&set);

    /* The paper's prefix stands in front of the prompt: the cosine of the longer prompt, times 2.5. */
    struct tl_reward_item prefixed = kit.items[0];
    prefixed.prompt = "A photo depicts a red circle";
    set = support_reward_open("clip:" SUPPORT_REWARD_MODEL, NULL);
    check_ok(tl_reward_set_score(set, &prefixed, 1, cos, NULL, &err), &err);
    tl_reward_set_close(&set);
    set = support_reward_open("clip:" SUPPORT_REWARD_MODEL ",flavour=clipscore", NULL);
    check_ok(tl_reward_set_score(set, &kit.items[0], 1, x, NULL, &err), &err);
    check_near(x[0], cos[0] > 0 ? 2.5 * cos[0] : 0, 1e-9);
    tl_reward_set_close(&set);
}

static void test_refusals(void **state)
{
    (void)state;
    struct tl_err err = {0};
    support_reward_refused("clip", TL_USAGE, "no folder was named");
    support_reward_refused("clip:", TL_USAGE, "no folder was named");
    support_reward_refused("clip:x,flavour=cosin", TL_USAGE, "did you mean cosine");
    support_reward_refused("clip:x,flavor=cosine", TL_USAGE, "there is flavour");
    support_reward_refused("clip:" FIXTURES "/no_such_folder", TL_BAD_INPUT, "no_such_folder");
    support_reward_refused("clip:" FIXTURES "/unet_sd1", TL_BAD_INPUT, "a CLIPModel is needed");
    support_reward_refused("clip:" FIXTURES "/clip_model", TL_BAD_INPUT,
                           "clip_model"); /* no tokenizer in it */

    struct tl_reward_set *set = support_reward_open("clip:" SUPPORT_REWARD_MODEL, NULL);
    struct tl_reward_item items[2] = {kit.items[0], kit.items[1]};
    double out[2];
    items[1].prompt = NULL;
    assert_false(tl_reward_set_score(set, items, 2, out, NULL, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, kit.items[1].name));
    tl_reward_set_close(&set);
}

/* ---- the gradient ---- */

/* The float path, without Pillow's rounding, scores as the files are scored but for half a grey level. */
static void test_graph_scores(void **state)
{
    (void)state;
    struct support_gradient q;
    double scores[SUPPORT_PICTURES], file[SUPPORT_PICTURES];
    struct tl_err err = {0};
    struct tl_reward_item items[SUPPORT_PICTURES] = {kit.items[1], kit.items[1]};
    items[1].prompt = kit.items[0].prompt;
    assert_int_equal(items[0].width, SUPPORT_WIDTH);
    assert_int_equal(items[0].height, SUPPORT_HEIGHT);
    support_gradient_open(&q, &kit, "clip:" SUPPORT_REWARD_MODEL, "cpu");
    support_gradient_run(&q, scores);
    check_ok(tl_reward_set_score(q.set, items, SUPPORT_PICTURES, file, NULL, &err), &err);
    for (int i = 0; i < SUPPORT_PICTURES; i++) check_near(scores[i], file[i], 5e-3);
    printf("float path against file: %.1e, %.1e\n", scores[0] - file[0], scores[1] - file[1]);
    support_gradient_close(&q);
}

static void test_gradient(void **state)
{
    (void)state;
    support_gradient_check(&kit, "clip:" SUPPORT_REWARD_MODEL);
    support_gradient_check(&kit, "clip:" SUPPORT_REWARD_MODEL ",flavour=logit");
}

/* A cosine below 0 counts as 0 in the clipscore flavour, and so nothing moves it. */
static void test_flat(void **state)
{
    (void)state;
    struct support_gradient q;
    double scores[SUPPORT_PICTURES];
    bool flat = true, moved = false;
    support_gradient_open(&q, &kit, "clip:" SUPPORT_REWARD_MODEL ",flavour=clipscore", "cpu");
    support_gradient_run(&q, scores);
    for (size_t i = 0; i < SUPPORT_PIXELS; i++) {
        flat = flat && q.gradient[i] == 0;
        moved = moved || q.gradient[SUPPORT_PIXELS + i] != 0;
    }
    assert_true((scores[0] > 0) == !flat && (scores[1] > 0) == moved);
    assert_true(flat);
    support_gradient_close(&q);
}

static int open_kit(void **state)
{
    (void)state;
    support_reward_case_open(&kit);
    return 0;
}

static int close_kit(void **state)
{
    (void)state;
    support_reward_case_close(&kit);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_towers),   cmocka_unit_test(test_pixels),
        cmocka_unit_test(test_files),    cmocka_unit_test(test_files_vulkan),
        cmocka_unit_test(test_company),  cmocka_unit_test(test_flavours),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_graph_scores),
        cmocka_unit_test(test_gradient), cmocka_unit_test(test_flat),
    };
    return cmocka_run_group_tests(tests, open_kit, close_kit);
}
