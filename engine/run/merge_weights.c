/* One component's weights, file to file, with the LoRAs' products on top. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "base/checked.h"
#include "io/file.h"
#include "models/weights.h"
#include "run/merge_parts.h"

struct merging {
    const struct tl_merge_loras *loras;
    const struct tl_st_set *set;
    const struct tl_store_entry **entries; /* of each tensor of the set; NULL: it stays as it is */
    const struct tl_st_item *items;
    float *file, *kernel; /* room for the largest */
    int part;
    size_t n_merged;
};

static bool is_bias_of(const struct tl_store_entry *e, const struct tl_lora_layer *l)
{
    size_t n = tl_lora_layer_len(l->entry);
    return l->bias && strncmp(e->name, l->entry->name, n) == 0 && strcmp(e->name + n, ".bias") == 0;
}

static bool touches(const struct merging *m, const struct tl_store_entry *e, const struct tl_lora_layer *l)
{
    return l->part == m->part && (l->entry == e || is_bias_of(e, l));
}

static bool is_changed(const struct merging *m, const struct tl_store_entry *e)
{
    for (size_t k = 0; e && k < m->loras->n; k++)
        for (size_t i = 0; i < m->loras->files[k].n; i++)
            if (touches(m, e, &m->loras->files[k].layers[i])) return true;
    return false;
}

/* Sums in f32, in the order of the LoRAs: what `sample --lora` does to a loaded model. */
static bool add_loras(const struct merging *m, const struct tl_store_entry *e, struct tl_err *err)
{
    tl_layout_from_file(e->layout, &e->shape, m->file, m->kernel);
    for (size_t k = 0; k < m->loras->n; k++)
        for (size_t i = 0; i < m->loras->files[k].n; i++) {
            const struct tl_lora_layer *l = &m->loras->files[k].layers[i];
            double scale = m->loras->scales[k];
            if (l->part != m->part) continue;
            if (l->entry == e && !tl_lora_layer_add(l, scale, m->kernel, err)) return false;
            for (int64_t o = 0; is_bias_of(e, l) && o < e->shape.dim[0]; o++)
                m->kernel[o] += (float)(scale * l->scale) * l->bias[o];
        }
    tl_layout_to_file(e->layout, &e->shape, m->kernel, m->file);
    return true;
}

/* A value that its type cannot hold would be infinite in the file. */
static bool check_range(const struct tl_st_item *item, const float *x, uint64_t n, struct tl_err *err)
{
    double most = item->dtype == TL_ST_F16 ? 65520 : item->dtype == TL_ST_BF16 ? 0x1.ffp127 : INFINITY;
    for (uint64_t i = 0; i < n; i++)
        if (!(fabs((double)x[i]) < most))
            return tl_err_set(err, TL_NUMERIC, "%g cannot be stored as %s; try --dtype %s", (double)x[i],
                              tl_st_dtype_name(item->dtype),
                              item->dtype == TL_ST_F16 ? "bf16 or f32" : "f32");
    return true;
}

static const void *fetch(void *user, size_t i, struct tl_err *err)
{
    struct merging *m = user;
    const struct tl_st_tensor *t = tl_st_set_at(m->set, i);
    const struct tl_store_entry *e = m->entries[i];
    if (!tl_interrupt_check("merging", err)) return NULL;
    if (!m->items[i].from_f32) return t->data;
    if (!tl_st_to_f32(t, m->file, err)) return NULL;
    if (e && !add_loras(m, e, err)) return NULL;
    if (e && !check_range(&m->items[i], m->file, t->n, err)) return NULL;
    if (!e && m->items[i].dtype != t->dtype && !check_range(&m->items[i], m->file, t->n, err)) return NULL;
    return m->file;
}

static bool is_float(enum tl_st_dtype d)
{
    return d == TL_ST_F32 || d == TL_ST_F16 || d == TL_ST_BF16 || d == TL_ST_F64;
}

