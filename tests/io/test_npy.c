/* numpy's files: numpy's own, ours byte for byte, and ones that lie. */
#include "io/file.h"
#include "io/npy.h"
#include "io/support_io.h"
#include "io/zip.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures/npy/"

static struct tl_npz *open_npz(const char *path)
{
    struct tl_err err = {0};
    struct tl_npz *z = tl_npz_open(path, &err);
    check_ok(z, &err);
    return z;
}

static void test_types(void **state)
{
    (void)state;
    static const char *const types[] = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"};
    struct tl_err err = {0};
    struct tl_npz *z = open_npz(FIXTURES "types.npz");
    assert_int_equal(tl_npz_count(z), 12);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        struct tl_npy wide, single;
        check_ok(tl_npz_read(z, types[t], TL_NPY_F64, &wide, &err), &err);
        check_ok(tl_npz_read(z, types[t], TL_NPY_F32, &single, &err), &err);
        assert_int_equal(wide.rank, 3);
        assert_true(wide.shape[0] == 2 && wide.shape[1] == 3 && wide.shape[2] == 4 && wide.n == 24);
        assert_string_equal(wide.type + 1, types[t]);
        assert_null(wide.f32);
        for (int i = 0; i < 24; i++) {
            double want = *types[t] == 'u' ? i : *types[t] == 'i' ? i - 5 : i / 4.0 - 3;
            assert_true(wide.f64[i] == want && (double)single.f32[i] == want);
        }
        tl_npy_finish(&wide);
        tl_npy_finish(&single);
    }
    struct tl_npy a;
    check_ok(tl_npz_read(z, "bool", TL_NPY_F32, &a, &err), &err);
    for (int i = 0; i < 6; i++) assert_true(a.f32[i] == (float)(i % 2)); /* i - 5 is even for odd i */
    tl_npy_finish(&a);
    check_fails(tl_npz_read(z, "mu", TL_NPY_F32, &a, &err), &err, TL_BAD_INPUT,
                "no array \"mu\"; it has f2, f4, f8, i1, i2, i4, ...");
    assert_true(tl_npz_has(z, "f2") && !tl_npz_has(z, "f"));
    tl_npz_close(&z);
    assert_null(z);
}

static void test_forms(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_npy a;
    struct tl_npz *z = open_npz(FIXTURES "forms.npz");
    static const char *const fortran[] = {"fortran", "fortran3"};
    for (int k = 0; k < 2; k++) {
        check_ok(tl_npz_read(z, fortran[k], TL_NPY_F64, &a, &err), &err);
        assert_int_equal(a.rank, 2 + k);
        for (size_t i = 0; i < a.n; i++) assert_true(a.f64[i] == (double)i / 4 - 3);
        tl_npy_finish(&a);
    }
    check_ok(tl_npz_read(z, "scalar", TL_NPY_F64, &a, &err), &err);
    assert_true(a.rank == 0 && a.n == 1 && a.f64[0] == 2.5);
    tl_npy_finish(&a);
    check_ok(tl_npz_read(z, "empty", TL_NPY_F32, &a, &err), &err);
    assert_true(a.rank == 2 && a.n == 0 && a.shape[1] == 3 && a.f32);
    tl_npy_finish(&a);
    check_ok(tl_npz_read(z, "row", TL_NPY_F32, &a, &err), &err);
    assert_true(a.rank == 1 && a.n == 7 && a.f32[6] == -1.5f);
    tl_npy_finish(&a);
    char *text = tl_npz_read_text(z, "text", &err);
    check_ok(text, &err);
    assert_string_equal(text, "na\xc3\xafve \xf0\x9f\x98\x80 text");
    free(text);
    text = tl_npz_read_text(z, "bytes", &err);
    check_ok(text, &err);
    assert_string_equal(text, "plain");
    free(text);
    check_fails(tl_npz_read(z, "text", TL_NPY_F32, &a, &err), &err, TL_BAD_INPUT, "numbers are expected");
    check_fails(tl_npz_read_text(z, "row", &err), &err, TL_BAD_INPUT, "forms.npz: row: not a text");
    tl_npz_close(&z);
    for (int version = 2; version <= 3; version++) {
        char path[512];
        snprintf(path, sizeof path, FIXTURES "version%d.npy", version);
        check_ok(tl_npy_read(path, TL_NPY_F32, &a, &err), &err);
        assert_true(a.n == 4 && a.f32[3] == -2.25f);
        tl_npy_finish(&a);
    }
    check_fails(tl_npy_read(FIXTURES "objects.npy", TL_NPY_F32, &a, &err), &err, TL_BAD_INPUT,
                "Python objects");
    check_fails(tl_npy_read(FIXTURES "big.npy", TL_NPY_F32, &a, &err), &err, TL_BAD_INPUT,
                "not little-endian");
    check_fails(tl_npy_read(FIXTURES "complex.npy", TL_NPY_F32, &a, &err), &err, TL_BAD_INPUT,
                "'<c8' are not read");
    check_fails(tl_npy_read(FIXTURES "columns.npy", TL_NPY_F32, &a, &err), &err, TL_BAD_INPUT,
                "a structured array");
    check_fails(tl_npy_read(io_path("absent"), TL_NPY_F32, &a, &err), &err, TL_BAD_INPUT, "cannot open");
    check_fails(tl_npy_read(io_put_text("empty.npy", ""), TL_NPY_F32, &a, &err), &err, TL_BAD_INPUT,
                "does not begin");
}

