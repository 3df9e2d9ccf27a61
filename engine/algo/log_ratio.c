#include "algo/log_ratio.h"

/* 1 / sigma^2, over D for a mean over dims; 0 where the step has no density. */
static double precision(double sigma, size_t dim, enum tl_log_ratio_reduce reduce)
{
    if (!(sigma > 0)) return 0;
    double w = 1 / (sigma * sigma);
    return reduce == TL_LOG_RATIO_MEAN ? w / (double)dim : w;
}

double tl_log_ratio_mean(const float *mu, const float *mu_ref, const float *x_prev, double sigma, size_t dim,
                         enum tl_log_ratio_reduce reduce)
{
    double w = precision(sigma, dim, reduce), sum = 0;
    if (w == 0) return 0;
    for (size_t i = 0; i < dim; i++) {
        double a = (double)mu[i], b = (double)mu_ref[i], x = (double)x_prev[i];
        sum += (a - b) * ((x - b) + (x - a));
    }
    return sum * w / 2;
}

double tl_log_ratio_output(const struct tl_step *step, const float *x, const float *m, const float *m_ref,
                           const float *x_prev, size_t dim, enum tl_log_ratio_reduce reduce)
{
    double w = precision(step->sigma, dim, reduce), sum = 0;
    if (w == 0) return 0;
    for (size_t i = 0; i < dim; i++) {
        double a = tl_step_mean_at(step, (double)x[i], (double)m[i]);
        double b = tl_step_mean_at(step, (double)x[i], (double)m_ref[i]), y = (double)x_prev[i];
        sum += (a - b) * ((y - b) + (y - a));
    }
    return sum * w / 2;
}

double tl_log_ratio_kl(const struct tl_step *step, const float *x, const float *m, const float *m_ref,
                       size_t dim)
{
    double w = precision(step->sigma, dim, TL_LOG_RATIO_SUM), sum = 0;
    if (w == 0) return 0;
    for (size_t i = 0; i < dim; i++) {
        double d = tl_step_mean_at(step, (double)x[i], (double)m[i]) -
                   tl_step_mean_at(step, (double)x[i], (double)m_ref[i]);
        sum += d * d;
    }
    return sum * w / 2;
}

void tl_log_ratio_mean_cotangent(double d_ratio, const float *mu, const float *x_prev, double sigma,
                                 size_t dim, enum tl_log_ratio_reduce reduce, float *out_d_mu)
{
    double w = d_ratio * precision(sigma, dim, reduce);
    for (size_t i = 0; i < dim; i++) out_d_mu[i] = (float)(w * ((double)x_prev[i] - (double)mu[i]));
}

void tl_log_ratio_output_cotangent(double d_ratio, const struct tl_step *step, const float *x, const float *m,
                                   const float *x_prev, size_t dim, enum tl_log_ratio_reduce reduce,
                                   float *out_d_m)
{
    double w = d_ratio * precision(step->sigma, dim, reduce);
    for (size_t i = 0; i < dim; i++) {
        double xi = (double)x[i], mi = (double)m[i];
        double off = (double)x_prev[i] - tl_step_mean_at(step, xi, mi);
        out_d_m[i] = (float)(w * off * tl_step_slope_at(step, xi, mi));
    }
}

void tl_log_ratio_guidance_cotangent(double guidance, const float *d_m, size_t n, float *out_d_cond,
                                     float *out_d_uncond)
{
    for (size_t i = 0; i < n; i++) {
        double d = (double)d_m[i];
        if (out_d_cond) out_d_cond[i] = (float)(guidance * d);
        if (out_d_uncond) out_d_uncond[i] = (float)((1 - guidance) * d);
    }
}
