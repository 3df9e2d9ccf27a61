/* clap from a sound to rows, against transformers (fixtures clap_score, clap_bin; windows.safetensors says
 * which). Sounds pass through WAV files. A row is the same whatever its company. */
#include "support/check.h"

#include <pthread.h>
#include <unistd.h>

#include "base/half.h"
#include "encoders/encoder.h"
#include "io/safetensors.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures/"
#define MODEL    FIXTURES "clap_score"
enum { DIM = 64, MOST = 16, RATE = 8000 };

static struct tl_device *device;
static struct tl_st_file *expected;
static struct tl_sound sounds[3]; /* shorter than a window, one, longer */
static char folder[] = "/tmp/tiller-encoder-clap-XXXXXX";

static int start(void **state)
{
    struct tl_err err = {0};
    char path[512];
    (void)state;
    device = tl_device_open(&(struct tl_device_params){.name = "cpu"}, &err);
    expected = tl_st_open(MODEL "/windows.safetensors", &err);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, MODEL "/sound%d.wav", i);
        if (!tl_sound_load(path, &sounds[i], &err)) return -1;
    }
    return device && expected && mkdtemp(folder) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) tl_sound_finish(&sounds[i]);
    tl_st_close(&expected);
    tl_device_close(&device);
    return rmdir(folder);
}

static struct tl_encoder *open_as(const char *spec, enum tl_dtype dtype)
{
    struct tl_err err = {0};
    struct tl_encoder_env env = {.device = device, .dtype = dtype};
    struct tl_encoder *e = tl_encoder_open(&env, spec, &err);
    if (!e) fail_msg("%s: %s", spec, err.text);
    assert_int_equal(tl_encoder_about(e)->dim, DIM);
    return e;
}

/* Through a WAV file of 32-bit floats. */
static void save_and_load(const struct tl_sound *made, struct tl_sound *out)
{
    struct tl_err err = {0};
    char path[sizeof folder + 16];
    snprintf(path, sizeof path, "%s/a.wav", folder);
    check_ok(tl_sound_save(path, made, TL_SOUND_WAV_FLOAT, &err) && tl_sound_load(path, out, &err), &err);
    unlink(path);
}

/* A sound's rows, one run for all of them. */
static size_t embed(struct tl_encoder *e, const struct tl_sound *sound, float *out)
{
    struct tl_err err = {0};
    struct tl_encoder_windows w;
    struct tl_encoder_item item = {.name = "a.wav", .sound = sound};
    check_ok(tl_encoder_prepare(e, &item, &w, &err), &err);
    size_t n = w.n;
    assert_in_range(n, 1, MOST);
    check_ok(tl_encoder_run(e, w.x, n, w.floats, out, &err), &err);
    tl_encoder_windows_finish(&w);
    return n;
}

/* The fixture's rows of that name, to within `most` each. */
static void check_rows(const char *name, const float *rows, size_t n, float most)
{
    struct tl_err err = {0};
    const struct tl_st_tensor *t = tl_st_find(expected, name);
    float theirs[MOST * DIM], worst = 0;
    if (!t) fail_msg("the fixture has no %s", name);
    if (t->n != n * DIM) fail_msg("%s: %zu rows are expected, %zu came", name, t->n / DIM, n);
    check_ok(tl_st_to_f32(t, theirs, &err), &err);
    for (size_t i = 0; i < n * DIM; i++) {
        float d = fabsf(rows[i] - theirs[i]);
        if (!(d <= worst)) worst = d;
    }
    printf("%s: largest difference %.2g\n", name, (double)worst);
    if (!(worst <= most)) fail_msg("%s is off by %g", name, (double)worst);
}

static void check_sound(struct tl_encoder *e, const char *name, const struct tl_sound *sound, float most)
{
    float rows[MOST * DIM];
    struct tl_sound loaded;
    save_and_load(sound, &loaded);
    check_rows(name, rows, embed(e, &loaded, rows), most);
    tl_sound_finish(&loaded);
}

