/* The training loop on a task of a few numbers, whose gradient can be made to fail, to be no number, or to
 * ask for a stop: schedules, accumulation, moving average, skipped updates, the second store, validation, and
 * going on from any step. */
#include "support/check.h"
#include "support_folder.h"
#include "support_train.h"

#include <tiller/interrupt.h>

#include "base/rng.h"
#include "run/checkpoint.h"
#include "run/train_loop.h"

enum { VALUES = 5, STEPS = 12 };

static const char *place;
static struct tl_device *device;
static struct tl_store_layout *layout;

static int setup(void **state)
{
    struct tl_err err = {0};
    if (support_folder_make(state)) return -1;
    place = *state;
    device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    struct tl_graph *g = tl_graph_create();
    tl_output(g, tl_param(g, 0, TL_LAYOUT_PLAIN, tl_shape1(VALUES), "w"), "w");
    const struct tl_graph *const graphs[1] = {g};
    layout = tl_store_layout_create(graphs, 1, 0, NULL, NULL, &err);
    tl_graph_destroy(&g);
    return device && layout ? 0 : -1;
}

static int teardown(void **state)
{
    tl_store_layout_destroy(&layout);
    tl_device_close(&device);
    return support_folder_remove(state);
}

/* Pulls w towards 1 with noise that depends on the step; what happens at a step besides is `fault`. */
struct toy {
    struct tl_store *weights, *grads, *aux, *aux_grads;
    enum fault { NOTHING, STOPS, FAILS, NO_NUMBER } fault;
    int from, to; /* steps of the fault */
    bool has_aux;
    int n_validated, n_sampled;
    int stop_validating, stop_sampling; /* asked to stop within this one, counted from 1 */
    float saved[256];                   /* what save() was given, gaps too */
};

/* Adds to grads. */
static bool gradient_of(struct tl_store *w, struct tl_store *grads, uint64_t step, uint32_t sample,
                        double *loss, struct tl_err *err)
{
    float x[VALUES], noise[VALUES], sum[VALUES];
    if (!tl_store_read(w, &layout->entries[0], x, err) ||
        !tl_store_read(grads, &layout->entries[0], sum, err))
        return false;
    tl_rng_normal((struct tl_rng_key){.stream = TL_RNG_TEST, .sample = sample, .step = (uint32_t)step}, 0,
                  VALUES, noise);
    *loss = 0;
    for (int i = 0; i < VALUES; i++) {
        float d = x[i] - 1 + 0.1f * noise[i];
        *loss += 0.5 * d * d;
        sum[i] += d;
    }
    return tl_store_write(grads, &layout->entries[0], sum, err);
}

static bool gradient(void *self, uint64_t step, uint32_t part, double out[TL_TASK_METRICS],
                     struct tl_err *err)
{
    struct toy *t = self;
    bool now = (int)step >= t->from && (int)step < t->to;
    if (!gradient_of(t->weights, t->grads, step, 2 * part, &out[0], err)) return false;
    if (t->has_aux && !gradient_of(t->aux, t->aux_grads, step, 2 * part + 1, &out[1], err)) return false;
    if (now && t->fault == STOPS) tl_interrupt_request();
    if (now && t->fault == FAILS) return tl_err_set(err, TL_DEVICE, "the device is gone");
    if (now && t->fault == NO_NUMBER) {
        const float bad[VALUES] = {1, NAN};
        out[0] = NAN;
        return tl_store_write(t->grads, &layout->entries[0], bad, err);
    }
    return true;
}

static bool save(void *self, struct tl_store *weights, const char *folder, struct tl_err *err)
{
    struct toy *t = self;
    assert_true(support_exists(folder));
    assert_true(layout->n_elements <= sizeof t->saved / sizeof *t->saved);
    return tl_store_read_flat(weights, t->saved, err);
}

/* Best at 0.5: on the way to 1 it falls, then rises. */
static bool validate(void *self, struct tl_store *weights, double out[TL_TASK_METRICS], struct tl_err *err)
{
    struct toy *t = self;
    float x[VALUES];
    if (++t->n_validated == t->stop_validating) tl_interrupt_request();
    if (!tl_interrupt_check("validation", err) || !tl_store_read(weights, &layout->entries[0], x, err))
        return false;
    out[0] = (double)fabsf(x[0] - 0.5f);
    out[1] = (double)x[0];
    return true;
}

