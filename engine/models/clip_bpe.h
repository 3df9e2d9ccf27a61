/* CLIP's byte-pair tokenizer: text to token ids and back.
 *
 * Rules of the "fast" tokenizer of transformers: special-token text first, then NFC, runs of white space to
 * one space, lower case; pieces are contractions, runs of letters, single digits, runs of anything else; each
 * piece's UTF-8 bytes are symbols, the last with "</w>", and adjacent symbols merge by rank.
 * Folders come in two forms, both are read and the old one is written:
 *   old  vocab.json, merges.txt, special_tokens_map.json, tokenizer_config.json, added_tokens.json
 *   new  tokenizer.json, tokenizer_config.json
 * A tokenizer is constant once it is made: any number of threads may use one. */
#ifndef TL_MODELS_CLIP_BPE_H
#define TL_MODELS_CLIP_BPE_H

#include "models/bpe_ids.h"

struct tl_clip_bpe;

/* Reads a folder of either form (the old one where both are there). begin, end, pad and unknown tokens come
 * from special_tokens_map.json, else tokenizer_config.json, else CLIP's own (pad and unknown = end). The
 * caller ends it with destroy. TL_BAD_INPUT names file and entry. */
struct tl_clip_bpe *tl_clip_bpe_open(const char *folder, struct tl_err *err);
void tl_clip_bpe_destroy(struct tl_clip_bpe **tok); /* accepts an empty one */

/* Writes the old form; makes the folder. TL_OUTPUT. */
bool tl_clip_bpe_save(const struct tl_clip_bpe *tok, const char *folder, struct tl_err *err);

struct tl_bpe_info tl_clip_bpe_info(const struct tl_clip_bpe *tok);

/* begin, the text's ids, end, padding: out_ids[0..max_len). Ids beyond max_len - 2 are cut, so that the end
 * stays. out_used: ids up to and with the end (the attention mask's ones). out_cut: how many were cut;
 * out_cut_text gets what they say, for a warning. The last three may be NULL. Fails on invalid UTF-8
 * (TL_BAD_INPUT) and on max_len < 2 (TL_USAGE). */
bool tl_clip_bpe_encode(const struct tl_clip_bpe *tok, const char *text, size_t max_len, int32_t *out_ids,
                        size_t *out_used, size_t *out_cut, struct tl_str *out_cut_text, struct tl_err *err);

/* Ids of a text alone, without begin, end and limit. */
bool tl_clip_bpe_tokenize(const struct tl_clip_bpe *tok, const char *text, struct tl_bpe_ids *out,
                          struct tl_err *err);

/* Appends the text of ids, for messages: lower case, one space behind each word, none at the end; special
 * tokens by name; broken characters as U+FFFD; an id without an entry as <id N>. */
void tl_clip_bpe_decode(const struct tl_clip_bpe *tok, const int32_t *ids, size_t n, struct tl_str *out);

/* Makers. Each vocabulary: 512 byte symbols, one entry a merge, <|startoftext|>, <|endoftext|> (= pad,
 * unknown).
 *
 * from_merges: CLIP's own from a merges list, at most 48,894 of it (49,408 entries).
 * reduce: only those merges of such a list that the captions' words need: the same pieces for these words.
 * train: learns merges from the captions alone, most frequent pair first, ties in byte order, until every
 * word is one token or max_merges (0: no limit) are there. The same captions give the same vocabulary. */
struct tl_clip_bpe *tl_clip_bpe_from_merges(const char *merges_path, size_t max_len, struct tl_err *err);
struct tl_clip_bpe *tl_clip_bpe_reduce(const char *merges_path, const char *const *captions, size_t n,
                                       size_t max_len, struct tl_err *err);
struct tl_clip_bpe *tl_clip_bpe_train(const char *const *captions, size_t n, size_t max_merges,
                                      size_t max_len, struct tl_err *err);

#endif
