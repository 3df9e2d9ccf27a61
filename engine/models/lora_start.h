/* Training that goes on from a LoRA file: which layers train, of what rank, and their weights.
 *
 *     struct tl_lora_start *s = tl_lora_start_open(path, &model, 1u << TL_LORA_UNET, err);
 *     ... tl_denoiser_create with .lora = tl_lora_start_spec(s, TL_LORA_UNET) ...
 *     ... store made from tl_denoiser_lora_layout ...
 *     tl_lora_start_fill(s, TL_LORA_UNET, store, err);
 *     ... save with tl_lora_file_from_store, scale = spec->alpha / spec->rank, targets = spec->targets ...
 *
 * The network's output is that of the model with the file. The spec names exactly the file's layers, each
 * with its own rank; one scale serves them all: the file's, where its layers agree on it, and then the
 * matrices are the file's bit for bit; else 1, with each layer's own multiplied into its B. */
#ifndef TL_MODELS_LORA_START_H
#define TL_MODELS_LORA_START_H

#include "models/lora_file.h"

struct tl_lora_start;

/* parts: a bit (1u << TL_LORA_UNET, ...) for each component that the run trains. TL_BAD_INPUT in one message:
 * a tensor that fits no layer of the model or has another shape (names it and both shapes), adapters of a
 * component that the run does not train, of a convolution, with a bias, or of scale 0. */
struct tl_lora_start *tl_lora_start_open(const char *path, const struct tl_lora_model *model, unsigned parts,
                                         struct tl_err *err);
void tl_lora_start_close(struct tl_lora_start **start);

/* Borrowed from the start, as everything it points to: it must live as long as the spec is used, and must not
 * be finished. rank: the largest of the layers'; alpha / rank is the scale; targets: the name ends that mean
 * exactly these layers, or none (their full names go to files then). NULL: the file has none for the part. */
const struct tl_lora_spec *tl_lora_start_spec(const struct tl_lora_start *start, int part);

/* "32 layers of rank 4, alpha 4": for the run's log. Borrowed. "" where the file has none for the part. */
const char *tl_lora_start_about(const struct tl_lora_start *start, int part);

/* The file's matrices into a trainable store whose layout was made with the spec. */
bool tl_lora_start_fill(const struct tl_lora_start *start, int part, struct tl_store *lora,
                        struct tl_err *err);

#endif
