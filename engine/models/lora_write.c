/* The three forms in which adapters leave us. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/sha256.h"
#include "base/str.h"
#include "io/file.h"
#include "io/json.h"
#include "models/lora_config.h"

enum { HASH_OFFSET = 0x100000, HASH_BYTES = 0x10000 };

/* What a writer gathers. */
struct list {
    struct tl_arena arena; /* names, scaled copies */
    struct tl_st_item *items;
    size_t n;
    struct tl_st_meta *meta;
    size_t n_meta;
};

static bool list_init(struct list *l, size_t n_layers, size_t n_meta)
{
    *l = (struct list){0};
    l->items = tl_arena_alloc(&l->arena, 4 * n_layers + 1, sizeof *l->items);
    l->meta = tl_arena_alloc(&l->arena, n_meta + 1, sizeof *l->meta);
    return l->items && l->meta;
}

static void add_meta(struct list *l, const char *key, const char *value)
{
    l->meta[l->n_meta++] = (struct tl_st_meta){key, value};
}

static void add_item(struct list *l, enum tl_st_dtype dtype, const char *name, unsigned rank,
                     const uint64_t *shape, const float *data)
{
    struct tl_st_item item = {.name = name, .dtype = dtype, .rank = rank, .data = data, .from_f32 = true};
    for (unsigned i = 0; i < rank; i++) item.shape[i] = shape[i];
    l->items[l->n++] = item;
}

/* up times its scale, where that is not 1. */
static const float *scaled_up(struct tl_arena *arena, const struct tl_lora_layer *l)
{
    size_t n = (size_t)l->entry->shape.dim[l->entry->shape.rank - 1] * (size_t)l->rank;
    if (l->scale == 1) return l->up;
    float *up = tl_arena_alloc(arena, n, sizeof *up);
    for (size_t i = 0; up && i < n; i++) up[i] = (float)(l->scale * (double)l->up[i]);
    return up;
}

/* NAME + `down`, NAME + `up`: matrices for linear layers, kernels where the layer's file has one. */
static bool add_pair(struct list *l, const struct tl_lora_layer *layer, enum tl_st_dtype dtype,
                     const char *name, const char *down, const char *up, bool fold)
{
    struct tl_shape s = tl_layout_file_shape(layer->entry->layout, &layer->entry->shape);
    uint64_t shape_down[4] = {(uint64_t)layer->rank, (uint64_t)s.dim[1], 1, 1};
    uint64_t shape_up[4] = {(uint64_t)s.dim[0], (uint64_t)layer->rank, 1, 1};
    for (int i = 2; i < s.rank; i++) shape_down[i] = (uint64_t)s.dim[i];
    const char *name_down = name ? tl_arena_printf(&l->arena, "%s%s", name, down) : NULL;
    const char *name_up = name ? tl_arena_printf(&l->arena, "%s%s", name, up) : NULL;
    const float *data_up = fold ? scaled_up(&l->arena, layer) : layer->up;
    if (!name_down || !name_up || !data_up) return false;
    add_item(l, dtype, name_down, (unsigned)s.rank, shape_down, layer->down);
    add_item(l, dtype, name_up, (unsigned)s.rank, shape_up, data_up);
    return true;
}

static const char *layer_name(struct list *l, const char *prefix, const struct tl_lora_layer *layer)
{
    return tl_arena_printf(&l->arena, "%s%.*s", prefix, (int)tl_lora_layer_len(layer->entry),
                           layer->entry->name);
}

static bool has_part(const struct tl_lora_file *file, int part)
{
    for (size_t i = 0; i < file->n; i++)
        if (file->layers[i].part == part) return true;
    return false;
}

/* Biases have no place in kohya's form and would need lora_bias in PEFT's: nobody trains them. */
static bool refuse_bias(const struct tl_lora_file *file, struct tl_err *err)
{
    for (size_t i = 0; i < file->n; i++)
        if (file->layers[i].bias)
            return tl_err_set(err, TL_BAD_INPUT, "%s: adapters with a bias cannot be written",
                              file->layers[i].entry->name);
    return file->n > 0 || tl_err_set(err, TL_BAD_INPUT, "the adapter has no layer");
}

