#include <string.h>

#include "io/pth.h"

/* Functions of torch._utils that a checkpoint names; what they would be called with. */
enum form { NO_TENSOR, PARAMETER, TENSOR, TENSOR_WITH_DTYPE };
static const struct {
    const char *name;
    enum form form;
    unsigned args; /* at least */
} forms[] = {
    {"_rebuild_tensor_v2", TENSOR, 4},               /* storage, offset, size, stride, ... */
    {"_rebuild_tensor_v3", TENSOR_WITH_DTYPE, 7},    /* ..., requires_grad, hooks, dtype */
    {"_rebuild_tensor", TENSOR, 4},                  /* storage, offset, size, stride */
    {"_rebuild_parameter", PARAMETER, 1},            /* tensor, requires_grad, hooks */
    {"_rebuild_parameter_with_state", PARAMETER, 1}, /* tensor, requires_grad, hooks, state */
};
enum { N_FORMS = sizeof forms / sizeof *forms, DTYPE_ARG = 6, DEEPEST_PARAMETER = 8 };

static enum form form_of(const struct tl_pickle *p, const struct tl_pickle_value *v, unsigned *out_args)
{
    if (v->kind != TL_PICKLE_CALL) return NO_TENSOR;
    const struct tl_pickle_value *callee = tl_pickle_at(p, v->pair[0]);
    for (int i = 0; i < N_FORMS; i++) {
        if (!tl_pickle_is_name(p, callee, "torch._utils", forms[i].name)) continue;
        *out_args = forms[i].args;
        return forms[i].form;
    }
    return NO_TENSOR;
}

bool tl_pth_is_tensor(const struct tl_pth *pth, const struct tl_pickle_value *v)
{
    unsigned args;
    return form_of(&pth->pickle, v, &args) != NO_TENSOR;
}

static bool bad(struct tl_pth *pth, const char *name, const char *why)
{
    return tl_err_set(pth->err, TL_BAD_INPUT, "%s: %.200s: %s", pth->file->what, name, why);
}

struct view {
    struct tl_pth_storage storage;
    uint64_t offset, stride[TL_ST_MAX_RANK]; /* in elements */
};

static bool read_number(const struct tl_pickle_value *v, uint64_t *out)
{
    if (v->kind != TL_PICKLE_INT || v->integer < 0) return false;
    *out = (uint64_t)v->integer;
    return true;
}

static bool read_numbers(const struct tl_pickle *p, const struct tl_pickle_value *v,
                         uint64_t out[TL_ST_MAX_RANK], unsigned *out_n)
{
    if ((v->kind != TL_PICKLE_TUPLE && v->kind != TL_PICKLE_LIST) || v->items.n > TL_ST_MAX_RANK)
        return false;
    *out_n = v->items.n;
    for (uint32_t i = 0; i < v->items.n; i++) {
        if (!read_number(tl_pickle_item(p, v, i), &out[i])) return false;
    }
    return true;
}

/* Whether the view's last element lies in the storage. */
static bool fits(const struct view *view, const struct tl_st_tensor *t, uint64_t n_storage)
{
    uint64_t last = view->offset, step;
    if (!t->n) return true;
    for (unsigned i = 0; i < t->rank; i++) {
        if (__builtin_mul_overflow(t->shape[i] - 1, view->stride[i], &step) ||
            __builtin_add_overflow(last, step, &last))
            return false;
    }
    return last < n_storage;
}

static bool is_row_major(const struct view *view, const struct tl_st_tensor *t)
{
    uint64_t want = 1; /* the product of the sizes does not overflow: n was computed */
    for (unsigned i = t->rank; i-- > 0;) {
        if (t->shape[i] != 1 && view->stride[i] != want) return false;
        want *= t->shape[i];
    }
    return true;
}