static bool sample(void *self, struct tl_store *weights, const char *folder, struct tl_err *err)
{
    struct toy *t = self;
    float x[VALUES];
    char text[64];
    if (++t->n_sampled == t->stop_sampling) tl_interrupt_request();
    if (!tl_interrupt_check("samples", err) || !tl_store_read(weights, &layout->entries[0], x, err))
        return false;
    snprintf(text, sizeof text, "%a\n", (double)x[0]);
    support_write(support_path(folder, "drawn.txt"), text);
    return true;
}

static struct tl_store *store(void)
{
    struct tl_err err = {0};
    struct tl_store *s = tl_store_create(device, layout, &err);
    if (!s) fail_msg("%s", err.text);
    return s;
}

/* One process's part of a run: stores are new, as they are after a start. */
static enum tl_code session(struct toy *t, const char *name, bool resume,
                            const struct tl_supervised_params *p, struct tl_err *err)
{
    t->weights = store();
    t->grads = store();
    t->aux = t->has_aux ? store() : NULL;
    t->aux_grads = t->has_aux ? store() : NULL;
    struct tl_run_folder *folder =
        tl_run_folder_open(support_path(place, "%s", name), resume ? TL_RUN_RESUME : TL_RUN_NEW, err);
    if (!folder) fail_msg("%s", err->text);
    if (!resume) support_write(support_path(place, "%s/run.json", name), "{}\n");
    struct tl_task task = {.self = t,
                           .weights = t->weights,
                           .grads = t->grads,
                           .aux_weights = t->aux,
                           .aux_grads = t->aux_grads,
                           .metrics = {"loss", "other"},
                           .gradient = gradient,
                           .validation = {"loss", "first"},
                           .validate = p->val_every ? validate : NULL,
                           .sample = p->sample_every ? sample : NULL,
                           .save = save};
    struct tl_job job = {.device = "cpu"};
    bool ok = tl_train_loop(&job, p, device, folder, &task, err);
    assert_true(ok == (err->code == TL_OK));
    tl_interrupt_clear();
    tl_run_folder_close(&folder);
    tl_store_destroy(&t->weights);
    tl_store_destroy(&t->grads);
    tl_store_destroy(&t->aux);
    tl_store_destroy(&t->aux_grads);
    return err->code;
}

static struct tl_supervised_params params(void)
{
    return (struct tl_supervised_params){.steps = STEPS,
                                         .batch = 1,
                                         .lr = 0.1,
                                         .beta1 = 0.9,
                                         .beta2 = 0.99, .adam_eps = 1e-8,
                                         .warmup = 3,
                                         .log_every = 5,
                                         .save_every = 4,
                                         .clip_norm = 1,
                                         .ema = 0.8};
}

static void session_ok(struct toy *t, const char *name, bool resume, const struct tl_supervised_params *p)
{
    struct tl_err err = {0};
    if (session(t, name, resume, p, &err) != TL_OK) fail_msg("%s: %s", name, err.text);
}

static void check_same_run(const char *a, const char *b, const struct toy *x, const struct toy *y)
{
    support_same_metrics(support_path(place, "%s", a), support_path(place, "%s", b));
    support_same_checkpoint(support_path(place, "%s", a), support_path(place, "%s", b));
    assert_memory_equal(x->saved, y->saved, VALUES * sizeof(float));
}

/* ---- going on ---- */

static void test_any_step(void **state)
{
    (void)state;
    struct tl_supervised_params p = params();
    struct toy whole = {.has_aux = true};
    session_ok(&whole, "whole", false, &p);
    for (int step = 0; step < STEPS;
         step += step < 4 ? 3 : 4) { /* 0, 3, 6, 10; a checkpoint stands at 4 and 8 */
        struct tl_err err = {0};
        struct toy t = {.fault = STOPS, .from = step, .to = step + 1, .has_aux = true};
        char name[32];
        snprintf(name, sizeof name, "stop%d", step);
        enum tl_code code = session(&t, name, false, &p, &err);
        assert_int_equal(code, TL_INTERRUPTED);
        t.fault = NOTHING;
        session_ok(&t, name, true, &p);
        check_same_run("whole", name, &whole, &t);
    }
    for (int step = 4; step < STEPS;
         step += 3) { /* from the checkpoint before; rows beyond it are written again */
        struct tl_err err = {0};
        struct toy t = {.fault = FAILS, .from = step, .to = step + 1, .has_aux = true};
        char name[32], where[32];
        snprintf(name, sizeof name, "fail%d", step);
        snprintf(where, sizeof where, "step %d", step);
        assert_int_equal(session(&t, name, false, &p, &err), TL_DEVICE);
        assert_non_null(strstr(err.text, where));
        t.fault = NOTHING;
        session_ok(&t, name, true, &p);
        check_same_run("whole", name, &whole, &t);
    }
}

