/* InceptionV3, VGGish and Cnn14 of the fixture fad_nets (random weights, widths divided by 16 and 32) against
 * PyTorch on every device, and what a file that is none of them is told. */
#include "support/check.h"

#include <unistd.h>

#include "base/arena.h"
#include "models/cnn14.h"
#include "models/inception.h"
#include "models/vggish.h"
#include "tensor/exec.h"

#define FIXTURE TL_SOURCE_DIR "/tests/fixtures/fad_nets/"

enum net { INCEPTION, VGGISH, CNN14 };

struct call {
    enum net net;
    int option; /* block; with the last relu */
};

static tl_val build(const struct call *call, struct tl_nn *nn, const struct tl_weights_file *file,
                    const struct tl_cnn14 *cnn14, tl_val x)
{
    switch (call->net) {
    case INCEPTION:
        return tl_inception_build(nn, file, x, call->option);
    case VGGISH:
        return tl_vggish_build(nn, file, x, call->option);
    default:
        return tl_cnn14_build(nn, cnn14, x);
    }
}

static struct tl_graph *graph(const struct call *call, const struct tl_weights_file *file,
                              const struct tl_cnn14 *cnn14, struct tl_shape shape)
{
    struct tl_graph *g = tl_graph_create();
    struct tl_nn nn = tl_weights_file_nn(file, g);
    tl_output(g, build(call, &nn, file, cnn14, tl_input(g, "in", TL_F32, shape)), "out");
    return g;
}

/* NCHW of the fixture to NHWC. */
static float *read_input(const struct tl_st_tensor *t, struct tl_shape *out_shape)
{
    struct tl_err err = {0};
    size_t n = t->shape[0], c = t->shape[1], hw = t->shape[2] * t->shape[3];
    float *file = malloc(t->n * sizeof *file), *x = malloc(t->n * sizeof *x);
    check_ok(tl_st_to_f32(t, file, &err), &err);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < c; k++)
            for (size_t p = 0; p < hw; p++) x[(i * hw + p) * c + k] = file[(i * c + k) * hw + p];
    free(file);
    *out_shape = tl_shape4((int64_t)n, (int64_t)t->shape[2], (int64_t)t->shape[3], (int64_t)c);
    return x;
}

static void check_net(struct tl_device *device, const struct tl_st_file *io, const char *path,
                      struct call call, const char *in, const char *out)
{
    struct tl_err err = {0};
    struct tl_weights_file file = {0};
    struct tl_cnn14 cnn14;
    struct tl_shape shape;
    check_ok(tl_weights_file_open(&file, path, &err), &err);
    if (call.net == CNN14) check_ok(tl_cnn14_read(&file, &cnn14, &err), &err);
    float *x = read_input(tl_st_find(io, in), &shape);
    struct tl_graph *declared = graph(&call, &file, &cnn14, shape), *g = graph(&call, &file, &cnn14, shape);
    check_ok(tl_graph_ok(g, &err), &err);
    float eps = call.net == INCEPTION ? tl_inception_norm_eps : tl_cnn14_norm_eps;
    check_ok(tl_weights_file_load(&file, device, &declared, eps, &err), &err);
    struct tl_exec *exec = tl_exec_create(device, &g, &err);
    if (!exec) fail_msg("%s", err.text);
    check_ok(tl_exec_bind(exec, TL_SET_BASE, file.store, &err), &err);
    const struct tl_st_tensor *t = tl_st_find(io, out);
    float *ours = malloc(t->n * sizeof *ours), *theirs = malloc(t->n * sizeof *theirs);
    check_ok(tl_exec_write(exec, "in", x, &err) && tl_exec_run(exec, &err) &&
                 tl_exec_read(exec, "out", ours, &err) && tl_st_to_f32(t, theirs, &err),
             &err);
    double e = check_rel_l2(ours, theirs, t->n);
    printf("%-8s %-18s %.1e\n", device->name, out, e);
    if (!(e < 3e-5)) fail_msg("%s: relative error %.3g", out, e);
    free(ours);
    free(theirs);
    free(x);
    tl_exec_destroy(&exec);
    tl_weights_file_finish(&file);
}

