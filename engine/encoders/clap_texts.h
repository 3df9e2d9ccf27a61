/* Prompts to CLAP text embeddings: tokenised, cut to the model's places (a warning says what was cut),
 * encoded once and kept. */
#ifndef TL_ENCODERS_CLAP_TEXTS_H
#define TL_ENCODERS_CLAP_TEXTS_H

#include "encoders/clap_towers.h"

struct tl_clap_texts;

/* The tokenizer of the folder; towers borrowed. TL_BAD_INPUT where tokenizer and model do not fit. */
struct tl_clap_texts *tl_clap_texts_open(const char *folder, struct tl_clap_towers *towers,
                                         struct tl_err *err);
void tl_clap_texts_close(struct tl_clap_texts **texts);

/* Embeddings of unit length, out [n][projection]. */
bool tl_clap_texts_embed(struct tl_clap_texts *texts, const char *const *prompts, size_t n, float *out,
                         struct tl_err *err);

#endif
