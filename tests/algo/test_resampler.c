/* Resamplers: E[copies of i] = k w_i, whole copies where they are promised, and nothing at the edges. */
#include "support/check.h"

#include "algo/resample.h"

enum { MOST = 16, DRAWS = 100000 };

struct weights {
    const char *name;
    size_t k;
    double w[MOST];
};

static const struct weights cases[] = {
    {"mixed", 8, {.02, .3, .001, .2, .129, .1, .15, .1}},
    {"zeros", 7, {0, 0, .5, 0, .25, .25, 0}},
    {"one heavy", 5, {.004, .98, .004, .008, .004}},
    {"thirds", 3, {1, 1, 2}},
    {"below one copy", 16, {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3}},
};
enum { CASES = sizeof cases / sizeof *cases };

static struct tl_rng_key key_of(uint64_t seed)
{
    return (struct tl_rng_key){.seed = seed, .stream = TL_RNG_RESAMPLE};
}

static double share(const struct weights *c, size_t i)
{
    double sum = 0;
    for (size_t j = 0; j < c->k; j++) sum += c->w[j];
    return (double)c->k * c->w[i] / sum;
}

static void count(const size_t *ancestors, size_t k, size_t *out)
{
    memset(out, 0, k * sizeof *out);
    for (size_t i = 0; i < k; i++) {
        assert_true(ancestors[i] < k);
        assert_true(i == 0 || ancestors[i - 1] <= ancestors[i]);
        out[ancestors[i]]++;
    }
}

static bool promises_near(const struct tl_resampler *r)
{
    return strcmp(r->name, "systematic") == 0 || strcmp(r->name, "ssp") == 0;
}

/* A slot that is picked at random has ancestor i with probability w_i exactly, so that the slots of many
 * draws follow Pearson's law whatever the scheme. 5.2 standard deviations of it above its mean. */
static void check_slots(const size_t *slots, const struct weights *c, const char *scheme)
{
    double chi = 0;
    int freedom = -1;
    for (size_t i = 0; i < c->k; i++) {
        double want = DRAWS * share(c, i) / (double)c->k;
        if (want == 0) {
            assert_true(slots[i] == 0);
            continue;
        }
        chi += pow((double)slots[i] - want, 2) / want;
        freedom++;
    }
    if (chi > freedom + 5.2 * sqrt(2.0 * freedom))
        fail_msg("%s on %s: chi-square %g with %d degrees", scheme, c->name, chi, freedom);
}

static void check_law(const struct tl_resampler *r, const struct weights *c)
{
    size_t ancestors[MOST], n[MOST], slots[MOST] = {0};
    double sum[MOST] = {0}, squares[MOST] = {0};
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        r->draw(c->w, c->k, key_of(draw), ancestors);
        count(ancestors, c->k, n);
        struct tl_rng_key other = {.seed = draw, .stream = TL_RNG_TEST};
        slots[ancestors[tl_rng_below(other, 0, (uint32_t)c->k)]]++;
        for (size_t i = 0; i < c->k; i++) {
            double x = share(c, i);
            if (promises_near(r)) assert_true(fabs((double)n[i] - x) < 1 + 1e-9);
            if (strcmp(r->name, "residual") == 0) assert_true((double)n[i] > x - 1);
            if (strcmp(r->name, "stratified") == 0) assert_true(fabs((double)n[i] - x) < 2);
            sum[i] += (double)n[i];
            squares[i] += (double)(n[i] * n[i]);
        }
    }
    for (size_t i = 0; i < c->k; i++) {
        double mean = sum[i] / DRAWS, variance = squares[i] / DRAWS - mean * mean, x = share(c, i);
        check_near(mean, x, 4.5 * sqrt(fmax(variance, 1e-14) / DRAWS) + 1e-12);
        assert_true(variance < 1.05 * x * (1 - x / (double)c->k) + 1e-12); /* no more than multinomial */
    }
    check_slots(slots, c, r->name);
}