/* Asked in the last step, a run is finished. */
static void test_stopped_too_late(void **state)
{
    (void)state;
    struct tl_supervised_params p = params();
    struct toy t = {.fault = STOPS, .from = STEPS - 1, .to = STEPS};
    session_ok(&t, "late", false, &p);
}

/* What was left before its first checkpoint begins anew. */
static void test_before_the_first_checkpoint(void **state)
{
    (void)state;
    struct tl_supervised_params p = params();
    struct tl_err err = {0};
    struct toy t = {.fault = FAILS, .from = 2, .to = 3}, whole = {0};
    session_ok(&whole, "at-once", false, &p);
    assert_int_equal(session(&t, "early", false, &p, &err), TL_DEVICE);
    t.fault = NOTHING;
    session_ok(&t, "early", true, &p);
    check_same_run("at-once", "early", &whole, &t);
}

/* ---- several batches an update ---- */

static void test_accumulation(void **state)
{
    (void)state;
    struct tl_supervised_params p = params();
    p.accumulate = 3;
    struct toy whole = {.has_aux = true};
    session_ok(&whole, "gathers", false, &p);
    /* the first step's loss is the mean of three */
    double row[8], sum = 0;
    for (uint32_t part = 0; part < 3; part++) {
        float noise[VALUES];
        tl_rng_normal((struct tl_rng_key){.stream = TL_RNG_TEST, .sample = 2 * part}, 0, VALUES, noise);
        for (int i = 0; i < VALUES; i++) {
            double d = (double)(0 - 1 + 0.1f * noise[i]);
            sum += 0.5 * d * d / 3;
        }
    }
    p.log_every = 1;
    struct toy each = {.has_aux = true};
    session_ok(&each, "gathers-rows", false, &p);
    assert_int_equal(support_column(support_path(place, "gathers-rows"), "train", "loss", row, 8), STEPS);
    check_near(row[0], sum, 1e-6);
    p.log_every = 5;
    /* asked to stop after the first of three: what was gathered is dropped, and gathered again later */
    for (int step = 0; step < STEPS; step += 3) {
        struct tl_err err = {0};
        struct toy t = {.fault = STOPS, .from = step, .to = step + 1, .has_aux = true};
        char name[32], where[64];
        snprintf(name, sizeof name, "gathers%d", step);
        assert_int_equal(session(&t, name, false, &p, &err), TL_INTERRUPTED);
        snprintf(where, sizeof where, "step-%08d", step);
        assert_non_null(strstr(support_newest_checkpoint(support_path(place, "%s", name)), where));
        t.fault = NOTHING;
        session_ok(&t, name, true, &p);
        check_same_run("gathers", name, &whole, &t);
    }
}

/* ---- validation ---- */

static void test_validation(void **state)
{
    (void)state;
    struct tl_supervised_params p = params();
    double loss[16], best = 1e9;
    int at = -1;
    p.val_every = 2;
    p.ema = 0;
    struct toy whole = {0};
    session_ok(&whole, "looks", false, &p);
    size_t n = support_column(support_path(place, "looks"), "validation", "loss", loss, 16);
    assert_int_equal(n, STEPS / 2 + 1); /* before the first step, too */
    assert_int_equal(whole.n_validated, (int)n);
    check_near(loss[0], 0.5, 1e-7);
    for (size_t i = 0; i < n; i++)
        if (loss[i] < best) {
            best = loss[i];
            at = (int)(2 * i);
        }
    assert_true(at > 0 && at < STEPS);
    char expected[64], *about = support_read(support_path(place, "looks/run.json")),
                       *summary = support_read(support_path(place, "looks/summary.txt"));
    assert_non_null(strstr(about, "\"best_validation\""));
    snprintf(expected, sizeof expected, "validation loss %.4f at step %d, the best", best, at);
    assert_non_null(strstr(summary, expected));
    snprintf(expected, sizeof expected, "%.4f at the end, step %d", loss[n - 1], STEPS);
    assert_non_null(strstr(summary, expected));
    assert_non_null(strstr(summary, "0.5000 before training"));
    assert_int_equal(tl_checkpoint_best_step(support_path(place, "looks")), at);
    for (int step = 1; step < STEPS; step += 3) { /* the best step is remembered across a stop */
        struct tl_err err = {0};
        struct toy t = {.fault = STOPS, .from = step, .to = step + 1};
        char name[32];
        snprintf(name, sizeof name, "looks%d", step);
        assert_int_equal(session(&t, name, false, &p, &err), TL_INTERRUPTED);
        t.fault = NOTHING;
        session_ok(&t, name, true, &p);
        check_same_run("looks", name, &whole, &t);
        support_same_file(support_path(place, "looks/summary.txt"),
                          support_path(place, "%s/summary.txt", name));
    }
    free(about);
    free(summary);
}

