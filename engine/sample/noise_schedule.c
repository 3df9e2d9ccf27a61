#include "sample/noise_schedule.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

static double linear(const struct tl_beta_params *p, size_t i)
{
    double f = p->n > 1 ? (double)i / (double)(p->n - 1) : 0;
    return p->beta_start + (p->beta_end - p->beta_start) * f;
}

static double scaled_linear(const struct tl_beta_params *p, size_t i)
{
    double f = p->n > 1 ? (double)i / (double)(p->n - 1) : 0;
    double root = sqrt(p->beta_start) + (sqrt(p->beta_end) - sqrt(p->beta_start)) * f;
    return root * root;
}

/* Nichol and Dhariwal's cosine: beta_i = min(1 - f((i+1)/n) / f(i/n), 0.999). */
static double cosine_alpha_bar(double u)
{
    double c = cos((u + 0.008) / 1.008 * pi / 2);
    return c * c;
}

static double squaredcos(const struct tl_beta_params *p, size_t i)
{
    double n = (double)p->n, f = (double)i;
    return fmin(1 - cosine_alpha_bar((f + 1) / n) / cosine_alpha_bar(f / n), 0.999);
}

static const struct {
    const char *name;
    double (*beta)(const struct tl_beta_params *p, size_t i);
} beta_schedules[TL_BETA_SCHEDULES] = {
    [TL_BETA_LINEAR] = {"linear", linear},
    [TL_BETA_SCALED_LINEAR] = {"scaled_linear", scaled_linear},
    [TL_BETA_SQUAREDCOS_CAP_V2] = {"squaredcos_cap_v2", squaredcos},
};

const char *tl_beta_schedule_name(enum tl_beta_schedule schedule)
{
    return (unsigned)schedule < TL_BETA_SCHEDULES ? beta_schedules[schedule].name : NULL;
}

const char *tl_prediction_name(enum tl_prediction prediction)
{
    static const char *const names[TL_PREDICTIONS] = {
        [TL_PREDICT_EPSILON] = "epsilon", [TL_PREDICT_V] = "v_prediction", [TL_PREDICT_SAMPLE] = "sample"};
    return (unsigned)prediction < TL_PREDICTIONS ? names[prediction] : NULL;
}

/* s = sqrt(alpha_bar); s <- (s - s_last) s_0 / (s_0 - s_last): s_0 stays, s_last becomes 0 (Lin et al. 2023,
 * algorithm 1). */
static bool rescale_zero_snr(struct tl_noise_schedule *s, struct tl_err *err)
{
    double first = sqrt(s->alpha_bar[0]), last = sqrt(s->alpha_bar[s->n - 1]);
    if (!(first > last))
        return tl_err_set(err, TL_BAD_INPUT,
                          "rescale_betas_zero_snr needs betas that add noise over at least two steps");
    for (size_t i = 0; i < s->n; i++) {
        double root = (sqrt(s->alpha_bar[i]) - last) * first / (first - last);
        s->alpha_bar[i] = root * root;
    }
    return true;
}

bool tl_noise_schedule_init(struct tl_noise_schedule *s, const struct tl_beta_params *p, struct tl_err *err)
{
    assert((unsigned)p->schedule < TL_BETA_SCHEDULES);
    *s = (struct tl_noise_schedule){0};
    if (p->n < 1 || p->n > 1000000)
        return tl_err_set(err, TL_BAD_INPUT, "num_train_timesteps is %zu, expected 1 to 1000000", p->n);
    s->alpha_bar = malloc(p->n * sizeof *s->alpha_bar);
    if (!s->alpha_bar) return tl_err_set(err, TL_FAIL, "no memory for %zu noise levels", p->n);
    s->n = p->n;
    double product = 1;
    for (size_t i = 0; i < p->n; i++) {
        double beta = p->trained_betas ? p->trained_betas[i] : beta_schedules[p->schedule].beta(p, i);
        if (!(beta >= 0 && beta < 1)) {
            tl_noise_schedule_finish(s);
            return tl_err_set(
                err, TL_BAD_INPUT,
                "beta of timestep %zu is %g, expected [0, 1): check beta_start, beta_end or trained_betas", i,
                beta);
        }
        product *= 1 - beta;
        s->alpha_bar[i] = product;
    }
    if (p->rescale_zero_snr && !rescale_zero_snr(s, err)) {
        tl_noise_schedule_finish(s);
        return false;
    }
    return true;
}

void tl_noise_schedule_finish(struct tl_noise_schedule *s)
{
    free(s->alpha_bar);
    *s = (struct tl_noise_schedule){0};
}

double tl_noise_snr(const struct tl_noise_schedule *s, size_t t)
{
    assert(t < s->n);
    double a = s->alpha_bar[t];
    return a < 1 ? a / (1 - a) : INFINITY;
}

static void blend(double cx, const float *x, double cy, const float *y, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = (float)(cx * (double)x[i] + cy * (double)y[i]);
}

void tl_noise_add(const struct tl_noise_schedule *s, size_t t, const float *x0, const float *eps, size_t n,
                  float *out)
{
    assert(t < s->n);
    blend(sqrt(s->alpha_bar[t]), x0, sqrt(1 - s->alpha_bar[t]), eps, n, out);
}

void tl_noise_target(const struct tl_noise_schedule *s, enum tl_prediction prediction, size_t t,
                     const float *x0, const float *eps, size_t n, float *out)
{
    assert(t < s->n);
    double a = s->alpha_bar[t];
    switch (prediction) {
    case TL_PREDICT_V:
        blend(-sqrt(1 - a), x0, sqrt(a), eps, n, out);
        break;
    case TL_PREDICT_SAMPLE:
        memmove(out, x0, n * sizeof *out);
        break;
    case TL_PREDICT_EPSILON:
    case TL_PREDICTIONS:
        memmove(out, eps, n * sizeof *out);
        break;
    }
}
