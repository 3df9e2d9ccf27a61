/* The parts of the `sample` job: what it is given, what it writes. */
#ifndef TL_RUN_SAMPLE_PARTS_H
#define TL_RUN_SAMPLE_PARTS_H

#include <tiller/sample.h>

#include "io/image.h"
#include "io/prompts.h"
#include "run/lora_arg.h"
#include "sample/pipeline.h"

/* What the options mean, checked as far as that goes without the model. */
struct tl_sample_inputs {
    struct tl_arena arena;     /* owns what is below */
    struct tl_prompts file;    /* of prompts */
    struct tl_prompt *prompts; /* the command line's, then the file's */
    size_t n_prompts, n;       /* n: pictures */
    struct tl_lora_arg *loras;
    size_t n_loras;
    float *latents; /* [n,C,h,w] as in the file, or NULL */
    int latent_channels, latent_h, latent_w;
    int width, height; /* of --size, 0 where there is none */
};

bool tl_sample_inputs_read(const struct tl_sample_params *params, struct tl_sample_inputs *out,
                           struct tl_err *err);
void tl_sample_inputs_finish(struct tl_sample_inputs *inputs);

/* Settings of the run, as the pictures record them. */
struct tl_sample_settings {
    const struct tl_sample_params *params;
    const struct tl_sample_inputs *inputs;
    const char *sampler, *command; /* command may be NULL */
    uint64_t seed;
    int width, height; /* pixels */
};

/* What the job writes, and remembers for the metadata and the grid. */
struct tl_sample_output {
    const struct tl_sample_settings *settings; /* borrowed */
    struct tl_str metadata;
    struct tl_image *grid; /* [n_prompts][n], empty ones where nothing is kept; or NULL */
    size_t n_done;
};

bool tl_sample_output_begin(struct tl_sample_output *out, const struct tl_sample_settings *settings,
                            struct tl_err *err);
/* Picture i of the run (0 .. n-1), [height][width][3]. */
bool tl_sample_output_picture(struct tl_sample_output *out, size_t i, const uint8_t *px, struct tl_err *err);
/* metadata.jsonl and, where all pictures are there, the grid. */
bool tl_sample_output_end(struct tl_sample_output *out, struct tl_err *err);
void tl_sample_output_finish(struct tl_sample_output *out);

#endif
