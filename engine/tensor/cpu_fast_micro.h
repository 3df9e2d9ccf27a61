/* The one matrix kernel under gemm, convolution and attention on the cpu: C = A B (+ bias, + add, + C),
 * single-threaded.
 *
 * A is read where it lies, through rows and segments, so that a convolution is a product
 * whose rows are output pixels and whose segments are kernel rows of a padded picture: element (r, k) of A,
 * with k = s * len + i, lies at a[row(r) + seg[s] + i * step] Either step is 1 (rows are read along memory)
 * or row(r) is r (columns are: A transposed). B is packed in panels that a core's vector registers hold, or
 * read where it lies if its width divides by the vector width. Large products copy both, block by block, into
 * `near`: a B packed whole is written to and read again from beyond the second-level cache, which costs more
 * than each piece's own copies, and A's rows a power of two apart share few lines of a cache.
 *
 * Why not a BLAS: OpenBLAS 0.3.21 takes Xeons that it does not know (model 207) for a Prescott, a fifth of
 * the speed, and decides that before main; and for 16..64 channels its own packing costs more than the
 * product. Sums run in a fixed order. */
#ifndef TL_TENSOR_CPU_FAST_MICRO_H
#define TL_TENSOR_CPU_FAST_MICRO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/cpu_fast_vec.h"

struct tl_micro {
    int64_t m, n; /* C is m x n */
    const float *a;
    const int64_t *row; /* row(r); NULL: r * lda */
    int64_t lda;
    const int64_t *seg; /* n_seg offsets; NULL: one segment at 0 */
    int64_t n_seg, len; /* k = n_seg * len */
    int64_t step;       /* 1, or anything where lda is 1 and row is NULL */
    const float *b;     /* k x n */
    int64_t
        ldb; /* 0: packed by tl_micro_pack; else b is row-major with this row stride, and n % TL_VEC is 0 */
    int64_t b_rows, b_row; /* if packed: rows of the whole B, 0 for k; the first of them that takes part */
    float *near; /* NULL, or tl_micro_near_size(m, k) floats: then b is the plain matrix, element (i, j) of it
                    b[i * near_k + j * near_n], one of which is 1, and there are no row, seg, c_row */
    int64_t near_k, near_n;
    float *c;
    const int64_t *c_row; /* NULL: r * ldc */
    int64_t ldc;
    const float *bias;       /* n, or NULL */
    const float *add;        /* rows as C's, or NULL */
    bool accumulate;         /* C += */
    int64_t panel, n_panels; /* only these of tl_micro_panels(n); n_panels 0: all */
};

void tl_micro_run(const struct tl_micro *p);

/* Groups of columns that are worked on together: what a product can be split by. */
int64_t tl_micro_panels(int64_t n);

/* Floats of `near` for m rows of A, k deep. */
size_t tl_micro_near_size(int64_t m, int64_t k);

/* Floats that k x n takes when packed. */
size_t tl_micro_packed_size(int64_t k, int64_t n);

/* Packing goes by vectors of columns, so that workers can share it: vectors [v0, v1) of tl_micro_vectors(n).
 * Rows k0 .. k0 + n_k - 1 of a matrix of k rows; element (i, j) of them is src[i * stride_k + j * stride_n].
 */
static inline int64_t tl_micro_vectors(int64_t n)
{
    return (n + TL_VEC - 1) / TL_VEC;
}

struct tl_micro_pack {
    float *dst;
    int64_t k, n;
    const float *src;
    int64_t stride_k, stride_n;
    int64_t k0, n_k;
};
void tl_micro_pack(const struct tl_micro_pack *p, int64_t v0, int64_t v1);

/* dst[cols, rows] = transposed src[rows, cols], whose column j is multiplied by scale[j] (NULL: 1). */
void tl_micro_turn(float *dst, int64_t ld_dst, const float *src, int64_t ld_src, int64_t rows, int64_t cols,
                   const float *scale);

#endif
