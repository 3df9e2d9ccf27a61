/* PyTorch checkpoints: torch's own files against safetensors of the same tensors, and files that lie. */
#include <fcntl.h>
#include <unistd.h>

#include <tiller/log.h>

#include "io/file.h"
#include "io/pickle.h"
#include "io/safetensors.h"
#include "io/support_pickle.h"
#include "io/zip.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures/pth/"

static char warned[1024];

static void keep_warning(void *user, enum tl_log_level level, const char *text)
{
    (void)user;
    if (level == TL_LOG_WARN) snprintf(warned, sizeof warned, "%s", text);
}

/* ---- files of torch ---- */

static void check_same(const char *path, const char *expected_path)
{
    struct tl_err err = {0};
    struct tl_st_file *have = tl_st_open(path, &err), *want = tl_st_open(expected_path, &err);
    if (!have || !want) fail_msg("%s", err.text);
    assert_string_equal(tl_st_format(have), "pytorch");
    assert_string_equal(tl_st_format(want), "safetensors");
    for (size_t i = 0; i < tl_st_count(want); i++) {
        const struct tl_st_tensor *w = tl_st_at(want, i), *h = tl_st_find(have, w->name);
        if (!h) fail_msg("%s: %s is not there", path, w->name);
        if (h->dtype != w->dtype || h->rank != w->rank || h->bytes != w->bytes || h->n != w->n ||
            memcmp(h->shape, w->shape, sizeof w->shape) != 0 ||
            memcmp(h->data, w->data, (size_t)w->bytes) != 0)
            fail_msg("%s: %s differs", path, w->name);
    }
    assert_int_equal(tl_st_count(have), tl_st_count(want));
    tl_st_let_go(have);
    tl_st_close(&have);
    tl_st_close(&want);
}

static void test_torch_files(void **state)
{
    (void)state;
    static const char *const all[] = {"all.pth", "all_old.pth", "all_p4.pth"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char path[512];
        snprintf(path, sizeof path, FIXTURES "%s", all[i]);
        *warned = 0;
        check_same(path, FIXTURES "all.safetensors");
        assert_non_null(
            strstr(warned, "1 values of unknown kinds are left out: unknown (argparse.Namespace)"));
    }
    *warned = 0;
    check_same(FIXTURES "train.pth", FIXTURES "train.safetensors");
    check_same(FIXTURES "train_old.pth", FIXTURES "train.safetensors");
    assert_string_equal(warned, ""); /* what stands beside the state dict is not asked for */
    struct tl_err err = {0};
    check_fails(tl_st_open(FIXTURES "whole.pth", &err), &err, TL_BAD_INPUT,
                "the file (torch.nn.modules.container.Sequential)");
    struct tl_st_file *f = tl_st_open(FIXTURES "list.pth", &err);
    check_ok(f, &err);
    assert_int_equal(tl_st_count(f), 2);
    assert_string_equal(tl_st_at(f, 1)->name, "1");
    assert_int_equal(tl_st_at(f, 1)->dtype, TL_ST_I64);
    tl_st_close(&f);
    f = tl_st_open(FIXTURES "many.pth", &err);
    check_ok(f, &err);
    assert_int_equal(tl_st_count(f), 100);
    for (size_t i = 0; i < 100; i++) {
        float v;
        check_ok(tl_st_to_f32(tl_st_at(f, i), &v, &err), &err);
        assert_true(v == (float)i); /* views of one storage */
    }
    tl_st_close(&f);
}

static void test_folder(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_st_set *set = tl_st_set_open(FIXTURES "clip", "model", NULL, &err);
    check_ok(set, &err);
    assert_int_equal(tl_st_set_files(set), 2);
    struct tl_st_set *want =
        tl_st_set_open(TL_SOURCE_DIR "/tests/fixtures/clip_text_projection", "model", NULL, &err);
    check_ok(want, &err);
    assert_int_equal(tl_st_set_count(set), tl_st_set_count(want));
    for (size_t i = 0; i < tl_st_set_count(want); i++) {
        const struct tl_st_tensor *w = tl_st_set_at(want, i), *h = tl_st_set_at(set, i);
        assert_string_equal(h->name, w->name);
        assert_memory_equal(h->data, w->data, w->bytes);
    }
    tl_st_set_close(&set);
    tl_st_set_close(&want);
}

/* ---- files by hand ---- */

