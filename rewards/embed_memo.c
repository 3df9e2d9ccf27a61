#include "rewards/embed_memo.h"

#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"

void tl_embed_memo_key(const struct tl_reward_item *items, size_t n, char out[65])
{
    struct tl_sha256 hash;
    tl_sha256_init(&hash);
    for (size_t i = 0; i < n; i++) {
        const char how = items[i].sha256 ? 'f' : 's';
        tl_sha256_add(&hash, &how, 1);
        if (items[i].sha256) {
            tl_sha256_add(&hash, items[i].sha256, 64);
            continue;
        }
        const int size[4] = {items[i].width, items[i].height, items[i].channels, items[i].rate};
        tl_sha256_add(&hash, size, sizeof size);
        if (items[i].rgb) tl_sha256_add(&hash, items[i].rgb, (size_t)size[0] * (size_t)size[1] * 3);
        if (!items[i].samples) continue;
        tl_sha256_add(&hash, &items[i].frames, sizeof items[i].frames);
        tl_sha256_add(&hash, items[i].samples, items[i].frames * (size_t)size[2] * sizeof(float));
    }
    tl_sha256_hex(&hash, out);
}

const float *tl_embed_memo_find(const struct tl_embed_memo *memo, const char *key)
{
    for (size_t i = 0; i < TL_EMBED_MEMO_BATCHES; i++)
        if (memo->batch[i].embeds && strcmp(memo->batch[i].key, key) == 0) return memo->batch[i].embeds;
    return NULL;
}

void tl_embed_memo_keep(struct tl_embed_memo *memo, const char *key, const float *embeds, size_t n)
{
    struct tl_embed_memo_batch *b = &memo->batch[memo->next];
    memo->next = (memo->next + 1) % TL_EMBED_MEMO_BATCHES;
    free(b->embeds);
    b->embeds = malloc(n * sizeof *embeds);
    if (!b->embeds) return;
    memcpy(b->key, key, sizeof b->key);
    memcpy(b->embeds, embeds, n * sizeof *embeds);
}

void tl_embed_memo_finish(struct tl_embed_memo *memo)
{
    for (size_t i = 0; i < TL_EMBED_MEMO_BATCHES; i++) free(memo->batch[i].embeds);
    *memo = (struct tl_embed_memo){0};
}
