#include "models/bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "io/utf8.h"

static bool no_memory(struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "out of memory for a tokenizer");
}

void tl_bpe_init(struct tl_bpe *tok, size_t max_len)
{
    tok->max_len = max_len;
    tl_bpe_index_bytes(tok);
}

void tl_bpe_finish(struct tl_bpe *tok)
{
    free(tok->texts);
    free(tok->text_slots);
    free(tok->merges);
    free(tok->pair_slots);
    free(tok->specials);
    free(tok->special_of);
    tl_arena_finish(&tok->arena);
    *tok = (struct tl_bpe){0};
}

/* Room for `need` items in an array that doubles. */
static bool grow(void **data, size_t *size, size_t need, size_t item, struct tl_err *err)
{
    if (need <= *size) return true;
    size_t n = *size ? *size : 64, bytes;
    while (n < need) n *= 2; /* need is at most a few million */
    void *p = tl_checked_mul(n, item, &bytes) ? realloc(*data, bytes) : NULL;
    if (!p) return no_memory(err);
    *data = p;
    *size = n;
    return true;
}

/* ---- texts ---- */

static size_t hash_text(const char *text)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (const char *p = text; *p; p++) h = (h ^ (uint8_t)*p) * 1099511628211u;
    return (size_t)(h ^ (h >> 32));
}

/* The slot that holds the text, or the free one where it would go. */
static size_t text_slot(const struct tl_bpe *tok, const char *text)
{
    size_t mask = tok->n_text_slots - 1, i = hash_text(text) & mask;
    while (tok->text_slots[i] && strcmp(tok->texts[tok->text_slots[i] - 1], text) != 0) i = (i + 1) & mask;
    return i;
}

/* At most half of the slots are used, so that probing ends soon. */
static bool room_for_text(struct tl_bpe *tok, struct tl_err *err)
{
    if (2 * (tok->n_used_texts + 1) <= tok->n_text_slots) return true;
    size_t n = tok->n_text_slots ? 2 * tok->n_text_slots : 256;
    uint32_t *slots = calloc(n, sizeof *slots);
    if (!slots) return no_memory(err);
    free(tok->text_slots);
    tok->text_slots = slots;
    tok->n_text_slots = n;
    for (size_t id = 0; id < tok->n_texts; id++)
        if (tok->texts[id]) slots[text_slot(tok, tok->texts[id])] = (uint32_t)id + 1;
    return true;
}

bool tl_bpe_add_text(struct tl_bpe *tok, const char *text, int32_t id, struct tl_err *err)
{
    size_t at = id < 0 ? tok->n_texts : (size_t)id;
    if (at >= TL_BPE_MOST_IDS)
        return tl_err_set(err, TL_BAD_INPUT, "token id %zu is too large; at most %d are supported", at,
                          TL_BPE_MOST_IDS - 1);
    if (at < tok->n_texts && tok->texts[at])
        return tl_err_set(err, TL_BAD_INPUT, "tokens '%.60s' and '%.60s' have the same id %zu",
                          tok->texts[at], text, at);
    if (!room_for_text(tok, err) ||
        !grow((void **)&tok->texts, &tok->texts_size, at + 1, sizeof *tok->texts, err))
        return false;
    size_t slot = text_slot(tok, text);
    if (tok->text_slots[slot])
        return tl_err_set(err, TL_BAD_INPUT, "token '%.60s' stands twice in the vocabulary", text);
    const char *own = tl_arena_strdup(&tok->arena, text);
    if (!own) return no_memory(err);
    while (tok->n_texts <= at) tok->texts[tok->n_texts++] = NULL;
    tok->texts[at] = own;
    tok->text_slots[slot] = (uint32_t)at + 1;
    tok->n_used_texts++;
    return true;
}

int32_t tl_bpe_find_text(const struct tl_bpe *tok, const char *text)
{
    return tok->n_text_slots ? (int32_t)tok->text_slots[text_slot(tok, text)] - 1 : -1;
}

/* ---- merges ---- */

static size_t pair_slot(const struct tl_bpe *tok, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    size_t mask = tok->n_pair_slots - 1, i = (size_t)(h >> 32) & mask;
    while (tok->pair_slots[i]) {
        const struct tl_bpe_merge *m = &tok->merges[tok->pair_slots[i] - 1];
        if (m->left == left && m->right == right) break;
        i = (i + 1) & mask;
    }
    return i;
}

static bool room_for_pair(struct tl_bpe *tok, struct tl_err *err)
{
    if (2 * (tok->n_merges + 1) <= tok->n_pair_slots) return true;
    size_t n = tok->n_pair_slots ? 2 * tok->n_pair_slots : 256;
    uint32_t *slots = calloc(n, sizeof *slots);
    if (!slots) return no_memory(err);
    free(tok->pair_slots);
    tok->pair_slots = slots;
    tok->n_pair_slots = n;
    for (size_t r = 0; r < tok->n_merges; r++)
        slots[pair_slot(tok, tok->merges[r].left, tok->merges[r].right)] = (uint32_t)r + 1;
    return true;
}

/* left + right with the word mark of left, if any, kept: "a" "b</w>" is "ab</w>". */
static int32_t find_joined(struct tl_bpe *tok, const char *left, const char *right)
{
    struct tl_str joined = {0};
    tl_str_append(&joined, left);
    tl_str_append(&joined, right);
    int32_t id = joined.failed || !joined.data ? -1 : tl_bpe_find_text(tok, joined.data);
    tl_str_finish(&joined);
    return id;
}

