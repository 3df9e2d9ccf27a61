/* Embeddings on disk, so that the next measurement need not encode the same files again.
 *
 * FOLDER/KEY.pack holds rows of one encoder: KEY is a hash of what it is (class, hashes of the weights
 * and of a model folder's configuration, settings, dtype, device, the format's version). A pack is a chain of
 * records that is only ever added to: a header of 64 bytes (magic, SHA-256 of the file that was encoded,
 * rows, width, sum of the rows, sum of the header), then the rows as floats of this machine, then zeros to a
 * multiple of 8. A record counts when both sums are right, so half a record after a crash, or a damaged one,
 * is as if it were not there; what stands behind it is found by its magic. Records are added under a lock of
 * the file; readers need none.
 *
 * A pack above 4 GiB is begun anew; beside the one in use, packs are removed, longest unused first, until all
 * together stay below 16 GiB. The folder may be deleted at any time. A cache that cannot be read or written
 * is a warning, never an error.
 *
 * find may be called from one thread and add from another; what was added is found at once. A pack that may
 * only be read is read, without a word. */
#ifndef TL_RUN_FEATURE_CACHE_H
#define TL_RUN_FEATURE_CACHE_H

#include "base/str.h"
#include "encoders/encoder.h"

struct tl_feature_cache;

/* $XDG_CACHE_HOME/tiller/embeddings, else $HOME/.cache/tiller/embeddings. False where there is neither. */
bool tl_feature_cache_folder(struct tl_str *out);

/* NULL where the cache cannot be used (told by tl_log) or folder is NULL. */
struct tl_feature_cache *tl_feature_cache_open(const char *folder, const struct tl_encoder_about *about,
                                               enum tl_dtype dtype, const char *device);
void tl_feature_cache_close(struct tl_feature_cache **cache);

/* Rows of the file with this SHA-256 (hex): *out_rows [n][dim], which the caller frees. False: there are
 * none. cache may be NULL. */
bool tl_feature_cache_find(struct tl_feature_cache *cache, const char hash[65], float **out_rows,
                           size_t *out_n);
void tl_feature_cache_add(struct tl_feature_cache *cache, const char hash[65], const float *rows, size_t n);

#endif
