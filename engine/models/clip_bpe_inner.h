/* What the files of the CLIP tokenizer share. Not for others. */
#ifndef TL_MODELS_CLIP_BPE_INNER_H
#define TL_MODELS_CLIP_BPE_INNER_H

#include "base/arena.h"
#include "models/clip_bpe.h"

enum {
    TL_CLIP_BPE_MERGES = 48894,     /* CLIP's own; further lines of a merges file do not count */
    TL_CLIP_BPE_MOST_IDS = 1 << 22, /* a vocabulary's largest id + 1 */
    TL_CLIP_BPE_MAX_LEN = 77,
    TL_CLIP_BPE_MOST_MERGES_BYTES = 64 << 20,
};
#define TL_CLIP_BPE_BOS  "<|startoftext|>"
#define TL_CLIP_BPE_EOS  "<|endoftext|>"
#define TL_CLIP_BPE_WORD "</w>" /* behind the last symbol of a piece */

struct tl_clip_bpe_merge {
    int32_t left, right, result; /* symbol ids; the index is the rank */
};

/* A token that stands for its text as a whole, found before the text is cut into pieces. */
struct tl_clip_bpe_special {
    const char *text;
    size_t len;
    int32_t id;
    bool normalized; /* looked for after NFC and lower case, instead of in the text as given */
    bool extra;      /* not in vocab.json: belongs into added_tokens.json */
};

struct tl_clip_bpe {
    struct tl_arena arena; /* owns the strings */
    const char **texts;    /* owns; id -> symbol, NULL in a gap */
    size_t n_texts, texts_size;
    uint32_t *text_slots; /* owns; open addressing by text, id + 1, 0 = free; a power of two */
    size_t n_text_slots, n_used_texts;
    struct tl_clip_bpe_merge *merges; /* owns; by rank */
    size_t n_merges, merges_size;
    uint32_t *pair_slots; /* owns; open addressing by (left, right), rank + 1 */
    size_t n_pair_slots;
    struct tl_clip_bpe_special *specials; /* owns */
    size_t n_specials;
    int32_t plain[256], ending[256]; /* byte -> symbol id, without and with "</w>"; -1 = none */
    int32_t bos, eos, pad, unk;
    size_t max_len;
};

/* ---- clip_bpe_table.c: building and looking up ---- */
struct tl_clip_bpe *tl_clip_bpe_new(struct tl_err *err);
/* id -1: the next free one. Fails on an id or a text that is taken, and on an id that is too large. */
bool tl_clip_bpe_add_text(struct tl_clip_bpe *tok, const char *text, int32_t id, struct tl_err *err);
int32_t tl_clip_bpe_find_text(const struct tl_clip_bpe *tok, const char *text); /* -1 = none */
/* The next rank; the three symbols must be there. Of a pair that comes twice the later rank counts. */
bool tl_clip_bpe_add_merge(struct tl_clip_bpe *tok, const char *left, const char *right, struct tl_err *err);
/* Rank of a pair, or -1; ids of -1 are allowed and have none. */
int32_t tl_clip_bpe_find_merge(const struct tl_clip_bpe *tok, int32_t left, int32_t right);
/* A text that has an entry becomes special; asking twice changes nothing. */
bool tl_clip_bpe_add_special(struct tl_clip_bpe *tok, const char *text, bool normalized, bool extra,
                             struct tl_err *err);
/* The 512 byte symbols in CLIP's order; `plain` and `ending` from what the table holds. */
bool tl_clip_bpe_add_bytes(struct tl_clip_bpe *tok, struct tl_err *err);
void tl_clip_bpe_index_bytes(struct tl_clip_bpe *tok);
/* The byte that a character of the byte alphabet stands for, -1 = none. */
int tl_clip_bpe_byte_of(uint32_t code);
/* Begin and end as the last entries, pad and unknown = end. */
bool tl_clip_bpe_close_own(struct tl_clip_bpe *tok, size_t max_len, struct tl_err *err);

/* ---- clip_bpe_split.c: text to pieces ---- */
/* Appends the cleaned text; `text` is valid UTF-8. */
bool tl_clip_bpe_clean(const char *text, size_t n, struct tl_str *out, struct tl_err *err);

struct tl_clip_bpe_pieces {
    const char *text; /* cleaned */
    size_t n, at, fence;
};
/* The next piece [*out_at, *out_at + *out_n) of the text, false at the end. Start with {text, n}. */
bool tl_clip_bpe_next_piece(struct tl_clip_bpe_pieces *pieces, size_t *out_at, size_t *out_n);

/* ---- clip_bpe_merge.c: pieces to ids ---- */
struct tl_clip_bpe_scratch; /* reusable between pieces, one thread's */
struct tl_clip_bpe_scratch *tl_clip_bpe_scratch_new(void);
void tl_clip_bpe_scratch_free(struct tl_clip_bpe_scratch *scratch);
bool tl_clip_ids_push(struct tl_clip_ids *out, int32_t id, struct tl_err *err);
/* Appends the symbols of one piece, -1 for bytes that the vocabulary lacks. */
bool tl_clip_bpe_merge_piece(const struct tl_clip_bpe *tok, struct tl_clip_bpe_scratch *scratch,
                             const char *piece, size_t n, struct tl_clip_ids *out, struct tl_err *err);

/* ---- clip_bpe_files.c ---- */
/* The "left right" lines of a merges file in the arena, at most CLIP's 48,894; a first line with "#version"
 * is passed over, blank lines too. */
struct tl_clip_bpe_pair {
    const char *left, *right;
};
bool tl_clip_bpe_read_merges(const char *path, struct tl_arena *arena, struct tl_clip_bpe_pair **out,
                             size_t *out_n, struct tl_err *err);

/* ---- clip_bpe_words.c: the words of captions ---- */
struct tl_clip_bpe_word {
    const char *text;           /* cleaned; in the arena */
    size_t n, count;            /* bytes; occurrences */
    struct tl_clip_ids symbols; /* owns; its pieces while a vocabulary is learnt */
};
struct tl_clip_bpe_words {
    struct tl_arena arena;
    struct tl_clip_bpe_word *items; /* owns; each word once, in byte order */
    size_t n, size;
};
bool tl_clip_bpe_words_gather(const char *const *captions, size_t n, struct tl_clip_bpe_words *out,
                              struct tl_err *err);
void tl_clip_bpe_words_finish(struct tl_clip_bpe_words *words);

/* ---- clip_bpe_list.c ---- */
/* The entry for a merge's result, unless another pair has made the same text, and the merge. */
bool tl_clip_bpe_add_pair(struct tl_clip_bpe *tok, const char *left, const char *right, struct tl_err *err);

#endif