/* A version 1 file of a header and n zero bytes. */
static bool parse(const char *header, size_t n_data, struct tl_err *err)
{
    size_t n = strlen(header), size = 10 + n + n_data;
    uint8_t *data = calloc(1, size);
    struct tl_npy a;
    memcpy(data, "\x93NUMPY\1\0", 8);
    data[8] = (uint8_t)n, data[9] = (uint8_t)(n >> 8);
    memcpy(data + 10, header, n);
    bool ok = tl_npy_parse(data, size, "mem", TL_NPY_F64, &a, err);
    tl_npy_finish(&a);
    free(data);
    return ok;
}

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header, *part; /* NULL: it is read */
        size_t n;
    } rows[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", NULL, 24},
        {"{\"shape\":(2L,3L),\"descr\":\"<f4\",\"fortran_order\":True}", NULL, 24},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (), }", NULL, 1},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", "cut short", 23},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", "trailing bytes", 25},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)", "dict of literals", 24},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", "not a tuple", 24},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}", "not a tuple", 24},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}", "whole number", 24},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2.0, 3)}", "not a tuple", 24},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': [2, 3]}", "a shape expected", 24},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}", "neither True nor False", 24},
        {"{'descr': '<f4', 'fortran_order': False}", "not exactly", 4},
        {"{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}", "other members", 4},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", "other members", 4},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", "not exactly", 4},
        {"{'descr': '<f3', 'fortran_order': False, 'shape': (1,)}", "'<f3' are not read", 3},
        {"{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}", "are not read", 16},
        {"{'descr': 'f4', 'fortran_order': False, 'shape': (1,)}", "not known", 4},
        {"{'descr': '<f4\\'', 'fortran_order': False, 'shape': (1,)}", "as numpy writes", 4},
        {"{'descr': '<f99999999999999', 'fortran_order': False, 'shape': (1,)}", "not known", 4},
        {"{'descr': __import__('os').system('x'), 'fortran_order': False, 'shape': (1,)}",
         "a string expected", 4},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,)}", "above 2^64", 4},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4)}", "overflows", 4},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693953,)}", "overflows", 8},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", "more than 8 axes", 4},
        {"", "no dict", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        if (!rows[i].part) {
            check_ok(parse(rows[i].header, rows[i].n, &err), &err);
        } else {
            check_fails(parse(rows[i].header, rows[i].n, &err), &err, TL_BAD_INPUT, rows[i].part);
        }
    }
    struct tl_err err = {0};
    struct tl_npy a;
    check_fails(tl_npy_parse((const uint8_t *)"\x93NUMPY\4\0\1\0\0\0 ", 13, "mem", TL_NPY_F32, &a, &err),
                &err, TL_BAD_INPUT, "version");
    check_fails(tl_npy_parse((const uint8_t *)"\x93NUMPY\2\0\1\0\0", 11, "mem", TL_NPY_F32, &a, &err), &err,
                TL_BAD_INPUT, "cut short");
    check_fails(
        tl_npy_parse((const uint8_t *)"\x93NUMPY\2\0\xff\xff\xff\xff ", 13, "mem", TL_NPY_F32, &a, &err),
        &err, TL_BAD_INPUT, "64 KiB");
}

static void check_bytes(const char *path, const char *expected)
{
    struct tl_err err = {0};
    size_t n, n_want;
    uint8_t *got = tl_file_read(path, 1 << 20, &n, &err),
            *want = tl_file_read(expected, 1 << 20, &n_want, &err);
    if (!got || !want) fail_msg("%s", err.text);
    assert_int_equal(n, n_want);
    assert_memory_equal(got, want, n);
    free(got);
    free(want);
}