static void refuse(const char *ops, const char *part)
{
    struct tl_err err = {0};
    struct tl_str p = {0};
    float data[4] = {1, 2, 3, 4};
    pickle_ops(&p, ops);
    check_fails(tl_st_open(pickle_put("bad.pth", &p, data, sizeof data), &err), &err, TL_BAD_INPUT, part);
    tl_str_finish(&p);
}

static void test_hostile_pickles(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"}.", "without tensors"},
        {"N.", "without tensors"},
        {"} 'a' #1 s.", "without tensors"},
        {"}", "cut short"},
        {"} ( 'a' u.", "a key without its value"},
        {".", "a value is missing"},
        {"(.", "a value is missing"},
        {"}t.", "a mark is missing"},
        {"} 'a' s.", "a value is missing"},
        {"#1 'a' #2 s.", "items for something"},
        {"h\x05.", "never stored"},
        {"}q\x02h\x01.", "never stored"},
        {"}r\xff\xff\xff\x7f.", "beyond all values"},
        {"i", "opcode 0x69"},
        {"P", "opcode 0x50"},
        {"\x80\x06", "protocol above 5"},
        {"X\xff\xff\xff\x7f.", "1 MiB"},
        {"X\x10\x01\x01\x01.", "1 MiB"},
        {"\x8a\x20", "cut short"},
        {"c", "cut short"},
        {"cos\nsystem", "cut short"},
        {"#1 #2 \x93.", "a name that is no string"},
        {"}q\x01 'a' h\x01 s.", "a cycle"},
        {"]q\x01 h\x01 a.", "a cycle"},
        {"} 'state_dict' } q\x01 'a' h\x01 ss.", "a cycle"},
        {"@collections.OrderedDict (] #1 a tR.", "other than pairs"},
        {"@posix.system ('touch x' tR.", "posix.system"},
        {"} 'a' @builtins.eval ('1' tR s.", "a (builtins.eval)"},
        {"} 'a' ('storage' @torch.FloatStorage '0' 'cpu' #4 tQ s.", "a (a storage)"},
        {"} 'a' @torch._utils._rebuild_tensor_v2 (#1 #2 tR s.", "the fields of a tensor"},
        {"} 'a' @torch._utils._rebuild_tensor_v2 (#1 #2 ) ) tR s.", "names no storage"},
        {"} 'a' @torch._utils._rebuild_tensor_v2 (#1 Q #0 ) ) tR s.", "five or six fields"},
        {"} 'a' @torch._utils._rebuild_parameter )R s.", "the fields of a tensor"},
        {"} 'a' @torch._utils._rebuild_tensor_v2 (('storage' @torch.FloatStorage '0' 'cpu' #4 tQ #0 #1 #1 tR "
         "s.",
         "its offset, size or stride"},
        {"} 'a' @torch._utils._rebuild_tensor_v2 (('storage' @torch.FloatStorage '0' 'cpu' #-4 tQ #0 ) ) tR "
         "s.",
         "its size is no number"},
        {"} 'a' @torch._utils._rebuild_tensor_v2 (('storage' @torch.NewStorage '0' 'cpu' #4 tQ #0 ) ) tR s.",
         "a (torch._utils._rebuild_tensor_v2)"},
        {"} 'a' @torch._utils._rebuild_tensor_v2 (('storage' @torch.storage.UntypedStorage '0' 'cpu' #16 tQ "
         "#0 ) ) tR "
         "s.",
         "a (torch._utils._rebuild_tensor_v2)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) refuse(rows[i][0], rows[i][1]);
    char deep[1024] = "";
    for (int i = 0; i < 70; i++) strcat(deep, "}'a'");
    strcat(deep, "#1");
    for (int i = 0; i < 70; i++) strcat(deep, "s");
    refuse(strcat(deep, "."), "64 levels");
    /* Each dict holds the one before twice: 2^60 paths. */
    struct tl_err err = {0};
    struct tl_str p = {0};
    tl_str_append(&p, "\x80\x02}q\x01");
    for (int i = 1; i < 60; i++) {
        char ops[32] = {'}', 'q', (char)(i + 1), 'X', 1,       0,  0, 0, 'a', 'h', (char)i, 's', 'X', 1, 0,
                        0,   0,   'b',           'h', (char)i, 's'};
        tl_str_append_n(&p, ops, 21);
    }
    tl_str_append(&p, ".");
    check_fails(tl_st_open(pickle_put("wide.pth", &p, NULL, 0), &err), &err, TL_BAD_INPUT,
                "share each other");
    tl_str_finish(&p);
}

