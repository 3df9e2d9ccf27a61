/* Validation: the mean square error on held-out pictures, at fixed timesteps and with fixed noise, so that
 * numbers of one model differ by its weights alone, whatever the run's seed. */
#include <tiller/interrupt.h>

#include "run/task_sft_parts.h"

#define SEED UINT64_C(0x76616c6964617465) /* "validate" */

/* Picture number i of the held-out ones (`sample`) in stratum k: the strata cut the timesteps into equal
 * parts, and within a part pictures spread evenly (multiples of the golden ratio). No posterior noise, no
 * flips, captions as they are. */
static void fill_row(struct tl_sft *s, int j, int i, uint32_t sample, uint32_t k)
{
    const struct tl_scheduler *scheduler = &s->pipeline->scheduler;
    const struct tl_moments *m = &s->set.moments[i];
    size_t n = (size_t)m->height * (size_t)m->width * (size_t)s->set.channels;
    float *x = s->x + (size_t)j * n, *target = s->target + (size_t)j * n;
    uint32_t place = (sample + 1) * UINT32_C(2654435769); /* 2^32 times the fraction of (i + 1) phi */
    size_t time = (size_t)((double)scheduler->noise.n * (k + place / 4294967296.0) / TL_SFT_STRATA);
    for (size_t e = 0; e < n; e++) s->noise[e] = 0;
    tl_encoded_set_latent(&s->set, &s->pipeline->vae->config.vae, i, s->noise, x);
    tl_rng_normal((struct tl_rng_key){SEED, TL_RNG_TRAIN_NOISE, sample, k}, 0, n, s->noise);
    tl_noise_target(&scheduler->noise, scheduler->config.prediction, time, x, s->noise, n, target);
    tl_noise_add(&scheduler->noise, time, x, s->noise, n, x);
    s->t[j] = (float)time;
}

void tl_sft_validation_names(const struct tl_sft *s, const char *out[TL_TASK_METRICS])
{
    static const char *const loss[] = {"loss", "loss_t1", "loss_t2", "loss_t3", "loss_t4"},
                             *const mse[] = {"mse", "mse_t1", "mse_t2", "mse_t3", "mse_t4"};
    for (int k = 0; k <= TL_SFT_STRATA; k++) out[k] = s->p.snr_gamma > 0 ? mse[k] : loss[k];
}

static bool run_rows(struct tl_sft *s, struct tl_exec *e, struct tl_err *err)
{
    return tl_exec_write(e, "sample", s->x, err) && tl_exec_write(e, "timestep", s->t, err) &&
           tl_exec_write(e, "context", s->context, err) && tl_exec_write(e, "target", s->target, err) &&
           tl_exec_run(e, err) && tl_exec_read(e, "rows", s->rows, err);
}

/* out: the mean over everything, then that of each stratum, the least noisy one first. */
bool tl_sft_validate(void *self, struct tl_store *weights, double out[TL_TASK_METRICS], struct tl_err *err)
{
    struct tl_sft *s = self;
    double sums[TL_SFT_STRATA] = {0};
    uint32_t n = 0;
    for (uint64_t number = 0; number < s->held_out.per_pass; number++) {
        if (!tl_interrupt_check("validation", err)) return false;
        struct tl_batch batch = tl_batches_get(&s->held_out, number);
        const struct tl_moments *m = &s->set.moments[batch.pictures[0]];
        struct tl_exec *e = tl_sft_plan_get(s, m->height, m->width, false, err);
        if (!e || !tl_sft_bind(s, e, TL_SFT_UNET, weights, false, err) ||
            !tl_sft_contexts(s, batch.pictures, NULL, weights, err))
            return false;
        for (uint32_t k = 0; k < TL_SFT_STRATA; k++) {
            for (int j = 0; j < s->p.batch; j++) fill_row(s, j, batch.pictures[j], n + (uint32_t)j, k);
            if (!run_rows(s, e, err)) return false;
            for (int j = 0; j < batch.n_own; j++) sums[k] += (double)s->rows[j];
        }
        n += (uint32_t)batch.n_own;
    }
    out[0] = 0;
    for (int k = 0; k < TL_SFT_STRATA; k++) {
        out[1 + k] = sums[k] / n;
        out[0] += sums[k] / n / TL_SFT_STRATA;
    }
    return true;
}
