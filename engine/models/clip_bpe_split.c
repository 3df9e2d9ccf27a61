/* Cleaning and splitting, as transformers' fast CLIP tokenizer has them (NFC; `\s+` to a space; lower case
 * character by character; then its split expression, written out as a scanner over Unicode categories). */
#include "models/clip_bpe_inner.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "io/utf8.h"

static void append_code(struct tl_str *out, uint32_t code)
{
    char bytes[4];
    tl_str_append_n(out, bytes, tl_utf8_encode(code, bytes));
}

static void append_lower(struct tl_str *out, uint32_t code)
{
    append_code(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)code));
    if (code == 0x130) append_code(out, 0x307); /* the one character whose lower case is two */
}

bool tl_clip_bpe_clean(const char *text, size_t n, struct tl_str *out, struct tl_err *err)
{
    if (n == 0) return true;
    utf8proc_uint8_t *composed = NULL;
    utf8proc_ssize_t len = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &composed,
                                        UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (len < 0) return tl_err_set(err, TL_BAD_INPUT, "text: %s", utf8proc_errmsg(len));
    const char *p = (const char *)composed, *end = p + len;
    bool spaced = false;
    while (p < end) {
        uint32_t code;
        p += tl_utf8_decode(p, &code);
        if (!tl_bpe_is_space(code))
            append_lower(out, code);
        else if (!spaced)
            append_code(out, ' ');
        spaced = tl_bpe_is_space(code);
    }
    free(composed);
    return !out->failed || tl_err_set(err, TL_FAIL, "out of memory for a text");
}

bool tl_clip_bpe_next_piece(struct tl_bpe_pieces *pieces, size_t *out_at, size_t *out_n)
{
    static const char *const NAMES[] = {TL_CLIP_BPE_BOS, TL_CLIP_BPE_EOS, NULL};
    const char *text = pieces->text;
    size_t bytes = 0;
    while (pieces->at < pieces->n && tl_bpe_class_at(text + pieces->at, &bytes) == TL_BPE_SPACE)
        pieces->at += bytes;
    if (pieces->at >= pieces->n) return false;

    /* The name of a special token that is not special here is one match of the expression, so runs stop at
     * its end; inside it the byte-level step cuts once more, by the same classes. */
    if (pieces->at >= pieces->fence) {
        size_t name = tl_bpe_starts_with(text + pieces->at, pieces->n - pieces->at, NAMES);
        pieces->fence = name ? pieces->at + name : 0;
    }
    size_t end = pieces->fence ? pieces->fence : pieces->n, at = pieces->at;
    size_t len = tl_bpe_starts_with(text + at, end - at, tl_bpe_contractions);
    if (len == 0) {
        enum tl_bpe_class first = tl_bpe_class_at(text + at, &len);
        while (first != TL_BPE_NUMBER && at + len < end && tl_bpe_class_at(text + at + len, &bytes) == first)
            len += bytes;
    }
    *out_at = at;
    *out_n = len;
    pieces->at += len;
    return true;
}
