/* Metrics over sets, from files to the number: closed forms, stand-ins for folders, and what must not change
 * a bit: batches, threads, bad files, the cache. */
#include "support/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <tiller/embed.h>
#include <tiller/interrupt.h>
#include <tiller/score.h>

#include "base/rng.h"
#include "io/file.h"
#include "io/image.h"
#include "io/json.h"
#include "io/npy.h"
#include "io/sound.h"
#include "run/feature_set.h"
#include "run/support_folder.h"
#include "run/support_score.h"

#define CLIP TL_SOURCE_DIR "/tests/fixtures/clip_score"

/* ---- asking ---- */

static double value_of(struct tl_score_params p, bool whole)
{
    cJSON *array = support_score_ask(p, whole);
    double x = support_score_number(array->child, "value");
    cJSON_Delete(array);
    return x;
}

/* ---- making ---- */

static const char *matrix(const char *folder, const char *name, size_t n, size_t dim, const float *x)
{
    struct tl_err err = {0};
    const char *path = support_path(folder, "%s", name);
    struct tl_npy_item item = {.rank = 2, .shape = {n, dim}, .f32 = x};
    check_ok(tl_npy_write(path, &item, &err), &err);
    return path;
}

/* A picture of stripes, another for each number. */
static void picture(const char *path, int k)
{
    struct tl_err err = {0};
    struct tl_image image = {0};
    check_ok(tl_image_init(&image, 20 + k % 5, 24, 3, &err), &err);
    size_t n = (size_t)image.width * (size_t)image.height;
    for (size_t i = 0; i < 3 * n; i++) image.px[i] = (uint8_t)((i * (size_t)(k + 3) + (size_t)k * 31) % 251);
    check_ok(tl_image_save_png(path, &image, NULL, 0, &err), &err);
    tl_image_finish(&image);
}

static void tone(const char *path, int k, double seconds)
{
    struct tl_err err = {0};
    struct tl_sound sound = {0};
    int rate = k % 2 ? 16000 : 22050;
    check_ok(tl_sound_init(&sound, rate, 1 + k % 2, (size_t)(seconds * rate), &err), &err);
    for (size_t i = 0; i < sound.frames * (size_t)sound.channels; i++) {
        double t = (double)(i / (size_t)sound.channels) / rate;
        sound.samples[i] = (float)(0.3 * sin(2 * 3.14159265 * (200 + 90 * k) * t) +
                                   0.1 * sin(2 * 3.14159265 * (1000 + 70 * k * t) * t));
    }
    check_ok(tl_sound_save(path, &sound, TL_SOUND_WAV_16, &err), &err);
    tl_sound_finish(&sound);
}

static const char *folder_of(const char *root, const char *name)
{
    struct tl_err err = {0};
    const char *path = support_path(root, "%s", name);
    check_ok(tl_file_make_folder(path, &err), &err);
    return path;
}

/* ---- closed forms ---- */

