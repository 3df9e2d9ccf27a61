#include "metrics/kernel_sums.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "base/checked.h"
#include "metrics/dense.h"

enum { TILE = TL_MMD_TILE };

void tl_rows64_finish(struct tl_rows64 *r)
{
    free(r->x);
    free(r->squares);
    *r = (struct tl_rows64){0};
}

bool tl_rows64_init(struct tl_rows64 *r, const struct tl_features *x, const double *shift, struct tl_err *err)
{
    *r = (struct tl_rows64){.n = x->n, .dim = x->dim};
    if (!tl_features_check(x, err)) return false;
    size_t count, bytes;
    if (tl_checked_mul(x->n, x->dim, &count) && tl_checked_mul(count, sizeof *r->x, &bytes)) {
        r->x = malloc(bytes);
        r->squares = calloc(x->n, sizeof *r->squares);
    }
    if (!r->x || !r->squares) {
        tl_rows64_finish(r);
        return tl_err_set(err, TL_FAIL, "no memory for %zu embeddings", x->n);
    }
    for (size_t i = 0; i < x->n; i++)
        for (size_t j = 0; j < x->dim; j++) {
            double v = (double)x->x[i * x->dim + j] - (shift ? shift[j] : 0);
            r->x[i * x->dim + j] = v;
            r->squares[i] += v * v;
        }
    return true;
}

double *tl_rows64_mean(const struct tl_features *x, struct tl_err *err)
{
    double *mean = calloc(x->dim + 1, sizeof *mean);
    if (!mean) {
        tl_err_set(err, TL_FAIL, "no memory for a mean of %zu dimensions", x->dim);
        return NULL;
    }
    for (size_t i = 0; i < x->n; i++)
        for (size_t j = 0; j < x->dim; j++) mean[j] += (double)x->x[i * x->dim + j];
    for (size_t j = 0; j < x->dim; j++) mean[j] /= (double)x->n;
    return mean;
}

static double power(double x, unsigned n)
{
    double result = 1;
    for (; n; n >>= 1, x *= x)
        if (n & 1) result *= x;
    return result;
}

double tl_kernel_value(const struct tl_kernel *k, double product, double distance2)
{
    double a = k->gamma * distance2;
    switch (k->kind) {
    case TL_KERNEL_GAUSSIAN:
        return expm1(-a);
    case TL_KERNEL_INVERSE_QUADRATIC:
        return -a / (1 + a);
    case TL_KERNEL_INVERSE_MULTIQUADRIC:
        return expm1(-0.5 * log1p(a));
    case TL_KERNEL_POLYNOMIAL:
        break;
    }
    return power(k->gamma * product + k->coef, k->degree);
}

struct job {
    const struct tl_rows64 *a, *b;
    const struct tl_kernel *kernel;
    size_t tiles_a, tiles_b;
    bool same;
    double *block;           /* per worker: products of a tile */
    double *part_a, *part_b; /* [tiles_b][a.n], [tiles_a][b.n]: sums of a row over one tile */
    tl_kernel_tile_fn fn;
    void *user;
    atomic_bool failed;
};

/* Products of tile (i0, j0) into the worker's block. */
static double *products(struct job *job, size_t i0, size_t rows, size_t j0, size_t cols, int worker)
{
    double *block = job->block + (size_t)worker * TILE * TILE;
    size_t dim = job->a->dim;
    if (tl_dense_product(&(struct tl_dense_product){.m = rows,
                                                    .n = cols,
                                                    .k = dim,
                                                    .a = job->a->x + i0 * dim,
                                                    .lda = dim,
                                                    .b = job->b->x + j0 * dim,
                                                    .ldb = dim,
                                                    .c = block,
                                                    .ldc = TILE},
                         NULL, NULL))
        return block;
    atomic_store(&job->failed, true);
    return NULL;
}

static double distance2(const struct job *job, size_t i, size_t j, double product)
{
    double d = job->a->squares[i] + job->b->squares[j] - 2 * product;
    return d > 0 ? d : 0;
}

static void sum_tile(void *arg, size_t index, int worker)
{
    struct job *job = arg;
    size_t ti = index / job->tiles_b, tj = index % job->tiles_b, i0 = ti * TILE, j0 = tj * TILE;
    if ((job->same && tj > ti) || tl_interrupted()) return;
    size_t rows = job->a->n - i0 < TILE ? job->a->n - i0 : TILE,
           cols = job->b->n - j0 < TILE ? job->b->n - j0 : TILE;
    const double *block = products(job, i0, rows, j0, cols, worker);
    if (!block) return;
    double *by_row = job->part_a + tj * job->a->n + i0, by_col[TILE] = {0};
    bool diagonal = job->same && ti == tj;
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t c = 0; c < cols; c++) {
            if (diagonal && r == c) continue;
            double product = block[r * TILE + c];
            double k = tl_kernel_value(job->kernel, product, distance2(job, i0 + r, j0 + c, product));
            sum += k;
            by_col[c] += k;
        }
        by_row[r] = sum;
    }
    if (diagonal) return;
    double *to = job->same ? job->part_a + ti * job->a->n + j0 : job->part_b + ti * job->b->n + j0;
    memcpy(to, by_col, cols * sizeof *to);
}

