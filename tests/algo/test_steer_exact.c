/* What of steering's core holds exactly, not only on average. */
#include "support/check.h"

#include "algo/support_toy.h"

static double first(const double *x)
{
    return x[0];
}

static struct toy steered(const struct tl_potential *potential, const struct tl_resampler *resampler)
{
    struct toy t = toy_default();
    t.reward = first;
    t.potential = potential;
    t.resampler = resampler;
    return t;
}

/* lambda 0, one particle, a threshold of 0, or no potential: the base sampler's samples to the bit. */
static void test_identity(void **state)
{
    (void)state;
    struct toy_result r;
    double base[TOY_K][TOY_DIM];
    for (const struct tl_potential *p = tl_potentials; p->name; p++)
        for (const struct tl_resampler *s = tl_resamplers; s->name; s++)
            for (int what = 0; what < 4; what++) {
                struct toy t = steered(p, s);
                t.ess_threshold = 1;
                if (what == 0) t.lambda = 0;
                if (what == 1) t.k = 1;
                if (what == 2) t.ess_threshold = 0;
                if (what == 3) t.potential = tl_potential_find("none");
                toy_sample(&t, 5, base);
                toy_run(&t, 5, &r);
                assert_memory_equal(r.x, base, t.k * sizeof *base);
                assert_int_equal(r.n_resampled, 0);
                if (what == 0) assert_true(r.log_z == 0 && r.weight[3] == 1.0 / TOY_K);
            }
    struct toy t = steered(tl_potentials, tl_resamplers); /* and otherwise not */
    toy_sample(&t, 5, base);
    toy_run(&t, 5, &r);
    assert_true(r.n_resampled > 0 && memcmp(r.x, base, sizeof base) != 0);
}

/* The product rule along every lineage that is left, summed beside the lineage from what was weighed. */
static void test_telescoping(void **state)
{
    (void)state;
    struct toy_result r;
    for (const struct tl_potential *p = tl_potentials; p->name; p++)
        for (int always = 0; always < 2; always++)
            for (uint64_t seed = 0; seed < 10; seed++) {
                struct toy t = steered(p, tl_resamplers);
                t.ess_threshold = always ? 1 : 0.5;
                toy_run(&t, seed, &r);
                for (size_t i = 0; i < t.k; i++) check_near(r.log_g[i], t.lambda * r.reward[i], 1e-5);
            }
}

static void check_same(const struct toy_result *a, const struct toy_result *b, double log_z_apart)
{
    assert_memory_equal(a->x, b->x, sizeof a->x);
    assert_int_equal(a->n_resampled, b->n_resampled);
    for (size_t i = 0; i < TOY_K; i++) check_near(a->weight[i], b->weight[i], 1e-9);
    check_near(a->log_z - b->log_z, log_z_apart, 1e-8);
}

/* A constant on the rewards moves log Z by lambda times it and nothing else; rewards times c with lambda over
 * c are the same problem. */
static void test_invariance(void **state)
{
    (void)state;
    struct toy_result plain, moved, scaled;
    for (const struct tl_potential *p = tl_potentials; p->name; p++)
        for (const struct tl_resampler *s = tl_resamplers; s->name; s++)
            for (uint64_t seed = 0; seed < 5; seed++) {
                struct toy t = steered(p, s);
                toy_run(&t, seed, &plain);
                t.shift = 7.25;
                toy_run(&t, seed, &moved);
                check_same(&moved, &plain, t.lambda * t.shift);
                t.shift = 0;
                t.scale = 3;
                t.lambda /= 3;
                toy_run(&t, seed, &scaled);
                check_same(&scaled, &plain, 0);
            }
}

/* Copies of one particle part in the next step, since noise is keyed by slot: no two samples are equal. */
static void test_copies_part(void **state)
{
    (void)state;
    struct toy_result r;
    struct toy t = steered(tl_potentials, tl_resamplers);
    t.ess_threshold = 1;
    toy_run(&t, 1, &r);
    assert_int_equal(r.n_resampled, 4);
    for (size_t i = 0; i < t.k; i++)
        for (size_t j = 0; j < i; j++) assert_true(r.x[i][0] != r.x[j][0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_telescoping),
        cmocka_unit_test(test_invariance),
        cmocka_unit_test(test_copies_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