/* All components' configs as one JSON text. */
static char *adapter_metadata(struct list *l, const struct tl_lora_file *file,
                              const struct tl_lora_write_params *params, struct tl_err *err)
{
    cJSON *all = cJSON_CreateObject();
    bool ok = all != NULL;
    /* text_encoder, text_encoder_2, unet: sorted, as diffusers writes them */
    static const int order[TL_LORA_PARTS] = {TL_LORA_TEXT, TL_LORA_TEXT_2, TL_LORA_UNET};
    for (int i = 0; ok && i < TL_LORA_PARTS; i++) {
        char prefix[32];
        if (!has_part(file, order[i])) continue;
        snprintf(prefix, sizeof prefix, "%s.", tl_lora_part_names[order[i]]);
        cJSON *config = tl_lora_config_make(file, order[i], prefix, true, params);
        ok = config != NULL;
        for (cJSON *item; ok && (item = config->child);)
            ok = cJSON_AddItemToObject(all, item->string, cJSON_DetachItemViaPointer(config, item));
        cJSON_Delete(config);
    }
    char *text = ok ? tl_json_print(all, true, err) : NULL, *own = NULL;
    if (text) {
        text[strlen(text) - 1] = 0; /* without the final newline, as json.dumps */
        own = tl_arena_strdup(&l->arena, text);
    }
    free(text);
    cJSON_Delete(all);
    if (!own) tl_err_set(err, TL_FAIL, "out of memory");
    return own;
}

bool tl_lora_write_diffusers(const struct tl_lora_file *file, const char *path,
                             const struct tl_lora_write_params *params, struct tl_err *err)
{
    struct list l;
    if (!refuse_bias(file, err)) return false;
    bool ok = list_init(&l, file->n, 1);
    for (size_t i = 0; ok && i < file->n; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "%s.", tl_lora_part_names[file->layers[i].part]);
        ok = add_pair(&l, &file->layers[i], params->dtype, layer_name(&l, prefix, &file->layers[i]),
                      ".lora_A.weight", ".lora_B.weight", true);
    }
    if (!ok) tl_err_set(err, TL_FAIL, "out of memory");
    char *meta = ok ? adapter_metadata(&l, file, params, err) : NULL;
    if (meta) {
        add_meta(&l, "lora_adapter_metadata", meta);
        ok = tl_st_write(path, l.items, l.n, &(struct tl_st_write_params){.meta = l.meta, .n_meta = l.n_meta},
                         err);
    }
    tl_arena_finish(&l.arena);
    return meta && ok;
}

/* kohya's hashes: of the bytes behind the header, and of 64 KiB at 1 MiB (the place's end where the file is
 * shorter). */
static bool add_hashes(struct list *l, const char *path, struct tl_err *err)
{
    size_t n = 0;
    uint8_t *bytes = tl_file_read(path, SIZE_MAX / 2, &n, err);
    if (!bytes) return false;
    uint64_t header = 0;
    for (int i = 0; i < 8; i++) header |= (uint64_t)bytes[i] << (8 * i);
    struct tl_sha256 sha;
    char hex[65];
    tl_sha256_init(&sha);
    tl_sha256_add(&sha, bytes + 8 + header, n - 8 - (size_t)header);
    tl_sha256_hex(&sha, hex);
    const char *whole = tl_arena_strdup(&l->arena, hex);
    tl_sha256_init(&sha);
    if (n > HASH_OFFSET)
        tl_sha256_add(&sha, bytes + HASH_OFFSET, n - HASH_OFFSET < HASH_BYTES ? n - HASH_OFFSET : HASH_BYTES);
    tl_sha256_hex(&sha, hex);
    hex[8] = 0;
    const char *legacy = tl_arena_strdup(&l->arena, hex);
    free(bytes);
    if (!whole || !legacy) return tl_err_set(err, TL_FAIL, "out of memory");
    add_meta(l, "sshs_model_hash", whole);
    add_meta(l, "sshs_legacy_hash", legacy);
    return true;
}

/* The context of SD 2.x is 1024 wide. */
static bool is_v2(const struct tl_lora_model *base)
{
    const struct tl_store_layout *unet = base->part[TL_LORA_UNET];
    for (int32_t i = 0; unet && i < unet->n_entries; i++)
        if (tl_str_ends(unet->entries[i].name, "attn2.to_k.weight"))
            return unet->entries[i].shape.dim[0] == 1024;
    return false;
}

static bool has_meta(const struct list *l, const char *key)
{
    for (size_t i = 0; i < l->n_meta; i++)
        if (strcmp(l->meta[i].key, key) == 0) return true;
    return false;
}

