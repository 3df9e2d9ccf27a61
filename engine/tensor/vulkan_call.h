/* Inside of the vulkan device: what the function that records an op is given, and how it launches kernels.
 *
 * Kernels (shaders/) read operands as texel buffers and write results as storage buffers, four neighbours a
 * lane. Every value begins at a multiple of 256 bytes and is padded to that, so reading the last four whole
 * is safe. Storage bindings are limited (128 MiB on llvmpipe): large results are made in windows. */
#ifndef TL_TENSOR_VULKAN_CALL_H
#define TL_TENSOR_VULKAN_CALL_H

#include "gpu/gpu_command.h"
#include "gpu/gpu_context.h"
#include "gpu/gpu_operand.h"
#include "tensor/graph.h"

struct tl_vulkan_call {
    struct tl_gpu *gpu;
    struct tl_gpu_program *program; /* NULL: a dry run that only finds out how much scratch is needed */
    bool cpu;                       /* a driver that runs on the CPU */
    int64_t limit;                  /* elements that a storage binding may have */
    const struct tl_node *node;
    const union tl_attr *attr;
    int n_in, n_out;
    const struct tl_shape *in_shape[TL_MAX_IN]; /* NULL where the operand is absent */
    const struct tl_shape *out_shape[TL_MAX_OUT];
    struct tl_gpu_slice in[TL_MAX_IN]; /* no buffer where absent */
    struct tl_gpu_slice out[TL_MAX_OUT];
    bool wanted[TL_MAX_OUT]; /* somebody reads it */
    bool accumulate;         /* add into out[0] */
    struct tl_gpu_slice scratch;
    uint64_t scratch_used; /* by this node */
};

typedef bool (*tl_vulkan_record)(struct tl_vulkan_call *call, struct tl_err *err);

/* Indexed by enum tl_op; NULL: no work (reshape). */
extern const tl_vulkan_record tl_vulkan_records[TL_N_OPS];

/* One function a row of ops.def that makes work. */
#define TL_OP(NAME, name, min_in, max_in, n_out)                                                             \
    bool tl_vulkan_##name(struct tl_vulkan_call *call, struct tl_err *err);
#include "tensor/ops.def"
#undef TL_OP

/* Memory for this node alone, `elements` floats, at a multiple of 256 bytes. */
struct tl_gpu_slice tl_vulkan_scratch(struct tl_vulkan_call *call, int64_t elements);

/* A launch. spec[0] is the size of a workgroup and is filled in; `spec` gives the constants from 1 on. */
struct tl_vulkan_launch {
    const char *kernel;
    uint32_t spec[8];
    int n_spec;
    struct tl_gpu_slice bind[12];
    int n_bind;
    const void *push;
    size_t push_bytes;
    int64_t lanes;     /* a flat grid of lanes, or: */
    int64_t groups[3]; /* workgroups; groups[0] counts lanes along x */
    int64_t rows;      /* or: rows, shared as row_share says */
    double bytes;      /* about what is moved: an estimate of the work */
};
bool tl_vulkan_run(struct tl_vulkan_call *call, const struct tl_vulkan_launch *launch, struct tl_err *err);

/* How lib/row.glsl shares rows of c numbers: its constant SHARE. */
uint32_t tl_vulkan_row_share(const struct tl_vulkan_call *call, int64_t rows, int64_t c);

/* Elements of a result that one launch may write. */
int64_t tl_vulkan_limit(const struct tl_vulkan_call *call);
/* Rows of so many elements that one launch may write: at least 1, or an error. */
bool tl_vulkan_rows_a_launch(const struct tl_vulkan_call *call, int64_t width, int64_t *out_rows,
                             struct tl_err *err);
/* Elements [first, first + n) of a result, cut open at an aligned place; *out_first is the element there. */
struct tl_gpu_slice tl_vulkan_window(struct tl_gpu_slice s, int64_t first, int64_t n, int32_t *out_first);

/* Division by a multiplication, as lib/lanes.glsl does it: for numbers below 2^31. */
struct tl_vulkan_divisor {
    uint32_t mul, shift;
};
struct tl_vulkan_divisor tl_vulkan_divisor(int64_t d);

/* Refuses what 32-bit indices cannot reach. */
bool tl_vulkan_fits(const struct tl_vulkan_call *call, struct tl_err *err);

static inline struct tl_gpu_slice tl_vulkan_ints(struct tl_gpu_slice s)
{
    s.texel = TL_GPU_R32I;
    return s;
}

/* Axes of a walk, outermost first: neighbours that step alike in both places are merged, axes of 1 dropped.
 */
struct tl_vulkan_walk {
    int rank;
    int64_t dim[TL_RANK_MAX], step[TL_RANK_MAX][2];
};
void tl_vulkan_walk_axis(struct tl_vulkan_walk *w, int64_t dim, int64_t step0, int64_t step1);
void tl_vulkan_walk_end(struct tl_vulkan_walk *w); /* never empty */
/* Row-major steps of a dense shape, 0 along axes of 1. */
void tl_vulkan_dense_steps(const struct tl_shape *s, int64_t step[TL_RANK_MAX]);

/* y (+)= sums of x (or of its squares) over the axes in fold, for every place of keep; y is dense in keep's
 * order. step[..][0] are x's. */
struct tl_vulkan_sum {
    struct tl_gpu_slice x, y;
    struct tl_vulkan_walk keep, fold;
    bool square, accumulate;
};
bool tl_vulkan_sum(struct tl_vulkan_call *call, const struct tl_vulkan_sum *sum, struct tl_err *err);
/* y[c] (+)= sum over rows of x[rows][c] */
bool tl_vulkan_sum_rows(struct tl_vulkan_call *call, struct tl_gpu_slice x, int64_t rows, int64_t c,
                        struct tl_gpu_slice y, bool accumulate, struct tl_err *err);

/* y [batch][cols][rows] = x [batch][rows][cols] with its last two axes exchanged */
bool tl_vulkan_transpose(struct tl_vulkan_call *call, struct tl_gpu_slice x, int64_t batch, int64_t rows,
                         int64_t cols, struct tl_gpu_slice y, struct tl_err *err);

#endif
