#include "algo/support_toy.h"

#include "support/check.h"

const struct toy_mixture toy_line = {
    .dim = 1,
    .n = 3,
    .weight = {.5, .3, .2},
    .mean = {{-2}, {.5}, {2.5}},
    .variance = {.25, .16, .09},
};

#define NINTH 1.0 / 9
const struct toy_mixture toy_grid = {
    .dim = 2,
    .n = 9,
    .weight = {NINTH, NINTH, NINTH, NINTH, NINTH, NINTH, NINTH, NINTH, NINTH},
    .mean = {{-4, -4}, {-4, 0}, {-4, 4}, {0, -4}, {0, 0}, {0, 4}, {4, -4}, {4, 0}, {4, 4}},
    .variance = {.3, .3, .3, .3, .3, .3, .3, .3, .3},
};

/* All that a resampling gathers. */
struct particle {
    double x[TOY_DIM];
    struct toy_posterior now;
    struct tl_lineage lineage;
    double log_g; /* beside lineage.log_g: summed from what was returned */
};

/* Share of signal before step s: cos^2 of equal angles, 1 behind the last. */
static double signal(int s)
{
    static double table[TOY_STEPS + 1];
    if (table[TOY_STEPS] == 0)
        for (int i = 0; i <= TOY_STEPS; i++)
            table[i] = pow(cos(0.48 * 3.14159265358979 * (TOY_STEPS - i) / TOY_STEPS), 2);
    return table[s];
}

static void predict(const struct toy_mixture *m, double a, const double *x, struct toy_posterior *out)
{
    double sum = 0, top = -INFINITY;
    out->n = m->n;
    for (int i = 0; i < m->n; i++) {
        double v = a * m->variance[i] + 1 - a, square = 0;
        for (int d = 0; d < m->dim; d++) {
            double off = x[d] - sqrt(a) * m->mean[i][d];
            square += off * off;
            out->mean[i][d] = m->mean[i][d] + sqrt(a) * m->variance[i] / v * off;
        }
        out->variance[i] = m->variance[i] * (1 - a) / v;
        out->p[i] = log(m->weight[i]) - 0.5 * m->dim * log(v) - square / (2 * v);
        top = fmax(top, out->p[i]);
    }
    for (int i = 0; i < m->n; i++) sum += out->p[i] = exp(out->p[i] - top);
    memset(out->x0, 0, sizeof out->x0);
    for (int i = 0; i < m->n; i++) {
        out->p[i] /= sum;
        for (int d = 0; d < m->dim; d++) out->x0[d] += out->p[i] * out->mean[i][d];
    }
}

static struct tl_rng_key noise_key(uint64_t seed, size_t slot, int step)
{
    return (struct tl_rng_key){
        .seed = seed, .stream = TL_RNG_SAMPLER, .sample = (uint32_t)slot, .step = (uint32_t)step};
}

static int pick(const double *p, int n, double u)
{
    int i = 0;
    for (; i < n - 1 && u >= p[i]; i++) u -= p[i];
    return i;
}

/* x_T from its exact marginal. */
static void start(const struct toy_mixture *m, struct tl_rng_key key, double *x)
{
    float z[2 * TOY_DIM];
    double a = signal(0);
    tl_rng_normal(key, 0, 2 * TOY_DIM, z);
    int i = pick(m->weight, m->n, (double)tl_rng_uniform(key, 4));
    for (int d = 0; d < m->dim; d++) {
        double x0 = m->mean[i][d] + sqrt(m->variance[i]) * (double)z[2 * d];
        x[d] = sqrt(a) * x0 + sqrt(1 - a) * (double)z[2 * d + 1];
    }
}

/* x_{t-1} of step s; shift: the guide g of each dimension, or none. Returns log p / tau of the draw. */
static double advance(const struct toy_mixture *m, int s, struct tl_rng_key key, const double *g,
                      struct particle *p)
{
    float z[2 * TOY_DIM];
    double now = signal(s), next = signal(s + 1), alpha = now / next, log_ratio = 0;
    double variance = (1 - next) * (1 - alpha) / (1 - now);
    tl_rng_normal(key, 0, 2 * TOY_DIM, z);
    int i = pick(p->now.p, m->n, (double)tl_rng_uniform(key, 4));
    for (int d = 0; d < m->dim; d++) {
        double x0 = p->now.mean[i][d] + sqrt(p->now.variance[i]) * (double)z[2 * d];
        double mu =
            sqrt(next) * (1 - alpha) / (1 - now) * x0 + sqrt(alpha) * (1 - next) / (1 - now) * p->x[d];
        double shift = g ? variance * g[d] : 0;
        p->x[d] = mu + shift + sqrt(variance) * (double)z[2 * d + 1];
        if (g) log_ratio += -g[d] * (p->x[d] - mu) + variance * g[d] * g[d] / 2;
    }
    return log_ratio;
}