bool tl_bpe_add_merge(struct tl_bpe *tok, const char *left, const char *right, struct tl_err *err)
{
    struct tl_bpe_merge m = {tl_bpe_find_text(tok, left), tl_bpe_find_text(tok, right),
                             find_joined(tok, left, right)};
    if (m.left < 0 || m.right < 0 || m.result < 0)
        return tl_err_set(err, TL_BAD_INPUT, "merge '%.60s %.60s': the vocabulary has no entry '%.60s%.60s'",
                          left, right, m.left < 0 || (m.right >= 0) ? left : "", m.left < 0 ? "" : right);
    if (!room_for_pair(tok, err) ||
        !grow((void **)&tok->merges, &tok->merges_size, tok->n_merges + 1, sizeof m, err))
        return false;
    size_t slot = pair_slot(tok, m.left, m.right);
    tok->merges[tok->n_merges++] = m;
    tok->pair_slots[slot] = (uint32_t)tok->n_merges;
    return true;
}

int32_t tl_bpe_find_merge(const struct tl_bpe *tok, int32_t left, int32_t right)
{
    if (!tok->n_pair_slots || left < 0 || right < 0) return -1;
    return (int32_t)tok->pair_slots[pair_slot(tok, left, right)] - 1;
}

/* ---- specials ---- */

/* The text as it looks in cleaned text. */
static const char *cleaned(struct tl_bpe *tok, const char *text, struct tl_err *err)
{
    struct tl_str s = {0};
    const char *own = NULL;
    if (tok->clean(text, strlen(text), &s, err)) {
        own = tl_arena_strdup(&tok->arena, s.data ? s.data : "");
        if (!own) no_memory(err);
    }
    tl_str_finish(&s);
    return own;
}

bool tl_bpe_add_special(struct tl_bpe *tok, const char *text, struct tl_bpe_flags flags, struct tl_err *err)
{
    int32_t id = tl_bpe_find_text(tok, text);
    if (id < 0) return tl_err_set(err, TL_BAD_INPUT, "special token '%.60s' is not in the vocabulary", text);
    if (tl_bpe_special_of(tok, id)) return true;
    const char *own = tok->texts[id];
    if (flags.normalized && tok->clean) own = cleaned(tok, text, err);
    size_t had = tok->special_of_size;
    if (!own ||
        !grow((void **)&tok->specials, &tok->specials_size, tok->n_specials + 1, sizeof *tok->specials,
              err) ||
        !grow((void **)&tok->special_of, &tok->special_of_size, (size_t)id + 1, sizeof *tok->special_of, err))
        return false;
    memset(tok->special_of + had, 0, (tok->special_of_size - had) * sizeof *tok->special_of);
    struct tl_bpe_special *s = &tok->specials[tok->n_specials++];
    *s = (struct tl_bpe_special){.text = own, .len = strlen(own), .id = id, .flags = flags};
    tok->special_of[id] = (uint32_t)tok->n_specials;
    if (s->len == 0) return true;
    s->next = tok->first_special[(uint8_t)*own];
    tok->first_special[(uint8_t)*own] = (uint32_t)tok->n_specials;
    return true;
}

const struct tl_bpe_special *tl_bpe_special_of(const struct tl_bpe *tok, int32_t id)
{
    if (id < 0 || (size_t)id >= tok->special_of_size || !tok->special_of[id]) return NULL;
    return &tok->specials[tok->special_of[id] - 1];
}

/* ---- the byte alphabet ---- */

bool tl_bpe_is_plain(int byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

/* The character of a byte: itself if printable, else U+0100 + its number among the others. */
static uint32_t code_of(int byte)
{
    if (tl_bpe_is_plain(byte)) return (uint32_t)byte;
    uint32_t n = 0;
    for (int b = 0; b < byte; b++) n += !tl_bpe_is_plain(b);
    return 0x100 + n;
}

int tl_bpe_byte_of(uint32_t code)
{
    if (code < 0x100) return tl_bpe_is_plain((int)code) ? (int)code : -1;
    for (int b = 0; code < 0x144 && b < 256; b++)
        if (!tl_bpe_is_plain(b) && code_of(b) == code) return b;
    return -1;
}

void tl_bpe_symbol_of(int byte, const char *end, char out[16])
{
    size_t n = tl_utf8_encode(code_of(byte), out);
    snprintf(out + n, 16 - n, "%s", end);
}

void tl_bpe_index_bytes(struct tl_bpe *tok)
{
    for (int b = 0; b < 256; b++) {
        char symbol[16];
        tl_bpe_symbol_of(b, "", symbol);
        tok->plain[b] = tl_bpe_find_text(tok, symbol);
        tl_bpe_symbol_of(b, tok->word_end, symbol);
        tok->ending[b] = tl_bpe_find_text(tok, symbol);
    }
}

struct tl_bpe_info tl_bpe_info_of(const struct tl_bpe *bpe)
{
    return (struct tl_bpe_info){.n_vocab = bpe->n_texts,
                                .max_len = bpe->max_len,
                                .bos = bpe->bos,
                                .eos = bpe->eos,
                                .pad = bpe->pad,
                                .unk = bpe->unk};
}
