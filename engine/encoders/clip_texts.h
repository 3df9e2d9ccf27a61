/* Prompts to CLIP text embeddings: tokenised, cut to the text model's positions (a warning says what was
 * cut), encoded once and kept. */
#ifndef TL_ENCODERS_CLIP_TEXTS_H
#define TL_ENCODERS_CLIP_TEXTS_H

#include "encoders/clip_towers.h"

struct tl_clip_texts;

/* The tokenizer of the folder; towers borrowed. TL_BAD_INPUT where tokenizer and model do not fit. */
struct tl_clip_texts *tl_clip_texts_open(const char *folder, struct tl_clip_towers *towers,
                                         struct tl_err *err);
void tl_clip_texts_close(struct tl_clip_texts **texts);

/* Embeddings of unit length, out [n][projection]. */
bool tl_clip_texts_embed(struct tl_clip_texts *texts, const char *const *prompts, size_t n, float *out,
                         struct tl_err *err);

#endif
