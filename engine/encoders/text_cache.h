/* Embeddings of prompts, made once and kept: what text encoders share. */
#ifndef TL_ENCODERS_TEXT_CACHE_H
#define TL_ENCODERS_TEXT_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

enum { TL_TEXT_CACHE_PENDING = 16 }; /* prompts of one call of encode at most */

struct tl_text_cache;

/* encode: prompts [n] to out [n][dim], any length. */
struct tl_text_cache *tl_text_cache_create(size_t dim,
                                           bool (*encode)(void *user, const char *const *prompts, size_t n,
                                                          float *out, struct tl_err *err),
                                           void *user, struct tl_err *err);
void tl_text_cache_destroy(struct tl_text_cache **cache);

/* Embeddings of unit length, out [n][dim]; a zero one becomes NaN, which scoring reports. */
bool tl_text_cache_embed(struct tl_text_cache *cache, const char *const *prompts, size_t n, float *out,
                         struct tl_err *err);

#endif
