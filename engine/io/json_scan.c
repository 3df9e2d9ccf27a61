#include "io/json_scan.h"

#include <string.h>

#include "io/utf8.h"

bool tl_json_scan_fail(struct tl_json_scan *s, const char *reason)
{
    size_t line = 1;
    const char *from = s->start;
    for (const char *p = s->start; p < s->p; p++) {
        if (*p == '\n') {
            line++;
            from = p + 1;
        }
    }
    return tl_err_set(s->err, TL_BAD_INPUT, "%s: not valid JSON: line %zu, column %zu: %s", s->what, line,
                      (size_t)(s->p - from) + 1, reason);
}

void tl_json_scan_space(struct tl_json_scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) s->p++;
}

char tl_json_scan_peek(struct tl_json_scan *s)
{
    tl_json_scan_space(s);
    return s->p < s->end ? *s->p : 0;
}

bool tl_json_scan_char(struct tl_json_scan *s, char c)
{
    static const char *const reasons[][2] = {{"{", "an object ('{') expected"},
                                             {"[", "a list ('[') expected"},
                                             {"]", "']' expected"},
                                             {":", "':' expected"},
                                             {",", "',' expected"},
                                             {"}", "'}' expected"}};
    if (tl_json_scan_peek(s) == c && s->p < s->end) {
        s->p++;
        return true;
    }
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i][0][0] == c) return tl_json_scan_fail(s, reasons[i][1]);
    }
    return tl_json_scan_fail(s, "unexpected character");
}

bool tl_json_scan_more(struct tl_json_scan *s, char close, bool *out_more)
{
    char c = tl_json_scan_peek(s);
    if (c != ',' && c != close) {
        return tl_json_scan_fail(s, close == '}' ? "',' or '}' expected" : "',' or ']' expected");
    }
    s->p++;
    *out_more = c == ',';
    return true;
}

static bool hex4(struct tl_json_scan *s, uint32_t *out)
{
    uint32_t v = 0;
    if (s->end - s->p < 4) return tl_json_scan_fail(s, "four hexadecimal digits expected after \\u");
    for (int i = 0; i < 4; i++, s->p++) {
        char c = *s->p;
        uint32_t d;
        if (c >= '0' && c <= '9') {
            d = (uint32_t)(c - '0');
        } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
            d = (uint32_t)((c | 0x20) - 'a') + 10;
        } else {
            return tl_json_scan_fail(s, "four hexadecimal digits expected after \\u");
        }
        v = v << 4 | d;
    }
    *out = v;
    return true;
}

