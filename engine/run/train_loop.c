#include <math.h>
#include <stdio.h>
#include <string.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>
#include <tiller/report.h>

#include "base/clock.h"
#include "run/train_loop_inner.h"

static bool update(struct tl_loop *l, double *out_norm, bool *out_skipped, struct tl_err *err)
{
    const struct tl_supervised_params *p = l->p;
    struct tl_adamw_params adamw = {tl_train_rate(p, l->step), p->beta1,    p->beta2, p->adam_eps,
                                    p->weight_decay,           p->clip_norm};
    double scale = 1.0 / p->accumulate, aux_norm;
    bool aux_skipped = false;
    if (!tl_optimizer_step(l->main, &adamw, l->task->weights, l->task->grads, scale, out_norm, out_skipped,
                           err))
        return false;
    if (l->aux && !tl_optimizer_step(l->aux, &adamw, l->task->aux_weights, l->task->aux_grads, scale,
                                     &aux_norm, &aux_skipped, err))
        return false;
    l->n_skipped = *out_skipped ? l->n_skipped + 1 : 0;
    if (l->n_skipped >= TL_LOOP_MOST_SKIPPED)
        return tl_err_set(err, TL_NUMERIC, "the gradient was not finite %d times in a row; try a lower --lr",
                          TL_LOOP_MOST_SKIPPED);
    if (*out_skipped && l->main->step == 0 && l->step + 1 == p->steps)
        return tl_err_set(err, TL_NUMERIC,
                          "the gradient was never finite: not one of %d updates was made; is --model whole? "
                          "else try a lower --lr",
                          p->steps);
    if (*out_skipped) {
        tl_log(TL_LOG_WARN, "step %d: the gradient is not finite, update skipped", l->step);
        return true;
    }
    /* early on the average follows closely, so that it does not remember the random start */
    double decay = fmin(p->ema, (l->step + 1.0) / (l->step + 10.0));
    return !l->ema || tl_optimizer_average(l->main, l->ema, l->task->weights, decay, err);
}

/* Means since the last row; none where every update since then was skipped. */
static bool write_row(struct tl_loop *l, struct tl_err *err)
{
    if (l->n_sums == 0) return true;
    struct tl_run_metric row[TL_TASK_METRICS + 2];
    int n = tl_loop_count(l->task->metrics);
    for (int i = 0; i < n; i++) row[i] = (struct tl_run_metric){l->task->metrics[i], l->sums[i] / l->n_sums};
    row[n] = (struct tl_run_metric){"grad_norm", l->sums[n] / l->n_sums};
    row[n + 1] = (struct tl_run_metric){"lr", tl_train_rate(l->p, l->step - 1)};
    memset(l->sums, 0, sizeof l->sums);
    l->n_sums = 0;
    return tl_run_metrics_append(l->metrics, "train", l->step, row, (size_t)n + 2, err);
}

static void report(struct tl_loop *l, bool last)
{
    double now = tl_clock_s();
    if (!l->job->progress || (!last && now - l->last_progress < 0.5)) return;
    l->last_progress = now;
    char health[96];
    double rate = (l->step - l->start_step) / fmax(now - l->start, 1e-6);
    int n = snprintf(health, sizeof health, "%s %.4f", l->task->metrics[0], l->loss);
    if (l->best_step >= 0) snprintf(health + n, sizeof health - (size_t)n, ", held out %.4f", l->last_loss);
    l->job->progress(l->job->user,
                     &(struct tl_progress){.phase = "training",
                                           .done = l->step,
                                           .total = l->p->steps,
                                           .unit = "steps",
                                           .rate = rate,
                                           .seconds_left = rate > 0 ? (l->p->steps - l->step) / rate : -1,
                                           .health = health});
}

/* The gradient of one step, batch by batch, with means of what they report. Asked to stop between two
 * batches: *out_dropped, nothing is kept of them. */
static bool gather(struct tl_loop *l, double out[TL_TASK_METRICS], bool *out_dropped, struct tl_err *err)
{
    int n = tl_loop_count(l->task->metrics), parts = l->p->accumulate;
    for (int part = 0; part < parts; part++) {
        double values[TL_TASK_METRICS] = {0};
        if (!l->task->gradient(l->task->self, (uint64_t)l->step, (uint32_t)part, values, err)) return false;
        for (int i = 0; i < n; i++) out[i] += values[i] / parts;
        *out_dropped = part < parts - 1 && tl_interrupted();
        if (*out_dropped)
            return tl_store_zero(l->task->grads, err) &&
                   (!l->task->aux_grads || tl_store_zero(l->task->aux_grads, err));
    }
    return true;
}

