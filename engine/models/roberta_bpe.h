/* RoBERTa's byte-pair tokenizer, CLAP's and AudioLDM's: text to token ids and back.
 *
 * Rules of RobertaTokenizer of transformers: special-token text first, then pieces: contractions; a space, if
 * there is one, with the run of letters, of numbers or of anything else behind it; white space. The case
 * stays, nothing is normalised. Each piece's UTF-8 bytes are symbols, and adjacent symbols merge by rank.
 * Folders come in both forms that clip_bpe.h names (vocab.json and merges.txt, or tokenizer.json).
 * A tokenizer is constant once it is made: any number of threads may use one. */
#ifndef TL_MODELS_ROBERTA_BPE_H
#define TL_MODELS_ROBERTA_BPE_H

#include "models/bpe_ids.h"

struct tl_roberta_bpe;

/* TL_BAD_INPUT names file and entry. In info, bos and eos are the cls and sep tokens, which frame a text; 512
 * ids where the config says nothing usable. */
struct tl_roberta_bpe *tl_roberta_bpe_open(const char *folder, struct tl_err *err);
void tl_roberta_bpe_destroy(struct tl_roberta_bpe **tok); /* accepts an empty one */
struct tl_bpe_info tl_roberta_bpe_info(const struct tl_roberta_bpe *tok);

/* These three as in clip_bpe.h. */
bool tl_roberta_bpe_encode(const struct tl_roberta_bpe *tok, const char *text, size_t max_len,
                           int32_t *out_ids, size_t *out_used, size_t *out_cut, struct tl_str *out_cut_text,
                           struct tl_err *err);
bool tl_roberta_bpe_tokenize(const struct tl_roberta_bpe *tok, const char *text, struct tl_bpe_ids *out,
                             struct tl_err *err);
void tl_roberta_bpe_decode(const struct tl_roberta_bpe *tok, const int32_t *ids, size_t n,
                           struct tl_str *out);

#endif
