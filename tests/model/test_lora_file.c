/* LoRA files of every form against the fixtures that diffusers, PEFT and kohya's names made: adapted outputs,
 * round trips, names, refusals. */
#include "support/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <tiller/log.h>

#include "io/file.h"
#include "io/json.h"
#include "models/forward.h"
#include "models/lora_file.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures"

static struct tl_device *device;
static char folder[] = "/tmp/tiller-lora-XXXXXX";
static int n_warnings;
static char last_warning[512];

static void count_warnings(void *user, enum tl_log_level level, const char *text)
{
    (void)user;
    n_warnings += level == TL_LOG_WARN;
    snprintf(last_warning, sizeof last_warning, "%s", text);
}

static char *in_folder(const char *name)
{
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static struct tl_component *open_unet(struct tl_lora_model *model)
{
    struct tl_err err = {0};
    struct tl_component *c = tl_component_open(device, FIXTURES "/pipeline_sd1/unet", &err);
    if (!c) fail_msg("%s", err.text);
    *model = (struct tl_lora_model){.part = {c->layout}};
    return c;
}

/* Relative error of the UNet's output against a tensor of the fixture. */
static double output_error(struct tl_component *c, const char *io_path, const char *tensor)
{
    struct tl_err err = {0};
    struct tl_st_file *io = tl_st_open(io_path, &err);
    struct tl_forward_result r;
    float theirs[2 * 4 * 8 * 8];
    if (!io) fail_msg("%s", err.text);
    check_ok(tl_forward(&(struct tl_forward_call){.component = c, .input = io}, &r, &err), &err);
    const struct tl_st_tensor *t = tl_st_find(io, tensor);
    assert_int_equal(t->n, 512);
    check_ok(tl_st_to_f32(t, theirs, &err), &err);
    double e = check_rel_l2(r.items[0].data, theirs, 512);
    tl_forward_result_finish(&r);
    tl_st_close(&io);
    return e;
}

static struct tl_lora_file read_ok(const char *path, const struct tl_lora_model *model)
{
    struct tl_err err = {0};
    struct tl_lora_file f;
    if (!tl_lora_file_read(path, model, &f, &err)) fail_msg("%s: %s", path, err.text);
    assert_int_equal(f.n_unmatched, 0);
    return f;
}

/* Merged, the adapter gives the fixture's output; taken out again, the output without. */
static void check_merge(const char *fixture, const char *path)
{
    struct tl_err err = {0};
    struct tl_lora_model model;
    struct tl_component *c = open_unet(&model);
    char io[256];
    snprintf(io, sizeof io, FIXTURES "/%s/io.safetensors", fixture);
    check_near(output_error(c, io, "aux.base"), 0, 1e-4);
    struct tl_lora_file f = read_ok(path, &model);
    check_ok(tl_lora_file_merge(&f, TL_LORA_UNET, c->store, 1, &err), &err);
    check_near(output_error(c, io, "out.sample"), 0, 1e-4);
    check_ok(tl_lora_file_merge(&f, TL_LORA_UNET, c->store, -1, &err), &err);
    check_near(output_error(c, io, "aux.base"), 0, 1e-4);
    tl_lora_file_finish(&f);
    tl_component_close(&c);
}

static void test_merge_forms(void **state)
{
    (void)state;
    static const char *const fixtures[] = {"lora_sd1", "lora_wide"};
    static const char *const forms[] = {"pytorch_lora_weights.safetensors", "kohya.safetensors", "peft",
                                        "peft/adapter_model.safetensors", ""};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 5; k++) {
            char path[256];
            snprintf(path, sizeof path, FIXTURES "/%s/%s", fixtures[i], forms[k]);
            check_merge(fixtures[i], path);
        }
}

