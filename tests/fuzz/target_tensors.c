#include <string.h>

#include "fuzz/fuzz.h"
#include "io/npy.h"
#include "io/safetensors.h"
#include "io/zip.h"

static void seed_names(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    for (const char *const *name = target->names; *name; name++) fuzz_pool_add_fixture(pool, *name);
}

/* Our own writer: all types that it has, metadata, a scalar and an empty tensor. */
static void seed_safetensors(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    static const uint8_t data[64] = {1, 2, 3, 60, 0, 66, 128, 63};
    struct tl_st_item items[TL_ST_N_DTYPES + 2] = {0};
    char names[TL_ST_N_DTYPES][16];
    struct tl_err err = {0};
    for (int i = 0; i < TL_ST_N_DTYPES; i++) {
        snprintf(names[i], sizeof names[i], "layer.%d", i);
        items[i] = (struct tl_st_item){
            .name = names[i], .dtype = (enum tl_st_dtype)i, .rank = 2, .shape = {2, 4}, .data = data};
    }
    items[TL_ST_N_DTYPES] = (struct tl_st_item){.name = "scalar", .dtype = TL_ST_F32, .data = data};
    items[TL_ST_N_DTYPES + 1] =
        (struct tl_st_item){.name = "empty", .dtype = TL_ST_F16, .rank = 3, .shape = {3, 0, 5}, .data = data};
    const struct tl_st_meta meta[] = {{"made by", "a test"}, {"caf\xc3\xa9", "\xe7\x8c\xab"}};
    struct tl_st_write_params params = {.meta = meta, .n_meta = 2};
    const char *path = fuzz_scratch("seed");
    fuzz_require(tl_st_write(path, items, TL_ST_N_DTYPES + 2, &params, &err));
    fuzz_pool_add_path(pool, path);
    fuzz_require(tl_st_write(path, items + TL_ST_F16, 2, NULL, &err));
    fuzz_pool_add_path(pool, path);
    fuzz_scratch_remove("seed");
    seed_names(target, pool);
}

/* Every value in three forms; pieces too. Room is exact, so that a sanitizer guards its end. */
static void convert(const struct tl_st_tensor *t)
{
    struct tl_err err = {0};
    void *out = malloc(t->n ? t->n * sizeof(int64_t) : 1), *small = malloc(t->n ? t->n * sizeof(float) : 1);
    fuzz_require(out && small);
    fuzz_check_err(tl_st_to_i64(t, out, &err), &err);
    tl_err_clear(&err);
    fuzz_check_err(tl_st_to_i32(t, small, &err), &err);
    tl_err_clear(&err);
    fuzz_check_err(tl_st_to_f32(t, small, &err), &err);
    tl_err_clear(&err);
    if (t->n > 1) fuzz_check_err(tl_st_slice_f32(t, t->n / 2, (size_t)(t->n - t->n / 2), small, &err), &err);
    free(small);
    free(out);
}

static void check_tensor(const struct tl_st_file *file, size_t i)
{
    const struct tl_st_tensor *t = tl_st_at(file, i);
    fuzz_require(t->rank <= TL_ST_MAX_RANK && t->dtype < TL_ST_N_DTYPES);
    uint64_t n = 1;
    for (unsigned k = 0; k < t->rank; k++) fuzz_require(!__builtin_mul_overflow(n, t->shape[k], &n));
    fuzz_require(n == t->n && (t->n * tl_st_dtype_bits(t->dtype) + 7) / 8 == t->bytes);
    fuzz_require(strlen(t->name) <= TL_ST_MAX_NAME && tl_st_find(file, t->name) == t);
    fuzz_require(i == 0 || strcmp(tl_st_at(file, i - 1)->name, t->name) < 0);
    fuzz_touch(t->data, (size_t)t->bytes);
    char text[64];
    tl_st_shape_text(t, text, sizeof text);
    convert(t);
}

