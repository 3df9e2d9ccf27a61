/* Transforms against sums of cosines by hand, ends, counts, threads; banks against sums and columns that
 * other tools' banks have. */
#include "audio/support_front.h"

#include "audio/mel.h"
#include "audio/spectrum.h"
#include "base/thread.h"

static const double pi = 3.14159265358979323846;

static struct tl_spectrum *open_spectrum(const struct tl_spectrum_params *p, struct tl_spectrum_work **work)
{
    struct tl_err err = {0};
    struct tl_spectrum *s = tl_spectrum_create(p, &err);
    if (!s) fail_msg("%s", err.text);
    *work = tl_spectrum_work_create(s, &err);
    if (!*work) fail_msg("%s", err.text);
    return s;
}

/* |sum over the frame of w x e^(-i 2 pi k n / fft)|^2, x mirrored at its ends */
static double bin_by_hand(const struct tl_spectrum_params *p, const float *x, size_t n, size_t frame,
                          size_t k)
{
    double re = 0, im = 0;
    for (size_t i = 0; i < p->window; i++) {
        long at = (long)(frame * p->hop + i) - (p->is_centred ? (long)p->window / 2 : 0);
        if (at < 0) at = -at;
        if (at >= (long)n) at = 2 * ((long)n - 1) - at;
        double v = x[at] * (0.5 - 0.5 * cos(2 * pi * (double)i / (double)p->window));
        re += v * cos(2 * pi * (double)(i * k % p->fft) / (double)p->fft);
        im += v * sin(2 * pi * (double)(i * k % p->fft) / (double)p->fft);
    }
    return re * re + im * im;
}

static void test_by_hand(void **state)
{
    (void)state;
    const struct tl_spectrum_params cases[] = {
        {.window = 24, .hop = 7, .fft = 24, .is_centred = true, .is_power = true},
        {.window = 20, .hop = 8, .fft = 32, .is_power = true},
        {.window = 20, .hop = 8, .fft = 30, .is_power = false},
    };
    float *x = support_signal(101, 1000, 3);
    for (size_t c = 0; c < 3; c++) {
        struct tl_spectrum_work *work = NULL;
        struct tl_spectrum *s = open_spectrum(&cases[c], &work);
        size_t frames = tl_spectrum_frames(s, 101);
        assert_int_equal(frames, cases[c].is_centred ? 1 + 101 / 7 : 1 + (101 - 20) / 8);
        for (size_t f = 0; f < frames; f++) {
            const double *bins = tl_spectrum_frame(s, work, x, 101, f);
            for (size_t k = 0; k < tl_spectrum_bins(s); k++) {
                double want = bin_by_hand(&cases[c], x, 101, f, k);
                check_near(bins[k], cases[c].is_power ? want : sqrt(want), 1e-9);
            }
        }
        tl_spectrum_work_destroy(&work);
        tl_spectrum_destroy(&s);
    }
    free(x);
}

