/* Files that come without their model: the Stable Diffusion families' layers as the trainers count them, and
 * which of them a file is for, in every form. */
#include "support/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include "models/lora_known.h"

static char folder[] = "/tmp/tiller-lora-known-XXXXXX";
static float values[4 * 10240];

static bool is_target(const char *name, bool wide)
{
    static const char *const attention[] = {"to_q",   "to_k",   "to_v",   "to_out.0",
                                            "q_proj", "k_proj", "v_proj", "out_proj"};
    static const char *const others[] = {"proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "fc1", "fc2"};
    struct tl_lora_spec narrow_spec = {.rank = 1,
                                       .targets = (const char **)(uintptr_t)attention,
                                       .n_targets = 8},
                        wide_spec = {.rank = 1, .targets = (const char **)(uintptr_t)others, .n_targets = 6};
    return tl_lora_rank(&narrow_spec, name) || (wide && tl_lora_rank(&wide_spec, name));
}

/* A LoRA of rank 1 on the targets of the parts that the mask names. */
static struct tl_lora_file make(const struct tl_lora_layouts *l, unsigned parts, bool wide)
{
    struct tl_lora_file f = {.dtype = TL_ST_F32};
    f.layers = tl_arena_alloc(&f.arena, 4096, sizeof *f.layers);
    assert_non_null(f.layers);
    for (int part = 0; part < TL_LORA_PARTS; part++) {
        const struct tl_store_layout *layout = parts & 1u << part ? l->own[part] : NULL;
        for (int32_t i = 0; layout && i < layout->n_entries; i++) {
            const struct tl_store_entry *e = &layout->entries[i];
            char name[256];
            if (!tl_lora_is_layer(e)) continue;
            snprintf(name, sizeof name, "%.*s", (int)tl_lora_layer_len(e), e->name);
            if (!is_target(name, wide)) continue;
            f.layers[f.n++] = (struct tl_lora_layer){
                .entry = e, .part = part, .rank = 1, .scale = 0.25, .down = values, .up = values};
        }
    }
    return f;
}

/* As the trainers' own tables count them. */
static void test_counts(void **state)
{
    (void)state;
    static const struct {
        int known;
        unsigned part;
        size_t narrow, wide;
    } rows[] = {{0, TL_LORA_UNET, 128, 192}, {0, TL_LORA_TEXT, 48, 72}, {1, TL_LORA_UNET, 128, 192},
                {2, TL_LORA_UNET, 560, 722}, {2, TL_LORA_TEXT, 48, 72}, {2, TL_LORA_TEXT_2, 128, 192}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_err err = {0};
        struct tl_lora_layouts l;
        check_ok(tl_lora_layouts_known(rows[i].known, &l, &err), &err);
        struct tl_lora_file narrow = make(&l, 1u << rows[i].part, false),
                            wide = make(&l, 1u << rows[i].part, true);
        assert_int_equal(narrow.n, rows[i].narrow);
        assert_int_equal(wide.n, rows[i].wide);
        tl_lora_file_finish(&narrow);
        tl_lora_file_finish(&wide);
        tl_lora_layouts_finish(&l);
    }
}

/* Written in each form and read again without a model: the same family, the same layers. */
static void check_found(int known, unsigned parts, bool wide)
{
    static const char *const names[] = {"SD 1", "SD 2", "SDXL"};
    struct tl_err err = {0};
    struct tl_lora_layouts l, m;
    check_ok(tl_lora_layouts_known(known, &l, &err), &err);
    struct tl_lora_file f = make(&l, parts, wide), g;
    struct tl_lora_write_params p = {.dtype = TL_ST_BF16, .xl = l.xl};
    for (int form = 0; form < 3; form++) {
        char path[128], peft[160];
        bool one = (parts & (parts - 1)) == 0;
        if (form == 2 && !one) continue;
        snprintf(path, sizeof path, "%s/%s", folder, form == 2 ? "peft" : "x.safetensors");
        bool ok = form == 0   ? tl_lora_write_diffusers(&f, path, &p, &err)
                  : form == 1 ? tl_lora_write_kohya(&f, &l.model, path, &p, &err)
                              : tl_lora_write_peft(&f, path, &p, &err);
        check_ok(ok, &err);
        check_ok(tl_lora_read_for(path, NULL, &m, &g, &err), &err);
        assert_string_equal(m.name, names[known]);
        assert_int_equal(g.dtype, TL_ST_BF16);
        assert_int_equal(g.n, f.n);
        for (size_t i = 0; i < f.n; i++) {
            assert_string_equal(g.layers[i].entry->name, f.layers[i].entry->name);
            assert_int_equal(g.layers[i].part, f.layers[i].part);
            assert_true(form == 0 ? g.layers[i].scale == 1 : g.layers[i].scale == 0.25);
        }
        tl_lora_file_finish(&g);
        tl_lora_layouts_finish(&m);
        unlink(path);
        if (form != 2) continue;
        snprintf(peft, sizeof peft, "%s/adapter_model.safetensors", path);
        unlink(peft);
        snprintf(peft, sizeof peft, "%s/adapter_config.json", path);
        unlink(peft);
        rmdir(path);
    }
    tl_lora_file_finish(&f);
    tl_lora_layouts_finish(&l);
}

static void test_sd1(void **state)
{
    (void)state;
    check_found(0, 1u << TL_LORA_UNET | 1u << TL_LORA_TEXT, true);
    check_found(0, 1u << TL_LORA_UNET, false);
}

static void test_sd2(void **state)
{
    (void)state;
    check_found(1, 1u << TL_LORA_UNET | 1u << TL_LORA_TEXT, false);
}

static void test_sdxl(void **state)
{
    (void)state;
    check_found(2, 1u << TL_LORA_UNET | 1u << TL_LORA_TEXT | 1u << TL_LORA_TEXT_2, true);
    /* a PEFT folder does not say which text encoder it is of: the widths do */
    check_found(2, 1u << TL_LORA_TEXT_2, false);
}

/* Alpha in a half file is the very number. */
static void test_alpha_is_exact(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_lora_layouts l, m;
    char path[128];
    check_ok(tl_lora_layouts_known(0, &l, &err), &err);
    struct tl_lora_file f = make(&l, 1u << TL_LORA_TEXT, false), g;
    const float alpha = 0.1f;
    for (size_t i = 0; i < f.n; i++) f.layers[i].scale = (double)alpha;
    struct tl_lora_write_params p = {.dtype = TL_ST_F16};
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    check_ok(tl_lora_write_kohya(&f, &l.model, path, &p, &err), &err);
    check_ok(tl_lora_read_for(path, NULL, &m, &g, &err), &err);
    assert_int_equal(g.dtype, TL_ST_F16);
    for (size_t i = 0; i < g.n; i++) assert_true(g.layers[i].scale == (double)alpha);
    tl_lora_file_finish(&f);
    tl_lora_file_finish(&g);
    tl_lora_layouts_finish(&l);
    tl_lora_layouts_finish(&m);
    unlink(path);
}

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) values[i] = (float)(i % 13) / 8;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    rmdir(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts), cmocka_unit_test(test_sd1),
                                       cmocka_unit_test(test_sd2), cmocka_unit_test(test_sdxl),
                                       cmocka_unit_test(test_alpha_is_exact)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