static void open_tensors(const void *data, size_t n)
{
    struct tl_err err = {0};
    struct tl_st_file *file = tl_st_open_memory(data, n, "mutant", &err);
    fuzz_check_err(file != NULL, &err);
    if (!file) return;
    for (size_t i = 0; i < tl_st_count(file); i++) check_tensor(file, i);
    for (size_t i = 0; i < tl_st_meta_count(file); i++) {
        struct tl_st_meta meta = tl_st_meta_at(file, i);
        fuzz_require(tl_st_meta_find(file, meta.key) != NULL && meta.value);
    }
    tl_st_close(&file);
}

static void run_tensors(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    (void)target;
    uint8_t *copy = malloc(n ? n : 1); /* of this length exactly */
    fuzz_require(copy);
    memcpy(copy, data, n);
    open_tensors(copy, n);
    free(copy);
}

/* ---- the pickle of a zip, by itself ---- */

/* A seed's pickle and the storages of its archive, which must be as large as the pickle says. */
static struct archive {
    size_t n_pickle, n_storages;
    struct {
        char name[32];
        size_t n;
    } storages[48];
} archives[8];
static size_t n_archives;

static void take_entry(struct fuzz_pool *pool, struct archive *a, const struct tl_zip *zip, size_t i)
{
    const char *name = strchr(tl_zip_name(zip, i), '/');
    size_t n = (size_t)tl_zip_size(zip, i);
    if (name && strcmp(name, "/data.pkl") == 0) {
        struct tl_arena arena = {0};
        struct tl_err err = {0};
        const uint8_t *bytes;
        fuzz_require(tl_zip_read(zip, i, FUZZ_MOST_BYTES, &arena, &bytes, &err));
        fuzz_pool_add(pool, bytes, n);
        a->n_pickle = n;
        tl_arena_finish(&arena);
    } else if (name && strncmp(name, "/data/", 6) == 0) {
        fuzz_require(a->n_storages < 48);
        snprintf(a->storages[a->n_storages].name, sizeof a->storages[0].name, "a%s", name);
        a->storages[a->n_storages++].n = n;
    }
}

static void seed_pickle(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    struct fuzz_pool files = {0};
    seed_names(target, &files);
    n_archives = 0;
    for (size_t f = 0; f < files.n; f++) {
        struct tl_err err = {0};
        struct tl_zip *zip = tl_zip_open(files.seeds[f].data, files.seeds[f].n, "seed", &err);
        fuzz_require(zip && n_archives < 8);
        archives[n_archives] = (struct archive){0};
        for (size_t i = 0; i < tl_zip_count(zip); i++) take_entry(pool, &archives[n_archives], zip, i);
        n_archives++;
        tl_zip_close(&zip);
    }
    fuzz_pool_finish(&files);
}

/* The one whose pickle is nearest in length: mostly that of the mutant's seed. */
static const struct archive *nearest(size_t n)
{
    const struct archive *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < n_archives; i++) {
        size_t has = archives[i].n_pickle, away = has > n ? has - n : n - has;
        if (away < least) {
            least = away;
            best = &archives[i];
        }
    }
    return best;
}

static void put(struct fuzz_bytes *out, const void *data, size_t n)
{
    fuzz_bytes_splice(out, out->n, 0, data, n);
}

static void put_number(struct fuzz_bytes *out, uint64_t v, size_t width)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < width; i++) bytes[i] = (uint8_t)(v >> 8 * i);
    put(out, bytes, width);
}

/* A stored entry: what its local header and its row of the directory share, from the version on. */
static void put_head(struct fuzz_bytes *out, uint32_t crc, size_t n, size_t name_len)
{
    put_number(out, 20, 2);
    put_number(out, 0, 8); /* flags, method, time, date */
    put_number(out, crc, 4);
    put_number(out, n, 4);
    put_number(out, n, 4);
    put_number(out, name_len, 2);
    put_number(out, 0, 2);
}

