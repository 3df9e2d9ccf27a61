/* Files of the same name in two folders: the cosine of their embeddings, as a mean. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/safetensors.h"
#include "metrics/intervals.h"
#include "run/score_metrics.h"

struct pair {
    size_t a, b; /* items of the first and of the second set */
};

/* ---- who belongs to whom ---- */

static size_t stem_length(const char *name)
{
    const char *e = tl_path_extension(name);
    return *e ? strlen(name) - strlen(e) - 1 : strlen(name);
}

static int compare_stems(const char *a, const char *b)
{
    size_t n = stem_length(a), m = stem_length(b);
    int order = memcmp(a, b, n < m ? n : m);
    return order ? order : n < m ? -1 : n > m;
}

struct named {
    const char *name;
    size_t item;
};

static int by_stem(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = compare_stems(x->name, y->name);
    return order ? order : strcmp(x->name, y->name);
}

static struct named *sort_stems(const struct tl_feature_set *set, struct tl_arena *arena)
{
    size_t n = set->features.n_items;
    struct named *out = tl_arena_alloc(arena, n, sizeof *out);
    for (size_t i = 0; out && i < n; i++) out[i] = (struct named){set->names[i], i};
    if (out) qsort(out, n, sizeof *out, by_stem);
    return out;
}

static bool leave(struct tl_score_row *out, const char *folder, const char *file, const char *other)
{
    const char *why = tl_arena_printf(&out->arena, "no file of this name that can be used in %s", other);
    return why && tl_score_row_skip(out, folder, file, why);
}

/* Stems of both in order, side by side. Where a stem stands twice on one side only, its first is paired. */
static bool pair_names(const struct tl_measure *m, struct tl_score_row *out, struct pair *pairs,
                       size_t *out_n, struct tl_err *err)
{
    const struct tl_feature_set *a = m->reference, *b = m->set;
    struct named *x = sort_stems(a, &out->arena), *y = sort_stems(b, &out->arena);
    bool ok = x && y;
    size_t i = 0, j = 0, n = a->features.n_items, k = b->features.n_items;
    *out_n = 0;
    while (ok && (i < n || j < k)) {
        int order = i == n ? 1 : j == k ? -1 : compare_stems(x[i].name, y[j].name);
        if (order == 0)
            pairs[(*out_n)++] = (struct pair){x[i++].item, y[j++].item};
        else if (order < 0)
            ok = leave(out, a->path, x[i++].name, b->path);
        else
            ok = leave(out, b->path, y[j++].name, a->path);
    }
    if (!ok) return tl_err_set(err, TL_FAIL, "out of memory");
    return *out_n || tl_err_set(err, TL_BAD_INPUT, "no file of %s has the name of one of %s (%s, %s)",
                                b->path, a->path, b->names[0], a->names[0]);
}

static bool pair_all(const struct tl_measure *m, struct tl_score_row *out, struct pair *pairs, size_t *out_n,
                     struct tl_err *err)
{
    const struct tl_feature_set *a = m->reference, *b = m->set;
    bool in_order = !a->names || !b->names || strcmp(m->way->flavour.name, "clip-score") == 0;
    if (!in_order) return pair_names(m, out, pairs, out_n, err);
    if (a->features.n_items != b->features.n_items)
        return tl_err_set(err, TL_BAD_INPUT, "%s has %zu and %s %zu: pairs by order need as many", a->path,
                          a->features.n_items, b->path, b->features.n_items);
    *out_n = a->features.n_items;
    for (size_t i = 0; i < *out_n; i++) pairs[i] = (struct pair){i, i};
    return true;
}

/* ---- scores ---- */

/* A file of several windows counts by the mean of its rows. */
static bool cosine(const struct tl_feature_set *x, size_t i, const struct tl_feature_set *y, size_t j,
                   double *out, struct tl_err *err)
{
    const struct tl_features *a = &x->features, *b = &y->features;
    double dot = 0, aa = 0, bb = 0;
    for (size_t k = 0; k < a->dim; k++) {
        double p = 0, q = 0;
        for (size_t r = tl_features_first(a, i); r < tl_features_first(a, i + 1); r++)
            p += (double)a->x[r * a->dim + k];
        for (size_t r = tl_features_first(b, j); r < tl_features_first(b, j + 1); r++)
            q += (double)b->x[r * b->dim + k];
        dot += p * q;
        aa += p * p;
        bb += q * q;
    }
    *out = dot / sqrt(aa * bb);
    return isfinite(*out) || tl_err_set(err, TL_NUMERIC, "%s: an embedding of item %zu is zero", x->path, i);
}

