#include "support_train.h"

#include "support/check.h"
#include "support_folder.h"

#include <tiller/interrupt.h>

#include "io/file.h"
#include "io/image.h"
#include "io/json.h"
#include "rewards/scene_draw.h"
#include "run/checkpoint.h"
#include "run/run_metrics.h"

/* ---- runs ---- */

static void set(struct tl_options *options, const char *pair)
{
    struct tl_err err = {0};
    check_ok(tl_options_set_pair(&options, 1, pair, TL_FROM_COMMAND, &err), &err);
}

enum tl_code support_train(const struct support_train *run, struct tl_err *err)
{
    const struct tl_method *method = tl_method_find(run->method);
    assert_non_null(method);
    void *params = calloc(1, method->params_size);
    struct tl_options *options = tl_options_create(method->options, params, err);
    if (!options) fail_msg("%s", err->text);
    for (size_t i = 0; run->options[i]; i++) set(options, run->options[i]);
    char out[600];
    snprintf(out, sizeof out, "out=%s", run->out ? run->out : "");
    if (run->out) set(options, out);
    if (run->resume) set(options, "resume=true");
    struct tl_job job = {.device = run->device ? run->device : "cpu",
                         .threads = run->threads ? run->threads : 1,
                         .seed = run->seed,
                         .command = "tiller train",
                         .progress = run->progress,
                         .user = run->user};
    bool ok = method->run(&job, options, params, err);
    assert_true(ok == (err->code == TL_OK));
    tl_options_destroy(&options);
    free(params);
    return err->code;
}

void support_train_ok(const struct support_train *run)
{
    struct tl_err err = {0};
    if (support_train(run, &err) != TL_OK) fail_msg("%s into %s: %s", run->method, run->out, err.text);
}

void support_train_fails(const struct support_train *run, enum tl_code code, const char *says)
{
    struct tl_err err = {0};
    support_train(run, &err);
    if (err.code != code || !strstr(err.text, says))
        fail_msg("%s: code %d, '%s'; expected %d, '%s'", run->method, err.code, err.text, code, says);
}

/* Data is read before a run begins, and an interrupt then leaves no run: it may come once steps are made. */
static void stop_training(void *user, const struct tl_progress *p)
{
    (void)user;
    if (strcmp(p->phase, "training") == 0) tl_interrupt_request();
}

int support_train_stopping(struct support_train run)
{
    bool from_data = strcmp(tl_method_find(run.method)->from, "rewards") != 0;
    if (from_data) run.progress = stop_training;
    for (int sessions = 1; sessions < 100; sessions++) {
        struct tl_err err = {0};
        if (!from_data) tl_interrupt_request();
        enum tl_code code = support_train(&run, &err);
        tl_interrupt_clear();
        if (code == TL_OK) return sessions;
        if (code != TL_INTERRUPTED) fail_msg("session %d: %s", sessions, err.text);
        run.resume = true;
    }
    fail_msg("a run that is stopped again and again does not end");
    return 0;
}

/* ---- data ---- */

static void add_row(struct tl_str *rows, const char *name, const struct tl_scene *s, uint32_t index)
{
    char text[TL_SCENE_TEXT];
    uint8_t label[2][TL_SCENE_GRID * TL_SCENE_GRID];
    tl_scene_write(&s->spec, text);
    tl_str_printf(rows, "{\"file_name\": \"%s\", \"text\": \"%s\", \"negatives\": [", name, text);
    for (uint32_t i = 0; i < 2; i++) {
        struct tl_scene_spec other;
        tl_scene_negative(&s->spec, (struct tl_rng_key){.stream = TL_RNG_TEST, .sample = index, .step = i},
                          &other);
        tl_scene_write(&other, text);
        tl_str_printf(rows, "%s\"%s\"", i ? ", " : "", text);
    }
    tl_str_append(rows, "], \"patch_labels\": [");
    tl_scene_patches(s->object, s->n_objects, label[0], label[1]);
    for (int k = 0; k < 2; k++) {
        tl_str_append(rows, k ? ", \"" : "\"");
        for (size_t i = 0; i < sizeof label[k]; i++) tl_str_printf(rows, "%d", label[k][i]);
        tl_str_append(rows, "\"");
    }
    tl_str_append(rows, "]}\n");
}

void support_scenes(const char *path, int n)
{
    struct tl_err err = {0};
    char folder[512];
    snprintf(folder, sizeof folder, "%s", path); /* support_path keeps its last results only */
    struct tl_image image = {0};
    struct tl_str rows = {0};
    check_ok(tl_file_make_folder(folder, &err) &&
                 tl_image_init(&image, TL_SCENE_SIDE, TL_SCENE_SIDE, 3, &err),
             &err);
    for (int i = 0; i < n; i++) {
        struct tl_scene s;
        char name[32];
        snprintf(name, sizeof name, "%03d.png", i);
        tl_scene_random(3, 0, (uint32_t)i, &(struct tl_scene_choice){.most = 2}, &s);
        tl_scene_draw(s.object, s.n_objects, s.ground, image.px);
        check_ok(tl_image_save_png(support_path(folder, "%s", name), &image, NULL, 0, &err), &err);
        add_row(&rows, name, &s, (uint32_t)i);
    }
    support_write(support_path(folder, "metadata.jsonl"), rows.data);
    tl_str_finish(&rows);
    tl_image_finish(&image);
}

