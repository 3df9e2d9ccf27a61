#include "metrics/kid_subsets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "metrics/kernel_sums.h"

enum { TILE = TL_MMD_TILE };

/* A set's subsets, cut where tiles begin. Owns its arrays. */
struct side {
    struct tl_rows64 rows;
    size_t tiles, size;
    uint32_t *sorted; /* [n][size]: rows of each subset, ascending */
    uint32_t *first;  /* [n][tiles + 1]: the first of `sorted` that is in the tile */
};

static void side_finish(struct side *s)
{
    tl_rows64_finish(&s->rows);
    free(s->sorted);
    free(s->first);
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void cut(struct side *s, size_t subset)
{
    uint32_t *sorted = s->sorted + subset * s->size, *first = s->first + subset * (s->tiles + 1);
    uint32_t at = 0;
    qsort(sorted, s->size, sizeof *sorted, ascending);
    for (size_t t = 0; t <= s->tiles; t++) {
        while (at < s->size && sorted[at] < t * TILE) at++;
        first[t] = at;
    }
}

static bool side_init(struct side *s, const struct tl_features *x, const uint32_t *rows, size_t n,
                      size_t size, struct tl_err *err)
{
    size_t count = 0;
    *s = (struct side){.size = size, .tiles = (x->n + TILE - 1) / TILE};
    if (!tl_rows64_init(&s->rows, x, NULL, err)) return false;
    if (tl_checked_mul(n, s->tiles + 1, &count)) s->first = calloc(count, sizeof *s->first);
    if (tl_checked_mul(n, size, &count)) s->sorted = calloc(count, sizeof *s->sorted);
    if (!s->first || !s->sorted)
        return tl_err_set(err, TL_FAIL, "no memory for subsets of %zu embeddings", size);
    memcpy(s->sorted, rows, count * sizeof *rows);
    for (size_t i = 0; i < n; i++) cut(s, i);
    return true;
}

/* Of one subset, places [from, to) of its sorted rows that lie in a tile. */
struct span {
    const uint32_t *rows;
    size_t n;
};

static struct span span_of(const struct side *s, size_t subset, size_t tile)
{
    const uint32_t *first = s->first + subset * (s->tiles + 1) + tile;
    return (struct span){s->sorted + subset * s->size + first[0], first[1] - first[0]};
}

struct pass {
    const struct side *a, *b;
    size_t n;      /* subsets */
    double *parts; /* [a->tiles][b->tiles][n]; zero above the diagonal where b is a */
};

/* Adds up each subset's pairs within the tile. Places, not rows, tell a pair of one element. */
static void add_tile(void *user, const double *d, size_t ld, size_t i0, size_t rows, size_t j0, size_t cols,
                     int worker)
{
    const struct pass *p = user;
    size_t ti = i0 / TILE, tj = j0 / TILE;
    double *out = p->parts + (ti * p->b->tiles + tj) * p->n;
    const bool same = p->a == p->b, diagonal = same && ti == tj;
    (void)rows;
    (void)cols;
    (void)worker;
    for (size_t s = 0; s < p->n; s++) {
        struct span a = span_of(p->a, s, ti), b = span_of(p->b, s, tj);
        double sum = 0;
        for (size_t k = 0; k < a.n; k++) {
            const double *row = d + (a.rows[k] - i0) * ld;
            size_t n = diagonal ? k : b.n; /* below the diagonal, for the other half is the same */
            double part = 0;
            for (size_t l = 0; l < n; l++) part += row[b.rows[l] - j0];
            sum += part;
        }
        out[s] = same ? 2 * sum : sum;
    }
}

/* out [n]: sums over all pairs of two different elements, one of each side. */
static bool sum_pairs(const struct side *a, const struct side *b, const struct tl_kid_subsets *s,
                      struct tl_pool *pool, double *out, struct tl_err *err)
{
    size_t count, n_tiles = a->tiles * b->tiles;
    struct pass p = {.a = a, .b = b, .n = s->n};
    p.parts = tl_checked_mul(n_tiles, s->n, &count) ? calloc(count, sizeof *p.parts) : NULL;
    bool ok = p.parts || tl_err_set(err, TL_FAIL, "no memory for %zu subsets", s->n);
    ok = ok && tl_kernel_tiles(&a->rows, &b->rows, &s->kernel, pool, add_tile, &p, err);
    memset(out, 0, s->n * sizeof *out);
    for (size_t t = 0; ok && t < n_tiles; t++)
        for (size_t i = 0; i < s->n; i++) out[i] += p.parts[t * s->n + i];
    free(p.parts);
    return ok;
}

static bool combine(const struct tl_kid_subsets *s, const double *sums, double *out, struct tl_err *err)
{
    double m = (double)s->size;
    for (size_t i = 0; i < s->n; i++) {
        out[i] = (sums[i] + sums[s->n + i]) / (m * (m - 1)) - 2 * sums[2 * s->n + i] / (m * m);
        if (!isfinite(out[i]))
            return tl_err_set(err, TL_NUMERIC,
                              "subset %zu: the kernel distance is %g: embeddings too large for this kernel",
                              i, out[i]);
    }
    return true;
}

bool tl_kid_together(const struct tl_kid_subsets *s, struct tl_pool *pool, double *out, struct tl_err *err)
{
    struct side x = {0}, y = {0};
    double *sums = calloc(3 * s->n, sizeof *sums);
    bool ok = (sums || tl_err_set(err, TL_FAIL, "no memory for %zu subsets", s->n)) &&
              side_init(&x, s->x, s->rows_x, s->n, s->size, err) &&
              side_init(&y, s->y, s->rows_y, s->n, s->size, err) && sum_pairs(&x, &x, s, pool, sums, err) &&
              sum_pairs(&y, &y, s, pool, sums + s->n, err) &&
              sum_pairs(&x, &y, s, pool, sums + 2 * s->n, err) && combine(s, sums, out, err);
    side_finish(&x);
    side_finish(&y);
    free(sums);
    return ok;
}
