#include "support_report.h"

#include "support/check.h"

#include "io/draw.h"
#include "io/file.h"
#include "io/json.h"
#include "run/run_metrics.h"
#include "support_folder.h"

enum { PROMPTS = 6, EACH = 4, SHOWN = 2, SIZE = 64, EVERY = 6 };

static const char *const prompts[PROMPTS] = {
    "a red circle above a blue square",  "a small green triangle",
    "two yellow stars on a grey ground", "a purple hexagon left of a circle",
    "an orange square in the corner",    "a white ring"};

/* About a standard normal number, the same on each machine. */
static double noise(int a, int b)
{
    uint32_t x = (uint32_t)a * 2654435761u ^ ((uint32_t)b + 0x9e3779b9u) * 2246822519u;
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        sum += x / 4294967296.0;
    }
    return sum - 6;
}

static double reward_of(const struct support_report *w, int set, int picture, double progress)
{
    double r = 0.72 + 0.12 * noise(picture, set) + w->gain * progress * (set ? 0.8 : 1) +
               0.02 * progress * noise(picture + 99, 7);
    return fmin(fmax(r, 0.02), 0.995);
}

static double held_out_of(int set, int picture, double progress)
{
    double r = 0.66 + 0.15 * noise(picture + 31, set) + 0.05 * progress;
    return fmin(fmax(r, 0), 1);
}

static void write_metrics(const char *folder, const struct support_report *w)
{
    struct tl_err err = {0};
    struct tl_run_metrics *m = tl_run_metrics_open(folder, -1, &err);
    check_ok(m != NULL, &err);
    for (int e = 0; e <= w->epochs; e++) {
        double p = (double)e / w->planned;
        for (int set = 0; set < 2 && (e % EVERY == 0 || e == w->epochs); set++) {
            const struct tl_run_metric row[] = {
                {"reward", 0.72 + w->gain * p * (set ? 0.8 : 1) + 0.004 * noise(e, 3 + set)},
                {"reward_se", 0.012},
                {"held_out", 0.66 + 0.05 * p + 0.008 * noise(e, 5 + set)},
                {"held_out_se", 0.016},
                {"diversity", 0.21 - 0.06 * p + 0.003 * noise(e, 8 + set)}};
            check_ok(tl_run_metrics_append(m, set ? "eval_others" : "eval_trained", e, row, 5, &err), &err);
        }
        if (e == 0) continue;
        const struct tl_run_metric row[] = {{"reward_mean", 0.72 + w->gain * p + 0.02 * noise(e, 1)},
                                            {"reward_se", 0.011},
                                            {"reward_spread", 0.15 - 0.04 * p + 0.01 * noise(e, 2)},
                                            {"loss", 51 - 20 * p + 6 * noise(e, 4)},
                                            {"kl_nats", 4 * p + 0.1 * noise(e, 6)},
                                            {"clip_fraction", 0.004 + 0.01 * p},
                                            {"grad_norm", 75 + 8 * noise(e, 9)},
                                            {"correlation", 0.3 + 0.1 * noise(e, 10)}};
        check_ok(tl_run_metrics_append(m, "train", e, row, 8, &err), &err);
    }
    tl_run_metrics_close(&m);
}

