#include "sample/sampler_run.h"

#include <stdlib.h>
#include <string.h>

#include "sample/walk.h"

static void keep(const struct tl_walk *w, struct tl_trajectory *t)
{
    if (t) memcpy(tl_trajectory_at(t, w->k, w->first), w->x, w->n * w->dim * sizeof(float));
}

/* scratch [n]: log-probabilities of a step. */
static bool one_batch(struct tl_walk *w, struct tl_trajectory *t, double *log_prob, double *scratch,
                      struct tl_err *err)
{
    const struct tl_sampler_run *r = w->run;
    keep(w, t);
    while (w->k < r->n_steps) {
        size_t k = w->k;
        if (!tl_walk_predict(w, err) || !tl_walk_advance(w, NULL, log_prob ? scratch : NULL, NULL, err))
            return false;
        for (size_t i = 0; log_prob && i < w->n; i++) log_prob[(w->first + i) * r->n_steps + k] = scratch[i];
        keep(w, t);
        size_t done = w->first * r->n_steps + w->n * w->k;
        if (r->after_step && !r->after_step(r->user, done, k, w->first, w->n, w->x, err)) return false;
    }
    return true;
}

bool tl_sampler_run(const struct tl_sampler_run *r, float *out, struct tl_trajectory *t, double *log_prob,
                    struct tl_err *err)
{
    size_t n_batch = (size_t)r->batch, m;
    double *scratch = malloc(n_batch * sizeof *scratch);
    bool ok = scratch || tl_err_set(err, TL_FAIL, "out of memory for %d samples", r->batch);
    for (size_t first = 0; ok && first < r->n; first += m) {
        struct tl_walk w;
        m = r->n - first < n_batch ? r->n - first : n_batch;
        ok = tl_walk_begin(&w, r, first, m, err);
        if (ok && t && (t->n_steps != r->n_steps || t->n_samples != r->n || t->dim != w.dim))
            ok = tl_err_set(err, TL_FAIL, "the trajectory has other sizes than the run");
        ok = ok && one_batch(&w, t, log_prob, scratch, err);
        if (ok) memcpy(out + first * w.dim, w.x, m * w.dim * sizeof(float));
        tl_walk_finish(&w);
    }
    free(scratch);
    return ok;
}
