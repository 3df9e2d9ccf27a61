/* What training makes of a data folder: pictures that cannot be read, sizes that do not fit, captions and
 * what stands beside them. */
#include "support/check.h"
#include "support_folder.h"
#include "support_train.h"

#include "io/file.h"
#include "io/image.h"
#include "run/caption_extras.h"

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char *place;

static void write_picture(const char *path, int width, int height, uint8_t value)
{
    struct tl_err err = {0};
    struct tl_image image = {0};
    check_ok(tl_image_init(&image, width, height, 3, &err), &err);
    for (int i = 0; i < width * height * 3; i++) image.px[i] = (uint8_t)(i % 3 == 0 ? value : i);
    check_ok(tl_image_save_png(path, &image, NULL, 0, &err), &err);
    tl_image_finish(&image);
}

static void make_folder(const char *name)
{
    struct tl_err err = {0};
    check_ok(tl_file_make_folder(support_path(place, "%s", name), &err), &err);
}

static int setup(void **state)
{
    if (support_folder_make(state)) return -1;
    place = *state;
    make_folder("data");
    for (int i = 0; i < 6; i++)
        write_picture(support_path(place, "data/%d.png", i), 16, 16, (uint8_t)(40 * i));
    support_bare_pipeline(support_path(place, "bare"));
    support_clip_config(support_path(place, "clip.json"));
    return 0;
}

static struct support_train vae_run(const char *data, const char *name, const char *more)
{
    static char data_option[600], out[600];
    static const char *options[16];
    snprintf(data_option, sizeof data_option, "data=%s/%s", place, data);
    snprintf(out, sizeof out, "%s/%s", place, name);
    size_t n = 0;
    options[n++] = data_option;
    options[n++] = "model=" TL_SOURCE_DIR "/tests/fixtures/vae_sd/config.json";
    options[n++] = "steps=2";
    options[n++] = "batch=2";
    options[n++] = "size=16";
    if (more) options[n++] = more;
    options[n] = NULL;
    return (struct support_train){.method = "vae", .options = options, .out = out};
}

/* ---- unreadable pictures ---- */

static void test_corrupt(void **state)
{
    (void)state;
    make_folder("torn");
    for (int i = 0; i < 3; i++)
        write_picture(support_path(place, "torn/%d.png", i), 16, 16, (uint8_t)(50 * i));
    support_write(support_path(place, "torn/1.png"), "\x89PNG\r\n\x1a\n and no more");
    support_write(support_path(place, "torn/zzz.jpg"), "");
    support_log_start();
    struct support_train run = vae_run("torn", "torn-run", NULL);
    support_train_fails(&run, TL_PARTIAL, "2 of 4 pictures could not be used"); /* trained all the same */
    assert_true(support_exists(support_path(run.out, "model/config.json")));
    assert_non_null(strstr(support_log(), "skipped: "));
    assert_non_null(strstr(support_log(), "torn/1.png"));
    assert_non_null(strstr(support_log(), "torn/zzz.jpg"));
    run = vae_run("torn", "torn-strict", "strict=true");
    support_train_fails(&run, TL_BAD_INPUT, "torn/1.png");
    assert_false(support_exists(support_path(place, "torn-strict/config.json")));
    make_folder("nothing");
    support_write(support_path(place, "nothing/1.png"), "text");
    run = vae_run("nothing", "nothing-run", NULL);
    support_train_fails(&run, TL_BAD_INPUT, "none of 1 pictures");
    run = vae_run("no-such-folder", "no-run", NULL);
    support_train_fails(&run, TL_BAD_INPUT, "no-such-folder");
}

/* ---- sizes ---- */

