/* The model side of a job that samples from a pipeline (`sample`, `steer`): the folder with its LoRAs, sizes,
 * planned steps, network and decoder; and runs of its pictures, as the sampler takes them. */
#ifndef TL_RUN_SAMPLE_MODEL_H
#define TL_RUN_SAMPLE_MODEL_H

#include "run/sample_parts.h"
#include "sample/latents.h"
#include "sample/sampler_run.h"

struct tl_sample_model {
    const struct tl_sample_params *params; /* borrowed: `own` of the caller, whose guidance may become the
                                              model's */
    const struct tl_sample_inputs *inputs; /* borrowed */
    struct tl_pipeline *pipeline;
    struct tl_latent_codec *codec;
    struct tl_denoiser *denoiser;
    struct tl_step *steps;       /* [params->steps] */
    struct tl_encoding negative; /* one */
    const char *sampler;         /* its name */
    bool karras;                 /* its sigmas */
    int h, w, c, batch;          /* of the latents */
    int width, height;           /* pixels */
    size_t dim;                  /* floats of a latent */
    size_t bytes;                /* of a picture, [height][width][3] */
    bool input_gradient;         /* set before planning: the network's gradient by its input, too */
    size_t left_out;             /* tensors of LoRAs that fit nothing */
};

/* What can be said of the options without the model; `verb` is who asks. */
bool tl_sample_check_options(const struct tl_sample_params *params, const char *verb, struct tl_err *err);

/* Opens the pipeline, merges LoRAs, sets sizes. *guidance below 0 becomes the model's own. An opened model is
 * closed also where opening failed. */
bool tl_sample_model_open(struct tl_sample_model *model, struct tl_device *device,
                          const struct tl_sample_params *params, const struct tl_sample_inputs *inputs,
                          double *guidance, struct tl_err *err);
/* Pictures at a time: --batch, else 16 of 16x16 latents and fewer of larger ones; at most the run's. */
int tl_sample_model_batch(const struct tl_sample_model *model);
/* Plans steps, network and decoder for `batch` pictures at a time. */
bool tl_sample_model_plan(struct tl_sample_model *model, int batch, struct tl_err *err);
/* Takes the plan back, for another batch. */
void tl_sample_model_unplan(struct tl_sample_model *model);
void tl_sample_model_close(struct tl_sample_model *model);

/* Pictures first .. first + n - 1 of the run as the sampler's run of its own, 0 .. n - 1. */
struct tl_sample_batch {
    struct tl_sampler_run run; /* points into this struct, which must not move; after_step is the caller's */
    uint32_t *numbers;
    float *initial;
    struct tl_encoding prompts;
    struct tl_denoiser_weights weights;
};
bool tl_sample_batch_begin(struct tl_sample_batch *batch, struct tl_sample_model *model, uint64_t seed,
                           size_t first, size_t n, struct tl_err *err);
void tl_sample_batch_finish(struct tl_sample_batch *batch);

#endif
