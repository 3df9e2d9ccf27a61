#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/pth.h"

enum { UNTYPED_BYTES = 1 };

/* Names in modules torch and torch.cuda; a row with the name of a dtype serves UntypedStorage. */
static const struct tl_pth_type types[] = {
    {"FloatStorage", 4, TL_ST_F32},
    {"HalfStorage", 2, TL_ST_F16},
    {"BFloat16Storage", 2, TL_ST_BF16},
    {"DoubleStorage", 8, TL_ST_F64},
    {"LongStorage", 8, TL_ST_I64},
    {"IntStorage", 4, TL_ST_I32},
    {"ShortStorage", 2, TL_ST_I16},
    {"CharStorage", 1, TL_ST_I8},
    {"ByteStorage", 1, TL_ST_U8},
    {"BoolStorage", 1, TL_ST_BOOL},
    {"ComplexFloatStorage", 8, TL_ST_C64},
    {"ComplexDoubleStorage", 16, TL_ST_N_DTYPES},
    {"QInt8Storage", 1, TL_ST_N_DTYPES},
    {"QUInt8Storage", 1, TL_ST_N_DTYPES},
    {"QInt32Storage", 4, TL_ST_N_DTYPES},
    {"QUInt4x2Storage", 1, TL_ST_N_DTYPES},
    {"QUInt2x4Storage", 1, TL_ST_N_DTYPES},
    {"float32", 4, TL_ST_F32},
    {"float16", 2, TL_ST_F16},
    {"bfloat16", 2, TL_ST_BF16},
    {"float64", 8, TL_ST_F64},
    {"int64", 8, TL_ST_I64},
    {"int32", 4, TL_ST_I32},
    {"int16", 2, TL_ST_I16},
    {"int8", 1, TL_ST_I8},
    {"uint8", 1, TL_ST_U8},
    {"uint16", 2, TL_ST_U16},
    {"uint32", 4, TL_ST_U32},
    {"uint64", 8, TL_ST_U64},
    {"bool", 1, TL_ST_BOOL},
    {"complex64", 8, TL_ST_C64},
    {"float8_e4m3fn", 1, TL_ST_F8_E4M3},
    {"float8_e5m2", 1, TL_ST_F8_E5M2},
    {"float8_e8m0fnu", 1, TL_ST_F8_E8M0},
    {"float8_e4m3fnuz", 1, TL_ST_F8_E4M3FNUZ},
    {"float8_e5m2fnuz", 1, TL_ST_F8_E5M2FNUZ},
};

const struct tl_pth_type *tl_pth_type_of(const struct tl_pickle *p, const struct tl_pickle_value *name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (tl_pickle_is_name(p, name, "torch", types[i].name) ||
            tl_pickle_is_name(p, name, "torch.cuda", types[i].name))
            return &types[i];
    }
    return NULL;
}

bool tl_pth_is_untyped(const struct tl_pickle *p, const struct tl_pickle_value *name)
{
    return tl_pickle_is_name(p, name, "torch.storage", "UntypedStorage");
}

/* ('storage', TYPE, key, location, numel[, view]) */
struct persid {
    const struct tl_pth_type *type; /* NULL with `known`: untyped */
    bool known;
    unsigned item;
    const struct tl_pickle_value *key, *view;
    uint64_t numel;
};

static bool bad(struct tl_pth *pth, const char *why)
{
    return tl_err_set(pth->err, TL_BAD_INPUT, "%s: a storage in its pickle: %s", pth->file->what, why);
}

static bool read_persid(struct tl_pth *pth, const struct tl_pickle_value *v, struct persid *out)
{
    const struct tl_pickle *p = &pth->pickle;
    const struct tl_pickle_value *id = tl_pickle_at(p, v->pair[0]);
    if (id->kind != TL_PICKLE_TUPLE || id->items.n < 5 || id->items.n > 6 ||
        !tl_pickle_is_text(tl_pickle_item(p, id, 0), "storage"))
        return bad(pth, "not the five or six fields of a checkpoint's");
    const struct tl_pickle_value *type = tl_pickle_item(p, id, 1), *numel = tl_pickle_item(p, id, 4);
    *out = (struct persid){.type = tl_pth_type_of(p, type), .key = tl_pickle_item(p, id, 2)};
    out->known = out->type || tl_pth_is_untyped(p, type);
    out->item = out->type ? out->type->bytes : UNTYPED_BYTES;
    out->view = id->items.n == 6 ? tl_pickle_item(p, id, 5) : NULL;
    if (out->view && out->view->kind == TL_PICKLE_NONE) out->view = NULL;
    if (out->key->kind != TL_PICKLE_TEXT || out->key->text.len > 256) return bad(pth, "its key is no string");
    if (numel->kind != TL_PICKLE_INT || numel->integer < 0) return bad(pth, "its size is no number");
    out->numel = (uint64_t)numel->integer;
    return true;
}

