#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/map.h"
#include "io/npy_head.h"
#include "io/utf8.h"
#include "io/zip.h"

struct tl_npz {
    char *what; /* owns */
    struct tl_map map;
    struct tl_zip *zip; /* owns */
    struct tl_arena arena;
    const char **names; /* in the arena */
    size_t *entries;    /* of each name */
    size_t n;
    uint64_t most_bytes; /* of an array, unpacked and as it is wanted: deflate makes zeros very small */
};

void tl_npz_close(struct tl_npz **npz)
{
    struct tl_npz *z = *npz;
    *npz = NULL;
    if (!z) return;
    tl_zip_close(&z->zip);
    tl_map_close(&z->map);
    tl_arena_finish(&z->arena);
    free(z->what);
    free(z);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Readers of zip archives do not agree on which of two would count. */
static bool check_unique(const struct tl_npz *z, struct tl_err *err)
{
    const char **names = malloc((z->n + 1) * sizeof *names);
    if (!names) return tl_err_set(err, TL_FAIL, "%s: out of memory", z->what);
    memcpy((void *)names, (const void *)z->names, z->n * sizeof *names);
    qsort((void *)names, z->n, sizeof *names, by_text);
    bool ok = true;
    for (size_t i = 1; ok && i < z->n; i++) {
        ok = strcmp(names[i - 1], names[i]) != 0 ||
             tl_err_set(err, TL_BAD_INPUT, "%s: two arrays are called %s", z->what, names[i]);
    }
    free((void *)names);
    return ok;
}

static bool list_names(struct tl_npz *z, struct tl_err *err)
{
    size_t n = tl_zip_count(z->zip);
    z->names = tl_arena_alloc(&z->arena, n + 1, sizeof *z->names);
    z->entries = tl_arena_alloc(&z->arena, n + 1, sizeof *z->entries);
    for (size_t i = 0; z->names && z->entries && i < n; i++) {
        const char *entry = tl_zip_name(z->zip, i);
        size_t len = strlen(entry);
        if (!tl_str_ends(entry, ".npy") || len - 4 > TL_NPY_MAX_NAME) continue;
        z->names[z->n] = tl_arena_printf(&z->arena, "%.*s", (int)(len - 4), entry);
        z->entries[z->n++] = i;
    }
    if (z->arena.failed) return tl_err_set(err, TL_FAIL, "%s: out of memory", z->what);
    if (!z->n) return tl_err_set(err, TL_BAD_INPUT, "%s: no numpy arrays in this zip archive", z->what);
    return check_unique(z, err);
}

struct tl_npz *tl_npz_open_memory(const uint8_t *data, size_t n, const char *what, struct tl_err *err)
{
    struct tl_npz *z = calloc(1, sizeof *z);
    if (z) z->what = strdup(what);
    if (!z || !z->what) {
        tl_err_set(err, TL_FAIL, "%s: out of memory", what);
        tl_npz_close(&z);
        return NULL;
    }
    const uint64_t least = (uint64_t)256 << 20;
    z->most_bytes = 16 * (uint64_t)n > least ? 16 * (uint64_t)n : least;
    z->zip = tl_zip_open(data, n, what, err);
    if (!z->zip || !list_names(z, err)) tl_npz_close(&z);
    return z;
}

struct tl_npz *tl_npz_open(const char *path, struct tl_err *err)
{
    struct tl_map map;
    if (!tl_map_open(&map, path, err)) return NULL;
    struct tl_npz *z = tl_npz_open_memory(map.data, map.n, path, err);
    if (z) {
        z->map = map;
    } else {
        tl_map_close(&map);
    }
    return z;
}

size_t tl_npz_count(const struct tl_npz *npz)
{
    return npz->n;
}

const char *tl_npz_name(const struct tl_npz *npz, size_t i)
{
    return npz->names[i];
}

static bool find(const struct tl_npz *z, const char *name, size_t *out)
{
    for (size_t i = 0; i < z->n; i++) {
        if (strcmp(z->names[i], name) != 0) continue;
        *out = z->entries[i];
        return true;
    }
    return false;
}

bool tl_npz_has(const struct tl_npz *npz, const char *name)
{
    size_t i;
    return find(npz, name, &i);
}

/* Names of what is there, for the message of what is not. */
static bool absent(const struct tl_npz *z, const char *name, struct tl_err *err)
{
    struct tl_str have = {0};
    for (size_t i = 0; i < z->n && i < 6; i++) tl_str_printf(&have, "%s%s", i ? ", " : "", z->names[i]);
    tl_err_set(err, TL_BAD_INPUT, "%s: no array \"%s\"; it has %s%s", z->what, name,
               have.data ? have.data : "", z->n > 6 ? ", ..." : "");
    tl_str_finish(&have);
    return false;
}

/* Looks at the header before memory is taken for the rest; values of `wide` bytes are to come of it. */
static bool check_head(const struct tl_npz *z, size_t i, size_t wide, struct tl_arena *arena,
                       const char *what, struct tl_err *err)
{
    struct tl_npy_head h;
    size_t n, size = (size_t)tl_zip_size(z->zip, i);
    uint8_t *first = tl_arena_alloc(arena, TL_NPY_MOST_HEAD, 1);
    if (!first) return tl_err_set(err, TL_FAIL, "%s: out of memory", what);
    if (!tl_zip_peek(z->zip, i, first, TL_NPY_MOST_HEAD, &n, err) ||
        !tl_npy_head_peek(&h, first, n, size, what, err))
        return false;
    if ((tl_zip_stored(z->zip, i) || size <= z->most_bytes) && h.n <= z->most_bytes / wide) return true;
    return tl_err_set(err, TL_BAD_INPUT,
                      "%s: its %zu values would take far more memory than the file; save them with "
                      "numpy.savez, which packs nothing",
                      what, h.n);
}

/* The entry's bytes, in the map or in the arena, and what the array is called in messages. */
static bool entry_bytes(const struct tl_npz *z, const char *name, size_t wide, struct tl_arena *arena,
                        const uint8_t **out, size_t *out_n, char **out_what, struct tl_err *err)
{
    size_t i;
    if (!find(z, name, &i)) return absent(z, name, err);
    *out_what = tl_arena_printf(arena, "%s: %s", z->what, name);
    if (!*out_what) return tl_err_set(err, TL_FAIL, "%s: out of memory", z->what);
    *out_n = (size_t)tl_zip_size(z->zip, i);
    return check_head(z, i, wide, arena, *out_what, err) &&
           tl_zip_read(z->zip, i, UINT64_MAX, arena, out, err);
}

bool tl_npz_read(struct tl_npz *npz, const char *name, enum tl_npy_as as, struct tl_npy *out,
                 struct tl_err *err)
{
    struct tl_arena arena = {0};
    const uint8_t *data = NULL;
    size_t n = 0;
    char *what;
    *out = (struct tl_npy){0};
    size_t wide = as == TL_NPY_F32 ? sizeof *out->f32 : sizeof *out->f64;
    bool ok = entry_bytes(npz, name, wide, &arena, &data, &n, &what, err) &&
              tl_npy_parse(data, n, what, as, out, err);
    tl_arena_finish(&arena);
    return ok;
}

/* numpy pads texts with zeros. */
static bool decode_text(const struct tl_npy_head *h, struct tl_str *out)
{
    tl_str_append(out, "");
    if (h->kind == 'S') {
        size_t n = strnlen((const char *)h->data, h->item);
        tl_str_append_n(out, h->data, n);
        return tl_utf8_prefix(h->data, n) == n;
    }
    for (uint32_t i = 0; i < h->item; i += 4) {
        uint32_t code;
        char utf8[4];
        memcpy(&code, h->data + i, 4);
        if (!code) break;
        if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
        tl_str_append_n(out, utf8, tl_utf8_encode(code, utf8));
    }
    return true;
}

char *tl_npz_read_text(struct tl_npz *npz, const char *name, struct tl_err *err)
{
    struct tl_arena arena = {0};
    struct tl_str text = {0};
    struct tl_npy_head h;
    const uint8_t *data = NULL;
    size_t n = 0;
    char *what;
    bool ok =
        entry_bytes(npz, name, 1, &arena, &data, &n, &what, err) && tl_npy_head_read(&h, data, n, what, err);
    if (ok && ((h.kind != 'U' && h.kind != 'S') || h.n != 1))
        ok = tl_err_set(err, TL_BAD_INPUT, "%s: not a text", what);
    if (ok && !decode_text(&h, &text)) ok = tl_err_set(err, TL_BAD_INPUT, "%s: not a text of Unicode", what);
    if (ok && (text.failed || !text.data)) ok = tl_err_set(err, TL_FAIL, "%s: out of memory", what);
    tl_arena_finish(&arena);
    if (ok) return text.data;
    tl_str_finish(&text);
    return NULL;
}

/* ---- writing ---- */

static bool check_names(const struct tl_npy_item *items, size_t n, struct tl_err *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = items[i].name;
        size_t len = name ? strlen(name) : 0;
        if (!len || len > TL_NPY_MAX_NAME || tl_utf8_prefix(name, len) != len || strpbrk(name, "/\\"))
            return tl_err_set(err, TL_OUTPUT, "array %zu: not a usable name", i);
        for (size_t j = 0; j < i; j++) {
            if (!strcmp(items[j].name, name))
                return tl_err_set(err, TL_OUTPUT, "two arrays are called %s", name);
        }
    }
    return true;
}

bool tl_npz_write(const char *path, const struct tl_npy_item *items, size_t n, bool deflate,
                  struct tl_err *err)
{
    struct tl_arena names = {0};
    struct tl_str *data = calloc(n + 1, sizeof *data);
    struct tl_zip_item *entries = calloc(n + 1, sizeof *entries);
    bool ok = (data && entries) || tl_err_set(err, TL_OUTPUT, "out of memory");
    ok = ok && check_names(items, n, err);
    for (size_t i = 0; ok && i < n; i++) {
        ok = tl_npy_put(&data[i], &items[i], err);
        entries[i] =
            (struct tl_zip_item){tl_arena_printf(&names, "%s.npy", items[i].name), data[i].data, data[i].len};
        if (ok && !entries[i].name) ok = tl_err_set(err, TL_OUTPUT, "out of memory");
    }
    ok = ok && tl_zip_write(path, entries, n, deflate, err);
    for (size_t i = 0; data && i < n; i++) tl_str_finish(&data[i]);
    tl_arena_finish(&names);
    free(entries);
    free(data);
    return ok || tl_err_add(err, "writing %s", path);
}
