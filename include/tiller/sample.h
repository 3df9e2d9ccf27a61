/* Pictures from a pipeline: what `tiller sample` does.
 *
 * Picture i (numbered over all prompts, in their order) draws its noise from (seed, i) alone: it is the same
 * in a run of its own (`first` = i, one sample), in any batch and, to rounding, on any device. The folder
 * gets 00000.png ... with the settings in the PNG (A1111's "parameters", and "tiller", a JSON object), and
 * metadata.jsonl with a row a picture: file_name, prompt, seed, number, and the members of its row in the
 * file of prompts. */
#ifndef TILLER_SAMPLE_H
#define TILLER_SAMPLE_H

#include <tiller/job.h>
#include <tiller/option.h>

struct tl_sample_params {
    const char *model;           /* a diffusers pipeline folder */
    struct tl_strings prompt;    /* these first, */
    const char *prompts;         /* then the file's: one a line, or JSONL; NULL: none */
    int n;                       /* pictures a prompt */
    int first;                   /* number of the first picture */
    const char *negative_prompt; /* NULL: none */
    struct tl_strings lora;      /* FILE or FILE@SCALE, merged in this order */
    const char *init_latents; /* safetensors, one tensor [N,C,h,w] of unit noise, a picture each; NULL: from
                                 the seed */
    const char *save_latents; /* safetensors to write: `latents` [N,C,h,w] after the last step, as diffusers'
                                 output_type="latent"; NULL: none */
    const char *sampler;      /* a row of the samplers; NULL: the model's own */
    int sigmas;               /* 0 as the model's scheduler says, 1 plain, 2 Karras' */
    int steps;
    double eta, guidance; /* eta is ddim's alone; guidance works above 1, as in diffusers; negative: the
                             model's own, else 7.5 */
    const char *size;     /* "WxH" pixels; NULL: the model's own */
    const char *out;      /* folder */
    const char *grid;     /* PNG with all pictures, a row a prompt (at most 32 rows of 8); NULL: none */
    int batch;            /* pictures at a time; 0: by the size of their latents */
    int dtype;            /* weights are kept in: 0 f32, 1 f16, 2 bf16, whatever the files have */
    bool json;            /* the report as JSON (schema "tiller.sample/1") */
};

extern const struct tl_option tl_sample_options[]; /* fills the params; not `json` */

/* A report that the caller frees. *out_whole: false where tensors of a LoRA fit nothing of the model and were
 * left out, which was told (tl_log). Codes: TL_USAGE, TL_BAD_INPUT, TL_OUTPUT, TL_DEVICE, TL_NUMERIC;
 * TL_INTERRUPTED after finished pictures and their metadata are written. */
char *tl_sample(const struct tl_sample_params *params, const struct tl_job *job, bool *out_whole,
                struct tl_err *err);

#endif
