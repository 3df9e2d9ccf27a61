/* Adapters between files and stores: merged into a component's weights, into and out of a trainable store. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "models/lora_file.h"

/* Extents of a layer's weight: [taps][in][out] in kernel order, [out][in][taps] in files. */
struct extents {
    size_t taps, in, out;
};

static struct extents extents_of(const struct tl_store_entry *e)
{
    const struct tl_shape *s = &e->shape;
    int r = s->rank;
    struct extents x = {1, (size_t)s->dim[r - 2], (size_t)s->dim[r - 1]};
    for (int i = 0; i < r - 2; i++) x.taps *= (size_t)s->dim[i];
    return x;
}

/* w[t][i][o] += factor * sum over r of down[r][i][t] up[o][r]; up_t is room for [rank][out]. */
static void add_product(const struct tl_lora_layer *l, double factor, float *up_t, float *w)
{
    struct extents x = extents_of(l->entry);
    size_t rank = (size_t)l->rank;
    float s = (float)(factor * l->scale);
    for (size_t o = 0; o < x.out; o++)
        for (size_t r = 0; r < rank; r++) up_t[r * x.out + o] = s * l->up[o * rank + r];
    for (size_t t = 0; t < x.taps; t++)
        for (size_t i = 0; i < x.in; i++) {
            float *row = w + (t * x.in + i) * x.out;
            for (size_t r = 0; r < rank; r++) {
                float d = l->down[(r * x.in + i) * x.taps + t];
                const float *u = up_t + r * x.out;
                for (size_t o = 0; o < x.out; o++) row[o] += d * u[o];
            }
        }
}

bool tl_lora_layer_add(const struct tl_lora_layer *l, double factor, float *weight, struct tl_err *err)
{
    float *up_t = malloc(extents_of(l->entry).out * (size_t)l->rank * sizeof *up_t);
    if (!up_t) return tl_err_set(err, TL_FAIL, "out of memory while merging a LoRA");
    add_product(l, factor, up_t, weight);
    free(up_t);
    return true;
}

static bool merge_bias(const struct tl_lora_layer *l, struct tl_store *store, double factor, float *room,
                       struct tl_err *err)
{
    char name[TL_ST_MAX_NAME + 8];
    int n = (int)tl_lora_layer_len(l->entry);
    snprintf(name, sizeof name, "%.*s.bias", n, l->entry->name);
    const struct tl_store_entry *e = tl_store_layout_find(store->layout, name);
    if (!e)
        return tl_err_set(err, TL_BAD_INPUT, "the LoRA has a bias for %.*s, the layer none", n,
                          l->entry->name);
    if (!tl_store_read(store, e, room, err)) return false;
    for (int64_t i = 0; i < e->shape.dim[0]; i++) room[i] += (float)(factor * l->scale) * l->bias[i];
    return tl_store_write(store, e, room, err);
}

bool tl_lora_file_merge(const struct tl_lora_file *file, int part, struct tl_store *store, double factor,
                        struct tl_err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < file->n; i++) {
        const struct tl_lora_layer *l = &file->layers[i];
        if (l->part != part) continue;
        float *w = malloc((size_t)tl_shape_count(&l->entry->shape) * sizeof *w);
        ok = w || tl_err_set(err, TL_FAIL, "out of memory while merging a LoRA");
        ok = ok && tl_store_read(store, l->entry, w, err) && tl_lora_layer_add(l, factor, w, err) &&
             tl_store_write(store, l->entry, w, err) && (!l->bias || merge_bias(l, store, factor, w, err));
        free(w);
    }
    return ok;
}

static const struct tl_lora_layer *find_layer(const struct tl_lora_file *file, int part, const char *name,
                                              size_t n)
{
    for (size_t i = 0; i < file->n; i++) {
        const struct tl_lora_layer *l = &file->layers[i];
        if (l->part == part && tl_lora_layer_len(l->entry) == n && memcmp(l->entry->name, name, n) == 0)
            return l;
    }
    return NULL;
}

int tl_lora_ranks_of(void *ranks, const char *layer)
{
    const struct tl_lora_ranks *r = ranks;
    const struct tl_lora_layer *l = find_layer(r->file, r->part, layer, strlen(layer));
    return l ? l->rank : 0;
}

static const char end_a[] = ".lora_A.weight", end_b[] = ".lora_B.weight";

