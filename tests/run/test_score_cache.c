/* Means over files whose embeddings are kept: the same bits without a cache, with an empty, a full and a half
 * full one; the packs of metrics over sets; bad files, order, Ctrl-C on the way. */
#include "support/check.h"

#include <sys/stat.h>
#include <time.h>

#include <tiller/interrupt.h>
#include <tiller/score.h>

#include "base/sha256.h"
#include "io/file.h"
#include "io/image.h"
#include "run/feature_cache.h"
#include "run/support_folder.h"
#include "run/support_score.h"

#define CLIP      TL_SOURCE_DIR "/tests/fixtures/clip_score"
#define CLAP      TL_SOURCE_DIR "/tests/fixtures/clap_score"
#define AESTHETIC "aesthetic:" TL_SOURCE_DIR "/tests/fixtures/rewards/mlp.safetensors"

enum { PICTURES = 80 }; /* more than are hashed together */
static char folder[512], cache[512];

static void draw(int k)
{
    struct tl_err err = {0};
    struct tl_image image = {0};
    check_ok(tl_image_init(&image, 20 + k % 7, 24, 3, &err), &err);
    for (int i = 0; i < image.width * image.height * 3; i++)
        image.px[i] = (uint8_t)((i * (k + 3) + k * k * 31 + i / 50 * 17) % 256);
    check_ok(tl_image_save_png(support_path(folder, "%02d.png", k), &image, NULL, 0, &err), &err);
    tl_image_finish(&image);
    support_write(support_path(folder, "%02d.txt", k), k % 3 ? "a red circle\n" : "two blue squares\n");
}

static bool is_bad(int k)
{
    return k == 23 || k == 24 || k == 66;
}

/* Every fifth picture only where `all`. */
static void make_pictures(void **state, bool all)
{
    struct tl_err err = {0};
    snprintf(folder, sizeof folder, "%s", support_path(*state, "pictures"));
    snprintf(cache, sizeof cache, "%s", support_path(*state, "cache"));
    check_ok(tl_file_make_folder(folder, &err), &err);
    for (int k = 0; k < PICTURES; k++) {
        if (k % 5 == 0 && !all) continue;
        draw(k);
        if (is_bad(k)) support_write(support_path(folder, "%02d.png", k), "no picture");
    }
}

static struct tl_score_params params_of(const char *metric, const char *encoder)
{
    struct tl_score_params p = support_score_of(metric, SETS(folder), encoder);
    static const char *folders[2];
    folders[0] = folder;
    p.folders = folders;
    p.cache = cache;
    p.no_cache = false;
    return p;
}

/* The table of all files; the caller frees. */
static char *table_of(struct tl_score_params p, bool whole)
{
    char path[600];
    snprintf(path, sizeof path, "%s.csv", folder);
    p.csv = path;
    cJSON_Delete(support_score_ask(p, whole));
    char *text = support_read(path);
    assert_non_null(text);
    return text;
}

static char *table_without(struct tl_score_params p, bool whole)
{
    p.no_cache = true;
    return table_of(p, whole);
}

static void same(char *text, const char *expected)
{
    assert_string_equal(text, expected);
    free(text);
}

/* Bytes of all packs, and how many there are. */
static int64_t packs(size_t *out_n)
{
    struct tl_arena arena = {0};
    const char *const *names;
    struct stat st;
    int64_t bytes = 0;
    if (!tl_file_list(cache, &arena, &names, out_n, NULL)) *out_n = 0;
    for (size_t i = 0; i < *out_n; i++) {
        assert_int_equal(stat(support_path(cache, "%s", names[i]), &st), 0);
        bytes += st.st_size;
    }
    tl_arena_finish(&arena);
    return bytes;
}

static void test_bits(void **state)
{
    size_t n;
    make_pictures(state, false);
    struct tl_score_params p = params_of("clip", CLIP);
    char *some = table_without(p, false);
    assert_int_equal(packs(&n), 0);
    same(table_of(p, false), some);
    int64_t bytes = packs(&n);
    assert_true(bytes > 0 && n == 1);
    same(table_of(p, false), some);
    assert_true(packs(&n) == bytes);
    free(some);

    make_pictures(state, true); /* one in five is new */
    char *all = table_without(p, false);
    assert_true(packs(&n) == bytes);
    same(table_of(p, false), all);
    assert_true(packs(&n) > bytes);
    bytes = packs(&n);
    same(table_of(p, false), all);
    support_score_job.threads = 2;
    same(table_of(p, false), all);
    support_score_job.threads = 1;

    int row = 0; /* in order of the names, without the bad ones */
    const char *at = all;
    for (int k = 0; k < PICTURES; k++) {
        char name[16];
        if (is_bad(k)) continue;
        at = strchr(at, '\n') + 1;
        snprintf(name, sizeof name, "\"%02d.png\"", k);
        assert_int_equal(strncmp(at, name, strlen(name)), 0);
        row++;
    }
    assert_int_equal(row, PICTURES - 3);
    free(all);

    p.strict = true; /* warm as cold */
    support_score_refused(p, TL_BAD_INPUT, "23.png");
    p.no_cache = true;
    support_score_refused(p, TL_BAD_INPUT, "23.png");
}

/* Prompts and flavours are no part of what is kept, nor is a head; an ensemble's other members see the
 * pictures. */