static double reward_of(const struct toy *t, const double *x)
{
    return (t->scale != 0 ? t->scale : 1) * t->reward(x) + t->shift;
}

/* r_t of a particle: by its posterior, by the mean of it, or by draws from it. */
static double look(const struct toy *t, struct tl_rng_key key, const struct toy_posterior *now)
{
    double r[TOY_DRAWS], x[TOY_DIM] = {0};
    float z[TOY_DIM];
    if (t->value) return t->value(t->lambda, now);
    if (t->n_draws == 0) return reward_of(t, now->x0);
    key.stream = TL_RNG_DRAWS;
    for (uint32_t j = 0; j < t->n_draws; j++) {
        int i = pick(now->p, t->data->n, (double)tl_rng_uniform(key, 4 * j + 2));
        tl_rng_normal(key, 4 * j, TOY_DIM, z);
        for (int d = 0; d < t->data->dim; d++) x[d] = now->mean[i][d] + sqrt(now->variance[i]) * (double)z[d];
        r[j] = reward_of(t, x);
    }
    return tl_potential_value(t->lambda, r, t->n_draws);
}

static void weigh(struct tl_smc *smc, const double *log_g)
{
    struct tl_err err = {0};
    check_ok(tl_smc_weigh(smc, log_g, &err), &err);
}

static void score(const struct toy *t, uint64_t seed, int s, struct tl_smc *smc, struct particle *p)
{
    double log_g[TOY_K];
    struct particle old[TOY_K];
    for (size_t i = 0; i < t->k; i++) {
        double r = look(t, noise_key(seed, i, s), &p[i].now);
        log_g[i] = tl_potential_step(t->potential, t->lambda, r, &p[i].lineage);
        p[i].log_g += log_g[i];
    }
    weigh(smc, log_g);
    if (tl_smc_resample(smc, (uint32_t)s)) {
        memcpy(old, p, t->k * sizeof *p);
        for (size_t i = 0; i < t->k; i++) p[i] = old[smc->ancestors[i]];
    } else if (t->mistake == TOY_DROPS_WEIGHTS) {
        memset(smc->log_weight, 0, t->k * sizeof *smc->log_weight);
    }
}

static void guide(const struct toy *t, struct tl_rng_key key, double *out_g)
{
    float z[TOY_DIM];
    tl_rng_normal(key, 8, TOY_DIM, z);
    for (int d = 0; d < TOY_DIM; d++) out_g[d] = t->guide == TOY_RANDOM ? (double)z[d] / 2 : t->lambda / 2;
}

static void move(const struct toy *t, uint64_t seed, int s, struct tl_smc *smc, struct particle *p)
{
    double log_ratio[TOY_K], g[TOY_DIM];
    for (size_t i = 0; i < t->k; i++) {
        struct tl_rng_key key = noise_key(seed, i, s + 1);
        if (t->guide) guide(t, key, g);
        log_ratio[i] = t->correction * advance(t->data, s, key, t->guide ? g : NULL, &p[i]);
    }
    if (t->guide) weigh(smc, log_ratio);
}

static void end(const struct toy *t, struct tl_smc *smc, struct particle *p, struct toy_result *out)
{
    double log_g[TOY_K];
    for (size_t i = 0; i < t->k; i++) {
        double r = out->reward[i] = reward_of(t, p[i].x);
        log_g[i] = t->mistake == TOY_TILTS_BY_HISTORY
                       ? t->lambda * t->potential->tilt(&p[i].lineage, r) - p[i].lineage.log_g
                       : tl_potential_end(t->lambda, r, &p[i].lineage);
        out->log_g[i] = p[i].log_g + log_g[i];
        memcpy(out->x[i], p[i].x, sizeof p[i].x);
    }
    weigh(smc, log_g);
    out->log_z = tl_smc_log_z(smc);
    bool even = tl_smc_ess(smc) >= 0.5 * (double)t->k;
    memcpy(out->weight, tl_smc_weights(smc), t->k * sizeof *out->weight);
    if (t->mistake == TOY_FORGETS_WEIGHTS && even)
        for (size_t i = 0; i < t->k; i++) out->weight[i] = 1 / (double)t->k;
    out->n_resampled = smc->n_resampled;
}

