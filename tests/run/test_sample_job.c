/* The `sample` job on the small pipeline of tests/fixtures: the pictures that diffusers made of the same
 * noise, numbering, what the files say about themselves, and what is refused. */
#include "support/check.h"

#include <ftw.h>
#include <unistd.h>

#include <tiller/interrupt.h>
#include <tiller/merge.h>
#include <tiller/sample.h>

#include "io/file.h"
#include "io/image.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "sample/scheduler.h"

#define PIPELINE TL_SOURCE_DIR "/tests/fixtures/pipeline_sd1"
#define PROMPT   "a red circle above a blue square"
#define NEGATIVE "a photo of a yellow cat"

static char folder[] = "/tmp/tiller-sample-XXXXXX";
static struct tl_job job = {.device = "cpu", .threads = 2, .seed = 7, .command = "tiller sample"};

static char *in_folder(const char *name)
{
    static char path[8][256];
    static int turn;
    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static const char *const one_prompt[] = {PROMPT};

/* The fixture's settings. */
static struct tl_sample_params settings(const char *out)
{
    return (struct tl_sample_params){.model = PIPELINE,
                                     .prompt = {one_prompt, 1},
                                     .n = 2,
                                     .negative_prompt = NEGATIVE,
                                     .steps = 4,
                                     .guidance = 5,
                                     .out = out};
}

static void sample_ok(const struct tl_sample_params *p)
{
    struct tl_err err = {0};
    bool whole;
    char *report = tl_sample(p, &job, &whole, &err);
    if (!report) fail_msg("%s", err.text);
    assert_true(whole);
    free(report);
}

static void sample_fails(const struct tl_sample_params *p, enum tl_code code, const char *says)
{
    struct tl_err err = {0};
    bool whole;
    assert_null(tl_sample(p, &job, &whole, &err));
    if (err.code != code || !strstr(err.text, says))
        fail_msg("code %d, '%s'; expected %d, '%s'", err.code, err.text, code, says);
}

static struct tl_image picture(const char *name)
{
    struct tl_err err = {0};
    struct tl_image image;
    check_ok(tl_image_load(in_folder(name), &image, &err), &err);
    return image;
}

/* The fixture's noise in a file of its own. */
static char *noise_file(size_t n)
{
    struct tl_err err = {0};
    struct tl_st_file *io = tl_st_open(PIPELINE "/io.safetensors", &err);
    if (!io) fail_msg("%s", err.text);
    const struct tl_st_tensor *t = tl_st_find(io, "latents");
    struct tl_st_item item = {
        .name = "anything", .dtype = TL_ST_F32, .rank = 4, .shape = {n, 4, 8, 8}, .data = t->data};
    check_ok(tl_st_write(in_folder("noise.safetensors"), &item, 1, NULL, &err), &err);
    tl_st_close(&io);
    return in_folder("noise.safetensors");
}

static void test_pictures_are_those_of_diffusers(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_sample_params p = settings(in_folder("a"));
    p.init_latents = noise_file(2);
    p.save_latents = in_folder("latents.safetensors");
    p.grid = in_folder("grid.png");
    sample_ok(&p);
    struct tl_st_file *io = tl_st_open(PIPELINE "/io.safetensors", &err),
                      *ours = tl_st_open(p.save_latents, &err);
    if (!io || !ours) fail_msg("%s", err.text);
    float a[512], b[512];
    assert_int_equal(tl_st_count(ours), 1);
    assert_true(tl_st_has_shape(tl_st_at(ours, 0), 4, 2, 4, 8, 8));
    check_ok(tl_st_to_f32(tl_st_at(ours, 0), a, &err) && tl_st_to_f32(tl_st_find(io, "out.latents"), b, &err),
             &err);
    assert_true(check_rel_l2(a, b, 512) < 1e-4);
    const uint8_t *want = tl_st_find(io, "out.image_u8")->data;
    for (size_t i = 0; i < 2; i++) {
        struct tl_image image = picture(i ? "a/00001.png" : "a/00000.png");
        assert_int_equal(image.width, 16);
        for (size_t k = 0; k < 768; k++) assert_true(abs((int)image.px[k] - (int)want[i * 768 + k]) <= 1);
        tl_image_finish(&image);
    }
    struct tl_image grid = picture("grid.png");
    assert_true(grid.width >= 2 * 192);
    tl_image_finish(&grid);
    tl_st_close(&io);
    tl_st_close(&ours);
}

static void test_what_files_say(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_arena arena = {0};
    struct tl_png_text *texts;
    size_t n;
    struct tl_sample_params p = settings(in_folder("b"));
    static const char rows[] = "{\"prompt\": \"a cat, \\\"red\\\"\", \"kind\": {\"x\": 1}, \"seed\": "
                               "99}\n{\"text\": \"two\\nlines\"}\n";
    check_ok(tl_file_write(in_folder("prompts.jsonl"), rows, sizeof rows - 1, &err), &err);
    p.prompts = in_folder("prompts.jsonl");
    p.n = 1;
    sample_ok(&p); /* one from the option, two from the file */
    check_ok(tl_image_png_texts(in_folder("b/00001.png"), &arena, &texts, &n, &err), &err);
    assert_int_equal(n, 2);
    assert_string_equal(texts[0].key, "parameters");
    assert_string_equal(texts[0].value, "a cat, \"red\"\nNegative prompt: " NEGATIVE
                                        "\nSteps: 4, Sampler: DDIM, CFG scale: 5, Seed: 7, Size: 16x16, "
                                        "Model: pipeline_sd1, Eta: 0, Picture: 1, Version: tiller 0.1.0");
    assert_string_equal(texts[1].key, "tiller");
    cJSON *own = tl_json_parse(texts[1].value, strlen(texts[1].value), "chunk", &err);
    assert_non_null(own);
    assert_string_equal(tl_json_get(own, "prompt")->valuestring, "a cat, \"red\"");
    assert_int_equal(tl_json_get(own, "number")->valueint, 1);
    cJSON_Delete(own);
    uint8_t *metadata = tl_file_read(in_folder("b/metadata.jsonl"), 1 << 20, &n, &err);
    assert_non_null(metadata);
    assert_string_equal((char *)metadata,
                        "{\"file_name\":\"00000.png\",\"prompt\":\"" PROMPT "\",\"seed\":7,\"number\":0}\n"
                        "{\"file_name\":\"00001.png\",\"prompt\":\"a cat, "
                        "\\\"red\\\"\",\"seed\":7,\"number\":1,\"kind\":{\"x\":1}}\n"
                        "{\"file_name\":\"00002.png\",\"prompt\":\"two\\nlines\",\"seed\":7,\"number\":2}\n");
    free(metadata);
    tl_arena_finish(&arena);
}

/* Other programs' names, and eta where it means something. */
static void test_sampler_names(void **state)
{
    (void)state;
    static const struct {
        const char *sampler, *says;
        int sigmas;
    } rows[] = {
        {"euler", "Sampler: Euler, ", TL_SIGMAS_OWN},
        {"euler", "Sampler: Euler Karras, ", TL_SIGMAS_KARRAS},
        {"euler_a", "Sampler: Euler a, ", TL_SIGMAS_PLAIN},
        {"dpmpp2m", "Sampler: DPM++ 2M Karras, ", TL_SIGMAS_KARRAS},
        {"dpmpp2m_sde", "Sampler: DPM++ 2M SDE, ", TL_SIGMAS_OWN},
        {"ddpm", "Sampler: DDPM, ", TL_SIGMAS_PLAIN},
    };
    struct tl_sample_params p = settings(in_folder("names"));
    p.n = 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        struct tl_arena arena = {0};
        struct tl_png_text *texts;
        size_t n;
        p.sampler = rows[i].sampler;
        p.sigmas = rows[i].sigmas;
        sample_ok(&p);
        check_ok(tl_image_png_texts(in_folder("names/00000.png"), &arena, &texts, &n, &err), &err);
        if (!strstr(texts[0].value, rows[i].says)) fail_msg("%s in %s", rows[i].says, texts[0].value);
        assert_null(strstr(texts[0].value, "Eta"));
        assert_null(strstr(texts[1].value, "\"eta\""));
        assert_int_equal(strstr(texts[1].value, "\"sigmas\":\"karras\"") != NULL,
                         rows[i].sigmas == TL_SIGMAS_KARRAS);
        tl_arena_finish(&arena);
    }
    p.sampler = "euler_a";
    p.sigmas = TL_SIGMAS_KARRAS;
    sample_fails(&p, TL_USAGE, "euler_a has no karras sigmas");
}

