#include "gpu/gpu_peak.h"

#include "base/clock.h"
#include "gpu/gpu_buffer.h"
#include "gpu/gpu_command.h"
#include "gpu/gpu_context.h"
#include "gpu/gpu_pipeline.h"

/* CPU drivers: lanes of one vector, and loops well below the 60,000 rounds after which llvmpipe ends an
 * invocation. */
enum { TURNS = 1024, ROUNDS = 64, REPEATS = 5, MOST_GROUPS = 1 << 15 };
static const uint64_t triad_bytes = (uint64_t)64 << 20; /* each of three arrays */

struct loop {
    struct tl_gpu_dispatch dispatch;
    double per_group; /* operations or bytes of one group */
};

/* Best seconds of one dispatch. */
static bool time_dispatch(struct tl_gpu *gpu, const struct tl_gpu_dispatch *dispatch, int repeats,
                          double *out_s, struct tl_err *err)
{
    struct tl_gpu_program *program = tl_gpu_program_create(gpu, NULL, err);
    bool ok = program && tl_gpu_program_dispatch(program, dispatch, err) && tl_gpu_program_end(program, err);
    for (int r = -1; ok && r < repeats; r++) { /* the first warms up */
        double start = tl_clock_s();
        ok = tl_gpu_program_run(program, err) && tl_gpu_wait(gpu, err);
        double s = tl_clock_s() - start;
        if (r <= 0 || s < *out_s) *out_s = s;
    }
    tl_gpu_program_destroy(&program);
    return ok;
}

/* Doubles the work until a run takes long enough to be timed, then takes the best of some. */
static bool measure(struct tl_gpu *gpu, struct loop *loop, uint32_t most, double *out_rate,
                    struct tl_err *err)
{
    double s = 0;
    for (;;) {
        if (!time_dispatch(gpu, &loop->dispatch, 1, &s, err)) return false;
        if (s >= 0.02 || loop->dispatch.groups[0] >= most) break;
        loop->dispatch.groups[0] *= 2;
    }
    if (!time_dispatch(gpu, &loop->dispatch, REPEATS, &s, err)) return false;
    *out_rate = loop->per_group * (double)loop->dispatch.groups[0] / (s > 0 ? s : 1e-9);
    return true;
}

static bool measure_fma(struct tl_gpu *gpu, struct tl_gpu_buffer *out, uint32_t lanes, double *out_flops,
                        struct tl_err *err)
{
    const uint32_t spec[2] = {lanes, TURNS};
    const float push[2] = {0.999999f, 1e-6f};
    const struct tl_gpu_slice bind[1] = {tl_gpu_slice(out, 0, 0)};
    struct loop loop = {.per_group = 384.0 * TURNS * lanes};
    loop.dispatch = (struct tl_gpu_dispatch){.kernel = tl_gpu_kernel_get(gpu, "peak_fma", spec, 2, err),
                                             .bind = bind,
                                             .n_bind = 1,
                                             .push = push,
                                             .push_bytes = sizeof push,
                                             .groups = {16, 1, 1}};
    return loop.dispatch.kernel && measure(gpu, &loop, MOST_GROUPS, out_flops, err);
}

static bool measure_triad(struct tl_gpu *gpu, struct tl_gpu_buffer *const buffers[3], uint32_t lanes,
                          double *out_bytes_s, struct tl_err *err)
{
    const uint32_t spec[2] = {lanes, ROUNDS};
    const float push[1] = {3};
    const struct tl_gpu_slice bind[3] = {tl_gpu_slice(buffers[0], 0, 0), tl_gpu_slice(buffers[1], 0, 0),
                                         tl_gpu_slice(buffers[2], 0, 0)};
    uint32_t groups = (uint32_t)(triad_bytes / 16 / lanes / ROUNDS);
    struct loop loop = {.per_group = 48.0 * lanes * ROUNDS};
    loop.dispatch = (struct tl_gpu_dispatch){.kernel = tl_gpu_kernel_get(gpu, "peak_triad", spec, 2, err),
                                             .bind = bind,
                                             .n_bind = 3,
                                             .push = push,
                                             .push_bytes = sizeof push,
                                             .groups = {groups, 1, 1}};
    return loop.dispatch.kernel && measure(gpu, &loop, groups, out_bytes_s, err);
}

bool tl_gpu_peak(struct tl_gpu *gpu, double *out_flops, double *out_bytes_s, struct tl_err *err)
{
    struct tl_gpu_buffer *buffers[3] = {NULL};
    uint32_t lanes = tl_gpu_facts(gpu)->kind == TL_GPU_CLASS_CPU ? 8 : 256;
    bool ok = true;
    for (int i = 0; ok && i < 3; i++)
        ok = (buffers[i] = tl_gpu_buffer_create(gpu, TL_GPU_LOCAL, triad_bytes, err)) != NULL;
    ok = ok && measure_fma(gpu, buffers[0], lanes, out_flops, err) &&
         measure_triad(gpu, buffers, lanes, out_bytes_s, err);
    for (int i = 0; i < 3; i++) tl_gpu_buffer_destroy(&buffers[i]);
    return ok;
}
