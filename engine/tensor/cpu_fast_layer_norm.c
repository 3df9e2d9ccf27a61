/* layer_norm and its gradient on the cpu. Rows are short (a few vectors), so that adding up lanes would cost
 * more than the rest: TL_VEC rows go together, and their partial sums are turned into one vector of row sums.
 */
#include <math.h>

#include "tensor/cpu_fast.h"

enum { PIECE_FLOATS = 1 << 14, PIECES_MAX = 64, SUM_ROWS = 256 };

struct job {
    int64_t rows, c, per_piece;
    float eps;
    const float *x, *gamma, *beta, *dy, *stats_in;
    float *y, *stats;
    double *sums; /* [pieces][2][c]: dgamma, dbeta */
};

/* Row sums of n_rows <= TL_VEC partial sums. */
static tl_vec row_sums(tl_vec part[TL_VEC])
{
    tl_vec_transpose(part);
    for (int w = TL_VEC / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++) part[i] += part[i + w];
    return part[0];
}

/* Rows r0 .. r0 + n - 1, n <= TL_VEC. */
static void forward_rows(const struct job *j, int64_t r0, int n)
{
    int64_t c = j->c;
    const float *x = j->x + r0 * c;
    float mean[TL_VEC], rstd[TL_VEC], inverse = 1.0f / (float)c;
    tl_vec part[TL_VEC] = {{0}};
    for (int r = 0; r < n; r++)
        for (int64_t i = 0; i < c; i += TL_VEC)
            part[r] += tl_vec_load_part(x + r * c + i, c - i < TL_VEC ? (int)(c - i) : TL_VEC);
    tl_vec_store(mean, row_sums(part) * inverse);
    memset(part, 0, sizeof part);
    for (int r = 0; r < n; r++)
        for (int64_t i = 0; i < c; i += TL_VEC) {
            int lanes = c - i < TL_VEC ? (int)(c - i) : TL_VEC;
            tl_vec d = tl_vec_load_part(x + r * c + i, lanes) - mean[r];
            if (lanes < TL_VEC) d = tl_vec_select(tl_vec_lanes() < lanes, d, (tl_vec){0});
            part[r] += d * d;
        }
    tl_vec_store(rstd, row_sums(part) * inverse);
    for (int r = 0; r < n; r++) {
        rstd[r] = 1.0f / sqrtf(rstd[r] + j->eps);
        j->stats[2 * (r0 + r)] = mean[r];
        j->stats[2 * (r0 + r) + 1] = rstd[r];
        for (int64_t i = 0; i < c; i += TL_VEC) {
            int lanes = c - i < TL_VEC ? (int)(c - i) : TL_VEC;
            tl_vec y = (tl_vec_load_part(x + r * c + i, lanes) - mean[r]) * rstd[r];
            if (j->gamma)
                y = y * tl_vec_load_part(j->gamma + i, lanes) + tl_vec_load_part(j->beta + i, lanes);
            tl_vec_store_part(j->y + (r0 + r) * c + i, y, lanes);
        }
    }
}

/* dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy * gamma */
static void grad_rows(const struct job *j, int64_t r0, int n)
{
    int64_t c = j->c;
    float mean_g[TL_VEC], mean_gx[TL_VEC], inverse = 1.0f / (float)c;
    tl_vec part[TL_VEC] = {{0}}, part_x[TL_VEC] = {{0}};
    for (int r = 0; r < n; r++)
        for (int64_t i = 0; i < c; i += TL_VEC) {
            int lanes = c - i < TL_VEC ? (int)(c - i) : TL_VEC;
            int64_t at = (r0 + r) * c + i;
            tl_vec g = tl_vec_load_part(j->dy + at, lanes);
            if (j->gamma) g *= tl_vec_load_part(j->gamma + i, lanes);
            part[r] += g;
            part_x[r] += g * ((tl_vec_load_part(j->x + at, lanes) - j->stats_in[2 * (r0 + r)]) *
                              j->stats_in[2 * (r0 + r) + 1]);
        }
    tl_vec_store(mean_g, row_sums(part) * inverse);
    tl_vec_store(mean_gx, row_sums(part_x) * inverse);
    for (int r = 0; r < n; r++) {
        float mean = j->stats_in[2 * (r0 + r)], rstd = j->stats_in[2 * (r0 + r) + 1];
        for (int64_t i = 0; i < c; i += TL_VEC) {
            int lanes = c - i < TL_VEC ? (int)(c - i) : TL_VEC;
            int64_t at = (r0 + r) * c + i;
            tl_vec g = tl_vec_load_part(j->dy + at, lanes),
                   hat = (tl_vec_load_part(j->x + at, lanes) - mean) * rstd;
            if (j->gamma) g *= tl_vec_load_part(j->gamma + i, lanes);
            tl_vec_store_part(j->y + at, rstd * (g - mean_g[r] - hat * mean_gx[r]), lanes);
        }
    }
}