/* The first `frames` of a sound; zeros without a sound. */
static void make_sound(const struct tl_sound *from, size_t frames, struct tl_sound *out)
{
    struct tl_err err = {0};
    check_ok(tl_sound_init(out, RATE, 1, frames, &err), &err);
    for (size_t i = 0; i < frames; i++) out->samples[i] = from ? from->samples[i] : 0;
}

/* ---- which windows ---- */

/* In every crop; `exact` is what rows may be off by. */
static void check_crop(const char *settings, const char *crop, const char *only, float exact)
{
    static const char *const names[] = {"0", "1", "2", "tiny", "silent"};
    struct tl_sound tiny, silent;
    make_sound(&sounds[0], 7, &tiny);
    make_sound(NULL, 5000, &silent);
    const struct tl_sound *all[] = {&sounds[0], &sounds[1], &sounds[2], &tiny, &silent};
    char spec[512], name[32];
    snprintf(spec, sizeof spec, "clap:" MODEL "%s", settings);
    struct tl_encoder *e = open_as(spec, TL_F32);
    assert_true(tl_encoder_about(e)->is_unit && tl_encoder_about(e)->is_fixed);
    for (int i = 0; i < 5; i++) {
        if (only && strcmp(only, names[i]) != 0) continue;
        snprintf(name, sizeof name, "%s.%s", names[i], crop);
        check_sound(e, name, all[i], exact);
    }
    tl_encoder_close(&e);
    tl_sound_finish(&tiny);
    tl_sound_finish(&silent);
}

static void test_crops(void **state)
{
    (void)state;
    check_crop("", "windows", NULL, 5e-7f);
    check_crop(",crop=windows", "windows", "2", 5e-7f);
    check_crop(",crop=centre", "centre", "2", 5e-7f);
    check_crop(",crop=start", "start", "2", 5e-7f);
    check_crop(",crop=fadtk,compat=none", "fadtk", NULL, 5e-7f);
    check_crop(",crop=fadtk", "fadtk", NULL, 2e-4f); /* rows of float16 */
}

static void test_half_rows(void **state)
{
    float rows[MOST * DIM];
    (void)state;
    struct tl_encoder *e = open_as("clap:" MODEL ",compat=fadtk", TL_F32);
    size_t n = embed(e, &sounds[2], rows);
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n * DIM; i++) assert_true(rows[i] == tl_f16_to_f32(tl_f32_to_f16(rows[i])));
    tl_encoder_close(&e);
}