static void test_write(void **state)
{
    (void)state;
    struct tl_err err = {0};
    float rows[30];
    double wide[3];
    for (int i = 0; i < 30; i++) rows[i] = (float)i / 4 - 3;
    for (int i = 0; i < 3; i++) wide[i] = i / 4.0 - 3;
    const char *path = io_path("rows.npy");
    check_ok(tl_npy_write(path, &(struct tl_npy_item){.rank = 2, .shape = {6, 5}, .f32 = rows}, &err), &err);
    check_bytes(path, FIXTURES "rows.npy"); /* numpy.save's own */
    check_ok(tl_npy_write(path, &(struct tl_npy_item){.rank = 1, .shape = {3}, .f64 = wide}, &err), &err);
    check_bytes(path, FIXTURES "wide.npy");
    check_fails(tl_npy_write(path, &(struct tl_npy_item){.rank = 1, .shape = {3}}, &err), &err, TL_OUTPUT,
                "one kind");
    check_fails(
        tl_npy_write(path, &(struct tl_npy_item){.rank = 2, .shape = {UINT64_MAX, 2}, .f64 = wide}, &err),
        &err, TL_OUTPUT, "overflows");
    check_fails(tl_npy_write(io_path("no/x.npy"), &(struct tl_npy_item){.f64 = wide}, &err), &err, TL_OUTPUT,
                "cannot create");
    assert_int_equal(io_count(".tmp"), 0);
}

static void test_npz_round_trip(void **state)
{
    (void)state;
    double mu[40], sigma[1600], n = 1000;
    for (int i = 0; i < 40; i++) mu[i] = sin(i);
    for (int i = 0; i < 1600; i++) sigma[i] = cos(i);
    struct tl_npy_item items[] = {
        {.name = "mu", .rank = 1, .shape = {40}, .f64 = mu},
        {.name = "sigma", .rank = 2, .shape = {40, 40}, .f64 = sigma},
        {.name = "n", .f64 = &n},
        {.name = "about", .text = "{\"encoder\": \"na\xc3\xafve \xf0\x9f\x98\x80\"}"},
        {.name = "nothing", .text = ""},
    };
    for (int deflate = 0; deflate < 2; deflate++) {
        struct tl_err err = {0};
        const char *path = io_path("stats.npz"), *again = io_path("again.npz");
        check_ok(tl_npz_write(path, items, 5, deflate, &err), &err);
        check_ok(tl_npz_write(again, items, 5, deflate, &err), &err);
        check_bytes(path, again);
        struct tl_npz *z = open_npz(path);
        struct tl_npy a;
        assert_int_equal(tl_npz_count(z), 5);
        assert_string_equal(tl_npz_name(z, 1), "sigma");
        check_ok(tl_npz_read(z, "sigma", TL_NPY_F64, &a, &err), &err);
        assert_true(a.rank == 2 && a.n == 1600);
        assert_memory_equal(a.f64, sigma, sizeof sigma);
        tl_npy_finish(&a);
        check_ok(tl_npz_read(z, "n", TL_NPY_F64, &a, &err), &err);
        assert_true(a.rank == 0 && a.f64[0] == 1000);
        tl_npy_finish(&a);
        char *text = tl_npz_read_text(z, "about", &err);
        check_ok(text, &err);
        assert_string_equal(text, items[3].text);
        free(text);
        text = tl_npz_read_text(z, "nothing", &err);
        check_ok(text, &err);
        assert_string_equal(text, "");
        free(text);
        tl_npz_close(&z);
        items[1].name = "mu";
        check_fails(tl_npz_write(path, items, 5, deflate, &err), &err, TL_OUTPUT, "two arrays are called mu");
        items[1].name = "../mu";
        check_fails(tl_npz_write(path, items, 5, deflate, &err), &err, TL_OUTPUT, "not a usable name");
        items[1].name = "sigma";
    }
    assert_int_equal(io_count(".tmp"), 0);
}

/* Entries that are too large for what is packed, and damage in what is packed. */
static void test_bad_archives(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_npy a;
    double zeros[4096] = {0};
    struct tl_npy_item item = {.name = "mu", .rank = 1, .shape = {4096}, .f64 = zeros};
    const char *path = io_path("bad.npz");
    check_ok(tl_npz_write(path, &item, 1, true, &err), &err);
    size_t n;
    uint8_t *data = tl_file_read(path, 1 << 20, &n, &err);
    check_ok(data, &err);
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *part = malloc(cut + 1);
        memcpy(part, data, cut);
        struct tl_npz *z = tl_npz_open_memory(part, cut, "cut", &err);
        assert_null(z);
        assert_int_equal(err.code, TL_BAD_INPUT);
        tl_err_clear(&err);
        free(part);
    }
    for (size_t at = 0; at < n; at++) {
        data[at] ^= 0x55;
        struct tl_npz *z = tl_npz_open_memory(data, n, "flip", NULL);
        if (z && tl_npz_read(z, "mu", TL_NPY_F64, &a, NULL)) {
            for (int i = 0; i < 4096; i++) assert_true(a.f64[i] == 0); /* the check sum holds */
            tl_npy_finish(&a);
        }
        tl_npz_close(&z);
        data[at] ^= 0x55;
    }
    free(data);
    struct tl_zip_item entry = {"a.txt", "x", 1};
    check_ok(tl_zip_write(path, &entry, 1, false, &err), &err);
    check_fails(tl_npz_open(path, &err), &err, TL_BAD_INPUT, "no numpy arrays");
    check_fails(tl_npz_open(io_put_text("bad.npz", "text"), &err), &err, TL_BAD_INPUT, "not a zip archive");
}

