/* inception, vggish and panns from a file to numbers: pictures and sounds written as PNG and WAV, against
 * PyTorch behind numpy's front ends (fixture fad_nets). A row is the same whatever its company. */
#include "support/check.h"

#include <unistd.h>

#include "base/half.h"
#include "encoders/encoder.h"
#include "encoders/inception_pixels.h"
#include "encoders/support_synth.h"
#include "io/safetensors.h"
#include "models/inception.h"

#define FIXTURE TL_SOURCE_DIR "/tests/fixtures/fad_nets/"

static struct tl_device *device;
static struct tl_st_file *io;
static char folder[] = "/tmp/tiller-fad-encoders-XXXXXX";

static int start(void **state)
{
    struct tl_err err = {0};
    (void)state;
    device = tl_device_open(&(struct tl_device_params){.name = "cpu"}, &err);
    io = tl_st_open(FIXTURE "io.safetensors", &err);
    return device && io && mkdtemp(folder) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    tl_st_close(&io);
    tl_device_close(&device);
    return rmdir(folder);
}

static struct tl_encoder *open_encoder(const char *spec)
{
    struct tl_err err = {0};
    struct tl_encoder_env env = {.device = device, .dtype = TL_F32};
    struct tl_encoder *e = tl_encoder_open(&env, spec, &err);
    if (!e) fail_msg("%s: %s", spec, err.text);
    return e;
}

static float *expected(const char *name, size_t *out_n)
{
    struct tl_err err = {0};
    const struct tl_st_tensor *t = tl_st_find(io, name);
    if (!t) fail_msg("the fixture has no %s", name);
    float *x = malloc(t->n * sizeof *x);
    check_ok(tl_st_to_f32(t, x, &err), &err);
    *out_n = t->n;
    return x;
}

/* ---- pictures ---- */

static const int pictures[][3] = {{40, 30, 1}, {451, 333, 3}, {299, 299, 2}, {3, 500, 5}};
enum { N_PICTURES = 4 };

/* Through a PNG. */
static void load_picture(int i, struct tl_image *out)
{
    struct tl_err err = {0};
    struct tl_image made = {0};
    char path[sizeof folder + 16];
    snprintf(path, sizeof path, "%s/a.png", folder);
    synth_picture(pictures[i][0], pictures[i][1], pictures[i][2], &made);
    check_ok(tl_image_save_png(path, &made, NULL, 0, &err) && tl_image_load(path, out, &err), &err);
    tl_image_finish(&made);
    unlink(path);
}

/* Every 23rd row and 19th column, as the fixture keeps them. torch interpolates in another order of
 * additions; Pillow 13 takes the columns first for some sizes (3x500 here): its floats are met where it does
 * not, else to the last bit. TensorFlow's are met. */
static void test_resize(void **state)
{
    static const struct {
        enum tl_inception_resize how;
        const char *name;
        float most;
    } ways[] = {
        {TL_INCEPTION_FID, "fid", 5e-7f}, {TL_INCEPTION_CLEAN, "clean", 1.5e-7f}, {TL_INCEPTION_TF, "tf", 0}};
    struct tl_err err = {0};
    (void)state;
    size_t side = TL_INCEPTION_SIDE;
    float *ours = malloc(side * side * 3 * sizeof *ours);
    for (size_t w = 0; w < 3; w++) {
        for (int i = 0; i < N_PICTURES; i++) {
            struct tl_image image = {0};
            char name[32];
            size_t n, k = 0;
            float most = 0;
            snprintf(name, sizeof name, "resize.%s.%d", ways[w].name, i);
            float *theirs = expected(name, &n);
            load_picture(i, &image);
            check_ok(tl_inception_pixels(&image, ways[w].how, ours, &err), &err);
            for (size_t y = 0; y < side; y += 23)
                for (size_t x = 0; x < side; x += 19)
                    for (size_t c = 0; c < 3; c++) {
                        float d = fabsf(ours[(y * side + x) * 3 + c] - theirs[k++]);
                        if (d > most) most = d;
                    }
            assert_int_equal(k, n);
            printf("%s: largest difference %.2g\n", name, (double)most);
            if (!(most <= ways[w].most)) fail_msg("%s is off by %g", name, (double)most);
            free(theirs);
            tl_image_finish(&image);
        }
    }
    free(ours);
}