static void link_in(const char *from, const char *name, bool is_there)
{
    char path[sizeof folder + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(is_there ? symlink(from, path) : unlink(path), 0);
}

static void link_long(bool is_there)
{
    link_in(MODEL "/config.json", "config.json", is_there);
    link_in(MODEL "/model.safetensors", "model.safetensors", is_there);
    link_in(MODEL "/long_preprocessor_config.json", "preprocessor_config.json", is_there);
}

/* Windows of three seconds: those of fadtk overlap, and the last ones run into zeros. */
static void test_overlap(void **state)
{
    static const char *const crops[] = {"windows", "centre", "fadtk"};
    struct tl_sound joined;
    struct tl_err err = {0};
    size_t n = 0;
    (void)state;
    check_ok(tl_sound_init(&joined, RATE, 1, 32000, &err), &err);
    for (int i = 0; i < 3; n += sounds[i++].frames)
        memcpy(joined.samples + n, sounds[i].samples, sounds[i].frames * sizeof(float));
    assert_int_equal(n, 32000);
    link_long(true);
    for (int i = 0; i < 3; i++) {
        char spec[512], name[32];
        snprintf(spec, sizeof spec, "clap:%s,crop=%s%s", folder, crops[i], i == 2 ? ",compat=none" : "");
        snprintf(name, sizeof name, "long.%s", crops[i]);
        struct tl_encoder *e = open_as(spec, TL_F32);
        check_sound(e, name, &joined, 5e-7f);
        tl_encoder_close(&e);
    }
    link_long(false);
    tl_sound_finish(&joined);
}

/* ---- other sounds ---- */

/* A sound on one side only is half as loud in the mean; four equal channels are one. */
static void test_channels(void **state)
{
    struct tl_err err = {0};
    float rows[DIM], others[DIM];
    struct tl_sound half, wide, stereo;
    (void)state;
    struct tl_encoder *e = open_as("clap:" MODEL, TL_F32);
    make_sound(&sounds[1], sounds[1].frames, &half);
    check_ok(tl_sound_init(&wide, RATE, 4, half.frames, &err) &&
                 tl_sound_init(&stereo, RATE, 2, half.frames, &err),
             &err);
    for (size_t i = 0; i < half.frames; i++) {
        for (size_t c = 0; c < 4; c++) wide.samples[4 * i + c] = half.samples[i];
        stereo.samples[2 * i] = half.samples[i];
        half.samples[i] *= 0.5f;
    }
    embed(e, &sounds[1], rows);
    embed(e, &wide, others);
    assert_memory_equal(rows, others, sizeof rows);
    embed(e, &half, rows);
    embed(e, &stereo, others);
    assert_memory_equal(rows, others, sizeof rows);
    tl_encoder_close(&e);
    tl_sound_finish(&half);
    tl_sound_finish(&wide);
    tl_sound_finish(&stereo);
}

/* Tones below 3 kHz, within a second. */
static void make_tones(int rate, struct tl_sound *out)
{
    struct tl_err err = {0};
    check_ok(tl_sound_init(out, rate, 1, (size_t)rate * 9 / 10, &err), &err);
    for (size_t i = 0; i < out->frames; i++) {
        double t = (double)i / rate, fade = sin(3.14159265 * t / 0.9);
        double x = sin(6.2831853 * 310 * t) + 0.6 * sin(6.2831853 * (900 + 700 * t) * t) +
                   0.3 * sin(6.2831853 * 2900 * t);
        out->samples[i] = (float)(0.2 * fade * fade * x);
    }
}

/* Whatever its rate, it is the same sound. */
static void test_rates(void **state)
{
    static const int rates[] = {11025, 16000, 22050, 44100, 48000, 7001};
    static const char *const names[] = {"", ",resample=kaiser-fadtk"};
    float rows[DIM], others[DIM];
    (void)state;
    for (int r = 0; r < 2; r++) {
        char spec[512];
        snprintf(spec, sizeof spec, "clap:" MODEL "%s", names[r]);
        struct tl_encoder *e = open_as(spec, TL_F32);
        struct tl_sound sound;
        make_tones(RATE, &sound);
        assert_int_equal(embed(e, &sound, rows), 1);
        tl_sound_finish(&sound);
        for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
            double dot = 0;
            make_tones(rates[i], &sound);
            assert_int_equal(embed(e, &sound, others), 1);
            for (int k = 0; k < DIM; k++) dot += (double)rows[k] * (double)others[k];
            printf("%d Hz%s: cosine %.6f\n", rates[i], names[r], dot);
            assert_true(dot > 0.99999);
            tl_sound_finish(&sound);
        }
        tl_encoder_close(&e);
    }
}

/* ---- company ---- */

/* Every window at every place of a run, among any others. */
static void test_company(void **state)
{
    enum { N = 5 };
    struct tl_err err = {0};
    struct tl_encoder_windows w[3];
    float all[N * DIM], rows[N * DIM];
    (void)state;
    struct tl_encoder *e = open_as("clap:" MODEL, TL_F32);
    size_t floats = 0, n = 0, batch = tl_encoder_about(e)->batch;
    for (int i = 0; i < 3; i++) {
        check_ok(tl_encoder_prepare(e, &(struct tl_encoder_item){.sound = &sounds[i]}, &w[i], &err), &err);
        floats = w[i].floats;
        n += w[i].n;
    }
    assert_int_equal(n, N);
    float *x = malloc(3 * N * floats * sizeof *x), *turned = x + N * floats;
    for (size_t i = 0, at = 0; i < 3; at += w[i++].n)
        memcpy(x + at * floats, w[i].x, w[i].n * floats * sizeof *x);
    check_ok(tl_encoder_run(e, x, N, floats, all, &err), &err);
    for (size_t i = 0; i < N; i++) {
        for (size_t place = 0; place < batch; place++) {
            for (size_t k = 0; k < batch; k++)
                memcpy(turned + k * floats, x + (k == place ? i : (i + k) % N) * floats, floats * sizeof *x);
            check_ok(tl_encoder_run(e, turned, place + 1, floats, rows, &err), &err);
            assert_memory_equal(rows + place * DIM, all + i * DIM, DIM * sizeof *rows);
        }
    }
    free(x);
    for (int i = 0; i < 3; i++) tl_encoder_windows_finish(&w[i]);
    tl_encoder_close(&e);
}

