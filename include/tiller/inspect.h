/* What is in a file or folder, told without a device and without reading weights into memory.
 *
 * Files: safetensors (metadata, tensors, numbers, LoRA summary), pictures (size; a PNG's texts). Folders: a
 * pipeline (model_index.json), one component (config.json beside weights), a run, a PEFT adapter, a
 * scheduler, a tokenizer, pictures with captions. */
#ifndef TILLER_INSPECT_H
#define TILLER_INSPECT_H

#include <stdbool.h>

#include <tiller/err.h>

struct tl_inspect_params {
    const char *path;
    bool json;  /* JSON (schema "tiller.inspect/1") instead of text */
    bool brief; /* leave the list of tensors out */
};

/* Text that the caller frees. TL_BAD_INPUT where the path is missing, damaged, or nothing that we know.
 * *out_whole: false where members of a pipeline are missing or damaged while the rest is told; each has a
 * warning in the log. */
char *tl_inspect(const struct tl_inspect_params *params, bool *out_whole, struct tl_err *err);

/* What a finished run left and came to, shorter than tl_inspect: places, and the summary (JSON: result.json;
 * schema "tiller.train/1"). The caller frees. */
char *tl_inspect_end(const char *run_folder, bool json, struct tl_err *err);

#endif
