#include "sample/walk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/finite.h"
#include "sample/latents.h"

static uint32_t number_of(const struct tl_walk *w, size_t i)
{
    return w->run->numbers ? w->run->numbers[w->first + i] : (uint32_t)(w->first + i);
}

static bool allocate(struct tl_walk *w, struct tl_err *err)
{
    size_t batch = (size_t)w->run->batch, most = w->n > batch ? w->n : batch, bytes, row_bytes;
    if (!tl_checked_mul(w->n, w->dim, &bytes) || !tl_checked_mul(bytes, sizeof(float), &bytes) ||
        !tl_checked_mul(most, w->dim, &row_bytes) || !tl_checked_mul(row_bytes, sizeof(float), &row_bytes))
        return tl_err_set(err, TL_USAGE, "%zu samples are too many", w->n);
    w->x = malloc(bytes);
    w->model = malloc(bytes);
    w->x0 = malloc(bytes);
    w->noise = malloc(w->dim * sizeof *w->noise);
    w->rows = malloc(row_bytes);
    w->t = malloc(batch * sizeof *w->t);
    bool looks_back = tl_steps_look_back(w->run->steps, w->run->n_steps);
    w->x0_prev = looks_back ? malloc(bytes) : NULL;
    return (w->x && w->model && w->x0 && w->noise && w->rows && w->t && (w->x0_prev || !looks_back)) ||
           tl_err_set(err, TL_FAIL, "out of memory for %zu samples", w->n);
}

/* out may be x. A factor of 1 keeps every bit. */
static void scale(const float *x, double by, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = (float)(by * (double)x[i]);
}

