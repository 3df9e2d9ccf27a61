#include "run/train_loop.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

#include "base/clock.h"
#include "nn/optimizer.h"
#include "run/checkpoint.h"
#include "run/run_metrics.h"

enum { MOST_SKIPPED = 10, KEEP = 2 };

struct loop {
    const struct tl_job *job;
    const struct tl_supervised_params *p;
    struct tl_run_folder *folder;
    struct tl_task *task;
    struct tl_optimizer *main, *aux;
    struct tl_store *ema;
    struct tl_run_metrics *metrics;
    int step; /* steps taken, skipped ones too */
    double sums[TL_TASK_METRICS +
                1];        /* since the last row, of updates that were made; the norm behind the metrics */
    int n_sums, n_skipped; /* skipped in a row */
    double start, last_progress, loss;
    int start_step;
};

double tl_train_rate(const struct tl_supervised_params *p, int k)
{
    double warm = p->warmup > 0 && k < p->warmup ? (k + 1.0) / p->warmup : 1, done = (double)k / p->steps;
    switch (p->schedule) {
    case 1:
        return p->lr * warm;
    case 2:
        return p->lr * warm * (1 - done);
    default:
        return p->lr * warm * 0.5 * (1 + cos(3.14159265358979323846 * done));
    }
}

static int n_metrics(const struct tl_task *t)
{
    int n = 0;
    while (n < TL_TASK_METRICS && t->metrics[n]) n++;
    return n;
}

/* Stores of a checkpoint; the same list saves and loads. */
static size_t list_stores(const struct loop *l, struct tl_checkpoint_store out[8])
{
    size_t n = 0;
    out[n++] = (struct tl_checkpoint_store){.name = "weights", .store = l->task->weights};
    out[n++] = (struct tl_checkpoint_store){.name = "adam_m", .store = l->main->m};
    out[n++] = (struct tl_checkpoint_store){.name = "adam_v", .store = l->main->v};
    if (l->ema) out[n++] = (struct tl_checkpoint_store){.name = "ema", .store = l->ema};
    if (l->aux) {
        out[n++] = (struct tl_checkpoint_store){.name = "aux_weights", .store = l->task->aux_weights};
        out[n++] = (struct tl_checkpoint_store){.name = "aux_adam_m", .store = l->aux->m};
        out[n++] = (struct tl_checkpoint_store){.name = "aux_adam_v", .store = l->aux->v};
    }
    return n;
}

static bool save_checkpoint(struct loop *l, struct tl_err *err)
{
    struct tl_checkpoint_store stores[8];
    size_t n = list_stores(l, stores);
    int metrics = n_metrics(l->task) + 1;
    cJSON *state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "step", l->step);
    cJSON_AddNumberToObject(state, "updates", (double)l->main->step);
    if (l->aux) cJSON_AddNumberToObject(state, "aux_updates", (double)l->aux->step);
    cJSON_AddNumberToObject(state, "n_skipped", l->n_skipped);
    cJSON_AddNumberToObject(state, "n_sums", l->n_sums);
    cJSON_AddItemToObject(state, "sums", cJSON_CreateDoubleArray(l->sums, metrics));
    bool ok = tl_run_metrics_sync(l->metrics, err) &&
              tl_checkpoint_save(l->folder->path, l->step,
                                 &(struct tl_checkpoint_params){
                                     .stores = stores, .n_stores = n, .state = state, .keep = KEEP},
                                 err);
    cJSON_Delete(state);
    return ok;
}

