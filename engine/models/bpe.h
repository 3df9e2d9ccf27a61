/* Byte-level BPE: what CLIP's and RoBERTa's tokenizers share. Not for others: they see clip_bpe.h and
 * roberta_bpe.h.
 *
 * A text is cut at special tokens, cleaned, cut into pieces; each piece's UTF-8 bytes are symbols of the byte
 * alphabet, the last one with `word_end`, and adjacent symbols merge by rank. What differs is in the struct:
 * how text is cleaned, where pieces end, and what stands behind a piece's last symbol. */
#ifndef TL_MODELS_BPE_H
#define TL_MODELS_BPE_H

#include <cjson/cJSON.h>

#include "base/arena.h"
#include "models/bpe_ids.h"

enum {
    TL_BPE_MOST_IDS = 1 << 22, /* a vocabulary's largest id + 1 */
    TL_BPE_MOST_MERGES = 1 << 21,
    TL_BPE_MOST_MERGES_BYTES = 64 << 20,
};

struct tl_bpe_merge {
    int32_t left, right, result; /* symbol ids; the index is the rank */
};

struct tl_bpe_flags {
    bool normalized;     /* looked for in cleaned text, instead of in the text as given */
    bool lstrip, rstrip; /* takes the white space before it, behind it */
    bool extra;          /* not in vocab.json: belongs into added_tokens.json */
};

/* A token that stands for its text as a whole, found before the text is cut into pieces. */
struct tl_bpe_special {
    const char *text;
    size_t len;
    int32_t id;
    struct tl_bpe_flags flags;
    uint32_t next; /* number + 1 of another one with the same first byte; 0 = none */
};

struct tl_bpe_pieces {
    const char *text; /* cleaned */
    size_t n, at, fence;
};

struct tl_bpe {
    struct tl_arena arena; /* owns the strings */
    const char **texts;    /* owns; id -> symbol, NULL in a gap */
    size_t n_texts, texts_size;
    uint32_t *text_slots; /* owns; open addressing by text, id + 1, 0 = free; a power of two */
    size_t n_text_slots, n_used_texts;
    struct tl_bpe_merge *merges; /* owns; by rank */
    size_t n_merges, merges_size;
    uint32_t *pair_slots; /* owns; open addressing by (left, right), rank + 1 */
    size_t n_pair_slots;
    struct tl_bpe_special *specials; /* owns */
    size_t n_specials, specials_size;
    uint32_t first_special[256]; /* by first byte: number + 1 of the last one added, 0 = none */
    uint32_t *special_of;        /* owns; by id: number + 1, 0 = none */
    size_t special_of_size;
    int32_t plain[256], ending[256]; /* byte -> symbol id, without and with word_end; -1 = none */
    int32_t bos, eos, pad, unk;
    size_t max_len;

    const char *word_end; /* "</w>" or "" */
    bool prefix_space;    /* a space goes before a text that does not begin with one */
    /* Appends the cleaned text; NULL: it stays as it is. `text` is valid UTF-8. */
    bool (*clean)(const char *text, size_t n, struct tl_str *out, struct tl_err *err);
    /* The next piece [*out_at, *out_at + *out_n) of the text, false at the end. Start with {text, n}. */
    bool (*next_piece)(struct tl_bpe_pieces *pieces, size_t *out_at, size_t *out_n);
};

/* ---- bpe_table.c: building and looking up ---- */
/* Of an empty one; word_end, clean, next_piece and prefix_space stay. */
void tl_bpe_init(struct tl_bpe *tok, size_t max_len);
void tl_bpe_finish(struct tl_bpe *tok);
/* id -1: the next free one. Fails on an id or a text that is taken, and on an id that is too large. */
bool tl_bpe_add_text(struct tl_bpe *tok, const char *text, int32_t id, struct tl_err *err);
int32_t tl_bpe_find_text(const struct tl_bpe *tok, const char *text); /* -1 = none */
/* The next rank; the three symbols must be there. Of a pair that comes twice the later rank counts. */
bool tl_bpe_add_merge(struct tl_bpe *tok, const char *left, const char *right, struct tl_err *err);
/* Rank of a pair, or -1; ids of -1 are allowed and have none. */
int32_t tl_bpe_find_merge(const struct tl_bpe *tok, int32_t left, int32_t right);
/* A text that has an entry becomes special; asking twice changes nothing. */
bool tl_bpe_add_special(struct tl_bpe *tok, const char *text, struct tl_bpe_flags flags, struct tl_err *err);
const struct tl_bpe_special *tl_bpe_special_of(const struct tl_bpe *tok, int32_t id); /* NULL: none */
/* `plain` and `ending` from what the table holds. */
void tl_bpe_index_bytes(struct tl_bpe *tok);
/* The symbol of a byte with `end` behind it. */
void tl_bpe_symbol_of(int byte, const char *end, char out[16]);
bool tl_bpe_is_plain(int byte); /* printable: stands for itself */
/* The byte that a character of the byte alphabet stands for, -1 = none. */
int tl_bpe_byte_of(uint32_t code);

