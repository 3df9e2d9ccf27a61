/* One step's log-ratio and its derivatives: precision of the direct form, exact zeros on policy, finite
 * differences. */
#include "support/check.h"

#include "algo/log_ratio.h"
#include "base/rng.h"
#include "sample/scheduler.h"

enum { D = 16384, N_STEPS = 10 };

static void normals(uint32_t step, size_t n, float *out)
{
    tl_rng_normal((struct tl_rng_key){.seed = 4, .stream = TL_RNG_TEST, .step = step}, 0, n, out);
}

static void sd_plan(bool clip, enum tl_prediction prediction, struct tl_step *out)
{
    struct tl_err err = {0};
    struct tl_scheduler_config c = tl_scheduler_config_default();
    c.beta = (struct tl_beta_params){
        .schedule = TL_BETA_SCALED_LINEAR, .beta_start = 0.00085, .beta_end = 0.012, .n = 1000};
    c.clip_sample = clip;
    c.clip_sample_range = 0.8;
    c.prediction = prediction;
    c.set_alpha_to_one = false;
    c.steps_offset = 1;
    struct tl_scheduler s;
    check_ok(tl_scheduler_init(&s, &c, &err), &err);
    check_ok(tl_scheduler_plan(&s, &(struct tl_plan_params){.n_steps = N_STEPS, .eta = 1}, out, &err), &err);
    tl_scheduler_finish(&s);
}

/* log N(x; mu) - log N(x; mu_ref) of the same float inputs as two squared distances in extended precision. */
static long double reference(const float *mu, const float *mu_ref, const float *x, double sigma)
{
    long double a = 0, b = 0;
    for (int i = 0; i < D; i++) {
        a += ((long double)x[i] - mu[i]) * ((long double)x[i] - mu[i]);
        b += ((long double)x[i] - mu_ref[i]) * ((long double)x[i] - mu_ref[i]);
    }
    return (b - a) / (2 * (long double)sigma * sigma);
}

static float mu[D], mu_ref[D], x[D], m[D], m_ref[D], x_prev[D], z[D], dm[D];

/* Spec 1.8 g: relative error below 1e-5 for |d|/sigma from 1e-4 to 10, where two float log-probs would be off
 * by percents. */
static void test_direct_form(void **state)
{
    (void)state;
    const double sigma = 0.3;
    normals(1, D, mu_ref);
    normals(2, D, z);
    for (int i = 0; i < D; i++) x_prev[i] = (float)((double)mu_ref[i] + sigma * (double)z[i]);
    for (double scale = 1e-4; scale < 11; scale *= 10) {
        normals(3, D, z);
        for (int i = 0; i < D; i++) mu[i] = (float)((double)mu_ref[i] + scale * sigma * (double)z[i]);
        long double want = reference(mu, mu_ref, x_prev, sigma);
        double got = tl_log_ratio_mean(mu, mu_ref, x_prev, sigma, D, TL_LOG_RATIO_SUM);
        check_near(got, (double)want, 1e-5 * fabs((double)want));
        check_near(tl_log_ratio_mean(mu, mu_ref, x_prev, sigma, D, TL_LOG_RATIO_MEAN) * D, got,
                   1e-12 * fabs(got));
    }
}

/* From network outputs the true ratio survives even where float means would round the difference away. */
static void test_output_form(void **state)
{
    (void)state;
    struct tl_step st[N_STEPS];
    sd_plan(false, TL_PREDICT_EPSILON, st);
    normals(5, D, x);
    normals(6, D, m_ref);
    for (int k = 0; k < N_STEPS - 1; k++) {
        normals(7, D, z);
        tl_step_apply(&st[k], x, m_ref, z, D, x_prev, NULL);
        for (double scale = 1e-4; scale < 11; scale *= 10) {
            normals(8, D, z);
            long double want = 0, kl = 0;
            for (int i = 0; i < D; i++) {
                m[i] = (float)((double)m_ref[i] + scale * st[k].sigma / fabs(st[k].c_m) * (double)z[i]);
                long double d = st[k].c_m * ((long double)m[i] - m_ref[i]);
                long double base = (long double)x_prev[i] -
                                   ((long double)st[k].c_x * x[i] + (long double)st[k].c_m * m_ref[i]);
                want += d * (2 * base - d);
                kl += d * d;
            }
            want /= 2 * (long double)st[k].sigma * st[k].sigma;
            kl /= 2 * (long double)st[k].sigma * st[k].sigma;
            double got = tl_log_ratio_output(&st[k], x, m, m_ref, x_prev, D, TL_LOG_RATIO_SUM);
            check_near(got, (double)want, 1e-8 * fabs((double)want));
            check_near(tl_log_ratio_kl(&st[k], x, m, m_ref, D), (double)kl, 1e-8 * (double)kl);
        }
    }
}

