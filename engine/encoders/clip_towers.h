/* A CLIP folder opened for scoring: its two towers, each planned once for a fixed number of rows, so
 * that an embedding does not depend on its company. Short batches are padded. Not thread-safe. */
#ifndef TL_ENCODERS_CLIP_TOWERS_H
#define TL_ENCODERS_CLIP_TOWERS_H

#include "models/component.h"

struct tl_clip_towers;

/* A CLIPModel, or a CLIPVisionModelWithProjection, which has pictures only; other classes are TL_BAD_INPUT.
 * Device borrowed; dtype: what the weights are kept in (F32, F16, BF16). */
struct tl_clip_towers *tl_clip_towers_open(struct tl_device *device, const char *folder, enum tl_dtype dtype,
                                           struct tl_err *err);
void tl_clip_towers_close(struct tl_clip_towers **towers);

const struct tl_clip_config *tl_clip_towers_config(const struct tl_clip_towers *towers);
struct tl_store *tl_clip_towers_store(const struct tl_clip_towers *towers);
double tl_clip_towers_scale(const struct tl_clip_towers *towers); /* exp(logit_scale) */
size_t tl_clip_towers_batch(
    const struct tl_clip_towers *towers); /* pictures of one run: the cheapest number to bring */

/* Plans the text tower now instead of at the first text. TL_BAD_INPUT where the folder has none. */
bool tl_clip_towers_plan_texts(struct tl_clip_towers *towers, struct tl_err *err);

/* Any n. pixels [n][side][side][3], normalised; ids [n][positions]; out [n][projection], not normalised. */
bool tl_clip_towers_images(struct tl_clip_towers *towers, const float *pixels, size_t n, float *out,
                           struct tl_err *err);
bool tl_clip_towers_texts(struct tl_clip_towers *towers, const int32_t *ids, size_t n, float *out,
                          struct tl_err *err);

/* SHA-256 of the weights file; of the files' hashes, one after the other in hex, where there are several. */
bool tl_clip_towers_hash(const char *folder, char out[65], struct tl_err *err);

#endif