/* A dict {"a": tensor}; NULL part: it opens. */
static void check_view(int numel, int offset, const char *shape, const char *stride, const char *part)
{
    struct tl_err err = {0};
    struct tl_str p = {0};
    float data[4] = {1, 2, 3, 4};
    pickle_ops(&p, "} 'a'");
    pickle_tensor(&p, "FloatStorage", "0", numel, offset, shape, stride);
    pickle_ops(&p, "s.");
    const char *path = pickle_put("view.pth", &p, data, sizeof data);
    if (part) {
        check_fails(tl_st_open(path, &err), &err, TL_BAD_INPUT, part);
    } else {
        struct tl_st_file *f = tl_st_open(path, &err);
        check_ok(f, &err);
        tl_st_close(&f);
    }
    tl_str_finish(&p);
}

static void test_views(void **state)
{
    (void)state;
    check_view(4, 0, "(#2#2t", "(#2#1t", NULL);
    check_view(4, 1, "(#2#2t", "(#1#1t", NULL);
    check_view(4, 3, ")", ")", NULL);
    check_view(4, 9, "(#0#2t", "(#2#1t", NULL);
    check_view(4, 1, "(#2#2t", "(#2#1t", "a: reaches beyond its storage");
    check_view(4, 4, ")", ")", "a: reaches beyond its storage");
    check_view(4, 0, "(#2#2t", "(#3#1t", "a: reaches beyond its storage");
    check_view(4, 0, "(#2#2t", "(#1t", "its offset, size or stride");
    check_view(4, 0, "(#-2#2t", "(#1#1t", "its offset, size or stride");
    check_view(4, 0, "(#2#2t", "(#-1#1t", "its offset, size or stride");
    check_view(4, -1, "(#2#2t", "(#1#1t", "its offset, size or stride");
    check_view(5, 0, "(#2#2t", "(#2#1t", "storage 0: 5 elements need 20 bytes, its entry has 16");
    check_view(3, 0, "(#1#1t", "(#2#1t", "3 elements need 12 bytes");
    check_view(4, 0, "(#1#1#1#1#1#1#1#1#1t", "(#1#1#1#1#1#1#1#1#1t", "at most 8 numbers");
    check_view(4, 0, "(#2147483647#2147483647#2147483647t", "(#0#0#0t", "overflows");
    check_view(4, 0, "(#2147483647#1000t", "(#0#0t", "far more memory than the file");
    check_view(4, 0, "(#2\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7ft", "(#2#1t", "overflows");
    check_view(4, 0, "(#3#3t",
               "(\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7ft",
               "reaches beyond");
    struct tl_err err = {0};
    struct tl_str p = {0};
    pickle_ops(&p, "} 'a'");
    pickle_tensor(&p, "FloatStorage", "7", 4, 0, ")", ")");
    pickle_ops(&p, "s.");
    check_fails(tl_st_open(pickle_put("key.pth", &p, NULL, 0), &err), &err, TL_BAD_INPUT,
                "storage 7: the file has no entry");
    tl_str_finish(&p);
}