void support_prompts(const char *path, int n)
{
    struct tl_str text = {0};
    for (int i = 0; i < n; i++) {
        tl_str_printf(&text, "a %s %s\n", tl_scene_colour_name[i % TL_SCENE_COLOURS],
                      tl_scene_shape_name[i / TL_SCENE_COLOURS % TL_SCENE_SHAPES]);
    }
    support_write(path, text.data);
    tl_str_finish(&text);
}

void support_clip_config(const char *path)
{
    support_write(path, "{\"architectures\": [\"CLIPModel\"], \"model_type\": \"clip\", \"projection_dim\": "
                        "16, \"logit_scale_init_value\": 2.6592,\n"
                        " \"text_config\": {\"hidden_size\": 16, \"intermediate_size\": 32, "
                        "\"num_attention_heads\": 2, \"num_hidden_layers\": 1,\n"
                        "  \"max_position_embeddings\": 24, \"projection_dim\": 16, \"hidden_act\": "
                        "\"gelu\", \"model_type\": \"clip_text_model\"},\n"
                        " \"vision_config\": {\"hidden_size\": 16, \"intermediate_size\": 32, "
                        "\"num_attention_heads\": 2, \"num_hidden_layers\": 1,\n"
                        "  \"image_size\": 16, \"patch_size\": 2, \"projection_dim\": 16, \"hidden_act\": "
                        "\"gelu\", \"model_type\": \"clip_vision_model\"}}\n");
}

static void copy(const char *from, const char *to)
{
    struct tl_err err = {0};
    size_t n = 0;
    uint8_t *data = tl_file_read(from, 1 << 24, &n, &err);
    if (!data) fail_msg("%s", err.text);
    check_ok(tl_file_write(to, data, n, &err), &err);
    free(data);
}

void support_bare_pipeline(const char *path)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s", path);
    static const char *const files[] = {"model_index.json",
                                        "unet/config.json",
                                        "vae/config.json",
                                        "vae/diffusion_pytorch_model.safetensors",
                                        "text_encoder/config.json",
                                        "text_encoder/model.safetensors",
                                        "tokenizer/vocab.json",
                                        "tokenizer/merges.txt",
                                        "tokenizer/special_tokens_map.json",
                                        "tokenizer/tokenizer_config.json",
                                        "scheduler/scheduler_config.json"};
    static const char *const parts[] = {"unet", "vae", "text_encoder", "tokenizer", "scheduler"};
    struct tl_err err = {0};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        check_ok(tl_file_make_folder(support_path(folder, "%s", parts[i]), &err), &err);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        copy(support_path(SUPPORT_PIPELINE, "%s", files[i]), support_path(folder, "%s", files[i]));
}

/* ---- comparing ---- */

size_t support_column(const char *run, const char *phase, const char *name, double *out, size_t most)
{
    struct tl_err err = {0};
    double *steps = NULL, *values = NULL;
    size_t n = 0;
    check_ok(
        tl_run_metrics_column(support_path(run, "metrics.jsonl"), phase, name, &steps, &values, &n, &err),
        &err);
    for (size_t i = 0; i < n && i < most; i++) out[i] = values[i];
    free(steps);
    free(values);
    return n;
}

static uint8_t *read_all(const char *path, size_t *n)
{
    struct tl_err err = {0};
    uint8_t *data = tl_file_read(path, 1 << 26, n, &err);
    if (!data) fail_msg("%s", err.text);
    return data;
}

bool support_is_same_file(const char *a, const char *b)
{
    size_t n_a, n_b;
    uint8_t *x = read_all(a, &n_a), *y = read_all(b, &n_b);
    bool same = n_a == n_b && memcmp(x, y, n_a) == 0;
    free(x);
    free(y);
    return same;
}

void support_same_file(const char *a, const char *b)
{
    if (!support_is_same_file(a, b)) fail_msg("%s and %s differ", a, b);
}

/* The rows without their last member, which is the time. */
static char *metrics_text(const char *run)
{
    char *text = support_read(support_path(run, "metrics.jsonl")), *to = text;
    assert_non_null(text);
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n'), *time = strstr(line, ",\"time\":");
        assert_true(end && time && time < end);
        memmove(to, line, (size_t)(time - line));
        to += time - line;
        *to++ = '\n';
        line = end + 1;
    }
    *to = 0;
    return text;
}

void support_same_metrics(const char *run_a, const char *run_b)
{
    char *a = metrics_text(run_a), *b = metrics_text(run_b);
    assert_true(strlen(a) > 0);
    if (strcmp(a, b) != 0) fail_msg("metrics of %s and %s differ:\n%s\n%s", run_a, run_b, a, b);
    free(a);
    free(b);
}

const char *support_newest_checkpoint(const char *run)
{
    struct tl_err err = {0};
    struct tl_checkpoint *c = tl_checkpoint_open_newest(run, &err);
    if (!c) fail_msg("%s", err.text);
    const char *path = support_path(run, "checkpoints/%s", tl_path_base(tl_checkpoint_path(c)));
    tl_checkpoint_close(&c);
    return path;
}

/* The manifest holds every file's hash, and the version, which is the same program's. */
void support_same_checkpoint(const char *run_a, const char *run_b)
{
    const char *a = support_newest_checkpoint(run_a), *b = support_newest_checkpoint(run_b);
    support_same_file(support_path(a, "manifest.json"), support_path(b, "manifest.json"));
}
