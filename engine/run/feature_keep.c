#include "run/feature_keep.h"

#include "run/feature_cache.h"

static void *open_rows(void *user, const struct tl_encoder_about *about, enum tl_dtype dtype,
                       const char *device)
{
    const struct tl_feature_keep *k = user;
    return tl_feature_cache_open(k->folder.data, about, dtype, device);
}

static void close_rows(void *place)
{
    struct tl_feature_cache *cache = place;
    tl_feature_cache_close(&cache);
}

static bool find(void *place, const char *sha256, float **out_rows, size_t *out_n)
{
    return tl_feature_cache_find(place, sha256, out_rows, out_n);
}

static void add(void *place, const char *sha256, const float *rows, size_t n)
{
    tl_feature_cache_add(place, sha256, rows, n);
}

const struct tl_embed_keep *tl_feature_keep_init(struct tl_feature_keep *k, const char *folder)
{
    *k = (struct tl_feature_keep){
        .keep = {.user = k, .open = open_rows, .close = close_rows, .find = find, .add = add}};
    if (folder)
        tl_str_append(&k->folder, folder);
    else if (!tl_feature_cache_folder(&k->folder))
        return NULL;
    return k->folder.failed ? NULL : &k->keep;
}

void tl_feature_keep_finish(struct tl_feature_keep *k)
{
    tl_str_finish(&k->folder);
}