/* Asked to stop within a look, before, between and after steps: the step is kept, nothing of the look, and
 * who goes on looks again. */
static void test_stopped_looking(void **state)
{
    (void)state;
    struct tl_supervised_params p = params();
    struct toy whole = {0};
    p.val_every = 3;
    p.sample_every = 6;
    session_ok(&whole, "sees", false, &p);
    assert_int_equal(whole.n_validated, 5);
    assert_int_equal(whole.n_sampled, 3);
    for (int i = 0; i < 8; i++) {
        struct tl_err err = {0};
        struct toy t = {.stop_validating = i < 5 ? i + 1 : 0, .stop_sampling = i < 5 ? 0 : i - 4};
        int step = i < 5 ? 3 * i : 6 * (i - 5);
        char name[32], where[64];
        snprintf(name, sizeof name, "sees%d", i);
        assert_int_equal(session(&t, name, false, &p, &err), TL_INTERRUPTED);
        assert_string_equal(err.text, "training was interrupted");
        snprintf(where, sizeof where, "step-%08d", step);
        assert_non_null(strstr(support_newest_checkpoint(support_path(place, "%s", name)), where));
        assert_false(support_exists(support_path(place, "%s/samples/%s", name, where)));
        session_ok(&t, name, true, &p);
        assert_int_equal(t.n_validated, whole.n_validated + (i < 5));
        assert_int_equal(t.n_sampled, whole.n_sampled + (i >= 5));
        check_same_run("sees", name, &whole, &t);
        assert_int_equal(tl_checkpoint_best_step(support_path(place, "%s", name)),
                         tl_checkpoint_best_step(support_path(place, "sees")));
        for (int k = 0; k <= STEPS; k += 6)
            support_same_file(support_path(place, "sees/samples/step-%08d/drawn.txt", k),
                              support_path(place, "%s/samples/step-%08d/drawn.txt", name, k));
    }
}

/* No step at all: what is there is saved, and nothing else happens. */
static void test_no_steps(void **state)
{
    (void)state;
    struct tl_supervised_params p = params();
    p.steps = 0;
    struct toy t = {0};
    t.saved[0] = 7;
    session_ok(&t, "none", false, &p);
    assert_true(t.saved[0] == 0);
}

/* ---- no number ---- */

static void test_skips(void **state)
{
    (void)state;
    struct tl_supervised_params p = params();
    struct tl_err err = {0};
    double loss[8];
    struct toy t = {.fault = NO_NUMBER, .from = 1, .to = 10, .has_aux = true};
    session_ok(&t, "skips", false, &p); /* nine in a row */
    assert_int_equal(support_column(support_path(place, "skips"), "train", "loss", loss, 8),
                     2); /* steps 1 to 5: one update; 6 to 10: none; 11 and 12 */
    assert_true(isfinite(loss[0]) && isfinite(loss[1]));
    for (int i = 0; i < VALUES; i++) assert_true(isfinite(t.saved[i]) && t.saved[i] != 0);
    /* stopped among the skipped ones: the second store, which was not skipped, counts its own updates */
    for (int step = 1; step < 5; step += 2) {
        char name[32];
        snprintf(name, sizeof name, "skips-at%d", step);
        struct toy part = {.fault = NO_NUMBER, .from = 1, .to = 10, .has_aux = true};
        for (int k = 0; k <= step; k++) { /* a step a session */
            tl_interrupt_request();
            tl_err_clear(&err);
            assert_int_equal(session(&part, name, k > 0, &p, &err), TL_INTERRUPTED);
        }
        session_ok(&part, name, true, &p);
        check_same_run("skips", name, &t, &part);
    }
}

