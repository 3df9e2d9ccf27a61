#include "algo/policy_trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "algo/policy_chunk.h"
#include "base/checked.h"
#include "base/rng.h"
#include "models/weights.h"

bool tl_policy_trainer_check(const struct tl_policy_trainer_params *p, struct tl_err *err)
{
    if (p->group_size < 2)
        return tl_err_set(err, TL_USAGE,
                          "samples of one prompt are compared: --samples-per-prompt must be 2 or more");
    if (p->draw_size > 0 && p->draw_size < p->group_size)
        return tl_err_set(err, TL_USAGE, "--learn-samples %d: only %d --samples-per-prompt are drawn",
                          p->group_size, p->draw_size);
    if (p->n_groups < 1 || p->minibatches < 1 || p->n_groups % p->minibatches)
        return tl_err_set(err, TL_USAGE, "--minibatches %d must divide --prompts-per-epoch %d",
                          p->minibatches, p->n_groups);
    if (p->learn_steps < 0 || p->learn_steps > p->sampling.n_steps)
        return tl_err_set(err, TL_USAGE, "--learn-steps %d: there are %d --steps", p->learn_steps,
                          p->sampling.n_steps);
    if (p->sampling.eta <= 0 && !(p->sampling.sampler && strcmp(p->sampling.sampler, "ddpm") == 0))
        return tl_err_set(err, TL_USAGE,
                          "a policy needs a stochastic sampler: --eta must be above 0 (1 is the usual "
                          "choice)");
    return true;
}

/* The largest number of samples at most `most` that cuts a minibatch into equal chunks. */
static int chunk_size(int minibatch, int most)
{
    for (int b = most < minibatch ? most : minibatch; b > 1; b--)
        if (minibatch % b == 0) return b;
    return 1;
}

static bool allocate(struct tl_policy_trainer *t, struct tl_err *err)
{
    size_t all, part, steps = t->n_learn, mini = t->n / (size_t)t->p.minibatches;
    if (!tl_trajectory_init(&t->paths, t->p.loss.n_steps, t->n, t->dim, err)) return false;
    if (t->n_drawn > t->n && !tl_trajectory_init(&t->drawn, t->p.loss.n_steps, t->n_drawn, t->dim, err))
        return false;
    bool ok = tl_checked_mul(t->n * steps, t->dim, &all) && tl_checked_mul(all, sizeof(float), &all) &&
              tl_checked_mul(mini * steps, t->dim, &part) && tl_checked_mul(part, sizeof(float), &part);
    size_t drawn;
    ok = ok && tl_checked_mul(t->n_drawn * steps, t->dim, &drawn) &&
         tl_checked_mul(drawn, sizeof(float), &drawn);
    t->m_ref = ok ? malloc(all) : NULL;
    t->m_drawn = ok ? malloc(drawn) : NULL;
    t->m = ok ? malloc(part) : NULL;
    return (t->m_ref && t->m_drawn && t->m) ||
           tl_err_set(err, TL_FAIL, "out of memory for %zu trajectories of %zu steps", t->n, steps);
}

/* A model whose own sampler has no Markov chain of the network's own inputs is trained on DDIM's. */
static bool plan(struct tl_policy_trainer *t, struct tl_err *err)
{
    const struct tl_scheduler *s = t->p.scheduler;
    if (!tl_sampler_trains(tl_sampler_find(s->config.sampler))) {
        if (!t->p.sampling.sampler) t->p.sampling.sampler = "ddim";
        tl_log(TL_LOG_WARN,
               "scheduler %s is sampled by %s with its fields while training: pictures will differ from %s's",
               s->config.class_name, t->p.sampling.sampler, s->config.sampler);
    }
    if (!tl_scheduler_plan(s, &t->p.sampling, t->steps, err)) return false;
    for (int k = 0; k < t->p.sampling.n_steps; k++)
        if (t->steps[k].c_in != 1 || t->steps[k].k_prev != 0)
            return tl_err_set(err, TL_USAGE, "sampler %s cannot be trained on: take ddim or ddpm",
                              t->p.sampling.sampler);
    return true;
}

