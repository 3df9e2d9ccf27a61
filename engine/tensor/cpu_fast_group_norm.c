/* group_norm and its gradient on the cpu, x as [n, rows, c]: channels are the lanes, sums are per channel and
 * folded into groups after. A sample goes through all stages while it is in the cache; few large samples are
 * cut into chunks of rows, with a stage over all chunks at a time. Sums are float over at most SUM_ROWS rows,
 * double above. */
#include <math.h>

#include "tensor/cpu_fast.h"
#include "tensor/cpu_fast_vec_math.h"

enum { CHUNK_FLOATS = 1 << 14, WHOLE_FLOATS = 1 << 18, CHUNKS_MAX = 64, SUM_ROWS = 256, N_TABLES = 5 };

struct norm {
    int64_t n, rows, c, groups, width; /* width: channels of a group */
    int64_t chunk, n_chunks;           /* rows of a chunk; chunks of a sample, whatever n is: sums do not
                                          depend on the batch */
    bool whole;                        /* a sample goes through all stages at once */
    float eps;
    bool silu;
    const float *x, *gamma, *beta, *dy;
    float *y, *stats;
    double *sums;  /* [n][n_chunks][2][c] */
    float *tables; /* [n][N_TABLES][c]: what a channel of a sample needs; 0 mean, 1 rstd, 2 rstd * gamma, 3
                      and 4 of the gradient */
};

/* Some rows of one sample. */
struct span {
    int64_t at, rows; /* at: of the first element in x */
    double *sum;
    float *table;
};

static struct span span_of(const struct norm *g, int64_t n, int64_t chunk)
{
    struct span s = {.rows = tl_cpu_fast_min(g->chunk, g->rows - chunk * g->chunk)};
    s.at = (n * g->rows + chunk * g->chunk) * g->c;
    s.sum = g->sums + (n * g->n_chunks + chunk) * 2 * g->c;
    s.table = g->tables + n * N_TABLES * g->c;
    return s;
}

static void add_lanes(double *sum, tl_vec v, int n)
{
    for (int i = 0; i < n; i++) sum[i] += (double)v[i];
}

/* Sums of x - mean (power 1, mean zero) or of its square, per channel. */
static void sum_stage(const struct norm *g, const struct span *s, const float *mean)
{
    memset(s->sum, 0, (size_t)g->c * sizeof *s->sum);
    for (int64_t r0 = 0; r0 < s->rows; r0 += SUM_ROWS)
        for (int64_t c = 0; c < g->c; c += TL_VEC) {
            int n = g->c - c < TL_VEC ? (int)(g->c - c) : TL_VEC;
            const float *x = g->x + s->at + r0 * g->c + c;
            int64_t rows = tl_cpu_fast_min(SUM_ROWS, s->rows - r0), r = 0;
            tl_vec m = mean ? tl_vec_load_part(mean + c, n) : (tl_vec){0}, part[4] = {{0}};
            for (; r + 4 <= rows; r += 4)
                for (int k = 0; k < 4; k++) {
                    tl_vec d = tl_vec_load_part(x + (r + k) * g->c, n) - m;
                    part[k] += mean ? d * d : d;
                }
            for (; r < rows; r++) {
                tl_vec d = tl_vec_load_part(x + r * g->c, n) - m;
                part[0] += mean ? d * d : d;
            }
            add_lanes(s->sum + c, (part[0] + part[1]) + (part[2] + part[3]), n);
        }
}

/* Mean over group k of sample n of sum `which`, weighted by gamma if `weight`. */
static double group_mean(const struct norm *g, int64_t n, int which, int64_t k, const float *weight)
{
    double total = 0;
    for (int64_t c = k * g->width; c < (k + 1) * g->width; c++)
        for (int64_t chunk = 0; chunk < g->n_chunks; chunk++) {
            double v = g->sums[((n * g->n_chunks + chunk) * 2 + which) * g->c + c];
            total += weight ? v * (double)weight[c] : v;
        }
    return total / (double)(g->rows * g->width);
}

static void table_fill(const struct norm *g, int64_t n, int which, int64_t k, float value)
{
    float *table = g->tables + (n * N_TABLES + which) * g->c;
    for (int64_t c = k * g->width; c < (k + 1) * g->width; c++) table[c] = value;
}

static void scale_table(const struct norm *g, int64_t n)
{
    float *table = g->tables + n * N_TABLES * g->c;
    for (int64_t c = 0; c < g->c; c++) table[2 * g->c + c] = table[g->c + c] * g->gamma[c];
}

static void mean_fold(const struct norm *g, int64_t n)
{
    for (int64_t k = 0; k < g->groups; k++) {
        float mean = (float)group_mean(g, n, 0, k, NULL);
        g->stats[(n * g->groups + k) * 2] = mean;
        table_fill(g, n, 0, k, mean);
    }
}