static bool storage_error(struct tl_pth *pth, const struct tl_pickle_value *key, const char *why)
{
    return tl_err_set(pth->err, TL_BAD_INPUT, "%s: storage %.*s: %s", pth->file->what,
                      (int)(key->text.len < 100 ? key->text.len : 100), key->text.data, why);
}

/* ---- zip layout: an entry each ---- */

static bool from_zip(struct tl_pth *pth, const struct persid *id, uint64_t bytes, struct tl_pth_storage *out)
{
    char name[TL_ST_MAX_NAME + 300];
    size_t i;
    if (id->view) return storage_error(pth, id->key, "is a view, which this layout has none of");
    snprintf(name, sizeof name, "%s/data/%.*s", pth->prefix, (int)id->key->text.len, id->key->text.data);
    if (memchr(id->key->text.data, 0, id->key->text.len) || !tl_zip_find(pth->zip, name, &i))
        return storage_error(pth, id->key, "the file has no entry for it");
    if (tl_zip_size(pth->zip, i) != bytes) {
        return tl_err_set(
            pth->err, TL_BAD_INPUT, "%s: storage %.*s: %llu elements need %llu bytes, its entry has %llu",
            pth->file->what, (int)id->key->text.len, id->key->text.data, (unsigned long long)id->numel,
            (unsigned long long)bytes, (unsigned long long)tl_zip_size(pth->zip, i));
    }
    if (!pth->unpacked[i]) pth->unpacked[i] = tl_zip_stored(pth->zip, i);
    if (!pth->unpacked[i]) {
        if (bytes > pth->unpack_left)
            return storage_error(pth, id->key,
                                 "unpacked, the storages would be far larger than the file; save it again "
                                 "with torch.save, which packs nothing");
        if (!tl_zip_read(pth->zip, i, bytes, &pth->file->own, &pth->unpacked[i], pth->err)) return false;
        pth->unpack_left -= bytes;
    }
    out->data = pth->unpacked[i];
    return true;
}

/* ---- older layout: one behind the other ---- */

