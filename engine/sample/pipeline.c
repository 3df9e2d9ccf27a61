#include "sample/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "io/file.h"
#include "io/json.h"
#include "models/lora_file.h"
#include "sample/pipeline_encode.h"
#include "sample/scheduler_config.h"
#include "tensor/device_planning.h"

static const char *const text_folders[2] = {"text_encoder", "text_encoder_2"};
static const char *const tokenizer_folders[2] = {"tokenizer", "tokenizer_2"};

/* Whether model_index.json names a component: absent and [null, null] mean no. */
static bool has(const cJSON *index, const char *name)
{
    const cJSON *pair = tl_json_get(index, name);
    return cJSON_IsArray(pair) && cJSON_IsString(cJSON_GetArrayItem(pair, 1));
}

static bool read_index(struct tl_pipeline *p, struct tl_err *err)
{
    struct tl_str path = {0};
    const char *name = NULL;
    tl_path_join(&path, p->folder, "model_index.json");
    if (tl_file_is_folder(p->folder) && !tl_file_exists(path.data))
        tl_err_set(err, TL_BAD_INPUT, "%s holds no model_index.json: it is not a diffusers pipeline",
                   p->folder);
    else
        p->index = tl_json_read(path.data, err);
    tl_str_finish(&path);
    if (!p->index || !tl_json_string(p->index, "_class_name", "", &name, err)) return false;
    p->xl = strcmp(name, "StableDiffusionXLPipeline") == 0;
    if (!p->xl && strcmp(name, "StableDiffusionPipeline") != 0)
        return tl_err_set(
            err, TL_BAD_INPUT,
            "%s/model_index.json: pipeline '%s' is not supported; there are StableDiffusionPipeline and "
            "StableDiffusionXLPipeline",
            p->folder, name);
    static const char *const needed[] = {
        "unet", "vae", "text_encoder", "tokenizer", "scheduler", "text_encoder_2", "tokenizer_2"};
    for (size_t i = 0; i < (p->xl ? 7 : 5); i++)
        if (!has(p->index, needed[i]))
            return tl_err_set(err, TL_BAD_INPUT, "%s/model_index.json: the pipeline has no %s", p->folder,
                              needed[i]);
    return tl_json_bool(p->index, "force_zeros_for_empty_prompt", p->xl, &p->zero_negative, err);
}

/* What is made belongs to, where it is only planned. */
static const char *part_of(const char *name)
{
    return strcmp(name, "unet") == 0  ? "UNet, weights"
           : strcmp(name, "vae") == 0 ? "VAE, weights"
                                      : "text encoder, weights";
}

static struct tl_component *open_component(struct tl_pipeline *p, const char *name, const char *cls,
                                           const char *or_cls, struct tl_err *err)
{
    struct tl_str path = {0};
    tl_path_join(&path, p->folder, name);
    const char *before = tl_device_planning_part(p->device, part_of(name));
    struct tl_component *c = tl_component_open_as(p->device, path.data, p->how.dtype, err);
    tl_device_planning_part(p->device, before);
    if (!c) tl_err_add(err, "loading %s", name);
    if (c && strcmp(c->cls->name, cls) != 0 && (!or_cls || strcmp(c->cls->name, or_cls) != 0)) {
        tl_err_set(err, TL_BAD_INPUT, "%s is a %s, expected %s", path.data, c->cls->name, cls);
        tl_component_close(&c);
    }
    tl_str_finish(&path);
    return c;
}

static bool has_weights(const char *folder, const char *base)
{
    static const char *const endings[] = {"safetensors", "safetensors.index.json", "bin", "bin.index.json"};
    struct tl_str path = {0};
    bool found = false;
    for (size_t i = 0; !found && i < sizeof endings / sizeof *endings; i++) {
        tl_str_clear(&path);
        tl_str_printf(&path, "%s/%s.%s", folder, base, endings[i]);
        found = !path.failed && tl_file_exists(path.data);
    }
    tl_str_finish(&path);
    return found;
}

