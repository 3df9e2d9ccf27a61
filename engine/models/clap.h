/* CLAP: ClapModel, ClapTextModelWithProjection, ClapAudioModelWithProjection. Source: transformers
 * models/clap/modeling_clap.py. The audio tower is HTSAT, a Swin transformer over a
 * log-mel picture folded into a square; the text tower is RoBERTa. Weight names are those of the files.
 *
 * Clips come as [N,T,F,C]: T frames, F mel bands, C channels (1, or 4 where the checkpoint is fused: the
 * whole clip and three stretches of it). Two things that are not weights are made by the host and fed: the
 * text's places (tl_clap_positions) and the matrix that stretches time (tl_clap_time_weights). */
#ifndef TL_MODELS_CLAP_H
#define TL_MODELS_CLAP_H

#include <cjson/cJSON.h>

#include "nn/nn.h"

enum { TL_CLAP_STAGES = 8, TL_CLAP_FUSED_CHANNELS = 4 };

struct tl_clap_text_config {
    int vocab, width, mlp, layers, heads, positions, types, projection;
    int bos_id, eos_id, pad_id;
    float eps;
    char act[32], projection_act[32];
};

struct tl_clap_audio_config {
    int bands, side;   /* mel bands; spec_size: the square's side */
    int patch, stride; /* of the patches, in both directions */
    int channels;      /* patch_embed_input_channels; 1 where fused */
    int width;         /* of the first stage; doubles with each */
    int n_stages, depths[TL_CLAP_STAGES], heads[TL_CLAP_STAGES];
    int window, aff_r, projection;
    double mlp_ratio;
    float eps; /* of the blocks; the other norms have 1e-5 */
    bool is_fused, has_qkv_bias, has_patch_norm;
    char act[32], projection_act[32];
};

struct tl_clap_config {
    struct tl_clap_text_config text;
    struct tl_clap_audio_config audio;
    int projection;
};

bool tl_clap_text_config_parse(const cJSON *json, struct tl_clap_text_config *out, struct tl_err *err);
bool tl_clap_audio_config_parse(const cJSON *json, struct tl_clap_audio_config *out, struct tl_err *err);
bool tl_clap_config_parse(const cJSON *json, struct tl_clap_config *out, struct tl_err *err);

/* ---- text ---- */

/* Places of ids[N,T] as RoBERTa counts them: pad_id + the running count of ids that are no padding; pad_id
 * for padding. */
void tl_clap_positions(const struct tl_clap_text_config *config, const int32_t *ids, int64_t n, int64_t t,
                       int32_t *out);
/* Most tokens of a text, begin and end included. */
int tl_clap_text_most(const struct tl_clap_text_config *config);

struct tl_clap_text_out {
    tl_val hidden; /* [N,T,D] */
    tl_val pooled; /* [N,D]: the first token, through the pooler */
    tl_val embeds; /* [N,P], not normalised */
};
/* ids, positions [N,T] I32; mask additive [N,T] or TL_NONE. */
void tl_clap_text_build(struct tl_nn *nn, const struct tl_clap_text_config *config, tl_val ids, tl_val mask,
                        tl_val positions, struct tl_clap_text_out *out);

/* ---- audio ---- */

/* Frames that the square holds; fewer are stretched to it, more are refused. */
int tl_clap_frames(const struct tl_clap_audio_config *config);
/* The matrix [frames][tl_clap_frames] of torch's bicubic interpolation (a = -0.75, align_corners) along
 * time. frames at least 1. */
void tl_clap_time_weights(const struct tl_clap_audio_config *config, int64_t frames, float *out);

struct tl_clap_audio_out {
    tl_val hidden; /* [N,f,t,D] as transformers regroups it: f mel places, t = chunks x places in time */
    tl_val pooled; /* [N,D]: the mean over all places */
    tl_val embeds; /* [N,P], not normalised */
};
/* features [N,T,F,C]. time_weights [T,tl_clap_frames], not read where T is that already (then TL_NONE will
 * do). is_longer [N,1], 1 where channels 1 to 3 count, else 0; read where the checkpoint is fused. */
void tl_clap_audio_build(struct tl_nn *nn, const struct tl_clap_audio_config *config, tl_val features,
                         tl_val is_longer, tl_val time_weights, struct tl_clap_audio_out *out);

/* exp(logit_scale_a) A T^T and exp(logit_scale_t) T A^T of normalised embeddings [N,P], [M,P]. */
void tl_clap_logits(struct tl_nn *nn, tl_val audio, tl_val text, tl_val *out_per_audio, tl_val *out_per_text);

#endif