/* The rows of some pictures in one run. */
static void embed_pictures(struct tl_encoder *e, const int *which, size_t n, float *out)
{
    struct tl_err err = {0};
    size_t floats = 0;
    float *all = NULL;
    for (size_t i = 0; i < n; i++) {
        struct tl_image image = {0};
        struct tl_encoder_windows w;
        load_picture(which[i], &image);
        check_ok(tl_encoder_prepare(e, &(struct tl_encoder_item){.name = "a.png", .image = &image}, &w, &err),
                 &err);
        assert_int_equal(w.n, 1);
        floats = w.floats;
        all = realloc(all, n * floats * sizeof *all);
        memcpy(all + i * floats, w.x, floats * sizeof *all);
        tl_encoder_windows_finish(&w);
        tl_image_finish(&image);
    }
    check_ok(tl_encoder_run(e, all, n, floats, out, &err), &err);
    free(all);
}

/* The fixture has the widths of all blocks of a picture after one another. */
static void check_inception(const char *settings, const char *way, size_t first, size_t dim)
{
    static const int order[] = {0, 1, 2, 3}, turned[] = {3, 1, 0, 2, 1}, alone[] = {1};
    char spec[512], name[32];
    snprintf(spec, sizeof spec, "inception:" FIXTURE "inception.safetensors%s", settings);
    struct tl_encoder *e = open_encoder(spec);
    const struct tl_encoder_about *about = tl_encoder_about(e);
    assert_int_equal(about->dim, dim);
    float *rows = malloc(4 * dim * sizeof *rows), *others = malloc(5 * dim * sizeof *rows);
    embed_pictures(e, order, 4, rows);
    for (int i = 0; i < N_PICTURES; i++) {
        size_t n;
        snprintf(name, sizeof name, "picture.%s.%d", way, i);
        float *theirs = expected(name, &n);
        double error = check_rel_l2(rows + (size_t)i * dim, theirs + first, dim);
        printf("%s%s: %.1e\n", name, settings, error);
        if (!(error < 1e-4)) fail_msg("%s: relative error %.3g", name, error);
        free(theirs);
    }
    embed_pictures(e, turned, 5, others);
    for (size_t i = 0; i < 5; i++)
        assert_memory_equal(others + i * dim, rows + (size_t)turned[i] * dim, dim * sizeof *rows);
    embed_pictures(e, alone, 1, others);
    assert_memory_equal(others, rows + dim, dim * sizeof *rows);
    free(rows);
    free(others);
    tl_encoder_close(&e);
}

static void test_inception(void **state)
{
    (void)state;
    check_inception("", "fid", 64, 128);
    check_inception(",resize=clean,dims=2048", "clean", 64, 128);
    check_inception(",dims=768,resize=tf", "tf", 16, 48);
    check_inception(",dims=64", "fid", 0, 4);
    check_inception(",dims=192", "fid", 4, 12);
}

/* ---- sounds ---- */

/* Through a WAV file. */
static void load_sound(int rate, size_t frames, int channels, int seed, struct tl_sound *out)
{
    struct tl_err err = {0};
    struct tl_sound made = {0};
    char path[sizeof folder + 16];
    snprintf(path, sizeof path, "%s/a.wav", folder);
    synth_sound(rate, frames, channels, seed, &made);
    check_ok(tl_sound_save(path, &made, TL_SOUND_WAV_16, &err) && tl_sound_load(path, out, &err), &err);
    tl_sound_finish(&made);
    unlink(path);
}