/* Random weights where the folder has none and there is a seed for them. */
static struct tl_component *open_unet(struct tl_pipeline *p, const uint64_t *seed, struct tl_err *err)
{
    struct tl_str folder = {0}, path = {0};
    tl_path_join(&folder, p->folder, "unet");
    tl_path_join(&path, folder.data, "config.json");
    cJSON *json = seed && tl_file_exists(path.data) ? tl_json_read(path.data, NULL) : NULL;
    const struct tl_component_class *cls = json ? tl_component_class_of(json, NULL) : NULL;
    bool fresh =
        cls && strcmp(cls->name, "UNet2DConditionModel") == 0 && !has_weights(folder.data, cls->weights);
    struct tl_component *c = fresh ? tl_component_create(p->device, json, *seed, err)
                                   : open_component(p, "unet", "UNet2DConditionModel", NULL, err);
    if (fresh && !c) tl_err_add(err, "%s", path.data);
    cJSON_Delete(json);
    tl_str_finish(&folder);
    tl_str_finish(&path);
    return c;
}

static bool open_text(struct tl_pipeline *p, int i, struct tl_err *err)
{
    static const char *const classes[2] = {"CLIPTextModel", "CLIPTextModelWithProjection"};
    struct tl_str path = {0};
    tl_path_join(&path, p->folder, tokenizer_folders[i]);
    p->tokenizer[i] = tl_clip_bpe_open(path.data, err);
    tl_str_finish(&path);
    if (!p->tokenizer[i]) return tl_err_add(err, "loading %s", tokenizer_folders[i]);
    p->text[i] = open_component(p, text_folders[i], classes[i], i == 0 ? classes[1] : NULL, err);
    if (!p->text[i]) return false;
    const struct tl_clip_text_config *c = &p->text[i]->config.clip_text;
    struct tl_bpe_info info = tl_clip_bpe_info(p->tokenizer[i]);
    if (info.n_vocab > (size_t)c->vocab)
        return tl_err_set(err, TL_BAD_INPUT, "%s/%s has %zu entries, %s knows %d", p->folder,
                          tokenizer_folders[i], info.n_vocab, text_folders[i], c->vocab);
    int tokens = info.max_len < (size_t)c->positions ? (int)info.max_len : c->positions;
    if (i == 0 || tokens < p->tokens) p->tokens = tokens;
    p->width += c->tower.width;
    p->pooled_width = i == 1 ? c->projection : 0;
    return true;
}

static bool open_scheduler(struct tl_pipeline *p, struct tl_err *err)
{
    struct tl_str path = {0};
    tl_path_join(&path, p->folder, "scheduler/scheduler_config.json");
    p->scheduler_json = tl_json_read_python(path.data, err);
    bool ok = p->scheduler_json && tl_scheduler_read(&p->scheduler, path.data, err);
    tl_str_finish(&path);
    return ok;
}

static bool same(const struct tl_pipeline *p, const char *one, int a, const char *other, int b,
                 struct tl_err *err)
{
    return a == b || tl_err_set(err, TL_BAD_INPUT, "%s: %s are %d, %s %d", p->folder, one, a, other, b);
}

static bool check_fit(const struct tl_pipeline *p, struct tl_err *err)
{
    const struct tl_unet_config *u = &p->unet->config.unet;
    int context = u->encoder_hid_dim ? u->encoder_hid_dim : u->cross_dim[0];
    if (u->text_time != p->xl || u->class_embed != TL_CLASS_NONE)
        return tl_err_set(err, TL_BAD_INPUT, "%s: the UNet wants conditions that this pipeline does not give",
                          p->folder);
    return same(p, "the UNet's input channels", u->in_channels, "the latent channels of the VAE",
                p->vae->config.vae.latent_channels, err) &&
           same(p, "the UNet's input channels", u->in_channels, "its output channels", u->out_channels,
                err) &&
           same(p, "the channels of the UNet's context", context, "those of the text encoder", p->width,
                err) &&
           (!p->xl || same(p, "the channels of the UNet's text_embeds",
                           u->addition_input_dim - 6 * u->addition_time_dim, "those of text_encoder_2",
                           p->pooled_width, err));
}

