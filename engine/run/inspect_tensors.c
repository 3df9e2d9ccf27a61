#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "run/inspect_parts.h"

static void add_shape(cJSON *row, const struct tl_st_tensor *t)
{
    char text[256];
    tl_listing_text(row, "shape", tl_st_shape_text(t, text, sizeof text));
}

static void add_dtypes(cJSON *out, const struct tl_st_set *set)
{
    struct sum {
        uint64_t tensors, n, bytes;
    } sums[TL_ST_N_DTYPES] = {{0}}, all = {0};
    size_t count = tl_st_set_count(set);
    for (size_t i = 0; i < count; i++) {
        const struct tl_st_tensor *t = tl_st_set_at(set, i);
        struct sum *s = &sums[t->dtype];
        s->tensors++, s->n += t->n, s->bytes += t->bytes;
        all.tensors++, all.n += t->n, all.bytes += t->bytes;
    }
    tl_listing_count(out, "tensors", all.tensors);
    tl_listing_count(out, "parameters", all.n);
    tl_listing_count(out, "bytes", all.bytes);
    cJSON *rows = tl_listing_array(out, "dtypes");
    for (int d = 0; d < TL_ST_N_DTYPES; d++) {
        if (!sums[d].tensors) continue;
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "dtype", tl_st_dtype_name((enum tl_st_dtype)d));
        tl_listing_count(row, "tensors", sums[d].tensors);
        tl_listing_count(row, "parameters", sums[d].n);
        tl_listing_count(row, "bytes", sums[d].bytes);
    }
}

void tl_inspect_tensors(cJSON *out, const struct tl_st_set *set, bool brief)
{
    add_dtypes(out, set);
    if (tl_st_set_files(set) > 1) tl_listing_count(out, "files", tl_st_set_files(set));
    const struct tl_st_file *first = tl_st_set_file(set, 0);
    size_t n_meta = tl_st_meta_count(first);
    cJSON *meta = n_meta ? tl_listing_object(out, "metadata") : NULL;
    for (size_t i = 0; i < n_meta; i++) {
        struct tl_st_meta m = tl_st_meta_at(first, i);
        tl_listing_text(meta, m.key, m.value);
    }
    tl_inspect_lora(out, set);
    if (brief) return;
    cJSON *rows = tl_listing_array(out, "list");
    for (size_t i = 0; i < tl_st_set_count(set); i++) {
        const struct tl_st_tensor *t = tl_st_set_at(set, i);
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", t->name);
        tl_listing_text(row, "dtype", tl_st_dtype_name(t->dtype));
        add_shape(row, t);
        tl_listing_count(row, "bytes", t->bytes);
    }
}