static bool same(const struct tl_lora_file *a, const struct tl_lora_file *b, bool folded)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct tl_lora_layer *x = &a->layers[i], *y = &b->layers[i];
        size_t n_up = (size_t)x->rank * (size_t)x->entry->shape.dim[x->entry->shape.rank - 1];
        size_t n_down =
            (size_t)x->rank * (size_t)(tl_shape_count(&x->entry->shape)) / (n_up / (size_t)x->rank);
        if (x->entry != y->entry || x->rank != y->rank ||
            memcmp(x->down, y->down, n_down * sizeof(float)) != 0)
            return false;
        if (!folded && x->scale != y->scale) return false;
        for (size_t k = 0; k < n_up; k++)
            if ((float)(x->scale * (double)x->up[k]) != (float)(y->scale * (double)y->up[k])) return false;
    }
    return true;
}

/* Each writer's file gives the same adapter, bit for bit, and the fixture's output. */
static void test_round_trips(void **state)
{
    (void)state;
    static const char *const fixtures[] = {"lora_sd1", "lora_wide"};
    for (int i = 0; i < 2; i++) {
        struct tl_err err = {0};
        struct tl_lora_model model;
        struct tl_component *c = open_unet(&model);
        char path[256];
        snprintf(path, sizeof path, FIXTURES "/%s/peft", fixtures[i]);
        struct tl_lora_file f = read_ok(path, &model), g;
        struct tl_lora_write_params p = {.dtype = TL_ST_F32};
        char *diffusers = in_folder("pytorch_lora_weights.safetensors"),
             *kohya = in_folder("x.kohya.safetensors"), *peft = in_folder("peft");

        check_ok(tl_lora_write_diffusers(&f, diffusers, &p, &err), &err);
        g = read_ok(diffusers, &model);
        assert_true(same(&f, &g, true));
        check_ok(tl_lora_write_kohya(&g, &model, kohya, &p, &err), &err);
        tl_lora_file_finish(&g);
        g = read_ok(kohya, &model);
        assert_true(same(&f, &g, true));
        tl_lora_file_finish(&g);
        check_ok(tl_lora_write_kohya(&f, &model, kohya, &p, &err), &err);
        g = read_ok(kohya, &model);
        assert_true(same(&f, &g, false));
        check_ok(tl_lora_write_peft(&g, peft, &p, &err), &err);
        tl_lora_file_finish(&g);
        g = read_ok(peft, &model);
        assert_true(same(&f, &g, false));
        tl_lora_file_finish(&g);
        tl_lora_file_finish(&f);
        check_merge(fixtures[i], diffusers);
        check_merge(fixtures[i], kohya);
        check_merge(fixtures[i], peft);
        tl_component_close(&c);
    }
}

