#include "models/weights_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/weights.h"

bool tl_weights_file_open(struct tl_weights_file *file, const char *path, struct tl_err *err)
{
    enum tl_dtype dtype = file->dtype;
    *file = (struct tl_weights_file){.dtype = dtype};
    file->set = tl_st_set_open_file(path, err);
    return file->set != NULL;
}

bool tl_weights_file_prefix(const struct tl_weights_file *file, const char *what, const char *const *prefixes,
                            const char *name, const char **out, struct tl_err *err)
{
    char full[TL_ST_MAX_NAME];
    for (size_t i = 0; prefixes[i]; i++) {
        snprintf(full, sizeof full, "%s%s", prefixes[i], name);
        if (!tl_st_set_find(file->set, full)) continue;
        *out = prefixes[i];
        return true;
    }
    return tl_err_set(err, TL_BAD_INPUT, "%s is not a file of %s: it has no tensor %s%s (its first is %s)",
                      tl_st_set_path(file->set, 0), what, prefixes[0], name,
                      tl_st_set_count(file->set) ? tl_st_set_at(file->set, 0)->name : "none");
}

int64_t tl_weights_file_dim(const struct tl_weights_file *file, unsigned axis, struct tl_err *err,
                            const char *fmt, ...)
{
    char name[TL_ST_MAX_NAME], text[96];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    const struct tl_st_tensor *t = tl_st_set_find(file->set, name);
    if (!t) {
        tl_err_set(err, TL_BAD_INPUT, "tensor %s is missing", name);
        return 0;
    }
    /* Far above any real network: what a broken file says stays small enough to multiply. */
    if (axis < t->rank && t->shape[axis] > 0 && t->shape[axis] <= 1 << 20) return (int64_t)t->shape[axis];
    tl_err_set(err, TL_BAD_INPUT, "tensor %s is %s, which is no weight of this network", name,
               tl_st_shape_text(t, text, sizeof text));
    return 0;
}

struct tl_nn tl_weights_file_nn(const struct tl_weights_file *file, struct tl_graph *g)
{
    return (struct tl_nn){.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = file->dtype};
}

/* ---- batch norms ---- */

enum { NORM_VECTORS = 4 };
static const char *const norm_vectors[NORM_VECTORS] = {"bias", "weight", "running_mean", "running_var"};

/* NAME with `from` for its last `to`; false where there is none. */
static bool renamed(const char *name, const char *from, const char *to, char out[TL_ST_MAX_NAME])
{
    const char *at = NULL;
    for (const char *p = strstr(name, from); p; p = strstr(p + 1, from)) at = p;
    if (!at) return false;
    snprintf(out, TL_ST_MAX_NAME, "%.*s%s%s", (int)(at - name), name, to, at + strlen(from));
    return true;
}

tl_val tl_weights_file_conv_norm(struct tl_nn *nn, tl_val x, int64_t out, struct tl_nn_conv conv,
                                 const char *name)
{
    char norm[TL_ST_MAX_NAME];
    struct tl_graph *g = nn->g;
    if (x < 0) return TL_NONE;
    if (!renamed(name, "conv", "bn", norm)) {
        tl_graph_fail(g, "%s is no name of a convolution", name);
        return TL_NONE;
    }
    int64_t in = tl_shape_last(tl_shape_of(g, x));
    int stride = conv.stride ? conv.stride : 1, width = conv.kernel_w ? conv.kernel_w : conv.kernel;
    tl_val w = tl_param_typed(g, nn->set, TL_LAYOUT_CONV2D, nn->dtype, tl_shape4(conv.kernel, width, in, out),
                              "%s.weight", name);
    /* Only the bias is read; the others are asked for so that the file's checks and the folding have them. */
    tl_val vector[NORM_VECTORS];
    for (int i = 0; i < NORM_VECTORS; i++)
        vector[i] = tl_nn_weight(nn, tl_shape1(out), "%s.%s", norm, norm_vectors[i]);
    struct tl_conv c = {.stride = {stride, conv.stride_w ? conv.stride_w : stride}};
    memcpy(c.pad, conv.pad, sizeof c.pad);
    return tl_unary(g, TL_UNARY_RELU, tl_conv2d(g, x, tl_cast(g, w, TL_F32), vector[0], TL_NONE, c), 0, 0);
}

