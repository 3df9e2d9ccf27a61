/* What the files of the CLIP tokenizer share. Not for others. */
#ifndef TL_MODELS_CLIP_BPE_INNER_H
#define TL_MODELS_CLIP_BPE_INNER_H

#include "models/bpe.h"
#include "models/clip_bpe.h"

enum {
    TL_CLIP_BPE_MERGES = 48894, /* CLIP's own; further lines of a merges file do not count */
    TL_CLIP_BPE_MAX_LEN = 77,
};
#define TL_CLIP_BPE_BOS  "<|startoftext|>"
#define TL_CLIP_BPE_EOS  "<|endoftext|>"
#define TL_CLIP_BPE_WORD "</w>" /* behind the last symbol of a piece */

struct tl_clip_bpe {
    struct tl_bpe bpe; /* first: what is made as one is handed out as the other */
};

/* ---- clip_bpe.c ---- */
struct tl_bpe *tl_clip_bpe_new(struct tl_err *err); /* the bpe of a new tokenizer */
void tl_clip_bpe_free(struct tl_bpe **tok);
struct tl_clip_bpe *tl_clip_bpe_of(struct tl_bpe *tok); /* NULL of NULL */

/* ---- clip_bpe_list.c ---- */
/* The 512 byte symbols in CLIP's order. */
bool tl_clip_bpe_add_bytes(struct tl_bpe *tok, struct tl_err *err);
/* Begin and end as the last entries, pad and unknown = end. */
bool tl_clip_bpe_close_own(struct tl_bpe *tok, size_t max_len, struct tl_err *err);
/* The entry for a merge's result, unless another pair has made the same text, and the merge. */
bool tl_clip_bpe_add_pair(struct tl_bpe *tok, const char *left, const char *right, struct tl_err *err);

/* ---- clip_bpe_split.c: text to pieces ---- */
bool tl_clip_bpe_clean(const char *text, size_t n, struct tl_str *out, struct tl_err *err);
bool tl_clip_bpe_next_piece(struct tl_bpe_pieces *pieces, size_t *out_at, size_t *out_n);

/* ---- clip_bpe_words.c: the words of captions ---- */
struct tl_clip_bpe_word {
    const char *text;          /* cleaned; in the arena */
    size_t n, count;           /* bytes; occurrences */
    struct tl_bpe_ids symbols; /* owns; its pieces while a vocabulary is learnt */
};
struct tl_clip_bpe_words {
    struct tl_arena arena;
    struct tl_clip_bpe_word *items; /* owns; each word once, in byte order */
    size_t n, size;
};
bool tl_clip_bpe_words_gather(const char *const *captions, size_t n, struct tl_clip_bpe_words *out,
                              struct tl_err *err);
void tl_clip_bpe_words_finish(struct tl_clip_bpe_words *words);

#endif