/* The file that we write has the names, shapes and metadata that the format asks for. */
static void test_written_names(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_lora_model model;
    struct tl_component *c = open_unet(&model);
    struct tl_lora_file f = read_ok(FIXTURES "/lora_wide/peft", &model);
    const char *targets[] = {"to_q", "conv1"};
    struct tl_lora_write_params p = {.dtype = TL_ST_F16, .targets = targets, .n_targets = 2};
    char *path = in_folder("pytorch_lora_weights.safetensors");
    check_ok(tl_lora_write_diffusers(&f, path, &p, &err), &err);
    struct tl_st_file *ours = tl_st_open(path, &err),
                      *theirs = tl_st_open(FIXTURES "/lora_wide/pytorch_lora_weights.safetensors", &err);
    assert_non_null(ours);
    assert_int_equal(tl_st_count(ours), tl_st_count(theirs));
    for (size_t i = 0; i < tl_st_count(theirs); i++) {
        const struct tl_st_tensor *a = tl_st_at(ours, i), *b = tl_st_at(theirs, i);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->dtype, TL_ST_F16);
        assert_int_equal(a->rank, b->rank);
        assert_memory_equal(a->shape, b->shape, a->rank * sizeof a->shape[0]);
    }
    const char *meta = tl_st_meta_find(ours, "lora_adapter_metadata");
    cJSON *json = tl_json_parse(meta, strlen(meta), "metadata", &err);
    assert_non_null(json);
    int64_t r, alpha;
    check_ok(tl_json_int(json, "unet.r", 0, &r, &err) &&
                 tl_json_int(json, "unet.lora_alpha", 0, &alpha, &err),
             &err);
    assert_int_equal(r, 4);
    assert_int_equal(alpha, 4); /* the file's scale of a half stands in lora_B */
    assert_int_equal(cJSON_GetArraySize(tl_json_get(json, "unet.target_modules")), 2);
    cJSON_Delete(json);
    tl_st_close(&ours);
    tl_st_close(&theirs);

    path = in_folder("a.kohya.safetensors");
    p.dtype = TL_ST_F32;
    check_ok(tl_lora_write_kohya(&f, &model, path, &p, &err), &err);
    ours = tl_st_open(path, &err);
    theirs = tl_st_open(FIXTURES "/lora_wide/kohya.safetensors", &err);
    assert_int_equal(tl_st_count(ours), tl_st_count(theirs));
    for (size_t i = 0; i < tl_st_count(theirs); i++) {
        const struct tl_st_tensor *a = tl_st_at(ours, i), *b = tl_st_at(theirs, i);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->rank, b->rank);
        assert_int_equal(a->bytes, b->bytes);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    assert_string_equal(tl_st_meta_find(ours, "ss_network_alpha"), "2");
    assert_int_equal(strlen(tl_st_meta_find(ours, "sshs_model_hash")), 64);
    assert_int_equal(strlen(tl_st_meta_find(ours, "sshs_legacy_hash")), 8);
    tl_st_close(&ours);
    tl_st_close(&theirs);
    tl_lora_file_finish(&f);
    tl_component_close(&c);
}

/* Spellings of one layer's key, and where they lead. */
static void test_key_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *key, *module;
        enum tl_lora_kind kind;
        int part;
    } rows[] = {
        {"unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora.down.weight",
         "mid_block.attentions.0.transformer_blocks.0.attn1.to_q", TL_LORA_DOWN, TL_LORA_UNET},
        {"unet.a.attn1.to_q.lora_B.default.weight", "a.attn1.to_q", TL_LORA_UP, TL_LORA_UNET},
        {"unet.a.attn1.processor.to_out_lora.up.weight", "a.attn1.to_out.0", TL_LORA_UP, TL_LORA_UNET},
        {"a.attn2.processor.to_k_lora.down.weight", "a.attn2.to_k", TL_LORA_DOWN, -1},
        {"base_model.model.a.proj_in.lora_A.weight", "a.proj_in", TL_LORA_DOWN, -1},
        {"base_model.model.unet.a.proj_in.lora_A.weight", "a.proj_in", TL_LORA_DOWN, TL_LORA_UNET},
        {"text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.up.weight",
         "text_model.encoder.layers.0.self_attn.q_proj", TL_LORA_UP, TL_LORA_TEXT},
        {"text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora.up.weight",
         "text_model.encoder.layers.0.self_attn.out_proj", TL_LORA_UP, TL_LORA_TEXT},
        {"text_encoder_2.a.q_proj.lora_A.weight", "a.q_proj", TL_LORA_DOWN, TL_LORA_TEXT_2},
        {"lora_te2_a_q_proj.alpha", "a_q_proj", TL_LORA_ALPHA, TL_LORA_TEXT_2},
        {"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", "mid_block_attentions_0_proj_in",
         TL_LORA_DOWN, TL_LORA_UNET},
        {"unet.a.to_q.lora_magnitude_vector", "a.to_q", TL_LORA_REFUSED, TL_LORA_UNET},
        {"lora_unet_a.dora_scale", "a", TL_LORA_REFUSED, TL_LORA_UNET},
        {"lora_unet_a.hada_w1_a", "a.hada_w1_a", TL_LORA_UNKNOWN, TL_LORA_UNET},
        {"conv_in.weight", "conv_in.weight", TL_LORA_UNKNOWN, -1},
        {"", "", TL_LORA_UNKNOWN, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_lora_key k;
        tl_lora_key_parse(rows[i].key, &k);
        assert_string_equal(k.module, rows[i].module);
        assert_int_equal(k.kind, rows[i].kind);
        assert_int_equal(k.part, rows[i].part);
    }
}

