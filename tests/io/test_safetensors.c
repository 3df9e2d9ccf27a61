#include "io/safetensors.h"

#include "io/file.h"
#include "base/half.h"
#include "io/support_io.h"

#define ONE "{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}"

/* Length, header, n zero bytes. */
static uint8_t *build(const char *header, size_t n_data, size_t *out_n)
{
    size_t n = strlen(header);
    uint8_t *file = calloc(1, 8 + n + n_data + 1);
    assert_non_null(file);
    for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)n >> 8 * i);
    memcpy(file + 8, header, n);
    *out_n = 8 + n + n_data;
    return file;
}

static struct tl_st_file *open_text(const char *header, size_t n_data, uint8_t **out_bytes,
                                    struct tl_err *err)
{
    size_t n;
    *out_bytes = build(header, n_data, &n);
    return tl_st_open_memory(*out_bytes, n, "mem", err);
}

static void accept(const char *header, size_t n_data, size_t n_tensors)
{
    struct tl_err err = {0};
    uint8_t *bytes;
    struct tl_st_file *f = open_text(header, n_data, &bytes, &err);
    check_ok(f, &err);
    assert_int_equal(tl_st_count(f), n_tensors);
    tl_st_close(&f);
    assert_null(f);
    free(bytes);
}

static void refuse(const char *header, size_t n_data, const char *part)
{
    struct tl_err err = {0};
    uint8_t *bytes;
    check_fails(open_text(header, n_data, &bytes, &err), &err, TL_BAD_INPUT, part);
    free(bytes);
}

static void refuse_bytes(const void *data, size_t n, const char *part)
{
    struct tl_err err = {0};
    check_fails(tl_st_open_memory(data, n, "mem", &err), &err, TL_BAD_INPUT, part);
    check_fails(tl_st_open(io_put("bad.safetensors", data, n), &err), &err, TL_BAD_INPUT, "bad.safetensors");
}

/* The reference implementation's own unit tests. */
static void test_vectors(void **state)
{
    (void)state;
    accept(ONE, 16, 1);
    refuse(ONE, 14, "cut short");
    refuse(ONE, 16 + 34, "trailing bytes");
    accept("{\"test\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, 1);
    accept("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,0],\"data_offsets\":[0, 0]}}", 0, 1);
    refuse("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0, 4]}}", 16, "needs 16 bytes");
    refuse("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,18446744073709551614],\"data_offsets\":[0,16]}}", 16,
           "overflows");
    refuse("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,9223372036854775807],\"data_offsets\":[0,16]}}", 16,
           "overflows");
    refuse("{\"test\":{\"dtype\":\"F64\",\"shape\":[1,1152921504606846976],\"data_offsets\":[0,16]}}", 16,
           "overflows");
    char ten[1024] = "{";
    for (int i = 0; i < 10; i++) {
        snprintf(ten + strlen(ten), sizeof ten - strlen(ten),
                 "%s\"w%d\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]}", i ? "," : "", i);
    }
    refuse(strcat(ten, "}"), 16, "overlap or leave a hole");
    refuse_bytes("", 0, "");
    refuse_bytes("\x3c\0\0\0\0\0\0", 7, "shorter than the 8 bytes");
    refuse_bytes("\x3c\0\0\0\0\0\0\0", 8, "beyond the end");
    refuse_bytes("\x3c\0\0\0\0\xff\xff\xff{}", 10, "100,000,000");
    refuse_bytes("\x01\0\0\0\0\0\0\0\xff", 9, "not UTF-8");
    refuse_bytes("\x01\0\0\0\0\0\0\0{", 9, "JSON");
    accept("{}\r \t\n", 0, 0);
    accept("\t\n{}\r ", 0, 0);
}

static void test_structure(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "'{'"},
        {"[]", "'{'"},
        {"{\"a\":1}", "'{'"},
        {"{\"a\":{}}", "all needed"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[]}}", "all needed"},
        {"{\"a\":{\"dtype\":\"I32\",\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}", "twice"},
        {"{\"a\":{\"dtype\":\"i32\",\"shape\":[],\"data_offsets\":[0,4]}}", "unknown dtype \"i32\""},
        {"{\"a\":{\"dtype\":5,\"shape\":[],\"data_offsets\":[0,4]}}", "string expected"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", "whole number"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[1e0],\"data_offsets\":[0,4]}}", "whole number"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "whole number"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[\"1\"],\"data_offsets\":[0,4]}}", "whole number"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[01],\"data_offsets\":[0,4]}}", "leading zero"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[18446744073709551616],\"data_offsets\":[0,4]}}", "above 2^64"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[1,],\"data_offsets\":[0,4]}}", "whole number"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", "more numbers"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0]}}", "two numbers"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4,8]}}", "more numbers"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[4,0]}}", "hole"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[1,5]}}", "hole"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[0],\"data_offsets\":[0,18446744073709551615]}}",
         "needs 0 bytes"},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[9],\"data_offsets\":[0,4]}}", "whole bytes"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]},}", "string expected"},
        {"{\"a\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}x", "behind the end"},
        {"{\"a\\u0000\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}", "U+0000"},
        {"{\"a\\ud800\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}", "surrogate"},
        {"{\"a\":{\"dtype\":\"I16\",\"shape\":[],\"data_offsets\":[0,2]},"
         "\"\\u0061\":{\"dtype\":\"I16\",\"shape\":[],\"data_offsets\":[2,4]}}",
         "appears twice"},
        {"{\"a\":{\"dtype\":\"I16\",\"shape\":[],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"I16\",\"shape\":[],\"data_offsets\":[1,4]}}",
         "b: data_offsets [1, 4) overlap"},
        {"{\"__metadata__\":{\"a\":1}}", "string expected"},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", "appears twice"},
        {"{\"__metadata__\":[]}", "'{'"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", "twice"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) refuse(bad[i][0], 4, bad[i][1]);
    accept("{\"__metadata__\":null}", 0, 0);
    accept("{\"a\":{\"x\":[{\"y\":null}],\"dtype\":\"F6_E3M2\",\"shape\":[4],\"data_offsets\":[0,3],\"dtype "
           "\":1}}",
           3, 1);
    /* Empty tensors share an offset with the one that starts there. */
    accept("{\"b\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]},"
           "\"a\":{\"dtype\":\"I32\",\"shape\":[0,7],\"data_offsets\":[0,0]},"
           "\"c\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,4]}}",
           4, 3);
    char deep[400] = "{\"a\":{\"x\":";
    for (int i = 0; i < 80; i++) strcat(deep, "[");
    refuse(deep, 4, "64 levels");
    char name[1200] = "{\"";
    memset(name + 2, 'n', 513);
    strcpy(name + 515, "\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}");
    refuse(name, 4, "512 bytes");
    memmove(name + 2, name + 3, strlen(name + 3) + 1);
    accept(name, 4, 1);
}

