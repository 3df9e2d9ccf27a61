#include "models/clip_bpe.h"

#include <stdlib.h>

#include "models/clip_bpe_inner.h"

struct tl_bpe *tl_clip_bpe_new(struct tl_err *err)
{
    struct tl_clip_bpe *tok = calloc(1, sizeof *tok);
    if (!tok) {
        tl_err_set(err, TL_FAIL, "out of memory for a tokenizer");
        return NULL;
    }
    tok->bpe = (struct tl_bpe){
        .word_end = TL_CLIP_BPE_WORD, .clean = tl_clip_bpe_clean, .next_piece = tl_clip_bpe_next_piece};
    tl_bpe_init(&tok->bpe, TL_CLIP_BPE_MAX_LEN);
    return &tok->bpe;
}

void tl_clip_bpe_free(struct tl_bpe **tok)
{
    if (!*tok) return;
    tl_bpe_finish(*tok);
    free(*tok); /* the first member of its tokenizer */
    *tok = NULL;
}

struct tl_clip_bpe *tl_clip_bpe_of(struct tl_bpe *tok)
{
    return (struct tl_clip_bpe *)tok;
}

void tl_clip_bpe_destroy(struct tl_clip_bpe **tok)
{
    struct tl_bpe *bpe = tok && *tok ? &(*tok)->bpe : NULL;
    tl_clip_bpe_free(&bpe);
    if (tok) *tok = NULL;
}

struct tl_bpe_info tl_clip_bpe_info(const struct tl_clip_bpe *tok)
{
    return tl_bpe_info_of(&tok->bpe);
}

bool tl_clip_bpe_encode(const struct tl_clip_bpe *tok, const char *text, size_t max_len, int32_t *out_ids,
                        size_t *out_used, size_t *out_cut, struct tl_str *out_cut_text, struct tl_err *err)
{
    return tl_bpe_encode(&tok->bpe, text, max_len, out_ids, out_used, out_cut, out_cut_text, err);
}

bool tl_clip_bpe_tokenize(const struct tl_clip_bpe *tok, const char *text, struct tl_bpe_ids *out,
                          struct tl_err *err)
{
    return tl_bpe_tokenize(&tok->bpe, text, out, err);
}

void tl_clip_bpe_decode(const struct tl_clip_bpe *tok, const int32_t *ids, size_t n, struct tl_str *out)
{
    tl_bpe_decode(&tok->bpe, ids, n, out);
}