static void test_law(void **state)
{
    (void)state;
    for (const struct tl_resampler *r = tl_resamplers; r->name; r++)
        for (int c = 0; c < CASES; c++) check_law(r, &cases[c]);
}

/* Independent draws have the binomial's variance; the others are there because theirs is less. */
static void test_variance(void **state)
{
    (void)state;
    const struct weights *c = &cases[0];
    size_t ancestors[MOST], n[MOST];
    for (const struct tl_resampler *r = tl_resamplers; r->name; r++) {
        double total = 0, binomial = 0;
        for (uint64_t draw = 0; draw < 20000; draw++) {
            r->draw(c->w, c->k, key_of(draw), ancestors);
            count(ancestors, c->k, n);
            for (size_t i = 0; i < c->k; i++) total += pow((double)n[i] - share(c, i), 2) / 20000;
        }
        for (size_t i = 0; i < c->k; i++) binomial += share(c, i) * (1 - share(c, i) / (double)c->k);
        if (strcmp(r->name, "multinomial") == 0)
            check_near(total / binomial, 1, 0.03);
        else
            assert_true(total < 0.6 * binomial);
    }
}

/* SSP's reason to be: counts of different particles are never positively correlated, in any order. */
static void test_ssp_correlation(void **state)
{
    (void)state;
    const struct weights *c = &cases[4];
    const struct tl_resampler *ssp = tl_resampler_find("ssp");
    size_t ancestors[MOST], n[MOST];
    double product[MOST][MOST] = {{0}};
    enum { N = 40000 };
    for (uint64_t draw = 0; draw < N; draw++) {
        ssp->draw(c->w, c->k, key_of(draw), ancestors);
        count(ancestors, c->k, n);
        for (size_t i = 0; i < c->k; i++)
            for (size_t j = 0; j < i; j++)
                product[i][j] += ((double)n[i] - share(c, i)) * ((double)n[j] - share(c, j)) / N;
    }
    for (size_t i = 0; i < c->k; i++)
        for (size_t j = 0; j < i; j++) assert_true(product[i][j] < 4.5 * 0.25 / sqrt(N));
}

