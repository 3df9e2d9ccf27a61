#include "tensor/cpu_fast_micro.h"

/* A tile is mr rows by nv vectors of C, held in registers: 12 x 1, 12 x 2 or 8 x 3 of 32 registers; 6 x 1, 6
 * x 2 of 16. */
enum {
    NV_MAX = TL_VEC_REGISTERS == 32 ? 3 : 2,
    MR_MAX = TL_VEC_REGISTERS == 32 ? 12 : 6,
    K_CHUNK = 192,        /* rows of B that stay in the first-level cache while all rows of A pass by */
    NEAR_K = 512,         /* the same where A and B are copied: the second-level cache holds both */
    FAR_FLOATS = 1 << 18, /* from here on B comes from beyond the second-level cache */
    PACK_AHEAD = 16,      /* rows of B that are asked for before they are packed */
};

static const int mr_of_nv[4] = {0, MR_MAX, MR_MAX, TL_VEC_REGISTERS == 32 ? 8 : 4};

struct tile {
    const float *a;
    const int64_t *row; /* rows of A; NULL: lda apart */
    int64_t lda;
    float *c;
    const float *init; /* what C starts from, beside the bias, or NULL; rows as C's */
    const int64_t *c_row;
    int64_t ldc;
    const int64_t *seg;
    int64_t n_seg, len, step;
    const float *b;
    int64_t ldb;
    const float *bias;
    int last; /* lanes in use in the last vector */
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE tl_vec load_lanes(const float *p, int v, int nv, int last)
{
    return v == nv - 1 ? tl_vec_load_part(p + v * TL_VEC, last) : tl_vec_load(p + v * TL_VEC);
}

ALWAYS_INLINE int64_t row_at(const int64_t *table, int64_t ld, int r)
{
    return table ? table[r] : r * ld;
}

ALWAYS_INLINE void tile_run(const struct tile *t, const int mr, const int nv, const bool along)
{
    tl_vec acc[MR_MAX][NV_MAX];
#pragma GCC unroll 4
    for (int v = 0; v < nv; v++) {
        tl_vec bias = t->bias ? load_lanes(t->bias, v, nv, t->last) : (tl_vec){0};
#pragma GCC unroll 16
        for (int r = 0; r < mr; r++) acc[r][v] = bias;
    }
    if (t->init) {
#pragma GCC unroll 16
        for (int r = 0; r < mr; r++)
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++)
                acc[r][v] += load_lanes(t->init + row_at(t->c_row, t->ldc, r), v, nv, t->last);
    }
    const float *b = t->b;
    const int64_t ldb = t->ldb, len = t->len, step = t->step;
    for (int64_t s = 0; s < t->n_seg; s++) {
        const float *a[MR_MAX];
#pragma GCC unroll 16
        for (int r = 0; r < mr; r++) a[r] = t->a + (along ? row_at(t->row, t->lda, r) : 0) + t->seg[s];
        for (int64_t i = 0; i < len; i++, b += ldb) {
            tl_vec w[NV_MAX];
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) w[v] = tl_vec_load(b + v * TL_VEC);
#pragma GCC unroll 16
            for (int r = 0; r < mr; r++) {
                tl_vec x = tl_vec_splat(along ? a[r][i] : a[0][i * step + r]);
#pragma GCC unroll 4
                for (int v = 0; v < nv; v++) acc[r][v] += x * w[v];
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) {
            float *c = t->c + row_at(t->c_row, t->ldc, r) + v * TL_VEC;
            if (v == nv - 1)
                tl_vec_store_part(c, acc[r][v], t->last);
            else
                tl_vec_store(c, acc[r][v]);
        }
}

#define KERNEL(mr, nv)                                                                                       \
    static __attribute__((noinline)) void along_##mr##_##nv(const struct tile *t)                            \
    {                                                                                                        \
        tile_run(t, mr, nv, true);                                                                           \
    }                                                                                                        \
    static __attribute__((noinline)) void across_##mr##_##nv(const struct tile *t)                           \
    {                                                                                                        \
        tile_run(t, mr, nv, false);                                                                          \
    }
#define KERNELS(nv) KERNEL(1, nv) KERNEL(2, nv) KERNEL(4, nv)
KERNELS(1)
KERNELS(2)
#ifdef TL_VEC_AVX512
KERNELS(3)
KERNEL(12, 1)
KERNEL(12, 2)
KERNEL(8, 1)
KERNEL(8, 2)
KERNEL(8, 3)
#else
KERNEL(6, 1)
KERNEL(6, 2)
#endif

typedef void (*kernel)(const struct tile *t);
#define ROW(mr, nv) [nv - 1][mr] = {across_##mr##_##nv, along_##mr##_##nv}
#define ROWS(nv)    ROW(1, nv), ROW(2, nv), ROW(4, nv)
static const kernel kernels[NV_MAX][MR_MAX + 1][2] = {
    ROWS(1), ROWS(2),
#ifdef TL_VEC_AVX512
    ROWS(3), ROW(12, 1), ROW(12, 2), ROW(8, 1), ROW(8, 2), ROW(8, 3),
#else
    ROW(6, 1),  ROW(6, 2),
#endif
};

/* The largest tile that fits the rows left: a 12-row tile's rest goes as 8, 4, 2, 1. */
static int tile_rows(int64_t left, int nv)
{
    int full = mr_of_nv[nv];
    if (left >= full) return full;
    for (int mr = 8; mr > 1; mr /= 2)
        if (left >= mr && mr < full && kernels[nv - 1][mr][0]) return mr;
    return 1;
}

/* Vectors of columns are dealt evenly to panels of at most NV_MAX. */
static int64_t panels(int64_t n_vec)
{
    return (n_vec + NV_MAX - 1) / NV_MAX;
}

static int64_t panel_start(int64_t n_vec, int64_t panel)
{
    return n_vec * panel / panels(n_vec);
}

/* What B's next panel takes from memory, asked for while this one is worked on: a large B is read once, row
 * by row of a narrow column, and no hardware guesses that. */
struct ahead {
    const float *b; /* NULL: nothing */
    int64_t ldb, rows;
    int lines;
};

static void fetch(const struct ahead *next, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        for (int l = 0; l < next->lines; l++)
            __builtin_prefetch(next->b + i * next->ldb + l * (64 / (int)sizeof(float)), 0, 2);
}

/* One panel of C against one chunk of k. first: C starts from bias, add, or itself; later chunks add to it.
 */
static void run_panel(const struct tl_micro *p, struct tile *t, const struct ahead *next, int64_t v0, int nv,
                      bool first)
{
    int64_t n0 = v0 * TL_VEC, n_valid = p->n - n0;
    bool along = p->step == 1;
    t->last = n_valid >= (int64_t)nv * TL_VEC ? TL_VEC : (int)(n_valid - (int64_t)(nv - 1) * TL_VEC);
    t->bias = first && p->bias ? p->bias + n0 : NULL;
    const float *init = !first || p->accumulate ? p->c : p->add;
    t->lda = p->lda;
    t->ldc = p->ldc;
    for (int64_t r = 0; r < p->m;) {
        int64_t c = n0 + (p->c_row ? 0 : r * p->ldc);
        t->a = p->a + (p->row ? 0 : r * p->lda);
        t->row = p->row ? p->row + r : NULL;
        t->c = p->c + c;
        t->init = init ? init + c : NULL;
        t->c_row = p->c_row ? p->c_row + r : NULL;
        int mr = tile_rows(p->m - r, nv);
        if (next->b) fetch(next, next->rows * r / p->m, next->rows * (r + mr) / p->m);
        kernels[nv - 1][mr][along](t);
        r += mr;
    }
}

/* Row k0 of panel i of B, and how far apart its rows are. */
static const float *panel_of(const struct tl_micro *p, int64_t i, int64_t k0, int64_t *ldb)
{
    int64_t n_vec = tl_micro_vectors(p->n), k = p->b_rows ? p->b_rows : p->n_seg * p->len,
            v0 = panel_start(n_vec, i);
    *ldb = p->ldb ? p->ldb : (panel_start(n_vec, i + 1) - v0) * TL_VEC;
    return p->ldb ? p->b + k0 * p->ldb + v0 * TL_VEC : p->b + v0 * TL_VEC * k + (p->b_row + k0) * *ldb;
}

/* Panel i + 1, or where this was the last, the first one's next rows. */
static struct ahead look_ahead(const struct tl_micro *p, int64_t i, int64_t end, int64_t k0, int64_t rows)
{
    int64_t k = p->n_seg * p->len, n_vec = tl_micro_vectors(p->n);
    struct ahead next = {.rows = rows};
    if (k * p->n < FAR_FLOATS) return next;
    if (++i == end) {
        i = p->panel;
        k0 += rows;
        next.rows = k - k0 < rows ? k - k0 : rows;
    }
    if (next.rows <= 0) return next;
    next.b = panel_of(p, i, k0, &next.ldb);
    next.lines = (int)(panel_start(n_vec, i + 1) - panel_start(n_vec, i)) * TL_VEC * (int)sizeof(float) / 64;
    return next;
}

/* Segments seg[0 .. n_seg), of which columns [i0, i0 + len) take part; k0 is their first row of B. */
static void run_chunk(const struct tl_micro *p, const int64_t *seg, int64_t n_seg, int64_t len, int64_t k0,
                      bool first)
{
    int64_t n_vec = tl_micro_vectors(p->n), end = p->n_panels ? p->panel + p->n_panels : panels(n_vec);
    for (int64_t i = p->panel; i < end; i++) {
        int64_t v0 = panel_start(n_vec, i);
        struct tile t = {.seg = seg, .n_seg = n_seg, .len = len, .step = p->step};
        struct ahead next = look_ahead(p, i, end, k0, n_seg * len);
        t.b = panel_of(p, i, k0, &t.ldb);
        run_panel(p, &t, &next, v0, (int)(panel_start(n_vec, i + 1) - v0), first);
    }
}

int64_t tl_micro_panels(int64_t n)
{
    return panels(tl_micro_vectors(n));
}

/* Only the columns of this run's panels: other runs have the others. */
static void add_rows(const struct tl_micro *p)
{
    int64_t n_vec = tl_micro_vectors(p->n), end = p->n_panels ? p->panel + p->n_panels : panels(n_vec);
    int64_t j0 = panel_start(n_vec, p->panel) * TL_VEC, j1 = panel_start(n_vec, end) * TL_VEC;
    if (j1 > p->n) j1 = p->n;
    for (int64_t r = 0; r < p->m; r++) {
        int64_t at = p->c_row ? p->c_row[r] : r * p->ldc;
        for (int64_t j = j0; j < j1; j++) p->c[at + j] += p->add[at + j];
    }
}

/* Rows of `floats`, whole vectors long and never a power of two apart. */
static int64_t near_ld(int64_t floats)
{
    return ((floats + TL_VEC - 1) / TL_VEC | 1) * TL_VEC;
}

static int64_t near_deepest(int64_t k)
{
    int64_t parts = (k + NEAR_K - 1) / NEAR_K;
    return (k + parts - 1) / parts;
}

static size_t near_a_size(int64_t m, int64_t k)
{
    int64_t along = m * near_ld(near_deepest(k)), across = near_deepest(k) * near_ld(m);
    return (size_t)(along > across ? along : across);
}

size_t tl_micro_near_size(int64_t m, int64_t k)
{
    return near_a_size(m, k) + (size_t)(near_deepest(k) * NV_MAX * TL_VEC);
}

/* Columns [i0, i0 + len) of A; *near tells where they are then. */
static void near_a(const struct tl_micro *p, struct tl_micro *near, int64_t i0, int64_t len)
{
    bool along = p->step == 1;
    int64_t rows = along ? p->m : len, n = along ? len : p->m, ld = near_ld(n),
            from = along ? p->lda : p->step;
    for (int64_t r = 0; r < rows; r++)
        memcpy(p->near + r * ld, p->a + (along ? i0 : i0 * from) + r * from, (size_t)n * sizeof(float));
    near->a = p->near;
    near->lda = along ? ld : 1;
    near->step = along ? 1 : ld;
}

/* Rows [i0, i0 + len) of the nv vectors of B from v0 on. */
static void near_b(const struct tl_micro *p, float *dst, int64_t v0, int64_t nv, int64_t i0, int64_t len)
{
    int64_t left = p->n - v0 * TL_VEC;
    struct tl_micro_pack pack = {.dst = dst,
                                 .k = len,
                                 .n = left < nv * TL_VEC ? left : nv * TL_VEC,
                                 .src = p->b + i0 * p->near_k + v0 * TL_VEC * p->near_n,
                                 .stride_k = p->near_k,
                                 .stride_n = p->near_n,
                                 .n_k = len};
    tl_micro_pack(&pack, 0, nv);
}

/* What near_b reads for the panel of nv vectors from v0 on. */
static struct ahead near_ahead(const struct tl_micro *p, int64_t v0, int64_t nv, int64_t i0, int64_t len)
{
    int64_t left = p->n - v0 * TL_VEC, cols = left < nv * TL_VEC ? left : nv * TL_VEC,
            line = 64 / sizeof(float);
    bool along = p->near_n == 1;
    return (struct ahead){.b = p->b + i0 * p->near_k + v0 * TL_VEC * p->near_n,
                          .ldb = along ? p->near_k : p->near_n,
                          .rows = along ? len : cols,
                          .lines = (int)(((along ? cols : len) + line - 1) / line)};
}

static void run_near(const struct tl_micro *p)
{
    static const int64_t zero = 0;
    int64_t n_vec = tl_micro_vectors(p->n), end = p->n_panels ? p->panel + p->n_panels : panels(n_vec);
    int64_t parts = (p->len + NEAR_K - 1) / NEAR_K;
    float *b = p->near + near_a_size(p->m, p->len);
    struct tl_micro near = *p;
    for (int64_t part = 0; part < parts; part++) {
        int64_t i0 = p->len * part / parts, i1 = p->len * (part + 1) / parts;
        near_a(p, &near, i0, i1 - i0);
        for (int64_t j = p->panel; j < end; j++) {
            int64_t v0 = panel_start(n_vec, j), v1 = panel_start(n_vec, j + 1);
            struct tile t = {.seg = &zero, .n_seg = 1, .len = i1 - i0, .step = near.step};
            struct ahead next = {0};
            if (j + 1 < end) next = near_ahead(p, v1, panel_start(n_vec, j + 2) - v1, i0, i1 - i0);
            t.b = b;
            t.ldb = (v1 - v0) * TL_VEC;
            near_b(p, b, v0, v1 - v0, i0, i1 - i0);
            run_panel(&near, &t, &next, v0, (int)(v1 - v0), part == 0);
        }
    }
}

void tl_micro_run(const struct tl_micro *p)
{
    static const int64_t zero = 0;
    const int64_t *seg = p->seg ? p->seg : &zero;
    if (p->m == 0 || p->n == 0) return;
    if (p->accumulate && p->add) add_rows(p);
    if (p->n_seg == 0 || p->len == 0) {
        run_chunk(p, seg, 0, 0, 0, true);
    } else if (p->near) {
        run_near(p);
    } else if (p->len > K_CHUNK) {
        int64_t parts = (p->len + K_CHUNK - 1) / K_CHUNK;
        for (int64_t s = 0; s < p->n_seg; s++)
            for (int64_t i = 0; i < parts; i++) {
                int64_t i0 = p->len * i / parts, i1 = p->len * (i + 1) / parts, at = seg[s] + i0 * p->step;
                run_chunk(p, &at, 1, i1 - i0, s * p->len + i0, s == 0 && i == 0);
            }
    } else {
        int64_t group = K_CHUNK / p->len;
        for (int64_t s = 0; s < p->n_seg; s += group) {
            int64_t g = p->n_seg - s < group ? p->n_seg - s : group;
            run_chunk(p, seg + s, g, p->len, s * p->len, s == 0);
        }
    }
}

size_t tl_micro_packed_size(int64_t k, int64_t n)
{
    return (size_t)(k * tl_micro_vectors(n) * TL_VEC);
}

/* A square from rows of src, ld apart: n_rows of them, n_cols wide; the rest is zero. */
static void load_square(tl_vec r[TL_VEC], const float *src, int64_t ld, int n_rows, int n_cols)
{
    for (int j = 0; j < TL_VEC; j++) r[j] = j < n_rows ? tl_vec_load_part(src + j * ld, n_cols) : (tl_vec){0};
}

/* One vector of columns, `valid` of them real, into dst with row stride ld. */
static void pack_vector(float *dst, int64_t ld, const float *src, const struct tl_micro_pack *p, int valid)
{
    if (p->stride_n == 1) {
        for (int64_t i = 0; i < p->n_k; i++)
            tl_vec_store(dst + i * ld, tl_vec_load_part(src + i * p->stride_k, valid));
        return;
    }
    for (int64_t i = 0; i < p->n_k; i += TL_VEC) { /* stride_k is 1 */
        int n = p->n_k - i < TL_VEC ? (int)(p->n_k - i) : TL_VEC;
        tl_vec r[TL_VEC];
        load_square(r, src + i, p->stride_n, valid, n);
        tl_vec_transpose(r);
        for (int j = 0; j < n; j++) tl_vec_store(dst + (i + j) * ld, r[j]);
    }
}

void tl_micro_turn(float *dst, int64_t ld_dst, const float *src, int64_t ld_src, int64_t rows, int64_t cols,
                   const float *scale)
{
    for (int64_t i = 0; i < rows; i += TL_VEC)
        for (int64_t j = 0; j < cols; j += TL_VEC) {
            int n_rows = rows - i < TL_VEC ? (int)(rows - i) : TL_VEC,
                n_cols = cols - j < TL_VEC ? (int)(cols - j) : TL_VEC;
            tl_vec r[TL_VEC], by = scale ? tl_vec_load_part(scale + j, n_cols) : tl_vec_splat(1);
            load_square(r, src + i * ld_src + j, ld_src, n_rows, n_cols);
            for (int k = 0; k < TL_VEC; k++) r[k] *= by;
            tl_vec_transpose(r);
            for (int k = 0; k < n_cols; k++) tl_vec_store_part(dst + (j + k) * ld_dst + i, r[k], n_rows);
        }
}

/* A panel, nv vectors wide, from rows of src: whole rows at a time read memory best. */
ALWAYS_INLINE void pack_rows(float *dst, const float *src, const struct tl_micro_pack *p, const int nv,
                             int last)
{
    for (int64_t i = 0; i < p->n_k; i++, src += p->stride_k, dst += nv * TL_VEC)
        for (int v = 0; v < nv; v++) {
            /* An address, not a pointer: it may lie behind the array. */
            __builtin_prefetch(
                (const void *)((uintptr_t)src +
                               (uintptr_t)(PACK_AHEAD * p->stride_k + v * TL_VEC) * sizeof *src),
                0, 2);
            tl_vec_store(dst + v * TL_VEC, load_lanes(src, v, nv, last));
        }
}

static void pack_panel(float *dst, const float *src, const struct tl_micro_pack *p, int nv, int last)
{
    if (nv == 1) pack_rows(dst, src, p, 1, last);
    if (nv == 2) pack_rows(dst, src, p, 2, last);
    if (nv == 3) pack_rows(dst, src, p, 3, last);
}

void tl_micro_pack(const struct tl_micro_pack *p, int64_t v0, int64_t v1)
{
    int64_t n_vec = tl_micro_vectors(p->n), panel = 0;
    for (int64_t v = v0, next; v < v1; v = next) {
        while (panel_start(n_vec, panel + 1) <= v) panel++;
        int64_t start = panel_start(n_vec, panel), nv = panel_start(n_vec, panel + 1) - start;
        float *dst = p->dst + start * TL_VEC * p->k + p->k0 * nv * TL_VEC + (v - start) * TL_VEC;
        const float *src = p->src + v * TL_VEC * p->stride_n;
        bool whole = p->stride_n == 1 && v == start && v + nv <= v1;
        next = whole ? v + nv : v + 1;
        int64_t left = p->n - (next - 1) * TL_VEC;
        int last = left < TL_VEC ? (int)left : TL_VEC;
        if (whole)
            pack_panel(dst, src, p, (int)nv, last);
        else
            pack_vector(dst, nv * TL_VEC, src, p, last);
    }
}