/* SDXL's names of the original checkpoint: spec's table, on a network of XL's block types. */
static void test_sgm_names(void **state)
{
    (void)state;
    static const struct {
        const char *ours, *kohya;
    } rows[] = {
        {"down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
         "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"},
        {"down_blocks.1.attentions.1.proj_in", "lora_unet_input_blocks_5_1_proj_in"},
        {"down_blocks.0.resnets.1.conv1", "lora_unet_input_blocks_2_0_in_layers_2"},
        {"down_blocks.0.downsamplers.0.conv", "lora_unet_input_blocks_3_0_op"},
        {"mid_block.attentions.0.proj_out", "lora_unet_middle_block_1_proj_out"},
        {"mid_block.resnets.1.conv2", "lora_unet_middle_block_2_out_layers_3"},
        {"up_blocks.0.attentions.2.transformer_blocks.1.ff.net.0.proj",
         "lora_unet_output_blocks_2_1_transformer_blocks_1_ff_net_0_proj"},
        {"up_blocks.0.upsamplers.0.conv", "lora_unet_output_blocks_2_2_conv"},
        {"up_blocks.1.resnets.0.conv_shortcut", "lora_unet_output_blocks_3_0_skip_connection"},
        {"time_embedding.linear_2", "lora_unet_time_embed_2"},
        {"add_embedding.linear_1", "lora_unet_label_emb_0_0"},
        {"conv_out", "lora_unet_out_2"},
    };
    static const char config[] =
        "{\"block_out_channels\": [4, 8, 8], \"layers_per_block\": 2, \"norm_num_groups\": 2, "
        "\"cross_attention_dim\": 8, \"attention_head_dim\": 2,"
        "\"down_block_types\": [\"DownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\"], "
        "\"use_linear_projection\": true,"
        "\"up_block_types\": [\"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", \"UpBlock2D\"], "
        "\"transformer_layers_per_block\": [1, 1, 2],"
        "\"addition_embed_type\": \"text_time\", \"addition_time_embed_dim\": 8, "
        "\"projection_class_embeddings_input_dim\": 80}";
    struct tl_err err = {0};
    cJSON *json = tl_json_parse(config, sizeof config - 1, "config", &err);
    const struct tl_component_class *cls = tl_component_class_find("UNet2DConditionModel");
    union tl_component_config parsed;
    if (!json || !cls->parse(json, &parsed, &err)) fail_msg("%s", err.text);
    struct tl_store_layout *layout = tl_component_layout(cls, &parsed, &err);
    if (!layout) fail_msg("%s", err.text);
    struct tl_lora_model model = {.part = {layout}};
    struct tl_lora_names names;
    struct tl_arena arena = {0};
    check_ok(tl_lora_names_init(&names, &model, &err), &err);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char entry[256], key[256];
        snprintf(entry, sizeof entry, "%s.weight", rows[i].ours);
        const struct tl_store_entry *e = tl_store_layout_find(layout, entry);
        if (!e) fail_msg("the fixture has no %s", entry);
        assert_string_equal(tl_lora_kohya_name(&arena, TL_LORA_UNET, layout, e, true), rows[i].kohya);
        struct tl_lora_key k;
        int part = -1;
        snprintf(key, sizeof key, "%s.lora_up.weight", rows[i].kohya);
        tl_lora_key_parse(key, &k);
        assert_ptr_equal(tl_lora_names_find(&names, &k, &part), e);
        /* the diffusers path is found in the wild, too */
        snprintf(key, sizeof key, "%s.lora_up.weight",
                 tl_lora_kohya_name(&arena, TL_LORA_UNET, layout, e, false));
        tl_lora_key_parse(key, &k);
        assert_ptr_equal(tl_lora_names_find(&names, &k, &part), e);
    }
    tl_arena_finish(&arena);
    tl_lora_names_finish(&names);
    tl_store_layout_destroy(&layout);
    cJSON_Delete(json);
}