static bool make_weights(struct tl_policy_trainer *t, struct tl_err *err)
{
    struct tl_device *d = t->p.unet->store->device;
    const struct tl_store_layout *layout =
        t->p.lora ? tl_denoiser_lora_layout(t->denoiser) : t->p.unet->layout;
    t->weights = t->p.lora ? tl_store_create(d, layout, err) : t->p.unet->store;
    t->grads = t->weights ? tl_store_create(d, layout, err) : NULL;
    t->optimizer = t->grads ? tl_optimizer_create(d, layout, err) : NULL;
    if (!t->optimizer) return false;
    if (t->p.lora) return tl_weights_init(t->weights, t->p.seed, err);
    t->reference = tl_store_create(d, layout, err);
    return t->reference && tl_store_copy(t->reference, t->p.unet->store, err);
}

struct tl_policy_trainer *tl_policy_trainer_create(const struct tl_policy_trainer_params *params,
                                                   struct tl_err *err)
{
    if (!tl_policy_trainer_check(params, err)) return NULL;
    struct tl_policy_trainer *t = calloc(1, sizeof *t);
    if (!t) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    t->p = *params;
    t->n = (size_t)params->n_groups * (size_t)params->group_size;
    t->n_drawn = params->draw_size > 0 ? (size_t)params->n_groups * (size_t)params->draw_size : t->n;
    t->dim = (size_t)(params->height * params->width * params->unet->config.unet.in_channels);
    t->p.batch = chunk_size((int)t->n / params->minibatches, params->batch > 0 ? params->batch : 64);
    t->p.loss.group_size = (size_t)params->group_size;
    t->p.loss.n_groups = (size_t)(params->n_groups / params->minibatches);
    t->p.loss.n_steps = (size_t)params->sampling.n_steps;
    t->p.loss.dim = t->dim;
    t->n_learn = (size_t)(params->learn_steps > 0 && params->learn_steps < params->sampling.n_steps
                              ? params->learn_steps
                              : params->sampling.n_steps);
    t->steps = calloc((size_t)params->sampling.n_steps + 1, sizeof *t->steps);
    struct tl_denoiser_params dp = {.unet = params->unet,
                                    .batch = t->p.batch,
                                    .height = params->height,
                                    .width = params->width,
                                    .tokens = params->tokens,
                                    .guided = params->guidance > 1,
                                    .lora = params->lora,
                                    .gradient = true,
                                    .checkpoint = params->checkpoint};
    bool ok = t->steps && plan(t, err);
    for (size_t k = 0; ok && k < t->n_learn; k++) t->p.loss.n_live += t->steps[k].sigma > 0;
    t->denoiser = ok ? tl_denoiser_create(&dp, err) : NULL;
    if (t->denoiser && allocate(t, err) && make_weights(t, err)) return t;
    tl_err_set(err, TL_FAIL, "out of memory");
    tl_policy_trainer_destroy(&t);
    return NULL;
}

void tl_policy_trainer_destroy(struct tl_policy_trainer **t_ptr)
{
    struct tl_policy_trainer *t = *t_ptr;
    if (!t) return;
    if (t->p.lora) tl_store_destroy(&t->weights);
    tl_store_destroy(&t->grads);
    tl_store_destroy(&t->reference);
    tl_optimizer_destroy(&t->optimizer);
    tl_denoiser_destroy(&t->denoiser);
    tl_trajectory_finish(&t->paths);
    tl_trajectory_finish(&t->drawn);
    free(t->m_drawn);
    free(t->steps);
    free(t->m_ref);
    free(t->m);
    free(t);
    *t_ptr = NULL;
}

/* m_ref of a step is kept beside x; it does not change while the trajectories stay. */
static float *reference_at(struct tl_policy_trainer *t, size_t step, size_t sample)
{
    return t->m_ref + (step * t->n + sample) * t->dim;
}

static void fill_ratio(struct tl_policy_trainer *t, double *ratio, size_t step, size_t sample, const float *m)
{
    const float *x = tl_trajectory_at(&t->paths, step, sample),
                *x_prev = tl_trajectory_at(&t->paths, step + 1, sample);
    ratio[sample * t->p.loss.n_steps + step] = tl_log_ratio_output(
        &t->steps[step], x, m, reference_at(t, step, sample), x_prev, t->dim, t->p.loss.reduce_dims);
}

