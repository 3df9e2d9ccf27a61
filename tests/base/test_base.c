#include "support/check.h"

#include <stdatomic.h>

#include <tiller/interrupt.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/tl_math.h"

static void test_err_chain(void **state)
{
    (void)state;
    struct tl_err err = {0};
    assert_false(tl_err_set(&err, TL_BAD_INPUT, "%d channels", 5));
    assert_false(tl_err_set(&err, TL_DEVICE, "later failure"));
    tl_err_add(&err, "take_%02d.wav", 3);
    assert_string_equal(err.text, "take_03.wav: 5 channels");
    assert_int_equal(err.code, TL_BAD_INPUT);
    char longish[2000];
    memset(longish, 'x', sizeof longish - 1);
    longish[sizeof longish - 1] = 0;
    for (int i = 0; i < 5; i++) tl_err_add(&err, "%s", longish);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

/* What files say stands in messages: it stays one line of UTF-8 that a terminal only shows. */
static void test_err_hostile(void **state)
{
    (void)state;
    static const struct {
        const char *said, *kept;
    } rows[] = {
        {"two\nlines\r\t.", "two?lines??."},
        {"\x1b[2J\x7f", "?[2J?"},
        {"caf\xc3\xa9 \xe7\x8c\xab \xf0\x9f\x90\x88", "caf\xc3\xa9 \xe7\x8c\xab \xf0\x9f\x90\x88"},
        {"\xc2\x9b"
         "2J \xc2\xa0",
         "??2J \xc2\xa0"},                             /* CSI as one character; the first that is none */
        {"\xff \x80 \xc0\xaf \xc3", "? ? ?? ?"},       /* no UTF-8, overlong, cut */
        {"\xed\xa0\x80 \xf4\x90\x80\x80", "??? ????"}, /* surrogate, above U+10FFFF */
        {"\xe0\x9f\xbf \xf0\x8f\xbf\xbf", "??? ????"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        char both[64];
        tl_err_set(&err, TL_BAD_INPUT, "%s", rows[i].said);
        assert_string_equal(err.text, rows[i].kept);
        tl_err_add(&err, "%s", rows[i].said);
        snprintf(both, sizeof both, "%s: %s", rows[i].kept, rows[i].kept);
        assert_string_equal(err.text, both);
    }
    /* Cut where the room ends: never within a character. */
    for (size_t pad = 0; pad < 4; pad++) {
        struct tl_err err = {0};
        char text[2000] = "";
        memset(text, 'x', pad);
        for (size_t i = pad; i + 4 < sizeof text; i += 4) memcpy(text + i, "\xf0\x9f\x90\x88", 4);
        tl_err_set(&err, TL_BAD_INPUT, "%s", text);
        size_t most = sizeof err.text - 1;
        assert_int_equal(strlen(err.text), most - (most - pad) % 4);
        tl_err_add(&err, "%s", "clause");
        assert_int_equal(strlen(err.text), most - (most - 8 - pad) % 4);
        assert_int_equal((unsigned char)err.text[strlen(err.text) - 1], 0x88);
    }
}

static void test_checked(void **state)
{
    (void)state;
    size_t r = 7;
    assert_false(tl_checked_mul(SIZE_MAX / 2 + 1, 2, &r));
    assert_false(tl_checked_add(SIZE_MAX, 1, &r));
    assert_false(tl_checked_align(SIZE_MAX - 2, 64, &r));
    assert_int_equal(r, 7);
    assert_true(tl_checked_align(65, 64, &r));
    assert_int_equal(r, 128);
}

static void test_arena(void **state)
{
    (void)state;
    struct tl_arena a = {0};
    char *first = tl_arena_printf(&a, "%s-%d", "op", 7);
    for (int i = 1; i < 300; i++) {
        unsigned char *p = tl_arena_alloc(&a, (size_t)i * 37, 11);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        assert_int_equal(p[0] | p[(size_t)i * 37 * 11 - 1], 0);
        memset(p, 0xff, (size_t)i * 37 * 11);
    }
    assert_string_equal(first, "op-7");
    assert_null(tl_arena_alloc(&a, SIZE_MAX, 2));
    assert_true(a.failed);
    tl_arena_finish(&a);
}

static void test_str(void **state)
{
    (void)state;
    struct tl_str s = {0};
    for (int i = 0; i < 100; i++) tl_str_printf(&s, "%d,", i);
    assert_int_equal(s.len, 290);
    const char *words[] = {"epochs", "eta", "guidance"};
    assert_string_equal(tl_str_nearest("guidence", words, 3), "guidance");
    assert_null(tl_str_nearest("zzzzzzzzz", words, 3));
    tl_str_finish(&s);
}

static void test_sha256(void **state)
{
    (void)state;
    struct tl_sha256 s;
    char hex[65];
    tl_sha256_init(&s);
    tl_sha256_add(&s, "abc", 3);
    tl_sha256_hex(&s, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    tl_sha256_init(&s);
    for (int i = 0; i < 1000000; i++) tl_sha256_add(&s, "a", 1);
    tl_sha256_hex(&s, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_sha256_stops(void **state)
{
    (void)state;
    struct tl_err err = {0};
    char hex[65], same[65];
    const char *path = TL_SOURCE_DIR "/README.md";
    check_ok(tl_sha256_file_while(path, "hashing", hex, &err), &err);
    tl_interrupt_request();
    assert_false(tl_sha256_file_while(path, "hashing", same, &err));
    assert_int_equal(err.code, TL_INTERRUPTED);
    assert_true(tl_sha256_file(path, same, NULL)); /* what a stop still has to write */
    tl_interrupt_clear();
    assert_string_equal(hex, same);
}

/* Random123's known answers for philox4x32-10. */
static void test_philox(void **state)
{
    (void)state;
    uint32_t w[4];
    tl_rng_block((struct tl_rng_key){0}, 0, w);
    assert_int_equal(w[0], 0x6627e8d5);
    assert_int_equal(w[1], 0xe169c58d);
    assert_int_equal(w[2], 0xbc57ac4c);
    assert_int_equal(w[3], 0x9b00dbd8);
    tl_rng_block(
        (struct tl_rng_key){
            .seed = UINT64_MAX, .stream = UINT32_MAX, .sample = UINT32_MAX, .step = UINT32_MAX},
        UINT32_MAX, w);
    assert_int_equal(w[0], 0x408f276d);
    assert_int_equal(w[1], 0x41c83b0e);
    assert_int_equal(w[2], 0xa20bc7c6);
    assert_int_equal(w[3], 0x6d5451fd);
}

static void test_normal_moments(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    float *v = malloc(N * sizeof *v);
    struct tl_rng_key key = {.seed = 7, .stream = TL_RNG_TEST};
    tl_rng_normal(key, 0, N, v);
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    for (int i = 0; i < N; i++) {
        double x = v[i];
        m1 += x;
        m2 += x * x;
        m3 += x * x * x;
        m4 += x * x * x * x;
    }
    check_near(m1 / N, 0, 5e-3);
    check_near(m2 / N, 1, 8e-3);
    check_near(m3 / N, 0, 2e-2);
    check_near(m4 / N, 3, 5e-2);
    float part[13];
    tl_rng_normal(key, 1001, 13, part); /* any window of the sequence is the same numbers */
    assert_memory_equal(part, v + 1001, sizeof part);
    tl_rng_gumbel(key, 0, N, v);
    m1 = 0;
    for (int i = 0; i < N; i++) m1 += v[i];
    check_near(m1 / N, 0.5772156649, 5e-3);
    free(v);
}

static double ulps(float got, double want)
{
    float w = (float)want;
    double ulp = (double)nextafterf(fabsf(w), INFINITY) - fabsf(w);
    return fabs(got - want) / ulp;
}

static void test_math_ulps(void **state)
{
    (void)state;
    double worst_log = 0, worst_exp = 0, worst_sin = 0;
    for (int i = 1; i < 200000; i++) {
        float u = ((float)i - 0.5f) / 200000.0f, x = -87.0f + 175.0f * u, s, c;
        double e = ulps(tl_logf(u), log(u));
        if (e > worst_log) worst_log = e;
        e = ulps(tl_expf(x), exp(x));
        if (e > worst_exp) worst_exp = e;
        tl_sincos_turn(u, &s, &c);
        e = fabs(s - sin(6.283185307179586 * u)) + fabs(c - cos(6.283185307179586 * u));
        if (e > worst_sin) worst_sin = e;
    }
    printf("log %.2f ulp, exp %.2f ulp, sincos %.2e\n", worst_log, worst_exp, worst_sin);
    assert_true(worst_log < 2.5 && worst_exp < 2.5 && worst_sin < 4e-7);
}

static void test_permute(void **state)
{
    (void)state;
    uint32_t p[100], seen[100] = {0};
    tl_rng_permute((struct tl_rng_key){.seed = 3}, 100, p);
    for (int i = 0; i < 100; i++) seen[p[i]]++;
    for (int i = 0; i < 100; i++) assert_int_equal(seen[i], 1);
}

static void bump(void *arg, size_t i, int worker)
{
    (void)worker;
    atomic_fetch_add((atomic_int *)arg + i, 1);
}

static void test_pool(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_pool *pool = tl_pool_create(3, &err);
    assert_non_null(pool);
    static atomic_int hits[1000];
    for (int round = 0; round < 50; round++) tl_pool_run(pool, 1000, bump, hits);
    for (int i = 0; i < 1000; i++) assert_int_equal(hits[i], 50);
    tl_pool_destroy(&pool);
    assert_null(pool);
    tl_pool_destroy(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_chain),
        cmocka_unit_test(test_err_hostile),
        cmocka_unit_test(test_checked),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_str),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_sha256_stops),
        cmocka_unit_test(test_philox),
        cmocka_unit_test(test_normal_moments),
        cmocka_unit_test(test_math_ulps),
        cmocka_unit_test(test_permute),
        cmocka_unit_test(test_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
