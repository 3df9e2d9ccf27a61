#include "tensor/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/half.h"

enum { ALIGN_ELEMENTS = 128 };

struct tl_store_names {
    struct tl_arena arena;
};

static const struct tl_store_layout
    *sorting; /* qsort has no argument for it; layouts are made on one thread at a time */

static int by_name(const void *a, const void *b)
{
    return strcmp(sorting->entries[*(const int32_t *)a].name, sorting->entries[*(const int32_t *)b].name);
}

/* Entries of the graphs before this one may have the same name; within one graph names are distinct. */
static bool add_entry(struct tl_store_layout *l, const struct tl_value *v, int32_t n_before,
                      struct tl_err *err)
{
    if (l->n_entries == 0) l->dtype = v->dtype;
    if (v->dtype != l->dtype)
        return tl_err_set(err, TL_FAIL, "%s is %s, %s is %s: a store holds one type; ask for all in one",
                          l->entries[0].name, tl_dtype_name(l->dtype), v->name, tl_dtype_name(v->dtype));
    for (int32_t i = 0; i < n_before; i++)
        if (strcmp(l->entries[i].name, v->name) == 0) {
            if (tl_shape_equal(&l->entries[i].shape, &v->shape)) return true;
            char text[2][96];
            return tl_err_set(err, TL_FAIL, "%s is %s in one graph and %s in another", v->name,
                              tl_shape_text(&l->entries[i].shape, text[0]),
                              tl_shape_text(&v->shape, text[1]));
        }
    struct tl_store_entry *p = realloc(l->entries, ((size_t)l->n_entries + 1) * sizeof *p);
    char *name = p ? tl_arena_strdup(&l->names->arena, v->name) : NULL;
    if (p) l->entries = p;
    if (!name) return tl_err_set(err, TL_FAIL, "out of memory for a weight table");
    l->entries[l->n_entries++] =
        (struct tl_store_entry){name, v->shape, (enum tl_layout)v->layout, l->n_elements};
    size_t n = (size_t)tl_shape_count(&v->shape);
    l->n_elements += (n + ALIGN_ELEMENTS - 1) / ALIGN_ELEMENTS * ALIGN_ELEMENTS;
    return true;
}

struct tl_store_layout *tl_store_layout_create(const struct tl_graph *const *graphs, int n_graphs, int set,
                                               bool (*want)(void *user, const char *name), void *user,
                                               struct tl_err *err)
{
    struct tl_store_layout *l = calloc(1, sizeof *l);
    if (l) l->names = calloc(1, sizeof *l->names);
    if (!l || !l->names) goto no_memory;
    for (int i = 0; i < n_graphs; i++) {
        int32_t n_before = l->n_entries;
        for (tl_val v = 0; v < graphs[i]->n_values; v++) {
            const struct tl_value *x = &graphs[i]->values[v];
            if (x->role != TL_ROLE_PARAM || x->set != set || (want && !want(user, x->name))) continue;
            if (!add_entry(l, x, n_before, err)) goto fail;
        }
    }
    l->by_name = malloc(((size_t)l->n_entries + 1) * sizeof *l->by_name);
    if (!l->by_name) goto no_memory;
    for (int32_t i = 0; i < l->n_entries; i++) l->by_name[i] = i;
    sorting = l;
    qsort(l->by_name, (size_t)l->n_entries, sizeof *l->by_name, by_name);
    return l;
no_memory:
    tl_err_set(err, TL_FAIL, "out of memory for a weight table");
fail:
    tl_store_layout_destroy(&l);
    return NULL;
}

void tl_store_layout_destroy(struct tl_store_layout **l_ptr)
{
    struct tl_store_layout *l = *l_ptr;
    if (!l) return;
    if (l->names) tl_arena_finish(&l->names->arena);
    free(l->names);
    free(l->entries);
    free(l->by_name);
    free(l);
    *l_ptr = NULL;
}