static void test_gives_up(void **state)
{
    (void)state;
    struct tl_supervised_params p = params();
    struct tl_err err = {0};
    struct toy t = {.fault = NO_NUMBER, .from = 1, .to = 11};
    assert_int_equal(session(&t, "gives-up", false, &p, &err), TL_NUMERIC); /* ten in a row */
    assert_non_null(strstr(err.text, "lower --lr"));
    struct tl_checkpoint *c = tl_checkpoint_open_newest(support_path(place, "gives-up"), &err);
    assert_non_null(c);
    tl_checkpoint_close(&c);
}

/* ---- schedule and average ---- */

static void test_rate(void **state)
{
    (void)state;
    struct tl_supervised_params p = {.steps = 10, .lr = 2, .warmup = 4, .schedule = 1};
    check_near(tl_train_rate(&p, 0), 0.5, 1e-12);
    check_near(tl_train_rate(&p, 3), 2, 1e-12);
    check_near(tl_train_rate(&p, 9), 2, 1e-12);
    p.schedule = 2;
    check_near(tl_train_rate(&p, 5), 1, 1e-12);
    p.schedule = 0;
    check_near(tl_train_rate(&p, 5), 1, 1e-12);
    check_near(tl_train_rate(&p, 0), 0.5, 1e-12);
    assert_true(tl_train_rate(&p, 9) > 0 && tl_train_rate(&p, 9) < 0.06);
    p.warmup = 0;
    check_near(tl_train_rate(&p, 0), 2, 1e-12);
    p.schedule = 3; /* two cosines of five steps */
    p.cycles = 2;
    check_near(tl_train_rate(&p, 0), 2, 1e-12);
    check_near(tl_train_rate(&p, 4), 1 + cos(0.8 * 3.14159265358979), 1e-12);
    check_near(tl_train_rate(&p, 5), 2, 1e-12);
    check_near(tl_train_rate(&p, 9), tl_train_rate(&p, 4), 1e-12);
    p.schedule = 4;
    p.power = 2;
    check_near(tl_train_rate(&p, 0), 2, 1e-12);
    check_near(tl_train_rate(&p, 5), 0.5, 1e-12);
    check_near(tl_train_rate(&p, 9), 0.02, 1e-12);
    static const char *const names[] = {"cosine", "constant", "linear", "restarts", "polynomial", NULL};
    for (int i = 0; i < 6; i++)
        assert_true(names[i] ? strcmp(names[i], tl_train_schedules[i]) == 0 : !tl_train_schedules[i]);
}

/* ema 0 saves the weights; the average lags behind them on their way to 1. */
static void test_average(void **state)
{
    (void)state;
    struct tl_supervised_params p = params();
    struct toy with = {0}, without = {0};
    session_ok(&with, "with", false, &p);
    p.ema = 0;
    session_ok(&without, "without", false, &p);
    support_same_metrics(support_path(place, "with"), support_path(place, "without"));
    for (int i = 0; i < VALUES; i++) assert_true(with.saved[i] > 0 && with.saved[i] < without.saved[i]);
}

static void test_order(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_task_order o;
    check_ok(tl_task_order_init(&o, 7, 10, &err), &err);
    int seen[10] = {0}, moved = 0;
    uint32_t first[10];
    for (uint64_t k = 0; k < 30; k++) {
        uint32_t item = tl_task_order_item(&o, k);
        assert_true(item < 10);
        seen[item]++;
        if (k < 10) first[k] = item;
        if (k >= 10 && k < 20) moved += item != first[k - 10];
    }
    for (int i = 0; i < 10; i++) assert_int_equal(seen[i], 3); /* each once a pass */
    assert_true(moved > 3);                                    /* in another order */
    assert_int_equal(tl_task_order_item(&o, 4), first[4]);     /* any position, any time */
    tl_task_order_finish(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_step),
                                       cmocka_unit_test(test_stopped_too_late),
                                       cmocka_unit_test(test_before_the_first_checkpoint),
                                       cmocka_unit_test(test_accumulation),
                                       cmocka_unit_test(test_validation),
                                       cmocka_unit_test(test_stopped_looking),
                                       cmocka_unit_test(test_no_steps),
                                       cmocka_unit_test(test_skips),
                                       cmocka_unit_test(test_gives_up),
                                       cmocka_unit_test(test_rate),
                                       cmocka_unit_test(test_average),
                                       cmocka_unit_test(test_order)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
