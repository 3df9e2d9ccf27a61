/* The names that other programs look for, derived here from the original checkpoint of SD 1.5 and not from
 * the engine's own table: ComfyUI's and A1111's loaders must find each tensor of our kohya file exactly once,
 * and ComfyUI's must not find the attention layers of a diffusers file, which is why both are written.
 *
 * Sources: ComfyUI comfy/lora.py, comfy/weight_adapter/lora.py; stable-diffusion-webui
 * extensions-builtin/Lora/networks.py; as the project's notes on LoRA files have them. */
#include "support/check.h"

#include <unistd.h>

#include "models/lora_known.h"

enum { MOST = 512, N_UNET = 192, N_TEXT = 72, N_LAYERS = N_UNET + N_TEXT };

/* A layer under the original checkpoint's name and diffusers'. */
struct pair {
    char original[128], diffusers[128];
};

static struct pair unet[MOST];
static char text[MOST][128];
static int n_unet, n_text;

static void add_transformer(int original_block, const char *original_side, const char *diffusers)
{
    static const char *const layers[] = {"proj_in",
                                         "proj_out",
                                         "transformer_blocks.0.attn1.to_q",
                                         "transformer_blocks.0.attn1.to_k",
                                         "transformer_blocks.0.attn1.to_v",
                                         "transformer_blocks.0.attn1.to_out.0",
                                         "transformer_blocks.0.attn2.to_q",
                                         "transformer_blocks.0.attn2.to_k",
                                         "transformer_blocks.0.attn2.to_v",
                                         "transformer_blocks.0.attn2.to_out.0",
                                         "transformer_blocks.0.ff.net.0.proj",
                                         "transformer_blocks.0.ff.net.2"};
    for (int i = 0; i < 12; i++) {
        struct pair *p = &unet[n_unet++];
        if (original_block < 0)
            snprintf(p->original, sizeof p->original, "%s.1.%s", original_side, layers[i]);
        else
            snprintf(p->original, sizeof p->original, "%s.%d.1.%s", original_side, original_block, layers[i]);
        snprintf(p->diffusers, sizeof p->diffusers, "%s.%s", diffusers, layers[i]);
    }
}

/* The original UNet: twelve input blocks, attention in 1 2 4 5 7 8; a middle one; twelve output blocks,
 * attention from 3 on. */
static void list_layers(void)
{
    static const int with_attention[] = {1, 2, 4, 5, 7, 8};
    char name[64];
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "down_blocks.%d.attentions.%d", i / 2, i % 2);
        add_transformer(with_attention[i], "input_blocks", name);
    }
    add_transformer(-1, "middle_block", "mid_block.attentions.0");
    for (int i = 3; i < 12; i++) {
        snprintf(name, sizeof name, "up_blocks.%d.attentions.%d", i / 3, i % 3);
        add_transformer(i, "output_blocks", name);
    }
    static const char *const clip[] = {"self_attn.q_proj",   "self_attn.k_proj", "self_attn.v_proj",
                                       "self_attn.out_proj", "mlp.fc1",          "mlp.fc2"};
    for (int i = 0; i < 12; i++)
        for (int k = 0; k < 6; k++)
            snprintf(text[n_text++], sizeof text[0], "text_model.encoder.layers.%d.%s", i, clip[k]);
    assert_int_equal(n_unet, N_UNET);
    assert_int_equal(n_text, N_TEXT);
}

/* A LoRA of rank 2 on all these layers, alpha 1, in memory. */
static struct tl_lora_file make_lora(const struct tl_lora_layouts *l)
{
    static float values[2 * 10240]; /* the widest: ff.net.0.proj */
    struct tl_lora_file f = {.dtype = TL_ST_F32};
    f.layers = tl_arena_alloc(&f.arena, N_LAYERS, sizeof *f.layers);
    assert_non_null(f.layers);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) values[i] = (float)(i % 17) / 16;
    for (int i = 0; i < N_LAYERS; i++) {
        char name[160];
        int part = i < N_UNET ? TL_LORA_UNET : TL_LORA_TEXT;
        snprintf(name, sizeof name, "%s.weight", i < N_UNET ? unet[i].diffusers : text[i - N_UNET]);
        const struct tl_store_entry *e = tl_store_layout_find(l->own[part], name);
        if (!e) fail_msg("SD 1 has no %s", name);
        f.layers[f.n++] = (struct tl_lora_layer){
            .entry = e, .part = part, .rank = 2, .scale = 0.5, .down = values, .up = values};
    }
    return f;
}

static void flatten(const char *dotted, const char *before, char *out, size_t size)
{
    size_t n = strlen(before);
    snprintf(out, size, "%s%.120s", before, dotted);
    for (char *c = out + n; *c; c++)
        if (*c == '.') *c = '_';
}

