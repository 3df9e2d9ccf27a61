#include "algo/potential.h"

#include <math.h>
#include <string.h>

static double tilt_diff(const struct tl_lineage *l, double r)
{
    return r - l->last; /* 0 before the first */
}

/* Not fmax, which would swallow a NaN. */
static double most(const struct tl_lineage *l, double r)
{
    return l->n_scored && r <= l->most ? l->most : r;
}

static double tilt_max(const struct tl_lineage *l, double r)
{
    return most(l, r);
}

static double tilt_sum(const struct tl_lineage *l, double r)
{
    return l->total + r;
}

static double tilt_immediate(const struct tl_lineage *l, double r)
{
    (void)l;
    return r;
}

static double tilt_none(const struct tl_lineage *l, double r)
{
    (void)l;
    (void)r;
    return 0;
}

const struct tl_potential tl_potentials[] = {
    {"diff", "the gain in reward since the last scored step; the default", tilt_diff},
    {"max", "the lineage's largest reward so far: for bounded rewards; costs variety", tilt_max},
    {"sum", "the sum of the lineage's rewards so far: strong, wants a small lambda", tilt_sum},
    {"immediate", "the reward of the step", tilt_immediate},
    {"none", "no look before the end: weights of plain samples, best of k", tilt_none},
    {0},
};

const struct tl_potential *tl_potential_find(const char *name)
{
    for (const struct tl_potential *p = tl_potentials; p->name; p++)
        if (strcmp(p->name, name) == 0) return p;
    return NULL;
}

bool tl_potential_looks(const struct tl_potential *potential)
{
    return potential->tilt != tilt_none;
}

static double take(struct tl_lineage *l, double r, double log_g)
{
    /* What was impossible once stays so: without this, -infinity would be taken back as an infinite gain. */
    if (l->log_g == -INFINITY) log_g = -INFINITY;
    l->most = most(l, r);
    l->last = r;
    l->total += r;
    l->n_scored++;
    l->log_g += log_g;
    return log_g;
}

double tl_potential_step(const struct tl_potential *potential, double lambda, double r,
                         struct tl_lineage *lineage)
{
    return take(lineage, r, lambda * potential->tilt(lineage, r));
}

double tl_potential_end(double lambda, double r, struct tl_lineage *lineage)
{
    return take(lineage, r, lambda * r - lineage->log_g);
}

/* By distances from the reward that weighs most, with expm1 and log1p: neither a large lambda overflows nor a
 * tiny one cancels. */
double tl_potential_value(double lambda, const double *rewards, size_t n)
{
    double top = rewards[0], mean = 0;
    for (size_t i = 1; i < n; i++)
        if (lambda < 0 ? rewards[i] < top : rewards[i] > top) top = rewards[i];
    if (isinf(top)) return top;
    for (size_t i = 0; i < n; i++) {
        double below = rewards[i] - top;
        mean += (lambda == 0 ? below : expm1(lambda * below)) / (double)n;
    }
    return top + (lambda == 0 ? mean : log1p(mean) / lambda);
}