/* Which tensors change, and into what type. */
static bool plan(struct merging *m, const struct tl_store_layout *layout, int dtype, struct tl_st_item *items,
                 size_t *out_most, struct tl_err *err)
{
    size_t n = tl_st_set_count(m->set);
    *out_most = 1;
    for (size_t i = 0; i < n; i++) {
        const struct tl_st_tensor *t = tl_st_set_at(m->set, i);
        const struct tl_store_entry *e = layout ? tl_weights_entry(layout, t->name) : NULL;
        struct tl_st_item *item = &items[i];
        *item = (struct tl_st_item){.name = t->name, .dtype = t->dtype, .rank = t->rank};
        memcpy(item->shape, t->shape, sizeof t->shape);
        if (is_changed(m, e)) {
            char text[96], want[96];
            if (t->n != (uint64_t)tl_shape_count(&e->shape))
                return tl_err_set(err, TL_BAD_INPUT, "tensor %s is %s, the config asks for %s", t->name,
                                  tl_st_shape_text(t, text, sizeof text), tl_shape_text(&e->shape, want));
            m->entries[i] = e;
            m->n_merged++;
        }
        bool cast = dtype >= 0 && is_float(t->dtype) && t->dtype != (enum tl_st_dtype)dtype;
        if (cast) item->dtype = (enum tl_st_dtype)dtype;
        if (m->entries[i] && item->dtype != TL_ST_F16 && item->dtype != TL_ST_BF16) item->dtype = TL_ST_F32;
        item->from_f32 = cast || m->entries[i];
        if (item->from_f32 && t->n > *out_most) *out_most = (size_t)t->n;
    }
    return true;
}

/* A weight that a LoRA changes and the file lacks would be lost without a word. */
static bool check_all_there(const struct merging *m, struct tl_err *err)
{
    size_t n = tl_st_set_count(m->set);
    for (size_t k = 0; k < m->loras->n; k++)
        for (size_t i = 0; i < m->loras->files[k].n; i++) {
            const struct tl_lora_layer *l = &m->loras->files[k].layers[i];
            bool found = l->part != m->part;
            for (size_t t = 0; !found && t < n; t++) found = m->entries[t] == l->entry;
            if (!found) return tl_err_set(err, TL_BAD_INPUT, "tensor %s is missing", l->entry->name);
        }
    return true;
}

static bool write_all(struct merging *m, const char *path, struct tl_st_item *items, struct tl_err *err)
{
    const struct tl_st_file *first = tl_st_set_file(m->set, 0);
    size_t n_meta = tl_st_meta_count(first);
    struct tl_st_meta *meta = calloc(n_meta + 1, sizeof *meta);
    bool ok = meta || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; ok && i < n_meta; i++) meta[i] = tl_st_meta_at(first, i);
    m->items = items;
    const struct tl_st_write_params p = {.meta = meta, .n_meta = n_meta, .fetch = fetch, .user = m};
    ok = ok && tl_st_write(path, items, tl_st_set_count(m->set), &p, err);
    free(meta);
    return ok;
}

bool tl_merge_weights(const char *folder, const char *base, const char *out,
                      const struct tl_merge_loras *loras, const struct tl_store_layout *layout, int part,
                      int dtype, size_t *out_merged, struct tl_err *err)
{
    struct merging m = {.loras = loras, .part = part};
    struct tl_str path = {0};
    struct tl_st_item *items = NULL;
    size_t most = 1, bytes;
    struct tl_st_set *set = tl_st_set_open(folder, base, NULL, err);
    m.set = set;
    bool ok = set != NULL;
    if (ok) {
        size_t n = tl_st_set_count(set);
        items = calloc(n + 1, sizeof *items);
        m.entries = calloc(n + 1, sizeof *m.entries);
        ok = (items && m.entries) || tl_err_set(err, TL_FAIL, "out of memory");
    }
    ok = ok &&
         (plan(&m, layout, dtype, items, &most, err) || tl_err_add(err, "%s", tl_st_set_path(set, 0))) &&
         (check_all_there(&m, err) || tl_err_add(err, "%s", tl_st_set_path(set, 0)));
    if (ok) {
        ok = tl_checked_mul(most, sizeof *m.file, &bytes);
        m.file = ok ? malloc(bytes) : NULL;
        m.kernel = ok ? malloc(bytes) : NULL;
        tl_path_join(&path, out, base);
        tl_str_append(&path, ".safetensors");
        ok = (m.file && m.kernel && !path.failed) || tl_err_set(err, TL_FAIL, "out of memory");
    }
    ok = ok && write_all(&m, path.data, items, err);
    if (out_merged) *out_merged = m.n_merged;
    tl_st_set_close(&set);
    tl_str_finish(&path);
    free(items);
    free((void *)m.entries);
    free(m.file);
    free(m.kernel);
    return ok;
}
