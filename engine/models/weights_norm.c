/* Batch norms from a file's values: halves hold no variance (F16 ends at 65504 and at 6e-8), and a statistic
 * that is rounded before it is divided by is off in every channel. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "models/weights.h"

enum { BIAS, WEIGHT, MEAN, VAR, VECTORS };
static const char *const vectors[VECTORS] = {"bias", "weight", "running_mean", "running_var"};

/* name's last "running_var" as vector k. */
static void other(const char *name, int k, char out[TL_ST_MAX_NAME])
{
    size_t stem = strlen(name) - strlen(vectors[VAR]);
    snprintf(out, TL_ST_MAX_NAME, "%.*s%s", (int)stem, name, vectors[k]);
}

bool tl_weights_norm(const struct tl_st_set *set, const char *norm, size_t n, double eps, double *out_scale,
                     double *out_shift, struct tl_err *err)
{
    char name[TL_ST_MAX_NAME + 16];
    size_t floats = 0;
    float *x = tl_checked_mul(VECTORS, n, &floats) ? malloc((floats + 1) * sizeof *x) : NULL;
    bool ok = x || tl_err_set(err, TL_FAIL, "out of memory while loading weights");
    for (size_t k = 0; ok && k < VECTORS; k++) {
        snprintf(name, sizeof name, "%s.%s", norm, vectors[k]);
        const struct tl_st_tensor *t = tl_weights_find(set, name);
        ok = (t && t->n == n) || tl_err_set(err, TL_BAD_INPUT, "tensor %s is missing or not of %zu", name, n);
        ok = ok && tl_st_to_f32(t, x + k * n, err);
    }
    for (size_t c = 0; ok && c < n; c++) {
        out_scale[c] = (double)x[WEIGHT * n + c] / sqrt((double)x[VAR * n + c] + eps);
        out_shift[c] = (double)x[BIAS * n + c] - (double)x[MEAN * n + c] * out_scale[c];
    }
    free(x);
    return ok;
}

/* One norm, entries v. */
static bool settle(struct tl_store *store, const struct tl_st_set *set, const struct tl_store_entry *const *v,
                   double eps, struct tl_err *err)
{
    char norm[TL_ST_MAX_NAME];
    size_t n = (size_t)tl_shape_count(&v[VAR]->shape), stem = strlen(v[VAR]->name) - strlen(vectors[VAR]);
    double *scale = malloc(2 * (n + 1) * sizeof *scale), *shift = scale ? scale + n : NULL;
    float *x = malloc((n + 1) * sizeof *x);
    bool ok = (scale && x) || tl_err_set(err, TL_FAIL, "out of memory while loading weights");
    snprintf(norm, sizeof norm, "%.*s", (int)(stem - 1), v[VAR]->name);
    ok = ok && tl_weights_norm(set, norm, n, eps, scale, shift, err);
    for (int k = 0; ok && k < VECTORS; k++) {
        /* the layer divides by sqrt(1 + eps) */
        for (size_t c = 0; c < n; c++)
            x[c] = k == VAR      ? 1
                   : k == MEAN   ? 0
                   : k == WEIGHT ? (float)(scale[c] * sqrt(1 + eps))
                                 : (float)shift[c];
        ok = tl_store_write(store, v[k], x, err);
    }
    free(scale);
    free(x);
    return ok;
}

bool tl_weights_settle_norms(struct tl_store *store, const struct tl_st_set *set, double eps,
                             struct tl_err *err)
{
    const struct tl_store_layout *l = store->layout;
    char name[TL_ST_MAX_NAME];
    if (l->dtype == TL_F32 || store->device->plans_only) return true;
    for (int32_t i = 0; i < l->n_entries; i++) {
        const struct tl_store_entry *v[VECTORS];
        size_t n = strlen(l->entries[i].name), end = strlen(vectors[VAR]);
        bool all = n > end + 1 && strcmp(l->entries[i].name + n - end - 1, ".running_var") == 0;
        for (int k = 0; all && k < VECTORS; k++) {
            other(l->entries[i].name, k, name);
            v[k] = tl_store_layout_find(l, name);
            all = v[k] != NULL;
        }
        if (all && !settle(store, set, v, eps, err)) return false;
    }
    return true;
}
