#include "models/clip_bpe_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "io/utf8.h"

static bool no_memory(struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "out of memory for a vocabulary");
}

void tl_clip_bpe_words_finish(struct tl_clip_bpe_words *w)
{
    for (size_t i = 0; i < w->n; i++) tl_bpe_ids_finish(&w->items[i].symbols);
    free(w->items);
    tl_arena_finish(&w->arena);
}

static bool push_word(struct tl_clip_bpe_words *w, const char *text, size_t n, struct tl_err *err)
{
    if (w->n == w->size) {
        size_t size = w->size ? 2 * w->size : 256, bytes;
        struct tl_clip_bpe_word *items =
            tl_checked_mul(size, sizeof *items, &bytes) ? realloc(w->items, bytes) : NULL;
        if (!items) return no_memory(err);
        w->items = items;
        w->size = size;
    }
    w->items[w->n++] = (struct tl_clip_bpe_word){.text = text, .n = n, .count = 1};
    return true;
}

static bool push_caption(struct tl_clip_bpe_words *w, const char *caption, struct tl_err *err)
{
    size_t n = strlen(caption), valid = tl_utf8_prefix(caption, n), at, len;
    if (valid != n) return tl_err_set(err, TL_BAD_INPUT, "not UTF-8 at byte %zu", valid);
    struct tl_str clean = {0};
    bool ok = tl_clip_bpe_clean(caption, n, &clean, err);
    const char *own = ok ? tl_arena_strdup(&w->arena, clean.data ? clean.data : "") : NULL;
    struct tl_bpe_pieces pieces = {.text = own, .n = clean.len};
    if (ok && !own) ok = no_memory(err);
    while (ok && tl_clip_bpe_next_piece(&pieces, &at, &len)) ok = push_word(w, own + at, len, err);
    tl_str_finish(&clean);
    return ok;
}

static int by_bytes(const void *a, const void *b)
{
    const struct tl_clip_bpe_word *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->n < y->n ? x->n : y->n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

bool tl_clip_bpe_words_gather(const char *const *captions, size_t n, struct tl_clip_bpe_words *w,
                              struct tl_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!push_caption(w, captions[i], err)) return tl_err_add(err, "caption %zu", i + 1);
    if (w->n == 0) return true;
    qsort(w->items, w->n, sizeof *w->items, by_bytes);
    size_t kept = 0;
    for (size_t i = 1; i < w->n; i++) {
        if (by_bytes(&w->items[kept], &w->items[i]) == 0)
            w->items[kept].count++;
        else
            w->items[++kept] = w->items[i];
    }
    w->n = kept + 1;
    return true;
}
