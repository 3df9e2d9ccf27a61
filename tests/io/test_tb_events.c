#include "support/check.h"

#include "io/base64.h"
#include "io/tb_events.h"

/* ---- checksums ---- */

static void test_crc(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0};
    assert_int_equal(tl_tb_crc32c("123456789", 9), 0xe3069283u);
    assert_int_equal(tl_tb_crc32c(zeros, sizeof zeros), 0x8a9136aau);
    assert_int_equal(tl_tb_crc32c("", 0), 0);
    assert_int_equal(tl_tb_masked_crc("\x1a\x11"
                                      "CRC test, one two",
                                      19),
                     0x5794d08au);
}

/* ---- records, byte by byte ---- */

static void expect(const struct tl_str *got, const char *bytes, size_t n)
{
    assert_false(got->failed);
    assert_int_equal(got->len, n);
    assert_memory_equal(got->data, bytes, n);
}
#define EXPECT(got, bytes) expect(got, bytes, sizeof bytes - 1)

static void test_version(void **state)
{
    (void)state;
    struct tl_str out = {0};
    tl_tb_version(&out, 1700000000.0);
    EXPECT(&out, "\x18\0\0\0\0\0\0\0"
                 "\xa3\x7f\x4b\x22"
                 "\x09\0\0\0\x40\xfc\x54\xd9\x41"
                 "\x1a\x0d"
                 "brain.Event:2"
                 "\xec\xed\x8f\x9d");
    tl_str_finish(&out);
}

static void test_scalar(void **state)
{
    (void)state;
    struct tl_str out = {0};
    const struct tl_tb_scalar loss = {"loss", 0.5f};
    tl_tb_scalars(&out, 1700000001.0, 10, &loss, 1);
    EXPECT(&out, "\x1a\0\0\0\0\0\0\0"
                 "\x12\x9b\xd8\x2d"
                 "\x09\0\0\x40\x40\xfc\x54\xd9\x41"
                 "\x10\x0a"
                 "\x2a\x0d\x0a\x0b\x0a\x04"
                 "loss"
                 "\x15\0\0\0\x3f"
                 "\x5d\xca\xdb\xa0");
    tl_str_finish(&out);
}

/* The payload of the only record; lengths and checksums are right. */
static const uint8_t *payload(const struct tl_str *out, size_t *out_n)
{
    const uint8_t *p = (const uint8_t *)out->data;
    size_t n = p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16;
    assert_int_equal(out->len, n + 16);
    uint32_t of_length = tl_tb_masked_crc(p, 8), of_data = tl_tb_masked_crc(p + 12, n);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(p[8 + i], of_length >> 8 * i & 255);
        assert_int_equal(p[12 + n + i], of_data >> 8 * i & 255);
    }
    *out_n = n;
    return p + 12;
}

static void test_restart(void **state)
{
    (void)state;
    struct tl_str out = {0};
    size_t n;
    tl_tb_restart(&out, 1700000000.0, 300);
    const uint8_t *p = payload(&out, &n);
    assert_int_equal(n, 16);
    assert_memory_equal(p + 9,
                        "\x10\xac\x02"
                        "\x3a\x02\x08\x01",
                        7);
    tl_str_finish(&out);
}

static void test_image(void **state)
{
    (void)state;
    struct tl_str out = {0};
    size_t n;
    static uint8_t png[200] = {0x89, 'P', 'N', 'G'};
    const struct tl_tb_image image = {
        .tag = "samples/grid", .width = 300, .height = 7, .channels = 3, .png = png, .n_bytes = sizeof png};
    tl_tb_image(&out, 1700000000.0, 0, &image);
    const uint8_t *p = payload(&out, &n);
    /* step 0 is left out; lengths of two bytes each */
    assert_memory_equal(p + 9,
                        "\x2a\xe6\x01"
                        "\x0a\xe3\x01"
                        "\x0a\x0c"
                        "samples/grid"
                        "\x22\xd2\x01"
                        "\x08\x07"
                        "\x10\xac\x02"
                        "\x18\x03"
                        "\x22\xc8\x01"
                        "\x89PNG",
                        37);
    assert_int_equal(n, 9 + 33 + sizeof png);
    tl_str_finish(&out);
}

static void test_base64(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct tl_str out = {0};
        tl_base64_append(&out, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(out.data ? out.data : "", pairs[i][1]);
        tl_str_finish(&out);
    }
    struct tl_str whole = {0};
    static uint8_t big[10000];
    for (size_t i = 0; i < sizeof big; i++) big[i] = (uint8_t)(i * 7);
    tl_base64_append(&whole, big, sizeof big);
    assert_int_equal(whole.len, (sizeof big + 2) / 3 * 4);
    assert_memory_equal(whole.data, "AAcOFRwjKjE4P0ZNVFtiaXB3", 24);
    tl_str_finish(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_crc),    cmocka_unit_test(test_version),
                                       cmocka_unit_test(test_scalar), cmocka_unit_test(test_restart),
                                       cmocka_unit_test(test_image),  cmocka_unit_test(test_base64)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
