/* A diffusers pipeline folder in memory: denoiser, autoencoder, text encoders with their tokenizers,
 * scheduler.
 *
 *     model_index.json                 StableDiffusionPipeline or StableDiffusionXLPipeline
 *     unet/ vae/ text_encoder/ tokenizer/ scheduler/       SDXL: text_encoder_2/ tokenizer_2/
 * feature_extractor, safety_checker and image_encoder are passed over. Components own their weights, on the
 * device. Not thread-safe. */
#ifndef TL_SAMPLE_PIPELINE_H
#define TL_SAMPLE_PIPELINE_H

#include "models/clip_bpe.h"
#include "models/component.h"
#include "sample/scheduler.h"

struct tl_prompt_encoder;

struct tl_pipeline_params {
    enum tl_dtype dtype; /* what weights are kept in, whatever the files have; F16 and BF16 are for reading */
    const uint64_t *seed; /* pretraining: a unet/ that holds a config and no weights starts from random ones,
                             in F32. NULL: weights must be there */
};

struct tl_pipeline {
    struct tl_device *device; /* borrowed: outlives the pipeline */
    char *folder;             /* as given */
    cJSON *index;             /* model_index.json */
    cJSON *scheduler_json;    /* scheduler_config.json */
    bool xl;                  /* two text encoders, pooled text and picture sizes as conditions */
    bool zero_negative;       /* force_zeros_for_empty_prompt: no negative prompt means zeros, not "" */
    struct tl_component *unet, *vae, *text[2]; /* text[1]: SDXL only */
    struct tl_clip_bpe *tokenizer[2];
    struct tl_scheduler scheduler;
    int tokens;                        /* of a prompt, with begin and end */
    int width;                         /* of the context */
    int pooled_width;                  /* of the pooled text; 0: none */
    struct tl_pipeline_params how;     /* as it was opened; seed is NULL */
    struct tl_prompt_encoder *encoder; /* plans and cached encodings; made when first needed */
};

/* TL_BAD_INPUT names the file or the parts that do not fit each other. */
struct tl_pipeline *tl_pipeline_open_as(struct tl_device *device, const char *folder,
                                        const struct tl_pipeline_params *params, struct tl_err *err);
/* In F32. */
struct tl_pipeline *tl_pipeline_open(struct tl_device *device, const char *folder, struct tl_err *err);
struct tl_pipeline *tl_pipeline_start(struct tl_device *device, const char *folder, uint64_t seed,
                                      struct tl_err *err);
void tl_pipeline_close(struct tl_pipeline **pipeline);

/* Prompts as the denoiser reads them, on the host. */
struct tl_encoding {
    size_t n;
    int tokens, width, pooled_width;
    float *context; /* [n, tokens, width]; owns */
    float *pooled;  /* [n, pooled_width], or NULL; owns */
};

/* SD 1 and 2: the last hidden state after the final norm. SDXL: both encoders' states before their last
 * layer, side by side, and the second one's projected pooled text. A NULL prompt is the absent negative one.
 * Encodings are kept, so the same text is encoded once and always gives the same bytes; a prompt that is too
 * long is cut and a warning logged that says what was cut. A zeroed encoding may be finished. */
bool tl_pipeline_encode(struct tl_pipeline *pipeline, const char *const *prompts, size_t n,
                        struct tl_encoding *out, struct tl_err *err);
void tl_encoding_finish(struct tl_encoding *encoding);

/* Forgets the encodings: call it after a text encoder's weights have changed. */
void tl_pipeline_forget_prompts(struct tl_pipeline *pipeline);

/* Gives the text encoders back, for whoever has all prompts encoded: encoding more is TL_FAIL from here on,
 * and the pipeline cannot be saved. */
void tl_pipeline_free_text(struct tl_pipeline *pipeline);

/* Adds factor times a LoRA file to the weights of all components that it changes. Tensors that fit nothing
 * are left out, told in a warning and added to *left_out (or NULL). */
bool tl_pipeline_merge_lora(struct tl_pipeline *pipeline, const char *path, double factor, size_t *left_out,
                            struct tl_err *err);

/* Latents of a picture: height and width in pixels to rows and columns; false where they are no multiples of
 * the VAE's factor (TL_USAGE, naming the nearest that are). 0 x 0: the size that the UNet's config names. */
bool tl_pipeline_latent_size(const struct tl_pipeline *pipeline, int height, int width, int *out_h,
                             int *out_w, struct tl_err *err);

struct tl_pipeline_save_params {
    enum tl_st_dtype dtype;                /* TL_ST_F32 or TL_ST_F16 (or BF16) */
    struct tl_store *unet, *vae, *text[2]; /* instead of the components' own (an EMA copy); NULL: the own */
};

/* Writes the pipeline folder. Every file appears whole or not at all, model_index.json last. */
bool tl_pipeline_save(struct tl_pipeline *pipeline, const char *folder,
                      const struct tl_pipeline_save_params *params, struct tl_err *err);

#endif
