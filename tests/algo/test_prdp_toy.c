/* PRDP on problems whose answer is known.
 *
 * Gaussian toy (reward a x_0, data N(0, 1), so the perfect reference output is eps = sqrt(1 - alpha_bar) x):
 * the chain is x_s = c_t x_t + theta_t + sigma_t z, the policy its mean shifts theta_t. Optimum: theta_t =
 * (a/beta) sigma_t^2 C_t with C_t the product of c over the steps after t; E[x_0] moves by (a/beta)(Var x_0 -
 * C_T^2), short of the ideal tilt (a/beta) Var x_0 because x_T cannot be tilted. Loss floor: 2 (a/beta)^2
 * C_T^2 for independent x_T, 0 when a prompt's samples share it. Finite set: the loss is 0 exactly at pi =
 * pi_ref e^{r/beta} / Z. */
#include "support/check.h"

#include "algo/prdp.h"
#include "base/rng.h"
#include "sample/scheduler.h"
#include "sample/trajectory.h"

enum { MAX_STEPS = 50, BATCH = 8 };

static const double slope = 3, beta = 3; /* a / beta = 1 */

struct chain {
    int n;
    struct tl_step step[MAX_STEPS];
    double c[MAX_STEPS], after[MAX_STEPS]; /* c_t, C_t */
    double variance, total;                /* Var x_0, C_T */
};

static struct chain make_chain(int n, double eta, enum tl_spacing spacing)
{
    struct tl_err err = {0};
    struct tl_scheduler_config config = tl_scheduler_config_default();
    config.beta = (struct tl_beta_params){
        .schedule = TL_BETA_SCALED_LINEAR, .beta_start = 0.00085, .beta_end = 0.012, .n = 1000};
    config.clip_sample = config.set_alpha_to_one = false;
    config.spacing = spacing;
    config.steps_offset = spacing == TL_SPACING_LEADING;
    struct tl_scheduler s;
    struct chain ch = {.n = n, .variance = 1, .total = 1};
    struct tl_plan_params p = {.n_steps = n, .eta = eta, .last = TL_LAST_DIFFUSERS};
    check_ok(tl_scheduler_init(&s, &config, &err), &err);
    check_ok(tl_scheduler_plan(&s, &p, ch.step, &err), &err);
    tl_scheduler_finish(&s);
    for (int k = 0; k < n; k++) {
        ch.c[k] = ch.step[k].c_x + ch.step[k].c_m * sqrt(1 - ch.step[k].alpha_t);
        ch.variance = ch.c[k] * ch.c[k] * ch.variance + ch.step[k].sigma * ch.step[k].sigma;
        ch.total *= ch.c[k];
    }
    double after = 1;
    for (int k = n - 1; k >= 0; k--) {
        ch.after[k] = after;
        after *= ch.c[k];
    }
    return ch;
}

/* The reference's output, and the policy's: a shift of the output by theta / c_m shifts the mean by theta. */
static void outputs(const struct chain *ch, int k, const double *theta, const float *x, size_t n, float *m)
{
    double root = sqrt(1 - ch->step[k].alpha_t), shift = theta ? theta[k] / ch->step[k].c_m : 0;
    for (size_t i = 0; i < n; i++) m[i] = (float)(root * (double)x[i] + shift);
}

/* Samples of the policy; samples of one group share x_T if asked. */
static void draw(const struct chain *ch, const double *theta, uint64_t seed, bool shared,
                 struct tl_trajectory *t)
{
    size_t n = t->n_samples;
    float *m = malloc(2 * n * sizeof *m), *z = m + n;
    struct tl_rng_key key = {.seed = seed, .stream = TL_RNG_INIT_LATENT};
    tl_rng_normal(key, 0, n, t->x);
    for (size_t i = 0; shared && i < n; i++) t->x[i] = t->x[i - i % BATCH];
    key.stream = TL_RNG_SAMPLER;
    for (int k = 0; k < ch->n; k++) {
        float *x = tl_trajectory_slot(t, (size_t)k);
        key.step = (uint32_t)k;
        tl_rng_normal(key, 0, n, z);
        outputs(ch, k, theta, x, n, m);
        tl_step_apply(&ch->step[k], x, m, z, n, tl_trajectory_slot(t, (size_t)k + 1), NULL);
    }
    free(m);
}