static void check_all(const char *name)
{
    struct tl_err err = {0};
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = name}, &err);
    if (!device && err.code == TL_DEVICE) {
        printf("skipped: %s\n", err.text);
        return;
    }
    if (!device) fail_msg("%s", err.text);
    struct tl_st_file *io = tl_st_open(FIXTURE "io.safetensors", &err);
    if (!io) fail_msg("%s", err.text);
    for (int block = 0; block < TL_INCEPTION_BLOCKS; block++) {
        char out[32];
        snprintf(out, sizeof out, "inception.out.%d", block);
        check_net(device, io, FIXTURE "inception.safetensors", (struct call){INCEPTION, block}, "inception.x",
                  out);
    }
    check_net(device, io, FIXTURE "vggish.safetensors", (struct call){VGGISH, 0}, "vggish.x", "vggish.out");
    check_net(device, io, FIXTURE "vggish.safetensors", (struct call){VGGISH, 1}, "vggish.x",
              "vggish.activated");
    check_net(device, io, FIXTURE "cnn14.safetensors", (struct call){CNN14, 0}, "cnn14.x", "cnn14.out");
    tl_st_close(&io);
    tl_device_close(&device);
}

static void test_cpu(void **state)
{
    (void)state;
    check_all("cpu");
}

static void test_vulkan(void **state)
{
    (void)state;
    check_all("vulkan");
}

/* ---- other names, other files ---- */

struct renaming {
    const char *from, *to;
};

/* A copy of a safetensors file in which names that begin with `from` begin with `to`; to NULL: left out. */
static void copy_renamed(const char *source, const char *target, const struct renaming *rows, size_t n_rows)
{
    struct tl_err err = {0};
    struct tl_arena names = {0};
    struct tl_st_file *file = tl_st_open(source, &err);
    if (!file) fail_msg("%s", err.text);
    struct tl_st_item *items = calloc(tl_st_count(file), sizeof *items);
    size_t n = 0;
    for (size_t i = 0; i < tl_st_count(file); i++) {
        const struct tl_st_tensor *t = tl_st_at(file, i);
        const char *name = t->name;
        for (size_t k = 0; name && k < n_rows; k++) {
            size_t length = strlen(rows[k].from);
            if (strncmp(t->name, rows[k].from, length) != 0) continue;
            name = rows[k].to ? tl_arena_printf(&names, "%s%s", rows[k].to, t->name + length) : NULL;
        }
        if (!name) continue;
        items[n] = (struct tl_st_item){.name = name, .dtype = t->dtype, .rank = t->rank, .data = t->data};
        memcpy(items[n++].shape, t->shape, sizeof t->shape);
    }
    check_ok(tl_st_write(target, items, n, NULL, &err), &err);
    free(items);
    tl_arena_finish(&names);
    tl_st_close(&file);
}

static char temporary[] = "/tmp/tiller-fad-nets-XXXXXX";
static char path[sizeof temporary + 32];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(temporary)) return -1;
    snprintf(path, sizeof path, "%s/weights.safetensors", temporary);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(temporary);
}