/* exp(logit_scale) of the model's weights. */
static bool find_scale(const struct tl_measure *m, double *out, struct tl_err *err)
{
    static const char *const names[] = {"logit_scale", "logit_scale_a"};
    const char *folder = m->params->encoder, *arg = NULL;
    const struct tl_encoder_class *cls = folder ? tl_encoder_class_of(folder, &arg, err) : NULL;
    struct tl_str path = {0};
    const struct tl_st_tensor *t = NULL;
    float scale;
    if (!cls || !arg)
        return tl_err_set(err, TL_USAGE, "flavour %s reads the model's logit scale: give --encoder FOLDER",
                          m->way->flavour.name);
    tl_str_append_n(&path, arg, tl_file_is_folder(arg) ? strlen(arg) : strcspn(arg, ","));
    struct tl_st_set *weights = path.failed ? NULL : tl_st_set_open(path.data, "model", NULL, err);
    for (size_t k = 0; weights && !t && k < sizeof names / sizeof *names; k++)
        t = tl_st_set_find(weights, names[k]);
    bool ok = t && t->n == 1 && tl_st_to_f32(t, &scale, err);
    if (ok) *out = exp((double)scale);
    if (!ok) tl_err_set(err, TL_BAD_INPUT, "%s has no logit scale", path.data ? path.data : arg);
    tl_st_set_close(&weights);
    tl_str_finish(&path);
    return ok;
}

static bool score_pairs(const struct tl_measure *m, struct tl_score_row *out, const struct pair *pairs,
                        size_t n, double *x, struct tl_err *err)
{
    const char *way = m->way->flavour.name;
    bool clipped = strcmp(way, "clipscore") == 0;
    double factor = clipped ? 2.5 : strcmp(way, "torchmetrics") == 0 ? 100 : 1;
    if (strstr("logit clip-score", way) && !find_scale(m, &factor, err)) return false;
    out->items = tl_arena_alloc(&out->arena, n, sizeof *out->items);
    if (!out->items) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        double c;
        if (!cosine(m->reference, pairs[i].a, m->set, pairs[i].b, &c, err)) return false;
        x[i] = factor * (clipped ? fmax(c, 0) : c);
        out->items[i] =
            (struct tl_score_item){.file = m->reference->names ? m->reference->names[pairs[i].a] : "",
                                   .other = m->set->names ? m->set->names[pairs[i].b] : "",
                                   .score = x[i]};
    }
    out->n_items = out->n = n;
    return true;
}

bool tl_measure_similarity(const struct tl_measure *m, struct tl_score_row *out, struct tl_err *err)
{
    const struct tl_features *a = &m->reference->features, *b = &m->set->features;
    struct tl_interval_params p = {.seed = m->seed};
    struct tl_interval interval;
    size_t n = 0, most = a->n_items < b->n_items ? a->n_items : b->n_items;
    if (a->dim != b->dim)
        return tl_err_set(err, TL_BAD_INPUT, "%s has rows of %zu values and %s of %zu", m->reference->path,
                          a->dim, m->set->path, b->dim);
    struct pair *pairs = tl_arena_alloc(&out->arena, most, sizeof *pairs);
    double *x = tl_arena_alloc(&out->arena, most, sizeof *x);
    if (!pairs || !x) return tl_err_set(err, TL_FAIL, "out of memory");
    if (!pair_all(m, out, pairs, &n, err) || !score_pairs(m, out, pairs, n, x, err) ||
        !tl_interval_mean(x, n, &p, &interval, err))
        return false;
    for (size_t i = 0; i < n; i++) out->value += x[i];
    out->value /= (double)n;
    if (strcmp(m->way->flavour.name, "torchmetrics") == 0) out->value = fmax(out->value, 0);
    out->low = interval.low;
    out->high = interval.high;
    out->interval = interval.method;
    out->settings = "files paired by name";
    if (strcmp(m->way->flavour.name, "clip-score") == 0) out->settings = "files paired by order of names";
    return true;
}