/* Pass 1: the ratio of every sample and step under theta. */
static void fill_ratios(const struct chain *ch, const double *theta, const struct tl_trajectory *t,
                        double *ratio)
{
    size_t n = t->n_samples;
    float *m = malloc(2 * n * sizeof *m), *m_ref = m + n;
    for (int k = 0; k < ch->n; k++) {
        const float *x = tl_trajectory_slot(t, (size_t)k), *next = tl_trajectory_slot(t, (size_t)k + 1);
        outputs(ch, k, theta, x, n, m);
        outputs(ch, k, NULL, x, n, m_ref);
        for (size_t i = 0; i < n; i++)
            ratio[i * (size_t)ch->n + (size_t)k] =
                tl_log_ratio_output(&ch->step[k], x + i, m + i, m_ref + i, next + i, 1, TL_LOG_RATIO_SUM);
    }
    free(m);
}

/* Pass 2: d loss / d theta from d loss / d ratio. */
static void pull_back(const struct chain *ch, const double *theta, const struct tl_trajectory *t,
                      const double *d_ratio, double *out_d_theta)
{
    size_t n = t->n_samples;
    float *m = malloc(n * sizeof *m);
    for (int k = 0; k < ch->n; k++) {
        const float *x = tl_trajectory_slot(t, (size_t)k), *next = tl_trajectory_slot(t, (size_t)k + 1);
        outputs(ch, k, theta, x, n, m);
        out_d_theta[k] = 0;
        for (size_t i = 0; i < n; i++) {
            float dm;
            tl_log_ratio_output_cotangent(d_ratio[i * (size_t)ch->n + (size_t)k], &ch->step[k], x + i, m + i,
                                          next + i, 1, TL_LOG_RATIO_SUM, &dm);
            out_d_theta[k] += (double)dm / ch->step[k].c_m;
        }
    }
    free(m);
}

struct schedule {
    int epochs, passes;
    size_t groups;
    bool shared,
        averaged; /* averaged: steps fall as 1 / epoch, which averages the noise of independent x_T */
    double clip, rate;
};

/* Online PRDP by gradient descent on theta_t / sigma_t, whose Hessian is 4. Returns the last epoch's first
 * stats. */
static struct tl_policy_stats learn(const struct chain *ch, struct schedule s, uint64_t seed, double *theta)
{
    struct tl_err err = {0};
    struct tl_trajectory t;
    struct tl_policy_stats stats = {0}, first = {0};
    size_t n = s.groups * BATCH;
    check_ok(tl_trajectory_init(&t, (size_t)ch->n, n, 1, &err), &err);
    struct tl_policy_params p = {.n_groups = s.groups,
                                 .group_size = BATCH,
                                 .n_steps = (size_t)ch->n,
                                 .dim = 1,
                                 .beta = beta,
                                 .clip = s.clip};
    double *rewards = malloc(n * sizeof *rewards), *d_ratio = malloc(n * (size_t)ch->n * sizeof *d_ratio);
    double d_theta[MAX_STEPS];
    for (int epoch = 0; epoch < s.epochs; epoch++) {
        draw(ch, theta, seed + (uint64_t)epoch, s.shared, &t);
        fill_ratios(ch, theta, &t, t.old_ratio);
        for (size_t i = 0; i < n; i++) rewards[i] = slope * (double)tl_trajectory_slot(&t, (size_t)ch->n)[i];
        for (int pass = 0; pass < s.passes; pass++) {
            fill_ratios(ch, theta, &t, t.ratio);
            check_ok(tl_prdp_loss(&p, t.ratio, t.old_ratio, rewards, d_ratio, &stats, &err), &err);
            if (pass == 0) {
                assert_true(stats.drift_max == 0); /* on policy: exactly, every step */
                first = stats;
            }
            pull_back(ch, theta, &t, d_ratio, d_theta);
            double rate = s.averaged ? s.rate / (epoch + 1) : s.rate;
            for (int k = 0; k < ch->n; k++)
                theta[k] -= rate * ch->step[k].sigma * ch->step[k].sigma * d_theta[k];
        }
    }
    free(rewards);
    free(d_ratio);
    tl_trajectory_finish(&t);
    return first;
}

static double total_shift(const struct chain *ch, const double *theta)
{
    double sum = 0;
    for (int k = 0; k < ch->n; k++) sum += theta[k] * ch->after[k];
    return sum;
}

/* Largest |theta_t - optimum| over (relative * |optimum| + slack in units of sigma_t). */
static double worst(const struct chain *ch, const double *theta, double relative, double slack)
{
    double most = 0;
    for (int k = 0; k < ch->n; k++) {
        double sigma = ch->step[k].sigma, want = slope / beta * sigma * sigma * ch->after[k];
        most = fmax(most, fabs(theta[k] - want) / (relative * fabs(want) + slack * sigma));
    }
    return most;
}