static void test_foreign(void **state)
{
    (void)state;
    refuse_bytes("PK\3\4\x14\0\0\0\0\0\0\0archive/data.pkl", 28, "not a zip archive that can be read");
    refuse_bytes("\x80\2\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\2M", 18, "cut short");
    refuse_bytes("\x80\4", 2, "a Python pickle, but not of torch.save");
    refuse_bytes("GGUF\3\0\0\0\1\0\0\0", 12, "GGUF");
    refuse_bytes("version https://git-lfs.github.com/spec/v1\noid", 46, "git lfs pull");
    struct tl_err err = {0};
    check_fails(tl_st_open(io_path("absent"), &err), &err, TL_BAD_INPUT, "No such file");
    check_fails(tl_st_open(io_path(""), &err), &err, TL_BAD_INPUT, "not a plain file");
    /* A header of 640 bytes starts like a pickle and is none. */
    char header[700];
    snprintf(header, sizeof header, "%-640s", ONE);
    accept(header, 16, 1);
}

/* Cuts and single changed bytes never crash; what is accepted can be read to the last byte. */
static void test_damage(void **state)
{
    (void)state;
    const char *header =
        "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F16\",\"shape\":[2,3],"
        "\"data_offsets\":[0,12]},\"b\\n\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[12,17]}}";
    size_t n;
    uint8_t *whole = build(header, 17, &n);
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *part = malloc(cut + 1); /* own block, so that the sanitizer sees a read beyond it */
        memcpy(part, whole, cut);
        struct tl_err err = {0};
        struct tl_st_file *f = tl_st_open_memory(part, cut, "cut", &err);
        assert_null(f);
        assert_int_equal(err.code, TL_BAD_INPUT);
        free(part);
    }
    unsigned accepted = 0;
    for (size_t at = 0; at < n - 17; at++) {
        for (unsigned flip = 1; flip < 256; flip += 2) {
            whole[at] ^= (uint8_t)flip;
            struct tl_st_file *f = tl_st_open_memory(whole, n, "flip", NULL);
            for (size_t i = 0; f && i < tl_st_count(f); i++) {
                const struct tl_st_tensor *t = tl_st_at(f, i);
                float out[64];
                assert_true(t->data >= whole && t->data + t->bytes <= whole + n && t->n <= 64);
                tl_st_to_f32(t, out, NULL);
                accepted++;
            }
            tl_st_close(&f);
            whole[at] ^= (uint8_t)flip;
        }
    }
    assert_true(accepted > 100); /* names may change */
    free(whole);
}

