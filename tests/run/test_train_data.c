/* Methods that train from data, on drawn scenes: they learn from a config alone and from a folder, what they
 * save opens again, and a run that is stopped, fails, or has other threads ends in the same bytes. */
#include "support/check.h"
#include "support_folder.h"
#include "support_train.h"

#include <unistd.h>

#include <tiller/reward.h>

#include "io/file.h"
#include "models/component.h"
#include "run/checkpoint.h"
#include "sample/pipeline.h"

enum { SCENES = 40 };

static const char *place; /* the test's folder */

struct method {
    const char *name, *weights; /* file of the trained weights below model/ */
    const char *fresh;          /* option that starts it anew */
};
static struct method methods[] = {
    {"vae", "diffusion_pytorch_model.safetensors",
     "model=" TL_SOURCE_DIR "/tests/fixtures/vae_sd/config.json"},
    {"contrastive", "model.safetensors", NULL},
    {"sft", "unet/diffusion_pytorch_model.safetensors", NULL},
};
enum { METHODS = sizeof methods / sizeof *methods };

static int setup(void **state)
{
    static char clip[600], sft[600];
    if (support_folder_make(state)) return -1;
    place = *state;
    support_scenes(support_path(place, "data"), SCENES);
    support_clip_config(support_path(place, "clip.json"));
    support_bare_pipeline(support_path(place, "bare"));
    snprintf(clip, sizeof clip, "model=%s/clip.json", place);
    snprintf(sft, sizeof sft, "model=%s/bare", place);
    methods[1].fresh = clip;
    methods[2].fresh = sft;
    return 0;
}

/* A run of `method` into NAME; more options end with NULL. */
static struct support_train run_of(const struct method *m, const char *model, const char *name,
                                   const char *const *more)
{
    static const char *list[4][24];
    static char data[600], outs[4][600];
    static int turn;
    turn = (turn + 1) % 4;
    const char **o = list[turn];
    size_t n = 0;
    snprintf(data, sizeof data, "data=%s/data", place);
    snprintf(outs[turn], sizeof outs[turn], "%s/%s", place, name);
    o[n++] = data;
    o[n++] = model ? model : m->fresh;
    o[n++] = "batch=4";
    if (strcmp(m->name, "contrastive") != 0) o[n++] = "size=16";
    while (more && *more && n < 23) o[n++] = *more++;
    o[n] = NULL;
    return (struct support_train){.method = m->name, .options = o, .out = outs[turn], .seed = 4};
}

static const char *model_file(const char *run, const struct method *m)
{
    return support_path(place, "%s/model/%s", run, m->weights);
}

static void check_same_run(const char *a, const char *b, const struct method *m)
{
    support_same_metrics(support_path(place, "%s", a), support_path(place, "%s", b));
    support_same_checkpoint(support_path(place, "%s", a), support_path(place, "%s", b));
    support_same_file(model_file(a, m), model_file(b, m));
}

/* ---- learning ---- */

static void test_learns(void **state)
{
    (void)state;
    static const char *const rates[METHODS] = {"lr=0.01", "lr=0.005", "lr=0.003"}, *const batches[METHODS] = {
                                                                                       "batch=4", "batch=12",
                                                                                       "batch=8"};
    for (int i = 0; i < METHODS; i++) {
        const char *const more[] = {"steps=80", "warmup=5", "log-every=10", "save-every=1000", rates[i],
                                    batches[i], NULL};
        char out[32];
        double loss[8];
        snprintf(out, sizeof out, "learn-%s", methods[i].name);
        struct support_train run = run_of(&methods[i], NULL, out, more);
        support_train_ok(&run);
        assert_int_equal(support_column(run.out, "train", "loss", loss, 8), 8);
        printf("%s: loss %.4f -> %.4f\n", methods[i].name, loss[0], loss[7]);
        assert_true(loss[7] < 0.9 * loss[0]);
        /* and from the folder that it left: learning goes on where it ended */
        char model[600], on[40];
        double again[8];
        snprintf(model, sizeof model, "model=%s/%s/model", place, out);
        snprintf(on, sizeof on, "on-%s", methods[i].name);
        const char *const little[] = {"steps=10", "warmup=0", "log-every=10", "lr=1e-6", batches[i], NULL};
        struct support_train second = run_of(&methods[i], model, on, little);
        support_train_ok(&second);
        assert_int_equal(support_column(second.out, "train", "loss", again, 8), 1);
        printf("   from its folder: %.4f\n", again[0]);
        assert_true(again[0] < 0.5 * (loss[0] + loss[7]));
    }
}

/* What test_learns left serves as what it is. */
static void test_opens_again(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_device *d = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    struct tl_component *vae = tl_component_open(d, support_path(place, "learn-vae/model"), &err);
    if (!vae) fail_msg("%s", err.text);
    /* latents were measured: unit deviation after scaling */
    assert_true(vae->config.vae.scaling_factor > 0.2f && vae->config.vae.scaling_factor != 0.18215f);
    tl_component_close(&vae);
    struct tl_pipeline *p = tl_pipeline_open(d, support_path(place, "learn-sft/model"), &err);
    if (!p) fail_msg("%s", err.text);
    tl_pipeline_close(&p);
    char spec[600];
    const char *specs[1] = {spec};
    snprintf(spec, sizeof spec, "clip:%s/learn-contrastive/model", place);
    struct tl_reward_set *set =
        tl_reward_set_open(&(struct tl_reward_set_params){.specs = specs, .n_specs = 1, .device = d}, &err);
    if (!set) fail_msg("%s", err.text);
    tl_reward_set_close(&set);
    tl_device_close(&d);
}