static void spread_fold(const struct norm *g, int64_t n)
{
    for (int64_t k = 0; k < g->groups; k++) {
        float rstd = (float)(1.0 / sqrt(group_mean(g, n, 0, k, NULL) + (double)g->eps));
        g->stats[(n * g->groups + k) * 2 + 1] = rstd;
        table_fill(g, n, 1, k, rstd);
    }
    scale_table(g, n);
}

static void mean_stage(const struct norm *g, const struct span *s)
{
    sum_stage(g, s, NULL);
}

static void spread_stage(const struct norm *g, const struct span *s)
{
    sum_stage(g, s, s->table);
}

static void apply_stage(const struct norm *g, const struct span *s)
{
    for (int64_t c = 0; c < g->c; c += TL_VEC) {
        int n = g->c - c < TL_VEC ? (int)(g->c - c) : TL_VEC;
        tl_vec mean = tl_vec_load_part(s->table + c, n), scale = tl_vec_load_part(s->table + 2 * g->c + c, n);
        tl_vec beta = tl_vec_load_part(g->beta + c, n);
        for (int64_t r = 0; r < s->rows; r++) {
            int64_t at = s->at + r * g->c + c;
            tl_vec z = (tl_vec_load_part(g->x + at, n) - mean) * scale + beta;
            tl_vec_store_part(g->y + at, g->silu ? z * tl_vec_sigmoid(z) : z, n);
        }
    }
}

/* dz, the cotangent in front of silu, goes to dx; sums are dz and dz * xhat. */
static void grad_sum_stage(const struct norm *g, const struct span *s)
{
    memset(s->sum, 0, (size_t)(2 * g->c) * sizeof *s->sum);
    for (int64_t r0 = 0; r0 < s->rows; r0 += SUM_ROWS)
        for (int64_t c = 0; c < g->c; c += TL_VEC) {
            int n = g->c - c < TL_VEC ? (int)(g->c - c) : TL_VEC;
            tl_vec mean = tl_vec_load_part(s->table + c, n), rstd = tl_vec_load_part(s->table + g->c + c, n);
            tl_vec gamma = tl_vec_load_part(g->gamma + c, n), beta = tl_vec_load_part(g->beta + c, n),
                   sum = {0}, sum_x = {0};
            for (int64_t r = r0; r < s->rows && r < r0 + SUM_ROWS; r++) {
                int64_t at = s->at + r * g->c + c;
                tl_vec dz = tl_vec_load_part(g->dy + at, n),
                       hat = (tl_vec_load_part(g->x + at, n) - mean) * rstd;
                if (g->silu) {
                    tl_vec z = hat * gamma + beta, sig = tl_vec_sigmoid(z);
                    dz *= sig * (1.0f + z * (1.0f - sig));
                }
                tl_vec_store_part(g->y + at, dz, n);
                sum += dz;
                sum_x += dz * hat;
            }
            add_lanes(s->sum + c, sum, n);
            add_lanes(s->sum + g->c + c, sum_x, n);
        }
}

static void grad_fold(const struct norm *g, int64_t n)
{
    for (int64_t k = 0; k < g->groups; k++) {
        table_fill(g, n, 3, k, (float)group_mean(g, n, 0, k, g->gamma));
        table_fill(g, n, 4, k, (float)group_mean(g, n, 1, k, g->gamma));
    }
}

/* dx = rstd (dz gamma - mean(dz gamma) - xhat mean(dz gamma xhat)) */
static void grad_apply_stage(const struct norm *g, const struct span *s)
{
    for (int64_t c = 0; c < g->c; c += TL_VEC) {
        int n = g->c - c < TL_VEC ? (int)(g->c - c) : TL_VEC;
        tl_vec mean = tl_vec_load_part(s->table + c, n), rstd = tl_vec_load_part(s->table + g->c + c, n);
        tl_vec scale = tl_vec_load_part(s->table + 2 * g->c + c, n);
        tl_vec minus = rstd * tl_vec_load_part(s->table + 3 * g->c + c, n);
        tl_vec slope = rstd * rstd * tl_vec_load_part(s->table + 4 * g->c + c, n);
        for (int64_t r = 0; r < s->rows; r++) {
            int64_t at = s->at + r * g->c + c;
            tl_vec d = tl_vec_load_part(g->x + at, n) - mean;
            tl_vec_store_part(g->y + at, tl_vec_load_part(g->y + at, n) * scale - minus - d * slope, n);
        }
    }
}

