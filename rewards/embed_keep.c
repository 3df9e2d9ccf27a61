#include "rewards/embed_keep.h"

#include <stdlib.h>

void tl_embed_kept_open(struct tl_embed_kept *kept, const struct tl_embed_keep *keep,
                        const struct tl_encoder_about *about, enum tl_dtype dtype, const char *device)
{
    *kept = (struct tl_embed_kept){.keep = keep};
    if (keep) kept->place = keep->open(keep->user, about, dtype, device);
}

void tl_embed_kept_close(struct tl_embed_kept *kept)
{
    if (kept->place) kept->keep->close(kept->place);
    *kept = (struct tl_embed_kept){0};
}

bool tl_embed_kept_find(const struct tl_embed_kept *kept, const struct tl_reward_item *item, float **out_rows,
                        size_t *out_n)
{
    return kept->place && item->sha256 && kept->keep->find(kept->place, item->sha256, out_rows, out_n);
}

bool tl_embed_kept_has(const struct tl_embed_kept *kept, const struct tl_reward_item *item)
{
    float *rows;
    size_t n;
    if (!tl_embed_kept_find(kept, item, &rows, &n)) return false;
    free(rows);
    return true;
}

void tl_embed_kept_add(const struct tl_embed_kept *kept, const struct tl_reward_item *item, const float *rows,
                       size_t n)
{
    if (kept->place && item->sha256) kept->keep->add(kept->place, item->sha256, rows, n);
}

bool tl_embed_kept_lost(struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL,
                      "its embedding was kept and cannot be read any more: something has changed the cache "
                      "meanwhile; run it again");
}
