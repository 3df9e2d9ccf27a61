/* The denoiser's conditions, row by row: encodings of prompts gathered for a batch of samples, the
 * unconditional branch first where there is guidance. */
#ifndef TL_SAMPLE_CONDITION_H
#define TL_SAMPLE_CONDITION_H

#include "sample/denoiser.h"
#include "sample/pipeline.h"

/* Whether the guidance needs the second branch: above 1, as in diffusers. */
static inline bool tl_guidance_active(double guidance)
{
    return guidance > 1;
}

struct tl_condition_rows {
    struct tl_condition condition; /* what to hand to the denoiser; points into the arrays below */
    size_t batch;
    bool guided;
    size_t n_context, n_pooled;         /* floats of one row */
    float *context, *pooled, *time_ids; /* own */
};

/* Room for `batch` samples. height, width: of the pictures, in pixels (SDXL is told). */
bool tl_condition_rows_init(struct tl_condition_rows *rows, const struct tl_pipeline *pipeline, size_t batch,
                            bool guided, int height, int width, struct tl_err *err);
void tl_condition_rows_finish(struct tl_condition_rows *rows);

/* Sample i of the batch gets prompt[i] of `prompts` (NULL: prompt i), for i < n; the rest repeats the last.
 * negative: one for all, or one a prompt; looked at only where guided. */
void tl_condition_rows_set(struct tl_condition_rows *rows, const struct tl_encoding *prompts,
                           const size_t *prompt, size_t n, const struct tl_encoding *negative);

#endif
