#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/str.h"
#include "io/pth.h"
#include "io/utf8.h"

enum { DEEPEST = 64, NAMED = 3 };

/* Where training checkpoints keep the state dict, in order of preference. */
static const char *const parts[] = {"state_dict", "model_state_dict", "model", "params_ema", "ema",
                                    "net",        "generator"};
enum { N_PARTS = sizeof parts / sizeof *parts };

struct walk {
    struct tl_pth *pth;
    bool count_only;              /* nothing is kept but n */
    size_t n, size;               /* tensors */
    struct tl_st_tensor *tensors; /* owns */
    size_t visits;
    struct tl_str name; /* of what is being visited; grows and shrinks on the way */
    size_t n_unknown;
    struct tl_str unknown; /* the first few, for the warning */
};

static bool bad(struct walk *w, const char *why)
{
    return tl_err_set(w->pth->err, TL_BAD_INPUT, "%s: %s", w->pth->file->what, why);
}

static bool out_of_memory(struct walk *w)
{
    return bad(w, "out of memory");
}

static const char *name_of(const struct walk *w)
{
    return w->name.len ? w->name.data : "";
}

static void note_unknown(struct walk *w, const struct tl_pickle_value *v, const char *name)
{
    char what[256];
    if (w->count_only) return;
    if (w->n_unknown++ < NAMED) {
        tl_str_printf(&w->unknown, "%s%.100s (%s)", w->n_unknown > 1 ? ", " : "", *name ? name : "the file",
                      tl_pickle_describe(&w->pth->pickle, v, what, sizeof what));
    }
}

static bool take_tensor(struct walk *w, const struct tl_pickle_value *v)
{
    bool known;
    if (w->n == TL_ST_MAX_TENSORS) return bad(w, "more than the 200,000 tensors allowed");
    if (w->count_only) return w->n++, true;
    if (w->n == w->size) {
        size_t size = w->size ? 2 * w->size : 64;
        struct tl_st_tensor *more = realloc(w->tensors, size * sizeof *more);
        if (!more) return out_of_memory(w);
        w->tensors = more;
        w->size = size;
    }
    const char *name = tl_arena_strdup(&w->pth->file->own, name_of(w));
    if (!name) return out_of_memory(w);
    if (!tl_pth_tensor(w->pth, v, name, &w->tensors[w->n], &known)) return false;
    if (known) {
        w->n++;
    } else {
        note_unknown(w, v, name);
    }
    return true;
}

/* Puts an item's key behind the name: PARENT.KEY. *known is false, without an error, for a key that is
 * neither text nor number. */
static bool push_key(struct walk *w, const struct tl_pickle_value *key, uint32_t index, bool *known)
{
    const char *dot = w->name.len ? "." : "";
    *known = true;
    if (!key || key->kind == TL_PICKLE_INT) {
        tl_str_printf(&w->name, "%s%lld", dot, key ? (long long)key->integer : (long long)index);
    } else if (key->kind == TL_PICKLE_TEXT) {
        uint32_t len = key->text.len;
        if (len > TL_ST_MAX_NAME || w->name.len + len + 1 > TL_ST_MAX_NAME)
            return bad(w, "a tensor's name is longer than 512 bytes");
        if (memchr(key->text.data, 0, len) || tl_utf8_prefix(key->text.data, len) != len)
            return bad(w, "a tensor's name is not UTF-8");
        tl_str_append(&w->name, dot);
        tl_str_append_n(&w->name, key->text.data, len);
    } else {
        *known = false;
    }
    return !w->name.failed || out_of_memory(w);
}

static void pop_key(struct walk *w, size_t len)
{
    if (!w->name.data) return;
    w->name.len = len;
    w->name.data[len] = 0;
}

static bool visit(struct walk *w, uint32_t value, int depth);

static bool visit_item(struct walk *w, const struct tl_pickle_value *key, uint32_t index, uint32_t value,
                       int depth)
{
    const struct tl_pickle_value *v = tl_pickle_at(&w->pth->pickle, value);
    size_t len = w->name.len;
    bool known = true;
    /* What is shared may be met more often than it is stored, but not without end. */
    if (++w->visits > 2 * w->pth->pickle.n_cells + 1000)
        return bad(w, "its dicts share each other too often");
    if (v->kind <= TL_PICKLE_BYTES || v->kind == TL_PICKLE_NAME) return true; /* no name is made for these */
    if (!w->count_only && !push_key(w, key, index, &known)) return false;
    if (!known) {
        note_unknown(w, v, len ? name_of(w) : "a key that is no string");
        return true;
    }
    bool ok = visit(w, value, depth + 1);
    pop_key(w, len);
    return ok;
}

static bool visit_items(struct walk *w, const struct tl_pickle_value *v, int depth)
{
    const struct tl_pickle *p = &w->pth->pickle;
    bool dict = v->kind == TL_PICKLE_DICT;
    uint32_t cell = v->items.first, n = v->items.n / (dict ? 2 : 1);
    for (uint32_t i = 0; i < n; i++) {
        const struct tl_pickle_value *key = dict ? tl_pickle_at(p, p->cells[cell].value) : NULL;
        if (dict) cell = p->cells[cell].next;
        const struct tl_pickle_cell *item = &p->cells[cell];
        cell = item->next;
        if (!visit_item(w, key, i, item->value, depth)) return false;
    }
    return true;
}

