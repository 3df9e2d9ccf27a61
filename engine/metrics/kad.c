#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/kernel_sums.h"

bool tl_kad_kernel(const struct tl_features *reference, const struct tl_features *evaluated,
                   const struct tl_kad_params *p, struct tl_pool *pool, struct tl_kernel *out,
                   double *out_bandwidth, struct tl_err *err)
{
    double bandwidth = p->bandwidth;
    if (p->from == TL_KAD_GIVEN && !(bandwidth > 0 && isfinite(bandwidth)))
        return tl_err_set(err, TL_USAGE, "the bandwidth is %g, expected a number above 0", bandwidth);
    if (p->from != TL_KAD_GIVEN &&
        !tl_median_distance(p->from == TL_KAD_EVALUATED ? evaluated : reference, pool, &bandwidth, err))
        return tl_err_add(err, "bandwidth");
    *out = (struct tl_kernel){.kind = p->kind == TL_KERNEL_POLYNOMIAL ? TL_KERNEL_GAUSSIAN : p->kind,
                              .gamma = 1 / (2 * bandwidth * bandwidth + 1e-8)};
    if (out_bandwidth) *out_bandwidth = bandwidth;
    return true;
}

bool tl_kad(const struct tl_features *reference, const struct tl_features *evaluated,
            const struct tl_kad_params *p, struct tl_pool *pool, double *out_value, double *out_bandwidth,
            struct tl_err *err)
{
    struct tl_kernel k;
    struct tl_mmd m = {0};
    if (!tl_kad_kernel(reference, evaluated, p, pool, &k, out_bandwidth, err) ||
        !tl_mmd(reference, evaluated, &k, true, TL_KAD_SCALE, pool, &m, err))
        return false;
    *out_value = m.value;
    return true;
}

/* The search for element `rank` of all squared distances. Doubles of one sign sort like their bits: a pass
 * counts the next DIGIT bits of those that share the bits known so far, and as soon as few enough share them,
 * they are kept and sorted. Counts and the set kept do not depend on who finds them first. */
enum { DIGIT = 16, N_COUNTS = 1 << DIGIT, KEEP = 1 << 21 };

struct search {
    uint64_t prefix;  /* the bits known, in place */
    unsigned n_known; /* how many, from the top */
    uint64_t rank;    /* among those that share them */
    uint64_t *counts; /* [workers][N_COUNTS] */
    double *kept;     /* [n_kept], or NULL in a counting pass */
    atomic_size_t n_kept;
};

static bool shares(const struct search *s, uint64_t bits)
{
    return s->n_known == 0 || (bits ^ s->prefix) >> (64 - s->n_known) == 0;
}

static void look(void *user, const double *d, size_t ld, size_t i0, size_t rows, size_t j0, size_t cols,
                 int worker)
{
    struct search *s = user;
    uint64_t *counts = s->counts + (size_t)worker * N_COUNTS;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols && j0 + c < i0 + r; c++) {
            uint64_t bits;
            memcpy(&bits, &d[r * ld + c], sizeof bits);
            if (!shares(s, bits)) continue;
            if (s->kept)
                s->kept[atomic_fetch_add_explicit(&s->n_kept, 1, memory_order_relaxed)] = d[r * ld + c];
            else
                counts[bits >> (64 - DIGIT - s->n_known) & (N_COUNTS - 1)]++;
        }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One counting pass: DIGIT more bits are known after it. Returns how many distances share them. */
static bool count_pass(const struct tl_rows64 *rows, struct search *s, size_t workers, struct tl_pool *pool,
                       uint64_t *out_sharing, struct tl_err *err)
{
    memset(s->counts, 0, workers * N_COUNTS * sizeof *s->counts);
    if (!tl_kernel_distances(rows, pool, look, s, err)) return false;
    for (uint64_t digit = 0; digit < N_COUNTS; digit++) {
        uint64_t count = 0;
        for (size_t w = 0; w < workers; w++) count += s->counts[w * N_COUNTS + digit];
        if (s->rank < count) {
            s->n_known += DIGIT;
            s->prefix |= digit << (64 - s->n_known);
            *out_sharing = count;
            return true;
        }
        s->rank -= count;
    }
    return tl_err_set(err, TL_NUMERIC, "the median distance was not found");
}

static bool keep_pass(const struct tl_rows64 *rows, struct search *s, uint64_t sharing, struct tl_pool *pool,
                      double *out, struct tl_err *err)
{
    s->kept = malloc(sharing * sizeof *s->kept);
    if (!s->kept) return tl_err_set(err, TL_FAIL, "no memory for %zu distances", (size_t)sharing);
    bool ok = tl_kernel_distances(rows, pool, look, s, err);
    if (ok) {
        qsort(s->kept, s->n_kept, sizeof *s->kept, by_value);
        *out = s->kept[s->rank];
    }
    free(s->kept);
    return ok;
}

bool tl_median_distance(const struct tl_features *x, struct tl_pool *pool, double *out, struct tl_err *err)
{
    if (!tl_features_check(x, err)) return false;
    if (x->n < 2)
        return tl_err_set(err, TL_BAD_INPUT, "a median distance needs two embeddings or more, there is one");
    size_t workers = pool ? (size_t)tl_pool_threads(pool) : 1;
    uint64_t pairs = (uint64_t)x->n * (x->n - 1) / 2, sharing = pairs;
    struct tl_rows64 rows = {0};
    struct search s = {.rank = (pairs - 1) / 2, .counts = malloc(workers * N_COUNTS * sizeof *s.counts)};
    double *shift = tl_rows64_mean(x, err), squared = 0;
    bool ok = s.counts || tl_err_set(err, TL_FAIL, "no memory for a median distance");
    ok = ok && shift && tl_rows64_init(&rows, x, shift, err);
    while (ok && sharing > KEEP && s.n_known < 64) ok = count_pass(&rows, &s, workers, pool, &sharing, err);
    if (ok && s.n_known == 64)
        memcpy(&squared, &s.prefix, sizeof squared);
    else if (ok)
        ok = keep_pass(&rows, &s, sharing, pool, &squared, err);
    *out = sqrt(squared);
    free(s.counts);
    free(shift);
    tl_rows64_finish(&rows);
    return ok;
}
