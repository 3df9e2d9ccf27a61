/* The parts of the `sample` job: what it is given, what it writes. */
#ifndef TL_RUN_SAMPLE_PARTS_H
#define TL_RUN_SAMPLE_PARTS_H

#include <tiller/sample.h>

#include <cjson/cJSON.h>

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
    bool karras;                   /* the sampler's sigmas */
    uint64_t seed;
    int width, height; /* pixels */
};

extern const char *const tl_sigmas_choices[]; /* enum tl_sigmas */

/* ---- sample_picture.c ---- */

/* "sampler": its name, what was chosen of it, steps and guidance, for a job's report. */
void tl_sample_say_sampler(const struct tl_sample_settings *settings, cJSON *out);

/* More that a picture says than what `sample` knows. All borrowed; members may be NULL. */
struct tl_sample_more {
    const char *parameters; /* "Key: value, ..." for A1111's line */
    const char *key;        /* of the object under "tiller" */
    const cJSON *json;      /* what stands under it */
};
/* Texts of picture i of the run (0 .. n-1); to be finished also on failure. */
struct tl_sample_texts {
    struct tl_png_text texts[2];
    struct tl_str parameters;
    char *own;
};
bool tl_sample_texts_make(const struct tl_sample_settings *settings, size_t i,
                          const struct tl_sample_more *more, struct tl_sample_texts *out, struct tl_err *err);
void tl_sample_texts_finish(struct tl_sample_texts *texts);
/* "00012.png" of picture i. */
void tl_sample_file_name(const struct tl_sample_settings *settings, size_t i, char out[32]);
/* Its row of metadata.jsonl: file_name, prompt, seed, number, the members of `more` (NULL: none), then those
 * that the prompt's own row has beyond these. */
bool tl_sample_add_row(const struct tl_sample_settings *settings, size_t i, const cJSON *more,
                       struct tl_str *out, struct tl_err *err);

/* ---- sample_output.c ---- */

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

/* The grid of a run whose pictures stand in its folder; nothing where none is asked for. */
bool tl_sample_grid_from_files(const struct tl_sample_settings *settings, struct tl_err *err);

#endif