/* ComfyUI: the candidates of one layer of the UNet. */
static int comfy_unet(const struct pair *p, char out[8][160])
{
    char processor[160], *at;
    flatten(p->original, "lora_unet_", out[0], 160);
    flatten(p->diffusers, "lora_unet_", out[1], 160);
    flatten(p->diffusers, "lycoris_", out[2], 160);
    snprintf(out[3], 160, "diffusion_model.%.120s", p->original);
    /* ".to_" becomes ".processor.to_", "to_out.0" becomes "to_out"; plain and behind "unet." */
    at = strstr(p->diffusers, ".to_");
    snprintf(processor, sizeof processor, "%.*s%s%s",
             at ? (int)(at - p->diffusers) : (int)strlen(p->diffusers), p->diffusers, at ? ".processor" : "",
             at ? at : "");
    if (strlen(processor) > 9 && strcmp(processor + strlen(processor) - 9, ".to_out.0") == 0)
        processor[strlen(processor) - 2] = 0;
    snprintf(out[4], 160, "%s", processor);
    snprintf(out[5], 160, "unet.%.150s", processor);
    return 6;
}

static int comfy_text(const char *layer, char out[8][160])
{
    flatten(layer, "lora_te_", out[0], 160);
    flatten(layer, "lora_te1_", out[1], 160);
    snprintf(out[2], 160, "text_encoder.%s", layer);
    snprintf(out[3], 160, "text_encoders.clip_l.transformer.%s", layer);
    return 4;
}

/* Which spelling of the matrices the file has under a candidate; -1: none. */
static int comfy_match(const struct tl_st_file *st, const char *x)
{
    static const char *const ups[] = {
        ".lora_up.weight",       "_lora.up.weight", ".lora_B.weight",
        ".lora.up.weight",       ".lora_B",         ".lora_linear_layer.up.weight",
        ".lora_B.default.weight"};
    static const char *const downs[] = {
        ".lora_down.weight",     "_lora.down.weight", ".lora_A.weight",
        ".lora.down.weight",     ".lora_A",           ".lora_linear_layer.down.weight",
        ".lora_A.default.weight"};
    char key[256];
    for (int i = 0; i < 7; i++) {
        snprintf(key, sizeof key, "%s%s", x, ups[i]);
        if (!tl_st_find(st, key)) continue;
        snprintf(key, sizeof key, "%s%s", x, downs[i]);
        return tl_st_find(st, key) ? i : -1;
    }
    return -1;
}

/* How many candidates of a layer the file has; *with_alpha: whether all of them come with one. */
static int comfy_hits(const struct tl_st_file *st, char names[8][160], int n, bool *with_alpha)
{
    int hits = 0;
    *with_alpha = true;
    for (int i = 0; i < n; i++) {
        char key[256];
        if (comfy_match(st, names[i]) < 0) continue;
        snprintf(key, sizeof key, "%s.alpha", names[i]);
        *with_alpha = *with_alpha && tl_st_find(st, key);
        hits++;
    }
    return hits;
}

/* A1111: the token in front of the first dot, as the original checkpoint's module. */
static bool a1111_module(const char *token, char *out, size_t size)
{
    int i, j;
    char kind[16], rest[128];
    if (sscanf(token, "lora_unet_down_blocks_%d_attentions_%d_%127s", &i, &j, rest) == 3)
        snprintf(out, size, "diffusion_model_input_blocks_%d_1_%s", 1 + i * 3 + j, rest);
    else if (sscanf(token, "lora_unet_mid_block_attentions_%d_%127s", &i, rest) == 2)
        snprintf(out, size, "diffusion_model_middle_block_1_%s", rest);
    else if (sscanf(token, "lora_unet_up_blocks_%d_attentions_%d_%127s", &i, &j, rest) == 3)
        snprintf(out, size, "diffusion_model_output_blocks_%d_1_%s", i * 3 + j, rest);
    else if (sscanf(token, "lora_te_text_%5[a-z]_encoder_layers_%d_%127s", kind, &i, rest) == 3)
        snprintf(out, size, "transformer_text_model_encoder_layers_%d_%s", i, rest);
    else
        return false;
    return true;
}

/* The number of the layer whose module has that flattened name in A1111; -1: none. */
static int a1111_layer(const char *module)
{
    char name[160];
    for (int i = 0; i < N_LAYERS; i++) {
        if (i < N_UNET)
            flatten(unet[i].original, "diffusion_model_", name, sizeof name);
        else
            flatten(text[i - N_UNET], "transformer_", name, sizeof name);
        if (strcmp(name, module) == 0) return i;
    }
    return -1;
}

static struct tl_st_file *write_and_open(bool kohya, struct tl_lora_layouts *l)
{
    struct tl_err err = {0};
    char folder[] = "/tmp/tiller-lora-names-XXXXXX", path[128];
    assert_non_null(mkdtemp(folder));
    check_ok(tl_lora_layouts_known(0, l, &err), &err);
    assert_string_equal(l->name, "SD 1");
    struct tl_lora_file f = make_lora(l);
    struct tl_lora_write_params p = {.dtype = TL_ST_F16};
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    check_ok(kohya ? tl_lora_write_kohya(&f, &l->model, path, &p, &err)
                   : tl_lora_write_diffusers(&f, path, &p, &err),
             &err);
    struct tl_st_file *st = tl_st_open(path, &err);
    if (!st) fail_msg("%s", err.text);
    unlink(path); /* the map keeps it */
    rmdir(folder);
    tl_lora_file_finish(&f);
    return st;
}