static void test_fit(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_dataset d;
    make_folder("shapes");
    write_picture(support_path(place, "shapes/a.png"), 24, 12, 10);
    write_picture(support_path(place, "shapes/b.png"), 9, 31, 20);
    write_picture(support_path(place, "shapes/c.png"), 1, 1, 30);
    check_ok(tl_dataset_load(support_path(place, "shapes"), 16, 16, false, true, &d, &err), &err);
    assert_true(d.n == 3 && d.width == 16 && d.height == 16 && d.n_skipped == 0);
    for (int k = 0; k < 16 * 16 * 3; k += 3) assert_int_equal(d.px[2 * 16 * 16 * 3 + k], 30);
    float px[16 * 3];
    tl_dataset_pixels(&d, 2, 3, 0, 1, 16, px);
    check_near((double)px[0], 30 / 127.5 - 1, 1e-6);
    tl_dataset_finish(&d);
    /* 0: the first picture's size */
    check_ok(tl_dataset_load(support_path(place, "shapes"), 0, 0, false, true, &d, &err), &err);
    assert_true(d.width == 24 && d.height == 12);
    tl_dataset_finish(&d);
    /* a thread of a picture would need a billion pixels on the way */
    write_picture(support_path(place, "shapes/d.png"), 1, 20000, 40);
    assert_false(tl_dataset_load(support_path(place, "shapes"), 512, 512, false, true, &d, &err));
    assert_true(err.code == TL_BAD_INPUT && strstr(err.text, "d.png") && strstr(err.text, "1x20000"));
    tl_err_clear(&err);
    check_ok(tl_dataset_load(support_path(place, "shapes"), 512, 512, false, false, &d, &err), &err);
    assert_true(d.n == 3 && d.n_skipped == 1);
    tl_dataset_finish(&d);
}

static void test_crops(void **state)
{
    (void)state;
    struct support_train run = vae_run("data", "crop", "crop=8");
    support_train_ok(&run);
    run = vae_run("data", "crop-odd", "crop=7");
    support_train_fails(&run, TL_USAGE, "--crop 7: a multiple of 2 up to the pictures' 16x16");
    run = vae_run("data", "crop-large", "crop=18");
    support_train_fails(&run, TL_USAGE, "--crop 18");
    run = vae_run("data", "tiny", "size=1");
    support_train_fails(&run, TL_BAD_INPUT, "smaller than the VAE's step of 2");
}

/* Two batches of one see the crops and the noise of one batch of two. */
static void test_gathered(void **state)
{
    (void)state;
    double one[2], two[2];
    struct support_train run = vae_run("data", "together", "crop=8");
    support_train_ok(&run);
    assert_int_equal(support_column(run.out, "train", "loss", one, 2), 1);
    static const char *const more[] = {"crop=8", "batch=1", "accumulate=2"};
    static const char *options[16];
    run = vae_run("data", "apart", NULL);
    size_t n = 0;
    for (; run.options[n]; n++) options[n] = run.options[n];
    for (size_t i = 0; i < 3; i++) options[n++] = more[i];
    options[n] = NULL;
    run.options = options;
    support_train_ok(&run);
    assert_int_equal(support_column(run.out, "train", "loss", two, 2), 1);
    check_near(two[0], one[0], 1e-6 * one[0]);
}

/* ---- captions ---- */

static void test_captions(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_dataset d;
    assert_false(
        tl_dataset_load(support_path(place, "data"), 16, 16, true, false, &d, &err)); /* nobody has one */
    assert_int_equal(err.code, TL_BAD_INPUT);
    tl_err_clear(&err);
    support_write(support_path(place, "data/2.txt"), "a red circle\n");
    support_write(support_path(place, "data/3.txt"), "a blue square\n");
    check_ok(tl_dataset_load(support_path(place, "data"), 16, 16, true, false, &d, &err), &err);
    assert_true(d.n == 2 && d.n_skipped == 4);
    assert_string_equal(tl_dataset_caption(&d, 1), "a blue square");
    tl_dataset_finish(&d);
    char data[600], model[600], out[600];
    snprintf(data, sizeof data, "data=%s/data", place);
    snprintf(model, sizeof model, "model=%s/clip.json", place);
    snprintf(out, sizeof out, "%s/large-batch", place);
    struct support_train run = {
        .method = "contrastive", .options = OPTIONS(data, model, "batch=3"), .out = out};
    support_train_fails(&run, TL_USAGE, "a batch of 3 from 2 pictures");
    run.options = OPTIONS(data, model, "batch=2", "size=32");
    support_train_fails(&run, TL_USAGE, "--size 32: this encoder sees pictures of 16x16");
}

