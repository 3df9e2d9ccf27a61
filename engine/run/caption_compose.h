/* What a sample sees of its caption: dropout and shuffled tags, as kohya's --caption_dropout_rate,
 * --shuffle_caption, --keep_tokens and --caption_tag_dropout_rate. */
#ifndef TL_RUN_CAPTION_COMPOSE_H
#define TL_RUN_CAPTION_COMPOSE_H

#include "base/rng.h"
#include "base/str.h"

struct tl_caption_params {
    double dropout;     /* share of samples that see the empty caption */
    double tag_dropout; /* share of tags that are left out, the kept ones never */
    bool shuffle;       /* tags, which commas separate, but for the first keep_tokens */
    int keep_tokens;
};

/* A function of its arguments: the same key gives the same text. Without shuffle and tag dropout the caption
 * comes as it is; with either its tags are joined by ", ". `out` is replaced. The decision of `dropout` is
 * tl_rng_uniform(key, 0) < dropout. */
void tl_caption_compose(const char *caption, const struct tl_caption_params *params, struct tl_rng_key key,
                        struct tl_str *out);

/* Whether captions come as they are or empty, so that their encodings are few. */
static inline bool tl_caption_is_fixed(const struct tl_caption_params *p)
{
    return !p->shuffle && p->tag_dropout <= 0;
}

#endif