/* Picture 3 of a run, and alone; the same seed twice gives the same bytes, another seed another picture. */
static void test_one_picture_alone(void **state)
{
    (void)state;
    struct tl_sample_params p = settings(in_folder("c"));
    p.n = 5;
    p.eta = 1;
    p.batch = 2;
    sample_ok(&p);
    struct tl_image in_run = picture("c/00003.png"), other = picture("c/00002.png");
    p.out = in_folder("d");
    p.n = 1;
    p.first = 3;
    p.batch = 0;
    sample_ok(&p);
    struct tl_image alone = picture("d/00003.png");
    int worst = 0, differ = 0;
    for (size_t i = 0; i < 768; i++) {
        int d = abs((int)in_run.px[i] - (int)alone.px[i]);
        if (d > worst) worst = d;
        differ += in_run.px[i] != other.px[i];
    }
    assert_true(worst <= 1);
    assert_true(differ > 300);
    job.seed = 8;
    sample_ok(&p);
    job.seed = 7;
    struct tl_image elsewhere = picture("d/00003.png");
    assert_memory_not_equal(elsewhere.px, alone.px, 768);
    tl_image_finish(&in_run);
    tl_image_finish(&other);
    tl_image_finish(&alone);
    tl_image_finish(&elsewhere);
}