/* Sums that rounding leaves short of the last point, zeros behind it, weights of any size. */
static void test_edges(void **state)
{
    (void)state;
    enum { K = 257 };
    static const double sizes[] = {1, 0.1, 1.0 / 3, 1e-320, 5e-324, 1e300};
    double w[K];
    size_t ancestors[K], n[K];
    for (const struct tl_resampler *r = tl_resamplers; r->name; r++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (uint64_t draw = 0; draw < 200; draw++) {
                for (size_t i = 0; i < K; i++) w[i] = i % 3 == 1 && i < 200 ? sizes[s] : 0;
                memset(ancestors, 0xff, sizeof ancestors);
                r->draw(w, K, key_of(draw), ancestors);
                count(ancestors, K, n);
                for (size_t i = 0; i < K; i++) assert_true(w[i] > 0 || n[i] == 0);
            }
}

static void test_few(void **state)
{
    (void)state;
    for (const struct tl_resampler *r = tl_resamplers; r->name; r++)
        for (uint64_t draw = 0; draw < 50; draw++) {
            size_t one[1] = {7}, three[3];
            r->draw((double[]){0.3}, 1, key_of(draw), one);
            assert_int_equal(one[0], 0);
            r->draw((double[]){0, 0, 4}, 3, key_of(draw), three);
            for (int i = 0; i < 3; i++) assert_int_equal(three[i], 2);
        }
}

/* A weight far below 2^-24, which a point of 24 bits would miss or overdo: drawn as often as it should. */
static void test_small_weight(void **state)
{
    (void)state;
    enum { K = 1 << 14, N = 200 };
    double *w = malloc(K * sizeof *w);
    size_t *ancestors = malloc(K * sizeof *ancestors);
    for (const struct tl_resampler *r = tl_resamplers; r->name; r++) {
        size_t small = 0;
        for (size_t i = 0; i < K; i++) w[i] = i ? 2e-9 : 1; /* the share of all but the first: 3.3e-5 */
        for (uint64_t draw = 0; draw < N; draw++) {
            r->draw(w, K, key_of(draw), ancestors);
            for (size_t i = 0; i < K; i++) small += ancestors[i] != 0;
        }
        double want = (double)N * K * (K - 1) * 2e-9 / (1 + (K - 1) * 2e-9);
        check_near((double)small, want, 4.5 * sqrt(want));
    }
    free(w);
    free(ancestors);
}

static void test_keyed(void **state)
{
    (void)state;
    const struct weights *c = &cases[4];
    size_t a[MOST], b[MOST];
    for (const struct tl_resampler *r = tl_resamplers; r->name; r++) {
        int differ = 0;
        for (uint32_t step = 0; step < 20; step++) {
            struct tl_rng_key key = {.seed = 3, .stream = TL_RNG_RESAMPLE, .step = step};
            r->draw(c->w, c->k, key, a);
            r->draw(c->w, c->k, key, b);
            assert_memory_equal(a, b, c->k * sizeof *a);
            key.sample = 1;
            r->draw(c->w, c->k, key, b);
            differ += memcmp(a, b, c->k * sizeof *a) != 0;
        }
        assert_true(differ > 10);
    }
}

static void test_settle(void **state)
{
    (void)state;
    size_t ancestors[MOST], n[MOST], after[MOST], scratch[MOST];
    size_t some[6] = {1, 1, 1, 4, 5, 5};
    tl_resample_settle(some, 6, scratch);
    const size_t want[6] = {1, 1, 1, 5, 4, 5};
    assert_memory_equal(some, want, sizeof want);
    for (const struct tl_resampler *r = tl_resamplers; r->name; r++)
        for (uint64_t draw = 0; draw < 200; draw++) {
            const struct weights *c = &cases[draw % CASES];
            r->draw(c->w, c->k, key_of(draw), ancestors);
            count(ancestors, c->k, n);
            tl_resample_settle(ancestors, c->k, scratch);
            memset(after, 0, sizeof after);
            for (size_t i = 0; i < c->k; i++) after[ancestors[i]]++;
            assert_memory_equal(after, n, c->k * sizeof *n);
            for (size_t i = 0; i < c->k; i++) assert_true(n[i] == 0 || ancestors[i] == i);
        }
}

/* Equal weights: systematic draws everyone once, SSP too; each settles to the identity. */
static void test_equal(void **state)
{
    (void)state;
    enum { K = 100 };
    double w[K];
    size_t ancestors[K], scratch[K];
    for (size_t k = 1; k <= K; k++)
        for (uint64_t draw = 0; draw < 20; draw++)
            for (const struct tl_resampler *r = tl_resamplers; r->name; r++) {
                if (!promises_near(r)) continue;
                for (size_t i = 0; i < k; i++) w[i] = 1 / (double)k;
                r->draw(w, k, key_of(draw), ancestors);
                tl_resample_settle(ancestors, k, scratch);
                for (size_t i = 0; i < k; i++) assert_int_equal(ancestors[i], i);
            }
}

static void test_table(void **state)
{
    (void)state;
    assert_string_equal(tl_resamplers[0].name, "systematic"); /* the default stands first */
    for (const struct tl_resampler *r = tl_resamplers; r->name; r++) {
        assert_ptr_equal(tl_resampler_find(r->name), r);
        assert_true(r->help && *r->help);
    }
    assert_null(tl_resampler_find("bootstrap"));
    assert_null(tl_resampler_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_law),   cmocka_unit_test(test_variance),
        cmocka_unit_test(test_edges), cmocka_unit_test(test_ssp_correlation),
        cmocka_unit_test(test_few),   cmocka_unit_test(test_small_weight),
        cmocka_unit_test(test_keyed), cmocka_unit_test(test_settle),
        cmocka_unit_test(test_equal), cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
