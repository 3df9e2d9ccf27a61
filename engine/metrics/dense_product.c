#include "metrics/dense.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* Registers hold MR rows by NV vectors of C; a tile of C is one piece of work, which packs the panels of A
 * and B that it needs, K_CHUNK columns at a time: both stay in the second-level cache. */
#if defined __AVX512F__
enum { LANES = 8, MR = 8 };
#elif defined __AVX__
enum { LANES = 4, MR = 4 };
#else
enum { LANES = 2, MR = 4 };
#endif
enum { NV = 3, NR = NV * LANES, TILE = 192, K_CHUNK = 192 };
_Static_assert(TILE % MR == 0 && TILE % NR == 0, "a tile is whole panels");

typedef double vec __attribute__((vector_size(LANES * sizeof(double))));

static inline vec load(const double *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* c [MR][NR] (row stride ldc) += alpha a b^T; a [k][MR], b [k][NR]. */
static void kernel(size_t k, double alpha, const double *restrict a, const double *restrict b, double *c,
                   size_t ldc)
{
    vec sum[MR][NV] = {0};
    for (size_t i = 0; i < k; i++, a += MR, b += NR) {
        vec bv[NV];
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) bv[v] = load(b + v * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < MR; r++) {
            vec av = a[r] - (vec){0};
#pragma GCC unroll 4
            for (int v = 0; v < NV; v++) sum[r][v] += av * bv[v];
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < MR; r++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            double *at = c + (size_t)r * ldc + v * LANES;
            vec now = load(at) + alpha * sum[r][v];
            memcpy(at, &now, sizeof now);
        }
}

/* Rows i0 .. i0 + n - 1, columns k0 .. k0 + kc - 1 of x to panels [kc][width]; missing rows are zero. */
static void pack(const double *x, size_t ld, bool symmetric, size_t i0, size_t n, size_t k0, size_t kc,
                 size_t width, double *out)
{
    for (size_t p = 0; p < n; p += width, out += width * kc) {
        size_t rows = n - p < width ? n - p : width;
        if (rows < width) memset(out, 0, width * kc * sizeof *out);
        for (size_t r = 0; r < rows; r++) {
            size_t i = i0 + p + r,
                   stored = symmetric ? i + 1 : k0 + kc; /* columns from here on lie mirrored */
            stored = stored < k0 ? k0 : stored > k0 + kc ? k0 + kc : stored;
            const double *row = x + i * ld;
            for (size_t k = k0; k < stored; k++) out[(k - k0) * width + r] = row[k];
            for (size_t k = stored; k < k0 + kc; k++) out[(k - k0) * width + r] = x[k * ld + i];
        }
    }
}

struct job {
    const struct tl_dense_product *p;
    size_t tiles_n;
    double *scratch; /* per worker: A's panels, B's panels */
};

enum { SCRATCH = 2 * TILE * K_CHUNK };

/* The panels' product into the tile at c, of which rows x cols exist. */
static void multiply(size_t rows, size_t cols, size_t kc, double alpha, const double *pa, const double *pb,
                     double *c, size_t ldc)
{
    for (size_t j = 0; j < cols; j += NR)
        for (size_t i = 0; i < rows; i += MR) {
            const double *a = pa + i * kc, *b = pb + j * kc;
            double *at = c + i * ldc + j;
            size_t r = rows - i, n = cols - j;
            if (r >= MR && n >= NR) {
                kernel(kc, alpha, a, b, at, ldc);
                continue;
            }
            double part[MR * NR] = {0};
            kernel(kc, alpha, a, b, part, NR);
            for (size_t y = 0; y < r && y < MR; y++)
                for (size_t x = 0; x < n && x < NR; x++) at[y * ldc + x] += part[y * NR + x];
        }
}

static void tile(void *arg, size_t index, int worker)
{
    const struct job *job = arg;
    const struct tl_dense_product *p = job->p;
    size_t i0 = index / job->tiles_n * TILE, j0 = index % job->tiles_n * TILE;
    if (p->lower && j0 > i0) return;
    size_t rows = p->m - i0 < TILE ? p->m - i0 : TILE, cols = p->n - j0 < TILE ? p->n - j0 : TILE;
    double *pa = job->scratch + (size_t)worker * SCRATCH, *pb = pa + TILE * K_CHUNK;
    double *c = p->c + i0 * p->ldc + j0;
    if (!p->accumulate)
        for (size_t r = 0; r < rows; r++) memset(c + r * p->ldc, 0, cols * sizeof *c);
    size_t first = p->a_upper ? i0 : 0;
    if (p->b_upper && j0 > first) first = j0;
    for (size_t k0 = first; k0 < p->k; k0 += K_CHUNK) {
        size_t kc = p->k - k0 < K_CHUNK ? p->k - k0 : K_CHUNK;
        pack(p->a, p->lda, p->a_symmetric, i0, rows, k0, kc, MR, pa);
        pack(p->b, p->ldb, false, j0, cols, k0, kc, NR, pb);
        multiply(rows, cols, kc, p->alpha != 0 ? p->alpha : 1, pa, pb, c, p->ldc);
    }
}

bool tl_dense_product(const struct tl_dense_product *p, struct tl_pool *pool, struct tl_err *err)
{
    assert(!p->lower || p->m == p->n);
    if (p->m == 0 || p->n == 0) return true;
    struct job job = {.p = p, .tiles_n = (p->n + TILE - 1) / TILE};
    size_t n_tiles = (p->m + TILE - 1) / TILE * job.tiles_n;
    size_t workers = pool ? (size_t)tl_pool_threads(pool) : 1, bytes;
    if (!tl_checked_mul(workers, SCRATCH * sizeof(double), &bytes) ||
        !(job.scratch = aligned_alloc(64, bytes)))
        return tl_err_set(err, TL_FAIL, "no memory for a matrix product");
    if (pool && n_tiles > 1)
        tl_pool_run(pool, n_tiles, tile, &job);
    else
        for (size_t i = 0; i < n_tiles; i++) tile(&job, i, 0);
    free(job.scratch);
    return true;
}