static void test_vectors(void **state)
{
    static const float a[] = {0, 0, 2, 0, 0, 2, 2, 2, 1, 1}, b[] = {1, 0, 3, 1, 1, 3, 2, 2};
    static const float c[] = {0, 0, 0, 1, 1, 1}, d[] = {0, 1, 0, 2, 1, 0, 1, 1, 0};
    static const float e[] = {0, 0, 1, 0, 0, 1}, f[] = {1, 1, 2, 1, 1, 2};
    static const float g[] = {0, 0, 1, 0, 0, 1, 3, 0}, h[] = {1, 1, 2, 1, 1, 2, 4, 4, 0, 2};
    static const float eye[] = {1, 0, 0, 0, 2, 0, 0, 0, 3};
    char A[512], B[512];
    snprintf(A, sizeof A, "%s", matrix(*state, "a.npy", 5, 2, a));
    snprintf(B, sizeof B, "%s", matrix(*state, "b.npy", 4, 2, b));
    check_near(value_of(support_score_of("fad", SETS(A, B), NULL), true), 0.9090424640743, 1e-12);
    check_near(value_of(support_score_of("fid", SETS(A, A), NULL), true), 0, 1e-12);
    snprintf(A, sizeof A, "%s", matrix(*state, "c.npy", 2, 3, c));
    snprintf(B, sizeof B, "%s", matrix(*state, "d.npy", 3, 3, d));
    cJSON *array = support_score_ask(support_score_of("fad", SETS(A, B), NULL), true);
    check_near(support_score_number(array->child, "value"), 1.8357864376269, 1e-7);
    assert_non_null(
        strstr(cJSON_GetArrayItem(tl_json_get(array->child, "warnings"), 0)->valuestring, "rank-deficient"));
    cJSON_Delete(array);
    snprintf(A, sizeof A, "%s", matrix(*state, "e.npy", 3, 2, e));
    snprintf(B, sizeof B, "%s", matrix(*state, "f.npy", 3, 2, f));
    check_near(value_of(support_score_of("kid", SETS(A, B), NULL), true), 13.194444444444, 1e-10);
    snprintf(A, sizeof A, "%s", matrix(*state, "g.npy", 4, 2, g));
    snprintf(B, sizeof B, "%s", matrix(*state, "h.npy", 5, 2, h));
    check_near(value_of(support_score_of("kad", SETS(A, B), NULL), true), 12.591044, 1e-5);
    struct tl_score_params p = support_score_of("kad", SETS(A, B), NULL);
    p.bandwidth = 1;
    check_near(value_of(p, true), 14.853308, 1e-5);
    snprintf(A, sizeof A, "%s", matrix(*state, "eye.npy", 3, 3, eye));
    check_near(value_of(support_score_of("vendi", SETS(A), NULL), true), 3, 1e-12);
    p = support_score_of("vendi", SETS(A, A), NULL);
    p.order = INFINITY;
    array = support_score_ask(p, true); /* a row for each set */
    assert_int_equal(cJSON_GetArraySize(array), 2);
    check_near(support_score_number(array->child->next, "value"), 3, 1e-12);
    cJSON_Delete(array);
}

/* ---- files ---- */