/* metadata.jsonl of two pictures with these members behind the caption. */
static bool extras_of(const char *first, const char *second, struct tl_caption_extras *x, struct tl_err *err)
{
    struct tl_dataset d;
    struct tl_str rows = {0};
    make_folder("extras");
    write_picture(support_path(place, "extras/a.png"), 4, 4, 1);
    write_picture(support_path(place, "extras/b.png"), 4, 4, 2);
    tl_str_printf(
        &rows,
        "{\"file_name\": \"a.png\", \"text\": \"one\"%s}\n{\"file_name\": \"b.png\", \"text\": \"two\"%s}\n",
        first, second);
    support_write(support_path(place, "extras/metadata.jsonl"), rows.data);
    tl_str_finish(&rows);
    check_ok(tl_dataset_load(support_path(place, "extras"), 4, 4, true, true, &d, err), err);
    bool ok = tl_caption_extras_read(&d, 4, x, err);
    tl_dataset_finish(&d);
    return ok;
}

static void refused(const char *first, const char *second, const char *says)
{
    struct tl_err err = {0};
    struct tl_caption_extras x;
    assert_false(extras_of(first, second, &x, &err));
    if (err.code != TL_BAD_INPUT || !strstr(err.text, says) || !strstr(err.text, ".png"))
        fail_msg("code %d: %s; expected %s", err.code, err.text, says);
}

static void test_extras(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_caption_extras x;
    check_ok(extras_of("", "", &x, &err), &err);
    assert_true(x.n_negatives == 0 && x.n_channels == 0);
    tl_caption_extras_finish(&x);
    check_ok(extras_of(", \"negatives\": [\"three\", \"four\"], \"patch_labels\": [\"0120\", \"0001\"]",
                       ", \"patch_labels\": [\"0003\", \"0000\"]", &x, &err),
             &err);
    assert_true(x.n_negatives == 2 && x.first_negative[1] == 2 && x.first_negative[2] == 2);
    assert_string_equal(x.negatives[1], "four");
    assert_true(x.n_channels == 2 && x.n_classes[0] == 4 && x.n_classes[1] == 2);
    assert_int_equal(x.labels[(1 * 2 + 0) * 4 + 3], 3);
    tl_caption_extras_finish(&x);
    /* one without labels has none, whichever comes first */
    check_ok(extras_of("", ", \"patch_labels\": [\"0002\"]", &x, &err), &err);
    assert_true(x.n_channels == 1 && x.n_classes[0] == 3 && !tl_caption_extras_labels(&x, 0, 0));
    assert_int_equal(tl_caption_extras_labels(&x, 1, 0)[3], 2);
    tl_caption_extras_finish(&x);
    check_ok(extras_of(", \"patch_labels\": [\"0002\"]", "", &x, &err), &err);
    assert_true(tl_caption_extras_labels(&x, 0, 0) && !tl_caption_extras_labels(&x, 1, 0));
    tl_caption_extras_finish(&x);
    refused(", \"patch_labels\": [\"0000\"]", ", \"patch_labels\": [\"0000\", \"0000\"]",
            "2 rows of patch_labels, the first picture that has some has 1");
    refused(", \"patch_labels\": [\"00\"]", "", "strings of 4 digits");
    refused(", \"patch_labels\": [\"00x0\"]", "", "'x' is no digit");
    refused(", \"patch_labels\": [7]", "", "strings of 4 digits");
    refused(", \"patch_labels\": [\"0000\", \"0000\", \"0000\", \"0000\", \"0000\"]", "", "at most 4");
}

/* ---- models that do not fit ---- */