bool tl_policy_trainer_keep(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions,
                            const size_t *which, struct tl_err *err)
{
    for (size_t k = 0; t->n_drawn > t->n && k <= t->p.loss.n_steps; k++)
        for (size_t i = 0; i < t->n; i++)
            memcpy(tl_trajectory_at(&t->paths, k, i), tl_trajectory_at(&t->drawn, k, which[i]),
                   t->dim * sizeof(float));
    if (!tl_policy_trainer_reference(t, conditions, err)) return false;
    for (size_t k = 0; k < t->n_learn; k++)
        for (size_t i = 0; i < t->n; i++)
            fill_ratio(t, t->paths.old_ratio, k, i, tl_policy_drawn_output(t, k, which ? which[i] : i));
    return true;
}

/* Runs all steps of the trajectories that are there: into m_ref for the reference, into old_ratio for the
 * present policy. */
static bool walk(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions, bool reference,
                 struct tl_err *err)
{
    size_t batch = (size_t)t->p.batch;
    struct tl_policy_chunk chunk;
    bool ok = tl_policy_chunk_init(&chunk, t, err);
    for (size_t c = 0; ok && c < t->n; c += batch) {
        ok = tl_policy_chunk_condition(&chunk, conditions, c, err);
        for (size_t k = 0; ok && k < t->n_learn; k++) {
            float *m = reference ? reference_at(t, k, c) : chunk.m;
            ok = tl_policy_chunk_run(&chunk, tl_trajectory_at(&t->paths, k, c), k, reference, m, err);
            for (size_t j = 0; ok && !reference && j < batch; j++)
                fill_ratio(t, t->paths.old_ratio, k, c + j, m + j * t->dim);
        }
    }
    tl_policy_chunk_finish(&chunk);
    return ok;
}

bool tl_policy_trainer_snapshot(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions,
                                struct tl_err *err)
{
    return walk(t, conditions, false, err);
}

bool tl_policy_trainer_reference(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions,
                                 struct tl_err *err)
{
    return walk(t, conditions, true, err);
}

/* One minibatch: samples [first, first + size). */
struct minibatch {
    size_t first, size;
    double *d_ratio; /* [size][n_steps] */
};

/* Pass 1: every step's output under the present policy, kept in t->m, and its log-ratio. */
static bool pass_forward(struct tl_policy_trainer *t, struct tl_policy_chunk *chunk,
                         const struct tl_policy_conditions *conditions, const struct minibatch *mb,
                         struct tl_err *err)
{
    size_t batch = (size_t)t->p.batch;
    for (size_t c = 0; c < mb->size; c += batch) {
        if (!tl_policy_chunk_condition(chunk, conditions, mb->first + c, err)) return false;
        for (size_t k = 0; k < t->n_learn; k++) {
            float *m = t->m + (k * mb->size + c) * t->dim;
            if (!tl_policy_chunk_run(chunk, tl_trajectory_at(&t->paths, k, mb->first + c), k, false, m, err))
                return false;
            for (size_t j = 0; j < batch; j++)
                fill_ratio(t, t->paths.ratio, k, mb->first + c + j, m + j * t->dim);
        }
    }
    return true;
}

/* Pass 2: carries d loss / d ratio of each step through the network into the gradients. */
static bool pass_backward(struct tl_policy_trainer *t, struct tl_policy_chunk *chunk,
                          const struct tl_policy_conditions *conditions, const struct minibatch *mb,
                          struct tl_err *err)
{
    size_t batch = (size_t)t->p.batch, n_steps = t->p.loss.n_steps;
    for (size_t c = 0; c < mb->size; c += batch) {
        if (!tl_policy_chunk_condition(chunk, conditions, mb->first + c, err)) return false;
        for (size_t k = 0; k < t->n_learn; k++) {
            bool any = false;
            for (size_t j = 0; j < batch; j++) {
                double d = mb->d_ratio[(c + j) * n_steps + k];
                size_t i = mb->first + c + j;
                any |= d != 0 && t->steps[k].sigma > 0;
                tl_log_ratio_output_cotangent(d, &t->steps[k], tl_trajectory_at(&t->paths, k, i),
                                              t->m + (k * mb->size + c + j) * t->dim,
                                              tl_trajectory_at(&t->paths, k + 1, i), t->dim,
                                              t->p.loss.reduce_dims, chunk->m + j * t->dim);
            }
            if (any && !tl_policy_chunk_backward(chunk, tl_trajectory_at(&t->paths, k, mb->first + c), k,
                                                 chunk->m, err))
                return false;
        }
    }
    return true;
}

