/* Components with weights in F16 and BF16, on every device: outputs near those of F32, outputs and gradients
 * equal to those of an F32 component that holds the rounded weights; what a gradient's plan needs more than
 * with F32 weights does not grow with the model. */
#include "support/check.h"

#include "io/json.h"
#include "models/forward.h"
#include "nn/lora.h"
#include "tensor/exec.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures/"

static const struct {
    const char *fixture, *method;
} rows[] = {
    {"unet_sd1", NULL}, {"unet_xl", NULL}, {"clip_model", NULL}, {"vae_sd", "encode"}, {"vae_sd", "decode"}};

static const struct {
    enum tl_dtype dtype;
    double tolerance; /* of outputs against F32 weights */
} halves[] = {{TL_F16, 2e-2}, {TL_BF16, 5e-2}};

static struct tl_component *open_as(struct tl_device *device, const char *fixture, enum tl_dtype dtype)
{
    struct tl_err err = {0};
    char path[1024];
    snprintf(path, sizeof path, FIXTURES "%s", fixture);
    struct tl_component *c = tl_component_open_as(device, path, dtype, &err);
    if (!c) fail_msg("%s: %s", fixture, err.text);
    assert_int_equal(c->dtype, dtype);
    assert_int_equal(c->layout->dtype, dtype);
    return c;
}

/* An F32 component with the numbers of one in halves. */
static struct tl_component *open_rounded(const struct tl_component *half, const char *fixture)
{
    struct tl_err err = {0};
    struct tl_component *c = open_as(half->store->device, fixture, TL_F32);
    size_t changed = 0;
    for (int32_t i = 0; i < c->layout->n_entries; i++) {
        size_t n = (size_t)tl_shape_count(&c->layout->entries[i].shape);
        float *w = malloc(2 * n * sizeof *w);
        check_ok(tl_store_read(half->store, tl_store_layout_find(half->layout, c->layout->entries[i].name), w,
                               &err),
                 &err);
        check_ok(tl_store_read(c->store, &c->layout->entries[i], w + n, &err), &err);
        check_ok(tl_store_write(c->store, &c->layout->entries[i], w, &err), &err);
        for (size_t k = 0; k < n; k++) changed += w[k] != w[n + k];
        free(w);
    }
    assert_true(changed > 1000); /* the fixture's weights are no halves */
    return c;
}

/* wrt: "grad." names of the fixture that are this method's. */
static void forward(struct tl_component *c, const char *method, const struct tl_st_file *io, bool gradients,
                    struct tl_forward_result *out)
{
    struct tl_err err = {0};
    const char *wrt[512];
    int n = 0;
    for (size_t i = 0; gradients && i < tl_st_count(io); i++) {
        const char *name = tl_st_at(io, i)->name;
        bool decoder = strncmp(name + 5, "decoder.", 8) == 0 || strncmp(name + 5, "post_quant", 10) == 0 ||
                       strcmp(name + 5, "z") == 0;
        if (strncmp(name, "grad.", 5) == 0 && (!method || decoder == (strcmp(method, "decode") == 0)))
            wrt[n++] = name + 5;
    }
    struct tl_forward_call call = {.component = c,
                                   .method = method,
                                   .input = io,
                                   .cotangent = gradients ? io : NULL,
                                   .cotangent_prefix = "cot.",
                                   .wrt = wrt,
                                   .n_wrt = n};
    check_ok(tl_forward(&call, out, &err), &err);
    assert_true(!gradients || n > 4);
}

/* The worst relative L2 distance of an item from the same one of the reference. */
static double distance(const struct tl_forward_result *a, const struct tl_forward_result *b)
{
    double worst = 0;
    assert_true(a->n_items == b->n_items && a->n_items > 0);
    for (int i = 0; i < a->n_items; i++) {
        size_t n = 1;
        for (unsigned k = 0; k < a->items[i].rank; k++) n *= a->items[i].shape[k];
        double e = check_rel_l2(a->items[i].data, b->items[i].data, n);
        assert_string_equal(a->items[i].name, b->items[i].name);
        if (!(e <= worst)) worst = e;
    }
    return worst;
}

static void check_row(struct tl_device *device, size_t row)
{
    struct tl_err err = {0};
    char path[1024];
    snprintf(path, sizeof path, FIXTURES "%s/io.safetensors", rows[row].fixture);
    struct tl_st_file *io = tl_st_open(path, &err);
    check_ok(io, &err);
    struct tl_component *whole = open_as(device, rows[row].fixture, TL_F32);
    struct tl_forward_result reference;
    forward(whole, rows[row].method, io, false, &reference);
    for (size_t h = 0; h < sizeof halves / sizeof *halves; h++) {
        struct tl_component *c = open_as(device, rows[row].fixture, halves[h].dtype),
                            *rounded = open_rounded(c, rows[row].fixture);
        struct tl_forward_result r, g, g_rounded;
        forward(c, rows[row].method, io, false, &r);
        forward(c, rows[row].method, io, true, &g);
        forward(rounded, rows[row].method, io, true, &g_rounded);
        double near = distance(&r, &reference), exact = distance(&g, &g_rounded);
        printf("%-10s %-6s %-4s: %.1e from F32 weights, %.1e from rounded ones with gradients\n",
               rows[row].fixture, rows[row].method ? rows[row].method : "", tl_dtype_name(halves[h].dtype),
               near, exact);
        assert_true(near > 0 && near <= halves[h].tolerance);
        assert_true(exact <= 1e-5);
        tl_forward_result_finish(&r);
        tl_forward_result_finish(&g);
        tl_forward_result_finish(&g_rounded);
        tl_component_close(&c);
        tl_component_close(&rounded);
    }
    tl_forward_result_finish(&reference);
    tl_component_close(&whole);
    tl_st_close(&io);
}