/* Spec 1.8 c: equal outputs give exactly 0, and a deterministic step has neither ratio nor gradient. */
static void test_exact_zeros(void **state)
{
    (void)state;
    struct tl_step st[N_STEPS];
    for (int clip = 0; clip < 2; clip++) {
        sd_plan(clip, TL_PREDICT_V, st);
        normals(5, D, x);
        normals(6, D, m);
        memcpy(m_ref, m, sizeof m);
        normals(7, D, x_prev);
        for (int k = 0; k < N_STEPS; k++) {
            assert_true(tl_log_ratio_output(&st[k], x, m, m_ref, x_prev, D, TL_LOG_RATIO_SUM) == 0);
            assert_true(tl_log_ratio_kl(&st[k], x, m, m_ref, D) == 0);
        }
        normals(8, D, m_ref);
        assert_true(st[N_STEPS - 1].sigma == 0);
        assert_true(tl_log_ratio_output(&st[N_STEPS - 1], x, m, m_ref, x_prev, D, TL_LOG_RATIO_SUM) == 0);
        tl_log_ratio_output_cotangent(3, &st[N_STEPS - 1], x, m, x_prev, D, TL_LOG_RATIO_SUM, dm);
        tl_log_ratio_mean_cotangent(3, m, x_prev, 0, D, TL_LOG_RATIO_SUM, mu);
        for (int i = 0; i < D; i++) assert_true(dm[i] == 0 && mu[i] == 0);
    }
}

/* Cotangents against central differences of the log-ratio itself, per element, with and without clipping. */
static void test_cotangents(void **state)
{
    (void)state;
    enum { n = 24 };
    struct tl_step st[N_STEPS];
    for (int row = 0; row < 2 * TL_PREDICTIONS * 2; row++) {
        enum tl_log_ratio_reduce reduce = row & 1 ? TL_LOG_RATIO_MEAN : TL_LOG_RATIO_SUM;
        bool clip = row & 2;
        sd_plan(clip, (enum tl_prediction)(row / 4), st);
        normals(11, n, x);
        normals(12, n, m);
        normals(13, n, m_ref);
        normals(14, n, z);
        for (int k = 0; k < N_STEPS - 1; k++) {
            tl_step_apply(&st[k], x, m_ref, z, n, x_prev, NULL);
            tl_log_ratio_output_cotangent(1.7, &st[k], x, m, x_prev, n, reduce, dm);
            tl_step_mean(&st[k], x, m, n, mu);
            tl_log_ratio_mean_cotangent(1.7, mu, x_prev, st[k].sigma, n, reduce, mu_ref);
            for (int i = 0; i < n; i++) {
                double raw = st[k].p_x * x[i] + st[k].p_m * m[i];
                if (clip && fabs(fabs(raw) - 0.8) < 2e-2 * fabs(st[k].p_m)) continue;
                if (!clip) check_near(dm[i], st[k].c_m * mu_ref[i], 1e-3 * fabs(dm[i]) + 1e-4);
                float kept = m[i], h = 0x1p-7f;
                m[i] = kept + h;
                double up = tl_log_ratio_output(&st[k], x, m, m_ref, x_prev, n, reduce);
                m[i] = kept - h;
                double down = tl_log_ratio_output(&st[k], x, m, m_ref, x_prev, n, reduce);
                double width = 2 * (double)h;
                m[i] =
                    kept; /* the ratio is quadratic in m, so the difference is exact but for m's rounding */
                check_near(dm[i], 1.7 * (up - down) / width, 2e-5 * (fabs(dm[i]) + fabs(up) + 1));
            }
        }
    }
}

static void test_guidance(void **state)
{
    (void)state;
    float d[3] = {1, -2, 0.5f}, c[3], u[3];
    tl_log_ratio_guidance_cotangent(5, d, 3, c, u);
    for (int i = 0; i < 3; i++) assert_true(c[i] == 5 * d[i] && u[i] == -4 * d[i] && c[i] + u[i] == d[i]);
    tl_log_ratio_guidance_cotangent(1, d, 3, d, NULL);
    assert_true(d[1] == -2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct_form), cmocka_unit_test(test_output_form),
        cmocka_unit_test(test_exact_zeros), cmocka_unit_test(test_cotangents),
        cmocka_unit_test(test_guidance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
