/* LoRAs put into a model's weights for good: what `tiller merge` does.
 *
 * W + scale * B A is made in f32 and stored in the type that the file has (or --dtype); everything else of
 * the pipeline's folder is copied byte for byte. No device is used; one tensor is in memory at a time besides
 * the LoRAs. */
#ifndef TILLER_MERGE_H
#define TILLER_MERGE_H

#include <tiller/job.h>
#include <tiller/option.h>

struct tl_merge_params {
    const char *model;      /* a diffusers pipeline folder */
    struct tl_strings lora; /* FILE or FILE@SCALE (diffusers, kohya, PEFT), added in this order */
    const char *out;        /* a new or empty folder */
    int dtype;              /* 0: as each tensor is stored; 1, 2, 3: all weights as f32, f16, bf16 */
    bool json;              /* the report as JSON (schema "tiller.merge/1") */
};

extern const struct tl_option tl_merge_options[]; /* fills the params; not `json` */

/* A report that the caller frees. The folder appears whole or not at all; a crash can leave a sibling
 * OUT.tiller-PID.tmp behind. Weights that are no part of the pipeline (variants, single-file checkpoints) are
 * left out: they would still be without the LoRA. Codes: TL_USAGE, TL_BAD_INPUT, TL_OUTPUT (also for a folder
 * that holds something), TL_NUMERIC where the type cannot hold a merged weight, TL_INTERRUPTED. */
char *tl_merge(const struct tl_merge_params *params, const struct tl_job *job, struct tl_err *err);

#endif