static void put_entry(struct fuzz_bytes *out, struct fuzz_bytes *rows, const char *name, const void *data,
                      size_t n)
{
    uint32_t crc = fuzz_crc32(data, n);
    size_t at = out->n, len = strlen(name);
    put(out, "PK\3\4", 4);
    put_head(out, crc, n, len);
    put(out, name, len);
    put(out, data, n);
    put(rows, "PK\1\2", 4);
    put_number(rows, 20, 2);
    put_head(rows, crc, n, len);
    put(rows, "\0\0\0\0\0\0\0\0\0\0", 10); /* comment, disk, attributes */
    put_number(rows, at, 4);
    put(rows, name, len);
}

/* The mutant as data.pkl of a sound archive. */
static void run_pickle(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    (void)target;
    static const uint8_t storage[4096] = {0, 0, 128, 63, 205, 204, 76, 62};
    static struct fuzz_bytes file, rows;
    const struct archive *a = nearest(n);
    file.n = rows.n = 0;
    if (n > FUZZ_MOST_BYTES / 2) return;
    put_entry(&file, &rows, "a/data.pkl", data, n);
    put_entry(&file, &rows, "a/version", "3\n", 2);
    for (size_t i = 0; i < a->n_storages; i++) {
        fuzz_require(a->storages[i].n <= sizeof storage);
        put_entry(&file, &rows, a->storages[i].name, storage, a->storages[i].n);
    }
    size_t at = file.n;
    put(&file, rows.data, rows.n);
    put(&file, "PK\5\6", 4);
    put_number(&file, 0, 4);
    put_number(&file, a->n_storages + 2, 2);
    put_number(&file, a->n_storages + 2, 2);
    put_number(&file, rows.n, 4);
    put_number(&file, at, 4);
    put_number(&file, 0, 2);
    open_tensors(file.data, file.n);
}

/* ---- numpy's ---- */

/* Ours have one array a file; npz of both kinds. */
static void seed_npy(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    static const double values[12] = {1, 2.5, -3};
    const struct tl_npy_item item = {"mu", .rank = 2, .shape = {3, 4}, .f64 = values};
    struct tl_err err = {0};
    fuzz_require(tl_npy_write(fuzz_scratch("seed"), &item, &err));
    fuzz_pool_add_path(pool, fuzz_scratch("seed"));
    fuzz_scratch_remove("seed");
    seed_names(target, pool);
}

static void seed_npz(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    static const double values[12] = {1, 2.5, -3};
    const struct tl_npy_item items[] = {{"mu", .rank = 1, .shape = {3}, .f64 = values},
                                        {"sigma", .rank = 2, .shape = {3, 3}, .f64 = values},
                                        {"encoder", .text = "logmel"}};
    struct tl_err err = {0};
    for (int deflate = 0; deflate < 2; deflate++) {
        fuzz_require(tl_npz_write(fuzz_scratch("seed"), items, 3, deflate, &err));
        fuzz_pool_add_path(pool, fuzz_scratch("seed"));
    }
    fuzz_scratch_remove("seed");
    seed_names(target, pool);
}

static void check_array(struct tl_npy *a)
{
    uint64_t n = 1;
    fuzz_require(a->rank <= TL_NPY_MAX_RANK);
    for (unsigned k = 0; k < a->rank; k++) n *= a->shape[k];
    fuzz_require(n == a->n);
    if (a->f32) fuzz_touch(a->f32, a->n * sizeof *a->f32);
    if (a->f64) fuzz_touch(a->f64, a->n * sizeof *a->f64);
    tl_npy_finish(a);
}

static void run_npy(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    (void)target;
    for (int as = TL_NPY_F32; as <= TL_NPY_F64; as++) {
        struct tl_npy array = {0};
        struct tl_err err = {0};
        bool ok = tl_npy_parse(data, n, "mutant", (enum tl_npy_as)as, &array, &err);
        if (as == TL_NPY_F32) fuzz_check_err(ok, &err);
        fuzz_require(ok || (!array.f32 && !array.f64));
        if (ok) check_array(&array);
    }
}