static void test_models(void **state)
{
    (void)state;
    char data[600], bare[600], clip[600], out[600], no_text[600];
    snprintf(data, sizeof data, "data=%s/data", place);
    snprintf(bare, sizeof bare, "model=%s/bare", place);
    snprintf(clip, sizeof clip, "model=%s/clip.json", place);
    snprintf(no_text, sizeof no_text, "model=%s/no_text.json", place);
    snprintf(out, sizeof out, "%s/misfit", place);
    support_write(support_path(place, "no_text.json"),
                  "{\"architectures\": [\"CLIPModel\"], \"model_type\": \"clip\"}\n");
    const struct {
        const char *method, *model;
        enum tl_code code;
        const char *says;
    } rows[] = {
        {"vae", clip, TL_BAD_INPUT, "CLIPModel"},
        {"vae", "model=nowhere.json", TL_BAD_INPUT, "nowhere.json"},
        {"vae", bare, TL_BAD_INPUT, "config.json"},
        {"vae", NULL, TL_USAGE, "--model"},
        {"contrastive", "model=" TL_SOURCE_DIR "/tests/fixtures/vae_sd/config.json", TL_BAD_INPUT,
         "text_config"},
        {"contrastive", no_text, TL_BAD_INPUT, "no_text.json"},
        {"contrastive", "model=" TL_SOURCE_DIR "/tests/fixtures/clip_model", TL_BAD_INPUT,
         "vocab"}, /* no tokenizer beside it */
        {"contrastive", NULL, TL_USAGE, "--model"},
        {"sft", "model=" TL_SOURCE_DIR "/tests/fixtures/vae_sd", TL_BAD_INPUT, "vae_sd"},
        {"sft", "model=" TL_SOURCE_DIR "/tests/fixtures/pipeline_xl", TL_BAD_INPUT, ""},
        {"sft", NULL, TL_USAGE, "--model"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct support_train run = {
            .method = rows[i].method, .options = OPTIONS(data, rows[i].model), .out = out};
        support_train_fails(&run, rows[i].code, rows[i].says);
        assert_false(support_exists(support_path(out, "config.json")));
    }
    struct support_train run = {.method = "sft", .options = OPTIONS(bare), .out = out};
    support_train_fails(&run, TL_USAGE, "--data");
}

/* From a config the vocabulary is learnt from what can be used, too; and the folder's faults are not the
 * config's. */
static void test_vocabulary(void **state)
{
    (void)state;
    char data[600], clip[600], out[600];
    make_folder("latin");
    for (int i = 0; i < 4; i++) {
        write_picture(support_path(place, "latin/%d.png", i), 16, 16, (uint8_t)(50 * i));
        support_write(support_path(place, "latin/%d.txt", i), i == 1 ? "caf\xe9" : "a red circle");
    }
    support_write(support_path(place, "latin/metadata.jsonl"), "{\"file_name\": \"gone.png\"}\n");
    snprintf(data, sizeof data, "data=%s/latin", place);
    snprintf(clip, sizeof clip, "model=%s/clip.json", place);
    snprintf(out, sizeof out, "%s/latin-run", place);
    struct support_train run = {
        .method = "contrastive", .options = OPTIONS(data, clip, "batch=2", "steps=1"), .out = out};
    support_train_fails(&run, TL_PARTIAL, "trained, but 1 of 4 pictures could not be used, and 1 row");
    support_write(support_path(place, "latin/metadata.jsonl"), "{\"file_name\": \n");
    snprintf(out, sizeof out, "%s/latin-broken", place);
    support_train_fails(&run, TL_BAD_INPUT, "latin/metadata.jsonl");
    struct tl_err err = {0};
    support_train(&run, &err);
    assert_null(strstr(err.text, "clip.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_corrupt),  cmocka_unit_test(test_fit),
                                       cmocka_unit_test(test_crops),    cmocka_unit_test(test_gathered),
                                       cmocka_unit_test(test_captions), cmocka_unit_test(test_extras),
                                       cmocka_unit_test(test_models),   cmocka_unit_test(test_vocabulary)};
    return cmocka_run_group_tests(tests, setup, support_folder_remove);
}