static void test_lora_and_its_scale(void **state)
{
    (void)state;
    static const char *const full[] = {TL_SOURCE_DIR "/tests/fixtures/lora_sd1/kohya.safetensors"};
    static const char *const none[] = {TL_SOURCE_DIR "/tests/fixtures/lora_sd1/kohya.safetensors@0"};
    static const char *const there_and_back[] = {
        TL_SOURCE_DIR "/tests/fixtures/lora_sd1/kohya.safetensors@0.5",
        TL_SOURCE_DIR "/tests/fixtures/lora_sd1/pytorch_lora_weights.safetensors@0.5"};
    struct tl_sample_params p = settings(in_folder("e"));
    p.n = 1;
    sample_ok(&p);
    struct tl_image plain = picture("e/00000.png");
    p.lora = (struct tl_strings){none, 1};
    sample_ok(&p);
    struct tl_image zero = picture("e/00000.png");
    assert_memory_equal(plain.px, zero.px, 768);
    p.lora = (struct tl_strings){full, 1};
    sample_ok(&p);
    struct tl_image adapted = picture("e/00000.png");
    assert_memory_not_equal(plain.px, adapted.px, 768);
    p.lora = (struct tl_strings){there_and_back, 2};
    sample_ok(&p);
    struct tl_image halves = picture("e/00000.png");
    for (size_t i = 0; i < 768; i++) assert_true(abs((int)halves.px[i] - (int)adapted.px[i]) <= 1);
    tl_image_finish(&plain);
    tl_image_finish(&zero);
    tl_image_finish(&adapted);
    tl_image_finish(&halves);
}

static void test_size(void **state)
{
    (void)state;
    struct tl_sample_params p = settings(in_folder("f"));
    p.n = 1;
    p.size = "24x12";
    p.sampler = "ddpm";
    sample_ok(&p);
    struct tl_image image = picture("f/00000.png");
    assert_int_equal(image.width, 24);
    assert_int_equal(image.height, 12);
    tl_image_finish(&image);
}

static void test_refusals(void **state)
{
    (void)state;
    struct tl_err err = {0};
    static const char *const no_file[] = {"/nowhere/x.safetensors@0.5"};
    struct tl_sample_params p = settings(in_folder("g")), q;
    q = p, q.model = NULL;
    sample_fails(&q, TL_USAGE, "--model");
    q = p, q.out = NULL;
    sample_fails(&q, TL_USAGE, "-o");
    q = p, q.prompt.n = 0;
    sample_fails(&q, TL_USAGE, "--prompt");
    q = p, q.sampler = "dddim";
    sample_fails(&q, TL_USAGE, "did you mean ddim");
    q = p, q.size = "16";
    sample_fails(&q, TL_USAGE, "WIDTHxHEIGHT");
    q = p, q.size = "15x16";
    sample_fails(&q, TL_USAGE, "multiples of 2");
    q = p, q.steps = 1001;
    sample_fails(&q, TL_USAGE, "1000");
    q = p, q.model = "/nowhere";
    sample_fails(&q, TL_BAD_INPUT, "/nowhere");
    q = p, q.lora = (struct tl_strings){no_file, 1};
    sample_fails(&q, TL_BAD_INPUT, "/nowhere/x.safetensors");
    q = p, q.init_latents = noise_file(1);
    sample_fails(&q, TL_BAD_INPUT, "of 1 pictures, the run has 2");
    q = p, q.init_latents = noise_file(2), q.size = "32x32";
    sample_fails(&q, TL_BAD_INPUT, "[4,8,8]");
    check_ok(tl_file_write(in_folder("empty.txt"), "\n# nothing\n", 11, &err), &err);
    q = p, q.prompts = in_folder("empty.txt");
    sample_fails(&q, TL_BAD_INPUT, "empty.txt");
    assert_false(tl_file_exists(p.out)); /* nothing was begun */
    check_ok(tl_file_write(in_folder("a-file"), "x", 1, &err), &err);
    q = p, q.out = in_folder("a-file");
    sample_fails(&q, TL_OUTPUT, "a-file");
}