struct sound_case {
    const char *spec, *name; /* of the fixture */
    int rate;
    size_t frames;
    int channels, seed;
    double most;  /* relative error */
    bool is_half; /* float16 rounds by up to 2^-11 */
};

/* Embeds windows [from, from + n) of the file in one run. */
static void embed_sound(struct tl_encoder *e, const struct sound_case *c, size_t from, size_t n, float *out,
                        size_t *out_all)
{
    struct tl_err err = {0};
    struct tl_sound sound = {0};
    struct tl_encoder_windows w;
    load_sound(c->rate, c->frames, c->channels, c->seed, &sound);
    check_ok(tl_encoder_prepare(e, &(struct tl_encoder_item){.name = "a.wav", .sound = &sound}, &w, &err),
             &err);
    *out_all = w.n;
    if (n == 0 || n > w.n) n = w.n;
    check_ok(tl_encoder_run(e, w.x + from * w.floats, n, w.floats, out, &err), &err);
    tl_encoder_windows_finish(&w);
    tl_sound_finish(&sound);
}

static void check_sound(const struct sound_case *c)
{
    struct tl_encoder *e = open_encoder(c->spec);
    size_t n, all, dim = tl_encoder_about(e)->dim;
    float *theirs = expected(c->name, &n), *rows = malloc(n * sizeof *rows), *row = malloc(n * sizeof *row);
    embed_sound(e, c, 0, 0, rows, &all);
    assert_int_equal(all * dim, n);
    double error = check_rel_l2(rows, theirs, n);
    printf("%s: %.1e (%s)\n", c->name, error, tl_encoder_about(e)->settings);
    if (!(error <= c->most)) fail_msg("%s: relative error %.3g", c->name, error);
    for (size_t i = 0; c->is_half && i < n; i++)
        assert_true(tl_f16_to_f32(tl_f32_to_f16(rows[i])) == rows[i]);
    embed_sound(e, c, all - 1, 1, row, &all);
    assert_memory_equal(row, rows + (all - 1) * dim, dim * sizeof *row);
    free(theirs);
    free(rows);
    free(row);
    tl_encoder_close(&e);
}

#define VGGISH "vggish:" FIXTURE "vggish.safetensors"
#define PANNS  "panns:" FIXTURE "cnn14.safetensors"