static void test_archives(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *path = io_path("x.pt");
    struct tl_zip_item script[] = {{"x/data.pkl", "\x80\x02}.", 4}, {"x/code/a.py", "", 0}};
    check_ok(tl_zip_write(path, script, 2, false, &err), &err);
    check_fails(tl_st_open(path, &err), &err, TL_BAD_INPUT, "a TorchScript program");
    script[1].name = "x/constants.pkl";
    check_ok(tl_zip_write(path, script, 2, false, &err), &err);
    check_fails(tl_st_open(path, &err), &err, TL_BAD_INPUT, "a TorchScript program");
    script[1] = (struct tl_zip_item){"x/byteorder", "big", 3};
    check_ok(tl_zip_write(path, script, 2, false, &err), &err);
    check_fails(tl_st_open(path, &err), &err, TL_BAD_INPUT, "big-endian");
    script[0].name = "mu.npy";
    check_ok(tl_zip_write(path, script, 1, false, &err), &err);
    check_fails(tl_st_open(path, &err), &err, TL_BAD_INPUT, "numpy arrays");
    script[0].name = "readme";
    check_ok(tl_zip_write(path, script, 1, false, &err), &err);
    check_fails(tl_st_open(path, &err), &err, TL_BAD_INPUT, "without data.pkl");
    char tar[512] = "sys_info";
    memcpy(tar + 257, "ustar", 5);
    check_fails(tl_st_open(io_put("t.pt", tar, sizeof tar), &err), &err, TL_BAD_INPUT, "a tar file");
    check_fails(tl_st_open(io_put("t.pt", "\x80\x04}.", 4), &err), &err, TL_BAD_INPUT, "not of torch.save");
    check_fails(tl_st_open(io_put("t.pt", "PK\3\4 nothing", 12), &err), &err, TL_BAD_INPUT,
                "not a zip archive");
    /* Deflated storages are unpacked. */
    struct tl_str p = {0};
    float data[1024] = {1, 2, 3, 4}, got[1024];
    pickle_ops(&p, "} 'a'");
    pickle_tensor(&p, "FloatStorage", "0", 1024, 0, "(#1024t", "(#1t");
    pickle_ops(&p, "s.");
    struct tl_zip_item deflated[] = {{"a/data.pkl", p.data, p.len}, {"a/data/0", data, sizeof data}};
    check_ok(tl_zip_write(path, deflated, 2, true, &err), &err);
    struct tl_st_file *f = tl_st_open(path, &err);
    check_ok(f, &err);
    check_ok(tl_st_to_f32(tl_st_at(f, 0), got, &err), &err);
    assert_memory_equal(got, data, sizeof data);
    tl_st_close(&f);
    tl_str_finish(&p);
}

static void put(struct tl_str *out, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) tl_str_append_n(out, &(char){(char)(i < 8 ? v >> 8 * i & 255 : 0)}, 1);
}

/* A stored entry's record in front of it (offset 0) or in the directory, sizes in zip64's extra field. */
static void put_entry(struct tl_str *out, bool is_local, const char *name, uint64_t n, uint64_t at)
{
    put(out, is_local ? 0x04034b50 : 0x02014b50, 4);
    if (!is_local) put(out, 45, 2);
    put(out, 45, 2);
    put(out, 0, 2 + 2 + 2); /* flags, method, time */
    put(out, 0x21, 2);
    put(out, 0, 4); /* CRC-32 */
    put(out, UINT32_MAX, 4);
    put(out, UINT32_MAX, 4);
    put(out, strlen(name), 2);
    put(out, is_local ? 20 : 28, 2);
    if (!is_local) put(out, 0, 2 + 2 + 2 + 4), put(out, UINT32_MAX, 4);
    tl_str_append(out, name);
    put(out, 1, 2);
    put(out, is_local ? 16 : 24, 2);
    put(out, n, 8);
    put(out, n, 8);
    if (!is_local) put(out, at, 8);
}

/* A storage of more than 4 GiB, stored as torch stores it, takes no memory. The file is a hole. */
static void test_large_storage(void **state)
{
    (void)state;
    const uint64_t numel = ((uint64_t)1 << 30) + 64, bytes = 4 * numel;
    struct tl_err err = {0};
    struct tl_str p = {0}, head = {0}, end = {0};
    pickle_ops(&p, "} 'a'");
    pickle_tensor(&p, "FloatStorage", "0", (int)numel, 0, "(#1073741888t", "(#1t");
    pickle_ops(&p, "s.");
    put_entry(&head, true, "a/data.pkl", p.len, 0);
    tl_str_append_n(&head, p.data, p.len);
    uint64_t second = head.len;
    put_entry(&head, true, "a/data/0", bytes, 0);
    uint64_t directory = head.len + bytes;
    put_entry(&end, false, "a/data.pkl", p.len, 0);
    put_entry(&end, false, "a/data/0", bytes, second);
    uint64_t size = end.len;
    put(&end, 0x06064b50, 4);
    put(&end, 44, 8);
    put(&end, 45, 2), put(&end, 45, 2);
    put(&end, 0, 4 + 4);
    put(&end, 2, 8), put(&end, 2, 8), put(&end, size, 8), put(&end, directory, 8);
    put(&end, 0x07064b50, 4), put(&end, 0, 4), put(&end, directory + size, 8), put(&end, 1, 4);
    put(&end, 0x06054b50, 4), put(&end, 0, 2 + 2), put(&end, 2, 2), put(&end, 2, 2);
    put(&end, size, 4), put(&end, UINT32_MAX, 4), put(&end, 0, 2);
    const char *path = io_put("large.pth", head.data, head.len);
    const float last = 3;
    int fd = open(path, O_WRONLY);
    bool ok = pwrite(fd, &last, 4, (off_t)directory - 4) == 4 &&
              pwrite(fd, end.data, end.len, (off_t)directory) == (ssize_t)end.len;
    close(fd);
    tl_str_finish(&p);
    tl_str_finish(&head);
    tl_str_finish(&end);
    if (!ok) {
        unlink(path);
        skip(); /* a file system without holes or without such files */
    }
    struct tl_st_file *f = tl_st_open(path, &err);
    check_ok(f, &err);
    const struct tl_st_tensor *t = tl_st_at(f, 0);
    assert_true(t->n == numel && t->bytes == bytes);
    assert_memory_equal((const uint8_t *)t->data + bytes - 4, &last, 4);
    tl_st_close(&f);
    unlink(path);
}