/* Copies row after row of the last axis. */
static void copy_view(const struct view *view, const struct tl_st_tensor *t, unsigned item, uint8_t *out)
{
    uint64_t at[TL_ST_MAX_RANK] = {0}, from = view->offset;
    unsigned last = t->rank - 1; /* a scalar is row-major, so that rank > 0 here */
    for (uint64_t done = 0; done < t->n; done += t->shape[last]) {
        for (uint64_t i = 0; i < t->shape[last]; i++) {
            memcpy(out, view->storage.data + (from + i * view->stride[last]) * item, item);
            out += item;
        }
        for (unsigned d = last; d-- > 0;) {
            from += view->stride[d];
            if (++at[d] < t->shape[d]) break;
            from -= at[d] * view->stride[d];
            at[d] = 0;
        }
    }
}

static bool gather(struct tl_pth *pth, const struct view *view, const char *name, unsigned item,
                   struct tl_st_tensor *t)
{
    if (t->bytes > pth->gather_left)
        return bad(pth, name, "its views would take far more memory than the file; save contiguous tensors");
    pth->gather_left -= t->bytes;
    uint8_t *data = tl_arena_alloc(&pth->file->own, (size_t)t->bytes, 1);
    if (!data) return bad(pth, name, "out of memory");
    copy_view(view, t, item, data);
    t->data = data;
    return true;
}

static bool place(struct tl_pth *pth, const struct view *view, const char *name,
                  const struct tl_pth_type *type, struct tl_st_tensor *t)
{
    bool whole;
    if (!tl_st_shape_bytes(t->shape, t->rank, type->dtype, &t->n, &t->bytes, &whole) || !whole)
        return bad(pth, name, "the size of its shape overflows");
    uint64_t n_storage = view->storage.type ? view->storage.n : view->storage.n / type->bytes;
    if (!fits(view, t, n_storage)) return bad(pth, name, "reaches beyond its storage");
    if (!t->n) {
        t->data = pth->file->bytes;
        return true;
    }
    if (!is_row_major(view, t)) return gather(pth, view, name, type->bytes, t);
    t->data = view->storage.data + view->offset * type->bytes;
    return true;
}

bool tl_pth_tensor(struct tl_pth *pth, const struct tl_pickle_value *v, const char *name,
                   struct tl_st_tensor *out, bool *out_known)
{
    const struct tl_pickle *p = &pth->pickle;
    const struct tl_pickle_value *args = NULL;
    unsigned n_args, rank;
    enum form form = PARAMETER;
    *out = (struct tl_st_tensor){.name = name};
    *out_known = false;
    for (int depth = 0; form == PARAMETER; depth++) {
        form = depth < DEEPEST_PARAMETER ? form_of(p, v, &n_args) : NO_TENSOR;
        if (form == NO_TENSOR) return true;
        args = tl_pickle_at(p, v->pair[1]);
        if (args->kind != TL_PICKLE_TUPLE || args->items.n < n_args)
            return bad(pth, name, "its pickle does not have the fields of a tensor");
        v = tl_pickle_item(p, args, 0);
    }
    struct view view;
    if (v->kind != TL_PICKLE_PERSID) return bad(pth, name, "its pickle names no storage");
    if (!read_number(tl_pickle_item(p, args, 1), &view.offset) ||
        !read_numbers(p, tl_pickle_item(p, args, 2), out->shape, &out->rank) ||
        !read_numbers(p, tl_pickle_item(p, args, 3), view.stride, &rank) || rank != out->rank)
        return bad(pth, name, "its offset, size or stride is not of at most 8 numbers of 0 and more");
    const struct tl_pth_type *type =
        form == TENSOR_WITH_DTYPE ? tl_pth_type_of(p, tl_pickle_item(p, args, DTYPE_ARG)) : NULL;
    bool known;
    if (!tl_pth_storage_of(pth, v, &view.storage, &known)) return tl_err_add(pth->err, "%.200s", name);
    if (!known) return true;
    if (form == TENSOR) type = view.storage.type;
    if (!type || type->dtype == TL_ST_N_DTYPES) return true;
    if (view.storage.type && view.storage.type->bytes != type->bytes)
        return bad(pth, name, "its type is not that of its storage");
    *out_known = true;
    out->dtype = type->dtype;
    return place(pth, &view, name, type, out);
}
