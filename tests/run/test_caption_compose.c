/* Captions as a sample sees them. */
#include "support/check.h"

#include "run/caption_compose.h"

static struct tl_rng_key key_of(uint32_t sample, uint32_t step)
{
    return (struct tl_rng_key){.seed = 5, .stream = TL_RNG_DROPOUT, .sample = sample, .step = step};
}

static const char *compose(const char *caption, struct tl_caption_params p, uint32_t step)
{
    static struct tl_str out;
    tl_caption_compose(caption, &p, key_of(1, step), &out);
    assert_false(out.failed);
    return out.data;
}

static void test_as_it_is(void **state)
{
    (void)state;
    static const char *const texts[] = {"a, b ,c", "", "two\nlines,", " , ,"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(compose(texts[i], (struct tl_caption_params){.keep_tokens = 2}, 1), texts[i]);
    assert_string_equal(compose("a red shoe", (struct tl_caption_params){.dropout = 1}, 1), "");
}

/* Every order of the free tags turns up about equally often, the kept ones stay. */
static void test_shuffle(void **state)
{
    (void)state;
    enum { N = 6000 };
    static const char *const orders[] = {"me, a b, c, d", "me, a b, d, c", "me, c, a b, d",
                                         "me, c, d, a b", "me, d, a b, c", "me, d, c, a b"};
    int n[6] = {0};
    struct tl_caption_params p = {.shuffle = true, .keep_tokens = 1};
    for (uint32_t i = 0; i < N; i++) {
        const char *text = compose(" me ,, a b,c , d,", p, i);
        int k = 0;
        while (k < 6 && strcmp(text, orders[k]) != 0) k++;
        if (k == 6) fail_msg("'%s'", text);
        n[k]++;
    }
    for (int k = 0; k < 6; k++) assert_true(n[k] > N / 6 - 150 && n[k] < N / 6 + 150); /* 5 deviations */
    p.keep_tokens = 9;
    assert_string_equal(compose("c,b,a", p, 3), "c, b, a");
}

static void test_dropout(void **state)
{
    (void)state;
    enum { N = 4000 };
    int empty = 0, tags[4] = {0}, both = 0;
    struct tl_caption_params p = {.dropout = 0.25};
    for (uint32_t i = 0; i < N; i++) {
        const char *text = compose("a, b", p, i);
        assert_true(!*text || !strcmp(text, "a, b"));
        assert_true(!*text == (tl_rng_uniform(key_of(1, i), 0) < 0.25f));
        empty += !*text;
    }
    assert_true(abs(empty - N / 4) < 140);
    p = (struct tl_caption_params){.tag_dropout = 0.5, .keep_tokens = 1};
    for (uint32_t i = 0; i < N; i++) {
        const char *text = compose("w, x, y, z", p, i);
        for (int k = 0; k < 4; k++) tags[k] += strchr(text, "wxyz"[k]) != NULL;
        both += strchr(text, 'x') && strchr(text, 'y');
        assert_true(text[0] == 'w' && (!text[1] || text[1] == ','));
    }
    assert_int_equal(tags[0], N);
    for (int k = 1; k < 4; k++) assert_true(abs(tags[k] - N / 2) < 160);
    assert_true(abs(both - N / 4) < 140); /* independent of each other */
    p = (struct tl_caption_params){.tag_dropout = 1, .shuffle = true};
    assert_string_equal(compose("w, x", p, 1), "");
}

static void test_same_key_same_text(void **state)
{
    (void)state;
    struct tl_caption_params p = {.dropout = 0.1, .tag_dropout = 0.2, .shuffle = true, .keep_tokens = 1};
    struct tl_str a = {0}, b = {0};
    int steps = 0, samples = 0;
    for (uint32_t i = 0; i < 200; i++) {
        const char *text = "one, two, three, four, five, six";
        tl_caption_compose(text, &p, key_of(0, i), &a);
        tl_caption_compose(text, &p, key_of(0, i), &b);
        assert_string_equal(a.data, b.data);
        tl_caption_compose(text, &p, key_of(0, i + 1), &b);
        steps += strcmp(a.data, b.data) != 0;
        tl_caption_compose(text, &p, key_of(1, i), &b);
        samples += strcmp(a.data, b.data) != 0;
    }
    assert_true(steps > 150 && samples > 150);
    tl_str_finish(&a);
    tl_str_finish(&b);
}

/* Thousands of tags: what is beyond the last that is counted stays in one piece. */
static void test_many_tags(void **state)
{
    (void)state;
    struct tl_str text = {0}, out = {0};
    for (int i = 0; i < 5000; i++) tl_str_printf(&text, "t%d,", i);
    tl_caption_compose(text.data, &(struct tl_caption_params){.shuffle = true, .keep_tokens = 4999},
                       key_of(0, 0), &out);
    assert_non_null(strstr(out.data, "t4094, t4095,t4096,"));
    assert_non_null(strstr(out.data, ",t4999"));
    tl_str_finish(&text);
    tl_str_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_it_is), cmocka_unit_test(test_shuffle), cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_same_key_same_text), cmocka_unit_test(test_many_tags)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