/* ---- same bytes ---- */

static const char *const short_run[] = {"steps=7",      "warmup=2", "log-every=2",
                                        "save-every=3", "ema=0.9",  NULL};

static void test_stopped_at_every_step(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        char whole[32], stopped[32];
        snprintf(whole, sizeof whole, "whole-%s", methods[i].name);
        snprintf(stopped, sizeof stopped, "stopped-%s", methods[i].name);
        struct support_train a = run_of(&methods[i], NULL, whole, short_run),
                             b = run_of(&methods[i], NULL, stopped, short_run);
        support_train_ok(&a);
        assert_int_equal(support_train_stopping(b), 7); /* a step a session */
        check_same_run(whole, stopped, &methods[i]);
    }
}

/* Something goes wrong while step 4 to 6 run: the disk refuses the checkpoint. */
static void in_the_way(void *user, const struct tl_progress *p)
{
    const char *run = user;
    if (p->done < 4) usleep(500000); /* so that the loop tells every step */
    if (p->done != 4) return;
    assert_int_equal(rename(support_path(run, "checkpoints"), support_path(run, "away")), 0);
    support_write(support_path(run, "checkpoints"), "a file\n");
}

static void test_resumed_after_an_error(void **state)
{
    (void)state;
    struct support_train run = run_of(&methods[0], NULL, "failed-vae", short_run);
    run.progress = in_the_way;
    run.user = (void *)(uintptr_t)run.out;
    support_train_fails(&run, TL_OUTPUT, "checkpoints");
    assert_false(support_exists(model_file("failed-vae", &methods[0])));
    assert_int_equal(unlink(support_path(run.out, "checkpoints")), 0);
    assert_int_equal(rename(support_path(run.out, "away"), support_path(run.out, "checkpoints")), 0);
    run.progress = NULL;
    run.resume = true;
    support_train_ok(&run);
    check_same_run("whole-vae", "failed-vae", &methods[0]);
    /* a run that is through may be resumed: nothing changes */
    support_train_ok(&run);
    check_same_run("whole-vae", "failed-vae", &methods[0]);
    char *about = support_read(support_path(run.out, "run.json"));
    assert_non_null(strstr(about, "\"step\": 3"));
    assert_non_null(strstr(about, "\"step\": 7"));
    free(about);
}

static void test_threads_and_seeds(void **state)
{
    (void)state;
    for (int i = 0; i < METHODS; i++) {
        char whole[32], threads[32], seed[32];
        snprintf(whole, sizeof whole, "whole-%s", methods[i].name);
        snprintf(threads, sizeof threads, "threads-%s", methods[i].name);
        snprintf(seed, sizeof seed, "seed-%s", methods[i].name);
        struct support_train two = run_of(&methods[i], NULL, threads, short_run),
                             other = run_of(&methods[i], NULL, seed, short_run);
        two.threads = 2;
        other.seed = 5;
        support_train_ok(&two);
        check_same_run(whole, threads, &methods[i]);
        support_train_ok(&other);
        assert_false(support_is_same_file(model_file(whole, &methods[i]), model_file(seed, &methods[i])));
    }
}

/* What is saved is the moving average: the checkpoint's "ema", not its "weights". */
static void test_saves_the_average(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_device *d = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    struct tl_component *vae = tl_component_open(d, support_path(place, "whole-vae/model"), &err);
    struct tl_checkpoint *c =
        vae ? tl_checkpoint_open(support_newest_checkpoint(support_path(place, "whole-vae")), &err) : NULL;
    if (!c) fail_msg("%s", err.text);
    size_t n = vae->layout->n_elements;
    float *saved = malloc(n * sizeof *saved), *ema = malloc(n * sizeof *ema),
          *weights = malloc(n * sizeof *weights);
    check_ok(tl_store_read_flat(vae->store, saved, &err) &&
                 tl_checkpoint_read_flat(c, "ema", vae->layout, ema, &err) &&
                 tl_checkpoint_read_flat(c, "weights", vae->layout, weights, &err),
             &err);
    assert_memory_equal(saved, ema, n * sizeof *ema);
    assert_memory_not_equal(saved, weights, n * sizeof *ema);
    free(saved);
    free(ema);
    free(weights);
    tl_checkpoint_close(&c);
    tl_component_close(&vae);
    tl_device_close(&d);
    /* without an average the weights themselves are saved, and the course is the same */
    struct support_train plain =
        run_of(&methods[0], NULL, "plain-vae",
               (const char *const[]){"steps=7", "warmup=2", "log-every=2", "save-every=3", "ema=0", NULL});
    support_train_ok(&plain);
    support_same_metrics(support_path(place, "whole-vae"), plain.out);
    assert_false(
        support_is_same_file(model_file("whole-vae", &methods[0]), model_file("plain-vae", &methods[0])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_learns),
                                       cmocka_unit_test(test_opens_again),
                                       cmocka_unit_test(test_stopped_at_every_step),
                                       cmocka_unit_test(test_resumed_after_an_error),
                                       cmocka_unit_test(test_threads_and_seeds),
                                       cmocka_unit_test(test_saves_the_average)};
    return cmocka_run_group_tests(tests, setup, support_folder_remove);
}
