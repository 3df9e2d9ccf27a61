#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/npy_head.h"
#include "io/utf8.h"

enum { ALIGN = 64, PREFIX = 10, GROWTH_DIGITS = 21 };

static bool bad(const struct tl_npy_item *item, const char *why, struct tl_err *err)
{
    return tl_err_set(err, TL_OUTPUT, "numpy array %.200s: %s", item->name ? item->name : "", why);
}

/* As numpy 2 writes it: room for the first axis to grow to 21 digits, then up to a multiple of 64. */
static void put_header(struct tl_str *out, const char *type, size_t type_size, const struct tl_npy_item *item)
{
    struct tl_str h = {0};
    tl_str_printf(&h, "{'descr': '%s%zu', 'fortran_order': False, 'shape': (", type, type_size);
    for (unsigned i = 0; i < item->rank; i++)
        tl_str_printf(&h, i ? " %llu%s" : "%llu%s", (unsigned long long)item->shape[i],
                      i + 1 < item->rank || item->rank == 1 ? "," : "");
    tl_str_append(&h, "), }");
    char digits[32];
    int n_digits =
        item->rank ? snprintf(digits, sizeof digits, "%llu", (unsigned long long)item->shape[0]) : 0;
    if (item->rank) tl_str_printf(&h, "%*s", GROWTH_DIGITS - n_digits, "");
    size_t pad = ALIGN - (PREFIX + h.len + 1) % ALIGN, length = h.len + pad + 1;
    tl_str_append_n(out, "\x93NUMPY\x01\x00", 8);
    tl_str_append_n(out, (char[]){(char)(length & 0xff), (char)(length >> 8)}, 2);
    tl_str_append_n(out, h.data ? h.data : "", h.len);
    tl_str_printf(out, "%*s\n", (int)pad, "");
    out->failed |= h.failed;
    tl_str_finish(&h);
}

/* UCS-4, as numpy's <U has it; an empty text is one of no characters. */
static bool put_text(struct tl_str *out, const struct tl_npy_item *item, struct tl_err *err)
{
    size_t n = strlen(item->text), count = 0;
    if (n > TL_NPY_MAX_TEXT || tl_utf8_prefix(item->text, n) != n)
        return bad(item, "its text is not UTF-8 of at most 1 MiB", err);
    for (size_t i = 0; i < n; i++) count += ((unsigned char)item->text[i] & 0xc0) != 0x80;
    struct tl_npy_item scalar = {.name = item->name};
    if (!count) count = 1; /* numpy makes U0 a U1 */
    put_header(out, "<U", count, &scalar);
    for (const char *p = item->text; count--;) {
        uint32_t code = 0;
        if (*p) p += tl_utf8_decode(p, &code);
        tl_str_append_n(out, &code, sizeof code);
    }
    return true;
}

bool tl_npy_put(struct tl_str *out, const struct tl_npy_item *item, struct tl_err *err)
{
    size_t n = 1, bytes, size = item->f32 ? sizeof *item->f32 : sizeof *item->f64;
    if (!!item->f32 + !!item->f64 + !!item->text != 1 || item->rank > TL_NPY_MAX_RANK)
        return bad(item, "exactly one kind of values must be given", err);
    if (item->text) return put_text(out, item, err) && (!out->failed || bad(item, "out of memory", err));
    for (unsigned i = 0; i < item->rank; i++) {
        if (__builtin_mul_overflow(n, item->shape[i], &n)) return bad(item, "its size overflows", err);
    }
    if (__builtin_mul_overflow(n, size, &bytes)) return bad(item, "its size overflows", err);
    put_header(out, "<f", size, item);
    tl_str_append_n(out, item->f32 ? (const void *)item->f32 : (const void *)item->f64, bytes);
    return !out->failed || bad(item, "out of memory", err);
}

bool tl_npy_write(const char *path, const struct tl_npy_item *item, struct tl_err *err)
{
    struct tl_str out = {0};
    bool ok = tl_npy_put(&out, item, err) && tl_file_write(path, out.data, out.len, err);
    tl_str_finish(&out);
    return ok || tl_err_add(err, "writing %s", path);
}
