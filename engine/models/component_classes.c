/* The table of model classes: what each call takes and gives under Python's names. */
#include <string.h>

#include "models/component.h"
#include "models/component_clap.h"

/* ---- UNet2DConditionModel ---- */
static bool unet_parse(const cJSON *json, union tl_component_config *c, struct tl_err *err)
{
    return tl_unet_config_parse(json, &c->unet, err);
}

static void unet_forward(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in, tl_val *out)
{
    struct tl_unet_inputs inputs = {.sample = in[0],
                                    .timestep = in[1],
                                    .context = in[2],
                                    .class_labels = in[3],
                                    .text_embeds = in[4],
                                    .time_ids = in[5],
                                    .timestep_cond = in[6],
                                    .context_mask = in[7]};
    out[0] = tl_unet_build(nn, &c->unet, &inputs);
}

static void unet_declare(struct tl_nn *nn, const union tl_component_config *config)
{
    const struct tl_unet_config *c = &config->unet;
    int side = 1 << (c->n_blocks - 1);
    int width = c->class_embed == TL_CLASS_IDENTITY ? c->time_dim
                : c->class_input_dim                ? c->class_input_dim
                                                    : 1;
    struct tl_unet_inputs in = {
        .sample = tl_input(nn->g, "sample", TL_F32, tl_shape4(1, side, side, c->in_channels)),
        .timestep = tl_input(nn->g, "timestep", TL_F32, tl_shape1(1)),
        .class_labels = TL_NONE,
        .text_embeds = TL_NONE,
        .time_ids = TL_NONE,
        .timestep_cond = TL_NONE,
        .context_mask = TL_NONE};
    bool by_number = c->class_embed == TL_CLASS_TABLE || c->class_embed == TL_CLASS_TIMESTEP;
    if (c->class_embed != TL_CLASS_NONE)
        in.class_labels = tl_input(nn->g, "class_labels", c->class_embed == TL_CLASS_TABLE ? TL_I32 : TL_F32,
                                   by_number ? tl_shape1(1) : tl_shape2(1, width));
    int context = c->encoder_hid_dim ? c->encoder_hid_dim : c->cross_dim[0];
    bool one_width = true;
    for (int i = 1; i < c->n_blocks; i++) one_width &= c->cross_dim[i] == c->cross_dim[0];
    in.context = one_width ? tl_input(nn->g, "context", TL_F32, tl_shape3(1, 1, context)) : TL_NONE;
    if (c->text_time) {
        in.time_ids = tl_input(nn->g, "time_ids", TL_F32, tl_shape2(1, 6));
        int pooled = c->addition_input_dim - 6 * c->addition_time_dim;
        if (pooled < 1) {
            tl_graph_fail(nn->g,
                          "projection_class_embeddings_input_dim %d leaves nothing for the pooled text",
                          c->addition_input_dim);
            return;
        }
        in.text_embeds = tl_input(nn->g, "text_embeds", TL_F32, tl_shape2(1, pooled));
    }
    if (c->time_cond_dim)
        in.timestep_cond = tl_input(nn->g, "timestep_cond", TL_F32, tl_shape2(1, c->time_cond_dim));
    tl_unet_build(nn, c, &in);
}

/* ---- AutoencoderKL ---- */
static bool vae_parse(const cJSON *json, union tl_component_config *c, struct tl_err *err)
{
    return tl_vae_config_parse(json, &c->vae, err);
}

static void vae_encode(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in, tl_val *out)
{
    tl_vae_moments(nn, tl_vae_encode(nn, &c->vae, in[0]), &out[0], &out[1]);
}

static void vae_decode(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in, tl_val *out)
{
    out[0] = tl_vae_decode(nn, &c->vae, in[0]);
}

static void vae_declare(struct tl_nn *nn, const union tl_component_config *c)
{
    int side = tl_vae_factor(&c->vae);
    tl_vae_encode(nn, &c->vae,
                  tl_input(nn->g, "sample", TL_F32, tl_shape4(1, side, side, c->vae.in_channels)));
    tl_vae_decode(nn, &c->vae, tl_input(nn->g, "z", TL_F32, tl_shape4(1, 1, 1, c->vae.latent_channels)));
}

/* ---- CLIP ---- */
static bool text_parse(const cJSON *json, union tl_component_config *c, struct tl_err *err)
{
    return tl_clip_text_config_parse(json, &c->clip_text, err);
}