/* A directory that promises gigabytes, packed in more than the archive has. */
static void test_promises(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_npy a;
    const double zeros[64] = {0};
    const struct tl_npy_item item = {.name = "mu", .rank = 1, .shape = {64}, .f64 = zeros};
    const char *path = io_path("much.npz");
    check_ok(tl_npz_write(path, &item, 1, true, &err), &err);
    size_t n, row = 0;
    uint8_t *data = tl_file_read(path, 1 << 20, &n, &err);
    check_ok(data, &err);
    while (memcmp(data + row, "PK\1\2", 4) != 0) row++;
    memcpy(data + row + 20, "\0\0\0\x08\0\0\0\x60", 8); /* 128 MiB, 1.5 GiB */
    struct tl_npz *z = tl_npz_open_memory(data, n, "much", &err);
    check_ok(z, &err);
    check_fails(tl_npz_read(z, "mu", TL_NPY_F64, &a, &err), &err, TL_BAD_INPUT,
                "1610612736 bytes cannot be packed in");
    assert_null(a.f64);
    tl_npz_close(&z);
    free(data);
}

/* Zeros that deflate makes small, and few bytes that become many values. */
static void test_bombs(void **state)
{
    (void)state;
    enum { N = 40 << 20 };
    static const struct {
        const char *type;
        size_t bytes, n;
        const char *part;
    } rows[] = {
        {"|u1", 1, N, "its 41943040 values would take far more memory"}, /* as doubles */
        {"|u1", 1, 1 << 20, NULL},
        {"|O8", 8, 1, "Python objects"},
    };
    struct tl_err err = {0};
    struct tl_npy a;
    uint8_t *data = calloc(N + 128, 1);
    assert_non_null(data);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char head[129];
        int n = snprintf(head, sizeof head, "{'descr': '%s', 'fortran_order': False, 'shape': (%zu,), }",
                         rows[i].type, rows[i].n);
        memcpy(data, "\x93NUMPY\1\0\x76\0", 10);
        memset(data + 10, ' ', 118);
        memcpy(data + 10, head, (size_t)n);
        data[127] = '\n';
        struct tl_zip_item item = {"mu.npy", data, 128 + rows[i].n * rows[i].bytes};
        check_ok(tl_zip_write(io_path("bomb.npz"), &item, 1, true, &err), &err);
        struct tl_npz *z = tl_npz_open(io_path("bomb.npz"), &err);
        check_ok(z, &err);
        if (rows[i].part) {
            check_fails(tl_npz_read(z, "mu", TL_NPY_F64, &a, &err), &err, TL_BAD_INPUT, rows[i].part);
        } else {
            check_ok(tl_npz_read(z, "mu", TL_NPY_F64, &a, &err), &err);
            assert_true(a.n == rows[i].n && a.f64[a.n - 1] == 0);
        }
        tl_npy_finish(&a);
        tl_npz_close(&z);
    }
    free(data);
}

static void test_twice(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const double one = 1;
    const struct tl_npy_item items[] = {{.name = "mu", .f64 = &one}, {.name = "nu", .f64 = &one}};
    check_ok(tl_npz_write(io_path("twice.npz"), items, 2, false, &err), &err);
    size_t n;
    uint8_t *data = tl_file_read(io_path("twice.npz"), 1 << 20, &n, &err);
    check_ok(data, &err);
    for (size_t i = 0; i + 6 <= n; i++)
        if (memcmp(data + i, "nu.npy", 6) == 0) data[i] = 'm';
    check_fails(tl_npz_open_memory(data, n, "twice", &err), &err, TL_BAD_INPUT,
                "twice: two arrays are called mu");
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),          cmocka_unit_test(test_forms),
        cmocka_unit_test(test_headers),        cmocka_unit_test(test_write),
        cmocka_unit_test(test_npz_round_trip), cmocka_unit_test(test_bad_archives),
        cmocka_unit_test(test_promises),       cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_twice),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