static void write_picture(const char *path, int picture, double progress)
{
    static const uint32_t inks[] = {0xd03030, 0x3060d0, 0x30a050, 0xe0b020};
    struct tl_image image = {0};
    struct tl_err err = {0};
    int size = 20 + picture % 17, x = 10 + picture * 7 % 25;
    check_ok(tl_image_init(&image, SIZE, SIZE, 3, &err), &err);
    tl_draw_fill(&image, 0, 0, SIZE, SIZE, 0xe8e6e0);
    for (int i = 0; i < SIZE * SIZE * 3; i++) {
        double v = image.px[i] + (1 - progress) * 18 * noise(i / 3, picture);
        image.px[i] = (uint8_t)fmin(fmax(v, 0), 255);
    }
    tl_draw_fill(&image, x, 14 + (int)(8 * progress), size, size, inks[picture % 4]);
    uint8_t *png;
    size_t n;
    check_ok(tl_image_encode_png(&image, NULL, 0, &png, &n, &err), &err);
    FILE *f = fopen(path, "wb"); /* without the syncs of tl_image_save_png */
    assert_non_null(f);
    assert_int_equal(fwrite(png, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    free(png);
    tl_image_finish(&image);
}

static void write_reading(const char *folder, const struct support_report *w, int step)
{
    struct tl_str rows = {0};
    struct tl_err err = {0};
    double progress = (double)step / w->planned;
    check_ok(tl_file_make_folder(support_path(folder, "samples/step-%08d", step), &err), &err);
    for (int set = 0; set < 2; set++)
        for (int i = 0; i < PROMPTS * EACH; i++) {
            char name[64];
            snprintf(name, sizeof name, "%s-%03d-%d.png", set ? "others" : "trained", i / EACH, i % EACH);
            tl_str_append(&rows, "{\"set\":");
            tl_json_quote(&rows, set ? "others" : "trained");
            tl_str_append(&rows, ",\"prompt\":");
            tl_json_quote(&rows, w->hostile && i / EACH == 1 ? SUPPORT_HOSTILE : prompts[i / EACH]);
            tl_str_printf(&rows, ",\"prompt_index\":%d,\"sample\":%d,\"reward\":%.6f,\"held_out\":%.6f",
                          i / EACH, i % EACH, reward_of(w, set, i, progress), held_out_of(set, i, progress));
            if (i % EACH < SHOWN) {
                tl_str_printf(&rows, ",\"file\":\"%s\",\"role\":\"%s\"", name,
                              i == 0      ? "best"
                              : i == EACH ? "worst"
                                          : "shown");
                write_picture(support_path(folder, "samples/step-%08d/%s", step, name), i + 24 * set,
                              progress);
            }
            tl_str_append(&rows, "}\n");
        }
    support_write(support_path(folder, "samples/step-%08d/rewards.jsonl", step), rows.data);
    write_picture(support_path(folder, "samples/step-%08d/grid.png", step), 3, progress);
    tl_str_finish(&rows);
}

static void write_config(const char *folder, const struct support_report *w)
{
    struct tl_str s = {0};
    tl_str_printf(&s,
                  "{\"method\":\"prdp\",\"model\":\"assets/models/shapes\",\"prompts\":\"prompts.txt\","
                  "\"reward\":[\"clip:/somewhere/encoders/shapes-clip\"],\"eval_reward\":[\"scene\"],"
                  "\"out\":\"run\",\"epochs\":%d,\"prompts_per_epoch\":16,\"samples_per_prompt\":8,"
                  "\"negative_prompt\":",
                  w->planned);
    tl_json_quote(&s, w->hostile ? SUPPORT_HOSTILE : "blurry");
    tl_str_printf(&s, ",\"beta\":0.03,\"clip\":0.3,\"lr\":%s,\"size\":null,\"full\":false}",
                  w->lr ? w->lr : "0.002");
    support_write(support_path(folder, "config.json"), s.data);
    tl_str_clear(&s);
    tl_str_append(&s, "{\"version\":\"0.1.0\",\"command\":");
    tl_json_quote(&s, w->hostile ? "tiller train " SUPPORT_HOSTILE : "tiller train --method prdp -o run");
    tl_str_append(&s,
                  ",\"device\":{\"name\":\"cpu\",\"description\":\"2 threads, AVX-512\"},"
                  "\"started\":\"2026-11-24T12:55:15Z\",\"seeds\":{\"seed\":1},\"resumes\":[{\"step\":12}]");
    if (w->finished)
        tl_str_printf(&s, ",\"best\":{\"step\":%d,\"metric\":\"held_out\",\"value\":0.71}",
                      w->epochs / EVERY * EVERY - EVERY);
    tl_str_append(&s, "}");
    support_write(support_path(folder, "run.json"), s.data);
    tl_str_finish(&s);
}

void support_report_write(const char *folder, const struct support_report *w)
{
    struct tl_err err = {0};
    check_ok(tl_file_make_folder(folder, &err), &err);
    write_config(folder, w);
    write_metrics(folder, w);
    for (int step = 0; step <= w->epochs; step += EVERY) write_reading(folder, w, step);
    if (!w->finished) return;
    support_write(
        support_path(folder, "warnings.jsonl"),
        "{\"step\":18,\"kind\":\"diversity\",\"text\":\"pictures of a prompt have come closer: 0.15 "
        "from 0.21; try a smaller --lr or a larger --beta\"}\n");
    support_write(
        support_path(folder, "result.json"),
        "{\"readings\":[{\"prompts\":\"others\",\"reward\":\"trained\",\"before\":0.7213,\"after\":0.8102,"
        "\"change\":0.0889,\"se\":0.008,\"clustered_se\":0.0112,\"n\":256,\"significant\":true},"
        "{\"prompts\":\"others\",\"reward\":\"held_out\",\"before\":0.66,\"after\":0.702,\"change\":0.042,"
        "\"se\":0.015,\"clustered_se\":0.018,\"n\":256,\"significant\":false}],\"epochs\":24,"
        "\"updates\":96,\"reward_queries\":3584,\"network_evaluations\":1234567,\"seconds\":4210}");
    check_ok(tl_file_make_folder(support_path(folder, "lora"), &err), &err);
    support_write(support_path(folder, "lora/pytorch_lora_weights.safetensors"), "x");
    support_write(support_path(folder, "lora/run.kohya.safetensors"), "x");
}
