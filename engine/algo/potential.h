/* Feynman-Kac potentials: what weight a particle gains at a scored step, from the rewards of its lineage.
 *
 * The only rule is the product rule: over a lineage, prod_t G_t = exp(lambda r(x_0)). Everything else is
 * variance. Pure functions of numbers: nothing here knows samples or sampling. r_t is the intermediate reward
 * of a particle at step t, r_(prev) that of the scored step before on the same lineage.
 *     diff        G = exp(lambda (r_t - r_prev)), the first with r_prev = 0
 *     max         G = exp(lambda max over s <= now of r_s)
 *     sum         G = exp(lambda sum over s <= now of r_s)
 *     immediate   G = exp(lambda r_t)
 *     none        G = 1: importance sampling; best-of-k looks at the rewards alone
 * and at the end, for all of them, G = exp(lambda r(x_0)) over what the lineage gained before.
 * A constant added to all rewards changes nothing in what is drawn.
 * Source: Singhal et al. 2025, "A general framework for inference-time scaling and steering of diffusion
 * models" (arXiv 2501.06848), section 3. */
#ifndef TL_ALGO_POTENTIAL_H
#define TL_ALGO_POTENTIAL_H

#include <stdbool.h>
#include <stddef.h>

/* A particle's past, gathered with it. Zeroed: nothing was scored yet. */
struct tl_lineage {
    size_t n_scored;
    double last, most, total; /* rewards: of the last scored step, the largest, their sum */
    double log_g;             /* sum of log G so far */
};

struct tl_potential {
    const char *name, *help;
    /* log G of a scored step with reward r, lambda apart: lineage is the past without r. */
    double (*tilt)(const struct tl_lineage *lineage, double r);
};

/* Ends at a row without a name. */
extern const struct tl_potential tl_potentials[];

/* NULL where there is no such row. */
const struct tl_potential *tl_potential_find(const char *name);

/* Whether intermediate rewards matter at all: not for `none`. */
bool tl_potential_looks(const struct tl_potential *potential);

/* log G of a scored step; the lineage takes r up. */
double tl_potential_step(const struct tl_potential *potential, double lambda, double r,
                         struct tl_lineage *lineage);

/* log G of the end, by the reward of the sample itself; the lineage takes it up. */
double tl_potential_end(double lambda, double r, struct tl_lineage *lineage);

/* r_t by several draws of x_0 given x_t: (1 / lambda) log mean exp(lambda r_i); the mean of the rewards where
 * lambda is 0. */
double tl_potential_value(double lambda, const double *rewards, size_t n);

#endif
