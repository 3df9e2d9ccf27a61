/* Posterior moments on disk, so that the next run need not encode the same pictures again.
 *
 * CACHE/latents-KEY.safetensors holds what one data folder, brought to size by one rule, is to one VAE on one
 * kind of device: KEY is a hash of these (tl_latent_cache_key). An entry is F32 [h, w, 2 channels], mean
 * beside clamped logvar, and is called by the SHA-256 of the picture file's bytes, the size that the picture
 * is brought to, and "-flip" for the mirrored one: a changed picture is another entry. The file's metadata
 * has a SHA-256 over all entries' names and bytes, which is compared when it is opened; a file that is broken
 * is told and written anew. It is written whole or not at all. */
#ifndef TL_RUN_LATENT_CACHE_H
#define TL_RUN_LATENT_CACHE_H

#include "models/component.h"
#include "run/dataset.h"

enum { TL_LATENT_NAME = 64 + 40 };

struct tl_latent_entry {
    char name[TL_LATENT_NAME];
    int height, width, channels; /* of the latents */
    const void *data;            /* floats [h][w][2 channels], unaligned; borrowed */
};

/* Of the VAE's config and weights, the device's name, the folder and how pictures are brought to size. */
bool tl_latent_cache_key(struct tl_component *vae, const struct tl_dataset *data, char out[65],
                         struct tl_err *err);
/* Of a picture file, brought to width x height. */
bool tl_latent_cache_name(const char *picture, int width, int height, bool flip, char out[TL_LATENT_NAME],
                          struct tl_err *err);

struct tl_latent_cache;

/* Makes the folder. A file that is absent or broken is an empty cache; failing is about the folder. */
struct tl_latent_cache *tl_latent_cache_open(const char *folder, const char key[65], struct tl_err *err);
void tl_latent_cache_close(struct tl_latent_cache **cache);

/* Fills in e->data of an entry of this name and shape; false where there is none. Valid until the next write
 * or close. */
bool tl_latent_cache_find(const struct tl_latent_cache *cache, struct tl_latent_entry *e);

/* Replaces the file by these entries, of which several may have one name; their data may come from the cache
 * itself. Afterwards tl_latent_cache_find gives them. */
bool tl_latent_cache_write(struct tl_latent_cache *cache, const struct tl_latent_entry *entries, size_t n,
                           struct tl_err *err);

#endif