static void test_stand_ins(void **state)
{
    struct tl_err err = {0};
    bool whole;
    char ref[512], gen[512], npy[512], npz[512], list[512];
    snprintf(ref, sizeof ref, "%s", folder_of(*state, "ref"));
    snprintf(gen, sizeof gen, "%s", folder_of(*state, "gen"));
    for (int k = 0; k < 6; k++) tone(support_path(ref, "%d.wav", k), k, 1.3 + 0.4 * k);
    for (int k = 0; k < 5; k++) tone(support_path(gen, "%d.wav", k), k + 2, 2.5);
    double want = value_of(support_score_of("fad", SETS(ref, gen), "logmel"), true);
    assert_true(want > 0);
    check_near(value_of(support_score_of("fad", SETS(ref, ref), "logmel"), true), 0, 1e-8);
    check_near(value_of(support_score_of("fad", SETS(gen, ref), "logmel"), true), want, 1e-9 * want);

    snprintf(npy, sizeof npy, "%s", support_path(*state, "ref.npy"));
    snprintf(npz, sizeof npz, "%s", support_path(*state, "ref.npz"));
    snprintf(list, sizeof list, "%s", support_path(*state, "list.txt"));
    struct tl_embed_params ep = {.folder = ref, .encoder = "logmel", .output = npy, .no_cache = true};
    char *text = tl_embed(&ep, &support_score_job, &whole, &err);
    if (!text || !whole) fail_msg("%s", err.text);
    free(text);
    ep.output = npz;
    text = tl_stats(&ep, &support_score_job, &whole, &err);
    if (!text || !whole) fail_msg("%s", err.text);
    free(text);
    support_write(list, "ref/3.wav\nref/0.wav\nref/5.wav\nref/1.wav\nref/2.wav\nref/4.wav\n");
    assert_true(value_of(support_score_of("fad", SETS(npy, gen), "logmel"), true) == want);
    assert_true(value_of(support_score_of("fad", SETS(list, gen), "logmel"), true) == want);
    check_near(value_of(support_score_of("fad", SETS(npz, gen), "logmel"), true), want, 1e-9 * want);

    cJSON *array = support_score_ask(support_score_of("fad", SETS(npy, gen), "logmel"),
                                     true); /* files of the npy are known */
    const cJSON *side = tl_json_get(array->child, "sets")->child;
    assert_true(support_score_number(side, "n") == 6 && support_score_number(side, "rows") > 6);
    cJSON_Delete(array);

    struct tl_score_params p = support_score_of("fad", SETS(npz, gen), "logmel");
    p.indiv = support_path(*state, "indiv.csv");
    value_of(p, true);
    text = support_read(p.indiv);
    assert_int_equal(strncmp(text, "file,rows,value,remark\n\"0.wav\",", 31), 0);
    free(text);

    support_score_refused(support_score_of("kad", SETS(npz, gen), "logmel"), TL_USAGE,
                          "mean and covariance only");
    support_score_refused(support_score_of("fad", SETS(npy, gen), "logmel,resample=resampy-best"),
                          TL_BAD_INPUT, "do not compare");
    support_score_refused(support_score_of("fid", SETS(ref, gen), "logmel"), TL_USAGE,
                          "fid is a measure of pictures");
    support_score_refused(support_score_of("fad", SETS(ref), "logmel"), TL_USAGE, "two sets");
    support_score_refused(support_score_of("vendi", SETS(ref), NULL), TL_USAGE, "--encoder");
    p = support_score_of("kid", SETS(ref, gen), "logmel");
    p.inf = true;
    support_score_refused(p, TL_USAGE, "kid has no --inf");
    p = support_score_of("fad", SETS(ref, gen), "logmel");
    p.flavour = "fadtc";
    support_score_refused(p, TL_USAGE, "did you mean fadtk?");
}

/* Rows of a folder by one way of working. */
static struct tl_features rows_by(struct tl_feature_set *set, const char *folder, const char *spec,
                                  int threads, size_t batch, int workers, const char *cache)
{
    struct tl_err err = {0};
    struct tl_embedder e;
    struct tl_job mine = support_score_job;
    mine.threads = threads;
    struct tl_embedder_params p = {
        .job = &mine, .spec = spec, .n_workers = workers, .batch = batch, .no_cache = !cache, .cache = cache};
    check_ok(tl_embedder_open(&e, &p, &err), &err);
    enum tl_modality modality = tl_encoder_about(e.encoder)->cls->modality;
    check_ok(tl_feature_set_open(set, folder, modality, false, &err), &err);
    check_ok(tl_feature_set_encode(set, &e, &err), &err);
    tl_embedder_close(&e);
    return set->features;
}

static void same_rows(const struct tl_features *a, const struct tl_features *b)
{
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->n_items, b->n_items);
    assert_memory_equal(a->x, b->x, a->n * a->dim * sizeof *a->x);
}

