/* Training that goes on from a LoRA file: the spec means the file's layers, the store gives the file's
 * product, and what does not fit is one message. */
#include "support/check.h"

#include <unistd.h>

#include <tiller/log.h>

#include "models/component.h"
#include "models/lora_start.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures"

static struct tl_device *device;
static char folder[] = "/tmp/tiller-lora-start-XXXXXX";
static char path[256];
static int n_logged;

static void count_log(void *user, enum tl_log_level level, const char *text)
{
    (void)user, (void)level, (void)text;
    n_logged++;
}

static struct tl_component *open_unet(const char *name, struct tl_lora_model *model)
{
    struct tl_err err = {0};
    char where[256];
    snprintf(where, sizeof where, FIXTURES "/%s", name);
    struct tl_component *c = tl_component_open(device, where, &err);
    if (!c) fail_msg("%s", err.text);
    *model = (struct tl_lora_model){.part = {c->layout}};
    return c;
}

static size_t down_count(const struct tl_lora_layer *l)
{
    size_t out = (size_t)l->entry->shape.dim[l->entry->shape.rank - 1];
    return (size_t)l->rank * (size_t)tl_shape_count(&l->entry->shape) / out;
}

static size_t up_count(const struct tl_lora_layer *l)
{
    return (size_t)l->rank * (size_t)l->entry->shape.dim[l->entry->shape.rank - 1];
}

static void add_sums(const struct tl_lora_layer *l, double *out)
{
    for (size_t i = 0; i < up_count(l); i++) out[0] += l->scale * (double)l->up[i] * (double)(i % 7 + 1);
    for (size_t i = 0; i < down_count(l); i++) out[1] += (double)l->down[i] * (double)(i % 5 + 1);
}

/* Through a trainable store and back, as a training without a step would write it. */
static struct tl_lora_file through_store(struct tl_component *c, const struct tl_lora_model *model,
                                         const struct tl_lora_start *start)
{
    struct tl_err err = {0};
    struct tl_lora_file g;
    const struct tl_lora_spec *spec = tl_lora_start_spec(start, TL_LORA_UNET);
    struct tl_graph *graph = tl_graph_create();
    struct tl_nn nn = {.g = graph, .lora = spec, .lora_scale = TL_NONE};
    c->cls->declare(&nn, &c->config);
    check_ok(tl_graph_ok(graph, &err), &err);
    const struct tl_graph *const graphs[1] = {graph};
    struct tl_store_layout *layout = tl_store_layout_create(graphs, 1, TL_SET_LORA, NULL, NULL, &err);
    if (!layout) fail_msg("%s", err.text);
    struct tl_store *store = tl_store_create(device, layout, &err);
    check_ok(store && tl_lora_start_fill(start, TL_LORA_UNET, store, &err), &err);
    check_ok(tl_lora_file_from_store(store, model, TL_LORA_UNET, spec->alpha / spec->rank, &g, &err), &err);
    tl_store_destroy(&store);
    tl_store_layout_destroy(&layout);
    tl_graph_destroy(&graph);
    return g;
}

static void test_same_bits(void **state)
{
    (void)state;
    static const char *const forms[] = {"pytorch_lora_weights.safetensors", "kohya.safetensors", "peft"};
    for (size_t k = 0; k < 3; k++) {
        struct tl_err err = {0};
        struct tl_lora_model model;
        struct tl_lora_file f, g;
        struct tl_component *c = open_unet("pipeline_sd1/unet", &model);
        snprintf(path, sizeof path, FIXTURES "/lora_sd1/%s", forms[k]);
        struct tl_lora_start *s = tl_lora_start_open(path, &model, 1u << TL_LORA_UNET, &err);
        if (!s) fail_msg("%s", err.text);
        const struct tl_lora_spec *spec = tl_lora_start_spec(s, TL_LORA_UNET);
        assert_int_equal(spec->rank, 4);
        assert_true(spec->alpha == 4);
        assert_int_equal(spec->n_targets, 4); /* to_q to_k to_v to_out.0 and no other */
        assert_int_equal(
            tl_lora_rank(
                &(struct tl_lora_spec){.rank = 1, .targets = spec->targets, .n_targets = spec->n_targets},
                "down.attn1.to_out.0"),
            1);
        assert_string_equal(tl_lora_start_about(s, TL_LORA_UNET), "32 layers of rank 4, alpha 4");
        assert_null(tl_lora_start_spec(s, TL_LORA_TEXT));
        g = through_store(c, &model, s);
        check_ok(tl_lora_file_read(path, &model, &f, &err), &err);
        assert_int_equal(g.n, f.n);
        for (size_t i = 0; i < f.n; i++)
            for (size_t j = 0; j < g.n; j++) {
                const struct tl_lora_layer *x = &f.layers[i], *y = &g.layers[j];
                if (x->entry != y->entry) continue;
                assert_true(x->scale == y->scale && x->rank == y->rank);
                assert_memory_equal(x->down, y->down, down_count(x) * sizeof *x->down);
                assert_memory_equal(x->up, y->up, up_count(x) * sizeof *x->up);
            }
        tl_lora_file_finish(&f);
        tl_lora_file_finish(&g);
        tl_lora_start_close(&s);
        tl_component_close(&c);
    }
}

