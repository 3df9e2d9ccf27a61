#include "rewards/aesthetic_head.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/str.h"
#include "io/safetensors.h"

enum { MOST_LAYERS = 64, MOST_WIDTH = 1 << 16, LINEAR = -1 };

/* The layers of a file in the order in which they are applied. */
struct layers {
    const struct tl_st_tensor *weight[MOST_LAYERS], *bias[MOST_LAYERS]; /* bias NULL: none */
    int n;
};

/* ---- which tensors ---- */

/* Of layer N, or of a linear head; NULL where there is none. */
static const struct tl_st_tensor *tensor_of(const struct tl_st_set *set, int layer, const char *part)
{
    char name[64];
    if (layer == LINEAR)
        snprintf(name, sizeof name, "%s", part);
    else
        snprintf(name, sizeof name, "layers.%d.%s", layer, part);
    return tl_st_set_find(set, name);
}

static void add_layer(const struct tl_st_set *set, int number, struct layers *out, size_t *found)
{
    const struct tl_st_tensor *weight = tensor_of(set, number, "weight");
    if (!weight) return;
    out->weight[out->n] = weight;
    out->bias[out->n] = tensor_of(set, number, "bias");
    *found += out->bias[out->n] ? 2 : 1;
    out->n++;
}

/* Every tensor of the file must have a place in it. */
static bool find_layers(const struct tl_st_set *set, struct layers *out, struct tl_err *err)
{
    size_t found = 0;
    *out = (struct layers){.n = 0};
    add_layer(set, LINEAR, out, &found);
    for (int i = 0; i < MOST_LAYERS && found != tl_st_set_count(set) && !tl_st_set_find(set, "weight"); i++)
        add_layer(set, i, out, &found);
    if (out->n && found == tl_st_set_count(set)) return true;
    return tl_err_set(
        err, TL_BAD_INPUT,
        "this is no head that is known: its tensors must be weight and bias, or layers.N.weight "
        "and layers.N.bias; it has %s%s",
        tl_st_set_count(set) ? tl_st_set_at(set, 0)->name : "none", tl_st_set_count(set) > 1 ? ", ..." : "");
}

/* Each takes what the one before gives; the last gives one number. */
static bool check_shapes(const struct layers *l, struct tl_err *err)
{
    char shape[96];
    for (int i = 0; i < l->n; i++) {
        const struct tl_st_tensor *w = l->weight[i], *b = l->bias[i];
        bool ok = w->rank == 2 && w->shape[0] >= 1 && w->shape[0] <= MOST_WIDTH && w->shape[1] >= 1 &&
                  w->shape[1] <= MOST_WIDTH && (i == 0 || w->shape[1] == l->weight[i - 1]->shape[0]);
        if (!ok)
            return tl_err_set(err, TL_BAD_INPUT,
                              "%s has shape %s, which does not go on from the layer before", w->name,
                              tl_st_shape_text(w, shape, sizeof shape));
        if (b && (b->rank != 1 || b->shape[0] != w->shape[0]))
            return tl_err_set(err, TL_BAD_INPUT, "%s has shape %s, [%d] is needed", b->name,
                              tl_st_shape_text(b, shape, sizeof shape), (int)w->shape[0]);
    }
    const struct tl_st_tensor *last = l->weight[l->n - 1];
    return last->shape[0] == 1 ||
           tl_err_set(err, TL_BAD_INPUT, "the last layer, %s, gives %d numbers, not one", last->name,
                      (int)last->shape[0]);
}

/* ---- folding ---- */

/* row [1,m] times the layer's weight [m,n], and its bias into *constant; the result replaces row. From the
 * last layer to the first this is the whole map. */
static bool fold(const struct tl_st_tensor *w, const struct tl_st_tensor *b, double **row, double *constant,
                 struct tl_err *err)
{
    size_t m = (size_t)w->shape[0], n = (size_t)w->shape[1], size = 0;
    float *weight = tl_checked_mul(m, n, &size) ? calloc(size, sizeof *weight) : NULL;
    float *bias = calloc(m, sizeof *bias);
    double *next = calloc(n, sizeof *next);
    bool ok = (weight && bias && next) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_st_to_f32(w, weight, err) && (!b || tl_st_to_f32(b, bias, err));
    for (size_t i = 0; ok && i < m; i++) {
        *constant += (*row)[i] * (double)bias[i];
        for (size_t k = 0; k < n; k++) next[k] += (*row)[i] * (double)weight[i * n + k];
    }
    free(weight);
    free(bias);
    free(*row);
    *row = next;
    return ok;
}

static bool take(const struct layers *l, struct tl_aesthetic_head *out, struct tl_err *err)
{
    out->weight = malloc(sizeof *out->weight);
    if (!out->weight) return tl_err_set(err, TL_FAIL, "out of memory");
    out->weight[0] = 1;
    out->dim = (size_t)l->weight[0]->shape[1];
    out->n_layers = l->n;
    for (int i = l->n - 1; i >= 0; i--)
        if (!fold(l->weight[i], l->bias[i], &out->weight, &out->bias, err)) return false;
    double sum = out->bias;
    for (size_t k = 0; k < out->dim; k++) sum += out->weight[k];
    return isfinite(sum) || tl_err_set(err, TL_BAD_INPUT, "its weights are not finite");
}

bool tl_aesthetic_head_read(const char *path, struct tl_aesthetic_head *out, struct tl_err *err)
{
    struct layers layers;
    *out = (struct tl_aesthetic_head){0};
    struct tl_st_set *set = tl_st_set_open_file(path, err);
    if (!set) return false;
    bool ok = (find_layers(set, &layers, err) && check_shapes(&layers, err) && take(&layers, out, err)) ||
              tl_err_add(err, "%s", path);
    tl_st_set_close(&set);
    if (!ok) tl_aesthetic_head_finish(out);
    return ok;
}

void tl_aesthetic_head_finish(struct tl_aesthetic_head *head)
{
    free(head->weight);
    *head = (struct tl_aesthetic_head){0};
}