static void test_shared_noise(void **state)
{
    (void)state;
    struct chain ch = make_chain(10, 1, TL_SPACING_LEADING);
    double theta[MAX_STEPS] = {0}, want = slope / beta * (ch.variance - ch.total * ch.total);
    struct schedule s = {
        .epochs = 60, .passes = 1, .groups = 64, .shared = true, .clip = INFINITY, .rate = 0.22};
    struct tl_policy_stats stats = learn(&ch, s, 1, theta);
    print_message("shared x_T: shift %.5f, predicted %.5f, ideal %.5f, loss %.2e\n", total_shift(&ch, theta),
                  want, ch.variance, stats.loss);
    check_near(want, 0.63379, 1e-4);
    check_near(ch.variance, 0.6478, 1e-4);
    check_near(total_shift(&ch, theta), want, 0.001 * want);
    assert_true(worst(&ch, theta, 0.01, 0) < 1);
    assert_true(stats.loss < 1e-10);
    check_near(stats.correlation, 1, 1e-6);
}

static void test_independent_noise(void **state)
{
    (void)state;
    struct chain ch = make_chain(10, 1, TL_SPACING_LEADING);
    double theta[MAX_STEPS] = {0}, want = slope / beta * (ch.variance - ch.total * ch.total);
    struct schedule s = {
        .epochs = 60, .passes = 1, .groups = 512, .clip = INFINITY, .rate = 0.25, .averaged = true};
    struct tl_policy_stats stats = learn(&ch, s, 1000, theta);
    double floor = 2 * pow(slope / beta * ch.total, 2);
    /* A shift's standard error in units of sigma is C_T / sqrt(samples); the first epochs add theirs. */
    double error = ch.total / sqrt(60.0 * 512 * BATCH);
    print_message("independent x_T: shift %.5f, predicted %.5f, loss %.5f, floor %.5f, worst %.2f\n",
                  total_shift(&ch, theta), want, stats.loss, floor, worst(&ch, theta, 0.01, 4 * error));
    check_near(total_shift(&ch, theta), want, 0.01 * want);
    assert_true(worst(&ch, theta, 0.01, 4 * error) < 1);
    check_near(stats.loss, floor, 0.05 * floor);
    /* and the policy's samples really move by that much */
    struct tl_err err = {0};
    struct tl_trajectory t;
    check_ok(tl_trajectory_init(&t, 10, 40000, 1, &err), &err);
    draw(&ch, theta, 77, false, &t);
    double mean = 0;
    for (size_t i = 0; i < t.n_samples; i++)
        mean += (double)tl_trajectory_slot(&t, 10)[i] / (double)t.n_samples;
    check_near(mean, want, 4 * sqrt(ch.variance / (double)t.n_samples) + 0.01 * want);
    tl_trajectory_finish(&t);
}

/* K passes inside a band a tenth of the final ratios: slower, but the same optimum. */
static void test_proximal(void **state)
{
    (void)state;
    struct chain ch = make_chain(10, 1, TL_SPACING_LEADING);
    double theta[MAX_STEPS] = {0}, early[MAX_STEPS] = {0};
    struct schedule s = {.epochs = 2, .passes = 4, .groups = 32, .shared = true, .clip = 0.02, .rate = 0.1};
    learn(&ch, s, 5000, early);
    s.epochs = 90;
    struct tl_policy_stats stats = learn(&ch, s, 5000, theta);
    double want = ch.variance - ch.total * ch.total;
    print_message("proximal: shift %.5f after 2 epochs, %.5f after 90, predicted %.5f\n",
                  total_shift(&ch, early), total_shift(&ch, theta), want);
    assert_true(total_shift(&ch, early) < 0.9 * want);
    assert_true(worst(&ch, theta, 0.01, 0) < 1);
    assert_true(stats.loss < 1e-8);
}

/* With little noise in the sampler the prior cannot be tilted: eta 0.5 reaches half of what the ideal asks.
 */
static void test_low_eta(void **state)
{
    (void)state;
    struct chain ch = make_chain(10, 0.5, TL_SPACING_LEADING);
    double theta[MAX_STEPS] = {0};
    struct schedule s = {
        .epochs = 60, .passes = 1, .groups = 64, .shared = true, .clip = INFINITY, .rate = 0.22};
    learn(&ch, s, 9000, theta);
    check_near(total_shift(&ch, theta), 0.388, 6e-4);
    check_near(ch.variance, 0.749, 6e-4);
    assert_true(worst(&ch, theta, 0.01, 0) < 1);
}

