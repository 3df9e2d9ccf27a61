/* A header is a Python dict of exactly three literals:
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
 * padded with blanks to a newline. Nothing but that is taken. */
#include "io/npy_head.h"

#include <string.h>

enum { MAGIC_SIZE = 6, MOST_HEADER = 1 << 16, MOST_ITEM = 4 * TL_NPY_MAX_TEXT };

struct parser {
    const char *p, *end;
    const char *what;
    struct tl_npy_head *head;
    struct tl_err *err;
};

static bool bad(struct parser *s, const char *why)
{
    return tl_err_set(s->err, TL_BAD_INPUT, "%s: not a numpy array that can be read: %s", s->what, why);
}

static void skip_blanks(struct parser *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t')) s->p++;
}

static bool take(struct parser *s, char c)
{
    skip_blanks(s);
    if (s->p == s->end || *s->p != c) return false;
    s->p++;
    return true;
}

static bool take_word(struct parser *s, const char *word)
{
    size_t n = strlen(word);
    skip_blanks(s);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0) return false;
    s->p += n;
    return true;
}

/* A string without escapes, into out. */
static bool take_string(struct parser *s, char *out, size_t size)
{
    char quote = take(s, '\'') ? '\'' : take(s, '"') ? '"' : 0;
    if (!quote) return bad(s, "a string expected in its header");
    const char *end = memchr(s->p, quote, (size_t)(s->end - s->p));
    size_t n = end ? (size_t)(end - s->p) : 0;
    if (!end || n >= size || memchr(s->p, '\\', n) || memchr(s->p, 0, n))
        return bad(s, "a string in its header is not as numpy writes it");
    memcpy(out, s->p, n);
    out[n] = 0;
    s->p = end + 1;
    return true;
}

static bool take_number(struct parser *s, uint64_t *out)
{
    skip_blanks(s);
    const char *begin = s->p;
    *out = 0;
    for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++) {
        if (__builtin_mul_overflow(*out, 10u, out) ||
            __builtin_add_overflow(*out, (uint64_t)(*s->p - '0'), out))
            return bad(s, "a size in its shape is above 2^64");
    }
    if (s->p == begin) return bad(s, "a whole number of 0 or more expected in its shape");
    if (s->p < s->end && *s->p == 'L') s->p++; /* Python 2 */
    return true;
}

static bool take_shape(struct parser *s)
{
    struct tl_npy_head *h = s->head;
    if (!take(s, '(')) return bad(s, "a shape expected in its header");
    for (bool comma = true; !take(s, ')'); comma = take(s, ',')) {
        if (!comma) return bad(s, "its shape is not a tuple");
        if (h->rank == TL_NPY_MAX_RANK) return bad(s, "more than 8 axes");
        if (!take_number(s, &h->shape[h->rank])) return false;
        h->rank++;
    }
    return true;
}

/* "<f4": order, kind, size. */
static bool take_type(struct parser *s)
{
    struct tl_npy_head *h = s->head;
    char text[32];
    uint64_t size = 0;
    skip_blanks(s);
    if (s->p < s->end && *s->p == '[') return bad(s, "a structured array; save its columns by themselves");
    if (!take_string(s, text, sizeof text)) return false;
    size_t n = strlen(text);
    if (n >= 2 && text[1] == 'O') return bad(s, "an array of Python objects, which are never loaded");
    for (size_t i = 2; i < n && size <= MOST_ITEM; i++) {
        if (text[i] < '0' || text[i] > '9') return bad(s, "a type that is not known");
        size = 10 * size + (uint64_t)(text[i] - '0');
    }
    if (n < 3 || n >= sizeof h->type || !strchr("<>|=", text[0])) return bad(s, "a type that is not known");
    h->kind = text[1];
    bool number =
        (h->kind == 'f' && (size == 2 || size == 4 || size == 8)) ||
        ((h->kind == 'i' || h->kind == 'u') && (size == 1 || size == 2 || size == 4 || size == 8)) ||
        (h->kind == 'b' && size == 1);
    if (!number && !((h->kind == 'U' || h->kind == 'S') && size <= TL_NPY_MAX_TEXT)) {
        return tl_err_set(
            s->err, TL_BAD_INPUT,
            "%s: values of numpy's type '%s' are not read: f2, f4, f8, whole numbers and bool are", s->what,
            text);
    }
    if (text[0] != '<' && text[0] != '|' && (size > 1 || h->kind == 'U')) {
        return tl_err_set(s->err, TL_BAD_INPUT, "%s: type '%s' is not little-endian; save as '<%s'", s->what,
                          text, text + 1);
    }
    memcpy(h->type, text, n + 1);
    h->item = (uint32_t)(h->kind == 'U' ? 4 * size : size);
    return true;
}