/* The gradients of an update that was broken off. */
static bool forget_gradients(struct tl_policy_trainer *t, struct tl_err *err)
{
    struct tl_err why = {0};
    if (!tl_store_zero(t->grads, &why)) return tl_err_set(err, why.code, "%s", why.text);
    return false;
}

static bool update(struct tl_policy_trainer *t, struct tl_policy_chunk *chunk,
                   const struct tl_policy_conditions *conditions, const double *signal, struct minibatch *mb,
                   struct tl_policy_epoch *out, struct tl_err *err)
{
    size_t n_steps = t->p.loss.n_steps;
    struct tl_policy_stats stats;
    double norm;
    bool skipped;
    if (!pass_forward(t, chunk, conditions, mb, err)) return false;
    if (!t->p.objective(&t->p.loss, t->paths.ratio + mb->first * n_steps,
                        t->paths.old_ratio + mb->first * n_steps, signal + mb->first, mb->d_ratio, &stats,
                        err))
        return false;
    if (!pass_backward(t, chunk, conditions, mb, err)) return forget_gradients(t, err);
    if (!tl_optimizer_step(t->optimizer, &t->p.adamw, t->weights, t->grads, 1, &norm, &skipped, err))
        return false;
    if (out->updates == 0) out->first = stats;
    out->last = stats;
    out->updates++;
    out->skipped += skipped;
    out->loss += stats.loss;
    if (!skipped) out->grad_norm += norm;
    out->clip_fraction += stats.clip_fraction;
    out->ratio_move += stats.drift_max;
    return true;
}

static double kl_to_reference(const struct tl_policy_trainer *t)
{
    double sum = 0; /* E_old[log pi_old - log pi_ref] over its own trajectories */
    for (size_t i = 0; i < t->n * t->p.loss.n_steps; i++) sum += t->paths.old_ratio[i];
    double dims = t->p.loss.reduce_dims == TL_LOG_RATIO_MEAN ? (double)t->dim : 1;
    return sum * dims / (double)t->n;
}

bool tl_policy_trainer_update(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions,
                              const double *signal, uint32_t number, struct tl_policy_epoch *epoch,
                              struct tl_err *err)
{
    if (epoch->updates == 0) epoch->kl_ref_nats = kl_to_reference(t);
    uint32_t m = (uint32_t)t->p.minibatches;
    int64_t all = (int64_t)t->p.passes * t->p.minibatches;
    struct minibatch mb = {.size = t->n / m};
    struct tl_policy_chunk chunk;
    uint32_t *order = malloc(m * sizeof *order);
    mb.d_ratio = malloc(mb.size * t->p.loss.n_steps * sizeof *mb.d_ratio);
    bool ok = tl_policy_chunk_init(&chunk, t, err) &&
              ((order && mb.d_ratio) || tl_err_set(err, TL_FAIL, "out of memory"));
    while (ok && epoch->updates < all) {
        struct tl_rng_key key = {.seed = t->p.seed,
                                 .stream = TL_RNG_MINIBATCH,
                                 .sample = (uint32_t)(epoch->updates / m),
                                 .step = number};
        tl_rng_permute(key, m, order);
        mb.first = order[epoch->updates % m] * mb.size;
        ok = update(t, &chunk, conditions, signal, &mb, epoch, err);
    }
    if (ok && epoch->skipped == all)
        ok = tl_err_set(err, TL_NUMERIC, "none of the epoch's %lld gradients was finite; try a lower --lr",
                        (long long)all);
    free(order);
    free(mb.d_ratio);
    tl_policy_chunk_finish(&chunk);
    return ok;
}
