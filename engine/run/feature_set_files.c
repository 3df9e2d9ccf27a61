/* Embeddings and statistics as files. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/sha256.h"
#include "io/file.h"
#include "io/npy.h"
#include "run/feature_set.h"
#include "run/listing.h"

static const char schema[] = "tiller.embed/1";

/* ---- writing ---- */

void tl_feature_set_list_skipped(const struct tl_feature_set *set, cJSON *array)
{
    for (size_t i = 0; i < set->n_skipped; i++) {
        cJSON *row = tl_listing_row(array);
        tl_listing_text(row, "folder", set->path);
        tl_listing_text(row, "file", set->skipped[i].file);
        tl_listing_text(row, "reason", set->skipped[i].reason);
    }
}

/* What is told of an origin, under which name, in an .npy's .json and in an .npz. */
static const struct {
    const char *key;
    size_t field;
} origin_fields[] = {{"encoder", offsetof(struct tl_feature_origin, encoder)},
                     {"encoder_sha256", offsetof(struct tl_feature_origin, sha256)},
                     {"config_sha256", offsetof(struct tl_feature_origin, config)},
                     {"settings", offsetof(struct tl_feature_origin, settings)},
                     {"dtype", offsetof(struct tl_feature_origin, dtype)},
                     {"device", offsetof(struct tl_feature_origin, device)}};
enum { N_FIELDS = sizeof origin_fields / sizeof *origin_fields };

static const char *field(const struct tl_feature_origin *origin, size_t k)
{
    return *(const char *const *)((const char *)origin + origin_fields[k].field);
}

static void set_field(struct tl_feature_origin *origin, size_t k, const char *text)
{
    *(const char **)((char *)origin + origin_fields[k].field) = text;
}

static cJSON *describe(const struct tl_feature_set *set, const char *hash)
{
    cJSON *out = cJSON_CreateObject();
    tl_listing_text(out, "schema", schema);
    for (size_t k = 0; k < N_FIELDS; k++) tl_listing_text(out, origin_fields[k].key, field(&set->origin, k));
    tl_listing_count(out, "dim", set->features.dim);
    tl_listing_text(out, "npy_sha256", hash);
    cJSON *files = tl_listing_array(out, "files");
    for (size_t i = 0; i < set->features.n_items; i++) {
        cJSON *row = tl_listing_row(files);
        tl_listing_text(row, "file", set->names[i]);
        tl_listing_count(row, "rows", set->first[i + 1] - set->first[i]);
    }
    tl_feature_set_list_skipped(set, tl_listing_array(out, "skipped"));
    return out;
}

bool tl_feature_set_write_rows(const struct tl_feature_set *set, const char *path, struct tl_err *err)
{
    char hash[65];
    struct tl_str beside = {0};
    struct tl_npy_item item = {
        .rank = 2, .shape = {set->features.n, set->features.dim}, .f32 = set->features.x};
    if (!tl_npy_write(path, &item, err) || !tl_sha256_file(path, hash, err)) return false;
    cJSON *json = describe(set, hash);
    tl_str_printf(&beside, "%s.json", path);
    bool ok = (json && !beside.failed) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_json_write(beside.data, json, err);
    cJSON_Delete(json);
    tl_str_finish(&beside);
    return ok;
}

bool tl_feature_set_write_statistics(const struct tl_gaussian *g, const struct tl_feature_origin *origin,
                                     const char *path, struct tl_err *err)
{
    double n = (double)g->n;
    struct tl_npy_item items[3 + N_FIELDS] = {
        {.name = "mu", .rank = 1, .shape = {g->dim}, .f64 = g->mu},
        {.name = "sigma", .rank = 2, .shape = {g->dim, g->dim}, .f64 = g->sigma},
        {.name = "n", .rank = 0, .f64 = &n}};
    size_t n_items = 3;
    for (size_t k = 0; k < N_FIELDS; k++)
        if (field(origin, k))
            items[n_items++] = (struct tl_npy_item){.name = origin_fields[k].key, .text = field(origin, k)};
    return tl_npz_write(path, items, n_items, true, err);
}

/* ---- reading rows ---- */

/* Rows of a file each, as the description says; false where it does not fit the matrix. */
static bool take_files(struct tl_feature_set *set, const cJSON *files)
{
    size_t n = (size_t)cJSON_GetArraySize(files), k = 0, row = 0;
    set->first = calloc(n + 1, sizeof *set->first);
    set->names = tl_arena_alloc(&set->arena, n + 1, sizeof *set->names);
    const cJSON *item;
    bool ok = set->first && set->names && n > 0;
    cJSON_ArrayForEach(item, files)
    {
        int64_t rows;
        const char *name;
        if (!ok || !tl_json_int(item, "rows", 0, &rows, NULL) || rows < 1 ||
            !tl_json_string(item, "file", NULL, &name, NULL) || !name)
            return false;
        set->first[k] = row;
        set->names[k] = tl_arena_strdup(&set->arena, name);
        ok = set->names[k++] != NULL && (size_t)rows <= set->features.n - row;
        row += ok ? (size_t)rows : 0;
    }
    if (!ok || row != set->features.n) return false;
    set->first[n] = row;
    set->features.first = set->first;
    set->features.n_items = n;
    return true;
}