bool tl_walk_begin(struct tl_walk *w, const struct tl_sampler_run *r, size_t first, size_t n,
                   struct tl_err *err)
{
    const struct tl_unet_config *c = &r->pipeline->unet->config.unet;
    int factor = tl_vae_factor(&r->pipeline->vae->config.vae);
    bool guided = tl_guidance_active(r->guidance);
    *w = (struct tl_walk){.run = r,
                          .first = first,
                          .n = n,
                          .dim = (size_t)r->height * (size_t)r->width * (size_t)c->in_channels};
    if (guided && !r->negative)
        return tl_err_set(err, TL_FAIL, "guidance needs the negative prompt's encoding");
    if (!tl_condition_rows_init(&w->conditions, r->pipeline, (size_t)r->batch, guided, r->height * factor,
                                r->width * factor, err) ||
        !allocate(w, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (r->initial)
            memcpy(w->x + i * w->dim, r->initial + (first + i) * w->dim, w->dim * sizeof(float));
        else
            tl_latents_initial(r->seed, number_of(w, i), w->dim, w->x + i * w->dim);
    if (r->n_steps > 0) scale(w->x, r->steps[0].start, n * w->dim, w->x);
    return true;
}

void tl_walk_finish(struct tl_walk *w)
{
    tl_condition_rows_finish(&w->conditions);
    free(w->x);
    free(w->model);
    free(w->x0);
    free(w->x0_prev);
    free(w->noise);
    free(w->rows);
    free(w->t);
    *w = (struct tl_walk){0};
}

/* Conditions of m samples from number `at` of the walk on. */
static void set_conditions(struct tl_walk *w, size_t at, size_t m)
{
    const struct tl_sampler_run *r = w->run;
    size_t from = w->first + at;
    struct tl_encoding prompts = *r->prompts; /* a view from there on, where prompts go by sample */
    if (!r->prompt) {
        prompts.context += from * w->conditions.n_context;
        if (prompts.pooled) prompts.pooled += from * w->conditions.n_pooled;
    }
    struct tl_encoding negative = r->negative ? *r->negative : prompts;
    if (!r->prompt && r->negative && negative.n > 1) {
        negative.context += from * w->conditions.n_context;
        if (negative.pooled) negative.pooled += from * w->conditions.n_pooled;
    }
    tl_condition_rows_set(&w->conditions, &prompts, r->prompt ? r->prompt + from : NULL, m, &negative);
}

/* What the network sees of m samples from number `at` on: c_in x, the last once more up to the batch. */
static const float *network_rows(struct tl_walk *w, size_t at, size_t m)
{
    double c_in = w->run->steps[w->k].c_in;
    size_t batch = (size_t)w->run->batch;
    const float *x = w->x + at * w->dim;
    if (c_in == 1 && m == batch) return x;
    scale(x, c_in, m * w->dim, w->rows);
    for (size_t i = m; i < batch; i++)
        memcpy(w->rows + i * w->dim, w->rows + (m - 1) * w->dim, w->dim * sizeof(float));
    return w->rows;
}

static bool network_run(struct tl_walk *w, size_t at, size_t m, struct tl_err *err)
{
    const struct tl_sampler_run *r = w->run;
    float *model = w->model + at * w->dim, *out = m == (size_t)r->batch ? model : w->rows;
    set_conditions(w, at, m);
    if (!tl_denoiser_run(r->denoiser, r->weights, network_rows(w, at, m), w->t, &w->conditions.condition,
                         r->guidance, out, err))
        return false;
    if (out != model) memcpy(model, out, m * w->dim * sizeof(float));
    return true;
}

bool tl_walk_predict(struct tl_walk *w, struct tl_err *err)
{
    const struct tl_sampler_run *r = w->run;
    const struct tl_step *s = &r->steps[w->k];
    size_t batch = (size_t)r->batch, m;
    for (size_t i = 0; i < batch; i++) w->t[i] = (float)s->t;
    for (size_t at = 0; at < w->n; at += m) {
        m = w->n - at < batch ? w->n - at : batch;
        if (!network_run(w, at, m, err)) return false;
    }
    if (!tl_all_finite(w->model, w->n * w->dim))
        return tl_err_set(err, TL_NUMERIC,
                          "the denoiser gave a value that is not finite at step %zu of %zu (timestep %g)",
                          w->k + 1, r->n_steps, s->t);
    for (size_t i = 0; i < w->n * w->dim; i++)
        w->x0[i] = (float)tl_step_x0_at(s, (double)w->x[i], (double)w->model[i]);
    w->predicted = true;
    return true;
}

/* m samples from number `at` on; cot: room for a run of the network. */
static bool pull_back(struct tl_walk *w, size_t at, size_t m, const float *d_x0, float *cot, float *out,
                      struct tl_err *err)
{
    const struct tl_sampler_run *r = w->run;
    const struct tl_step *s = &r->steps[w->k];
    const float *x = w->x + at * w->dim, *model = w->model + at * w->dim;
    size_t n = m * w->dim;
    memset(cot, 0, (size_t)r->batch * w->dim * sizeof *cot);
    for (size_t i = 0; i < n; i++)
        if (!tl_step_clips_at(s, (double)x[i], (double)model[i])) cot[i] = (float)(s->p_m * (double)d_x0[i]);
    set_conditions(w, at, m);
    if (!tl_denoiser_pullback(r->denoiser, r->weights, network_rows(w, at, m), w->t, &w->conditions.condition,
                              r->guidance, cot, cot, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        double direct = tl_step_clips_at(s, (double)x[i], (double)model[i]) ? 0 : s->p_x * (double)d_x0[i];
        out[i] = (float)(direct + s->c_in * (double)cot[i]);
    }
    return true;
}

bool tl_walk_pullback(struct tl_walk *w, const float *d_x0, float *out_d_x, struct tl_err *err)
{
    size_t batch = (size_t)w->run->batch, m;
    if (!w->predicted) return tl_err_set(err, TL_FAIL, "the walk has not predicted x0 of this step");
    float *cot = malloc(batch * w->dim * sizeof *cot);
    bool ok = cot || tl_err_set(err, TL_FAIL, "out of memory for %zu samples", batch);
    for (size_t at = 0; ok && at < w->n; at += m) {
        m = w->n - at < batch ? w->n - at : batch;
        ok = pull_back(w, at, m, d_x0 + at * w->dim, cot, out_d_x + at * w->dim, err);
    }
    free(cot);
    return ok;
}

void tl_walk_gather_rows(struct tl_walk *w, float *array, const size_t *ancestors)
{
    size_t bytes = w->dim * sizeof *array;
    memcpy(w->rows, array, w->n * bytes);
    for (size_t i = 0; i < w->n; i++)
        if (ancestors[i] != i) memcpy(array + i * w->dim, w->rows + ancestors[i] * w->dim, bytes);
}

void tl_walk_gather(struct tl_walk *w, const size_t *ancestors)
{
    tl_walk_gather_rows(w, w->x, ancestors);
    if (w->x0_prev && w->k > 0) tl_walk_gather_rows(w, w->x0_prev, ancestors);
    if (!w->predicted) return;
    tl_walk_gather_rows(w, w->model, ancestors);
    tl_walk_gather_rows(w, w->x0, ancestors);
}

/* log N of noise z under a step of that sigma, given z itself. */
static double log_density(const float *z, size_t n, double sigma)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)z[i] * z[i];
    return -0.5 * sum - (double)n * (log(sigma) + 0.918938533204672742); /* log sqrt(2 pi) */
}

/* Adds the shift; z becomes the noise that the base transition would have needed to come to the same place.
 * Returns log p - log tau. */
static double add_shift(const float *shift, size_t n, double sigma, float *x, float *z)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)shift[i] / sigma;
        sum -= d * ((double)z[i] + 0.5 * d);
        x[i] += shift[i];
        z[i] += (float)d;
    }
    return sum;
}

bool tl_walk_advance(struct tl_walk *w, const float *shift, double *out_log_prob, double *out_log_ratio,
                     struct tl_err *err)
{
    const struct tl_step *s = &w->run->steps[w->k];
    if (shift && !(s->sigma > 0))
        return tl_err_set(err, TL_USAGE, "step %zu adds no noise, so its mean cannot be shifted", w->k + 1);
    for (size_t i = 0; i < w->n; i++) {
        float *x = w->x + i * w->dim;
        double ratio = 0;
        if (s->sigma > 0)
            tl_latents_step_noise(w->run->seed, number_of(w, i), (uint32_t)w->k, w->dim, w->noise);
        tl_step_apply_after(s, x, w->model + i * w->dim, w->x0_prev ? w->x0_prev + i * w->dim : NULL,
                            s->sigma > 0 ? w->noise : NULL, w->dim, x);
        if (shift) ratio = add_shift(shift + i * w->dim, w->dim, s->sigma, x, w->noise);
        if (out_log_ratio) out_log_ratio[i] = ratio;
        if (out_log_prob) out_log_prob[i] = s->sigma > 0 ? log_density(w->noise, w->dim, s->sigma) : 0;
    }
    if (w->x0_prev) memcpy(w->x0_prev, w->x0, w->n * w->dim * sizeof(float));
    w->predicted = false;
    w->k++;
    return tl_all_finite(w->x, w->n * w->dim) ||
           tl_err_set(err, TL_NUMERIC, "a sample is not finite after step %zu of %zu (timestep %g)", w->k,
                      w->run->n_steps, s->t);
}