/* Relative shortfall C_T^2 / Var x_0 in percent. */
static void test_eta_table(void **state)
{
    (void)state;
    static const struct {
        int n;
        double eta;
        enum tl_spacing spacing;
        double percent, to;
    } rows[] = {
        {5, 1, TL_SPACING_LEADING, 7.8, 0.05},   {10, 1, TL_SPACING_LEADING, 2.2, 0.05},
        {20, 1, TL_SPACING_LEADING, 1.0, 0.05},  {50, 1, TL_SPACING_LEADING, 0.65, 0.005},
        {5, 1, TL_SPACING_TRAILING, 1.0, 0.05},  {10, 1, TL_SPACING_TRAILING, 0.7, 0.05},
        {20, 1, TL_SPACING_TRAILING, 0.6, 0.05}, {50, 1, TL_SPACING_TRAILING, 0.5, 0.05},
        {50, 0.5, TL_SPACING_LEADING, 30, 0.6},  {50, 0.1, TL_SPACING_LEADING, 95, 0.6},
        {50, 0, TL_SPACING_LEADING, 100, 1e-9},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct chain ch = make_chain(rows[i].n, rows[i].eta, rows[i].spacing);
        check_near(100 * ch.total * ch.total / ch.variance, rows[i].percent, rows[i].to);
    }
    check_near(make_chain(50, 1, TL_SPACING_LEADING).variance, 0.894, 6e-4);
}

enum { OUTCOMES = 6 };

static void softmax(const double *logits, double *out)
{
    double sum = 0;
    for (int i = 0; i < OUTCOMES; i++) sum += out[i] = exp(logits[i]);
    for (int i = 0; i < OUTCOMES; i++) out[i] /= sum;
}

/* One-step policy over a finite set, the whole set as one group. Returns the loss; d_logits may be NULL. */
static double finite_loss(const double *logits, const double *p_ref, const double *rewards, double *d_logits)
{
    struct tl_policy_params p = {
        .n_groups = 1, .group_size = OUTCOMES, .n_steps = 1, .dim = 1, .beta = 0.5, .clip = INFINITY};
    struct tl_err err = {0};
    struct tl_policy_stats stats;
    double pi[OUTCOMES], ratio[OUTCOMES], d[OUTCOMES], sum = 0;
    softmax(logits, pi);
    for (int i = 0; i < OUTCOMES; i++) ratio[i] = log(pi[i] / p_ref[i]);
    check_ok(tl_prdp_loss(&p, ratio, ratio, rewards, d, &stats, &err), &err);
    for (int i = 0; i < OUTCOMES; i++) sum += d[i];
    for (int i = 0; d_logits && i < OUTCOMES; i++) d_logits[i] = d[i] - pi[i] * sum;
    return stats.loss;
}

static void test_finite_tilt(void **state)
{
    (void)state;
    const double p_ref[OUTCOMES] = {.3, .25, .2, .15, .06, .04}, rewards[OUTCOMES] = {0, .3, -.4, 1, .8, -1};
    double logits[OUTCOMES], tilt[OUTCOMES], want[OUTCOMES], pi[OUTCOMES], d[OUTCOMES];
    for (int i = 0; i < OUTCOMES; i++) {
        logits[i] = log(p_ref[i]);
        tilt[i] = logits[i] + rewards[i] / 0.5;
    }
    softmax(tilt, want);
    assert_true(finite_loss(tilt, p_ref, rewards, NULL) < 1e-28);
    tilt[2] += 0.01; /* any other policy has a loss */
    assert_true(finite_loss(tilt, p_ref, rewards, NULL) > 1e-5);
    double start = finite_loss(logits, p_ref, rewards, NULL), end = start;
    for (int it = 0; it < 400; it++) {
        end = finite_loss(logits, p_ref, rewards, d);
        for (int i = 0; i < OUTCOMES; i++) logits[i] -= 0.3 * d[i];
    }
    softmax(logits, pi);
    assert_true(start > 1 && end < 1e-20);
    for (int i = 0; i < OUTCOMES; i++) check_near(pi[i], want[i], 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_noise), cmocka_unit_test(test_independent_noise),
        cmocka_unit_test(test_proximal),     cmocka_unit_test(test_low_eta),
        cmocka_unit_test(test_eta_table),    cmocka_unit_test(test_finite_tilt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
