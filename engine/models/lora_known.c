#include "models/lora_known.h"

#include <string.h>

#include "base/str.h"
#include "io/file.h"
#include "io/json.h"
#include "models/component.h"

/* What decides about names and shapes of layers in the published configs; the rest has its defaults. */
#define SD_BLOCKS                                                                                            \
    "\"_class_name\": \"UNet2DConditionModel\", \"block_out_channels\": [320, 640, 1280, 1280], "            \
    "\"layers_per_block\": 2, "                                                                              \
    "\"down_block_types\": [\"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", "  \
    "\"DownBlock2D\"], \"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", " \
    "\"CrossAttnUpBlock2D\"], "
#define CLIP_L                                                                                               \
    "{\"architectures\": [\"CLIPTextModel\"], \"hidden_size\": 768, \"intermediate_size\": 3072, "           \
    "\"num_attention_heads\": 12, \"num_hidden_layers\": 12, \"projection_dim\": 768, \"vocab_size\": "      \
    "49408, \"max_position_embeddings\": 77, \"hidden_act\": \"quick_gelu\"}"

static const struct {
    const char *name;
    const char *part[TL_LORA_PARTS];
} known[TL_LORA_N_KNOWN] = {
    {"SD 1", {"{" SD_BLOCKS "\"cross_attention_dim\": 768, \"attention_head_dim\": 8}", CLIP_L, NULL}},
    {"SD 2",
     {"{" SD_BLOCKS "\"cross_attention_dim\": 1024, \"attention_head_dim\": [5, 10, 20, 20], "
      "\"use_linear_projection\": true}",
      "{\"architectures\": [\"CLIPTextModel\"], \"hidden_size\": 1024, \"intermediate_size\": 4096, "
      "\"num_attention_heads\": 16, \"num_hidden_layers\": 23, \"projection_dim\": 512, \"vocab_size\": "
      "49408, \"max_position_embeddings\": 77, \"hidden_act\": \"gelu\"}",
      NULL}},
    {"SDXL",
     {"{\"_class_name\": \"UNet2DConditionModel\", \"block_out_channels\": [320, 640, 1280], "
      "\"layers_per_block\": 2, \"cross_attention_dim\": 2048, \"attention_head_dim\": [5, 10, 20], "
      "\"use_linear_projection\": true, \"transformer_layers_per_block\": [1, 2, 10], "
      "\"addition_embed_type\": \"text_time\", \"addition_time_embed_dim\": 256, "
      "\"projection_class_embeddings_input_dim\": 2816, "
      "\"down_block_types\": [\"DownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\"], "
      "\"up_block_types\": [\"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", \"UpBlock2D\"]}",
      CLIP_L,
      "{\"architectures\": [\"CLIPTextModelWithProjection\"], \"hidden_size\": 1280, "
      "\"intermediate_size\": 5120, \"num_attention_heads\": 20, \"num_hidden_layers\": 32, "
      "\"projection_dim\": 1280, \"vocab_size\": 49408, \"max_position_embeddings\": 77, \"hidden_act\": "
      "\"gelu\"}"}},
};

static bool is_text(const struct tl_component_class *cls)
{
    return strncmp(cls->name, "CLIPTextModel", strlen("CLIPTextModel")) == 0;
}

/* part -1: the class says which one it is. */
static bool add_part(struct tl_lora_layouts *l, int part, const cJSON *json, struct tl_err *err)
{
    union tl_component_config config;
    const struct tl_component_class *cls = tl_component_class_of(json, err);
    if (!cls) return false;
    bool unet = strcmp(cls->name, "UNet2DConditionModel") == 0;
    if (part < 0) part = unet ? TL_LORA_UNET : TL_LORA_TEXT;
    if (part == TL_LORA_UNET ? !unet : !is_text(cls))
        return tl_err_set(err, TL_BAD_INPUT, "%s: class %s carries no adapters that tiller knows",
                          tl_lora_part_names[part], cls->name);
    if (!cls->parse(json, &config, err)) return false;
    l->own[part] = tl_component_layout(cls, &config, err);
    l->model.part[part] = l->own[part];
    l->xl = l->xl || part == TL_LORA_TEXT_2;
    return l->own[part] != NULL;
}

