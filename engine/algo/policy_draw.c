/* Sampling from the policy: a draw that is kept, and samples that are only looked at. */
#include <stdlib.h>
#include <string.h>

#include "algo/policy_chunk.h"
#include "base/rng.h"

/* Where the draw stands. */
static const struct tl_trajectory *drawn(const struct tl_policy_trainer *t)
{
    return t->n_drawn > t->n ? &t->drawn : &t->paths;
}

float *tl_policy_drawn_output(const struct tl_policy_trainer *t, size_t step, size_t sample)
{
    return t->m_drawn + (step * t->n_drawn + sample) * t->dim;
}

bool tl_policy_trainer_draw(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions,
                            uint32_t first_sample, struct tl_err *err)
{
    size_t batch = (size_t)t->p.batch, n_steps = t->p.loss.n_steps;
    const struct tl_trajectory *paths = drawn(t);
    struct tl_policy_chunk chunk;
    float *noise = malloc(t->dim * sizeof *noise);
    bool ok = tl_policy_chunk_init(&chunk, t, err) && (noise || tl_err_set(err, TL_FAIL, "out of memory"));
    for (size_t i = 0; ok && i < t->n_drawn; i++)
        tl_rng_normal((struct tl_rng_key){.seed = t->p.seed,
                                          .stream = TL_RNG_INIT_LATENT,
                                          .sample = first_sample + (uint32_t)i},
                      0, t->dim, tl_trajectory_at(paths, 0, i));
    for (size_t c = 0; ok && c < t->n_drawn; c += batch) {
        ok = tl_policy_chunk_condition(&chunk, conditions, c, err);
        for (size_t k = 0; ok && k < n_steps; k++) {
            float *m = k < t->n_learn ? tl_policy_drawn_output(t, k, c) : chunk.m;
            ok = tl_policy_chunk_run(&chunk, tl_trajectory_at(paths, k, c), k, false, m, err);
            for (size_t j = 0; ok && j < batch; j++) {
                struct tl_rng_key key = {.seed = t->p.seed,
                                         .stream = TL_RNG_SAMPLER,
                                         .sample = first_sample + (uint32_t)(c + j),
                                         .step = (uint32_t)k};
                tl_rng_normal(key, 0, t->dim, noise);
                tl_step_apply(&t->steps[k], tl_trajectory_at(paths, k, c + j), m + j * t->dim, noise, t->dim,
                              tl_trajectory_at(paths, k + 1, c + j), NULL);
            }
        }
    }
    free(noise);
    tl_policy_chunk_finish(&chunk);
    return ok;
}

const float *tl_policy_trainer_results(const struct tl_policy_trainer *t)
{
    return tl_trajectory_slot(drawn(t), t->p.loss.n_steps);
}

bool tl_policy_trainer_sample(struct tl_policy_trainer *t, const struct tl_policy_conditions *conditions,
                              size_t n, uint64_t seed, uint32_t first, bool reference, float *out,
                              struct tl_err *err)
{
    size_t batch = (size_t)t->p.batch;
    struct tl_policy_chunk chunk;
    float *x = malloc(batch * t->dim * sizeof *x), *noise = malloc(t->dim * sizeof *noise);
    bool ok =
        tl_policy_chunk_init(&chunk, t, err) && ((x && noise) || tl_err_set(err, TL_FAIL, "out of memory"));
    for (size_t c = 0; ok && c < n; c += batch) {
        size_t here = n - c < batch ? n - c : batch; /* the last chunk is filled up with its first sample */
        chunk.n_real = here;
        ok = tl_policy_chunk_condition(&chunk, conditions, c, err);
        for (size_t j = 0; ok && j < batch; j++)
            tl_rng_normal((struct tl_rng_key){.seed = seed,
                                              .stream = TL_RNG_INIT_LATENT,
                                              .sample = first + (uint32_t)(c + (j < here ? j : 0))},
                          0, t->dim, x + j * t->dim);
        for (size_t k = 0; ok && k < t->p.loss.n_steps; k++) {
            ok = tl_policy_chunk_run(&chunk, x, k, reference, chunk.m, err);
            for (size_t j = 0; ok && j < here; j++) {
                struct tl_rng_key key = {.seed = seed,
                                         .stream = TL_RNG_SAMPLER,
                                         .sample = first + (uint32_t)(c + j),
                                         .step = (uint32_t)k};
                tl_rng_normal(key, 0, t->dim, noise);
                tl_step_apply(&t->steps[k], x + j * t->dim, chunk.m + j * t->dim, noise, t->dim,
                              x + j * t->dim, NULL);
            }
        }
        if (ok) memcpy(out + c * t->dim, x, here * t->dim * sizeof *out);
    }
    free(x);
    free(noise);
    tl_policy_chunk_finish(&chunk);
    return ok;
}
