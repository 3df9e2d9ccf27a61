#include "gpu/gpu_reduce.h"

#include "gpu/gpu_operand.h"

/* shaders/matmul/reduce_splits.comp */
struct reduce_push {
    int32_t rows, cols, n_splits;
    int32_t ldc, ldd, n_batch0;
    int32_t c0, c1, d0, d1;
    int32_t part_offset, c_offset, d_offset, bias_offset;
    float alpha;
};
_Static_assert(sizeof(struct reduce_push) == 60, "reduce_splits.comp");

bool tl_gpu_reduce_record(struct tl_gpu *gpu, struct tl_gpu_program *program, const struct tl_gpu_reduce *r,
                          struct tl_err *err)
{
    int64_t po, co, doff = 0, so = 0;
    const struct tl_gpu_slice part = tl_gpu_align_slice(r->part, &po);
    const struct tl_gpu_slice c = tl_gpu_align_slice(r->c, &co);
    struct tl_gpu_slice bias = part, add = part;
    if (r->bias.buffer) bias = tl_gpu_align_slice(r->bias, &so);
    if (r->add.buffer) add = tl_gpu_align_slice(r->add, &doff);
    const int64_t for_c[] = {r->cols, r->ldc, r->c_stride[0], r->c_stride[1], co, so};
    const int64_t for_d[] = {r->ldd, r->add_stride[0], r->add_stride[1], doff};
    const bool part_vec = r->cols % 4 == 0 && po % 4 == 0;
    const bool c_vec = tl_gpu_fours(for_c, 6) && (!r->add.buffer || tl_gpu_fours(for_d, 4));
    const uint32_t spec[] = {part_vec,     0, c_vec, r->bias.buffer != NULL, r->add.buffer != NULL,
                             r->accumulate};
    const struct tl_gpu_kernel *kernel = tl_gpu_kernel_get(gpu, "reduce_splits", spec, 6, err);
    if (!kernel) return false;
    const struct tl_gpu_slice bind[] = {tl_gpu_texels(part, part_vec), part, c, tl_gpu_texels(bias, c_vec),
                                        tl_gpu_texels(add, c_vec)};
    const struct reduce_push push = {
        .rows = (int32_t)r->rows,
        .cols = (int32_t)r->cols,
        .n_splits = (int32_t)r->n_splits,
        .ldc = (int32_t)r->ldc,
        .ldd = (int32_t)r->ldd,
        .n_batch0 = (int32_t)r->batch[0],
        .c0 = (int32_t)r->c_stride[0],
        .c1 = (int32_t)r->c_stride[1],
        .d0 = (int32_t)r->add_stride[0],
        .d1 = (int32_t)r->add_stride[1],
        .part_offset = (int32_t)po,
        .c_offset = (int32_t)co,
        .d_offset = (int32_t)doff,
        .bias_offset = (int32_t)so,
        .alpha = r->alpha,
    };
    const int64_t batches = r->batch[0] * r->batch[1];
    const struct tl_gpu_dispatch d = {
        .kernel = kernel,
        .bind = bind,
        .n_bind = 5,
        .push = &push,
        .push_bytes = sizeof push,
        .groups = {(uint32_t)tl_gpu_ceil_div(r->cols, 32), (uint32_t)r->rows, (uint32_t)batches},
        .work = 16.0 * (double)(r->n_splits * r->rows * r->cols * batches),
    };
    return tl_gpu_program_dispatch(program, &d, err);
}