static void run_npz(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    (void)target;
    struct tl_err err = {0};
    struct tl_npz *npz = tl_npz_open_memory(data, n, "mutant", &err);
    fuzz_check_err(npz != NULL, &err);
    for (size_t i = 0; npz && i < tl_npz_count(npz); i++) {
        const char *name = tl_npz_name(npz, i);
        struct tl_npy array = {0};
        fuzz_require(tl_npz_has(npz, name));
        tl_err_clear(&err);
        bool ok = tl_npz_read(npz, name, TL_NPY_F64, &array, &err);
        fuzz_check_err(ok, &err);
        if (ok) check_array(&array);
        tl_err_clear(&err);
        char *text = tl_npz_read_text(npz, name, &err);
        fuzz_check_err(text != NULL, &err);
        free(text);
    }
    tl_npz_close(&npz);
}

static const char *const st_words[] = {
    "\"dtype\":", "\"shape\":", "\"data_offsets\":", "\"__metadata__\":", "\"F32\"", "\"BF16\"",
    "\"U64\"",    "\"F4\"",     "\"F8_E4M3\"",       "\"BOOL\"",          "[]",      "{}",
    "[0,0]",      ",",          "\\u0000",           "\\ud83d",           NULL};
static const char *const pth_words[] = {"ctorch\nFloatStorage\n",
                                        "ctorch._utils\n_rebuild_tensor_v2\n",
                                        "ccollections\nOrderedDict\n",
                                        "storage",
                                        "X\x01",
                                        "J\xff\xff\xff\xff",
                                        "(",
                                        "t",
                                        "Q",
                                        "R",
                                        "}",
                                        "u",
                                        "s",
                                        "0",
                                        "2",
                                        "q\x01",
                                        "h\x01",
                                        "\x8a\x08",
                                        "\x94",
                                        "cos\nsystem\n",
                                        "\x80\x04",
                                        ".",
                                        "]",
                                        "a",
                                        "e",
                                        "b",
                                        "\x93",
                                        NULL};
static const char *const npy_words[] = {
    "'descr': '<f4'", "'<f8'", "'|O'", "'<U9'",  "'|b1'",  "'>f4'",  "'<f2'",  "'fortran_order': True",
    "'shape': ",      "(1,)",  "()",   "(0, 4)", "PK\3\4", "PK\1\2", "PK\5\6", ".npy",
    "\x93NUMPY",      NULL};

#define NAMES(...)                                                                                           \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }

const struct fuzz_target fuzz_tensors[] = {
    {"safetensors", "safetensors, every tensor converted", seed_safetensors, run_tensors, NULL, st_words,
     NAMES("pth/all.safetensors", "pth/train.safetensors")},
    {"pth", "PyTorch checkpoints of both layouts", seed_names, run_tensors, fuzz_repair_zip, pth_words,
     NAMES("pth/all.pth", "pth/all_old.pth", "pth/all_p4.pth", "pth/list.pth", "pth/train.pth",
           "pth/train_old.pth", "pth/whole.pth")},
    {"pickle", "pickles of PyTorch checkpoints, in a sound zip", seed_pickle, run_pickle, NULL, pth_words,
     NAMES("pth/all.pth", "pth/all_p4.pth", "pth/list.pth", "pth/train.pth", "pth/whole.pth")},
    {"npy", "numpy's arrays", seed_npy, run_npy, NULL, npy_words,
     NAMES("npy/big.npy", "npy/columns.npy", "npy/complex.npy", "npy/objects.npy", "npy/rows.npy",
           "npy/version2.npy", "npy/version3.npy", "npy/wide.npy")},
    {"npz", "numpy's archives", seed_npz, run_npz, fuzz_repair_zip, npy_words,
     NAMES("npy/forms.npz", "npy/stats.npz", "npy/types.npz")},
    {0},
};