static bool visit(struct walk *w, uint32_t value, int depth)
{
    struct tl_pickle_value *v = &w->pth->pickle.values[value];
    if (v->walking) return bad(w, "its object contains itself (a cycle)");
    if (tl_pth_is_tensor(w->pth, v)) return take_tensor(w, v);
    switch (v->kind) {
    case TL_PICKLE_DICT:
    case TL_PICKLE_LIST:
    case TL_PICKLE_TUPLE:
        if (depth >= DEEPEST) return bad(w, "its object is nested deeper than 64 levels");
        v->walking = true;
        if (!visit_items(w, v, depth)) return false;
        v->walking = false;
        return true;
    case TL_PICKLE_CALL:
    case TL_PICKLE_PERSID:
    case TL_PICKLE_SET:
        note_unknown(w, v, name_of(w));
        return true;
    default:
        return true;
    }
}

/* ---- the root ---- */

/* Whether tensors are all that it holds, apart from scalars: then nothing in it is looked into by name. */
static bool is_flat(const struct tl_pth *pth, const struct tl_pickle_value *dict)
{
    const struct tl_pickle *p = &pth->pickle;
    uint32_t cell = dict->items.first;
    for (uint32_t i = 0; i < dict->items.n; i += 2) {
        const struct tl_pickle_cell *item = &p->cells[p->cells[cell].next];
        const struct tl_pickle_value *v = tl_pickle_at(p, item->value);
        if (v->kind == TL_PICKLE_DICT || v->kind == TL_PICKLE_LIST) return false;
        cell = item->next;
    }
    return true;
}

static bool choose_root(struct tl_pth *pth, uint32_t *out)
{
    const struct tl_pickle *p = &pth->pickle;
    const struct tl_pickle_value *root = tl_pickle_at(p, p->root);
    *out = p->root;
    if (root->kind != TL_PICKLE_DICT || is_flat(pth, root)) return true;
    for (int i = 0; i < N_PARTS; i++) {
        const struct tl_pickle_value *part = tl_pickle_get(p, root, parts[i]);
        struct walk w = {.pth = pth, .count_only = true};
        if (!part || part->kind != TL_PICKLE_DICT) continue;
        if (!visit(&w, (uint32_t)(part - p->values), 1)) return false;
        if (!w.n) continue;
        *out = (uint32_t)(part - p->values);
        return true;
    }
    return true;
}

/* ---- the list ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tl_st_tensor *)a)->name, ((const struct tl_st_tensor *)b)->name);
}

/* DataParallel puts "module." in front of all names. */
static void strip_module(struct walk *w)
{
    static const char prefix[] = "module.";
    for (size_t i = 0; i < w->n; i++) {
        if (strncmp(w->tensors[i].name, prefix, sizeof prefix - 1) != 0) return;
    }
    for (size_t i = 0; i < w->n; i++) w->tensors[i].name += sizeof prefix - 1;
}

static bool settle(struct walk *w)
{
    const char *what = w->pth->file->what, *unknown = w->unknown.data ? w->unknown.data : "";
    if (!w->n && w->n_unknown) {
        return tl_err_set(w->pth->err, TL_BAD_INPUT,
                          "%s: no tensors that can be taken, only values of unknown kinds: %s; save the "
                          "model's state_dict()",
                          what, unknown);
    }
    if (!w->n) return bad(w, "a checkpoint without tensors");
    if (w->n_unknown) {
        tl_log(TL_LOG_WARN, "%s: %zu values of unknown kinds are left out: %s%s", what, w->n_unknown, unknown,
               w->n_unknown > NAMED ? ", ..." : "");
    }
    strip_module(w);
    qsort(w->tensors, w->n, sizeof *w->tensors, by_name);
    for (size_t i = 1; i < w->n; i++) {
        if (by_name(&w->tensors[i - 1], &w->tensors[i]) == 0) {
            return tl_err_set(w->pth->err, TL_BAD_INPUT, "%s: the tensor %.200s appears twice", what,
                              w->tensors[i].name);
        }
    }
    return true;
}

bool tl_pth_take(struct tl_pth *pth)
{
    struct walk w = {.pth = pth};
    uint32_t root;
    if (!choose_root(pth, &root)) return false;
    /* A tensor that was saved by itself has no name. */
    bool alone = tl_pth_is_tensor(pth, tl_pickle_at(&pth->pickle, root));
    if (alone) tl_str_append(&w.name, "tensor");
    bool ok = (!w.name.failed || out_of_memory(&w)) && visit(&w, root, 0) && settle(&w);
    tl_str_finish(&w.unknown);
    tl_str_finish(&w.name);
    if (!ok) {
        free(w.tensors);
        return false;
    }
    pth->file->tensors = w.tensors;
    pth->file->n_tensors = w.n;
    return true;
}