/* One matrix of the store from the file's. */
static bool load_matrix(const struct tl_lora_file *file, int part, struct tl_store *lora,
                        const struct tl_store_entry *e, double scale, struct tl_err *err)
{
    bool a = tl_str_ends(e->name, end_a);
    size_t n = (size_t)tl_shape_count(&e->shape);
    const struct tl_lora_layer *l = find_layer(file, part, e->name, strlen(e->name) - (sizeof end_a - 1));
    if (!l) return tl_err_set(err, TL_BAD_INPUT, "the LoRA has no matrices for %s", e->name);
    int64_t rank = e->shape.dim[a ? 1 : 0];
    struct extents x = extents_of(l->entry);
    if (rank != l->rank || n != (a ? x.in : x.out) * (size_t)l->rank)
        return tl_err_set(err, TL_BAD_INPUT, "%s: rank %d in the LoRA, %lld in the run", e->name, l->rank,
                          (long long)rank);
    float *kernel = malloc(n * sizeof *kernel);
    if (!kernel) return tl_err_set(err, TL_FAIL, "out of memory");
    tl_layout_from_file(TL_LAYOUT_LINEAR, &e->shape, a ? l->down : l->up, kernel);
    float f = (float)(l->scale / scale);
    for (size_t i = 0; !a && f != 1 && i < n; i++) kernel[i] *= f;
    bool ok = tl_store_write(lora, e, kernel, err);
    free(kernel);
    return ok;
}

bool tl_lora_file_load(const struct tl_lora_file *file, int part, struct tl_store *lora, double scale,
                       struct tl_err *err)
{
    const struct tl_store_layout *layout = lora->layout;
    if (!(fabs(scale) > 0))
        return tl_err_set(err, TL_USAGE, "a LoRA of scale %g cannot be loaded for training", scale);
    for (size_t i = 0; i < file->n; i++) {
        const struct tl_lora_layer *l = &file->layers[i];
        char name[TL_ST_MAX_NAME + 16];
        if (l->part != part) continue;
        int n = (int)tl_lora_layer_len(l->entry);
        snprintf(name, sizeof name, "%.*s%s", n, l->entry->name, end_a);
        if (!tl_store_layout_find(layout, name))
            return tl_err_set(err, TL_BAD_INPUT, "the LoRA changes %.*s, which the run does not train", n,
                              l->entry->name);
        if (l->bias)
            return tl_err_set(err, TL_BAD_INPUT,
                              "the LoRA has a bias for %.*s: it can be merged, not trained", n,
                              l->entry->name);
    }
    for (int32_t i = 0; i < layout->n_entries; i++)
        if (!load_matrix(file, part, lora, &layout->entries[i], scale, err)) return false;
    return true;
}

static const float *store_matrix(struct tl_store *lora, const struct tl_store_entry *e,
                                 struct tl_arena *arena, struct tl_err *err)
{
    size_t n = (size_t)tl_shape_count(&e->shape);
    float *kernel = malloc(n * sizeof *kernel), *own = tl_arena_alloc(arena, n, sizeof *own);
    bool ok = (kernel && own) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_store_read(lora, e, kernel, err);
    if (ok) tl_layout_to_file(TL_LAYOUT_LINEAR, &e->shape, kernel, own);
    free(kernel);
    return ok ? own : NULL;
}

bool tl_lora_file_from_store(struct tl_store *lora, const struct tl_lora_model *base, int part, double scale,
                             struct tl_lora_file *out, struct tl_err *err)
{
    *out = (struct tl_lora_file){0};
    const struct tl_store_layout *layout = lora->layout;
    out->layers = tl_arena_alloc(&out->arena, (size_t)layout->n_entries + 1, sizeof *out->layers);
    if (!out->layers) goto no_memory;
    for (int32_t i = 0; i < layout->n_entries; i++) {
        const struct tl_store_entry *a = &layout->entries[i];
        char name[TL_ST_MAX_NAME + 16];
        if (!tl_str_ends(a->name, end_a)) continue;
        int n = (int)(strlen(a->name) - (sizeof end_a - 1));
        snprintf(name, sizeof name, "%.*s%s", n, a->name, end_b);
        const struct tl_store_entry *b = tl_store_layout_find(layout, name);
        snprintf(name, sizeof name, "%.*s.weight", n, a->name);
        const struct tl_store_entry *entry =
            base->part[part] ? tl_store_layout_find(base->part[part], name) : NULL;
        if (!b || !entry) {
            tl_err_set(err, TL_FAIL, "%s belongs to no layer of %s", a->name, tl_lora_part_names[part]);
            goto fail;
        }
        struct tl_lora_layer *l = &out->layers[out->n++];
        *l = (struct tl_lora_layer){
            .entry = entry, .part = part, .rank = (int)a->shape.dim[1], .scale = scale};
        l->down = store_matrix(lora, a, &out->arena, err);
        l->up = l->down ? store_matrix(lora, b, &out->arena, err) : NULL;
        if (!l->up) goto fail;
    }
    return true;
no_memory:
    tl_err_set(err, TL_FAIL, "out of memory");
fail:
    tl_lora_file_finish(out);
    return false;
}