/* What save_checkpoint wrote into state.json. */
static bool load_state(struct loop *l, const cJSON *state, struct tl_err *err)
{
    int64_t step = 0, updates = 0, aux_updates = 0, n_sums = 0, n_skipped = 0;
    if (!tl_json_int(state, "step", 0, &step, err) || !tl_json_int(state, "updates", 0, &updates, err) ||
        !tl_json_int(state, "aux_updates", updates, &aux_updates, err) ||
        !tl_json_int(state, "n_sums", 0, &n_sums, err) ||
        !tl_json_int(state, "n_skipped", 0, &n_skipped, err))
        return false;
    const cJSON *sums = tl_json_get(state, "sums");
    if (step < 0 || step > INT_MAX || updates < 0 || n_sums < 0 || n_sums > step ||
        cJSON_GetArraySize(sums) != n_metrics(l->task) + 1)
        return tl_err_set(err, TL_BAD_INPUT, "state.json is of another method or version");
    for (int i = 0; i <= n_metrics(l->task); i++) l->sums[i] = cJSON_GetArrayItem(sums, i)->valuedouble;
    l->step = (int)step;
    l->n_sums = (int)n_sums;
    l->n_skipped = n_skipped > 0 && n_skipped < MOST_SKIPPED ? (int)n_skipped : 0;
    l->main->step = (uint64_t)updates;
    if (l->aux) l->aux->step = (uint64_t)aux_updates;
    return true;
}

static bool load_checkpoint(struct loop *l, struct tl_err *err)
{
    struct tl_checkpoint *c = tl_checkpoint_open_newest(l->folder->path, err);
    if (!c) return false;
    struct tl_checkpoint_store stores[8];
    size_t n = list_stores(l, stores);
    bool ok = load_state(l, tl_checkpoint_state(c), err);
    for (size_t i = 0; ok && i < n; i++)
        ok = tl_checkpoint_read_store(c, stores[i].name, stores[i].store, err);
    if (ok)
        tl_log(TL_LOG_INFO, "going on from step %d", l->step);
    else
        tl_err_add(err, "%s", tl_checkpoint_path(c));
    tl_checkpoint_close(&c);
    return ok;
}

static bool update(struct loop *l, double *out_norm, bool *out_skipped, struct tl_err *err)
{
    const struct tl_supervised_params *p = l->p;
    struct tl_adamw_params adamw = {tl_train_rate(p, l->step), p->beta1,    p->beta2, 1e-8,
                                    p->weight_decay,           p->clip_norm};
    bool aux_skipped = false;
    double aux_norm;
    if (!tl_optimizer_step(l->main, &adamw, l->task->weights, l->task->grads, 1, out_norm, out_skipped, err))
        return false;
    if (l->aux && !tl_optimizer_step(l->aux, &adamw, l->task->aux_weights, l->task->aux_grads, 1, &aux_norm,
                                     &aux_skipped, err))
        return false;
    l->n_skipped = *out_skipped ? l->n_skipped + 1 : 0;
    if (l->n_skipped >= MOST_SKIPPED)
        return tl_err_set(err, TL_NUMERIC, "the gradient was not finite %d times in a row; try a lower --lr",
                          MOST_SKIPPED);
    if (*out_skipped) {
        tl_log(TL_LOG_WARN, "step %d: the gradient is not finite, update skipped", l->step);
        return true;
    }
    /* early on the average follows closely, so that it does not remember the random start */
    double decay = fmin(p->ema, (l->step + 1.0) / (l->step + 10.0));
    return !l->ema || tl_optimizer_average(l->main, l->ema, l->task->weights, decay, err);
}

/* Means since the last row; none where every update since then was skipped. */
static bool write_row(struct loop *l, struct tl_err *err)
{
    if (l->n_sums == 0) return true;
    struct tl_run_metric row[TL_TASK_METRICS + 2];
    int n = n_metrics(l->task);
    for (int i = 0; i < n; i++) row[i] = (struct tl_run_metric){l->task->metrics[i], l->sums[i] / l->n_sums};
    row[n] = (struct tl_run_metric){"grad_norm", l->sums[n] / l->n_sums};
    row[n + 1] = (struct tl_run_metric){"lr", tl_train_rate(l->p, l->step - 1)};
    memset(l->sums, 0, sizeof l->sums);
    l->n_sums = 0;
    return tl_run_metrics_append(l->metrics, "train", l->step, row, (size_t)n + 2, err);
}

