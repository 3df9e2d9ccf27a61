/* Methods that fine-tune on rewards: the run over epochs: draw, decode, score, update, watch. */
#include <stdio.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

#include "algo/ddpo.h"
#include "algo/prdp.h"
#include "base/clock.h"
#include "metrics/stats.h"
#include "run/checkpoint.h"
#include "run/train_loop.h"
#include "run/tune.h"

static void tell(const struct tl_tune *r, const char *health)
{
    if (!r->job->progress) return;
    double spent = tl_clock_s() - r->start,
           rate = r->epoch > r->start_epoch && spent > 0 ? (r->epoch - r->start_epoch) / spent : 0;
    r->job->progress(r->job->user,
                     &(struct tl_progress){.phase = r->phase,
                                           .done = r->epoch,
                                           .total = r->p->epochs,
                                           .unit = "epochs",
                                           .rate = rate,
                                           .seconds_left = rate > 0 ? (r->p->epochs - r->epoch) / rate : -1,
                                           .health = health});
}

static void enter(struct tl_tune *r, const char *phase)
{
    r->phase = phase;
    r->runs = 0;
    r->told = 0;
}

bool tl_tune_go_on(void *run)
{
    struct tl_tune *r = run;
    char health[64];
    double now = tl_clock_s();
    r->runs++;
    if (now - r->told > 0.25) {
        snprintf(health, sizeof health, "network run %llu", (unsigned long long)r->runs);
        tell(r, health);
        r->told = now;
    }
    return !tl_interrupted();
}

/* What a whole epoch costs: pictures that are scored, samples through the network; a gradient counts as a
 * forward run and two more. */
static void count(struct tl_tune *r)
{
    const struct tl_policy_trainer *t = r->trainer;
    bool drawn = tl_tune_draws(r, r->epoch);
    r->queries += drawn ? r->n_drawn : 0;
    r->evaluations += drawn ? r->n_drawn * t->p.loss.n_steps : 0;
    r->evaluations += t->n * t->n_learn;
    r->evaluations += (uint64_t)t->p.passes * t->n * t->n_learn * 4;
}

/* Of the epoch under way. */
static double learning_rate(const struct tl_tune *r)
{
    const struct tl_supervised_params p = {.lr = r->p->lr, .steps = r->p->epochs, .schedule = r->p->schedule};
    return tl_train_rate(&p, r->epoch);
}

/* What is left of the epoch: of one that an interrupt broke off, the updates. */
static bool one_epoch(struct tl_tune *r, struct tl_err *err)
{
    struct tl_policy_conditions c = tl_tune_conditions(r);
    enter(r, "drawing");
    if (!r->in_epoch && !(tl_tune_draws(r, r->epoch) ? tl_tune_draw(r, err)
                                                     : tl_policy_trainer_snapshot(r->trainer, &c, err)))
        return false;
    r->in_epoch = true;
    enter(r, "learning");
    r->trainer->p.adamw.lr = learning_rate(r);
    if (!tl_policy_trainer_update(r->trainer, &c, r->signal, (uint32_t)r->epoch, &r->at, err)) return false;
    count(r);
    r->epoch++;
    r->in_epoch = false;
    char health[128];
    snprintf(health, sizeof health, "reward %.3f, KL %.2f nats, clip %.0f %%",
             tl_stats_mean(r->rewards, r->n_drawn), r->at.kl_ref_nats,
             100 * r->at.clip_fraction / (r->at.updates > 0 ? (double)r->at.updates : 1));
    enter(r, r->method->name);
    tell(r, health);
    bool ok = tl_tune_watch_epoch(r, err);
    r->at = (struct tl_policy_epoch){0};
    return ok;
}

/* A checkpoint of where the run stands, then TL_INTERRUPTED. */
static bool leave(struct tl_tune *r, struct tl_err *err)
{
    struct tl_err why = {0};
    if (!tl_tune_save(r, false, &why)) return tl_err_set(err, why.code, "%s", why.text);
    return tl_err_set(err, TL_INTERRUPTED, "training was interrupted %s epoch %d",
                      r->in_epoch ? "in the midst of" : "after", r->in_epoch ? r->epoch + 1 : r->epoch);
}

/* What an interrupt ended stands in a checkpoint; everything else is an error as it is. */
static bool end(struct tl_tune *r, const struct tl_err *why, struct tl_err *err)
{
    if (why->code == TL_INTERRUPTED) return leave(r, err);
    return tl_err_set(err, why->code, "epoch %d: %s", r->epoch, why->text);
}

/* Between epochs: readings and checkpoint where they are due. *out_stop: the run is at its end. */
static bool between(struct tl_tune *r, bool *out_stop, struct tl_err *err)
{
    const struct tl_tune_params *p = r->p;
    bool best = false, stop = false, last = r->epoch >= p->epochs || r->stopped[0];
    bool due = last || (p->eval_every && r->epoch % p->eval_every == 0);
    if (!tl_tune_watch_guards(r, !last, &stop, err)) return false;
    if ((due || stop) && r->read_epoch != r->epoch) {
        enter(r, "reading");
        if (!tl_tune_watch_evals(r, false, &best, err)) return false;
        r->read_epoch = r->epoch;
        if (!tl_tune_watch_guards(r, !last && !stop, &stop, err)) return false;
    }
    last |= stop;
    if ((last || best || r->epoch % p->checkpoint_every == 0) && !tl_tune_save(r, best, err)) return false;
    *out_stop = last;
    return true;
}