static const char *text_of(struct tl_feature_set *set, const cJSON *json, const char *key)
{
    const char *text = NULL;
    return tl_json_string(json, key, NULL, &text, NULL) && text ? tl_arena_strdup(&set->arena, text) : NULL;
}

/* The description that `tiller embed` leaves beside an .npy; without it, or where it is of another matrix,
 * every row is a file of its own. */
static void read_description(struct tl_feature_set *set)
{
    struct tl_str beside = {0};
    struct tl_err err = {0};
    char hash[65];
    const char *wanted = NULL;
    tl_str_printf(&beside, "%s.json", set->path);
    cJSON *json = !beside.failed && tl_file_exists(beside.data) ? tl_json_read(beside.data, &err) : NULL;
    bool there = json || err.code;
    bool fits = json && tl_sha256_file(set->path, hash, &err) &&
                tl_json_string(json, "npy_sha256", NULL, &wanted, &err) && wanted &&
                strcmp(hash, wanted) == 0 && take_files(set, tl_json_get(json, "files"));
    if (fits) {
        for (size_t k = 0; k < N_FIELDS; k++)
            set_field(&set->origin, k, text_of(set, json, origin_fields[k].key));
    } else if (there) {
        free(set->first);
        set->first = NULL;
        set->names = NULL;
        tl_log(TL_LOG_WARN, "%s does not describe %s; every row counts as a file", beside.data, set->path);
    }
    cJSON_Delete(json);
    tl_str_finish(&beside);
}

bool tl_feature_set_read_rows(struct tl_feature_set *set, struct tl_err *err)
{
    struct tl_npy a;
    if (!tl_npy_read(set->path, TL_NPY_F32, &a, err)) return false;
    if (a.rank != 2 || a.n == 0) {
        tl_npy_finish(&a);
        return tl_err_set(err, TL_BAD_INPUT, "%s: embeddings are a matrix [rows, dim] with something in it",
                          set->path);
    }
    set->x = a.f32;
    set->features = (struct tl_features){
        .x = a.f32, .n = (size_t)a.shape[0], .dim = (size_t)a.shape[1], .n_items = (size_t)a.shape[0]};
    if (!tl_features_check(&set->features, err)) return tl_err_add(err, "%s", set->path);
    read_description(set);
    return true;
}

/* ---- reading statistics ---- */

static const char *npz_text(struct tl_feature_set *set, struct tl_npz *npz, const char *name)
{
    char *text = tl_npz_has(npz, name) ? tl_npz_read_text(npz, name, NULL) : NULL;
    const char *kept = text ? tl_arena_strdup(&set->arena, text) : NULL;
    free(text);
    return kept;
}

static bool fill(struct tl_feature_set *set, struct tl_npz *npz, const struct tl_npy *mu,
                 const struct tl_npy *sigma, struct tl_err *err)
{
    struct tl_npy n = {0};
    size_t dim = (size_t)mu->n, rows = 0;
    if (mu->rank != 1 || sigma->rank != 2 || sigma->shape[0] != dim || sigma->shape[1] != dim)
        return tl_err_set(err, TL_BAD_INPUT, "mu must be [dim] and sigma [dim, dim]");
    if (tl_npz_has(npz, "n") && tl_npz_read(npz, "n", TL_NPY_F64, &n, NULL) && n.n == 1 && n.f64[0] >= 2 &&
        n.f64[0] < 9e15)
        rows = (size_t)n.f64[0];
    tl_npy_finish(&n);
    for (size_t k = 0; k < N_FIELDS; k++)
        set_field(&set->origin, k, npz_text(set, npz, origin_fields[k].key));
    return tl_gaussian_init(&set->gaussian, dim, rows, mu->f64, sigma->f64, err);
}

bool tl_feature_set_read_statistics(struct tl_feature_set *set, struct tl_err *err)
{
    struct tl_npy mu = {0}, sigma = {0};
    struct tl_npz *npz = tl_npz_open(set->path, err);
    if (!npz) return false;
    bool ok = (tl_npz_has(npz, "mu") && tl_npz_has(npz, "sigma")) ||
              tl_err_set(err, TL_BAD_INPUT,
                         "%s: statistics have arrays mu and sigma; `tiller stats` and pytorch-fid write them",
                         set->path);
    ok = ok && tl_npz_read(npz, "mu", TL_NPY_F64, &mu, err) &&
         tl_npz_read(npz, "sigma", TL_NPY_F64, &sigma, err) &&
         (fill(set, npz, &mu, &sigma, err) || tl_err_add(err, "%s", set->path));
    tl_npy_finish(&mu);
    tl_npy_finish(&sigma);
    tl_npz_close(&npz);
    return ok;
}
