/* Every variant of the convolutions against sums in double on the host. */
#include "support_gpu.h"

#include "gpu/gpu_conv.h"

/* n, h, w, ci, out_h, out_w, co, kh, kw, stride, dilation, pad */
static const struct tl_gpu_conv_shape shapes[] = {
    {2, 8, 8, 8, 8, 8, 12, 3, 3, {1, 1}, {1, 1}, {1, 1}},
    {1, 5, 7, 3, 5, 7, 5, 3, 3, {1, 1}, {1, 1}, {1, 1}},
    {2, 8, 8, 8, 4, 4, 16, 3, 3, {2, 2}, {1, 1}, {1, 1}},
    {2, 8, 8, 4, 4, 4, 8, 3, 3, {2, 2}, {1, 1}, {0, 0}}, /* asymmetric: nothing above, one row below */
    {1, 9, 11, 5, 5, 4, 6, 3, 3, {2, 3}, {1, 1}, {1, 1}},
    {1, 12, 12, 8, 12, 12, 4, 3, 3, {1, 1}, {2, 2}, {2, 2}},
    {1, 13, 9, 4, 6, 4, 8, 3, 3, {2, 2}, {2, 3}, {2, 2}}, /* residues that no tap meets */
    {3, 6, 6, 64, 6, 6, 40, 1, 1, {1, 1}, {1, 1}, {0, 0}},
    {2, 1, 37, 6, 1, 19, 8, 1, 5, {1, 2}, {1, 1}, {0, 2}}, /* one dimension */
    {1, 1, 1, 1, 1, 1, 1, 1, 1, {1, 1}, {1, 1}, {0, 0}},
    {2, 4, 4, 36, 4, 4, 68, 3, 3, {1, 1}, {1, 1}, {1, 1}},
    {1, 16, 16, 4, 2, 2, 24, 8, 8, {8, 8}, {1, 1}, {0, 0}}, /* patches */
    {1, 6, 10, 8, 8, 12, 8, 3, 3, {1, 1}, {1, 1}, {2, 2}},  /* full: output larger than input */
};

enum op { FWD, DGRAD, WGRAD };
static const char *const op_names[] = {"fwd", "dgrad", "wgrad"};
static const char *const variant_names[] = {"auto", "plain", "texel", "shared"};

/* Adds alpha * the wanted sum of products onto `result`, all at once: every (output, tap, channel) triple
 * once. */
static void reference(const struct tl_gpu_conv_shape *s, enum op op, const float *x, const float *w,
                      const float *y, double *result)
{
    for (int64_t n = 0; n < s->n; n++)
        for (int64_t oh = 0; oh < s->out_h; oh++)
            for (int64_t ow = 0; ow < s->out_w; ow++)
                for (int64_t kh = 0; kh < s->kh; kh++)
                    for (int64_t kw = 0; kw < s->kw; kw++) {
                        const int64_t ih = oh * s->stride[0] + kh * s->dilation[0] - s->pad[0];
                        const int64_t iw = ow * s->stride[1] + kw * s->dilation[1] - s->pad[1];
                        if (ih < 0 || ih >= s->h || iw < 0 || iw >= s->w) continue;
                        const int64_t xi = ((n * s->h + ih) * s->w + iw) * s->c_in;
                        const int64_t yi = ((n * s->out_h + oh) * s->out_w + ow) * s->c_out;
                        const int64_t wi = (kh * s->kw + kw) * s->c_in * s->c_out;
                        for (int64_t i = 0; i < s->c_in; i++)
                            for (int64_t o = 0; o < s->c_out; o++) {
                                const int64_t wk = wi + i * s->c_out + o;
                                if (op == FWD) result[yi + o] += (double)x[xi + i] * w[wk];
                                if (op == DGRAD) result[xi + i] += (double)y[yi + o] * w[wk];
                                if (op == WGRAD) result[wk] += (double)x[xi + i] * y[yi + o];
                            }
                    }
}

struct options {
    bool bias, add, accumulate, scratch;
};