struct worker {
    const struct tl_encoder *encoder;
    int first;
    struct tl_encoder_windows w[3];
    bool ok;
};

static void *prepare_all(void *user)
{
    struct worker *t = user;
    struct tl_err err = {0};
    t->ok = true;
    for (int k = 0; k < 3; k++) {
        int i = (t->first + k) % 3;
        t->ok &=
            tl_encoder_prepare(t->encoder, &(struct tl_encoder_item){.sound = &sounds[i]}, &t->w[i], &err);
    }
    return NULL;
}

static void test_threads(void **state)
{
    enum { N = 4 };
    struct worker workers[N];
    pthread_t threads[N];
    (void)state;
    struct tl_encoder *e = open_as("clap:" MODEL ",resample=kaiser-fadtk", TL_F32);
    for (int i = 0; i < N; i++) {
        workers[i] = (struct worker){.encoder = e, .first = i};
        assert_int_equal(pthread_create(&threads[i], NULL, prepare_all, &workers[i]), 0);
    }
    for (int i = 0; i < N; i++) pthread_join(threads[i], NULL);
    for (int i = N - 1; i >= 0; i--) {
        assert_true(workers[i].ok);
        for (int k = 0; k < 3; k++) {
            struct tl_encoder_windows *w = &workers[i].w[k];
            assert_int_equal(w->n, workers[0].w[k].n);
            assert_memory_equal(w->x, workers[0].w[k].x, w->n * w->floats * sizeof *w->x);
        }
    }
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 3; k++) tl_encoder_windows_finish(&workers[i].w[k]);
    tl_encoder_close(&e);
}

/* ---- folders ---- */

/* PyTorch's own file, float16, of a sound tower alone. */
static void test_bin(void **state)
{
    (void)state;
    struct tl_encoder *e = open_as("clap:" FIXTURES "clap_bin", TL_F32);
    assert_int_equal(strlen(tl_encoder_about(e)->sha256), 64);
    check_sound(e, "bin.windows", &sounds[2], 5e-7f);
    tl_encoder_close(&e);
}

/* Rows that differ have settings that differ: a cache goes by them. */
static void test_settings(void **state)
{
    static const char *const specs[] = {"",
                                        ",resample=soxr-hq",
                                        ",crop=centre",
                                        ",crop=fadtk",
                                        ",crop=windows,compat=fadtk",
                                        ",crop=windows,compat=gudgud96",
                                        ",crop=fadtk,compat=none",
                                        ",crop=fadtk,resample=soxr-vhq",
                                        ",crop=fadtk,compat=none,resample=kaiser-fadtk"};
    enum { N = sizeof specs / sizeof *specs };
    struct tl_encoder *e[N];
    char spec[512];
    (void)state;
    for (size_t i = 0; i < N; i++) {
        snprintf(spec, sizeof spec, "clap:" MODEL "%s", specs[i]);
        e[i] = open_as(spec, TL_F32);
        const char *text = tl_encoder_about(e[i])->settings;
        if (!strstr(text, ", v2")) fail_msg("cut: %s", text);
        for (size_t k = 0; k < i; k++)
            if (strcmp(text, tl_encoder_about(e[k])->settings) == 0)
                fail_msg("%s and %s are both %s", specs[k], specs[i], text);
    }
    for (size_t i = 0; i < N; i++) tl_encoder_close(&e[i]);
}

