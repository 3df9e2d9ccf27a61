/* LoRA files from one program's form into another's: what `tiller convert` does.
 *
 * Forms: diffusers (pytorch_lora_weights.safetensors), peft (a folder: adapter_model.safetensors,
 * adapter_config.json), kohya (what ComfyUI and A1111 load). Matrices and scales come over exactly; in
 * diffusers' form the scale is multiplied into the up matrices. */
#ifndef TILLER_CONVERT_H
#define TILLER_CONVERT_H

#include <stdbool.h>

#include <tiller/err.h>
#include <tiller/option.h>

enum tl_lora_form { TL_LORA_DIFFUSERS, TL_LORA_PEFT, TL_LORA_KOHYA };

struct tl_convert_params {
    const char *lora;       /* a file, or a folder that holds one */
    enum tl_lora_form form; /* to write */
    const char *model; /* a pipeline's folder, or a component's; NULL: SD 1, SD 2 or SDXL, whichever fits */
    const char *part;  /* "unet", "text_encoder", "text_encoder_2": keep these alone; NULL: all */
    int dtype;         /* 0: as the file has it; 1, 2, 3: f32, f16, bf16 */
    const char *out;   /* file, or folder (peft) */
    bool json;         /* the report as JSON (schema "tiller.convert/1") */
};

extern const struct tl_option tl_convert_options[]; /* fills the params; not `lora` and `json` */

/* A report that the caller frees. Files appear whole or not at all. Codes: TL_USAGE, TL_BAD_INPUT (among
 * others a LoRA for another model), TL_OUTPUT. */
char *tl_convert_lora(const struct tl_convert_params *params, struct tl_err *err);

#endif