struct tl_pipeline *tl_pipeline_open_as(struct tl_device *device, const char *folder,
                                        const struct tl_pipeline_params *params, struct tl_err *err)
{
    struct tl_pipeline *p = calloc(1, sizeof *p);
    if (!p || !(p->folder = strdup(folder))) {
        free(p);
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    p->device = device;
    p->how = *params;
    p->how.seed = NULL;
    if (read_index(p, err) && open_scheduler(p, err) && open_text(p, 0, err) &&
        (!p->xl || open_text(p, 1, err)) && (p->unet = open_unet(p, params->seed, err)) &&
        (p->vae = open_component(p, "vae", "AutoencoderKL", NULL, err)) && check_fit(p, err))
        return p;
    tl_pipeline_close(&p);
    return NULL;
}

struct tl_pipeline *tl_pipeline_open(struct tl_device *device, const char *folder, struct tl_err *err)
{
    return tl_pipeline_open_as(device, folder, &(struct tl_pipeline_params){.dtype = TL_F32}, err);
}

struct tl_pipeline *tl_pipeline_start(struct tl_device *device, const char *folder, uint64_t seed,
                                      struct tl_err *err)
{
    return tl_pipeline_open_as(device, folder, &(struct tl_pipeline_params){.dtype = TL_F32, .seed = &seed},
                               err);
}

void tl_pipeline_free_text(struct tl_pipeline *p)
{
    tl_prompt_encoder_destroy(&p->encoder);
    for (int i = 0; i < 2; i++) tl_component_close(&p->text[i]);
}

void tl_pipeline_close(struct tl_pipeline **p_ptr)
{
    struct tl_pipeline *p = *p_ptr;
    if (!p) return;
    tl_prompt_encoder_destroy(&p->encoder);
    for (int i = 0; i < 2; i++) {
        tl_component_close(&p->text[i]);
        tl_clip_bpe_destroy(&p->tokenizer[i]);
    }
    tl_component_close(&p->unet);
    tl_component_close(&p->vae);
    tl_scheduler_finish(&p->scheduler);
    cJSON_Delete(p->index);
    cJSON_Delete(p->scheduler_json);
    free(p->folder);
    free(p);
    *p_ptr = NULL;
}

bool tl_pipeline_merge_lora(struct tl_pipeline *p, const char *path, double factor, size_t *left_out,
                            struct tl_err *err)
{
    struct tl_component *parts[TL_LORA_PARTS] = {p->unet, p->text[0], p->text[1]};
    struct tl_lora_model model = {{0}};
    struct tl_lora_file file;
    for (int i = 0; i < TL_LORA_PARTS; i++) model.part[i] = parts[i] ? parts[i]->layout : NULL;
    bool ok = tl_lora_file_read(path, &model, &file, err);
    for (int i = 0; ok && i < TL_LORA_PARTS; i++)
        if (parts[i]) ok = tl_lora_file_merge(&file, i, parts[i]->store, factor, err);
    if (ok) tl_pipeline_forget_prompts(p);
    if (ok && left_out) *left_out += file.n_unmatched;
    if (!ok) tl_err_add(err, "LoRA %s", path);
    tl_lora_file_finish(&file);
    return ok;
}

bool tl_pipeline_latent_size(const struct tl_pipeline *p, int height, int width, int *out_h, int *out_w,
                             struct tl_err *err)
{
    int factor = tl_vae_factor(&p->vae->config.vae);
    const int *size = p->unet->config.unet.sample_size;
    if (height == 0 && width == 0) {
        if (size[0] < 1 || size[1] < 1)
            return tl_err_set(err, TL_USAGE, "the UNet's config names no sample_size: give --size WxH");
        *out_h = size[0];
        *out_w = size[1];
        return true;
    }
    if (height < 1 || width < 1 || height % factor != 0 || width % factor != 0) {
        int h = (height + factor / 2) / factor * factor, w = (width + factor / 2) / factor * factor;
        return tl_err_set(err, TL_USAGE, "size %dx%d: both must be multiples of %d, such as %dx%d", width,
                          height, factor, w > 0 ? w : factor, h > 0 ? h : factor);
    }
    *out_h = height / factor;
    *out_w = width / factor;
    return true;
}
