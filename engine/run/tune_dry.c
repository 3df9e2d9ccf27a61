/* --dry-run: what a run would take besides memory: disk, evaluations, time. Times are of one network run and
 * one gradient with the untouched weights, one picture decoded and scored. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

#include "base/clock.h"
#include "base/str.h"
#include "io/file.h"
#include "run/tune.h"

struct seconds {
    double run, gradient, decode, reward, held_out; /* a chunk, a chunk, a picture each */
};

struct counts {
    double epochs, draws, readings, read_samples, chunks, n;
};

static struct counts count(const struct tl_tune *r)
{
    const struct tl_tune_params *p = r->p;
    struct counts c = {.epochs = p->epochs, .n = (double)r->trainer->n};
    for (int e = 0; e < p->epochs; e++) c.draws += tl_tune_draws(r, e);
    c.readings = 2 + (p->eval_every ? (p->epochs - 1) / p->eval_every : 0);
    c.read_samples = (double)(r->trained.n + r->others.n);
    c.chunks = c.n / r->trainer->p.batch;
    return c;
}

/* One run and one gradient on zeros. */
static bool time_network(struct tl_tune *r, struct seconds *s, struct tl_err *err)
{
    const struct tl_policy_trainer *t = r->trainer;
    size_t batch = (size_t)t->p.batch, rows = t->p.guidance > 1 ? 2 * batch : batch;
    float *x = calloc(batch * t->dim + batch, sizeof *x), *m = calloc(batch * t->dim, sizeof *m);
    float *context = calloc(rows * (size_t)r->encoding.tokens * (size_t)r->encoding.width, sizeof *context);
    const struct tl_condition c = {.context = context};
    const struct tl_denoiser_weights w = {.lora = t->p.lora ? t->weights : NULL,
                                          .grads = t->grads,
                                          .lora_scale = t->p.lora ? t->p.lora->alpha / t->p.lora->rank : 0};
    bool ok = (x && m && context) || tl_err_set(err, TL_FAIL, "out of memory");
    s->run = s->gradient = 0;
    for (int k = 0; ok && k < 2 && s->run + s->gradient < 5;
         k++) { /* the first may be slowed by new memory */
        double at = tl_clock_s();
        ok = tl_denoiser_run(t->denoiser, &w, x, x + batch * t->dim, &c, t->p.guidance, m, err);
        s->run = tl_clock_s() - at;
        at = tl_clock_s();
        ok = ok && tl_interrupt_check("measuring", err) &&
             tl_denoiser_backward(t->denoiser, &w, x, x + batch * t->dim, &c, t->p.guidance, m, err);
        s->gradient = tl_clock_s() - at;
    }
    free(x);
    free(m);
    free(context);
    return ok;
}

/* A reward may not like the picture: then its time is taken all the same. */
static double time_reward(struct tl_tune *r, struct tl_reward_set *set, const uint8_t *rgb)
{
    const struct tl_tune_pictures one = {rgb, 0, 1, tl_tune_prompt, r};
    struct tl_err why = {0};
    double part[64], at = tl_clock_s();
    if (!set || tl_reward_set_count(set) > 64) return 0;
    (void)tl_tune_score(r, set, &one, NULL, part, &why);
    return tl_clock_s() - at;
}

static bool time_all(struct tl_tune *r, struct seconds *s, struct tl_err *err)
{
    float *latents = calloc(r->trainer->dim, sizeof *latents);
    bool ok = (latents || tl_err_set(err, TL_FAIL, "out of memory")) && time_network(r, s, err);
    double at = tl_clock_s();
    int batch = 1; /* a batch takes as long whatever is in it */
    ok = ok &&
         tl_latent_codec_prepare(r->codec, tl_tune_decode_most(r), r->latent_h, r->latent_w, &batch, err) &&
         tl_tune_decode(r, latents, 1, r->rgb, err);
    s->decode = (tl_clock_s() - at) / batch;
    if (ok) {
        s->reward = time_reward(r, r->reward, r->rgb);
        s->held_out = time_reward(r, r->held_out, r->rgb);
    }
    free(latents);
    return ok;
}

static const char *span(double seconds, char out[32])
{
    if (seconds < 90)
        snprintf(out, 32, "%.1f s", seconds);
    else if (seconds < 90 * 60)
        snprintf(out, 32, "%.0f min", seconds / 60);
    else if (seconds < 48 * 3600)
        snprintf(out, 32, "%.1f h", seconds / 3600);
    else
        snprintf(out, 32, "%.1f days", seconds / 86400);
    return out;
}