/* Finite samples whose resampled ones are not: this file's trouble, not the run's. */
static void test_loud(void **state)
{
    struct tl_err err = {0};
    struct tl_encoder_windows w;
    struct tl_sound made, sound;
    (void)state;
    struct tl_encoder *e = open_as("clap:" MODEL, TL_F32);
    check_ok(tl_sound_init(&made, 11025, 1, 4000, &err), &err);
    for (size_t i = 0; i < made.frames; i++) made.samples[i] = i / 7 % 2 ? 3.3e38f : -3.3e38f;
    save_and_load(&made, &sound);
    assert_false(
        tl_encoder_prepare(e, &(struct tl_encoder_item){.name = "a.wav", .sound = &sound}, &w, &err));
    if (err.code != TL_BAD_INPUT || !strstr(err.text, "largest number"))
        fail_msg("%d, %s", err.code, err.text);
    assert_null(w.x);
    tl_sound_finish(&made);
    tl_sound_finish(&sound);
    tl_encoder_close(&e);
}

/* A folder alone says which encoder it is; weights in half are nearly the same. */
static void test_folder(void **state)
{
    static const enum tl_dtype types[] = {TL_F32, TL_F16, TL_BF16};
    static const float most[] = {5e-7f, 2e-3f, 1.5e-2f};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct tl_encoder *e = open_as(MODEL, types[i]);
        assert_string_equal(tl_encoder_about(e)->cls->name, "clap");
        check_sound(e, "2.windows", &sounds[2], most[i]);
        tl_encoder_close(&e);
    }
}

static void refused(const char *spec, enum tl_code code, const char *part)
{
    struct tl_err err = {0};
    struct tl_encoder *e = tl_encoder_open(&(struct tl_encoder_env){device, TL_F32}, spec, &err);
    assert_null(e);
    if (err.code != code || !strstr(err.text, part)) fail_msg("%s: code %d, %s", spec, err.code, err.text);
}

static void test_refused(void **state)
{
    struct tl_err err = {0};
    struct tl_encoder_windows w;
    struct tl_sound sound;
    (void)state;
    refused("clap", TL_USAGE, "clap:FOLDER");
    refused("clap:" MODEL ",crop=all", TL_USAGE, "windows, centre, start, fadtk");
    refused("clap:" MODEL ",compat=all", TL_USAGE, "fadtk");
    refused("clap:" MODEL ",croop=fadtk", TL_USAGE, "'croop=fadtk'; settings are crop, compat, resample");
    refused("clap:" MODEL ",croop=fadtk,a.b", TL_USAGE, "unknown setting 'croop=");
    refused("clap:" MODEL ",crop=fadtk,rate=1", TL_USAGE, "'rate=1'; settings are crop, compat, resample");
    refused("clap:" MODEL ",compat=google", TL_USAGE, "not for clap");
    refused("clap:" FIXTURES "clap_score_fused,crop=fadtk", TL_USAGE, "unfused");
    refused("clap:" FIXTURES "clip_score", TL_BAD_INPUT, "ClapModel");
    struct tl_encoder *e = open_as("clap:" MODEL, TL_F32);
    make_sound(&sounds[1], 800, &sound);
    sound.samples[400] = INFINITY;
    assert_false(
        tl_encoder_prepare(e, &(struct tl_encoder_item){.name = "a.wav", .sound = &sound}, &w, &err));
    if (err.code != TL_BAD_INPUT || !strstr(err.text, "a.wav: at 0.05 s"))
        fail_msg("%d, %s", err.code, err.text);
    sound.frames = 0;
    err = (struct tl_err){0};
    assert_false(
        tl_encoder_prepare(e, &(struct tl_encoder_item){.name = "a.wav", .sound = &sound}, &w, &err));
    if (err.code != TL_BAD_INPUT || !strstr(err.text, "a.wav")) fail_msg("%d, %s", err.code, err.text);
    tl_sound_finish(&sound);
    tl_encoder_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crops),    cmocka_unit_test(test_half_rows), cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_channels), cmocka_unit_test(test_rates),     cmocka_unit_test(test_company),
        cmocka_unit_test(test_threads),  cmocka_unit_test(test_bin),       cmocka_unit_test(test_folder),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_settings),  cmocka_unit_test(test_loud),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