static const void *read_back(const char *name, size_t *n)
{
    static uint8_t *data;
    struct tl_err err = {0};
    free(data);
    data = tl_file_read(io_path(name), 1 << 24, n, &err);
    check_ok(data, &err);
    return data;
}

static void test_writer_bytes(void **state)
{
    (void)state;
    struct tl_err err = {0};
    float values[6] = {0, 1, 2, 3, 4, 5};
    struct tl_st_write_params none = {.no_format = true};
    struct tl_st_item item = {
        .name = "attn.0", .dtype = TL_ST_F32, .rank = 3, .shape = {1, 2, 3}, .data = values};
    const char *path = io_path("w.safetensors");
    size_t n;
    check_ok(tl_st_write(path, &item, 1, &none, &err), &err);
    const char *got = read_back("w.safetensors", &n);
    const char *text = "{\"attn.0\":{\"dtype\":\"F32\",\"shape\":[1,2,3],\"data_offsets\":[0,24]}}";
    assert_int_equal(n, 8 + 64 + 24);
    assert_memory_equal(got, "\x40\0\0\0\0\0\0\0", 8);
    assert_memory_equal(got + 8, text, 64);
    assert_memory_equal(got + 72, values, 24);

    item = (struct tl_st_item){
        .name = "attn0", .dtype = TL_ST_F32, .rank = 4, .shape = {1, 1, 2, 3}, .data = values};
    check_ok(tl_st_write(path, &item, 1, &none, &err), &err);
    got = read_back("w.safetensors", &n);
    assert_int_equal(n, 8 + 72 + 24);
    assert_memory_equal(got + 8 + 72 - 9, "}}       ", 9);

    struct tl_st_meta framework = {"framework", "pt"};
    struct tl_st_write_params meta = {.meta = &framework, .n_meta = 1, .no_format = true};
    check_ok(tl_st_write(path, NULL, 0, &meta, &err), &err);
    got = read_back("w.safetensors", &n);
    assert_int_equal(n, 48);
    assert_memory_equal(got + 8, "{\"__metadata__\":{\"framework\":\"pt\"}}     ", 40);

    check_ok(tl_st_write(path, NULL, 0, NULL, &err), &err);
    got = read_back("w.safetensors", &n);
    assert_memory_equal(got + 8, "{\"__metadata__\":{\"format\":\"pt\"}}", 32);
    assert_int_equal(io_count(".tmp"), 0);
}

struct fetcher {
    float value[2];
    size_t order[4], n;
};