static void test_names(void **state)
{
    (void)state;
    static const struct renaming wrapper[] = {{"Conv2d_1a_3x3", "blocks.0.0"},
                                              {"Conv2d_2a_3x3", "blocks.0.1"},
                                              {"Conv2d_2b_3x3", "blocks.0.2"},
                                              {"Conv2d_3b_1x1", "blocks.1.0"},
                                              {"Conv2d_4a_3x3", "blocks.1.1"},
                                              {"Mixed_5b", "blocks.2.0"},
                                              {"Mixed_5c", "blocks.2.1"},
                                              {"Mixed_5d", "blocks.2.2"},
                                              {"Mixed_6a", "blocks.2.3"},
                                              {"Mixed_6b", "blocks.2.4"},
                                              {"Mixed_6c", "blocks.2.5"},
                                              {"Mixed_6d", "blocks.2.6"},
                                              {"Mixed_6e", "blocks.2.7"},
                                              {"Mixed_7a", "blocks.3.0"},
                                              {"Mixed_7b", "blocks.3.1"},
                                              {"Mixed_7c", "blocks.3.2"},
                                              {"fc", NULL}};
    struct tl_err err = {0};
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = "cpu"}, &err);
    struct tl_st_file *io = tl_st_open(FIXTURE "io.safetensors", &err);
    if (!device || !io) fail_msg("%s", err.text);
    copy_renamed(FIXTURE "inception.safetensors", path, wrapper, sizeof wrapper / sizeof *wrapper);
    check_net(device, io, path, (struct call){INCEPTION, 3}, "inception.x", "inception.out.3");
    copy_renamed(FIXTURE "cnn14.safetensors", path, &(struct renaming){"", "model."}, 1);
    check_net(device, io, path, (struct call){CNN14, 0}, "cnn14.x", "cnn14.out");
    tl_st_close(&io);
    tl_device_close(&device);
}

/* ---- halves ---- */

/* A copy whose variances no F16 holds, too large and too small ones by turns, the weights made to fit. */
static void copy_scaled(const char *source, const char *target)
{
    struct tl_err err = {0};
    struct tl_st_file *file = tl_st_open(source, &err);
    if (!file) fail_msg("%s", err.text);
    size_t n = tl_st_count(file);
    struct tl_st_item *items = calloc(n, sizeof *items);
    for (size_t i = 0; i < n; i++) {
        const struct tl_st_tensor *t = tl_st_at(file, i);
        float *x = malloc((t->n + 1) * sizeof *x);
        check_ok(tl_st_to_f32(t, x, &err), &err);
        bool is_var = strstr(t->name, "running_var") != NULL;
        bool is_weight = t->rank == 1 && strstr(t->name, ".weight");
        for (size_t c = 0; c < t->n; c++) {
            float s = c % 2 ? 3000 : 1.0f / 3000;
            x[c] *= is_var ? s * s : is_weight ? s : 1;
        }
        items[i] = (struct tl_st_item){.name = t->name, .dtype = TL_ST_F32, .rank = t->rank, .data = x};
        memcpy(items[i].shape, t->shape, sizeof t->shape);
    }
    check_ok(tl_st_write(target, items, n, NULL, &err), &err);
    for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)items[i].data);
    free(items);
    tl_st_close(&file);
}

/* Of weights in a dtype: the network's rows for the fixture's input. */
static float *run_as(struct tl_device *device, const struct tl_st_file *io, enum tl_dtype dtype,
                     struct call call, const char *in, size_t n)
{
    struct tl_err err = {0};
    struct tl_weights_file file = {.dtype = dtype};
    struct tl_cnn14 cnn14;
    struct tl_shape shape;
    check_ok(tl_weights_file_open(&file, path, &err), &err);
    if (call.net == CNN14) check_ok(tl_cnn14_read(&file, &cnn14, &err), &err);
    float *x = read_input(tl_st_find(io, in), &shape);
    struct tl_graph *declared = graph(&call, &file, &cnn14, shape), *g = graph(&call, &file, &cnn14, shape);
    float eps = call.net == INCEPTION ? tl_inception_norm_eps : tl_cnn14_norm_eps;
    check_ok(tl_weights_file_load(&file, device, &declared, eps, &err), &err);
    struct tl_exec *exec = tl_exec_create(device, &g, &err);
    if (!exec) fail_msg("%s", err.text);
    float *y = malloc(n * sizeof *y);
    check_ok(tl_exec_bind(exec, TL_SET_BASE, file.store, &err) && tl_exec_write(exec, "in", x, &err) &&
                 tl_exec_run(exec, &err) && tl_exec_read(exec, "out", y, &err),
             &err);
    free(x);
    tl_exec_destroy(&exec);
    tl_weights_file_finish(&file);
    return y;
}