/* Two layers of other ranks and scales, one of them alone in its kind: one scale serves both. */
static const char *write_mixed(const char *first, const char *second, uint64_t in)
{
    static float values[512];
    static char keys[6][160];
    struct tl_err err = {0};
    const char *const modules[2] = {first, second};
    struct tl_st_item items[6];
    float *alphas = values + 500;
    for (size_t i = 0; i < 500; i++) values[i] = (float)((i * 37) % 101) / 50 - 1;
    for (size_t k = 0; k < 2; k++) {
        uint64_t rank = k + 2;
        alphas[k] = (float)(k + 1);
        snprintf(keys[3 * k], sizeof keys[0], "lora_unet_%s.lora_down.weight", modules[k]);
        snprintf(keys[3 * k + 1], sizeof keys[0], "lora_unet_%s.lora_up.weight", modules[k]);
        snprintf(keys[3 * k + 2], sizeof keys[0], "lora_unet_%s.alpha", modules[k]);
        items[3 * k] = (struct tl_st_item){
            .name = keys[3 * k], .dtype = TL_ST_F32, .rank = 2, .shape = {rank, in}, .data = values};
        items[3 * k + 1] = (struct tl_st_item){
            .name = keys[3 * k + 1], .dtype = TL_ST_F32, .rank = 2, .shape = {8, rank}, .data = values + 50};
        items[3 * k + 2] =
            (struct tl_st_item){.name = keys[3 * k + 2], .dtype = TL_ST_F32, .data = &alphas[k]};
    }
    snprintf(path, sizeof path, "%s/mixed.safetensors", folder);
    check_ok(tl_st_write(path, items, 6, NULL, &err), &err);
    return path;
}

#define BLOCK "mid_block_attentions_0_transformer_blocks_0_"

static void test_mixed_ranks(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_lora_model model;
    struct tl_lora_file f, g;
    struct tl_component *c = open_unet("pipeline_sd1/unet", &model);
    write_mixed(BLOCK "attn1_to_q", BLOCK "attn1_to_k", 8);
    struct tl_lora_start *s = tl_lora_start_open(path, &model, 1u << TL_LORA_UNET, &err);
    if (!s) fail_msg("%s", err.text);
    const struct tl_lora_spec *spec = tl_lora_start_spec(s, TL_LORA_UNET);
    assert_int_equal(spec->rank, 3);
    assert_non_null(strstr(tl_lora_start_about(s, TL_LORA_UNET), "ranks 2 to 3"));
    assert_true(spec->alpha == 3);
    assert_int_equal(spec->n_targets, 0); /* no name end means these two layers alone */
    assert_int_equal(tl_lora_rank(spec, "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"), 2);
    assert_int_equal(tl_lora_rank(spec, "mid_block.attentions.0.transformer_blocks.0.attn1.to_v"), 0);
    g = through_store(c, &model, s);
    check_ok(tl_lora_file_read(path, &model, &f, &err), &err);
    assert_int_equal(g.n, 2);
    double ours[2] = {0}, theirs[2] = {0};
    for (size_t i = 0; i < 2; i++) {
        add_sums(&g.layers[i], ours);
        add_sums(&f.layers[i], theirs);
    }
    check_near(ours[0], theirs[0], 1e-6);
    assert_true(ours[1] == theirs[1]);
    tl_lora_file_finish(&f);
    tl_lora_file_finish(&g);
    tl_lora_start_close(&s);
    tl_component_close(&c);
}

static void refuses(const char *file, const struct tl_lora_model *model, unsigned parts, const char *says,
                    const char *says_too)
{
    struct tl_err err = {0};
    n_logged = 0;
    tl_log_set(count_log, NULL);
    struct tl_lora_start *s = tl_lora_start_open(file, model, parts, &err);
    tl_log_set(NULL, NULL);
    assert_null(s);
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_int_equal(n_logged, 0); /* one message, not one for each tensor */
    if (!strstr(err.text, says) || !strstr(err.text, says_too) || !strstr(err.text, file))
        fail_msg("'%s' does not say '%s', '%s' and the file", err.text, says, says_too);
}

static void test_refusals(void **state)
{
    (void)state;
    struct tl_lora_model model;
    struct tl_component *c = open_unet("pipeline_sd1/unet", &model);
    const unsigned unet = 1u << TL_LORA_UNET;
    refuses("/nowhere/x.safetensors", &model, unet, "no such file", "LoRA");
    refuses(FIXTURES "/lora_wide/kohya.safetensors", &model, unet, "is a convolution", "tiller merge");
    refuses(FIXTURES "/lora_sd1/kohya.safetensors", &model, 1u << TL_LORA_TEXT, "adapters of the unet",
            "does not train");
    refuses(FIXTURES "/pipeline_sd1/unet/diffusion_pytorch_model.safetensors", &model, unet,
            "is a LoRA for this model", "none of its");
    refuses(write_mixed(BLOCK "attn1_to_q", BLOCK "attn9_to_k", 8), &model, unet,
            "attn9_to_k.lora_down.weight [3, 8] fits no layer", "(3 of 6 tensors do not)");
    refuses(write_mixed(BLOCK "attn1_to_q", BLOCK "attn1_to_k", 16), &model, unet,
            "[2, 16] does not fit the layer's weight [8,8]", "for another model");
    tl_component_close(&c);
}

static int set_up(void **state)
{
    (void)state;
    struct tl_err err = {0};
    device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    return device && mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s/mixed.safetensors", folder);
    unlink(path);
    rmdir(folder);
    tl_device_close(&device);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_mixed_ranks),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
