/* Cleaning and splitting, as transformers' fast CLIP tokenizer has them (NFC; `\s+` to a space; lower case
 * character by character; then its split expression, written out as a scanner over Unicode categories).
 * PCRE2's \s is not used: it counts U+180E as white space, the reference does not. */
#include "models/clip_bpe_inner.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "io/utf8.h"

/* Unicode's White_Space. */
static bool is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

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
        if (!is_space(code))
            append_lower(out, code);
        else if (!spaced)
            append_code(out, ' ');
        spaced = is_space(code);
    }
    free(composed);
    return !out->failed || tl_err_set(err, TL_FAIL, "out of memory for a text");
}

enum class { SPACE, LETTER, NUMBER, OTHER };

static enum class class_of(const char *p, size_t *out_bytes) {
    uint32_t code; *out_bytes = tl_utf8_decode(p, &code); if (is_space(code)) return SPACE;
    switch (utf8proc_category((utf8proc_int32_t)code)){
        case UTF8PROC_CATEGORY_LU : case UTF8PROC_CATEGORY_LL : case UTF8PROC_CATEGORY_LT : case
        UTF8PROC_CATEGORY_LM : case UTF8PROC_CATEGORY_LO : return LETTER;
        case UTF8PROC_CATEGORY_ND : case UTF8PROC_CATEGORY_NL : case UTF8PROC_CATEGORY_NO : return NUMBER;
        default : return OTHER;
    }
}

static size_t starts_with_any(const char *p, size_t n, const char *const *words)
{
    for (; *words; words++) {
        size_t len = strlen(*words);
        if (len <= n && memcmp(p, *words, len) == 0) return len;
    }
    return 0;
}

bool tl_clip_bpe_next_piece(struct tl_clip_bpe_pieces *pieces, size_t *out_at, size_t *out_n)
{
    static const char *const NAMES[] = {TL_CLIP_BPE_BOS, TL_CLIP_BPE_EOS, NULL};
    static const char *const CONTRACTIONS[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d", NULL};
    const char *text = pieces->text;
    size_t bytes = 0;
    while (pieces->at < pieces->n && class_of(text + pieces->at, &bytes) == SPACE) pieces->at += bytes;
    if (pieces->at >= pieces->n) return false;

    /* The name of a special token that is not special here is one match of the expression, so runs stop at
     * its end; inside it the byte-level step cuts once more, by the same classes. */
    if (pieces->at >= pieces->fence) {
        size_t name = starts_with_any(text + pieces->at, pieces->n - pieces->at, NAMES);
        pieces->fence = name ? pieces->at + name : 0;
    }
    size_t end = pieces->fence ? pieces->fence : pieces->n, at = pieces->at;
    size_t len = starts_with_any(text + at, end - at, CONTRACTIONS);
    if (len == 0) {
        enum class first = class_of(text + at, &len);
        while (first != NUMBER && at + len < end && class_of(text + at + len, &bytes) == first) len += bytes;
    }
    *out_at = at;
    *out_n = len;
    pieces->at += len;
    return true;
}