static void test_ways_of_working(void **state)
{
    static const struct {
        int threads;
        size_t batch;
        int workers;
    } ways[] = {{2, 0, 2}, {1, 1, 1}, {1, 3, 2}, {2, 64, 1}};
    const char *specs[] = {CLIP, "logmel"};
    char folders[2][512], cache[512];
    snprintf(folders[0], sizeof folders[0], "%s", folder_of(*state, "pictures"));
    snprintf(folders[1], sizeof folders[1], "%s", folder_of(*state, "sounds"));
    snprintf(cache, sizeof cache, "%s", support_path(*state, "cache"));
    for (int k = 0; k < 21; k++) picture(support_path(folders[0], "%02d.png", k), k);
    for (int k = 0; k < 9; k++) tone(support_path(folders[1], "%02d.wav", k), k, 1.2 + 0.7 * k);
    for (int m = 0; m < 2; m++) {
        struct tl_feature_set first, other;
        struct tl_features want = rows_by(&first, folders[m], specs[m], 1, 0, 1, NULL);
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            struct tl_features have =
                rows_by(&other, folders[m], specs[m], ways[w].threads, ways[w].batch, ways[w].workers, NULL);
            same_rows(&want, &have);
            tl_feature_set_finish(&other);
        }
        for (int round = 0; round < 2; round++) { /* written, then found */
            struct tl_features have = rows_by(&other, folders[m], specs[m], 1, 0, 1, cache);
            same_rows(&want, &have);
            tl_feature_set_finish(&other);
        }
        tl_feature_set_finish(&first);
    }
}

/* A changed file is encoded anew, a damaged pack costs work and no digit. */
static void test_cache(void **state)
{
    struct tl_err err = {0};
    char folder[512], cache[512];
    snprintf(folder, sizeof folder, "%s", folder_of(*state, "pictures"));
    snprintf(cache, sizeof cache, "%s", support_path(*state, "cache"));
    for (int k = 0; k < 7; k++) picture(support_path(folder, "%02d.png", k), k);
    struct tl_score_params p = support_score_of("vendi", SETS(folder), CLIP), plain = p;
    p.no_cache = false;
    p.cache = cache;
    double want = value_of(plain, true);
    assert_true(value_of(p, true) == want && value_of(p, true) == want);
    picture(support_path(folder, "03.png"), 40);
    double changed = value_of(plain, true);
    assert_true(changed != want && value_of(p, true) == changed);

    struct tl_arena arena = {0};
    const char *const *names;
    size_t n, bytes;
    check_ok(tl_file_list(cache, &arena, &names, &n, &err), &err);
    assert_int_equal(n, 1);
    const char *pack = support_path(cache, "%s", names[0]);
    uint8_t *data = tl_file_read(pack, 1 << 24, &bytes, &err);
    for (size_t at = 17; at < bytes; at += bytes / 5) data[at] ^= 1;
    check_ok(tl_file_write(pack, data, bytes, &err), &err);
    assert_true(value_of(p, true) == changed && value_of(p, true) == changed);
    free(data);
    tl_arena_finish(&arena);
}