static bool kohya_meta(struct list *l, const struct tl_lora_file *file, const struct tl_lora_model *base,
                       const struct tl_lora_write_params *params)
{
    bool v2 = is_v2(base);
    const struct tl_lora_layer *first = &file->layers[0];
    const char *dim = tl_arena_printf(&l->arena, "%d", first->rank);
    const char *alpha = tl_arena_printf(&l->arena, "%.9g", first->scale * first->rank);
    if (!dim || !alpha) return false;
    add_meta(l, "ss_network_alpha", alpha);
    add_meta(l, "ss_network_args", "{}");
    add_meta(l, "ss_network_dim", dim);
    add_meta(l, "ss_network_module", "networks.lora");
    for (size_t i = 0; i < params->n_meta; i++) add_meta(l, params->meta[i].key, params->meta[i].value);
    if (!has_meta(l, "ss_base_model_version"))
        add_meta(l, "ss_base_model_version", params->xl ? "sdxl_base_v1-0" : v2 ? "sd_v2" : "sd_v1");
    if (!has_meta(l, "ss_v2")) add_meta(l, "ss_v2", v2 ? "True" : "False");
    return true;
}

/* Alpha is stored as the matrices are, unless that would round it. */
static enum tl_st_dtype alpha_dtype(enum tl_st_dtype dtype, float alpha)
{
    bool f16 = tl_f16_to_f32(tl_f32_to_f16(alpha)) == alpha,
         bf16 = tl_bf16_to_f32(tl_f32_to_bf16(alpha)) == alpha;
    return (dtype == TL_ST_F16 && !f16) || (dtype == TL_ST_BF16 && !bf16) ? TL_ST_F32 : dtype;
}

bool tl_lora_write_kohya(const struct tl_lora_file *file, const struct tl_lora_model *base, const char *path,
                         const struct tl_lora_write_params *params, struct tl_err *err)
{
    struct list l;
    if (!refuse_bias(file, err)) return false;
    bool ok = list_init(&l, file->n, params->n_meta + 10);
    for (size_t i = 0; ok && i < file->n; i++) {
        const struct tl_lora_layer *layer = &file->layers[i];
        const char *name =
            tl_lora_kohya_name(&l.arena, layer->part, base->part[layer->part], layer->entry, params->xl);
        ok = add_pair(&l, layer, params->dtype, name, ".lora_down.weight", ".lora_up.weight", false);
        float *alpha = ok ? tl_arena_alloc(&l.arena, 1, sizeof *alpha) : NULL;
        const char *key = alpha ? tl_arena_printf(&l.arena, "%s.alpha", name) : NULL;
        ok = key != NULL;
        if (!ok) break;
        *alpha = (float)(layer->scale * layer->rank);
        add_item(&l, alpha_dtype(params->dtype, *alpha), key, 0, NULL, alpha);
    }
    ok = ok && kohya_meta(&l, file, base, params);
    if (!ok) tl_err_set(err, TL_FAIL, "out of memory");
    /* The hashes are those of a file that has only the ss_ entries, so it is written twice; both are whole
     * files. */
    struct tl_st_write_params w = {.meta = l.meta, .n_meta = l.n_meta, .no_format = true};
    ok = ok && tl_st_write(path, l.items, l.n, &w, err) && add_hashes(&l, path, err);
    w.n_meta = l.n_meta;
    ok = ok && tl_st_write(path, l.items, l.n, &w, err);
    tl_arena_finish(&l.arena);
    return ok;
}

bool tl_lora_write_peft(const struct tl_lora_file *file, const char *folder,
                        const struct tl_lora_write_params *params, struct tl_err *err)
{
    struct list l;
    if (!refuse_bias(file, err)) return false;
    int part = file->layers[0].part;
    for (size_t i = 1; i < file->n; i++)
        if (file->layers[i].part != part)
            return tl_err_set(err, TL_USAGE, "a PEFT folder holds one component; this adapter has %s and %s",
                              tl_lora_part_names[part], tl_lora_part_names[file->layers[i].part]);
    bool ok = tl_file_make_folder(folder, err) &&
              (list_init(&l, file->n, 1) || tl_err_set(err, TL_FAIL, "out of memory"));
    if (!ok) return false;
    for (size_t i = 0; ok && i < file->n; i++)
        ok = add_pair(&l, &file->layers[i], params->dtype,
                      layer_name(&l, "base_model.model.", &file->layers[i]), ".lora_A.weight",
                      ".lora_B.weight", false);
    cJSON *config = ok ? tl_lora_config_make(file, part, "", false, params) : NULL;
    char *path = tl_path_join_in(&l.arena, folder, "adapter_model.safetensors");
    char *config_path = tl_path_join_in(&l.arena, folder, "adapter_config.json");
    ok = (config && path && config_path) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_st_write(path, l.items, l.n, NULL, err) && tl_json_write(config_path, config, err);
    cJSON_Delete(config);
    tl_arena_finish(&l.arena);
    return ok;
}