static int key_order(const char *a, uint32_t a_len, const char *b, uint32_t b_len)
{
    uint32_t n = a_len < b_len ? a_len : b_len;
    int order = n ? memcmp(a, b, n) : 0;
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int by_key(const void *a, const void *b)
{
    const struct tl_pth_part *x = a, *y = b;
    return key_order(x->key, x->key_len, y->key, y->key_len);
}

static struct tl_pth_part *find_part(struct tl_pth *pth, const struct tl_pickle_value *key)
{
    struct tl_pth_part wanted = {.key = key->text.data, .key_len = key->text.len};
    return bsearch(&wanted, pth->parts, pth->n_parts, sizeof *pth->parts, by_key);
}

/* view: (view_key, offset, view_size) in elements. */
static bool apply_view(struct tl_pth *pth, const struct persid *id, struct tl_pth_storage *out)
{
    const struct tl_pickle *p = &pth->pickle;
    const struct tl_pickle_value *v = id->view;
    if (v->kind != TL_PICKLE_TUPLE || v->items.n != 3)
        return storage_error(pth, id->key, "its view is not of three fields");
    const struct tl_pickle_value *offset = tl_pickle_item(p, v, 1), *size = tl_pickle_item(p, v, 2);
    if (offset->kind != TL_PICKLE_INT || size->kind != TL_PICKLE_INT || offset->integer < 0 ||
        size->integer < 0 || (uint64_t)offset->integer > out->n ||
        (uint64_t)size->integer > out->n - (uint64_t)offset->integer)
        return storage_error(pth, id->key, "its view lies outside of it");
    out->data += (uint64_t)offset->integer * id->item;
    out->n = (uint64_t)size->integer;
    return true;
}

static bool from_parts(struct tl_pth *pth, const struct persid *id, uint64_t bytes,
                       struct tl_pth_storage *out)
{
    const struct tl_pth_part *part = find_part(pth, id->key);
    if (!part || !part->data) return storage_error(pth, id->key, "the file has no bytes for it");
    if (part->bytes != bytes) {
        return tl_err_set(
            pth->err, TL_BAD_INPUT, "%s: storage %.*s: %llu elements need %llu bytes, the file has %llu",
            pth->file->what, (int)id->key->text.len, id->key->text.data, (unsigned long long)id->numel,
            (unsigned long long)bytes, (unsigned long long)part->bytes);
    }
    out->data = part->data;
    return !id->view || apply_view(pth, id, out);
}

bool tl_pth_storage_of(struct tl_pth *pth, const struct tl_pickle_value *persid, struct tl_pth_storage *out,
                       bool *out_known)
{
    struct persid id = {0};
    uint64_t bytes;
    if (!read_persid(pth, persid, &id)) return false;
    *out_known = id.known;
    if (!id.known) return true;
    if (__builtin_mul_overflow(id.numel, (uint64_t)id.item, &bytes))
        return storage_error(pth, id.key, "its size overflows");
    *out = (struct tl_pth_storage){.type = id.type, .n = id.numel};
    return pth->zip ? from_zip(pth, &id, bytes, out) : from_parts(pth, &id, bytes, out);
}

/* The sizes of elements are in the object's pickle only, so that all ids in it are listed first. */
static bool list_keys(struct tl_pth *pth)
{
    const struct tl_pickle *p = &pth->pickle;
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < p->n_values; i++) n += p->values[i].kind == TL_PICKLE_PERSID;
    pth->parts = malloc((n + 1) * sizeof *pth->parts);
    if (!pth->parts) return bad(pth, "out of memory");
    for (size_t i = 0; i < p->n_values; i++) {
        struct persid id = {0};
        if (p->values[i].kind != TL_PICKLE_PERSID) continue;
        if (!read_persid(pth, &p->values[i], &id)) return false;
        /* A type of unknown size is an error only where its bytes have to be passed over. */
        pth->parts[pth->n_parts++] = (struct tl_pth_part){
            .key = id.key->text.data, .key_len = id.key->text.len, .item = id.known ? id.item : 0};
    }
    qsort(pth->parts, n, sizeof *pth->parts, by_key);
    for (size_t i = 0; i < n; i++) {
        struct tl_pth_part *last = kept ? &pth->parts[kept - 1] : NULL;
        if (!last || by_key(last, &pth->parts[i]) != 0) {
            pth->parts[kept++] = pth->parts[i];
        } else if (last->item != pth->parts[i].item) {
            return bad(pth, "one key has two types");
        }
    }
    pth->n_parts = kept;
    return true;
}

bool tl_pth_list_parts(struct tl_pth *pth, const struct tl_pickle *keys, size_t at)
{
    const struct tl_st_file *f = pth->file;
    const struct tl_pickle_value *list = tl_pickle_at(keys, keys->root);
    if (list->kind != TL_PICKLE_LIST) return bad(pth, "the list of keys is no list");
    if (!list_keys(pth)) return false;
    uint32_t cell = list->items.first;
    for (uint32_t i = 0; i < list->items.n; i++, cell = keys->cells[cell].next) {
        const struct tl_pickle_value *key = tl_pickle_at(keys, keys->cells[cell].value);
        uint64_t n = 0, bytes;
        struct tl_pth_part *part = key->kind == TL_PICKLE_TEXT ? find_part(pth, key) : NULL;
        if (!part || !part->item) return bad(pth, "a key in the list whose type is not known");
        if (part->data) return storage_error(pth, key, "is listed twice");
        if (f->n_bytes - at < 8) return storage_error(pth, key, "the file ends in front of it; cut short");
        for (int b = 7; b >= 0; b--) n = n << 8 | f->bytes[at + (size_t)b];
        at += 8;
        if (__builtin_mul_overflow(n, (uint64_t)part->item, &bytes) || bytes > f->n_bytes - at)
            return storage_error(pth, key, "reaches beyond the end of the file; cut short");
        part->data = f->bytes + at;
        part->bytes = bytes;
        at += (size_t)bytes;
    }
    return at == f->n_bytes || tl_err_set(pth->err, TL_BAD_INPUT, "%s: %zu bytes behind its last storage",
                                          f->what, f->n_bytes - at);
}