static void text(struct tl_nn *nn, const struct tl_clip_text_config *c, const tl_val *in, bool project,
                 tl_val *out)
{
    struct tl_clip_text_out o;
    tl_clip_text_build(nn, c, in[0], in[1], in[2], project, 0, &o);
    out[0] = o.hidden;
    out[1] = project ? o.embeds : o.pooled;
}

static void text_forward(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in, tl_val *out)
{
    text(nn, &c->clip_text, in, false, out);
}

static void text_projected(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in,
                           tl_val *out)
{
    text(nn, &c->clip_text, in, true, out);
}

static void text_inputs(struct tl_nn *nn, tl_val in[3])
{
    in[0] = tl_input(nn->g, "input_ids", TL_I32, tl_shape2(1, 1));
    in[1] = TL_NONE;
    in[2] = tl_input(nn->g, "eos_rows", TL_I32, tl_shape1(1));
}

static void text_declare(struct tl_nn *nn, const union tl_component_config *c)
{
    tl_val in[3], out[TL_PORTS];
    text_inputs(nn, in);
    text_forward(nn, c, in, out);
}

static void text_projected_declare(struct tl_nn *nn, const union tl_component_config *c)
{
    tl_val in[3], out[TL_PORTS];
    text_inputs(nn, in);
    text_projected(nn, c, in, out);
}

static bool vision_parse(const cJSON *json, union tl_component_config *c, struct tl_err *err)
{
    return tl_clip_vision_config_parse(json, &c->clip_vision, err);
}

static void vision(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in, bool project,
                   tl_val *out)
{
    struct tl_clip_vision_out o;
    tl_clip_vision_build(nn, &c->clip_vision, in[0], project, &o);
    out[0] = o.hidden;
    out[1] = project ? o.embeds : o.pooled;
}

static void vision_forward(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in,
                           tl_val *out)
{
    vision(nn, c, in, false, out);
}

static void vision_projected(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in,
                             tl_val *out)
{
    vision(nn, c, in, true, out);
}

static tl_val pixels(struct tl_nn *nn, const struct tl_clip_vision_config *c)
{
    return tl_input(nn->g, "pixel_values", TL_F32, tl_shape4(1, c->image_size, c->image_size, c->channels));
}

static void vision_declare(struct tl_nn *nn, const union tl_component_config *c)
{
    tl_val in = pixels(nn, &c->clip_vision), out[TL_PORTS];
    vision_forward(nn, c, &in, out);
}

static void vision_projected_declare(struct tl_nn *nn, const union tl_component_config *c)
{
    tl_val in = pixels(nn, &c->clip_vision), out[TL_PORTS];
    vision_projected(nn, c, &in, out);
}

static bool clip_parse(const cJSON *json, union tl_component_config *c, struct tl_err *err)
{
    return tl_clip_config_parse(json, &c->clip, err);
}

/* logits_per_image, image_embeds, text_embeds; the embeddings are normalised, as transformers gives them */
static void clip_forward(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in, tl_val *out)
{
    struct tl_clip_text_out t;
    struct tl_clip_vision_out v;
    tl_clip_text_build(nn, &c->clip.text, in[0], in[1], in[2], true, 0, &t);
    tl_clip_vision_build(nn, &c->clip.vision, in[3], true, &v);
    out[1] = tl_nn_normalize(nn, v.embeds);
    out[2] = tl_nn_normalize(nn, t.embeds);
    out[0] = tl_clip_logits(nn, out[1], out[2]);
}

static void clip_declare(struct tl_nn *nn, const union tl_component_config *c)
{
    tl_val in[4], out[TL_PORTS];
    text_inputs(nn, in);
    in[3] = pixels(nn, &c->clip.vision);
    clip_forward(nn, c, in, out);
}

/* "eos_rows" is made by the caller from input_ids; "attention_mask" becomes an additive mask. */
#define TEXT_PORTS                                                                                           \
    {"input_ids", TL_PORT_IDS, false}, {"attention_mask", TL_PORT_MASK, true},                               \
    {                                                                                                        \
        "eos_rows", TL_PORT_IDS, true                                                                        \
    }