/* dgamma and dbeta over rows [begin, end), at most SUM_ROWS in float at a time. */
static void grad_sums(const struct job *j, double *sum, int64_t begin, int64_t end)
{
    int64_t c = j->c;
    memset(sum, 0, (size_t)(2 * c) * sizeof *sum);
    for (int64_t r0 = begin; r0 < end; r0 += SUM_ROWS)
        for (int64_t i = 0; i < c; i += TL_VEC) {
            int lanes = c - i < TL_VEC ? (int)(c - i) : TL_VEC;
            tl_vec gamma = {0}, beta = {0};
            for (int64_t r = r0; r < end && r < r0 + SUM_ROWS; r++) {
                tl_vec dy = tl_vec_load_part(j->dy + r * c + i, lanes),
                       x = tl_vec_load_part(j->x + r * c + i, lanes);
                gamma += dy * ((x - j->stats_in[2 * r]) * j->stats_in[2 * r + 1]);
                beta += dy;
            }
            for (int l = 0; l < lanes; l++) {
                sum[i + l] += (double)gamma[l];
                sum[c + i + l] += (double)beta[l];
            }
        }
}

static void piece(void *arg, size_t i, int worker)
{
    (void)worker;
    const struct job *j = arg;
    int64_t begin = (int64_t)i * j->per_piece, end = tl_cpu_fast_min(begin + j->per_piece, j->rows);
    for (int64_t r = begin; r < end; r += TL_VEC) {
        int n = end - r < TL_VEC ? (int)(end - r) : TL_VEC;
        if (j->dy)
            grad_rows(j, r, n);
        else
            forward_rows(j, r, n);
    }
    if (j->dy) grad_sums(j, j->sums + (int64_t)i * 2 * j->c, begin, end);
}

static int64_t job_begin(struct job *j, const struct tl_cpu_call *call)
{
    const struct tl_shape *x = call->in_shape[0];
    *j = (struct job){.rows = tl_shape_rows(x),
                      .c = tl_shape_last(x),
                      .eps = call->attr->norm.eps,
                      .x = call->in[0],
                      .y = call->out[0]};
    j->per_piece = tl_cpu_fast_max(PIECE_FLOATS / j->c, tl_cpu_fast_ceil(j->rows, PIECES_MAX));
    j->per_piece = tl_cpu_fast_ceil(j->per_piece, TL_VEC) * TL_VEC;
    return tl_cpu_fast_ceil(j->rows, j->per_piece);
}

bool tl_cpu_fast_layer_norm(const struct tl_cpu_call *call, struct tl_err *err)
{
    (void)err;
    struct job j;
    int64_t pieces = job_begin(&j, call);
    j.gamma = call->n_in > 1 ? call->in[1] : NULL;
    j.beta = call->n_in > 2 ? call->in[2] : NULL;
    j.stats = call->out[1];
    tl_pool_run(call->pool, (size_t)pieces, piece, &j);
    return true;
}

bool tl_cpu_fast_layer_norm_grad(const struct tl_cpu_call *call, struct tl_err *err)
{
    struct job j;
    int64_t pieces = job_begin(&j, call), c = j.c;
    j.stats_in = call->in[1];
    j.gamma = call->in[2];
    j.dy = call->in[3];
    j.sums = tl_cpu_scratch(call, (size_t)(pieces * 2 * c) * sizeof *j.sums, err);
    if (!j.sums) return false;
    tl_pool_run(call->pool, (size_t)pieces, piece, &j);
    float *dgb = call->out[1];
    for (int64_t i = 0; i < 2 * c; i++) {
        double sum = 0;
        for (int64_t k = 0; k < pieces; k++) sum += j.sums[k * 2 * c + i];
        dgb[i] = (float)sum;
    }
    return true;
}
