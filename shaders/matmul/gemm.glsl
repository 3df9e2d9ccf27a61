// What all matrix products share: C[M,N] = alpha * A op B (+ bias[N]) (+ D[M,N]) (+ C), for batches and for splits of K.
//   OP_NN  A[M,K] B[K,N]     OP_NT  A[M,K] B[N,K]     OP_TN  A[K,M] B[K,N]
// z = (batch1 * batch0_count + batch0) * n_splits + split. Strides and offsets in elements. With n_splits > 1 the
// output is a stack of partial sums, `split_stride` apart; reduce_splits adds them. Mirrors struct gemm_push (gpu_gemm.c).
layout(push_constant) uniform Push {
    int M, N, K;
    int lda, ldb, ldc, ldd;
    int n_batch0;
    int a0_stride, b0_stride, c0_stride, d0_stride;
    int a1_stride, b1_stride, c1_stride, d1_stride;
    int a_offset, b_offset, c_offset, d_offset, bias_offset;
    int n_splits, k_part, split_stride;
    float alpha;
} p;

struct Place {
    int a, b, c, d;     // first element of this batch's matrices
    int k_begin, k_end; // part of K that this split sums
};

Place place(int z)
{
    const int split = z % p.n_splits;
    const int batch = z / p.n_splits;
    const int i0 = batch % p.n_batch0;
    const int i1 = batch / p.n_batch0;
    Place s;
    s.a = p.a_offset + i0 * p.a0_stride + i1 * p.a1_stride;
    s.b = p.b_offset + i0 * p.b0_stride + i1 * p.b1_stride;
    s.c = p.c_offset + i0 * p.c0_stride + i1 * p.c1_stride + split * p.split_stride;
    s.d = p.d_offset + i0 * p.d0_stride + i1 * p.d1_stride;
    s.k_begin = split * p.k_part;
    s.k_end = min(p.K, s.k_begin + p.k_part);
    return s;
}