/* Zeros that deflate makes small. */
static void test_bomb(void **state)
{
    (void)state;
    enum { N = 17 << 20 };
    struct tl_err err = {0};
    struct tl_str p = {0};
    float *zeros = calloc(N, sizeof *zeros);
    pickle_ops(&p, "} 'a'");
    pickle_tensor(&p, "FloatStorage", "0", N, 0, "(#17825792t", "(#1t");
    pickle_ops(&p, "s.");
    struct tl_zip_item items[] = {{"a/data.pkl", p.data, p.len}, {"a/data/0", zeros, N * sizeof *zeros}};
    check_ok(tl_zip_write(io_path("bomb.pth"), items, 2, true, &err), &err);
    check_fails(tl_st_open(io_path("bomb.pth"), &err), &err, TL_BAD_INPUT,
                "storage 0: unpacked, the storages would be far larger than the file");
    free(zeros);
    tl_str_finish(&p);
}

/* What is shared twice is taken twice, under both names. */
static void test_shared(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_str p = {0};
    float data[4] = {1, 2, 3, 4};
    pickle_ops(&p, "]( } 'a'");
    pickle_tensor(&p, "FloatStorage", "0", 4, 0, "(#4t", "(#1t");
    pickle_ops(&p, "s q\x01 h\x01 } 'inner' h\x01 s e.");
    struct tl_st_file *f = tl_st_open(pickle_put("shared.pth", &p, data, sizeof data), &err);
    check_ok(f, &err);
    assert_int_equal(tl_st_count(f), 3);
    assert_string_equal(tl_st_at(f, 0)->name, "0.a");
    assert_string_equal(tl_st_at(f, 1)->name, "1.a");
    assert_string_equal(tl_st_at(f, 2)->name, "2.inner.a");
    tl_st_close(&f);
    tl_str_finish(&p);
}

/* A few kilobytes of dicts in dicts, with long keys, are refused before they have become many names. */
static void test_wide_names(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_str p = {0};
    char key[101];
    memset(key, 'k', 100);
    key[100] = 0;
    tl_str_append(&p, "\x80\x02}q\x01");
    pickle_ops(&p, "'t'");
    pickle_tensor(&p, "FloatStorage", "0", 4, 0, "(#4t", "(#1t");
    pickle_ops(&p, "s");
    for (int i = 1; i < 5; i++) {
        tl_str_append_n(&p, (char[]){'}', 'q', (char)(i + 1)}, 3);
        for (int k = 0; k < 10; k++) {
            key[0] = (char)('a' + k);
            tl_str_append_n(&p, (char[]){'X', 100, 0, 0, 0}, 5);
            tl_str_append_n(&p, key, 100);
            tl_str_append_n(&p, (char[]){'h', (char)i, 's'}, 3);
        }
    }
    tl_str_append(&p, ".");
    float data[4] = {0};
    check_fails(tl_st_open(pickle_put("names.pth", &p, data, sizeof data), &err), &err, TL_BAD_INPUT,
                "share each other");
    tl_str_finish(&p);
}