static bool add_folder(struct tl_lora_layouts *l, int part, const char *folder, struct tl_err *err)
{
    struct tl_str path = {0};
    tl_path_join(&path, folder, "config.json");
    cJSON *json = tl_json_read(path.data, err);
    bool ok = json && (add_part(l, part, json, err) || tl_err_add(err, "%s", path.data));
    cJSON_Delete(json);
    tl_str_finish(&path);
    return ok;
}

bool tl_lora_layouts_of(const char *folder, struct tl_lora_layouts *out, struct tl_err *err)
{
    *out = (struct tl_lora_layouts){0};
    struct tl_str index = {0}, path = {0};
    if (!tl_file_is_folder(folder))
        return tl_err_set(err, TL_BAD_INPUT, "--model %s: there is no such folder", folder);
    tl_path_join(&index, folder, "model_index.json");
    tl_path_join(&path, folder, "config.json");
    bool ok = true;
    if (!tl_file_exists(index.data)) {
        ok = tl_file_exists(path.data)
                 ? add_folder(out, -1, folder, err)
                 : tl_err_set(err, TL_BAD_INPUT,
                              "%s holds neither model_index.json nor config.json: it is no model", folder);
    } else {
        for (int part = 0; ok && part < TL_LORA_PARTS; part++) {
            tl_path_join(&path, folder, tl_lora_part_names[part]);
            if (tl_file_is_folder(path.data)) ok = add_folder(out, part, path.data, err);
        }
        if (ok && !out->own[TL_LORA_UNET] && !out->own[TL_LORA_TEXT])
            ok = tl_err_set(err, TL_BAD_INPUT, "%s has neither unet/ nor text_encoder/", folder);
    }
    tl_str_finish(&index);
    tl_str_finish(&path);
    if (!ok) tl_lora_layouts_finish(out);
    return ok;
}

bool tl_lora_layouts_known(int i, struct tl_lora_layouts *out, struct tl_err *err)
{
    *out = (struct tl_lora_layouts){0};
    bool ok = true;
    for (int part = 0; ok && part < TL_LORA_PARTS; part++) {
        const char *text = known[i].part[part];
        if (!text) continue;
        cJSON *json = tl_json_parse(text, strlen(text), known[i].name, err);
        ok = json && add_part(out, part, json, err);
        cJSON_Delete(json);
    }
    if (!ok) tl_lora_layouts_finish(out);
    if (ok) out->name = known[i].name;
    return ok;
}

void tl_lora_layouts_finish(struct tl_lora_layouts *l)
{
    for (int i = 0; i < TL_LORA_PARTS; i++) tl_store_layout_destroy(&l->own[i]);
    *l = (struct tl_lora_layouts){0};
}

bool tl_lora_read_for(const char *path, const char *model, struct tl_lora_layouts *layouts,
                      struct tl_lora_file *out, struct tl_err *err)
{
    *layouts = (struct tl_lora_layouts){0};
    if (!tl_file_exists(path)) return tl_err_set(err, TL_BAD_INPUT, "%s: there is no such file", path);
    if (model) {
        if (!tl_lora_layouts_of(model, layouts, err)) return false;
        if (tl_lora_file_read_whole(path, &layouts->model, out, err)) return true;
        tl_lora_layouts_finish(layouts);
        return false;
    }
    for (int i = 0; i < TL_LORA_N_KNOWN; i++) {
        struct tl_err why = {0};
        if (!tl_lora_layouts_known(i, layouts, err)) return false;
        if (tl_lora_file_read_whole(path, &layouts->model, out, &why)) return true;
        tl_lora_layouts_finish(layouts);
        /* damage is told as it is; what is for another model is tried on the next */
        if (!out->other_model) return tl_err_set(err, why.code, "%s", why.text);
    }
    return tl_err_set(
        err, TL_BAD_INPUT,
        "%s is a LoRA for none of SD 1, SD 2 and SDXL: name the model that it is for with --model "
        "FOLDER",
        path);
}