static const void *fetch(void *user, size_t i, struct tl_err *err)
{
    struct fetcher *f = user;
    f->order[f->n++] = i;
    if (i == 3) {
        tl_err_set(err, TL_DEVICE, "lost");
        return NULL;
    }
    f->value[0] = (float)i + 0.5f;
    f->value[1] = -(float)i;
    return f->value;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct tl_err err = {0};
    int64_t ids[3] = {INT64_MIN, -1, INT64_MAX};
    float f[4] = {1.0f, -65504.0f, 1e-7f, 3.14159274f};
    uint8_t u8 = 200;
    struct tl_st_item items[] = {
        {.name = "b/\"q\"\\\n\x01 \xc3\xa9", .dtype = TL_ST_U8, .data = &u8},
        {.name = "z", .dtype = TL_ST_F16, .rank = 2, .shape = {2, 2}, .data = f, .from_f32 = true},
        {.name = "a", .dtype = TL_ST_F16, .rank = 1, .shape = {2}, .from_f32 = true},
        {.name = "ids", .dtype = TL_ST_I64, .rank = 1, .shape = {3}, .data = ids},
        {.name = "empty", .dtype = TL_ST_F32, .rank = 2, .shape = {0, 4}},
        {.name = "bf", .dtype = TL_ST_BF16, .rank = 1, .shape = {4}, .data = f, .from_f32 = true},
    };
    struct tl_st_meta extra[] = {{"zz", "line\nbreak"}, {"lora", "{\"r\": 4}"}};
    struct fetcher fetcher = {0};
    struct tl_st_write_params params = {.meta = extra, .n_meta = 2, .fetch = fetch, .user = &fetcher};
    const char *path = io_path("round.safetensors");
    check_ok(tl_st_write(path, items, 6, &params, &err), &err);
    assert_int_equal(fetcher.n, 1);
    assert_int_equal(fetcher.order[0], 2);
    struct tl_st_file *file = tl_st_open(path, &err);
    check_ok(file, &err);
    assert_int_equal(tl_st_count(file), 6);
    assert_string_equal(tl_st_meta_find(file, "zz"), "line\nbreak");
    assert_string_equal(tl_st_meta_find(file, "format"), "pt");
    assert_null(tl_st_meta_find(file, "absent"));
    assert_int_equal(tl_st_meta_count(file), 3);
    assert_string_equal(tl_st_meta_at(file, 1).key, "lora");
    const struct tl_st_tensor *t = tl_st_find(file, items[0].name);
    assert_non_null(t);
    assert_int_equal(t->rank, 0);
    assert_int_equal(t->data[0], 200);
    assert_null(tl_st_find(file, "Z"));
    t = tl_st_find(file, "ids");
    int64_t back[3];
    check_ok(tl_st_to_i64(t, back, &err), &err);
    assert_memory_equal(back, ids, sizeof ids);
    assert_int_equal((uintptr_t)t->data % 8, 0); /* 8-byte types first */
    float got[4];
    check_ok(tl_st_to_f32(tl_st_find(file, "z"), got, &err), &err);
    for (int i = 0; i < 4; i++) assert_true(got[i] == tl_f16_to_f32(tl_f32_to_f16(f[i])));
    check_ok(tl_st_to_f32(tl_st_find(file, "bf"), got, &err), &err);
    for (int i = 0; i < 4; i++) assert_true(got[i] == tl_bf16_to_f32(tl_f32_to_bf16(f[i])));
    check_ok(tl_st_slice_f32(tl_st_find(file, "bf"), 1, 2, got, &err), &err);
    assert_true(got[0] == tl_bf16_to_f32(tl_f32_to_bf16(f[1])));
    check_fails(tl_st_slice_f32(tl_st_find(file, "bf"), 3, 2, got, &err), &err, TL_FAIL, "beyond");
    check_ok(tl_st_to_f32(tl_st_find(file, "a"), got, &err), &err);
    assert_true(got[0] == 2.5f && got[1] == -2.0f);
    t = tl_st_find(file, "z");
    assert_true(tl_st_has_shape(t, 2, 2, 2) && !tl_st_has_shape(t, 2, 2, 3) && !tl_st_has_shape(t, 1, 4));
    char text[64];
    assert_string_equal(tl_st_shape_text(t, text, sizeof text), "[2, 2]");
    assert_string_equal(tl_st_shape_text(tl_st_find(file, items[0].name), text, sizeof text), "[]");

    /* Replacing a mapped file leaves the mapping as it was. */
    check_ok(tl_st_write(path, NULL, 0, NULL, &err), &err);
    check_ok(tl_st_to_f32(t, got, &err), &err);
    assert_true(got[0] == 1.0f);
    tl_st_close(&file);
}

