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
    bool done;
};

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int by_stem(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = compare_stems(x->name, y->name);
    return order ? order : strcmp(x->name, y->name);
}

static int by_item(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return x->a < y->a ? -1 : x->a > y->a;
}

/* What is being paired: the names of both sides, and what was found. */
struct pairing {
    const struct tl_measure *m;
    struct tl_score_row *out;
    struct named *x, *y; /* [n], [k] */
    size_t n, k;
    struct pair *pairs;
    size_t n_pairs;
};

static struct named *names_of(const struct tl_feature_set *set, struct tl_arena *arena)
{
    size_t n = set->features.n_items;
    struct named *out = tl_arena_alloc(arena, n, sizeof *out);
    for (size_t i = 0; out && i < n; i++) out[i] = (struct named){.name = set->names[i], .item = i};
    return out;
}

static void pair_two(struct pairing *p, struct named *x, struct named *y)
{
    p->pairs[p->n_pairs++] = (struct pair){x->item, y->item};
    x->done = y->done = true;
}

static void pair_exact(struct pairing *p)
{
    qsort(p->x, p->n, sizeof *p->x, by_name);
    qsort(p->y, p->k, sizeof *p->y, by_name);
    for (size_t i = 0, j = 0; i < p->n && j < p->k;) {
        int order = strcmp(p->x[i].name, p->y[j].name);
        if (order == 0) pair_two(p, &p->x[i], &p->y[j]);
        i += order <= 0;
        j += order >= 0;
    }
}

static size_t keep_open(struct named *x, size_t n)
{
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (!x[i].done) x[left++] = x[i];
    qsort(x, left, sizeof *x, by_stem);
    return left;
}

static size_t run_of_stem(const struct named *x, size_t from, size_t n)
{
    size_t to = from + 1;
    while (to < n && compare_stems(x[from].name, x[to].name) == 0) to++;
    return to;
}

/* Names x[from, to) of one folder that have no partner in the other. */
static bool leave(struct pairing *p, const struct tl_feature_set *set, const struct tl_feature_set *other,
                  const struct named *x, size_t from, size_t to, const char *how, struct tl_err *err)
{
    const char *why = tl_arena_printf(&p->out->arena, "%s in %s", how, other->path);
    for (size_t i = from; why && i < to; i++) {
        if (p->m->params->strict)
            return tl_err_set(err, TL_BAD_INPUT, "%s: %s: %s", set->path, x[i].name, why);
        if (!tl_score_row_skip(p->out, set->path, x[i].name, why)) why = NULL;
    }
    return why || tl_err_set(err, TL_FAIL, "out of memory");
}

/* Of what has no partner of its full name: one file on each side that differ by their ending. */
static bool pair_stems(struct pairing *p, struct tl_err *err)
{
    static const char absent[] = "no file of this name that can be used";
    static const char unclear[] = "no file of this very name, and several files here or there of this stem";
    const struct tl_feature_set *a = p->m->reference, *b = p->m->set;
    size_t n = keep_open(p->x, p->n), k = keep_open(p->y, p->k), i = 0, j = 0;
    while (i < n || j < k) {
        int order = i == n ? 1 : j == k ? -1 : compare_stems(p->x[i].name, p->y[j].name);
        size_t to_i = order <= 0 ? run_of_stem(p->x, i, n) : i,
               to_j = order >= 0 ? run_of_stem(p->y, j, k) : j;
        bool ok = true;
        if (order == 0 && to_i - i == 1 && to_j - j == 1) {
            pair_two(p, &p->x[i], &p->y[j]);
        } else {
            const char *how = order == 0 ? unclear : absent;
            if (order == 0)
                tl_score_row_note(p->out,
                                  "%zu files of %s and %zu of %s have the stem of %s: none of them is paired",
                                  to_i - i, a->path, to_j - j, b->path, p->x[i].name);
            ok = leave(p, a, b, p->x, i, to_i, how, err) && leave(p, b, a, p->y, j, to_j, how, err);
        }
        if (!ok) return false;
        i = to_i;
        j = to_j;
    }
    return true;
}

/* Full names first, then stems; pairs in the order of the first set. */
static bool pair_names(const struct tl_measure *m, struct tl_score_row *out, struct pair *pairs,
                       size_t *out_n, struct tl_err *err)
{
    const struct tl_feature_set *a = m->reference, *b = m->set;
    struct pairing p = {.m = m,
                        .out = out,
                        .x = names_of(a, &out->arena),
                        .y = names_of(b, &out->arena),
                        .n = a->features.n_items,
                        .k = b->features.n_items,
                        .pairs = pairs};
    if (!p.x || !p.y) return tl_err_set(err, TL_FAIL, "out of memory");
    pair_exact(&p);
    if (!pair_stems(&p, err)) return false;
    qsort(pairs, p.n_pairs, sizeof *pairs, by_item);
    *out_n = p.n_pairs;
    return *out_n || tl_err_set(err, TL_BAD_INPUT, "no file of %s has the name of one of %s (%s, %s)",
                                b->path, a->path, b->names[0], a->names[0]);
}

static bool is_in_order(const struct tl_measure *m)
{
    return !m->reference->names || !m->set->names || strcmp(m->way->flavour.name, "clip-score") == 0;
}

/* A file that is left out would move all behind it to a wrong partner. */
static bool check_whole(const struct tl_feature_set *set, struct tl_err *err)
{
    for (size_t i = 0; i < set->n_files; i++)
        if (set->files[i].skipped)
            return tl_err_set(
                err, TL_BAD_INPUT,
                "%s: %s cannot be used (%s), and pairs by order need every file: repair or remove it, or "
                "pair by name (another flavour)",
                set->path, set->files[i].name, set->files[i].skipped);
    return true;
}

static bool pair_all(const struct tl_measure *m, struct tl_score_row *out, struct pair *pairs, size_t *out_n,
                     struct tl_err *err)
{
    const struct tl_feature_set *a = m->reference, *b = m->set;
    if (!is_in_order(m)) return pair_names(m, out, pairs, out_n, err);
    if (!check_whole(a, err) || !check_whole(b, err)) return false;
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
    struct tl_interval_params p = {.seed = m->seed, .none = m->params->no_interval};
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
    out->low = interval.low;
    out->high = interval.high;
    if (strcmp(m->way->flavour.name, "torchmetrics") == 0) tl_score_row_clamp(out);
    out->interval = interval.method;
    bool has_names = m->reference->names && m->set->names;
    out->settings = !is_in_order(m) ? "files paired by name"
                    : has_names     ? "files paired by order of names"
                                    : "paired by order: rows have no names";
    return true;
}