static bool take_member(struct parser *s, unsigned *seen)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    char key[32];
    unsigned which = 0;
    if (!take_string(s, key, sizeof key)) return false;
    while (which < 3 && strcmp(key, keys[which]) != 0) which++;
    if (which == 3 || *seen & 1u << which || !take(s, ':'))
        return bad(s, "its header has other members than descr, fortran_order and shape");
    *seen |= 1u << which;
    if (which == 0) return take_type(s);
    if (which == 2) return take_shape(s);
    s->head->fortran = take_word(s, "True");
    return s->head->fortran || take_word(s, "False") || bad(s, "fortran_order is neither True nor False");
}

static bool take_dict(struct parser *s)
{
    unsigned seen = 0;
    if (!take(s, '{')) return bad(s, "no dict in its header");
    for (bool comma = true; !take(s, '}'); comma = take(s, ',')) {
        if (!comma) return bad(s, "its header is not a dict of literals");
        if (!take_member(s, &seen)) return false;
    }
    skip_blanks(s);
    if (seen != 7 || s->p != s->end)
        return bad(s, "its header is not exactly descr, fortran_order and shape");
    return true;
}

bool tl_npy_head_peek(struct tl_npy_head *h, const uint8_t *data, size_t n_there, size_t n, const char *what,
                      struct tl_err *err)
{
    struct parser s = {.what = what, .head = h, .err = err};
    *h = (struct tl_npy_head){0};
    if (n_there < MAGIC_SIZE + 4 || memcmp(data, "\x93NUMPY", MAGIC_SIZE) != 0)
        return bad(&s, "it does not begin as a .npy file");
    unsigned version = data[MAGIC_SIZE], width = version == 1 ? 2 : 4;
    size_t begin = MAGIC_SIZE + 2 + width, length = 0;
    if (version < 1 || version > 3) return bad(&s, "a version that is not 1, 2 or 3");
    if (n_there < begin) return bad(&s, "cut short");
    for (unsigned i = width; i-- > 0;) length = length << 8 | data[MAGIC_SIZE + 2 + i];
    if (length > MOST_HEADER) return bad(&s, "its header is longer than 64 KiB");
    if (length > n_there - begin) return bad(&s, "cut short in its header");
    s.p = (const char *)data + begin;
    s.end = s.p + length;
    if (!take_dict(&s)) return false;
    uint64_t count = 1, bytes;
    for (unsigned i = 0; i < h->rank; i++) {
        if (__builtin_mul_overflow(count, h->shape[i], &count))
            return bad(&s, "the size of its shape overflows");
    }
    if (__builtin_mul_overflow(count, (uint64_t)h->item, &bytes) || count > SIZE_MAX / sizeof(double) - 1)
        return bad(&s, "the size of its shape overflows");
    if (bytes != n - begin - length) {
        return tl_err_set(err, TL_BAD_INPUT,
                          "%s: its header describes %llu bytes of values, the file has %zu: %s", what,
                          (unsigned long long)bytes, n - begin - length,
                          bytes > n - begin - length ? "cut short, make it again" : "trailing bytes");
    }
    h->n = (size_t)count;
    h->data = data + begin + length;
    return true;
}

bool tl_npy_head_read(struct tl_npy_head *h, const uint8_t *data, size_t n, const char *what,
                      struct tl_err *err)
{
    return tl_npy_head_peek(h, data, n, n, what, err);
}
