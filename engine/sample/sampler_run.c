#include "sample/sampler_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sample/latents.h"

/* One batch under way. */
struct batch {
    size_t first, m;          /* its samples */
    size_t dim;               /* floats of one */
    float *x, *model, *noise; /* [batch][dim] */
    float *t;                 /* [batch] */
    struct tl_condition_rows rows;
};

static uint32_t number_of(const struct tl_sampler_run *r, size_t i)
{
    return r->numbers ? r->numbers[i] : (uint32_t)i;
}

static void begin(const struct tl_sampler_run *r, struct batch *b)
{
    for (size_t i = 0; i < (size_t)r->batch; i++) {
        size_t from = b->first + (i < b->m ? i : b->m - 1);
        if (r->initial)
            memcpy(b->x + i * b->dim, r->initial + from * b->dim, b->dim * sizeof(float));
        else
            tl_latents_initial(r->seed, number_of(r, from), b->dim, b->x + i * b->dim);
    }
    struct tl_encoding prompts =
        *r->prompts; /* a view from the batch's first sample on, where prompts go by sample */
    if (!r->prompt) {
        prompts.context += b->first * b->rows.n_context;
        if (prompts.pooled) prompts.pooled += b->first * b->rows.n_pooled;
    }
    struct tl_encoding negative = r->negative ? *r->negative : prompts;
    if (!r->prompt && r->negative && negative.n > 1) {
        negative.context += b->first * b->rows.n_context;
        if (negative.pooled) negative.pooled += b->first * b->rows.n_pooled;
    }
    tl_condition_rows_set(&b->rows, &prompts, r->prompt ? r->prompt + b->first : NULL, b->m, &negative);
}

/* log N of noise z under a step of that sigma, given z itself. */
static double log_density(const float *z, size_t n, double sigma)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)z[i] * z[i];
    return -0.5 * sum - (double)n * (log(sigma) + 0.918938533204672742); /* log sqrt(2 pi) */
}

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static bool one_step(const struct tl_sampler_run *r, struct batch *b, size_t k, double *log_prob,
                     struct tl_err *err)
{
    const struct tl_step *s = &r->steps[k];
    for (size_t i = 0; i < (size_t)r->batch; i++) b->t[i] = (float)s->t;
    if (!tl_denoiser_run(r->denoiser, r->weights, b->x, b->t, &b->rows.condition, r->guidance, b->model, err))
        return false;
    for (size_t i = 0; i < b->m && s->sigma > 0; i++) {
        float *z = b->noise + i * b->dim;
        tl_latents_step_noise(r->seed, number_of(r, b->first + i), (uint32_t)k, b->dim, z);
        if (log_prob) log_prob[(b->first + i) * r->n_steps + k] = log_density(z, b->dim, s->sigma);
    }
    tl_step_apply(s, b->x, b->model, s->sigma > 0 ? b->noise : NULL, b->m * b->dim, b->x, NULL);
    for (size_t i = b->m; i < (size_t)r->batch; i++)
        memcpy(b->x + i * b->dim, b->x + (b->m - 1) * b->dim, b->dim * sizeof(float));
    return all_finite(b->x, b->m * b->dim) ||
           tl_err_set(err, TL_NUMERIC,
                      "the denoiser gave a value that is not finite at step %zu of %zu (timestep %d)", k + 1,
                      r->n_steps, s->t);
}

static void keep(const struct batch *b, struct tl_trajectory *t, size_t slot)
{
    if (t) memcpy(tl_trajectory_at(t, slot, b->first), b->x, b->m * b->dim * sizeof(float));
}

static bool one_batch(const struct tl_sampler_run *r, struct batch *b, struct tl_trajectory *t,
                      double *log_prob, struct tl_err *err)
{
    begin(r, b);
    keep(b, t, 0);
    for (size_t k = 0; k < r->n_steps; k++) {
        if (!one_step(r, b, k, log_prob, err)) return false;
        keep(b, t, k + 1);
        size_t done = b->first * r->n_steps + b->m * (k + 1);
        if (r->after_step && !r->after_step(r->user, done, k, b->first, b->m, b->x, err)) return false;
    }
    return true;
}

bool tl_sampler_run(const struct tl_sampler_run *r, float *out, struct tl_trajectory *t, double *log_prob,
                    struct tl_err *err)
{
    const struct tl_unet_config *c = &r->pipeline->unet->config.unet;
    int factor = tl_vae_factor(&r->pipeline->vae->config.vae);
    bool guided = tl_guidance_active(r->guidance);
    size_t dim = (size_t)r->height * (size_t)r->width * (size_t)c->in_channels, n_batch = (size_t)r->batch;
    if (guided && !r->negative)
        return tl_err_set(err, TL_FAIL, "guidance needs the negative prompt's encoding");
    if (t && (t->n_steps != r->n_steps || t->n_samples != r->n || t->dim != dim))
        return tl_err_set(err, TL_FAIL, "the trajectory has other sizes than the run");
    struct batch b = {.dim = dim};
    bool ok = tl_condition_rows_init(&b.rows, r->pipeline, n_batch, guided, r->height * factor,
                                     r->width * factor, err);
    b.x = malloc(n_batch * dim * sizeof(float));
    b.model = malloc(n_batch * dim * sizeof(float));
    b.noise = malloc(n_batch * dim * sizeof(float));
    b.t = malloc(n_batch * sizeof(float));
    ok = ok && ((b.x && b.model && b.noise && b.t) ||
                tl_err_set(err, TL_FAIL, "out of memory for %d samples", r->batch));
    if (ok && log_prob) memset(log_prob, 0, r->n * r->n_steps * sizeof *log_prob);
    for (; ok && b.first < r->n; b.first += b.m) {
        b.m = r->n - b.first < n_batch ? r->n - b.first : n_batch;
        ok = one_batch(r, &b, t, log_prob, err);
        if (ok) memcpy(out + b.first * dim, b.x, b.m * dim * sizeof(float));
    }
    tl_condition_rows_finish(&b.rows);
    free(b.x);
    free(b.model);
    free(b.noise);
    free(b.t);
    return ok;
}