static void tell_time(const struct tl_tune *r, const struct counts *c, const struct seconds *s)
{
    const struct tl_policy_trainer *t = r->trainer;
    double steps = (double)t->p.loss.n_steps, learn = (double)t->n_learn;
    double draw = c->chunks * (steps + learn) * s->run + c->n * (s->decode + s->reward),
           update = t->p.passes * c->chunks * learn * (s->run + s->gradient),
           snapshot = c->chunks * learn * s->run;
    double reading = c->read_samples / t->p.batch * steps * s->run +
                     c->read_samples * (s->decode + s->reward + s->held_out);
    double all =
        c->draws * draw + (c->epochs - c->draws) * snapshot + c->epochs * update + c->readings * reading;
    char text[5][32];
    tl_log(TL_LOG_NOTE,
           "time: %s a network run of %d samples, %s a gradient, %s a picture decoded, %s scored",
           span(s->run, text[0]), t->p.batch, span(s->gradient, text[1]), span(s->decode, text[2]),
           span(s->reward, text[3]));
    tl_log(TL_LOG_NOTE, "time: about %s an epoch (drawing %s, learning %s), %s a reading, %s in all",
           span((all - c->readings * reading) / c->epochs, text[0]), span(draw, text[1]),
           span(update, text[2]), span(reading, text[3]), span(all, text[4]));
}

static void tell_evaluations(const struct tl_tune *r, const struct counts *c)
{
    const struct tl_policy_trainer *t = r->trainer;
    double steps = (double)t->p.loss.n_steps, learn = (double)t->n_learn;
    double network = c->draws * c->n * (steps + learn) + (c->epochs - c->draws) * c->n * learn +
                     c->epochs * t->p.passes * c->n * learn * 2 + c->readings * c->read_samples * steps;
    tl_log(
        TL_LOG_NOTE,
        "evaluations: %.0f samples through the network (%.0f of them with a gradient), %.0f pictures scored "
        "for training, %.0f in %.0f readings; %.0f updates",
        network, c->epochs * t->p.passes * c->n * learn, c->draws * c->n, c->readings * c->read_samples,
        c->readings, c->epochs * t->p.passes * t->p.minibatches);
}

/* Of the nearest folder above PATH that is there. */
static uint64_t disk_free(const char *path)
{
    struct tl_str at = {0};
    struct statvfs v;
    uint64_t bytes = 0;
    tl_str_printf(&at, "%s", path && *path ? path : ".");
    while (at.data && statvfs(at.data, &v) != 0 && errno == ENOENT) {
        char *slash = strrchr(at.data, '/');
        if (slash == at.data) break;
        if (slash)
            *slash = 0;
        else {
            tl_str_clear(&at);
            tl_str_printf(&at, ".");
        }
    }
    if (at.data && statvfs(at.data, &v) == 0) bytes = (uint64_t)v.f_bavail * v.f_frsize;
    tl_str_finish(&at);
    return bytes;
}

static void tell_disk(const struct tl_tune *r, const struct counts *c)
{
    const struct tl_policy_trainer *t = r->trainer;
    uint64_t weights = (uint64_t)t->weights->layout->n_elements * sizeof(float);
    size_t shown = r->trained.n_shown + r->others.n_shown;
    uint64_t checkpoint = 3 * weights + shown * r->bytes;
    if (r->p->resample_every != 1)
        checkpoint += (uint64_t)(t->p.loss.n_steps + 1) * t->n * t->dim * sizeof(float);
    uint64_t kept = (uint64_t)r->p->keep + (r->held_out ? 1 : 0) + 1; /* one more while it is written */
    uint64_t result = r->p->full ? weights : 4 * weights;             /* two forms, newest and best */
    uint64_t pictures = (uint64_t)c->readings * 2 * shown * r->bytes; /* singly and as a grid, at most */
    uint64_t all = kept * checkpoint + result + pictures, left = disk_free(r->p->out);
    char text[5][32];
    tl_log(TL_LOG_NOTE, "disk: %s (%llu checkpoints of %s, %s of weights as files, at most %s of pictures)",
           tl_memory_text(all, text[0]), (unsigned long long)kept, tl_memory_text(checkpoint, text[1]),
           tl_memory_text(result, text[2]), tl_memory_text(pictures, text[3]));
    if (left)
        tl_log(all > left ? TL_LOG_WARN : TL_LOG_NOTE, "disk: %s free at %s%s", tl_memory_text(left, text[4]),
               r->p->out && *r->p->out ? r->p->out : ".", all > left ? ": that is too little" : "");
}

bool tl_tune_dry_run(struct tl_tune *r, struct tl_err *err)
{
    if (!r->trainer) {
        tl_log(TL_LOG_NOTE, "the run does not fit into this machine's memory: nothing more was looked at");
        return true;
    }
    struct counts c = count(r);
    struct seconds s = {0};
    tell_disk(r, &c);
    tell_evaluations(r, &c);
    if (!time_all(r, &s, err)) return false;
    tell_time(r, &c, &s);
    tl_log(TL_LOG_NOTE, "nothing was trained and nothing written: leave --dry-run out to begin");
    return true;
}