static void check_device(const char *name)
{
    struct tl_err err = {0};
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = name, .threads = 1}, &err);
    if (!device && err.code == TL_DEVICE) {
        printf("skipped: %s\n", err.text);
        return;
    }
    if (!device) fail_msg("%s", err.text);
    printf("-- %s: %s\n", device->name, device->description);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check_row(device, i);
    tl_device_close(&device);
}

static void test_cpu(void **state)
{
    (void)state;
    check_device("cpu");
}

static void test_vulkan(void **state)
{
    (void)state;
    check_device("vulkan");
}

/* ---- memory ---- */

/* Bytes of the plan of a UNet's gradient, and of its weights as F32. */
static size_t plan_bytes(const union tl_component_config *config, enum tl_dtype dtype, bool lora,
                         bool checkpoint, size_t *out_weights)
{
    struct tl_err err = {0};
    struct tl_lora_spec spec;
    struct tl_plan plan;
    struct tl_graph *g = tl_graph_create();
    check_ok(tl_lora_spec_parse("", 2, 2, &spec, &err), &err);
    struct tl_nn nn = {.g = g,
                       .set = TL_SET_BASE,
                       .lora = lora ? &spec : NULL,
                       .lora_scale = TL_NONE,
                       .checkpoint = checkpoint,
                       .dtype = dtype};
    struct tl_unet_inputs in = {.sample = tl_input(g, "sample", TL_F32, tl_shape4(1, 8, 8, 4)),
                                .timestep = tl_input(g, "timestep", TL_F32, tl_shape1(1)),
                                .context = tl_input(g, "context", TL_F32, tl_shape3(1, 7, 8)),
                                .context_mask = TL_NONE,
                                .class_labels = TL_NONE,
                                .text_embeds = TL_NONE,
                                .time_ids = TL_NONE,
                                .timestep_cond = TL_NONE};
    tl_val y = tl_unet_build(&nn, &config->unet, &in),
           cot = tl_input(g, "cot", TL_F32, tl_shape4(1, 8, 8, 4));
    tl_graph_backward(g,
                      &(struct tl_backward_params){.outputs = &y,
                                                   .cotangents = &cot,
                                                   .n_outputs = 1,
                                                   .param_sets = 1u << (lora ? TL_SET_LORA : TL_SET_BASE)});
    check_ok(tl_graph_ok(g, &err), &err);
    *out_weights = 0;
    for (tl_val v = 0; v < g->n_values; v++)
        if (g->values[v].role == TL_ROLE_PARAM && g->values[v].set == TL_SET_BASE)
            *out_weights += (size_t)tl_shape_count(&g->values[v].shape) * sizeof(float);
    check_ok(tl_plan_make(g, sizeof(float), true, &plan, &err), &err);
    size_t bytes = plan.bytes;
    tl_plan_finish(&plan);
    tl_graph_destroy(&g);
    tl_lora_spec_finish(&spec);
    return bytes;
}

static void plans_do_not_hold_the_model(void **state)
{
    (void)state;
    struct tl_err err = {0};
    cJSON *json = tl_json_read(FIXTURES "unet_sd1/config.json", &err);
    check_ok(json, &err);
    const int channels[2] = {64, 128};
    cJSON_ReplaceItemInObject(json, "block_out_channels", cJSON_CreateIntArray(channels, 2));
    union tl_component_config config;
    check_ok(tl_component_class_of(json, &err)->parse(json, &config, &err), &err);
    for (int form = 0; form < 4; form++) {
        size_t weights, f32 = plan_bytes(&config, TL_F32, form & 1, form & 2, &weights),
                        f16 = plan_bytes(&config, TL_F16, form & 1, form & 2, &weights);
        printf("gradients of %s%s: a plan of %.2f MB with F32 weights, %.2f MB with F16; the weights are "
               "%.2f MB\n",
               form & 1 ? "a LoRA" : "all weights", form & 2 ? ", recomputed" : "", (double)f32 / 1e6,
               (double)f16 / 1e6, (double)weights / 1e6);
        assert_true(f16 < f32 + weights / 6);
    }
    cJSON_Delete(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cpu), cmocka_unit_test(test_vulkan),
                                       cmocka_unit_test(plans_do_not_hold_the_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
