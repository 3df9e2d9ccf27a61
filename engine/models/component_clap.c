#include "models/component_clap.h"

/* ---- ClapTextModelWithProjection ---- */

bool tl_component_clap_text_parse(const cJSON *json, union tl_component_config *c, struct tl_err *err)
{
    return tl_clap_text_config_parse(json, &c->clap_text, err);
}

void tl_component_clap_text(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in,
                            tl_val *out)
{
    struct tl_clap_text_out o;
    tl_clap_text_build(nn, &c->clap_text, in[0], in[1], in[2], &o);
    out[0] = o.embeds;
    out[1] = o.hidden;
}

static void text_inputs(struct tl_nn *nn, tl_val in[3])
{
    in[0] = tl_input(nn->g, "input_ids", TL_I32, tl_shape2(1, 1));
    in[1] = TL_NONE;
    in[2] = tl_input(nn->g, "position_ids", TL_I32, tl_shape2(1, 1));
}

void tl_component_clap_text_declare(struct tl_nn *nn, const union tl_component_config *c)
{
    tl_val in[3], out[TL_PORTS];
    text_inputs(nn, in);
    tl_component_clap_text(nn, c, in, out);
}

/* ---- ClapAudioModelWithProjection ---- */

bool tl_component_clap_audio_parse(const cJSON *json, union tl_component_config *c, struct tl_err *err)
{
    return tl_clap_audio_config_parse(json, &c->clap_audio, err);
}

static void audio(struct tl_nn *nn, const struct tl_clap_audio_config *c, const tl_val *in,
                  struct tl_clap_audio_out *out)
{
    if (c->is_fused && in[1] < 0) tl_graph_fail(nn->g, "a fused CLAP model needs the input is_longer");
    tl_clap_audio_build(nn, c, in[0], in[1], in[2], out);
}

void tl_component_clap_audio(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in,
                             tl_val *out)
{
    struct tl_clap_audio_out o;
    audio(nn, &c->clap_audio, in, &o);
    out[0] = o.embeds;
    out[1] = o.hidden;
}

/* Of full length, so that no time weights are needed. */
static void audio_inputs(struct tl_nn *nn, const struct tl_clap_audio_config *c, tl_val in[3])
{
    int channels = c->is_fused ? TL_CLAP_FUSED_CHANNELS : c->channels;
    in[0] = tl_input(nn->g, "input_features", TL_F32, tl_shape4(1, tl_clap_frames(c), c->bands, channels));
    in[1] = c->is_fused ? tl_input(nn->g, "is_longer", TL_F32, tl_shape2(1, 1)) : TL_NONE;
    in[2] = TL_NONE;
}

void tl_component_clap_audio_declare(struct tl_nn *nn, const union tl_component_config *c)
{
    tl_val in[3], out[TL_PORTS];
    audio_inputs(nn, &c->clap_audio, in);
    tl_component_clap_audio(nn, c, in, out);
}

/* ---- ClapModel ---- */

bool tl_component_clap_parse(const cJSON *json, union tl_component_config *c, struct tl_err *err)
{
    return tl_clap_config_parse(json, &c->clap, err);
}

/* logits_per_audio, logits_per_text, audio_embeds, text_embeds; the embeddings are normalised, as
 * transformers gives them */
void tl_component_clap(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in, tl_val *out)
{
    struct tl_clap_text_out t;
    struct tl_clap_audio_out a;
    tl_clap_text_build(nn, &c->clap.text, in[0], in[1], in[2], &t);
    audio(nn, &c->clap.audio, in + 3, &a);
    out[2] = tl_nn_normalize(nn, a.embeds);
    out[3] = tl_nn_normalize(nn, t.embeds);
    tl_clap_logits(nn, out[2], out[3], &out[0], &out[1]);
}

void tl_component_clap_declare(struct tl_nn *nn, const union tl_component_config *c)
{
    tl_val in[6], out[TL_PORTS];
    text_inputs(nn, in);
    audio_inputs(nn, &c->clap.audio, in + 3);
    tl_component_clap(nn, c, in, out);
}