static void test_half_norms(void **state)
{
    static const struct {
        struct call call;
        const char *source, *in, *out;
    } nets[] = {{{INCEPTION, 3}, FIXTURE "inception.safetensors", "inception.x", "inception.out.3"},
                {{CNN14, 0}, FIXTURE "cnn14.safetensors", "cnn14.x", "cnn14.out"}};
    static const struct {
        enum tl_dtype dtype;
        double most;
    } halves[] = {{TL_F16, 3e-3}, {TL_BF16, 3e-2}};
    struct tl_err err = {0};
    (void)state;
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = "cpu"}, &err);
    struct tl_st_file *io = tl_st_open(FIXTURE "io.safetensors", &err);
    if (!device || !io) fail_msg("%s", err.text);
    for (size_t i = 0; i < 2; i++) {
        size_t n = tl_st_find(io, nets[i].out)->n;
        copy_scaled(nets[i].source, path);
        float *whole = run_as(device, io, TL_F32, nets[i].call, nets[i].in, n);
        for (size_t k = 0; k < 2; k++) {
            float *y = run_as(device, io, halves[k].dtype, nets[i].call, nets[i].in, n);
            double e = check_rel_l2(y, whole, n);
            printf("%s in %s: %.1e from F32\n", nets[i].in, tl_dtype_name(halves[k].dtype), e);
            if (!(e > 0 && e < halves[k].most)) fail_msg("%s: off by %g", nets[i].in, e);
            free(y);
        }
        free(whole);
    }
    tl_st_close(&io);
    tl_device_close(&device);
}

static void check_refused(const char *source, struct renaming row, struct call call, const char *part)
{
    struct tl_err err = {0};
    struct tl_weights_file file = {0};
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = "cpu"}, &err);
    copy_renamed(source, path, &row, 1);
    check_ok(tl_weights_file_open(&file, path, &err), &err);
    struct tl_graph *g =
        graph(&call, &file, NULL, tl_shape4(1, 96, call.net == VGGISH ? 64 : 96, call.net == VGGISH ? 1 : 3));
    assert_false(tl_weights_file_load(&file, device, &g, 1e-3f, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    if (!strstr(err.text, part) || !strstr(err.text, path)) fail_msg("'%s' says not '%s'", err.text, part);
    assert_null(g);
    tl_weights_file_finish(&file);
    tl_device_close(&device);
}

static void test_refusals(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_weights_file file = {0};
    struct tl_cnn14 cnn14;
    check_refused(FIXTURE "inception.safetensors", (struct renaming){"Mixed_6c.branch7x7_2", NULL},
                  (struct call){INCEPTION, 3}, "Mixed_6c.branch7x7_2.conv.weight is missing");
    check_refused(FIXTURE "inception.safetensors",
                  (struct renaming){"Mixed_5b.branch1x1.bn.running_var", NULL}, (struct call){INCEPTION, 3},
                  "Mixed_5b.branch1x1.bn.running_var is missing");
    check_refused(FIXTURE "vggish.safetensors", (struct renaming){"features.3.bias", "features.3.b"},
                  (struct call){VGGISH, 0}, "features.3.bias is missing");
    check_ok(tl_weights_file_open(&file, FIXTURE "vggish.safetensors", &err), &err);
    assert_false(tl_cnn14_read(&file, &cnn14, &err));
    assert_non_null(strstr(err.text, "is not a file of PANNs' Cnn14"));
    assert_non_null(strstr(err.text, "embeddings.0.bias"));
    tl_weights_file_finish(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cpu), cmocka_unit_test(test_vulkan),
                                       cmocka_unit_test(test_names), cmocka_unit_test(test_half_norms),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