/* More than 65,535 entries and keys: zip64 directory, memo indices of four bytes. */
static void test_many_keys(void **state)
{
    (void)state;
    enum { N = 66000 };
    struct tl_err err = {0};
    struct tl_str p = {0};
    struct tl_arena names = {0};
    struct tl_zip_item *items = calloc(N + 1, sizeof *items);
    float *values = calloc(N, sizeof *values);
    assert_non_null(items);
    pickle_ops(&p, "} (");
    for (int i = 0; i < N; i++) {
        char key[32];
        values[i] = (float)i;
        snprintf(key, sizeof key, "'k%05d'", i);
        pickle_ops(&p, key);
        char put[5] = {'r', (char)(i & 255), (char)(i >> 8 & 255), (char)(i >> 16), 0};
        tl_str_append_n(&p, put, 5);
        snprintf(key, sizeof key, "%d", i);
        pickle_tensor(&p, "FloatStorage", key, 1, 0, ")", ")");
        items[i + 1] =
            (struct tl_zip_item){tl_arena_printf(&names, "a/data/%d", i), &values[i], sizeof *values};
    }
    pickle_ops(&p, "u.");
    items[0] = (struct tl_zip_item){"a/data.pkl", p.data, p.len};
    check_ok(tl_zip_write(io_path("many.pth"), items, N + 1, false, &err), &err);
    struct tl_st_file *f = tl_st_open(io_path("many.pth"), &err);
    check_ok(f, &err);
    assert_int_equal(tl_st_count(f), N);
    for (size_t i = 0; i < N; i++) assert_memory_equal(tl_st_at(f, i)->data, &values[i], sizeof *values);
    tl_st_close(&f);
    tl_str_finish(&p);
    tl_arena_finish(&names);
    free(items);
    free(values);
}

/* Cuts never crash, and none of them passes for a whole file. */
static void cut_everywhere(const char *path, bool all_fail)
{
    struct tl_err err = {0};
    size_t n, opened = 0;
    uint8_t *whole = tl_file_read(path, 1 << 20, &n, &err);
    check_ok(whole, &err);
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *part = malloc(cut + 1); /* own block, so that the sanitizer sees a read beyond it */
        memcpy(part, whole, cut);
        struct tl_st_file *f = tl_st_open_memory(part, cut, "cut", &err);
        opened += f != NULL;
        if (!f) assert_int_equal(err.code, TL_BAD_INPUT);
        tl_st_close(&f);
        tl_err_clear(&err);
        free(part);
    }
    if (all_fail) assert_int_equal(opened, 0);
    free(whole);
}

static void test_cuts(void **state)
{
    (void)state;
    cut_everywhere(FIXTURES "list.pth", true);
    cut_everywhere(FIXTURES "train_old.pth", true);
}

/* Changed bytes: whatever opens can be read to the last byte. */
static void damage(const char *path, unsigned step)
{
    struct tl_err err = {0};
    size_t n;
    uint8_t *whole = tl_file_read(path, 1 << 20, &n, &err);
    check_ok(whole, &err);
    for (size_t at = 0; at < n; at += step) {
        for (unsigned flip = 1; flip < 256; flip += 37) {
            whole[at] ^= (uint8_t)flip;
            struct tl_st_file *f = tl_st_open_memory(whole, n, "flip", NULL);
            for (size_t i = 0; f && i < tl_st_count(f); i++) {
                const struct tl_st_tensor *t = tl_st_at(f, i);
                float *out = malloc((size_t)t->n * sizeof *out + 1);
                tl_st_to_f32(t, out, NULL);
                free(out);
            }
            tl_st_close(&f);
            whole[at] ^= (uint8_t)flip;
        }
    }
    free(whole);
}

static void test_damage(void **state)
{
    (void)state;
    damage(FIXTURES "list.pth", 1);
    damage(FIXTURES "all_old.pth", 3);
    damage(FIXTURES "train.pth", 3);
}

/* No name in a pickle is ever called. */
static void test_no_call(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_str p = {0};
    float data[4] = {0};
    char ops[1200];
    snprintf(ops, sizeof ops,
             "} 'evil' @os.system ('touch %s' tR s 'evil2' @posix.system ('touch %s' tR s 'a'",
             io_path("trace"), io_path("trace"));
    pickle_ops(&p, ops);
    pickle_tensor(&p, "FloatStorage", "0", 4, 0, "(#4t", "(#1t");
    pickle_ops(&p, "s.");
    *warned = 0;
    struct tl_st_file *f = tl_st_open(pickle_put("evil.pth", &p, data, sizeof data), &err);
    check_ok(f, &err);
    assert_int_equal(tl_st_count(f), 1);
    assert_non_null(
        strstr(warned, "2 values of unknown kinds are left out: evil (os.system), evil2 (posix.system)"));
    assert_false(tl_file_exists(io_path("trace")));
    tl_st_close(&f);
    tl_str_finish(&p);
}

int main(void)
{
    tl_log_set(keep_warning, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torch_files),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_hostile_pickles),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_archives),
        cmocka_unit_test(test_large_storage),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_wide_names),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_no_call),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