/* A trainable store takes the file's matrices, and gives them back. */
static void test_trainable_store(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_lora_model model;
    struct tl_component *c = open_unet(&model);
    struct tl_lora_file f = read_ok(FIXTURES "/lora_sd1/kohya.safetensors", &model), g;
    struct tl_lora_ranks ranks = {&f, TL_LORA_UNET};
    struct tl_lora_spec spec = {.rank_of = tl_lora_ranks_of, .user = &ranks};
    struct tl_graph *graph = tl_graph_create();
    struct tl_nn nn = {.g = graph, .lora = &spec, .lora_scale = TL_NONE};
    c->cls->declare(&nn, &c->config);
    check_ok(tl_graph_ok(graph, &err), &err);
    const struct tl_graph *const graphs[1] = {graph};
    struct tl_store_layout *layout = tl_store_layout_create(graphs, 1, TL_SET_LORA, NULL, NULL, &err);
    if (!layout) fail_msg("%s", err.text);
    assert_int_equal(layout->n_entries, 64);
    struct tl_store *store = tl_store_create(device, layout, &err);
    check_ok(tl_lora_file_load(&f, TL_LORA_UNET, store, 0.25, &err), &err);
    check_ok(tl_lora_file_from_store(store, &model, TL_LORA_UNET, 0.25, &g, &err), &err);
    assert_int_equal(g.n, 32);
    for (size_t i = 0; i < g.n; i++) assert_true(g.layers[i].scale == 0.25);
    struct tl_lora_write_params p = {.dtype = TL_ST_F32};
    check_ok(tl_lora_write_diffusers(&g, in_folder("store.safetensors"), &p, &err), &err);
    check_merge("lora_sd1", in_folder("store.safetensors"));
    tl_lora_file_finish(&g);
    tl_lora_file_finish(&f);
    f = read_ok(FIXTURES "/lora_wide/kohya.safetensors", &model);
    assert_false(
        tl_lora_file_load(&f, TL_LORA_UNET, store, 1, &err)); /* layers that the run does not train */
    assert_int_equal(err.code, TL_BAD_INPUT);
    tl_lora_file_finish(&f);
    tl_store_destroy(&store);
    tl_store_layout_destroy(&layout);
    tl_graph_destroy(&graph);
    tl_component_close(&c);
}

/* Rewrites lora_sd1's diffusers file with one change and reads it. */
enum change {
    NO_UP,
    WRONG_RANK,
    WRONG_SHAPE,
    ADD_DORA,
    ADD_FOREIGN,
    FOREIGN_ONLY,
    NOT_FINITE,
    ALPHA_AND_METADATA
};

