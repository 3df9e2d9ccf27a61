#include "models/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

/* Other spellings of the same weight, in files of other generations. */
static const struct {
    const char *ours, *theirs; /* a part of the name is replaced */
} spellings[] = {
    {"text_model.", ""},
    {"vision_model.", ""},
    {"attentions.0.to_q", "attentions.0.query"},
    {"attentions.0.to_k", "attentions.0.key"},
    {"attentions.0.to_v", "attentions.0.value"},
    {"attentions.0.to_out.0", "attentions.0.proj_attn"},
};

enum { LET_GO_BYTES = 32 << 20 }; /* of a file, while it is read */

enum { N_SPELLINGS = sizeof spellings / sizeof *spellings, NAME_SIZE = TL_ST_MAX_NAME + 64 };

/* Spelling i of a name of ours; false where it does not apply. */
static bool respell(const char *name, int i, char other[NAME_SIZE])
{
    const char *at = strstr(name, spellings[i].ours);
    if (!at) return false;
    snprintf(other, NAME_SIZE, "%.*s%s%s", (int)(at - name), name, spellings[i].theirs,
             at + strlen(spellings[i].ours));
    return true;
}

const struct tl_st_tensor *tl_weights_find(const struct tl_st_set *set, const char *name)
{
    const struct tl_st_tensor *t = tl_st_set_find(set, name);
    char other[NAME_SIZE];
    for (int i = 0; !t && i < N_SPELLINGS; i++)
        if (respell(name, i, other)) t = tl_st_set_find(set, other);
    return t;
}

const struct tl_store_entry *tl_weights_entry(const struct tl_store_layout *l, const char *name)
{
    const struct tl_store_entry *e = tl_store_layout_find(l, name);
    char other[NAME_SIZE];
    for (int32_t k = 0; !e && k < l->n_entries; k++)
        for (int i = 0; !e && i < N_SPELLINGS; i++)
            if (respell(l->entries[k].name, i, other) && strcmp(other, name) == 0) e = &l->entries[k];
    return e;
}

/* Equal up to axes of 1 at the end: [o,i,1,1] serves as [o,i]; a scalar as [1]. */
static bool shape_fits(const struct tl_st_tensor *t, const struct tl_shape *want)
{
    int rank = want->rank;
    for (int i = 0; i < rank || i < (int)t->rank; i++) {
        uint64_t have = i < (int)t->rank ? t->shape[i] : 1, need = i < rank ? (uint64_t)want->dim[i] : 1;
        if (have != need) return false;
    }
    return true;
}

static size_t largest(const struct tl_store_layout *l)
{
    size_t most = 1;
    for (int32_t i = 0; i < l->n_entries; i++) {
        size_t n = (size_t)tl_shape_count(&l->entries[i].shape);
        if (n > most) most = n;
    }
    return most;
}

static int count_missing(const struct tl_store_layout *l, const struct tl_st_set *set)
{
    int n = 0;
    for (int32_t i = 0; i < l->n_entries; i++) n += !tl_weights_find(set, l->entries[i].name);
    return n;
}

bool tl_weights_load(struct tl_store *store, const struct tl_st_set *set, size_t *out_unused,
                     struct tl_err *err)
{
    const struct tl_store_layout *l = store->layout;
    size_t most = largest(l);
    float *file = malloc(most * sizeof *file), *kernel = malloc(most * sizeof *kernel);
    bool ok = file && kernel;
    uint64_t seen = 0;
    if (!ok) tl_err_set(err, TL_FAIL, "out of memory while loading weights");
    for (int32_t i = 0; ok && i < l->n_entries; i++) {
        const struct tl_store_entry *e = &l->entries[i];
        const struct tl_st_tensor *t = tl_weights_find(set, e->name);
        struct tl_shape want = tl_layout_file_shape(e->layout, &e->shape);
        char text[2][96];
        if (!t) {
            int n = count_missing(l, set);
            ok = tl_err_set(
                err, TL_BAD_INPUT,
                "%s: tensor %s is missing (%d of %d are); is this the model that the config describes?",
                tl_st_set_path(set, 0), e->name, n, l->n_entries);
        } else if (!shape_fits(t, &want)) {
            ok = tl_err_set(err, TL_BAD_INPUT, "%s: tensor %s is %s, the config asks for %s",
                            tl_st_set_path(set, 0), t->name, tl_st_shape_text(t, text[0], sizeof text[0]),
                            tl_shape_text(&want, text[1]));
        } else if (!store->device->plans_only) {
            ok = tl_st_to_f32(t, file, err);
            if (ok) tl_layout_from_file(e->layout, &e->shape, file, kernel);
            ok = ok && tl_store_write(store, e, kernel, err);
            seen += t->bytes;
            if (seen >= LET_GO_BYTES) {
                tl_st_set_let_go(set);
                seen = 0;
            }
        }
    }
    tl_st_set_let_go(set);
    free(file);
    free(kernel);
    size_t n_file = tl_st_set_count(set);
    if (ok && out_unused) *out_unused = n_file > (size_t)l->n_entries ? n_file - (size_t)l->n_entries : 0;
    return ok;
}

struct saving {
    struct tl_store *store;
    float *kernel, *file;
};

static const void *fetch(void *user, size_t i, struct tl_err *err)
{
    struct saving *s = user;
    const struct tl_store_entry *e = &s->store->layout->entries[i];
    if (!tl_store_read(s->store, e, s->kernel, err)) return NULL;
    tl_layout_to_file(e->layout, &e->shape, s->kernel, s->file);
    return s->file;
}

bool tl_weights_save(struct tl_store *store, const char *path, enum tl_st_dtype dtype, const char *prefix,
                     const struct tl_st_meta *meta, size_t n_meta, struct tl_err *err)
{
    const struct tl_store_layout *l = store->layout;
    size_t most = largest(l);
    struct tl_arena names = {0};
    struct saving s = {store, malloc(most * sizeof(float)), malloc(most * sizeof(float))};
    struct tl_st_item *items = calloc((size_t)l->n_entries + 1, sizeof *items);
    bool ok = s.kernel && s.file && items;
    for (int32_t i = 0; ok && i < l->n_entries; i++) {
        const struct tl_store_entry *e = &l->entries[i];
        struct tl_shape shape = tl_layout_file_shape(e->layout, &e->shape);
        bool scalar = strncmp(e->name, "logit_scale", 11) == 0; /* CLAP has two: _a, _t */
        items[i] = (struct tl_st_item){.name = tl_arena_printf(&names, "%s%s", prefix, e->name),
                                       .dtype = dtype,
                                       .rank = scalar ? 0 : (unsigned)shape.rank,
                                       .from_f32 = true};
        for (int k = 0; !scalar && k < shape.rank; k++) items[i].shape[k] = (uint64_t)shape.dim[k];
        ok = items[i].name != NULL;
    }
    if (!ok)
        tl_err_set(err, TL_FAIL, "out of memory while saving weights");
    else
        ok = tl_st_write(
            path, items, (size_t)l->n_entries,
            &(struct tl_st_write_params){.meta = meta, .n_meta = n_meta, .fetch = fetch, .user = &s}, err);
    tl_arena_finish(&names);
    free(items);
    free(s.kernel);
    free(s.file);
    return ok;
}