/* Looks and the checkpoint after a step. Asked to stop within a look: the step is kept, the look is made when
 * the run goes on. */
static bool finish_step(struct tl_loop *l, struct tl_err *err)
{
    struct tl_err why = {0};
    if (!tl_loop_look(l, &why)) {
        if (why.code != TL_INTERRUPTED) return tl_err_set(err, why.code, "%s", why.text);
        return tl_loop_save(l, err) && tl_err_set(err, TL_INTERRUPTED, "training was interrupted");
    }
    bool due = l->step % l->p->save_every == 0 || l->step == l->p->steps || l->best_step == l->step;
    return l->step == 0 || !due || tl_loop_save(l, err);
}

static bool one_step(struct tl_loop *l, struct tl_err *err)
{
    double values[TL_TASK_METRICS] = {0}, norm = 0;
    int n = tl_loop_count(l->task->metrics);
    bool skipped = false, dropped = false;
    if (!gather(l, values, &dropped, err)) return tl_err_add(err, "step %d", l->step);
    if (dropped) return true;
    if (!update(l, &norm, &skipped, err)) return tl_err_add(err, "step %d", l->step);
    if (!skipped) {
        for (int i = 0; i < n; i++) l->sums[i] += values[i];
        l->sums[n] += norm;
        l->n_sums++;
        l->loss = l->loss == 0 ? values[0] : 0.95 * l->loss + 0.05 * values[0];
    }
    l->step++;
    bool last = l->step == l->p->steps;
    if ((l->step % l->p->log_every == 0 || last) && !write_row(l, err)) return false;
    l->looks = tl_loop_looks_due(l);
    return finish_step(l, err);
}

static bool run(struct tl_loop *l, struct tl_err *err)
{
    l->start = tl_clock_s();
    l->start_step = l->step;
    if (!l->folder->resumes) l->looks = tl_loop_looks_due(l);
    if (l->looks && !finish_step(l, err)) return false;
    while (l->step < l->p->steps) {
        if (!one_step(l, err)) return false;
        report(l, false);
        if (tl_interrupted() && l->step < l->p->steps)
            return tl_loop_save(l, err) && tl_interrupt_check("training", err);
    }
    report(l, true);
    return l->task->save(l->task->self, tl_loop_weights(l), l->folder->path, err) &&
           tl_loop_summary(l, err) && tl_report_write(l->folder->path, err);
}

static bool prepare(struct tl_loop *l, struct tl_device *d, struct tl_err *err)
{
    l->main = tl_optimizer_create(d, l->task->weights->layout, err);
    l->aux =
        l->main && l->task->aux_weights ? tl_optimizer_create(d, l->task->aux_weights->layout, err) : NULL;
    if (!l->main || (l->task->aux_weights && !l->aux)) return false;
    if (l->p->ema > 0) {
        l->ema = tl_store_create(d, l->task->weights->layout, err);
        if (!l->ema || !tl_store_copy(l->ema, l->task->weights, err)) return false;
    }
    if (l->folder->resumes && !tl_loop_load(l, err)) return false;
    l->metrics =
        tl_run_metrics_reopen(l->folder->path, l->folder->resumes ? l->step : -1, l->resumed_rows, err);
    return l->metrics != NULL;
}

bool tl_train_loop(const struct tl_job *job, const struct tl_supervised_params *params,
                   struct tl_device *device, struct tl_run_folder *folder, struct tl_task *task,
                   struct tl_err *err)
{
    struct tl_supervised_params own = *params;
    if (own.accumulate < 1) own.accumulate = 1; /* methods without the option */
    struct tl_loop l = {.job = job,
                        .p = &own,
                        .folder = folder,
                        .task = task,
                        .best_step = -1,
                        .last_step = -1,
                        .saved_step = -1,
                        .resumed_rows = -1};
    bool ok = prepare(&l, device, err) && run(&l, err);
    tl_run_metrics_close(&l.metrics);
    tl_optimizer_destroy(&l.main);
    tl_optimizer_destroy(&l.aux);
    tl_store_destroy(&l.ema);
    return ok;
}
