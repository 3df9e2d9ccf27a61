/* What the plain kernels share whatever their working type: cutting work over the pool and walking strided
 * shapes.
 *
 * Work is cut by the shape alone, never by the number of threads; sums are taken in a fixed order. So a
 * result does not depend on the number of threads. */
#ifndef TL_TENSOR_CPU_PLAIN_H
#define TL_TENSOR_CPU_PLAIN_H

#include <string.h>

#include "base/half.h"
#include "tensor/cpu.h"

/* In front of a loop whose turns are independent although pointers may be equal (an operand taken over in
 * place). */
#if defined(TL_EACH)
#elif defined(__clang__)
#define TL_EACH _Pragma("clang loop vectorize(assume_safety)")
#else
#define TL_EACH _Pragma("GCC ivdep")
#endif

enum {
    TL_CPU_GRAIN = 16384,   /* elements of a piece of elementwise work: tens of microseconds */
    TL_CPU_MAX_CHUNKS = 64, /* pieces of one long sum */
};

static inline int64_t tl_cpu_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t tl_cpu_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t tl_cpu_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Operand i, or NULL. */
static inline const void *tl_cpu_in(const struct tl_cpu_call *call, int i)
{
    return i < call->n_in ? call->in[i] : NULL;
}

/* Work on the units [begin, end). worker < tl_pool_threads: for private scratch only. */
typedef void (*tl_cpu_span_fn)(const struct tl_cpu_call *call, const void *job, int64_t begin, int64_t end,
                               int worker);

struct tl_cpu_spans {
    const struct tl_cpu_call *call;
    const void *job;
    tl_cpu_span_fn fn;
    int64_t n, grain;
};

static inline void tl_cpu_span_piece(void *arg, size_t i, int worker)
{
    const struct tl_cpu_spans *s = arg;
    int64_t begin = (int64_t)i * s->grain;
    s->fn(s->call, s->job, begin, tl_cpu_min(begin + s->grain, s->n), worker);
}

/* Calls fn over [0, n) in pieces of grain units. */
static inline void tl_cpu_spans_run(const struct tl_cpu_call *call, const void *job, int64_t n, int64_t grain,
                                    tl_cpu_span_fn fn)
{
    struct tl_cpu_spans s = {call, job, fn, n, tl_cpu_max(grain, 1)};
    tl_pool_run(call->pool, (size_t)tl_cpu_ceil_div(n, s.grain), tl_cpu_span_piece, &s);
}

/* Units a piece, where one unit is `cost` elements of work. */
static inline int64_t tl_cpu_grain(int64_t cost)
{
    return tl_cpu_max(TL_CPU_GRAIN / tl_cpu_max(cost, 1), 1);
}

/* The axes of an index space, outermost first, and how far each of two operands moves along them (0: it is
 * repeated). Axes of 1 are dropped and neighbours that step alike are merged, so that the last axis is as
 * long as can be. Never empty. */
struct tl_cpu_walk {
    int rank;
    int64_t dim[TL_RANK_MAX];
    int64_t step[TL_RANK_MAX][2];
};

static inline void tl_cpu_walk_axis(struct tl_cpu_walk *w, int64_t dim, int64_t step0, int64_t step1)
{
    if (dim == 1) return;
    int i = w->rank - 1;
    if (i >= 0 && w->step[i][0] == step0 * dim && w->step[i][1] == step1 * dim) {
        w->dim[i] *= dim;
        w->step[i][0] = step0;
        w->step[i][1] = step1;
        return;
    }
    i = w->rank++;
    w->dim[i] = dim;
    w->step[i][0] = step0;
    w->step[i][1] = step1;
}

static inline void tl_cpu_walk_end(struct tl_cpu_walk *w)
{
    if (w->rank > 0) return;
    w->rank = 1;
    w->dim[0] = 1;
    w->step[0][0] = w->step[0][1] = 1;
}

static inline int64_t tl_cpu_walk_count(const struct tl_cpu_walk *w)
{
    int64_t n = 1;
    for (int i = 0; i < w->rank; i++) n *= w->dim[i];
    return n;
}

/* A place in a walk: a row (all axes but the last), and where the operands' parts of it begin. */
struct tl_cpu_place {
    int64_t index[TL_RANK_MAX];
    int64_t at[2];
};

static inline struct tl_cpu_place tl_cpu_place_seek(const struct tl_cpu_walk *w, int64_t row)
{
    struct tl_cpu_place p = {{0}, {0, 0}};
    for (int i = w->rank - 2; i >= 0; i--) {
        p.index[i] = row % w->dim[i];
        row /= w->dim[i];
        p.at[0] += p.index[i] * w->step[i][0];
        p.at[1] += p.index[i] * w->step[i][1];
    }
    return p;
}

static inline void tl_cpu_place_next(const struct tl_cpu_walk *w, struct tl_cpu_place *p)
{
    for (int i = w->rank - 2; i >= 0; i--) {
        p->at[0] += w->step[i][0];
        p->at[1] += w->step[i][1];
        if (++p->index[i] < w->dim[i]) return;
        p->index[i] = 0;
        p->at[0] -= w->step[i][0] * w->dim[i];
        p->at[1] -= w->step[i][1] * w->dim[i];
    }
}

/* Row-major steps of a dense shape, 0 along axes of 1. */
static inline void tl_cpu_dense_steps(const struct tl_shape *s, int64_t step[TL_RANK_MAX])
{
    int64_t n = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        step[i] = s->dim[i] == 1 ? 0 : n;
        n *= s->dim[i];
    }
}

#endif