static void stop_after_two(void *user, const struct tl_progress *progress)
{
    (void)user;
    if (progress->done >= 2 * 4) tl_interrupt_request();
}

/* Ctrl-C: finished pictures and their metadata stay. */
static void test_interrupt(void **state)
{
    (void)state;
    struct tl_sample_params p = settings(in_folder("h"));
    struct tl_job stopped = job;
    bool whole;
    struct tl_err err = {0};
    p.n = 100;
    p.batch = 2;
    stopped.progress = stop_after_two;
    tl_interrupt_request();
    assert_null(tl_sample(&p, &stopped, &whole, &err));
    tl_interrupt_clear();
    assert_int_equal(err.code, TL_INTERRUPTED);
    assert_false(tl_file_exists(in_folder("h/metadata.jsonl")));
    tl_err_clear(&err);
    p.n = 3000;
    assert_null(tl_sample(&p, &stopped, &whole, &err));
    tl_interrupt_clear();
    assert_int_equal(err.code, TL_INTERRUPTED);
    size_t n = 0, rows = 0;
    uint8_t *metadata = tl_file_read(in_folder("h/metadata.jsonl"), 1 << 24, &n, &err);
    for (size_t i = 0; i < n; i++) rows += metadata[i] == '\n';
    assert_true(rows >= 2 && rows < 3000 && rows % 2 == 0);
    free(metadata);
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *f)
{
    (void)s;
    (void)kind;
    (void)f;
    return remove(path);
}

/* The fixture's LoRA with a matrix more, of a layer that no model has. */
static void write_foreign(const char *path)
{
    static const float zeros[8];
    struct tl_err err = {0};
    struct tl_st_file *st =
        tl_st_open(TL_SOURCE_DIR "/tests/fixtures/lora_sd1/pytorch_lora_weights.safetensors", &err);
    if (!st) fail_msg("%s", err.text);
    size_t n = tl_st_count(st);
    struct tl_st_item *items = calloc(n + 1, sizeof *items);
    for (size_t i = 0; i < n; i++) {
        const struct tl_st_tensor *t = tl_st_at(st, i);
        items[i] = (struct tl_st_item){.name = t->name, .dtype = t->dtype, .rank = t->rank, .data = t->data};
        for (unsigned d = 0; d < t->rank; d++) items[i].shape[d] = t->shape[d];
    }
    items[n] = (struct tl_st_item){.name = "unet.no.such.layer.lora_A.weight",
                                   .dtype = TL_ST_F32,
                                   .rank = 2,
                                   .shape = {1, 8},
                                   .data = zeros};
    check_ok(tl_st_write(path, items, n + 1, &(struct tl_st_write_params){0}, &err), &err);
    free(items);
    tl_st_close(&st);
}

/* What fits nothing: pictures are drawn, and the job says that it left something out; a merge is refused. */
static void test_foreign_tensors(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *path = in_folder("foreign.safetensors"), *const lora[] = {path};
    bool whole = true;
    write_foreign(path);
    struct tl_sample_params p = settings(in_folder("foreign"));
    p.lora = (struct tl_strings){lora, 1};
    char *text = tl_sample(&p, &job, &whole, &err);
    if (!text) fail_msg("%s", err.text);
    assert_false(whole);
    assert_non_null(strstr(text, "left_out"));
    free(text);
    const struct tl_merge_params m = {
        .model = PIPELINE, .lora = {lora, 1}, .out = in_folder("foreign-merged")};
    assert_null(tl_merge(&m, &job, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "no.such.layer"));
    assert_false(tl_file_exists(m.out));
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures_are_those_of_diffusers),
        cmocka_unit_test(test_what_files_say),
        cmocka_unit_test(test_sampler_names),
        cmocka_unit_test(test_one_picture_alone),
        cmocka_unit_test(test_lora_and_its_scale),
        cmocka_unit_test(test_foreign_tensors),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_interrupt),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