static bool read_changed(enum change change, struct tl_lora_file *out, struct tl_err *err)
{
    struct tl_lora_model model;
    static float junk[64];
    struct tl_component *c = open_unet(&model);
    struct tl_st_file *st = tl_st_open(FIXTURES "/lora_sd1/pytorch_lora_weights.safetensors", err);
    struct tl_st_item items[80];
    size_t n = 0;
    assert_non_null(st);
    for (size_t i = 0; i < tl_st_count(st); i++) {
        const struct tl_st_tensor *t = tl_st_at(st, i);
        items[n] = (struct tl_st_item){.name = t->name, .dtype = t->dtype, .rank = t->rank, .data = t->data};
        memcpy(items[n].shape, t->shape, sizeof t->shape);
        n++;
    }
    for (size_t i = 0; i < 64; i++) junk[i] = 1;
    struct tl_st_meta meta = {"lora_adapter_metadata", "{\"unet.r\": 4, \"unet.lora_alpha\": 4}"};
    switch (change) {
    case NO_UP:
        items[1] = items[--n];
        break;
    case WRONG_RANK:
        items[1].shape[1] = 2;
        items[1].data = junk;
        break;
    case WRONG_SHAPE:
        items[0].shape[1] = 9;
        items[0].data = junk;
        break;
    case ADD_DORA:
        items[n++] = (struct tl_st_item){.name = "unet.mid_block.attentions.0.proj_in.lora_magnitude_vector",
                                         .dtype = TL_ST_F32,
                                         .rank = 1,
                                         .shape = {8},
                                         .data = junk};
        break;
    case ADD_FOREIGN:
        items[n++] = (struct tl_st_item){.name = "unet.no.such.layer.lora_A.weight",
                                         .dtype = TL_ST_F32,
                                         .rank = 2,
                                         .shape = {4, 8},
                                         .data = junk};
        break;
    case FOREIGN_ONLY:
        items[0] = (struct tl_st_item){.name = "lora_unet_no_such_layer.lora_up.weight",
                                       .dtype = TL_ST_F32,
                                       .rank = 2,
                                       .shape = {8, 4},
                                       .data = junk};
        n = 1;
        break;
    case NOT_FINITE:
        junk[3] = NAN;
        items[0].data = junk;
        break;
    case ALPHA_AND_METADATA:
        items[n++] =
            (struct tl_st_item){.name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.alpha",
                                .dtype = TL_ST_F32,
                                .rank = 0,
                                .data = junk};
        break;
    }
    struct tl_st_write_params p = {.meta = &meta, .n_meta = change == ALPHA_AND_METADATA ? 1 : 0};
    check_ok(tl_st_write(in_folder("changed.safetensors"), items, n, &p, err), err);
    bool ok = tl_lora_file_read(in_folder("changed.safetensors"), &model, out, err);
    tl_st_close(&st);
    tl_component_close(&c);
    return ok;
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        enum change change;
        const char *says;
    } rows[] = {
        {NO_UP, "has no up matrix"},
        {WRONG_RANK, "their ranks differ"},
        {WRONG_SHAPE, "does not fit the layer's weight [8,8]"},
        {ADD_DORA, "not supported"},
        {FOREIGN_ONLY, "none of its 1 tensors"},
        {NOT_FINITE, "not finite"},
        {ALPHA_AND_METADATA, "ambiguous"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        struct tl_lora_file f;
        assert_false(read_changed(rows[i].change, &f, &err));
        assert_int_equal(err.code, TL_BAD_INPUT);
        if (!strstr(err.text, rows[i].says)) fail_msg("'%s' does not say '%s'", err.text, rows[i].says);
        assert_int_equal(f.n, 0);
    }
    struct tl_err err = {0};
    struct tl_lora_model none = {0};
    struct tl_lora_file f;
    assert_false(tl_lora_file_read(folder, &none, &f, &err) && f.n);
}

static void test_unmatched_is_reported(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_lora_file f;
    n_warnings = 0;
    tl_log_set(count_warnings, NULL);
    check_ok(read_changed(ADD_FOREIGN, &f, &err), &err);
    tl_log_set(NULL, NULL);
    assert_int_equal(f.n, 32);
    assert_int_equal(f.n_unmatched, 1);
    assert_string_equal(f.unmatched[0], "unet.no.such.layer.lora_A.weight");
    assert_int_equal(n_warnings, 1);
    assert_non_null(strstr(last_warning, "unet.no.such.layer.lora_A.weight"));
    tl_lora_file_finish(&f);
}

static int set_up(void **state)
{
    (void)state;
    struct tl_err err = {0};
    device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    if (!device) printf("%s\n", err.text);
    return device && mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = {"pytorch_lora_weights.safetensors",
                                        "x.kohya.safetensors",
                                        "a.kohya.safetensors",
                                        "store.safetensors",
                                        "changed.safetensors",
                                        "peft/adapter_model.safetensors",
                                        "peft/adapter_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(in_folder(names[i]));
    rmdir(in_folder("peft"));
    rmdir(folder);
    tl_device_close(&device);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_spellings), cmocka_unit_test(test_sgm_names),
        cmocka_unit_test(test_merge_forms),   cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_written_names), cmocka_unit_test(test_trainable_store),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_unmatched_is_reported),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
