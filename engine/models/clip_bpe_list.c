/* Vocabularies from a merges list: the whole of CLIP's, or the part of it that given captions need. */
#include "models/clip_bpe_inner.h"

#include <stdlib.h>

static bool no_memory(struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "out of memory for a vocabulary");
}

bool tl_clip_bpe_add_bytes(struct tl_bpe *tok, struct tl_err *err)
{
    for (int last = 0; last < 2; last++)
        for (int plain = 1; plain >= 0; plain--)
            for (int b = 0; b < 256; b++) {
                char symbol[16];
                tl_bpe_symbol_of(b, last ? tok->word_end : "", symbol);
                if (tl_bpe_is_plain(b) == plain && !tl_bpe_add_text(tok, symbol, -1, err)) return false;
            }
    tl_bpe_index_bytes(tok);
    return true;
}

bool tl_clip_bpe_close_own(struct tl_bpe *tok, size_t max_len, struct tl_err *err)
{
    const struct tl_bpe_flags none = {0};
    if (!tl_bpe_add_text(tok, TL_CLIP_BPE_BOS, -1, err) || !tl_bpe_add_text(tok, TL_CLIP_BPE_EOS, -1, err) ||
        !tl_bpe_add_special(tok, TL_CLIP_BPE_BOS, none, err) ||
        !tl_bpe_add_special(tok, TL_CLIP_BPE_EOS, none, err))
        return false;
    tok->bos = tl_bpe_find_text(tok, TL_CLIP_BPE_BOS);
    tok->eos = tok->pad = tok->unk = tl_bpe_find_text(tok, TL_CLIP_BPE_EOS);
    tok->max_len = max_len;
    return true;
}

bool tl_clip_bpe_add_pair(struct tl_bpe *tok, const char *left, const char *right, struct tl_err *err)
{
    struct tl_str joined = {0};
    tl_str_append(&joined, left);
    tl_str_append(&joined, right);
    bool ok = !joined.failed || no_memory(err);
    ok = ok && (tl_bpe_find_text(tok, joined.data) >= 0 || tl_bpe_add_text(tok, joined.data, -1, err)) &&
         tl_bpe_add_merge(tok, left, right, err);
    tl_str_finish(&joined);
    return ok;
}

/* Byte symbols and those pairs that `keep` marks (NULL: all). */
static struct tl_bpe *from_pairs(const struct tl_bpe_pair *pairs, size_t n, const bool *keep, size_t max_len,
                                 struct tl_err *err)
{
    struct tl_bpe *tok = tl_clip_bpe_new(err);
    bool ok = tok && tl_clip_bpe_add_bytes(tok, err);
    for (size_t i = 0; ok && i < n; i++)
        ok = (keep && !keep[i]) || tl_clip_bpe_add_pair(tok, pairs[i].left, pairs[i].right, err) ||
             tl_err_add(err, "merge %zu", i + 1);
    if (tok && !(ok && tl_clip_bpe_close_own(tok, max_len, err))) tl_clip_bpe_free(&tok);
    return tok;
}

struct tl_clip_bpe *tl_clip_bpe_from_merges(const char *merges_path, size_t max_len, struct tl_err *err)
{
    struct tl_arena arena = {0};
    struct tl_bpe_pair *pairs;
    size_t n;
    struct tl_bpe *tok = NULL;
    if (tl_bpe_read_merges(merges_path, TL_CLIP_BPE_MERGES, &arena, &pairs, &n, err)) {
        tok = from_pairs(pairs, n, NULL, max_len, err);
        if (!tok) tl_err_add(err, "%s", merges_path);
    }
    tl_arena_finish(&arena);
    return tl_clip_bpe_of(tok);
}

/* Which merges make a symbol: first[id], then next[rank], -1 = none. */
struct makers {
    int32_t *first, *next; /* own */
};

static bool makers_init(const struct tl_bpe *full, struct makers *m, struct tl_err *err)
{
    m->first = malloc((full->n_texts + 1) * sizeof *m->first);
    m->next = malloc((full->n_merges + 1) * sizeof *m->next);
    if (!m->first || !m->next) return no_memory(err);
    for (size_t id = 0; id < full->n_texts; id++) m->first[id] = -1;
    for (size_t r = 0; r < full->n_merges; r++) {
        int32_t id = full->merges[r].result;
        m->next[r] = m->first[id];
        m->first[id] = (int32_t)r;
    }
    return true;
}

/* Marks the merges that make the symbol, going down to bytes. A symbol that several pairs can make marks them
 * all: more than needed, never less, so the words keep their pieces. */
static void mark_needed(const struct tl_bpe *full, const struct makers *m, int32_t id, bool *keep)
{
    for (int32_t r = m->first[id]; r >= 0; r = m->next[r]) {
        if (keep[r]) continue;
        keep[r] = true;
        mark_needed(full, m, full->merges[r].left, keep);
        mark_needed(full, m, full->merges[r].right, keep);
    }
}

static bool mark_words(const struct tl_bpe *full, const struct tl_clip_bpe_words *w, bool *keep,
                       struct tl_err *err)
{
    struct tl_bpe_scratch *scratch = tl_bpe_scratch_new();
    struct tl_bpe_ids ids = {0};
    struct makers makers = {0};
    bool ok = (scratch || no_memory(err)) && makers_init(full, &makers, err);
    for (size_t i = 0; ok && i < w->n; i++)
        ok = tl_bpe_merge_piece(full, scratch, w->items[i].text, w->items[i].n, &ids, err);
    for (size_t i = 0; ok && i < ids.n; i++) mark_needed(full, &makers, ids.ids[i], keep);
    tl_bpe_scratch_free(scratch);
    tl_bpe_ids_finish(&ids);
    free(makers.first);
    free(makers.next);
    return ok;
}

struct tl_clip_bpe *tl_clip_bpe_reduce(const char *merges_path, const char *const *captions, size_t n,
                                       size_t max_len, struct tl_err *err)
{
    struct tl_arena arena = {0};
    struct tl_clip_bpe_words words = {0};
    struct tl_bpe_pair *pairs;
    size_t n_pairs;
    struct tl_bpe *full = NULL, *tok = NULL;
    bool *keep = NULL;
    if (!tl_clip_bpe_words_gather(captions, n, &words, err) ||
        !tl_bpe_read_merges(merges_path, TL_CLIP_BPE_MERGES, &arena, &pairs, &n_pairs, err))
        goto done;
    full = from_pairs(pairs, n_pairs, NULL, max_len, err);
    if (!full) goto done;
    keep = calloc(n_pairs + 1, sizeof *keep);
    if (!keep) no_memory(err);
    if (keep && mark_words(full, &words, keep, err)) tok = from_pairs(pairs, n_pairs, keep, max_len, err);
done:
    free(keep);
    tl_clip_bpe_free(&full);
    tl_clip_bpe_words_finish(&words);
    tl_arena_finish(&arena);
    return tl_clip_bpe_of(tok);
}
