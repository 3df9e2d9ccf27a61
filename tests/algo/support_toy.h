/* Diffusion whose reverse kernel is known exactly: data from a mixture of isotropic Gaussians, noised by
 * x_t = sqrt(a) x_0 + sqrt(1 - a) e. A step draws a component from p(i | x_t), x_0 from its posterior, then
 * x_{t-1} from q(x_{t-1} | x_t, x_0): samples follow the mixture whatever the number of steps, so Z and every
 * tilted mean are closed forms. toy_run steers it as the engine does: predict, score the predictions, weigh,
 * resample, gather whole particles, advance with noise keyed by slot and step. */
#ifndef TL_TESTS_ALGO_SUPPORT_TOY_H
#define TL_TESTS_ALGO_SUPPORT_TOY_H

#include "algo/potential.h"
#include "algo/smc.h"

enum { TOY_STEPS = 20, TOY_EVERY = 4, TOY_K = 64, TOY_DIM = 2, TOY_COMPONENTS = 9, TOY_DRAWS = 16 };

struct toy_mixture {
    int dim, n;
    double weight[TOY_COMPONENTS], mean[TOY_COMPONENTS][TOY_DIM], variance[TOY_COMPONENTS];
};

/* Weights .5 .3 .2, means -2 .5 2.5, variances .25 .16 .09. */
extern const struct toy_mixture toy_line;

/* Nine equal Gaussians at {-4, 0, 4}^2, variance .3. */
extern const struct toy_mixture toy_grid;

/* p(x_0 | x_t): a mixture again. */
struct toy_posterior {
    int n;
    double p[TOY_COMPONENTS], mean[TOY_COMPONENTS][TOY_DIM], variance[TOY_COMPONENTS];
    double x0[TOY_DIM]; /* its mean */
};

/* Mistakes that published code makes; each must be told from the right thing by the tests. */
enum toy_mistake {
    TOY_RIGHT,
    TOY_DROPS_WEIGHTS,    /* where not resampled weights are lost, though the lineages have moved on */
    TOY_TILTS_BY_HISTORY, /* the end weighs by the potential's largest or sum instead of r(x_0) */
    TOY_FORGETS_WEIGHTS,  /* the end's weights are not handed back where the ESS is half or more */
};

enum toy_guide { TOY_UNGUIDED, TOY_UPHILL, TOY_RANDOM };

struct toy {
    const struct toy_mixture *data;
    double (*reward)(const double *x);
    double lambda, scale, shift; /* the reward is scale * reward(x) + shift; scale 0 reads as 1 */
    /* r_t by the whole posterior (the best there is: log E[exp(lambda r) | x_t] / lambda), where not NULL */
    double (*value)(double lambda, const struct toy_posterior *now);
    const struct tl_potential *potential;
    const struct tl_resampler *resampler;
    double ess_threshold;
    size_t k, n_draws; /* n_draws: r_t by that many x_0 of the posterior; 0: by their mean */
    enum toy_mistake mistake;
    enum toy_guide guide;
    double correction; /* times log p / tau: 1 is right */
};

struct toy_result {
    double x[TOY_K][TOY_DIM], weight[TOY_K], reward[TOY_K], log_g[TOY_K]; /* log_g: summed by the lineage */
    double log_z;
    size_t n_resampled;
};

/* The line with reward x and lambda 1.5, diff, systematic, adaptive at one half, 64 particles. */
struct toy toy_default(void);

void toy_run(const struct toy *toy, uint64_t seed, struct toy_result *out);

/* The same samples without any steering: the base sampler of k slots. */
void toy_sample(const struct toy *toy, uint64_t seed, double out[][TOY_DIM]);

/* log E[exp(lambda x)] and the tilted mean of the line. */
double toy_line_log_z(double lambda);
double toy_line_mean(double lambda);

struct toy_reading {
    double z, z_error;           /* mean of Zhat / Z over the runs, its standard error */
    double mean;                 /* of `of`: mean over runs of the weighted mean, biased by O(1 / k) */
    double pooled, pooled_error; /* the same with every run weighed by its Zhat, which takes the bias away */
};

struct toy_reading toy_read(const struct toy *toy, int n_runs, double log_z, double (*of)(const double *x));

/* Zhat / Z and the pooled mean within 4 standard errors of the truth. */
bool toy_accepts(struct toy_reading r, double mean);

#endif