/* A run that is resumed where it was done reads once more, for the report alone: its rows, samples and
 * checkpoint stand. */
static bool read_again(struct tl_tune *r, struct tl_err *err)
{
    struct tl_err why = {0};
    enter(r, "reading");
    bool ok = tl_tune_eval_read(r, &r->trained, false, &why) &&
              (!r->others.n || tl_tune_eval_read(r, &r->others, false, &why));
    return ok || end(r, &why, err);
}

static bool epochs(struct tl_tune *r, struct tl_err *err)
{
    r->start = tl_clock_s();
    r->start_epoch = r->epoch;
    bool stop = false;
    struct tl_err why = {0};
    if ((r->epoch >= r->p->epochs || r->stopped[0]) && r->read_epoch == r->epoch) return read_again(r, err);
    while (true) {
        if (r->epoch > 0 && !r->in_epoch && !between(r, &stop, &why)) return end(r, &why, err);
        if (stop) return true;
        if (tl_interrupted()) return leave(r, err);
        if (!one_epoch(r, &why)) return end(r, &why, err);
    }
}

/* What the untouched model gives: the scale of summed rewards, and the readings that the report compares
 * with. */
static bool read_untouched(struct tl_tune *r, struct tl_err *err)
{
    bool best;
    if (!tl_tune_standardise(r, err)) return false;
    if (r->untouched_read) return true;
    enter(r, "reading the untouched model");
    tell(r, "");
    if (!tl_tune_watch_evals(r, true, &best, err)) return false;
    r->untouched_read = true;
    return tl_tune_save(r, best, err); /* from here on a run can go on, whatever ends it */
}

/* An interrupt leaves a checkpoint, so that the folder can be resumed; a reward that does not take the
 * pictures leaves nothing. */
static bool begin(struct tl_tune *r, struct tl_err *err)
{
    struct tl_err why = {0};
    if (read_untouched(r, &why)) return true;
    if (why.code == TL_INTERRUPTED) return leave(r, err);
    tl_training_forget(&r->t);
    return tl_err_set(err, why.code, "%s", why.text);
}

static bool save_model_as(struct tl_tune *r, const char *name, struct tl_err *err)
{
    struct tl_str path = {0};
    bool ok =
        tl_run_folder_path(r->t.folder, name, &path, err) &&
        tl_pipeline_save(r->pipeline, path.data, &(struct tl_pipeline_save_params){.dtype = TL_ST_F32}, err);
    tl_str_finish(&path);
    return ok;
}

/* Beside the plan, what was really taken. */
static bool note_peak(const struct tl_tune *r, struct tl_err *err)
{
    size_t peak;
    tl_device_bytes(r->t.device, NULL, &peak);
    return tl_run_folder_note(r->t.folder, "device_peak_bytes", cJSON_CreateNumber((double)peak), err);
}

/* With --full: model/, and model-best/ from the best checkpoint where that is not the last one. The trained
 * weights are then those. */
static bool save_models(struct tl_tune *r, struct tl_err *err)
{
    if (!r->p->full) return true;
    if (!save_model_as(r, "model", err)) return false;
    if (r->best_epoch <= 0 || r->best_epoch == r->epoch) return true;
    struct tl_checkpoint *c = tl_checkpoint_open_best(r->t.folder->path, err);
    bool ok = c && tl_checkpoint_read_store(c, "weights", r->trainer->weights, err) &&
              save_model_as(r, "model-best", err);
    tl_checkpoint_close(&c);
    return ok;
}

static bool train(const struct tl_tune_method *method, const struct tl_job *job, struct tl_options *options,
                  const void *params, struct tl_err *err)
{
    struct tl_tune r = {
        .job = job, .p = params, .method = method, .best_epoch = -1, .read_epoch = -1, .phase = ""};
    bool ok = tl_tune_open(&r, options, err);
    if (ok && r.p->dry_run)
        ok = tl_tune_dry_run(&r, err);
    else if (ok)
        ok = begin(&r, err) && epochs(&r, err) && save_models(&r, err) && note_peak(&r, err) &&
             tl_tune_report(&r, err);
    tl_tune_close(&r);
    return ok;
}

bool tl_train_prdp(const struct tl_job *job, struct tl_options *options, const void *params,
                   struct tl_err *err)
{
    static const struct tl_tune_method prdp = {"prdp", tl_prdp_loss, false, false, "PRDP", "a larger --beta"};
    return train(&prdp, job, options, params, err);
}

bool tl_train_ddpo(const struct tl_job *job, struct tl_options *options, const void *params,
                   struct tl_err *err)
{
    static const struct tl_tune_method kinds[] = {
        {"ddpo", tl_ddpo_loss, true, false, "DDPO", "a smaller --clip"},
        {"ddpo", tl_ddpo_plain_loss, true, true, "DDPO, plain", "a lower --lr"}};
    return train(&kinds[((const struct tl_tune_params *)params)->estimator], job, options, params, err);
}