static void test_writer_refuses(void **state)
{
    (void)state;
    struct tl_err err = {0};
    float v[2] = {1, 2};
    const char *path = io_put_text("kept.safetensors", "old");
    struct tl_st_item items[4] = {
        {.name = "a", .dtype = TL_ST_F32, .rank = 1, .shape = {2}, .data = v},
        {.name = "a", .dtype = TL_ST_I32, .rank = 1, .shape = {2}, .data = v},
    };
    check_fails(tl_st_write(path, items, 2, NULL, &err), &err, TL_FAIL, "a: tensor name given twice");
    items[1].name = "__metadata__";
    check_fails(tl_st_write(path, items, 2, NULL, &err), &err, TL_FAIL, "usable name");
    items[1].name = "\xff";
    check_fails(tl_st_write(path, items, 2, NULL, &err), &err, TL_FAIL, "usable name");
    items[1] =
        (struct tl_st_item){.name = "b", .dtype = TL_ST_F32, .rank = 2, .shape = {1ull << 40, 1ull << 40}};
    check_fails(tl_st_write(path, items, 2, NULL, &err), &err, TL_FAIL, "shape or type");
    items[1] = (struct tl_st_item){.name = "b", .dtype = TL_ST_F4, .rank = 1, .shape = {3}, .data = v};
    check_fails(tl_st_write(path, items, 2, NULL, &err), &err, TL_FAIL, "shape or type");
    items[1] = (struct tl_st_item){.name = "b", .dtype = TL_ST_F32, .rank = 1, .shape = {2}};
    check_fails(tl_st_write(path, items, 2, NULL, &err), &err, TL_FAIL, "b: no data");
    items[1].from_f32 = true;
    items[1].dtype = TL_ST_I32;
    items[1].data = v;
    check_fails(tl_st_write(path, items, 2, NULL, &err), &err, TL_FAIL, "F32, F16 or BF16");
    for (size_t i = 0; i < 4; i++) {
        static const char *const names[] = {"d", "c", "b", "a"};
        items[i] = (struct tl_st_item){.name = names[i], .dtype = TL_ST_F32, .rank = 1, .shape = {2}};
    }
    struct fetcher fetcher = {0};
    struct tl_st_write_params params = {.fetch = fetch, .user = &fetcher};
    check_fails(tl_st_write(path, items, 4, &params, &err), &err, TL_DEVICE, "a: lost");
    struct tl_st_meta twice[] = {{"k", "1"}, {"k", "2"}};
    params = (struct tl_st_write_params){.meta = twice, .n_meta = 2};
    check_fails(tl_st_write(path, NULL, 0, &params, &err), &err, TL_FAIL, "given twice");
    check_fails(tl_st_write(io_path("no/such/x"), NULL, 0, NULL, &err), &err, TL_OUTPUT, "No such file");
    size_t n;
    assert_memory_equal(read_back("kept.safetensors", &n), "old", 4);
    assert_int_equal(io_count(".tmp"), 0);
}