const struct tl_store_entry *tl_store_layout_find(const struct tl_store_layout *l, const char *name)
{
    int32_t lo = 0, hi = l->n_entries;
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        int c = strcmp(name, l->entries[l->by_name[mid]].name);
        if (c == 0) return &l->entries[l->by_name[mid]];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

static size_t element_bytes(const struct tl_store *s)
{
    return tl_dtype_device_bytes(s->layout->dtype, s->device->real_bytes);
}

struct tl_store *tl_store_create(struct tl_device *device, const struct tl_store_layout *layout,
                                 struct tl_err *err)
{
    struct tl_store *s = calloc(1, sizeof *s);
    if (!s) {
        tl_err_set(err, TL_FAIL, "out of memory for a weight store");
        return NULL;
    }
    s->device = device;
    s->layout = layout;
    size_t bytes = (layout->n_elements ? layout->n_elements : ALIGN_ELEMENTS) * element_bytes(s);
    s->memory = device->backend->memory_create(device, bytes, err);
    if (s->memory) return s;
    free(s);
    return NULL;
}

void tl_store_destroy(struct tl_store **s_ptr)
{
    struct tl_store *s = *s_ptr;
    if (!s) return;
    if (s->memory) s->device->backend->memory_destroy(s->device, s->memory);
    free(s);
    *s_ptr = NULL;
}

/* What the device keeps: floats as they are, or in f64 mode as doubles, or halves. */
static void encode(const struct tl_store *s, const float *from, size_t n, void *to)
{
    if (s->layout->dtype == TL_F16)
        tl_half_from_f32(from, n, to);
    else if (s->layout->dtype == TL_BF16)
        tl_half_bf16_from_f32(from, n, to);
    else
        for (size_t i = 0; i < n; i++) ((double *)to)[i] = from[i];
}

static void decode(const struct tl_store *s, const void *from, size_t n, float *to)
{
    if (s->layout->dtype == TL_F16)
        tl_half_to_f32(from, n, to);
    else if (s->layout->dtype == TL_BF16)
        tl_half_bf16_to_f32(from, n, to);
    else
        for (size_t i = 0; i < n; i++) to[i] = (float)((const double *)from)[i];
}

/* Elements [first, first + n) as f32. */
static bool write_range(struct tl_store *s, size_t first, size_t n, const float *data, struct tl_err *err)
{
    const struct tl_backend *b = s->device->backend;
    size_t width = element_bytes(s);
    if (width == sizeof *data)
        return b->memory_write(s->device, s->memory, first * width, data, n * width, err);
    void *own = malloc((n + 1) * width);
    if (!own) return tl_err_set(err, TL_FAIL, "out of memory");
    encode(s, data, n, own);
    bool ok = b->memory_write(s->device, s->memory, first * width, own, n * width, err);
    free(own);
    return ok;
}

static bool read_range(struct tl_store *s, size_t first, size_t n, float *data, struct tl_err *err)
{
    const struct tl_backend *b = s->device->backend;
    size_t width = element_bytes(s);
    if (width == sizeof *data)
        return b->memory_read(s->device, s->memory, first * width, data, n * width, err);
    void *own = malloc((n + 1) * width);
    if (!own) return tl_err_set(err, TL_FAIL, "out of memory");
    bool ok = b->memory_read(s->device, s->memory, first * width, own, n * width, err);
    if (ok) decode(s, own, n, data);
    free(own);
    return ok;
}

bool tl_store_write(struct tl_store *s, const struct tl_store_entry *e, const float *data, struct tl_err *err)
{
    return write_range(s, e->offset, (size_t)tl_shape_count(&e->shape), data, err);
}

bool tl_store_read(struct tl_store *s, const struct tl_store_entry *e, float *data, struct tl_err *err)
{
    return read_range(s, e->offset, (size_t)tl_shape_count(&e->shape), data, err);
}

bool tl_store_write_flat(struct tl_store *s, const float *data, struct tl_err *err)
{
    return write_range(s, 0, s->layout->n_elements, data, err);
}

bool tl_store_read_flat(struct tl_store *s, float *data, struct tl_err *err)
{
    return read_range(s, 0, s->layout->n_elements, data, err);
}

bool tl_store_zero(struct tl_store *s, struct tl_err *err)
{
    return s->device->backend->memory_fill_zero(s->device, s->memory, err);
}

bool tl_store_copy(struct tl_store *dst, const struct tl_store *src, struct tl_err *err)
{
    if (dst->device != src->device || dst->layout != src->layout)
        return tl_err_set(err, TL_FAIL, "copy between stores of different layouts");
    return dst->device->backend->memory_copy(dst->device, dst->memory, src->memory,
                                             src->layout->n_elements * element_bytes(src), err);
}