static void test_shared(void **state)
{
    size_t n;
    make_pictures(state, true);
    struct tl_score_params p = params_of("cmmd", CLIP);
    p.folders = SETS(folder, folder);
    p.n_folders = 2;
    cJSON_Delete(support_score_ask(p, false));
    int64_t bytes = packs(&n);
    assert_true(bytes > 0 && n == 1);

    static const struct {
        const char *metric, *flavour;
    } ways[] = {
        {"clip", NULL}, {"clip", "logit"}, {AESTHETIC, NULL}, {"ensemble:mean:clip:" CLIP "+jpeg", NULL}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        p = params_of(ways[i].metric, i == 3 ? NULL : CLIP);
        p.flavour = ways[i].flavour;
        char *text = table_without(p, false);
        same(table_of(p, false), text);
        assert_true(packs(&n) == bytes && n == 1); /* the tower had nothing to do */
        free(text);
    }
    p = params_of("clip", CLIP);
    p.flavour = "clip-score"; /* another crop is another input */
    char *text = table_without(p, false);
    same(table_of(p, false), text);
    free(text);
    packs(&n);
    assert_int_equal(n, 2);
    p = params_of("jpeg", NULL);
    text = table_without(p, false);
    same(table_of(p, false), text);
    free(text);
    packs(&n);
    assert_int_equal(n, 2);
}

/* What is in the pack is what is scored: another picture's row gives another score, for that file alone. */
static void test_source(void **state)
{
    struct tl_err err = {0};
    char hash[2][65], line[2][64];
    float *rows;
    size_t n;
    make_pictures(state, true);
    struct tl_score_params p = params_of("clip", CLIP);
    char *before = table_of(p, false);
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    struct tl_encoder *encoder =
        tl_encoder_open(&(struct tl_encoder_env){.device = device}, "clip:" CLIP, &err);
    check_ok(encoder, &err);
    struct tl_feature_cache *c =
        tl_feature_cache_open(cache, tl_encoder_about(encoder), TL_F32, device->name);
    for (int k = 0; k < 2; k++)
        check_ok(tl_sha256_file(support_path(folder, "%02d.png", 40 + k), hash[k], &err), &err);
    assert_true(tl_feature_cache_find(c, hash[1], &rows, &n) && n == 1);
    tl_feature_cache_add(c, hash[0], rows, n);
    free(rows);
    tl_feature_cache_close(&c);
    tl_encoder_close(&encoder);
    tl_device_close(&device);
    char *after = table_of(p, false);
    assert_string_not_equal(before, after);
    const char *a = before, *b = after;
    for (int k = 0; k < PICTURES; k++) {
        if (is_bad(k)) continue;
        a = strchr(a, '\n') + 1;
        b = strchr(b, '\n') + 1;
        snprintf(line[0], sizeof line[0], "%.*s", (int)strcspn(a, "\n"), a);
        snprintf(line[1], sizeof line[1], "%.*s", (int)strcspn(b, "\n"), b);
        assert_true((strcmp(line[0], line[1]) != 0) == (k == 40));
    }
    free(before);
    free(after);
}

/* Progress is told every fifth of a second: after such a pause it is told of the first batch. */
static void stop_midway(void *user, const struct tl_progress *progress)
{
    (void)user;
    if (progress->done > 0)
        tl_interrupt_request();
    else
        nanosleep(&(struct timespec){.tv_nsec = 250 * 1000 * 1000}, NULL);
}

static void test_interrupt(void **state)
{
    size_t n;
    make_pictures(state, true);
    struct tl_score_params p = params_of("clip", CLIP);
    char *text = table_without(p, false);
    support_score_job.progress = stop_midway;
    support_score_refused(p, TL_INTERRUPTED, "scoring");
    support_score_job.progress = NULL;
    tl_interrupt_clear();
    int64_t bytes = packs(&n);
    assert_true(bytes > 0 && n == 1); /* what was done is kept */
    same(table_of(p, false), text);
    assert_true(packs(&n) > bytes);
    free(text);
}

/* Sounds of several windows, two ways to cut them, the same packs as kad. */
static void test_sounds(void **state)
{
    struct tl_err err = {0};
    size_t n;
    snprintf(folder, sizeof folder, "%s", support_path(*state, "sounds"));
    snprintf(cache, sizeof cache, "%s", support_path(*state, "cache"));
    check_ok(tl_file_make_folder(folder, &err), &err);
    for (int k = 0; k < 4; k++) {
        size_t bytes;
        uint8_t *data = tl_file_read(support_path(CLAP, "sound%d.wav", k % 3), 1 << 24, &bytes, &err);
        check_ok(data, &err);
        check_ok(tl_file_write(support_path(folder, "%d.wav", k), data, k == 1 ? 30 : bytes, &err), &err);
        free(data);
        support_write(support_path(folder, "%d.txt", k), "a dog barks\n");
    }
    struct tl_score_params p = params_of("clap", CLAP);
    char *text = table_without(p, false);
    same(table_of(p, false), text);
    int64_t bytes = packs(&n);
    assert_true(bytes > 0 && n == 1);
    same(table_of(p, false), text);
    assert_true(packs(&n) == bytes);
    free(text);
    p = params_of("kad", CLAP);
    p.folders = SETS(folder, folder);
    p.n_folders = 2;
    cJSON_Delete(support_score_ask(p, false));
    assert_true(packs(&n) == bytes && n == 1);
    p = params_of("clap:" CLAP ",crop=centre", NULL);
    text = table_without(p, false);
    same(table_of(p, false), text);
    same(table_of(p, false), text);
    free(text);
    packs(&n);
    assert_int_equal(n, 2);
    p = params_of("loudness", NULL);
    text = table_without(p, false);
    same(table_of(p, false), text);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bits, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_shared, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_source, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_interrupt, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_sounds, support_folder_make, support_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