/* Every type, at an odd offset. */
static void test_conversions(void **state)
{
    (void)state;
    static const struct {
        const char *dtype;
        uint8_t bytes[16];
        float f[2];
        int64_t i[2];
        bool whole, fits32;
    } rows[] = {
        {"BOOL", {0, 2}, {0, 1}, {0, 1}, true, true},
        {"U8", {7, 255}, {7, 255}, {7, 255}, true, true},
        {"I8", {7, 255}, {7, -1}, {7, -1}, true, true},
        {"U16", {1, 0, 255, 255}, {1, 65535}, {1, 65535}, true, true},
        {"I16", {1, 0, 255, 255}, {1, -1}, {1, -1}, true, true},
        {"U32", {1, 0, 0, 0, 255, 255, 255, 255}, {1, 4294967296.0f}, {1, 4294967295}, true, false},
        {"I32", {1, 0, 0, 0, 0, 0, 0, 128}, {1, -2147483648.0f}, {1, INT32_MIN}, true, true},
        {"I64",
         {0, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255},
         {4294967296.0f, -1},
         {1ll << 32, -1},
         true,
         false},
        {"U64",
         {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128},
         {1, 9223372036854775808.0f},
         {0},
         false,
         false},
        {"F16", {0, 0x3c, 0, 0xc0}, {1, -2}, {1, -2}, true, true},
        {"BF16", {0x80, 0x3f, 0, 0xc0}, {1, -2}, {1, -2}, true, true},
        {"F32", {0, 0, 0x80, 0x3f, 0, 0, 0x20, 0x40}, {1, 2.5f}, {0}, false, false},
        {"F64", {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0}, {1, -2}, {1, -2}, true, true},
        {"F8_E5M2", {0x3c, 0xc0}, {1, -2}, {1, -2}, true, true},
        {"F8_E4M3", {0x38, 0xc0}, {1, -2}, {1, -2}, true, true},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct tl_err err = {0};
        size_t width = 0, n;
        for (int d = 0; d < TL_ST_N_DTYPES; d++) {
            enum tl_st_dtype dtype = (enum tl_st_dtype)d;
            if (!strcmp(tl_st_dtype_name(dtype), rows[r].dtype)) width = tl_st_dtype_bits(dtype) / 8;
        }
        char header[300];
        snprintf(header, sizeof header,
                 "{\"o\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"t\":{\"dtype\":\"%s\","
                 "\"shape\":[2],"
                 "\"data_offsets\":[1,%zu]}}",
                 rows[r].dtype, 1 + 2 * width);
        uint8_t *file = build(header, 1 + 2 * width, &n);
        memcpy(file + n - 2 * width, rows[r].bytes, 2 * width);
        struct tl_st_file *f = tl_st_open_memory(file, n, rows[r].dtype, &err);
        check_ok(f, &err);
        const struct tl_st_tensor *t = tl_st_find(f, "t");
        float out[2];
        int64_t i64[2];
        int32_t i32[2];
        check_ok(tl_st_to_f32(t, out, &err), &err);
        assert_memory_equal(out, rows[r].f, sizeof out);
        if (rows[r].whole) {
            check_ok(tl_st_to_i64(t, i64, &err), &err);
            assert_memory_equal(i64, rows[r].i, sizeof i64);
        } else {
            check_fails(tl_st_to_i64(t, i64, &err), &err, TL_BAD_INPUT, "t: element 1");
        }
        if (rows[r].fits32) {
            check_ok(tl_st_to_i32(t, i32, &err), &err);
            assert_true(i32[0] == rows[r].i[0] && i32[1] == rows[r].i[1]);
        } else {
            check_fails(tl_st_to_i32(t, i32, &err), &err, TL_BAD_INPUT, "fits 32 bits");
        }
        tl_st_close(&f);
        free(file);
    }
    struct tl_err err = {0};
    uint8_t *bytes;
    struct tl_st_file *f =
        open_text("{\"t\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, &bytes, &err);
    check_ok(f, &err);
    float out[1];
    int32_t i32[1];
    check_fails(tl_st_to_f32(tl_st_at(f, 0), out, &err), &err, TL_BAD_INPUT, "t: values of type C64");
    check_fails(tl_st_to_i32(tl_st_at(f, 0), i32, &err), &err, TL_BAD_INPUT, "t: values of type C64");
    tl_st_close(&f);
    free(bytes);
}

/* All 65536 halves come back; narrowing agrees with the nearest candidate, ties to even. */
static void test_half(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = tl_f16_to_f32((uint16_t)h), b = tl_bf16_to_f32((uint16_t)h);
        assert_int_equal(tl_f32_to_f16(f), isnan(f) ? (h | 0x200) : h);
        assert_int_equal(tl_f32_to_bf16(b), isnan(b) ? (h | 0x40) : h);
        if ((h & 0x7fff) >= 0x7bff) continue;
        float next = tl_f16_to_f32((uint16_t)(h + 1)), mid = f + (next - f) / 2; /* exact in float */
        assert_int_equal(tl_f32_to_f16(mid), h & 1 ? h + 1 : h);
        assert_int_equal(tl_f32_to_f16(nextafterf(mid, f)), h);
        assert_int_equal(tl_f32_to_f16(nextafterf(mid, next)), h + 1);
    }
    assert_true(tl_f16_to_f32(0x3555) == 0.333251953125f && tl_f16_to_f32(1) == 0x1p-24f);
    assert_true(tl_f16_to_f32(0x7bff) == 65504.0f && isinf(tl_f16_to_f32(0xfc00)));
    assert_int_equal(tl_f32_to_f16(65519.99f), 0x7bff);
    assert_int_equal(tl_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(tl_f32_to_f16(-1e30f), 0xfc00);
    assert_int_equal(tl_f32_to_f16(0x1p-25f), 0);
    assert_int_equal(tl_f32_to_f16(-0x1.000002p-25f), 0x8001);
    assert_int_equal(tl_f32_to_bf16(1.00390625f), 0x3f80); /* half way, to even */
    assert_int_equal(tl_f32_to_bf16(1.01171875f), 0x3f82);
    assert_int_equal(tl_f32_to_bf16(3.4e38f), 0x7f80);
    assert_int_equal(tl_f32_to_bf16(tl_bits_to_float(0x7f800001)), 0x7fc0);
    assert_true(tl_f8_e4m3_to_f32(0x7e) == 448.0f && isnan(tl_f8_e4m3_to_f32(0xff)));
    assert_true(tl_f8_e4m3_to_f32(0x01) == 0x1p-9f && tl_f8_e4m3_to_f32(0x87) == -7 * 0x1p-9f);
    assert_true(tl_f8_e5m2_to_f32(0x7b) == 57344.0f && isinf(tl_f8_e5m2_to_f32(0x7c)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_foreign),        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_writer_bytes),   cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_writer_refuses), cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_half),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
