#include "metrics/mmd.h"

#include <math.h>
#include <stdlib.h>

#include "metrics/kernel_sums.h"

/* What a set's rows add up to. Owns its arrays. */
struct side {
    struct tl_rows64 rows;
    double *own;    /* [n]: sum of k(x_i, x_j), j != i */
    double *across; /* [n]: sum over the other set */
    double *self;   /* [n]: k(x_i, x_i) */
};

static void side_finish(struct side *s)
{
    tl_rows64_finish(&s->rows);
    free(s->own);
    free(s->across);
    free(s->self);
}

static bool side_init(struct side *s, const struct tl_features *x, const struct tl_kernel *k,
                      const double *shift, struct tl_err *err)
{
    *s = (struct side){0};
    if (!tl_rows64_init(&s->rows, x, shift, err)) return false;
    s->own = calloc(x->n, sizeof *s->own);
    s->across = calloc(x->n, sizeof *s->across);
    s->self = calloc(x->n, sizeof *s->self);
    if (!s->own || !s->across || !s->self)
        return tl_err_set(err, TL_FAIL, "no memory for %zu embeddings", x->n);
    for (size_t i = 0; i < x->n; i++) s->self[i] = tl_kernel_value(k, s->rows.squares[i], 0);
    return true;
}

static double total(const double *x, size_t from, size_t to)
{
    double sum = 0;
    for (size_t i = from; i < to; i++) sum += x[i];
    return sum;
}

/* Sums of a set of n rows; what is left after an item is taken away is one too. */
struct sums {
    double own, self, n;
};

static double mean_within(struct sums s, bool unbiased)
{
    if (unbiased) return s.n < 2 ? NAN : s.own / (s.n * (s.n - 1));
    return s.n < 1 ? NAN : (s.own + s.self) / (s.n * s.n);
}

static double combine(struct sums x, struct sums y, double across, bool unbiased)
{
    return mean_within(x, unbiased) + mean_within(y, unbiased) - 2 * across / (x.n * y.n);
}

static double dot(const double *x, const double *y, size_t n)
{
    double part[8] = {0}, sum = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t l = 0; l < 8; l++) part[l] += x[i + l] * y[i + l];
    for (; i < n; i++) sum += x[i] * y[i];
    for (size_t l = 0; l < 8; l++) sum += part[l];
    return sum;
}

/* Sum of k over ordered pairs of different rows in [from, to). */
static double within(const struct tl_rows64 *r, const struct tl_kernel *k, size_t from, size_t to)
{
    double sum = 0;
    for (size_t i = from; i < to; i++)
        for (size_t j = from; j < i; j++) {
            double product = dot(r->x + i * r->dim, r->x + j * r->dim, r->dim);
            sum += 2 * tl_kernel_value(k, product, fmax(r->squares[i] + r->squares[j] - 2 * product, 0));
        }
    return sum;
}

struct leave {
    const struct tl_features *x;
    const struct tl_kernel *kernel;
    const struct side *side;
    struct sums all, other;
    double across, scale;
    bool unbiased;
    double *out;
};

static void leave_out(void *arg, size_t item, int worker)
{
    (void)worker;
    const struct leave *l = arg;
    size_t from = tl_features_first(l->x, item), to = tl_features_first(l->x, item + 1);
    struct sums left = l->all;
    left.n -= (double)(to - from);
    if (left.n < 1) {
        l->out[item] = NAN;
        return;
    }
    left.self -= total(l->side->self, from, to);
    left.own += within(&l->side->rows, l->kernel, from, to) - 2 * total(l->side->own, from, to);
    double across = l->across - total(l->side->across, from, to);
    l->out[item] = l->scale * combine(left, l->other, across, l->unbiased);
}

static void leave_each(struct leave l, struct tl_pool *pool)
{
    if (!l.out) return;
    if (pool)
        tl_pool_run(pool, l.x->n_items, leave_out, &l);
    else
        for (size_t i = 0; i < l.x->n_items; i++) leave_out(&l, i, 0);
}

static bool check(const struct tl_features *x, const struct tl_features *y, bool unbiased, struct tl_err *err)
{
    if (!tl_features_check_pair(x, y, err)) return false;
    if (unbiased && (x->n < 2 || y->n < 2))
        return tl_err_set(
            err, TL_BAD_INPUT,
            "an unbiased kernel distance needs two embeddings or more of each set, there are %zu and %zu",
            x->n, y->n);
    return true;
}

bool tl_mmd(const struct tl_features *x, const struct tl_features *y, const struct tl_kernel *kernel,
            bool unbiased, double scale, struct tl_pool *pool, struct tl_mmd *out, struct tl_err *err)
{
    if (!check(x, y, unbiased, err)) return false;
    struct side sx = {0}, sy = {0};
    double *shift = NULL;
    bool ok = kernel->kind == TL_KERNEL_POLYNOMIAL || (shift = tl_rows64_mean(x, err));
    ok = ok && side_init(&sx, x, kernel, shift, err) && side_init(&sy, y, kernel, shift, err) &&
         tl_kernel_row_sums(&sx.rows, &sx.rows, kernel, pool, sx.own, NULL, err) &&
         tl_kernel_row_sums(&sy.rows, &sy.rows, kernel, pool, sy.own, NULL, err) &&
         tl_kernel_row_sums(&sx.rows, &sy.rows, kernel, pool, sx.across, sy.across, err);
    if (ok) {
        struct sums ax = {total(sx.own, 0, x->n), total(sx.self, 0, x->n), (double)x->n};
        struct sums ay = {total(sy.own, 0, y->n), total(sy.self, 0, y->n), (double)y->n};
        double across = total(sx.across, 0, x->n);
        out->value = scale * combine(ax, ay, across, unbiased);
        struct leave l = {x, kernel, &sx, ax, ay, across, scale, unbiased, out->without_x};
        leave_each(l, pool);
        l = (struct leave){y, kernel, &sy, ay, ax, across, scale, unbiased, out->without_y};
        leave_each(l, pool);
        if (!isfinite(out->value))
            ok = tl_err_set(err, TL_NUMERIC,
                            "the kernel distance is %g: embeddings too large for this kernel", out->value);
    }
    side_finish(&sx);
    side_finish(&sy);
    free(shift);
    return ok;
}

bool tl_cmmd(const struct tl_features *x, const struct tl_features *y, bool normalise, struct tl_pool *pool,
             struct tl_mmd *out, struct tl_err *err)
{
    if (!normalise) return tl_mmd(x, y, &TL_CMMD_KERNEL, false, TL_CMMD_SCALE, pool, out, err);
    struct tl_features ux = *x, uy = *y;
    float *fx = tl_features_unit(x, err), *fy = fx ? tl_features_unit(y, err) : NULL;
    ux.x = fx;
    uy.x = fy;
    bool ok = fx && fy && tl_mmd(&ux, &uy, &TL_CMMD_KERNEL, false, TL_CMMD_SCALE, pool, out, err);
    free(fx);
    free(fy);
    return ok;
}