static void report(struct loop *l, bool last)
{
    double now = tl_clock_s();
    if (!l->job->progress || (!last && now - l->last_progress < 0.5)) return;
    l->last_progress = now;
    char health[64];
    double rate = (l->step - l->start_step) / fmax(now - l->start, 1e-6);
    snprintf(health, sizeof health, "%s %.4f", l->task->metrics[0], l->loss);
    l->job->progress(l->job->user,
                     &(struct tl_progress){.phase = "training",
                                           .done = l->step,
                                           .total = l->p->steps,
                                           .unit = "steps",
                                           .rate = rate,
                                           .seconds_left = rate > 0 ? (l->p->steps - l->step) / rate : -1,
                                           .health = health});
}

static bool one_step(struct loop *l, struct tl_err *err)
{
    double values[TL_TASK_METRICS] = {0}, norm = 0;
    int n = n_metrics(l->task);
    bool skipped = false;
    if (!l->task->gradient(l->task->self, (uint64_t)l->step, values, err) || !update(l, &norm, &skipped, err))
        return tl_err_add(err, "step %d", l->step);
    if (!skipped) {
        for (int i = 0; i < n; i++) l->sums[i] += values[i];
        l->sums[n] += norm;
        l->n_sums++;
        l->loss = l->loss == 0 ? values[0] : 0.95 * l->loss + 0.05 * values[0];
    }
    l->step++;
    bool last = l->step == l->p->steps;
    if ((l->step % l->p->log_every == 0 || last) && !write_row(l, err)) return false;
    if ((l->step % l->p->save_every == 0 || last) && !save_checkpoint(l, err)) return false;
    return true;
}

static bool run(struct loop *l, struct tl_err *err)
{
    l->start = tl_clock_s();
    l->start_step = l->step;
    while (l->step < l->p->steps) {
        if (!one_step(l, err)) return false;
        report(l, false);
        if (tl_interrupted() && l->step < l->p->steps) {
            if (l->step % l->p->save_every != 0 && !save_checkpoint(l, err)) return false;
            return tl_interrupt_check("training", err);
        }
    }
    report(l, true);
    struct tl_str path = {0};
    bool ok = tl_run_folder_path(l->folder, "model", &path, err) &&
              l->task->save(l->task->self, l->ema ? l->ema : l->task->weights, path.data, err);
    tl_str_finish(&path);
    return ok;
}

static bool prepare(struct loop *l, struct tl_device *d, struct tl_err *err)
{
    l->main = tl_optimizer_create(d, l->task->weights->layout, err);
    l->aux =
        l->main && l->task->aux_weights ? tl_optimizer_create(d, l->task->aux_weights->layout, err) : NULL;
    if (!l->main || (l->task->aux_weights && !l->aux)) return false;
    if (l->p->ema > 0) {
        l->ema = tl_store_create(d, l->task->weights->layout, err);
        if (!l->ema || !tl_store_copy(l->ema, l->task->weights, err)) return false;
    }
    if (l->folder->resumes && !load_checkpoint(l, err)) return false;
    l->metrics = tl_run_metrics_open(l->folder->path, l->folder->resumes ? l->step : -1, err);
    return l->metrics != NULL;
}

bool tl_train_loop(const struct tl_job *job, const struct tl_supervised_params *params,
                   struct tl_device *device, struct tl_run_folder *folder, struct tl_task *task,
                   struct tl_err *err)
{
    struct loop l = {.job = job, .p = params, .folder = folder, .task = task};
    bool ok = prepare(&l, device, err) && run(&l, err);
    tl_run_metrics_close(&l.metrics);
    tl_optimizer_destroy(&l.main);
    tl_optimizer_destroy(&l.aux);
    tl_store_destroy(&l.ema);
    return ok;
}