static void test_vggish(void **state)
{
    static const struct sound_case cases[] = {
        {VGGISH, "sound.vggish", 16000, 36800, 2, 0, 1e-5, false},
        {VGGISH ",compat=gudgud96", "sound.vggish", 16000, 36800, 2, 0, 1e-5, false},
        {VGGISH, "sound.vggish_short", 16000, 5000, 1, 4, 1e-5, false},
        {VGGISH ",compat=fadtk", "sound.vggish_fadtk", 22050, 44100, 2, 1, 5e-4, true},
        {VGGISH ",compat=google", "sound.vggish_google", 16000, 36800, 2, 0, 1e-5, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_sound(&cases[i]);
}

static void test_panns(void **state)
{
    static const struct sound_case cases[] = {
        {PANNS, "sound.panns.0", 32000, 35200, 2, 2, 1e-4, false},
        {PANNS ",compat=gudgud96,rate=32000", "sound.panns.1", 32000, 11111, 2, 3, 1e-4, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_sound(&cases[i]);
}

/* More lengths than plans are kept, in and out of turn: every one as if it were the first. */
static void test_panns_lengths(void **state)
{
    static const size_t frames[] = {40, 50, 40, 60, 70, 80, 90, 40, 70, 50, 33};
    struct tl_err err = {0};
    (void)state;
    struct tl_encoder *e = open_encoder(PANNS);
    size_t dim = tl_encoder_about(e)->dim;
    float x[90 * 64], a[64], b[64];
    for (size_t i = 0; i < 90 * 64; i++) x[i] = (float)(i * 7919 % 80) - 60.0f;
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        struct tl_encoder *fresh = open_encoder(PANNS);
        check_ok(tl_encoder_run(e, x, 1, frames[i] * 64, a, &err), &err);
        check_ok(tl_encoder_run(fresh, x, 1, frames[i] * 64, b, &err), &err);
        assert_memory_equal(a, b, dim * sizeof *a);
        tl_encoder_close(&fresh);
    }
    assert_false(tl_encoder_run(e, x, 1, 31 * 64, a, &err));
    tl_encoder_close(&e);
}

/* ---- refusals ---- */

static void check_open_fails(const char *spec, enum tl_code code, const char *part)
{
    struct tl_err err = {0};
    struct tl_encoder_env env = {.device = device, .dtype = TL_F32};
    struct tl_encoder *e = tl_encoder_open(&env, spec, &err);
    if (e) fail_msg("%s opens", spec);
    if (err.code != code || !strstr(err.text, part)) fail_msg("%s: '%s' says not '%s'", spec, err.text, part);
}

static void test_refusals(void **state)
{
    (void)state;
    check_open_fails("inception", TL_USAGE, "needs its weights");
    check_open_fails("inception:" FIXTURE "inception.safetensors,resize=big", TL_USAGE,
                     "fid, clean, tf, torchmetrics and none");
    check_open_fails("inception:" FIXTURE "inception.safetensors,dims=128", TL_USAGE,
                     "64, 192, 768 and 2048");
    check_open_fails("inception:" FIXTURE "vggish.safetensors", TL_BAD_INPUT, "not a file of pytorch-fid");
    check_open_fails(VGGISH ",compat=fad", TL_USAGE, "gudgud96");
    check_open_fails(VGGISH ",relu=1", TL_USAGE, "yes and no");
    check_open_fails("vggish:" FIXTURE "cnn14.safetensors", TL_BAD_INPUT, "not a file of VGGish");
    check_open_fails(PANNS ",rate=16000", TL_USAGE, "the weights are for 32000 Hz");
    check_open_fails(PANNS ",rate=44100", TL_USAGE, "32000, 16000 and 8000");
    check_open_fails(PANNS ",compat=google", TL_USAGE, "not for panns");
    check_open_fails("panns:" FIXTURE "inception.safetensors", TL_BAD_INPUT, "Cnn14");
}

static void check_item_fails(const char *spec, size_t frames, int side, const char *part)
{
    struct tl_err err = {0};
    struct tl_sound sound = {0};
    struct tl_image image = {0};
    struct tl_encoder_windows w;
    struct tl_encoder *e = open_encoder(spec);
    if (frames) synth_sound(16000, frames, 1, 0, &sound);
    synth_picture(side, side, 1, &image);
    struct tl_encoder_item item = {.name = "short.wav", .sound = &sound, .image = &image};
    assert_false(tl_encoder_prepare(e, &item, &w, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    if (!strstr(err.text, part) || !strstr(err.text, "short.wav"))
        fail_msg("'%s' says not '%s'", err.text, part);
    assert_null(w.x);
    tl_image_finish(&image);
    tl_sound_finish(&sound);
    tl_encoder_close(&e);
}

static void test_bad_items(void **state)
{
    (void)state;
    check_item_fails(VGGISH ",compat=gudgud96", 15599, 1, "too short");
    check_item_fails(VGGISH ",compat=google", 15999, 1, "less than a second");
    check_item_fails(PANNS, 4000, 1, "too short");
    check_item_fails("inception:" FIXTURE "inception.safetensors,resize=none", 1, 298, "298x298");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_resize),        cmocka_unit_test(test_inception),
                                       cmocka_unit_test(test_vggish),        cmocka_unit_test(test_panns),
                                       cmocka_unit_test(test_panns_lengths), cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_bad_items)};
    return cmocka_run_group_tests(tests, start, stop);
}