const struct tl_component_class tl_component_classes[] = {
    {"UNet2DConditionModel",
     "diffusers",
     "diffusion_pytorch_model",
     "latent denoiser of SD 1.x, 2.x, XL, AudioLDM",
     unet_parse,
     unet_declare,
     {{"forward",
       {{"sample", TL_PORT_PICTURE, false},
        {"timestep", TL_PORT_VECTOR, false},
        {"encoder_hidden_states", TL_PORT_TOKENS, true},
        {"class_labels", TL_PORT_VECTOR, true},
        {"text_embeds", TL_PORT_VECTOR, true},
        {"time_ids", TL_PORT_VECTOR, true},
        {"timestep_cond", TL_PORT_VECTOR, true},
        {"encoder_attention_mask", TL_PORT_MASK, true}},
       {{"sample", TL_PORT_PICTURE, false}},
       unet_forward}}},
    {"AutoencoderKL",
     "diffusers",
     "diffusion_pytorch_model",
     "pictures to latents and back",
     vae_parse,
     vae_declare,
     {{"encode",
       {{"sample", TL_PORT_PICTURE, false}},
       {{"mean", TL_PORT_PICTURE, false}, {"logvar", TL_PORT_PICTURE, false}},
       vae_encode},
      {"decode", {{"z", TL_PORT_PICTURE, false}}, {{"sample", TL_PORT_PICTURE, false}}, vae_decode}}},
    {"CLIPTextModel",
     "transformers",
     "model",
     "text encoder",
     text_parse,
     text_declare,
     {{"forward",
       {TEXT_PORTS},
       {{"last_hidden_state", TL_PORT_TOKENS, false}, {"pooler_output", TL_PORT_VECTOR, false}},
       text_forward}}},
    {"CLIPTextModelWithProjection",
     "transformers",
     "model",
     "text encoder with projection (SDXL's second)",
     text_parse,
     text_projected_declare,
     {{"forward",
       {TEXT_PORTS},
       {{"last_hidden_state", TL_PORT_TOKENS, false}, {"text_embeds", TL_PORT_VECTOR, false}},
       text_projected}}},
    {"CLIPVisionModel",
     "transformers",
     "model",
     "picture encoder",
     vision_parse,
     vision_declare,
     {{"forward",
       {{"pixel_values", TL_PORT_PICTURE, false}},
       {{"last_hidden_state", TL_PORT_TOKENS, false}, {"pooler_output", TL_PORT_VECTOR, false}},
       vision_forward}}},
    {"CLIPVisionModelWithProjection",
     "transformers",
     "model",
     "picture encoder with projection",
     vision_parse,
     vision_projected_declare,
     {{"forward",
       {{"pixel_values", TL_PORT_PICTURE, false}},
       {{"last_hidden_state", TL_PORT_TOKENS, false}, {"image_embeds", TL_PORT_VECTOR, false}},
       vision_projected}}},
    {"CLIPModel",
     "transformers",
     "model",
     "both towers: CLIP score and reward",
     clip_parse,
     clip_declare,
     {{"forward",
       {TEXT_PORTS, {"pixel_values", TL_PORT_PICTURE, false}},
       {{"logits_per_image", TL_PORT_VECTOR, false},
        {"image_embeds", TL_PORT_VECTOR, false},
        {"text_embeds", TL_PORT_VECTOR, false}},
       clip_forward}}},
    {"ClapTextModelWithProjection",
     "transformers",
     "model",
     "text encoder of AudioLDM: RoBERTa with projection",
     tl_component_clap_text_parse,
     tl_component_clap_text_declare,
     {{"forward",
       {TL_CLAP_TEXT_PORTS},
       {{"text_embeds", TL_PORT_VECTOR, false}, {"last_hidden_state", TL_PORT_TOKENS, false}},
       tl_component_clap_text}}},
    {"ClapAudioModelWithProjection",
     "transformers",
     "model",
     "sound encoder with projection: HTSAT, fused or not",
     tl_component_clap_audio_parse,
     tl_component_clap_audio_declare,
     {{"forward",
       {TL_CLAP_AUDIO_PORTS},
       {{"audio_embeds", TL_PORT_VECTOR, false}, {"last_hidden_state", TL_PORT_PICTURE, false}},
       tl_component_clap_audio}}},
    {"ClapModel",
     "transformers",
     "model",
     "both towers for sounds: CLAP score and reward, MusicLDM",
     tl_component_clap_parse,
     tl_component_clap_declare,
     {{"forward",
       {TL_CLAP_TEXT_PORTS, TL_CLAP_AUDIO_PORTS},
       {{"logits_per_audio", TL_PORT_VECTOR, false},
        {"logits_per_text", TL_PORT_VECTOR, false},
        {"audio_embeds", TL_PORT_VECTOR, false},
        {"text_embeds", TL_PORT_VECTOR, false}},
       tl_component_clap}}},
    {0},
};

const struct tl_component_class *tl_component_class_find(const char *name)
{
    for (const struct tl_component_class *c = tl_component_classes; c->name; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}
