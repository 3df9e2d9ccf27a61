#include "sample/sigmas.h"

#include <math.h>
#include <stdlib.h>

/* Where a zero-SNR schedule has no signal, diffusers puts the least that half precision can say. */
static const double LEAST_ALPHA_BAR = 0x1p-24;

static double sigma_of(const struct tl_scheduler *s, size_t t)
{
    double a = s->noise.alpha_bar[t];
    if (s->config.beta.rescale_zero_snr && t + 1 == s->noise.n) a = LEAST_ALPHA_BAR;
    return sqrt((1 - a) / a);
}

/* Straight between the whole timesteps. */
static double sigma_at(const struct tl_scheduler *s, double t)
{
    size_t low = (size_t)t;
    if (low + 1 >= s->noise.n) return sigma_of(s, s->noise.n - 1);
    double below = sigma_of(s, low);
    return below + (sigma_of(s, low + 1) - below) * (t - (double)low);
}

/* The inverse, straight in log sigma, kept within the schedule. */
static double time_of(const struct tl_scheduler *s, double sigma)
{
    size_t low = 0, high = s->noise.n - 1;
    if (high == 0 || sigma <= sigma_of(s, 0)) return 0;
    if (sigma >= sigma_of(s, high)) return (double)high;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (sigma_of(s, middle) <= sigma)
            low = middle;
        else
            high = middle;
    }
    double below = log(sigma_of(s, low)), above = log(sigma_of(s, high));
    return (double)low + (log(sigma) - below) / (above - below);
}

static enum tl_spacing spacing_of(const struct tl_scheduler *s)
{
    const struct tl_sampler *own = tl_sampler_find(s->config.sampler);
    if (s->config.spacing_unsaid && own->family == TL_FAMILY_ALPHA) return TL_SPACING_LINSPACE;
    return s->config.spacing;
}

static double euler_time(const struct tl_scheduler *s, int n, int k)
{
    int n_train = (int)s->noise.n;
    switch (spacing_of(s)) {
    case TL_SPACING_TRAILING:
        return rint(n_train - k * ((double)n_train / n)) - 1;
    case TL_SPACING_LINSPACE: /* kept in float32, and not rounded */
        return n > 1 ? (double)(float)((n - 1 - k) * ((double)(n_train - 1) / (n - 1))) : 0;
    case TL_SPACING_LEADING:
    case TL_SPACINGS:
        break;
    }
    return (double)(n - 1 - k) * (n_train / n) + s->config.steps_offset;
}

/* Timesteps whose lambda = -log sigma is not below the clip. */
static int usable(const struct tl_scheduler *s)
{
    size_t n = s->noise.n;
    while (n > 0 && -log(sigma_of(s, n - 1)) < s->config.lambda_min_clipped) n--;
    return (int)n;
}

/* n + 1 points of which the last, the least noisy, is left out. */
static double dpm_time(const struct tl_scheduler *s, int n, int k)
{
    int n_used = usable(s);
    switch (spacing_of(s)) {
    case TL_SPACING_TRAILING:
        return rint(n_used - k * ((double)s->noise.n / n)) - 1;
    case TL_SPACING_LINSPACE:
        return rint((n - k) * ((double)(n_used - 1) / n));
    case TL_SPACING_LEADING:
    case TL_SPACINGS:
        break;
    }
    return (double)(n - k) * (n_used / (n + 1)) + s->config.steps_offset;
}

static bool set_times(struct tl_sigma_plan *p, const struct tl_scheduler *s, enum tl_sampler_family family,
                      struct tl_err *err)
{
    int n_train = (int)s->noise.n;
    for (int k = 0; k < p->n; k++) {
        p->t[k] = family == TL_FAMILY_EULER ? euler_time(s, p->n, k) : dpm_time(s, p->n, k);
        if (!(p->t[k] >= 0 && p->t[k] < n_train))
            return tl_err_set(
                err, TL_USAGE,
                "%d steps with steps_offset %d reach timestep %g, the schedule has 0 to %d: take "
                "fewer steps",
                p->n, s->config.steps_offset, p->t[k], n_train - 1);
        p->sigma[k] = sigma_at(s, p->t[k]);
        if (!(p->sigma[k] > 0) || !isfinite(p->sigma[k]))
            return tl_err_set(err, TL_BAD_INPUT, "timestep %g carries %s: the betas are not usable", p->t[k],
                              isfinite(p->sigma[k]) ? "no noise" : "no signal");
    }
    if (p->n > 1 && !(p->t[0] > p->t[p->n - 1]))
        return tl_err_set(err, TL_USAGE, "%d steps are too many for %d timesteps: take fewer", p->n, n_train);
    return true;
}

/* Euler's ends are those of the plain list; DPM's are the table's. DPM tells the network whole timesteps:
 * the nearest, or of the cosine schedule the one below. */
static void set_karras(struct tl_sigma_plan *p, const struct tl_scheduler *s, enum tl_sampler_family family)
{
    bool euler = family == TL_FAMILY_EULER;
    double most = euler ? p->sigma[0] : sigma_of(s, s->noise.n - 1),
           least = euler ? p->sigma[p->n - 1] : sigma_of(s, 0), rho = 7;
    double from = pow(most, 1 / rho), to = pow(least, 1 / rho);
    bool cosine = s->config.beta.schedule == TL_BETA_SQUAREDCOS_CAP_V2;
    const double hair = 1e-6; /* of the ends, in float32, so that the first is told n - 2 as in diffusers */
    for (int k = 0; k < p->n; k++) {
        p->sigma[k] = pow(from + (p->n > 1 ? (double)k / (p->n - 1) : 0) * (to - from), rho);
        double t = time_of(s, p->sigma[k]);
        p->t[k] = euler ? t : cosine ? floor(fmax(t - hair, 0)) : rint(t);
    }
}

bool tl_sigma_plan_init(struct tl_sigma_plan *p, const struct tl_scheduler *s,
                        const struct tl_sampler *sampler, bool karras, int n, struct tl_err *err)
{
    enum tl_sampler_family family = sampler->family;
    *p = (struct tl_sigma_plan){.n = n};
    p->t = malloc((size_t)n * sizeof *p->t);
    p->sigma = malloc(((size_t)n + 1) * sizeof *p->sigma);
    if (!p->t || !p->sigma) return tl_err_set(err, TL_FAIL, "no memory for %d noise levels", n);
    if (!set_times(p, s, family, err)) return false;
    if (karras) set_karras(p, s, family);
    /* Classes without karras (Euler's ancestral one) have no final_sigmas_type either. */
    p->sigma[n] = s->config.final_sigma_min && sampler->karras ? sigma_of(s, 0) : 0;
    /* The largest alone, or with the clean sample's variance: as the spacing's classes have it. */
    p->start = family == TL_FAMILY_DPM               ? 1
               : spacing_of(s) == TL_SPACING_LEADING ? sqrt(p->sigma[0] * p->sigma[0] + 1)
                                                     : p->sigma[0];
    return true;
}

void tl_sigma_plan_finish(struct tl_sigma_plan *p)
{
    free(p->t);
    free(p->sigma);
    *p = (struct tl_sigma_plan){0};
}