/* Behind "\u": one code point, taking a second escape for the lower half of a surrogate pair. */
static bool unicode_escape(struct tl_json_scan *s, struct tl_str *out)
{
    uint32_t code, low;
    char bytes[4];
    if (!hex4(s, &code)) return false;
    if (code >= 0xdc00 && code < 0xe000) return tl_json_scan_fail(s, "lone surrogate in a string");
    if (code >= 0xd800 && code < 0xdc00) {
        if (s->end - s->p < 2 || s->p[0] != '\\' || s->p[1] != 'u') {
            return tl_json_scan_fail(s, "lone surrogate in a string");
        }
        s->p += 2;
        if (!hex4(s, &low)) return false;
        if (low < 0xdc00 || low > 0xdfff) return tl_json_scan_fail(s, "lone surrogate in a string");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (!code) return tl_json_scan_fail(s, "U+0000 in a string is not supported");
    if (out) tl_str_append_n(out, bytes, tl_utf8_encode(code, bytes));
    return true;
}

static bool escape(struct tl_json_scan *s, struct tl_str *out)
{
    static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (s->p == s->end) return tl_json_scan_fail(s, "string without end");
    if (*s->p == 'u') {
        s->p++;
        return unicode_escape(s, out);
    }
    const char *found = *s->p ? strchr(letters, *s->p) : NULL;
    if (!found) return tl_json_scan_fail(s, "unknown escape in a string");
    s->p++;
    if (out) tl_str_append_n(out, &values[found - letters], 1);
    return true;
}

bool tl_json_scan_string(struct tl_json_scan *s, struct tl_str *out)
{
    if (tl_json_scan_peek(s) != '"') return tl_json_scan_fail(s, "a string expected");
    s->p++;
    if (out) tl_str_clear(out);
    if (out) tl_str_append_n(out, "", 0); /* so that an empty string has data, too */
    for (;;) {
        const char *run = s->p;
        while (s->p < s->end && *s->p != '"' && *s->p != '\\' && (unsigned char)*s->p >= 0x20) s->p++;
        if (out) tl_str_append_n(out, run, (size_t)(s->p - run));
        if (s->p == s->end) return tl_json_scan_fail(s, "string without end");
        char c = *s->p;
        if (c != '"' && c != '\\') return tl_json_scan_fail(s, "control character in a string");
        s->p++;
        if (c == '"') break;
        if (!escape(s, out)) return false;
    }
    if (out && out->failed) return tl_err_set(s->err, TL_BAD_INPUT, "%s: out of memory", s->what);
    return true;
}

static bool is_digit(const struct tl_json_scan *s)
{
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

bool tl_json_scan_u64(struct tl_json_scan *s, uint64_t *out)
{
    uint64_t v = 0;
    char first = tl_json_scan_peek(s);
    if (!is_digit(s)) return tl_json_scan_fail(s, "a whole number of 0 or more expected");
    const char *from = s->p;
    for (; is_digit(s); s->p++) {
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(*s->p - '0'), &v)) {
            return tl_json_scan_fail(s, "number above 2^64 - 1");
        }
    }
    if (first == '0' && s->p - from > 1) return tl_json_scan_fail(s, "number with a leading zero");
    if (s->p < s->end && (*s->p == '.' || *s->p == 'e' || *s->p == 'E')) {
        return tl_json_scan_fail(s, "a plain whole number expected, without fraction or exponent");
    }
    *out = v;
    return true;
}

static bool digits(struct tl_json_scan *s)
{
    if (!is_digit(s)) return tl_json_scan_fail(s, "a digit expected in a number");
    while (is_digit(s)) s->p++;
    return true;
}

static bool number(struct tl_json_scan *s)
{
    if (*s->p == '-') s->p++;
    bool zero = s->p < s->end && *s->p == '0';
    const char *from = s->p;
    if (!digits(s)) return false;
    if (zero && s->p - from > 1) return tl_json_scan_fail(s, "number with a leading zero");
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!digits(s)) return false;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-')) s->p++;
        if (!digits(s)) return false;
    }
    return true;
}

static bool word(struct tl_json_scan *s)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(s->end - s->p) >= n && memcmp(s->p, words[i], n) == 0) {
            s->p += n;
            return true;
        }
    }
    return tl_json_scan_fail(s, s->p == s->end ? "text ends where a value is expected" : "a value expected");
}

static bool members(struct tl_json_scan *s, int depth)
{
    bool object = *s->p == '{', more = true;
    char close = object ? '}' : ']';
    if (depth >= TL_JSON_DEPTH) return tl_json_scan_fail(s, "nested deeper than 64 levels");
    s->p++;
    if (tl_json_scan_peek(s) == close) {
        s->p++;
        return true;
    }
    while (more) {
        if (object && (!tl_json_scan_string(s, NULL) || !tl_json_scan_char(s, ':'))) return false;
        if (!tl_json_scan_skip(s, depth + 1) || !tl_json_scan_more(s, close, &more)) return false;
    }
    return true;
}

bool tl_json_scan_skip(struct tl_json_scan *s, int depth)
{
    char c = tl_json_scan_peek(s);
    if (c == '{' || c == '[') return members(s, depth);
    if (c == '"') return tl_json_scan_string(s, NULL);
    if (c == '-' || (c >= '0' && c <= '9')) return number(s);
    return word(s);
}

bool tl_json_scan_finish(struct tl_json_scan *s)
{
    tl_json_scan_space(s);
    return s->p == s->end ? true : tl_json_scan_fail(s, "text behind the end of the value");
}
