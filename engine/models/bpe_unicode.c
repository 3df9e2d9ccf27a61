/* Characters as the tokenizers' split expressions see them. PCRE2's \s is not used: it counts U+180E as white
 * space, the reference does not. */
#include <string.h>

#include <utf8proc.h>

#include "io/utf8.h"
#include "models/bpe.h"

const char *const tl_bpe_contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d", NULL};

bool tl_bpe_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

static enum tl_bpe_class class_of(uint32_t code)
{
    if (tl_bpe_is_space(code)) return TL_BPE_SPACE;
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return TL_BPE_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return TL_BPE_NUMBER;
    default:
        return TL_BPE_OTHER;
    }
}

enum tl_bpe_class tl_bpe_class_at(const char *p, size_t *out_bytes)
{
    uint32_t code;
    *out_bytes = tl_utf8_decode(p, &code);
    return class_of(code);
}

size_t tl_bpe_starts_with(const char *p, size_t n, const char *const *words)
{
    for (; *words; words++) {
        size_t len = strlen(*words);
        if (len <= n && memcmp(p, *words, len) == 0) return len;
    }
    return 0;
}