/* ---- bpe_unicode.c ---- */
enum tl_bpe_class { TL_BPE_SPACE, TL_BPE_LETTER, TL_BPE_NUMBER, TL_BPE_OTHER };
bool tl_bpe_is_space(uint32_t code); /* Unicode's White_Space */
/* Of the character at p, which has *out_bytes bytes. */
enum tl_bpe_class tl_bpe_class_at(const char *p, size_t *out_bytes);
/* Bytes of the first of `words` (ends at NULL) that [p, p+n) begins with; 0: none. */
size_t tl_bpe_starts_with(const char *p, size_t n, const char *const *words);
extern const char *const tl_bpe_contractions[]; /* 's 't 're 've 'm 'll 'd */

/* ---- bpe_merge.c: pieces to ids ---- */
struct tl_bpe_scratch; /* reusable between pieces, one thread's */
struct tl_bpe_scratch *tl_bpe_scratch_new(void);
void tl_bpe_scratch_free(struct tl_bpe_scratch *scratch);
bool tl_bpe_ids_push(struct tl_bpe_ids *out, int32_t id, struct tl_err *err);
/* Appends the symbols of one piece, -1 for bytes that the vocabulary lacks. */
bool tl_bpe_merge_piece(const struct tl_bpe *tok, struct tl_bpe_scratch *scratch, const char *piece, size_t n,
                        struct tl_bpe_ids *out, struct tl_err *err);

/* ---- bpe_text.c: texts to ids and back; as clip_bpe.h says it ---- */
bool tl_bpe_tokenize(const struct tl_bpe *tok, const char *text, struct tl_bpe_ids *out, struct tl_err *err);
bool tl_bpe_encode(const struct tl_bpe *tok, const char *text, size_t max_len, int32_t *out_ids,
                   size_t *out_used, size_t *out_cut, struct tl_str *out_cut_text, struct tl_err *err);
void tl_bpe_decode(const struct tl_bpe *tok, const int32_t *ids, size_t n, struct tl_str *out);

/* ---- bpe_files.c: tokenizer folders ---- */
/* The parsed files of one folder; NULL where they are absent. */
struct tl_bpe_folder {
    const char *path;
    struct tl_arena arena;
    cJSON *config, *map, *added, *whole; /* tokenizer_config, special_tokens_map, added_tokens, tokenizer */
};
/* Reads the two small files. */
bool tl_bpe_folder_open(struct tl_bpe_folder *f, const char *path, struct tl_err *err);
void tl_bpe_folder_finish(struct tl_bpe_folder *f);
const char *tl_bpe_folder_in(struct tl_bpe_folder *f, const char *name);

/* A special token that has a role: where its name stands, what it is without, where its id goes. */
struct tl_bpe_role {
    const char *key, *fallback;
    int32_t *id;
};
/* Vocabulary, merges (at most so many), added tokens and roles: vocab.json and merges.txt, or tokenizer.json,
 * whose splitting rules `check` must accept. The old form where both are there. */
struct tl_bpe_form {
    size_t most_merges;
    bool (*check)(const cJSON *whole, struct tl_err *err);
    const struct tl_bpe_role *roles;
    size_t n_roles;
};
bool tl_bpe_folder_read(struct tl_bpe *tok, struct tl_bpe_folder *f, const struct tl_bpe_form *form,
                        struct tl_err *err);
/* What checks use: whether the tree names a step of this type somewhere; model's fields. */
bool tl_bpe_names_type(const cJSON *tree, const char *type);
bool tl_bpe_check_model(const cJSON *whole, const char *suffix, const char *whose, struct tl_err *err);

/* The "left right" lines of a merges file in the arena, at most `most`; a first line with "#version" is
 * passed over, blank lines too. */
struct tl_bpe_pair {
    const char *left, *right;
};
bool tl_bpe_read_merges(const char *path, size_t most, struct tl_arena *arena, struct tl_bpe_pair **out,
                        size_t *out_n, struct tl_err *err);

/* What a model must know of it. */
struct tl_bpe_info tl_bpe_info_of(const struct tl_bpe *bpe);

#endif