static void test_counts(void **state)
{
    (void)state;
    struct tl_spectrum_work *work = NULL;
    struct tl_spectrum *s =
        open_spectrum(&(struct tl_spectrum_params){.window = 400, .hop = 160, .fft = 512}, &work);
    const size_t n[] = {0, 399, 400, 16000, 32000, 96000, 160000, 480000},
                 frames[] = {0, 0, 1, 98, 198, 598, 998, 2998};
    for (size_t i = 0; i < 8; i++) assert_int_equal(tl_spectrum_frames(s, n[i]), frames[i]);
    assert_int_equal(tl_spectrum_samples(s, 1), 400);
    assert_int_equal(tl_spectrum_samples(s, 96), 15600);
    tl_spectrum_work_destroy(&work);
    tl_spectrum_destroy(&s);
    s = open_spectrum(
        &(struct tl_spectrum_params){.window = 1024, .hop = 480, .fft = 1024, .is_centred = true}, &work);
    assert_int_equal(tl_spectrum_frames(s, 512), 0);
    assert_int_equal(tl_spectrum_frames(s, 513), 2);
    assert_int_equal(tl_spectrum_frames(s, 480000), 1001);
    assert_int_equal(tl_spectrum_samples(s, 1), 513);
    assert_int_equal(tl_spectrum_samples(s, 1001), 480000);
    tl_spectrum_work_destroy(&work);
    tl_spectrum_destroy(&s);
    struct tl_err err = {0};
    assert_null(
        tl_spectrum_create(&(struct tl_spectrum_params){.window = 401, .hop = 160, .fft = 512}, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
}

/* ---- threads ---- */

enum { N_JOBS = 64 };
struct jobs {
    const struct tl_spectrum *shared;
    const float *x;
    double sum[N_JOBS];
};

/* Half of them make a plan of their own at the same time. */
static void job(void *arg, size_t i, int worker)
{
    struct jobs *jobs = arg;
    struct tl_spectrum_params p = {.window = 400, .hop = 160, .fft = 512, .is_power = true};
    struct tl_spectrum *own = i % 2 ? tl_spectrum_create(&p, NULL) : NULL;
    const struct tl_spectrum *s = own ? own : jobs->shared;
    struct tl_spectrum_work *work = tl_spectrum_work_create(s, NULL);
    (void)worker;
    for (size_t f = 0; work && f < tl_spectrum_frames(s, 4000); f++) {
        const double *bins = tl_spectrum_frame(s, work, jobs->x, 4000, f);
        for (size_t k = 0; k < tl_spectrum_bins(s); k++) jobs->sum[i] += bins[k];
    }
    tl_spectrum_work_destroy(&work);
    tl_spectrum_destroy(&own);
}

static void test_threads(void **state)
{
    (void)state;
    struct tl_spectrum_work *work = NULL;
    struct tl_spectrum *s = open_spectrum(
        &(struct tl_spectrum_params){.window = 400, .hop = 160, .fft = 512, .is_power = true}, &work);
    float *x = support_signal(4000, 16000, 3);
    struct jobs jobs = {.shared = s, .x = x};
    struct tl_pool *pool = tl_pool_create(4, NULL);
    assert_non_null(pool);
    tl_pool_run(pool, N_JOBS, job, &jobs);
    tl_pool_destroy(&pool);
    assert_true(jobs.sum[0] > 0);
    for (size_t i = 1; i < N_JOBS; i++) assert_true(jobs.sum[i] == jobs.sum[0]);
    tl_spectrum_work_destroy(&work);
    tl_spectrum_destroy(&s);
    free(x);
}

/* ---- banks ---- */

static double column(const struct tl_mel *m, size_t bins, size_t band, size_t *out_most)
{
    double sum = 0, most = 0;
    for (size_t k = 0; k < bins; k++) {
        double w = tl_mel_weight(m, k, band);
        sum += w;
        if (w > most) *out_most = k;
        if (w > most) most = w;
    }
    return sum;
}

static void check_bank(const struct tl_mel_params *p, double sum, double sum_tolerance, const size_t bands[4],
                       const double columns[4], const size_t *peaks)
{
    struct tl_err err = {0};
    size_t peak = 0;
    double total = 0;
    struct tl_mel *m = tl_mel_create(p, &err);
    if (!m) fail_msg("%s", err.text);
    for (size_t b = 0; b < p->bands; b++) total += column(m, p->bins, b, &peak);
    check_near(total, sum, sum_tolerance);
    for (size_t i = 0; i < 4; i++) {
        check_near(column(m, p->bins, bands[i], &peak), columns[i], 6e-7);
        if (peaks) assert_int_equal(peak, peaks[i]);
    }
    tl_mel_destroy(&m);
}

static void test_banks(void **state)
{
    (void)state;
    const size_t bands[] = {0, 8, 32, 63};
    struct tl_mel_params p = {.scale = TL_MEL_HTK, .bins = 513, .bands = 64, .rate = 48000, .high = 14000};
    check_bank(&p, 290.991890, 6e-7, bands, (double[]){0.621687, 1.047428, 3.299160, 14.022514},
               (size_t[]){1, 8, 55, 284});
    p.low = 50;
    check_bank(&p, 290.1503, 6e-5, bands, (double[]){0.765639, 1.106993, 3.285091, 13.715835},
               (size_t[]){2, 9, 58, 285});
    p.scale = TL_MEL_SLANEY;
    p.is_area = true;
    check_bank(&p, 1.3644329, 6e-8, bands, (double[]){0.020963, 0.020963, 0.021303, 0.021328},
               (size_t[]){2, 11, 50, 283});
    p.low = 0;
    check_bank(&p, 1.364273, 6e-7, bands, (double[]){0.020892, 0.020892, 0.021723, 0.021333},
               (size_t[]){1, 11, 49, 282});
    struct tl_mel_params v = {.scale = TL_MEL_HTK,
                              .is_linear_in_mel = true,
                              .is_dc_left_out = true,
                              .bins = 257,
                              .bands = 64,
                              .rate = 16000,
                              .low = 125,
                              .high = 7500};
    check_bank(&v, 230.9135991608477, 1e-9, bands,
               (double[]){0.9476904648443717, 1.353114, 2.999000, 8.944183}, NULL);
    struct tl_mel *m = tl_mel_create(&v, NULL);
    assert_non_null(m);
    for (size_t k = 0; k < 257; k++) {
        assert_true((tl_mel_weight(m, k, 0) > 0) == (k == 5));
        assert_true((tl_mel_weight(m, k, 63) > 0) == (k >= 223 && k <= 239));
    }
    tl_mel_destroy(&m);
    struct tl_err err = {0};
    v.high = 9000;
    assert_null(tl_mel_create(&v, &err));
    assert_non_null(strstr(err.text, "9000 Hz do not fit"));
}

/* A stored bank is taken as it is, whatever its shape; applying is the transposed product. */
static void test_apply(void **state)
{
    (void)state;
    const float weights[4 * 3] = {0, 1, 0, 2, 0, 0, 0, -1, 0, 3, 0.5f, 0};
    const double x[4] = {1, 10, 100, 1000};
    double out[3];
    struct tl_mel *m = tl_mel_create_from(weights, 4, 3, NULL);
    assert_non_null(m);
    tl_mel_apply(m, x, out);
    check_near(out[0], 3020, 0);
    check_near(out[1], 401, 0);
    check_near(out[2], 0, 0);
    tl_mel_destroy(&m);
    float logs[3];
    tl_mel_decibels((double[]){1, 0, 1e3}, 3, logs);
    check_near(logs[0], 0, 0);
    check_near(logs[1], -100, 1e-6);
    check_near(logs[2], 30, 1e-6);
    tl_mel_log((double[]){0}, 1, 0.01, logs);
    check_near(logs[0], log(0.01), 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_by_hand), cmocka_unit_test(test_counts),
                                       cmocka_unit_test(test_threads), cmocka_unit_test(test_banks),
                                       cmocka_unit_test(test_apply)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