/* Squared distances, or the kernel's values where there is one. */
static void give_tile(void *arg, size_t index, int worker)
{
    struct job *job = arg;
    size_t ti = index / job->tiles_b, tj = index % job->tiles_b, i0 = ti * TILE, j0 = tj * TILE;
    if ((job->same && tj > ti) || tl_interrupted()) return;
    size_t rows = job->a->n - i0 < TILE ? job->a->n - i0 : TILE,
           cols = job->b->n - j0 < TILE ? job->b->n - j0 : TILE;
    double *block = products(job, i0, rows, j0, cols, worker);
    if (!block) return;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) {
            double product = block[r * TILE + c], d = distance2(job, i0 + r, j0 + c, product);
            block[r * TILE + c] = job->kernel ? tl_kernel_value(job->kernel, product, d) : d;
        }
    job->fn(job->user, block, TILE, i0, rows, j0, cols, worker);
}

static bool run(struct job *job, void (*fn)(void *, size_t, int), struct tl_pool *pool, struct tl_err *err)
{
    size_t workers = pool ? (size_t)tl_pool_threads(pool) : 1, n_tiles = job->tiles_a * job->tiles_b;
    job->block = malloc(workers * TILE * TILE * sizeof *job->block);
    if (!job->block) return tl_err_set(err, TL_FAIL, "no memory for a kernel distance");
    if (pool)
        tl_pool_run(pool, n_tiles, fn, job);
    else
        for (size_t i = 0; i < n_tiles; i++) fn(job, i, 0);
    free(job->block);
    if (!tl_interrupt_check("scoring", err)) return false; /* tiles were left out */
    return !job->failed || tl_err_set(err, TL_FAIL, "no memory for a kernel distance");
}

/* out[i] = sum over tiles, in their order. */
static void add_parts(const double *parts, size_t n_tiles, size_t n, double *out)
{
    memset(out, 0, n * sizeof *out);
    for (size_t t = 0; t < n_tiles; t++)
        for (size_t i = 0; i < n; i++) out[i] += parts[t * n + i];
}

bool tl_kernel_row_sums(const struct tl_rows64 *a, const struct tl_rows64 *b, const struct tl_kernel *k,
                        struct tl_pool *pool, double *out_a, double *out_b, struct tl_err *err)
{
    struct job job = {.a = a, .b = b, .kernel = k, .same = a == b};
    job.tiles_a = (a->n + TILE - 1) / TILE;
    job.tiles_b = (b->n + TILE - 1) / TILE;
    job.part_a = calloc(job.tiles_b * a->n, sizeof *job.part_a);
    if (!job.same) job.part_b = calloc(job.tiles_a * b->n, sizeof *job.part_b);
    bool ok = job.part_a && (job.same || job.part_b);
    if (!ok)
        tl_err_set(err, TL_FAIL, "no memory for a kernel distance of %zu and %zu embeddings", a->n, b->n);
    ok = ok && run(&job, sum_tile, pool, err);
    if (ok) add_parts(job.part_a, job.tiles_b, a->n, out_a);
    if (ok && !job.same) add_parts(job.part_b, job.tiles_a, b->n, out_b);
    free(job.part_a);
    free(job.part_b);
    return ok;
}

bool tl_kernel_tiles(const struct tl_rows64 *a, const struct tl_rows64 *b, const struct tl_kernel *k,
                     struct tl_pool *pool, tl_kernel_tile_fn fn, void *user, struct tl_err *err)
{
    struct job job = {.a = a,
                      .b = b,
                      .kernel = k,
                      .same = a == b,
                      .tiles_a = (a->n + TILE - 1) / TILE,
                      .tiles_b = (b->n + TILE - 1) / TILE,
                      .fn = fn,
                      .user = user};
    return run(&job, give_tile, pool, err);
}

bool tl_kernel_distances(const struct tl_rows64 *a, struct tl_pool *pool, tl_kernel_tile_fn fn, void *user,
                         struct tl_err *err)
{
    return tl_kernel_tiles(a, a, NULL, pool, fn, user, err);
}
