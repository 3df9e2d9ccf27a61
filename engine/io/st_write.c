/* Writes safetensors files as the reference implementation lays them out. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "io/file.h"
#include "base/half.h"
#include "io/json.h"
#include "io/st_file.h"
#include "io/utf8.h"

/* An item in the order of the file. */
struct slot {
    const struct tl_st_item *item;
    size_t index; /* in the caller's array */
    uint64_t n, bytes;
};

static int by_dtype_then_name(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;
    if (x->item->dtype != y->item->dtype) return x->item->dtype > y->item->dtype ? -1 : 1;
    return strcmp(x->item->name, y->item->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct slot *const *)a)->item->name, (*(const struct slot *const *)b)->item->name);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct tl_st_meta *)a)->key, ((const struct tl_st_meta *)b)->key);
}

static bool check_item(struct slot *s, bool can_fetch, struct tl_err *err)
{
    const struct tl_st_item *item = s->item;
    bool whole = false;
    size_t len = item->name ? strlen(item->name) : 0;
    if (!item->name || len > TL_ST_MAX_NAME || tl_utf8_prefix(item->name, len) != len ||
        !strcmp(item->name, "__metadata__")) {
        return tl_err_set(err, TL_FAIL, "tensor %zu: not a usable name", s->index);
    }
    if (item->rank > TL_ST_MAX_RANK || (unsigned)item->dtype >= TL_ST_N_DTYPES ||
        !tl_st_shape_bytes(item->shape, item->rank, item->dtype, &s->n, &s->bytes, &whole) || !whole) {
        return tl_err_set(err, TL_FAIL, "%s: shape or type cannot be written", item->name);
    }
    if (item->from_f32 && item->dtype != TL_ST_F32 && item->dtype != TL_ST_F16 && item->dtype != TL_ST_BF16) {
        return tl_err_set(err, TL_FAIL, "%s: floats are written as F32, F16 or BF16 only", item->name);
    }
    if (!item->data && s->n && !can_fetch) return tl_err_set(err, TL_FAIL, "%s: no data", item->name);
    return true;
}

static bool check_names(const struct slot *slots, size_t n, struct tl_err *err)
{
    const struct slot **order = malloc((n ? n : 1) * sizeof *order);
    if (!order) return tl_err_set(err, TL_OUTPUT, "out of memory");
    for (size_t i = 0; i < n; i++) order[i] = &slots[i];
    qsort(order, n, sizeof *order, by_name);
    bool ok = true;
    for (size_t i = 1; ok && i < n; i++) {
        if (by_name(&order[i - 1], &order[i]) == 0) {
            ok = tl_err_set(err, TL_FAIL, "%s: tensor name given twice", order[i]->item->name);
        }
    }
    free((void *)order);
    return ok;
}

static bool metadata_text(struct tl_str *out, const struct tl_st_write_params *params, struct tl_err *err)
{
    bool format = !params->no_format;
    for (size_t i = 0; i < params->n_meta; i++) {
        if (!strcmp(params->meta[i].key, "format")) format = false;
    }
    size_t n = params->n_meta + format;
    if (!n) return true;
    struct tl_st_meta *all = malloc(n * sizeof *all);
    if (!all) return tl_err_set(err, TL_OUTPUT, "out of memory");
    if (params->n_meta) memcpy(all, params->meta, params->n_meta * sizeof *all);
    if (format) all[n - 1] = (struct tl_st_meta){"format", "pt"};
    qsort(all, n, sizeof *all, by_key);
    bool ok = true;
    tl_str_append(out, "\"__metadata__\":{");
    for (size_t i = 0; ok && i < n; i++) {
        size_t k = strlen(all[i].key), v = strlen(all[i].value);
        if (tl_utf8_prefix(all[i].key, k) != k || tl_utf8_prefix(all[i].value, v) != v) {
            ok = tl_err_set(err, TL_FAIL, "metadata entry %zu is not UTF-8", i);
        } else if (i && !strcmp(all[i - 1].key, all[i].key)) {
            ok = tl_err_set(err, TL_FAIL, "metadata key \"%s\" given twice", all[i].key);
        }
        if (i) tl_str_append(out, ",");
        tl_json_quote(out, all[i].key);
        tl_str_append(out, ":");
        tl_json_quote(out, all[i].value);
    }
    tl_str_append(out, "}");
    free(all);
    return ok;
}