/* Stages with what is folded after each. */
struct steps {
    struct norm g;
    void (*stage[3])(const struct norm *g, const struct span *s);
    void (*fold[3])(const struct norm *g, int64_t n);
    int n_stages, now;
};

static void whole_piece(void *arg, size_t i, int worker)
{
    (void)worker;
    const struct steps *s = arg;
    for (int k = 0; k < s->n_stages; k++) {
        for (int64_t chunk = 0; chunk < s->g.n_chunks; chunk++) {
            struct span span = span_of(&s->g, (int64_t)i, chunk);
            s->stage[k](&s->g, &span);
        }
        if (s->fold[k]) s->fold[k](&s->g, (int64_t)i);
    }
}

static void chunk_piece(void *arg, size_t i, int worker)
{
    (void)worker;
    const struct steps *s = arg;
    struct span span = span_of(&s->g, (int64_t)i / s->g.n_chunks, (int64_t)i % s->g.n_chunks);
    s->stage[s->now](&s->g, &span);
}

static void run(struct steps *s, struct tl_pool *pool)
{
    size_t n = (size_t)s->g.n;
    if (s->g.whole) {
        tl_pool_run(pool, n, whole_piece, s);
        return;
    }
    for (s->now = 0; s->now < s->n_stages; s->now++) {
        tl_pool_run(pool, n * (size_t)s->g.n_chunks, chunk_piece, s);
        for (int64_t i = 0; s->fold[s->now] && i < s->g.n; i++) s->fold[s->now](&s->g, i);
    }
}

static bool begin(struct norm *g, const struct tl_cpu_call *call, struct tl_err *err)
{
    const struct tl_shape *x = call->in_shape[0];
    *g = (struct norm){.n = x->dim[0],
                       .c = tl_shape_last(x),
                       .groups = call->attr->norm.groups,
                       .x = call->in[0],
                       .y = call->out[0]};
    g->rows = tl_shape_rows(x) / g->n;
    g->width = g->c / g->groups;
    g->eps = call->attr->norm.eps;
    g->silu = call->attr->norm.silu != 0;
    int64_t floats = g->rows * g->c;
    g->n_chunks =
        tl_cpu_fast_min(tl_cpu_fast_ceil(floats, CHUNK_FLOATS), tl_cpu_fast_min(g->rows, CHUNKS_MAX));
    g->chunk = tl_cpu_fast_ceil(g->rows, g->n_chunks);
    g->n_chunks = tl_cpu_fast_ceil(g->rows, g->chunk);
    /* Many samples fill the threads as they are, as long as one stays in the second-level cache. */
    g->whole = g->n_chunks == 1 || (g->n >= 8 && floats <= WHOLE_FLOATS);
    size_t n_sums = (size_t)(g->n * g->n_chunks * 2 * g->c), n_tables = (size_t)(g->n * N_TABLES * g->c);
    g->sums = tl_cpu_scratch(call, n_sums * sizeof *g->sums + n_tables * sizeof *g->tables, err);
    g->tables = g->sums ? (float *)(g->sums + n_sums) : NULL;
    return g->sums != NULL;
}

bool tl_cpu_fast_group_norm(const struct tl_cpu_call *call, struct tl_err *err)
{
    struct steps s = {
        .n_stages = 3, .stage = {mean_stage, spread_stage, apply_stage}, .fold = {mean_fold, spread_fold}};
    if (!begin(&s.g, call, err)) return false;
    s.g.gamma = call->in[1];
    s.g.beta = call->in[2];
    s.g.stats = call->out[1];
    run(&s, call->pool);
    return true;
}

bool tl_cpu_fast_group_norm_grad(const struct tl_cpu_call *call, struct tl_err *err)
{
    struct steps s = {.n_stages = 2, .stage = {grad_sum_stage, grad_apply_stage}, .fold = {grad_fold}};
    struct norm *g = &s.g;
    if (!begin(g, call, err)) return false;
    g->gamma = call->in[2];
    g->beta = call->in[3];
    g->dy = call->in[4];
    const float *stats = call->in[1];
    for (int64_t n = 0; n < g->n; n++) {
        for (int64_t k = 0; k < g->groups; k++)
            for (int which = 0; which < 2; which++)
                table_fill(g, n, which, k, stats[(n * g->groups + k) * 2 + which]);
        scale_table(g, n);
    }
    run(&s, call->pool);
    float *dgb = call->out[1];
    for (int64_t i = 0; i < 2 * g->c; i++) {
        double sum = 0; /* sums are dbeta, dgamma in this order */
        for (int64_t k = 0; k < g->n * g->n_chunks; k++)
            sum += g->sums[k * 2 * g->c + (i < g->c ? g->c + i : i - g->c)];
        dgb[i] = (float)sum;
    }
    return true;
}