static void compare(enum op op, const struct tl_gpu_conv_shape *s, enum tl_gpu_variant variant,
                    struct options o)
{
    struct tl_gpu *gpu = support_gpu();
    struct tl_err err = {0};
    const size_t sizes[] = {(size_t)(s->n * s->h * s->w * s->c_in),
                            (size_t)(s->kh * s->kw * s->c_in * s->c_out),
                            (size_t)(s->n * s->out_h * s->out_w * s->c_out)};
    const size_t out = op == FWD ? 2 : op == DGRAD ? 0 : 1, n_out = sizes[out];
    float *v[3], *add = malloc(n_out * 4), *bias = malloc((size_t)s->c_out * 4), *got = malloc(n_out * 4);
    for (size_t i = 0; i < 3; i++) support_fill(v[i] = malloc(sizes[i] * 4), sizes[i], i + 1);
    support_fill(add, n_out, 7);
    support_fill(bias, (size_t)s->c_out, 8);
    struct tl_gpu_conv c = {.shape = *s,
                            .x = support_slice(v[0], sizes[0], 0),
                            .w = support_slice(v[1], sizes[1], 0),
                            .y = support_slice(v[2], sizes[2], 0),
                            .alpha = 0.75f,
                            .accumulate = o.accumulate,
                            .variant = variant};
    if (o.bias) c.bias = support_slice(bias, (size_t)s->c_out, 0);
    if (o.add) c.add = support_slice(add, n_out, 0);
    const uint64_t scratch = o.scratch ? tl_gpu_conv_scratch(gpu, &c) : 0;
    if (scratch) c.scratch = support_slice(NULL, scratch / 4, 0);
    struct tl_gpu_program *p = tl_gpu_program_create(gpu, NULL, &err);
    if (op == FWD) check_ok(tl_gpu_conv_forward(gpu, p, &c, &err), &err);
    if (op == DGRAD) check_ok(tl_gpu_conv_data_grad(gpu, p, &c, &err), &err);
    if (op == WGRAD) check_ok(tl_gpu_conv_weight_grad(gpu, p, &c, &err), &err);
    support_run(p);
    support_read(out == 0 ? &c.x : out == 1 ? &c.w : &c.y, got);
    double *sum = calloc(n_out, sizeof *sum);
    reference(s, op, v[0], v[1], v[2], sum);
    for (size_t i = 0; i < n_out; i++) {
        double want = sum[i] * (double)c.alpha;
        if (o.bias) want += bias[i % (size_t)s->c_out];
        if (o.add) want += add[i];
        if (o.accumulate) want += v[out][i];
        v[out][i] = (float)want;
    }
    double wrong = check_rel_l2(got, v[out], n_out);
    const int64_t terms = op == FWD     ? s->kh * s->kw * s->c_in
                          : op == DGRAD ? s->kh * s->kw * s->c_out
                                        : s->n * s->out_h * s->out_w;
    if (!(wrong < support_tolerance((double)terms)))
        fail_msg("conv_%s %s, %lldx%lld %lld to %lld channels: relative error %g (bias %d add %d accumulate "
                 "%d scratch %llu)",
                 op_names[op], variant_names[variant], (long long)s->h, (long long)s->w, (long long)s->c_in,
                 (long long)s->c_out, wrong, o.bias, o.add, o.accumulate, (unsigned long long)scratch);
    struct tl_gpu_slice *all[] = {&c.x, &c.w, &c.y, &c.bias, &c.add, &c.scratch};
    for (size_t i = 0; i < 6; i++) support_slice_free(all[i]);
    for (size_t i = 0; i < 3; i++) free(v[i]);
    free(add), free(bias), free(got), free(sum);
}

static void walk(enum op op)
{
    for (int v = TL_GPU_PLAIN; v <= TL_GPU_SHARED; v++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            compare(op, &shapes[i], v, (struct options){.scratch = true});
            compare(
                op, &shapes[i], v,
                (struct options){.bias = op == FWD, .add = op != WGRAD && i % 2, .accumulate = i % 3 != 1});
        }
}

static void test_forward(void **state)
{
    (void)state;
    walk(FWD);
}

static void test_data_grad(void **state)
{
    (void)state;
    walk(DGRAD);
}

static void test_weight_grad(void **state)
{
    (void)state;
    walk(WGRAD);
}

/* More rows of pixels than llvmpipe lets one invocation loop over. */
static void test_long_weight_grad(void **state)
{
    (void)state;
    const struct tl_gpu_conv_shape s = {1, 500, 700, 1, 500, 700, 1, 1, 1, {1, 1}, {1, 1}, {0, 0}};
    compare(WGRAD, &s, TL_GPU_TEXEL, (struct options){.scratch = true});
    compare(WGRAD, &s, TL_GPU_TEXEL, (struct options){.accumulate = true});
    compare(WGRAD, &s, TL_GPU_PLAIN, (struct options){0});
}

/* An output of more bytes than one binding may hold (128 MiB on llvmpipe). */
static void test_windows(void **state)
{
    (void)state;
    struct tl_gpu *gpu = support_gpu();
    struct tl_err err = {0};
    const struct tl_gpu_conv_shape s = {3, 1100, 1000, 1, 1100, 1000, 12, 1, 1, {1, 1}, {1, 1}, {0, 0}};
    const size_t n_x = 3 * 1100 * 1000, n_y = n_x * 12;
    float *x = malloc(n_x * 4), *got = malloc(n_y * 4), w[12];
    support_fill(x, n_x, 1);
    support_fill(w, 12, 2);
    struct tl_gpu_conv c = {.shape = s,
                            .x = support_slice(x, n_x, 0),
                            .w = support_slice(w, 12, 0),
                            .y = support_slice(NULL, n_y, 0),
                            .alpha = 1};
    struct tl_gpu_program *p = tl_gpu_program_create(gpu, NULL, &err);
    check_ok(tl_gpu_conv_forward(gpu, p, &c, &err), &err);
    support_run(p);
    support_read(&c.y, got);
    for (size_t i = 0; i < n_y; i += 101) check_near(got[i], x[i / 12] * w[i % 12], 1e-6);
    support_slice_free(&c.x);
    support_slice_free(&c.w);
    support_slice_free(&c.y);
    free(x), free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),     cmocka_unit_test(test_data_grad),
        cmocka_unit_test(test_weight_grad), cmocka_unit_test(test_long_weight_grad),
        cmocka_unit_test(test_windows),
    };
    support_gpu();
    return cmocka_run_group_tests(tests, NULL, support_gpu_close);
}
