/* What recording functions share: the table, scratch, launches, windows. */
#include "tensor/vulkan_call.h"

#include <string.h>

#include "base/checked.h"
#include "tensor/plan.h"

#define tl_vulkan_reshape NULL /* the one row without work */
const tl_vulkan_record tl_vulkan_records[TL_N_OPS] = {
#define TL_OP(NAME, name, min_in, max_in, n_out) [TL_OP_##NAME] = tl_vulkan_##name,
#include "tensor/ops.def"
#undef TL_OP
};
#undef tl_vulkan_reshape

/* Lanes of a workgroup. llvmpipe has 8 at once and spends 130 ns on a workgroup: one of a few turns through a
 * long flat list is larger, one that loops over rows itself is not. */
enum { CPU_LANES = 8, CPU_FLAT_LANES = 64, GPU_LANES = 64, MANY_ROWS = 64 };

struct tl_gpu_slice tl_vulkan_scratch(struct tl_vulkan_call *call, int64_t elements)
{
    uint64_t begin = call->scratch_used,
             bytes = ((uint64_t)elements * 4 + TL_PLAN_ALIGN - 1) / TL_PLAN_ALIGN * TL_PLAN_ALIGN;
    call->scratch_used += bytes;
    struct tl_gpu_slice s = call->scratch;
    s.offset += begin;
    s.bytes = bytes;
    return s;
}

static uint32_t lanes_of(const struct tl_vulkan_call *call, const struct tl_vulkan_launch *launch)
{
    if (!call->cpu) return GPU_LANES;
    return launch->lanes >= 16 * CPU_FLAT_LANES ? CPU_FLAT_LANES : CPU_LANES;
}

/* n workgroups along x and y; a few in excess do nothing. */
static bool fold_groups(const struct tl_vulkan_call *call, int64_t n, uint32_t groups[3], struct tl_err *err)
{
    const struct tl_gpu_facts *f = tl_gpu_facts(call->gpu);
    int64_t x = tl_gpu_min(n, f->max_groups[0]), y = tl_gpu_ceil_div(n, x);
    x = tl_gpu_ceil_div(n, y);
    if (y > f->max_groups[1])
        return tl_err_set(err, TL_DEVICE, "%lld workgroups are more than the device takes", (long long)n);
    groups[0] = (uint32_t)x;
    groups[1] = (uint32_t)y;
    groups[2] = 1;
    return true;
}

bool tl_vulkan_run(struct tl_vulkan_call *call, const struct tl_vulkan_launch *launch, struct tl_err *err)
{
    if (!call->program) return true;
    const struct tl_gpu_facts *f = tl_gpu_facts(call->gpu);
    uint32_t spec[9] = {lanes_of(call, launch)};
    memcpy(spec + 1, launch->spec, sizeof launch->spec);
    struct tl_gpu_dispatch d = {.bind = launch->bind,
                                .n_bind = (size_t)launch->n_bind,
                                .push = launch->push,
                                .push_bytes = launch->push_bytes,
                                .work = 4 * launch->bytes,
                                .label = tl_op_name(call->node->op)};
    if (launch->rows) {
        if (!fold_groups(call, spec[1] == 0 ? tl_gpu_ceil_div(launch->rows, spec[0]) : launch->rows, d.groups,
                         err))
            return false;
    } else if (launch->lanes) {
        if (!fold_groups(call, tl_gpu_ceil_div(launch->lanes, spec[0]), d.groups, err)) return false;
    } else {
        for (int i = 0; i < 3; i++) {
            int64_t n = i == 0 ? tl_gpu_ceil_div(launch->groups[0], spec[0]) : launch->groups[i];
            if (n > f->max_groups[i])
                return tl_err_set(err, TL_DEVICE, "%lld workgroups are more than the device takes",
                                  (long long)n);
            d.groups[i] = (uint32_t)n;
        }
    }
    d.kernel = tl_gpu_kernel_get(call->gpu, launch->kernel, spec, (size_t)launch->n_spec + 1, err);
    return d.kernel && tl_gpu_program_dispatch(call->program, &d, err);
}

uint32_t tl_vulkan_row_share(const struct tl_vulkan_call *call, int64_t rows, int64_t c)
{
    if (!call->cpu) return 2;
    bool subgroup = tl_gpu_facts(call->gpu)->subgroup_size == CPU_LANES;
    /* A lane with a row to itself reads it up to three times; llvmpipe ends loops at 65,535 turns. */
    bool alone = rows >= MANY_ROWS && c < 4 * 15000;
    return alone ? 0 : subgroup ? 1 : 2;
}

int64_t tl_vulkan_limit(const struct tl_vulkan_call *call)
{
    return call->limit - 2 * TL_GPU_ALIGN / 4; /* a window may begin a little before what it is for */
}

bool tl_vulkan_rows_a_launch(const struct tl_vulkan_call *call, int64_t width, int64_t *out_rows,
                             struct tl_err *err)
{
    *out_rows = tl_vulkan_limit(call) / width;
    if (*out_rows > 0) return true;
    return tl_err_set(err, TL_DEVICE, "%lld numbers in a row are more than the device binds at once",
                      (long long)width);
}

struct tl_gpu_slice tl_vulkan_window(struct tl_gpu_slice s, int64_t first, int64_t n, int32_t *out_first)
{
    int64_t begin = first - first % (TL_GPU_ALIGN / 4), end = tl_gpu_ceil_div(first + n, 4) * 4;
    *out_first = (int32_t)begin;
    s.offset += (uint64_t)begin * 4;
    s.bytes = (uint64_t)(end - begin) * 4;
    return s;
}

struct tl_vulkan_divisor tl_vulkan_divisor(int64_t d)
{
    uint32_t shift = 0;
    while (((int64_t)1 << shift) < d) shift++;
    uint64_t power = (uint64_t)1 << (31 + shift);
    return (struct tl_vulkan_divisor){(uint32_t)((power + (uint64_t)d - 1) / (uint64_t)d), shift};
}

bool tl_vulkan_fits(const struct tl_vulkan_call *call, struct tl_err *err)
{
    const int64_t most = INT32_MAX - 4096;
    for (int i = 0; i < call->n_in; i++)
        if (call->in_shape[i] && tl_shape_count(call->in_shape[i]) > most)
            return tl_err_set(err, TL_DEVICE, "an operand of more than 2^31 elements; try a smaller batch");
    for (int i = 0; i < call->n_out; i++)
        if (tl_shape_count(call->out_shape[i]) > most)
            return tl_err_set(err, TL_DEVICE, "a result of more than 2^31 elements; try a smaller batch");
    return true;
}

void tl_vulkan_walk_axis(struct tl_vulkan_walk *w, int64_t dim, int64_t step0, int64_t step1)
{
    if (dim == 1) return;
    int i = w->rank - 1;
    if (i >= 0 && w->step[i][0] == step0 * dim && w->step[i][1] == step1 * dim) {
        w->dim[i] *= dim;
    } else {
        i = w->rank++;
        w->dim[i] = dim;
    }
    w->step[i][0] = step0;
    w->step[i][1] = step1;
}

void tl_vulkan_walk_end(struct tl_vulkan_walk *w)
{
    if (w->rank > 0) return;
    w->rank = 1;
    w->dim[0] = 1;
    w->step[0][0] = w->step[0][1] = 1;
}

void tl_vulkan_dense_steps(const struct tl_shape *s, int64_t step[TL_RANK_MAX])
{
    int64_t n = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        step[i] = s->dim[i] == 1 ? 0 : n;
        n *= s->dim[i];
    }
}