static void test_kohya_in_comfyui(void **state)
{
    (void)state;
    struct tl_lora_layouts l;
    struct tl_st_file *st = write_and_open(true, &l);
    assert_int_equal(tl_st_count(st), 3 * N_LAYERS);
    for (int i = 0; i < N_LAYERS; i++) {
        char names[8][160];
        bool with_alpha;
        int n = i < N_UNET ? comfy_unet(&unet[i], names) : comfy_text(text[i - N_UNET], names);
        int hits = comfy_hits(st, names, n, &with_alpha);
        if (hits != 1 || !with_alpha)
            fail_msg("%s: found %d times%s", names[0], hits, with_alpha ? "" : ", without alpha");
    }
    tl_st_close(&st);
    tl_lora_layouts_finish(&l);
}

static void test_kohya_in_a1111(void **state)
{
    (void)state;
    static int found[N_LAYERS][3];
    static const char *const seconds[] = {"lora_up.weight", "lora_down.weight", "alpha"};
    struct tl_lora_layouts l;
    struct tl_st_file *st = write_and_open(true, &l);
    for (size_t i = 0; i < tl_st_count(st); i++) {
        const char *key = tl_st_at(st, i)->name, *dot = strchr(key, '.');
        char token[160], module[320];
        assert_non_null(dot);
        snprintf(token, sizeof token, "%.*s", (int)(dot - key), key);
        int second = 0;
        while (second < 3 && strcmp(dot + 1, seconds[second]) != 0) second++;
        assert_true(second < 3);
        if (!a1111_module(token, module, sizeof module) || a1111_layer(module) < 0)
            fail_msg("%s is no module of A1111's", key);
        found[a1111_layer(module)][second]++;
    }
    for (int i = 0; i < N_LAYERS; i++)
        for (int k = 0; k < 3; k++) assert_int_equal(found[i][k], 1);
    tl_st_close(&st);
    tl_lora_layouts_finish(&l);
}

/* Alpha is one number, in the matrices' type; the metadata says what it is for. */
static void test_kohya_contents(void **state)
{
    (void)state;
    struct tl_lora_layouts l;
    struct tl_st_file *st = write_and_open(true, &l);
    struct tl_err err = {0};
    const struct tl_st_tensor *alpha =
        tl_st_find(st, "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.alpha");
    float value = 0;
    assert_non_null(alpha);
    assert_int_equal(alpha->rank, 0);
    assert_int_equal(alpha->dtype, TL_ST_F16);
    check_ok(tl_st_to_f32(alpha, &value, &err), &err);
    assert_true(value == 1);
    assert_string_equal(tl_st_meta_find(st, "ss_network_dim"), "2");
    assert_string_equal(tl_st_meta_find(st, "ss_network_alpha"), "1");
    assert_string_equal(tl_st_meta_find(st, "ss_v2"), "False");
    assert_string_equal(tl_st_meta_find(st, "ss_base_model_version"), "sd_v1");
    assert_null(tl_st_meta_find(st, "format"));
    /* proj_in of SD 1 is a convolution of one tap: kohya's matrices are kernels there */
    const struct tl_st_tensor *down =
        tl_st_find(st, "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight");
    assert_non_null(down);
    assert_true(tl_st_has_shape(down, 4, 2, 1280, 1, 1));
    tl_st_close(&st);
    tl_lora_layouts_finish(&l);
}

/* ComfyUI finds no attention projection of a diffusers file for SD, and the others. */
static void test_diffusers_in_comfyui(void **state)
{
    (void)state;
    struct tl_lora_layouts l;
    struct tl_st_file *st = write_and_open(false, &l);
    int n_found = 0;
    assert_int_equal(tl_st_count(st), 2 * N_LAYERS);
    for (int i = 0; i < N_LAYERS; i++) {
        char names[8][160];
        bool with_alpha;
        bool attention = i < N_UNET && strstr(unet[i].diffusers, ".to_");
        int n = i < N_UNET ? comfy_unet(&unet[i], names) : comfy_text(text[i - N_UNET], names);
        int hits = comfy_hits(st, names, n, &with_alpha);
        if (hits != (attention ? 0 : 1)) fail_msg("%s: found %d times", names[0], hits);
        n_found += hits;
    }
    assert_int_equal(n_found, N_LAYERS - 128);
    tl_st_close(&st);
    tl_lora_layouts_finish(&l);
}

static int set_up(void **state)
{
    (void)state;
    list_layers();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kohya_in_comfyui), cmocka_unit_test(test_kohya_in_a1111),
        cmocka_unit_test(test_kohya_contents), cmocka_unit_test(test_diffusers_in_comfyui)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