struct toy toy_default(void)
{
    return (struct toy){
        .data = &toy_line,
        .lambda = 1.5,
        .potential = tl_potential_find("diff"),
        .resampler = tl_resampler_find("systematic"),
        .ess_threshold = 0.5,
        .k = TOY_K,
        .correction = 1,
    };
}

void toy_run(const struct toy *toy, uint64_t seed, struct toy_result *out)
{
    struct tl_err err = {0};
    struct tl_smc smc;
    struct tl_smc_params params = {
        .n = toy->k, .resampler = toy->resampler, .ess_threshold = toy->ess_threshold, .seed = seed};
    struct particle p[TOY_K] = {0};
    check_ok(tl_smc_init(&smc, &params, &err), &err);
    for (size_t i = 0; i < toy->k; i++) start(toy->data, noise_key(seed, i, 0), p[i].x);
    for (int s = 0; s < TOY_STEPS; s++) {
        for (size_t i = 0; i < toy->k; i++) predict(toy->data, signal(s), p[i].x, &p[i].now);
        if (s > 0 && s % TOY_EVERY == 0) score(toy, seed, s, &smc, p);
        move(toy, seed, s, &smc, p);
    }
    end(toy, &smc, p, out);
    tl_smc_finish(&smc);
}

void toy_sample(const struct toy *toy, uint64_t seed, double out[][TOY_DIM])
{
    for (size_t i = 0; i < toy->k; i++) {
        struct particle p = {0};
        start(toy->data, noise_key(seed, i, 0), p.x);
        for (int s = 0; s < TOY_STEPS; s++) {
            predict(toy->data, signal(s), p.x, &p.now);
            advance(toy->data, s, noise_key(seed, i, s + 1), NULL, &p);
        }
        memcpy(out[i], p.x, sizeof p.x);
    }
}

/* sum W exp(lambda m + lambda^2 v / 2), and the same times the shifted means. */
static double line_sum(double lambda, bool means)
{
    double sum = 0;
    for (int i = 0; i < toy_line.n; i++) {
        double m = toy_line.mean[i][0], v = toy_line.variance[i];
        sum += toy_line.weight[i] * exp(lambda * m + lambda * lambda * v / 2) * (means ? m + lambda * v : 1);
    }
    return sum;
}

double toy_line_log_z(double lambda)
{
    return log(line_sum(lambda, false));
}

double toy_line_mean(double lambda)
{
    return line_sum(lambda, true) / line_sum(lambda, false);
}

struct toy_reading toy_read(const struct toy *toy, int n_runs, double log_z, double (*of)(const double *x))
{
    struct toy_result r;
    double n = n_runs, z = 0, zz = 0, zm = 0, zzm = 0, zzmm = 0, mean = 0; /* means over runs */
    for (int run = 0; run < n_runs; run++) {
        toy_run(toy, 1000 + (uint64_t)run, &r);
        double x = exp(r.log_z - log_z), m = 0;
        for (size_t i = 0; i < toy->k; i++) m += r.weight[i] * of(r.x[i]);
        z += x / n;
        zz += x * x / n;
        zm += x * m / n;
        zzm += x * x * m / n;
        zzmm += x * x * m * m / n;
        mean += m / n;
    }
    double pooled = zm / z;
    double scatter = zzmm - 2 * pooled * zzm + pooled * pooled * zz; /* of z (m - pooled) */
    return (struct toy_reading){z, sqrt((zz - z * z) / (n - 1)), mean, pooled,
                                sqrt(fmax(scatter, 0) / (n - 1)) / z};
}

bool toy_accepts(struct toy_reading r, double mean)
{
    return fabs(r.z - 1) < 4 * r.z_error && fabs(r.pooled - mean) < 4 * r.pooled_error;
}