/* w *= scale and bias = shift of the norm, from the file's values and rounded once; w [rows][n] in kernel
 * order. */
static bool fold(const struct tl_weights_file *file, const struct tl_store_entry *w, const char *norm,
                 const struct tl_store_entry *bias, double eps, struct tl_err *err)
{
    const struct tl_st_tensor *t = tl_weights_find(file->set, w->name);
    size_t n = (size_t)tl_shape_last(&w->shape), all = (size_t)tl_shape_count(&w->shape);
    float *stored = malloc(all * sizeof *stored), *x = malloc(all * sizeof *x);
    double *scale = malloc(2 * n * sizeof *scale), *shift = scale ? scale + n : NULL;
    bool ok = (t && stored && x && scale) || tl_err_set(err, TL_FAIL, "out of memory while loading weights");
    ok = ok && tl_weights_norm(file->set, norm, n, eps, scale, shift, err) && tl_st_to_f32(t, stored, err);
    if (ok) tl_layout_from_file(w->layout, &w->shape, stored, x);
    for (size_t i = 0; ok && i < all; i += n)
        for (size_t c = 0; c < n; c++) x[i + c] = (float)((double)x[i + c] * scale[c]);
    ok = ok && tl_store_write(file->store, w, x, err);
    for (size_t c = 0; ok && c < n; c++) x[c] = (float)shift[c];
    ok = ok && tl_store_write(file->store, bias, x, err);
    free(stored);
    free(x);
    free(scale);
    return ok;
}

static bool fold_all(const struct tl_weights_file *file, double eps, struct tl_err *err)
{
    const struct tl_store_layout *l = file->layout;
    char norm[TL_ST_MAX_NAME], name[2 * TL_ST_MAX_NAME];
    for (int32_t i = 0; i < l->n_entries; i++) {
        const struct tl_store_entry *bias = NULL, *w = &l->entries[i];
        size_t n = strlen(w->name);
        if (w->layout != TL_LAYOUT_CONV2D || n < 7 || !renamed(w->name, "conv", "bn", norm)) continue;
        bool all = true;
        norm[strlen(norm) - strlen(".weight")] = 0;
        for (int k = 0; k < NORM_VECTORS; k++) {
            snprintf(name, sizeof name, "%s.%s", norm, norm_vectors[k]);
            const struct tl_store_entry *v = tl_store_layout_find(l, name);
            if (k == 0) bias = v;
            all = all && v;
        }
        if (all && !fold(file, w, norm, bias, eps, err)) return false;
    }
    return true;
}

/* ---- the store ---- */

bool tl_weights_file_load(struct tl_weights_file *file, struct tl_device *device, struct tl_graph **g,
                          float norm_eps, struct tl_err *err)
{
    const struct tl_graph *const graphs[1] = {*g};
    bool ok = tl_graph_ok(*g, err);
    if (!ok) tl_err_add(err, "%s", tl_st_set_path(file->set, 0));
    if (ok) file->layout = tl_store_layout_create(graphs, 1, TL_SET_BASE, NULL, NULL, err);
    if (file->layout) file->store = tl_store_create(device, file->layout, err);
    ok = file->store && tl_weights_load(file->store, file->set, NULL, err);
    double eps = (double)norm_eps;
    ok = ok && (device->plans_only ||
                (fold_all(file, eps, err) && tl_weights_settle_norms(file->store, file->set, eps, err)));
    tl_graph_destroy(g);
    tl_weights_file_close_file(file);
    return ok;
}

void tl_weights_file_close_file(struct tl_weights_file *file)
{
    tl_st_set_close(&file->set);
}

void tl_weights_file_finish(struct tl_weights_file *file)
{
    tl_st_set_close(&file->set);
    tl_store_destroy(&file->store);
    tl_store_layout_destroy(&file->layout);
    *file = (struct tl_weights_file){0};
}
