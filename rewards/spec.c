#include "rewards/spec.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

bool tl_spec_number(const char *text, size_t n, double *out)
{
    char copy[64], *end;
    if (n == 0 || n >= sizeof copy || strspn(text, "0123456789.+-eE") < n) return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), old = c ? uselocale(c) : (locale_t)0;
    double x = strtod(copy, &end);
    if (c) {
        uselocale(old);
        freelocale(c);
    }
    if (*end || end == copy) return false;
    *out = x;
    return true;
}

bool tl_spec_setting(const char *arg, const char *key, struct tl_spec_setting *out, struct tl_err *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_-";
    const char *comma = strrchr(arg, ',');
    size_t word = comma ? strspn(comma + 1, letters) : 0;
    *out = (struct tl_spec_setting){strlen(arg), NULL};
    if (!word || comma[1 + word] != '=') return true;
    if (word != strlen(key) || memcmp(comma + 1, key, word) != 0)
        return tl_err_set(err, TL_USAGE, "there is no setting '%.*s'; there is %s", (int)word, comma + 1,
                          key);
    *out = (struct tl_spec_setting){(size_t)(comma - arg), comma + word + 2};
    return true;
}