static long bytes_of_pack(const char *cache)
{
    struct tl_err err = {0};
    struct tl_arena arena = {0};
    struct stat st;
    const char *const *names;
    size_t n;
    check_ok(tl_file_list(cache, &arena, &names, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_int_equal(stat(support_path(cache, "%s", names[0]), &st), 0);
    tl_arena_finish(&arena);
    return (long)st.st_size;
}

/* A set that stands twice is encoded once. */
static void test_cache_within(void **state)
{
    char folder[512], once[512], twice[512];
    snprintf(folder, sizeof folder, "%s", folder_of(*state, "pictures"));
    snprintf(once, sizeof once, "%s", support_path(*state, "once"));
    snprintf(twice, sizeof twice, "%s", support_path(*state, "twice"));
    for (int k = 0; k < 5; k++) picture(support_path(folder, "%02d.png", k), k);
    struct tl_score_params p = support_score_of("vendi", SETS(folder), CLIP);
    p.no_cache = false;
    p.cache = once;
    value_of(p, true);
    p = support_score_of("fid", SETS(folder, folder, folder), CLIP);
    p.no_cache = false;
    p.cache = twice;
    check_near(value_of(p, true), 0, 1e-8);
    assert_int_equal(bytes_of_pack(twice), bytes_of_pack(once));
}

/* What is too large to be decoded is not read to be looked up either. */
static void test_huge(void **state)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s", folder_of(*state, "pictures"));
    for (int k = 0; k < 3; k++) picture(support_path(folder, "%02d.png", k), k);
    support_write(support_path(folder, "huge.png"), "begins");
    if (truncate(support_path(folder, "huge.png"), (off_t)1 << 40) != 0) skip();
    struct tl_score_params p = support_score_of("vendi", SETS(folder), CLIP);
    p.no_cache = false;
    p.cache = support_path(*state, "cache");
    cJSON *array = support_score_ask(p, false);
    const cJSON *skipped = tl_json_get(array->child, "skipped");
    assert_int_equal(cJSON_GetArraySize(skipped), 1);
    assert_non_null(strstr(tl_json_get(skipped->child, "reason")->valuestring, "bytes allowed"));
    cJSON_Delete(array);
}

static void copy(const char *from, const char *to, const char *name)
{
    struct tl_err err = {0};
    size_t n;
    uint8_t *data = tl_file_read(support_path(from, "%s", name), 1 << 26, &n, &err);
    if (!data) fail_msg("%s", err.text);
    check_ok(tl_file_write(support_path(to, "%s", name), data, n, &err), &err);
    free(data);
}

static void replace(const char *path, const char *old, const char *new)
{
    char *text = support_read(path), *at = strstr(text, old);
    assert_non_null(at);
    struct tl_str out = {0};
    tl_str_printf(&out, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    support_write(path, out.data);
    tl_str_finish(&out);
    free(text);
}

static void embed(const char *folder, const char *encoder, int dtype, const char *output)
{
    struct tl_err err = {0};
    bool whole;
    struct tl_embed_params p = {
        .folder = folder, .encoder = encoder, .output = output, .dtype = dtype, .no_cache = true};
    char *text = tl_str_ends(output, ".npz") ? tl_stats(&p, &support_score_job, &whole, &err)
                                             : tl_embed(&p, &support_score_job, &whole, &err);
    if (!text) fail_msg("%s", err.text);
    free(text);
}

/* Weights are not all that makes an embedding: an edited configuration is another encoder, for the cache and
 * for files of rows; so is another dtype. */
static void test_configuration(void **state)
{
    char folder[512], cache[512], clip[512], npy[512], npz[512];
    snprintf(folder, sizeof folder, "%s", folder_of(*state, "pictures"));
    snprintf(clip, sizeof clip, "%s", folder_of(*state, "encoder"));
    snprintf(cache, sizeof cache, "%s", support_path(*state, "cache"));
    for (int k = 0; k < 4; k++) picture(support_path(folder, "%02d.png", k), k);
    static const char *const files[] = {"config.json", "preprocessor_config.json", "model.safetensors"};
    for (int k = 0; k < 3; k++) copy(CLIP, clip, files[k]);
    struct tl_score_params p = support_score_of("vendi", SETS(folder), clip), plain = p;
    p.no_cache = false;
    p.cache = cache;
    double want = value_of(p, true);
    snprintf(npy, sizeof npy, "%s", support_path(*state, "rows.npy"));
    snprintf(npz, sizeof npz, "%s", support_path(*state, "rows.npz"));
    embed(folder, clip, 0, npy);
    embed(folder, clip, 0, npz);
    value_of(support_score_of("fid", SETS(npz, npy), NULL), true);

    char other[512];
    snprintf(other, sizeof other, "%s", support_path(*state, "other.npy"));
    embed(folder, clip, 1, other);
    support_score_refused(support_score_of("fid", SETS(npy, other), NULL), TL_BAD_INPUT,
                          "dtype: 'f32' and 'f16'");
    support_score_refused(support_score_of("fid", SETS(npz, other), NULL), TL_BAD_INPUT,
                          "dtype: 'f32' and 'f16'");
    struct tl_score_params q = support_score_of("fid", SETS(npz, folder), clip);
    q.dtype = 1;
    support_score_refused(q, TL_BAD_INPUT, "dtype: 'f32' and 'f16'");

    static const char *const edits[][3] = {
        {"config.json",
         "\"attention_dropout\": 0.0,\n    \"hidden_act\": \"quick_gelu\",\n    "
         "\"hidden_size\": 12",
         "\"hidden_act\": \"gelu\", \"hidden_size\": 12"},
        {"preprocessor_config.json", "0.48145466", "0.38145466"}};
    for (int k = 0; k < 2; k++) {
        replace(support_path(clip, "%s", edits[k][0]), edits[k][1], edits[k][2]);
        double changed = value_of(plain, true);
        assert_true(changed != want);
        assert_true(value_of(p, true) == changed && value_of(p, true) == changed);
        support_score_refused(support_score_of("fid", SETS(npy, folder), clip), TL_BAD_INPUT,
                              "configuration's hash");
        support_score_refused(support_score_of("fid", SETS(npz, folder), clip), TL_BAD_INPUT,
                              "configuration's hash");
        want = changed;
    }
}

/* Broken, empty, unreadable, a pipe, a folder and a link to nowhere with a picture's name. */
static void test_torture(void **state)
{
    struct tl_err err = {0};
    char clean[512], dirty[512], ref[512];
    snprintf(clean, sizeof clean, "%s", folder_of(*state, "clean"));
    snprintf(dirty, sizeof dirty, "%s", folder_of(*state, "dirty"));
    snprintf(ref, sizeof ref, "%s", folder_of(*state, "ref"));
    for (int k = 0; k < 20; k++) {
        picture(support_path(clean, "%02d.png", k), k);
        picture(support_path(dirty, "%02d.png", k), k);
        picture(support_path(ref, "%02d.png", k), 100 + k);
    }
    support_write(support_path(dirty, "05x.png"), "");
    support_write(support_path(dirty, "07x.jpg"), "no picture at all, whatever its name says");
    size_t n;
    uint8_t *data = tl_file_read(support_path(dirty, "09.png"), 1 << 20, &n, &err);
    check_ok(tl_file_write(support_path(dirty, "09x.png"), data, n / 2, &err), &err);
    data[n / 2] ^= 0x55;
    check_ok(tl_file_write(support_path(dirty, "11x.png"), data, n, &err), &err);
    free(data);
    assert_int_equal(mkfifo(support_path(dirty, "13x.png"), 0600), 0);
    assert_int_equal(symlink("nowhere", support_path(dirty, "14x.png")), 0);
    folder_of(dirty, "15x.png");
    static const char *const metrics[] = {"fid", "kid", "cmmd"};
    for (int m = 0; m < 3; m++) {
        double want = value_of(support_score_of(metrics[m], SETS(ref, clean), CLIP), true);
        assert_true(value_of(support_score_of(metrics[m], SETS(ref, dirty), CLIP), false) == want);
    }
    cJSON *array = support_score_ask(support_score_of("fid", SETS(ref, dirty), CLIP), false);
    assert_int_equal(cJSON_GetArraySize(tl_json_get(array->child, "skipped")), 7);
    assert_true(support_score_number(array->child, "n") == 20);
    cJSON_Delete(array);
    struct tl_score_params p = support_score_of("fid", SETS(ref, dirty), CLIP);
    p.strict = true;
    support_score_refused(p, TL_BAD_INPUT, "x.");
    for (int k = 0; k < 20; k++) unlink(support_path(dirty, "%02d.png", k));
    support_score_refused(support_score_of("fid", SETS(ref, dirty), CLIP), TL_BAD_INPUT,
                          "none of the 7 files");
}

/* ---- pairs ---- */

static void test_pairs(void **state)
{
    char a[512], b[512];
    snprintf(a, sizeof a, "%s", folder_of(*state, "a"));
    snprintf(b, sizeof b, "%s", folder_of(*state, "b"));
    for (int k = 0; k < 4; k++) {
        picture(support_path(a, "%d.png", k), k);
        picture(support_path(b, "%d.png", k), k);
    }
    check_near(value_of(support_score_of("clip", SETS(a, b), CLIP), true), 1, 1e-6);
    struct tl_score_params p = support_score_of("clip", SETS(a, b), CLIP);
    p.flavour = "torchmetrics";
    check_near(value_of(p, true), 100, 1e-4);
    picture(support_path(b, "0x.png"), 9); /* has no partner: left out, and the others keep theirs */
    cJSON *array = support_score_ask(support_score_of("clip", SETS(a, b), CLIP), false);
    check_near(support_score_number(array->child, "value"), 1, 1e-6);
    assert_true(support_score_number(array->child, "n") == 4);
    assert_string_equal(tl_json_get(tl_json_get(array->child, "skipped")->child, "file")->valuestring,
                        "0x.png");
    cJSON_Delete(array);
    p.flavour = "clip-score";
    support_score_refused(p, TL_BAD_INPUT, "need as many");
}

/* Extrapolated, the distance of two samples of one law is about 0 where the plain one is not. */
static void test_inf(void **state)
{
    enum { N = 700, DIM = 8 };
    static float x[2][N * DIM];
    char paths[2][512];
    for (int k = 0; k < 2; k++) {
        struct tl_rng_key key = {.seed = 1, .stream = TL_RNG_TEST, .sample = (uint32_t)k};
        tl_rng_normal(key, 0, N * DIM, x[k]);
        snprintf(paths[k], sizeof paths[k], "%s", matrix(*state, k ? "y.npy" : "x.npy", N, DIM, x[k]));
    }
    struct tl_score_params p = support_score_of("fad", SETS(paths[0], paths[1]), NULL);
    double plain = value_of(p, true);
    p.inf = true;
    cJSON *array = support_score_ask(p, true);
    assert_true(support_score_number(array->child, "plain_value") == plain);
    assert_true(fabs(support_score_number(array->child, "value")) < plain &&
                support_score_number(array->child, "slope") > 0);
    cJSON_Delete(array);
    p.flavour = "fadtk";
    array = support_score_ask(p, true);
    assert_non_null(
        strstr(cJSON_GetArrayItem(tl_json_get(array->child, "warnings"), 0)->valuestring, "replacement"));
    cJSON_Delete(array);
}

/* A stop, and the same again. */
static void test_interrupt(void **state)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s", folder_of(*state, "pictures"));
    for (int k = 0; k < 3; k++) picture(support_path(folder, "%02d.png", k), k);
    tl_interrupt_request();
    support_score_refused(support_score_of("fid", SETS(folder, folder), CLIP), TL_INTERRUPTED, "encoding");
    tl_interrupt_clear();
    assert_true(value_of(support_score_of("fid", SETS(folder, folder), CLIP), true) < 1e-8);
}

/* One file has a value and no interval. */
static void test_single(void **state)
{
    char folder[512], one[512];
    snprintf(folder, sizeof folder, "%s", folder_of(*state, "one"));
    picture(support_path(folder, "a.png"), 3);
    snprintf(one, sizeof one, "%s", support_path(folder, "a.png"));
    const char *const forms[] = {folder, one};
    for (int k = 0; k < 2; k++) {
        cJSON *array = support_score_ask(support_score_of("jpeg", SETS(forms[k]), NULL), true);
        assert_true(support_score_number(array->child, "n") == 1);
        assert_true(
            cJSON_IsNull(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(array->child, "interval"), 0)));
        cJSON_Delete(array);
    }
    support_score_refused(support_score_of("fid", SETS(one, one), CLIP), TL_BAD_INPUT, "two");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_vectors, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_stand_ins, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_ways_of_working, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_cache, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_cache_within, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_huge, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_configuration, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_torture, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_pairs, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_inf, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_interrupt, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_single, support_folder_make, support_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