/* The 8 bytes of length, the JSON, spaces up to a multiple of 8. */
static bool header_text(struct tl_str *out, const struct slot *slots, size_t n,
                        const struct tl_st_write_params *params, struct tl_err *err)
{
    static const char room[8] = {0};
    uint64_t offset = 0;
    tl_str_append_n(out, room, 8);
    tl_str_append(out, "{");
    if (!metadata_text(out, params, err)) return false;
    for (size_t i = 0; i < n; i++) {
        const struct tl_st_item *item = slots[i].item;
        uint64_t end;
        if (__builtin_add_overflow(offset, slots[i].bytes, &end)) {
            return tl_err_set(err, TL_FAIL, "the tensors are too large for one file");
        }
        if (out->len > 9) tl_str_append(out, ",");
        tl_json_quote(out, item->name);
        tl_str_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", tl_st_dtype_name(item->dtype));
        for (unsigned d = 0; d < item->rank; d++) {
            tl_str_printf(out, d ? ",%llu" : "%llu", (unsigned long long)item->shape[d]);
        }
        tl_str_printf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)offset,
                      (unsigned long long)end);
        offset = end;
    }
    tl_str_append(out, "}");
    while (out->len % 8 && !out->failed) tl_str_append(out, " ");
    if (out->failed) return tl_err_set(err, TL_OUTPUT, "out of memory");
    uint64_t length = out->len - 8;
    if (length > TL_ST_MAX_HEADER)
        return tl_err_set(err, TL_FAIL, "the header is longer than 100,000,000 bytes");
    for (int i = 0; i < 8; i++) out->data[i] = (char)(length >> 8 * i & 0xff);
    return true;
}

static bool put_converted(struct tl_file_out *out, const struct slot *s, const float *data,
                          struct tl_err *err)
{
    enum { PIECE = 8192 };
    uint16_t half[PIECE];
    for (uint64_t i = 0; i < s->n; i += PIECE) {
        size_t n = s->n - i < PIECE ? (size_t)(s->n - i) : PIECE;
        if (s->item->dtype == TL_ST_F16) {
            tl_half_from_f32(data + i, n, half);
        } else {
            tl_half_bf16_from_f32(data + i, n, half);
        }
        if (!tl_file_put(out, half, n * sizeof *half, err)) return false;
    }
    return true;
}

static bool put_tensor(struct tl_file_out *out, const struct slot *s, const struct tl_st_write_params *params,
                       struct tl_err *err)
{
    if (!s->n) return true;
    const void *data = s->item->data ? s->item->data : params->fetch(params->user, s->index, err);
    if (!data) {
        tl_err_set(err, TL_FAIL, "no data");
        return tl_err_add(err, "%s", s->item->name);
    }
    if (s->item->from_f32 && s->item->dtype != TL_ST_F32) return put_converted(out, s, data, err);
    return tl_file_put(out, data, (size_t)s->bytes, err);
}

bool tl_st_write(const char *path, const struct tl_st_item *items, size_t n,
                 const struct tl_st_write_params *params, struct tl_err *err)
{
    static const struct tl_st_write_params plain = {0};
    if (!params) params = &plain;
    struct tl_str header = {0};
    struct tl_file_out out = {.fd = -1};
    struct slot *slots = n <= TL_ST_MAX_TENSORS ? malloc((n ? n : 1) * sizeof *slots) : NULL;
    bool ok = slots != NULL || tl_err_set(err, TL_FAIL, "too many tensors, or out of memory");
    for (size_t i = 0; ok && i < n; i++) {
        slots[i] = (struct slot){.item = &items[i], .index = i};
        ok = check_item(&slots[i], params->fetch != NULL, err);
    }
    ok = ok && check_names(slots, n, err);
    if (ok) qsort(slots, n, sizeof *slots, by_dtype_then_name);
    ok = ok && header_text(&header, slots, n, params, err) && tl_file_begin(&out, path, err) &&
         tl_file_put(&out, header.data, header.len, err);
    for (size_t i = 0; ok && i < n; i++) ok = put_tensor(&out, &slots[i], params, err);
    ok = ok && tl_file_commit(&out, err);
    tl_file_abort(&out);
    tl_str_finish(&header);
    free(slots);
    return ok || tl_err_add(err, "writing %s", path);
}
