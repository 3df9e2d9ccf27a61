#include "run/caption_compose.h"

#include <stdlib.h>
#include <string.h>

/* Elements of the key: 0 decides about the whole caption; order and dropout of tags have ranges of their own.
 */
enum { FIRST_ORDER = 4, FIRST_DROP = 1 << 20, MOST_TAGS = 4096 };

struct tag {
    const char *text;
    size_t n;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Tags without white space round them; empty ones are left out. What is beyond MOST_TAGS stays in the last.
 */
static size_t cut(const char *caption, struct tag *tags)
{
    size_t n = 0;
    for (const char *p = caption; *p;) {
        size_t len = n + 1 == MOST_TAGS ? strlen(p) : strcspn(p, ",");
        const char *next = p + len + (p[len] == ',');
        while (len && is_space(*p)) {
            p++;
            len--;
        }
        while (len && is_space(p[len - 1])) len--;
        if (len) tags[n++] = (struct tag){p, len};
        p = next;
    }
    return n;
}

/* Fisher-Yates over tags[first .. n). */
static void shuffle(struct tag *tags, size_t first, size_t n, struct tl_rng_key key)
{
    for (size_t i = n; i > first + 1; i--) {
        size_t j = first + tl_rng_below(key, FIRST_ORDER + (uint32_t)i, (uint32_t)(i - first));
        struct tag t = tags[i - 1];
        tags[i - 1] = tags[j];
        tags[j] = t;
    }
}

void tl_caption_compose(const char *caption, const struct tl_caption_params *p, struct tl_rng_key key,
                        struct tl_str *out)
{
    tl_str_clear(out);
    tl_str_append(out, ""); /* never NULL */
    if (tl_rng_uniform(key, 0) < (float)p->dropout) return;
    if (tl_caption_is_fixed(p)) {
        tl_str_append(out, caption);
        return;
    }
    struct tag *tags = malloc(MOST_TAGS * sizeof *tags);
    if (!tags) {
        out->failed = true;
        return;
    }
    size_t n = cut(caption, tags), first = p->keep_tokens > 0 ? (size_t)p->keep_tokens : 0;
    if (first > n) first = n;
    if (p->shuffle) shuffle(tags, first, n, key);
    for (size_t i = 0; i < n; i++) {
        if (i >= first && tl_rng_uniform(key, FIRST_DROP + (uint32_t)i) < (float)p->tag_dropout) continue;
        if (out->len) tl_str_append(out, ", ");
        tl_str_append_n(out, tags[i].text, tags[i].n);
    }
    free(tags);
}
