/* Learning merges: count the adjacent pairs of all words, give the most frequent one the next rank, put it
 * into the words that have it, repeat. A changed word is merged anew from its bytes with all ranks so far, so
 * that its symbols are always those that the finished tokenizer will give. */
#include "models/clip_bpe_inner.h"

#include <stdlib.h>
#include <string.h>

static bool no_memory(struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "out of memory for a vocabulary");
}

struct pair_count {
    int32_t left, right; /* symbol ids */
    size_t count;        /* occurrences in the captions; may fall to 0 */
    bool used;           /* the slot is taken */
};

/* Open addressing, at most half full; slots are never freed. */
struct pair_counts {
    struct pair_count *slots; /* owns */
    size_t n, n_used;
};

static struct pair_count *find(const struct pair_counts *c, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h >> 32) & (c->n - 1);
    while (c->slots[i].used && (c->slots[i].left != left || c->slots[i].right != right))
        i = (i + 1) & (c->n - 1);
    return &c->slots[i];
}

static bool room(struct pair_counts *c, struct tl_err *err)
{
    if (2 * (c->n_used + 1) <= c->n) return true;
    struct pair_counts more = {.n = c->n ? 2 * c->n : 1024, .n_used = c->n_used};
    more.slots = calloc(more.n, sizeof *more.slots);
    if (!more.slots) return no_memory(err);
    for (size_t i = 0; i < c->n; i++)
        if (c->slots[i].used) *find(&more, c->slots[i].left, c->slots[i].right) = c->slots[i];
    free(c->slots);
    *c = more;
    return true;
}

static bool count_in(struct pair_counts *c, const struct tl_clip_bpe_word *w, struct tl_err *err)
{
    for (size_t i = 0; i + 1 < w->symbols.n; i++) {
        if (!room(c, err)) return false;
        struct pair_count *p = find(c, w->symbols.ids[i], w->symbols.ids[i + 1]);
        if (!p->used) {
            *p = (struct pair_count){.left = w->symbols.ids[i], .right = w->symbols.ids[i + 1], .used = true};
            c->n_used++;
        }
        p->count += w->count;
    }
    return true;
}

static void count_out(const struct pair_counts *c, const struct tl_clip_bpe_word *w)
{
    for (size_t i = 0; i + 1 < w->symbols.n; i++)
        find(c, w->symbols.ids[i], w->symbols.ids[i + 1])->count -= w->count;
}

static bool better(const struct tl_bpe *tok, const struct pair_count *a, const struct pair_count *b)
{
    if (a->count != b->count) return a->count > b->count;
    int order = strcmp(tok->texts[a->left], tok->texts[b->left]);
    return order ? order < 0 : strcmp(tok->texts[a->right], tok->texts[b->right]) < 0;
}

/* The most frequent pair, NULL when every word is one symbol. */
static const struct pair_count *best_pair(const struct tl_bpe *tok, const struct pair_counts *c)
{
    const struct pair_count *best = NULL;
    for (size_t i = 0; i < c->n; i++)
        if (c->slots[i].count > 0 && (!best || better(tok, &c->slots[i], best))) best = &c->slots[i];
    return best;
}

static bool has_pair(const struct tl_clip_bpe_word *w, int32_t left, int32_t right)
{
    for (size_t i = 0; i + 1 < w->symbols.n; i++)
        if (w->symbols.ids[i] == left && w->symbols.ids[i + 1] == right) return true;
    return false;
}

struct training {
    struct tl_bpe *tok;
    struct tl_clip_bpe_words words;
    struct pair_counts counts;
    struct tl_bpe_scratch *scratch;
};

static bool merge_word(struct training *t, struct tl_clip_bpe_word *w, struct tl_err *err)
{
    w->symbols.n = 0;
    return tl_bpe_merge_piece(t->tok, t->scratch, w->text, w->n, &w->symbols, err) &&
           count_in(&t->counts, w, err);
}

static bool learn_pair(struct training *t, int32_t left, int32_t right, struct tl_err *err)
{
    if (!tl_clip_bpe_add_pair(t->tok, t->tok->texts[left], t->tok->texts[right], err)) return false;
    for (size_t i = 0; i < t->words.n; i++) {
        struct tl_clip_bpe_word *w = &t->words.items[i];
        if (!has_pair(w, left, right)) continue;
        count_out(&t->counts, w);
        if (!merge_word(t, w, err)) return false;
    }
    return true;
}

static bool learn(struct training *t, size_t max_merges, struct tl_err *err)
{
    size_t most = max_merges && max_merges < TL_CLIP_BPE_MERGES ? max_merges : TL_CLIP_BPE_MERGES;
    for (size_t i = 0; i < t->words.n; i++)
        if (!merge_word(t, &t->words.items[i], err)) return false;
    while (t->tok->n_merges < most) {
        const struct pair_count *best = best_pair(t->tok, &t->counts);
        if (!best) break;
        if (!learn_pair(t, best->left, best->right, err)) return false;
    }
    return true;
}

struct tl_clip_bpe *tl_clip_bpe_train(const char *const *captions, size_t n, size_t max_merges,
                                      size_t max_len, struct tl_err *err)
{
    struct training t = {.scratch = tl_bpe_scratch_new()};
    if (!t.scratch) no_memory(err);
    t.tok = t.scratch ? tl_clip_bpe_new(err) : NULL;
    bool ok = t.tok && tl_clip_bpe_add_bytes(t.tok, err) &&
              tl_clip_bpe_words_gather(captions, n, &t.words, err) && learn(&t, max_merges, err) &&
              tl_clip_bpe_close_own(t.tok, max_len, err);
    if (!ok) tl_clip_bpe_free(&t.tok);
    free(t.counts.slots);
    tl_clip_bpe_words_finish(&t.words);
    tl_bpe_scratch_free(t.scratch);
    return tl_clip_bpe_of(t.tok);
}
