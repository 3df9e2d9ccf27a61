#include "io/zip.h"

#include <stdlib.h>
#include <string.h>

#include <zip.h>

#include "io/file.h"
#include "io/zip_map.h"

enum { MOST_DEFLATE = 1032 }; /* the factor by which deflate can shrink a run of equal bytes, at most */

struct entry {
    uint64_t size, packed;
    const uint8_t *stored; /* in the archive's bytes; NULL: through libzip */
};

struct tl_zip {
    char *what; /* owns */
    zip_t *zip; /* owns */
    struct entry *entries;
    size_t n, n_bytes; /* entries; of the archive */
};

bool tl_zip_is(const uint8_t *data, size_t n)
{
    return n >= 4 && (memcmp(data, "PK\3\4", 4) == 0 || memcmp(data, "PK\5\6", 4) == 0);
}

void tl_zip_close(struct tl_zip **zip)
{
    struct tl_zip *z = *zip;
    *zip = NULL;
    if (!z) return;
    if (z->zip) zip_discard(z->zip);
    free(z->entries);
    free(z->what);
    free(z);
}

static bool out_of_memory(const char *what, struct tl_err *err)
{
    return tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", what);
}

static bool open_archive(struct tl_zip *z, const uint8_t *data, size_t n, struct tl_err *err)
{
    zip_error_t why;
    zip_error_init(&why);
    zip_source_t *source = zip_source_buffer_create(data, n, 0, &why);
    if (source) z->zip = zip_open_from_source(source, ZIP_RDONLY, &why);
    if (!z->zip) {
        tl_err_set(err, TL_BAD_INPUT, "%s: not a zip archive that can be read: %s", z->what,
                   zip_error_strerror(&why));
        if (source) zip_source_free(source);
    }
    zip_error_fini(&why);
    return z->zip != NULL;
}

static bool list_entries(struct tl_zip *z, struct tl_err *err)
{
    zip_int64_t n = zip_get_num_entries(z->zip, 0);
    if (n < 0 || n > TL_ZIP_MAX_ENTRIES) {
        return tl_err_set(err, TL_BAD_INPUT, "%s: more than the %d entries allowed in a zip archive", z->what,
                          TL_ZIP_MAX_ENTRIES);
    }
    z->n = (size_t)n;
    z->entries = calloc(z->n + 1, sizeof *z->entries);
    if (!z->entries) return out_of_memory(z->what, err);
    for (size_t i = 0; i < z->n; i++) {
        zip_stat_t st;
        const zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE;
        if (zip_stat_index(z->zip, i, ZIP_FL_ENC_RAW, &st) != 0 || (st.valid & needed) != needed) {
            return tl_err_set(err, TL_BAD_INPUT, "%s: entry %zu of the zip archive cannot be read", z->what,
                              i);
        }
        z->entries[i] = (struct entry){.size = st.size, .packed = st.comp_size};
    }
    return true;
}

/* libzip keeps the directory's order. An entry on which both do not agree is left to libzip. */
static void find_stored(struct tl_zip *z, const uint8_t *data, size_t n)
{
    struct tl_zip_walk walk;
    struct tl_zip_place place;
    if (!tl_zip_walk_begin(&walk, data, n) || walk.entries != z->n) return;
    for (size_t i = 0; i < z->n && tl_zip_walk_next(&walk, &place); i++) {
        struct entry *e = &z->entries[i];
        const char *name = tl_zip_name(z, i);
        if (place.method != 0 || place.offset == UINT64_MAX || place.size != e->size ||
            place.packed != e->size || strlen(name) != place.name_len ||
            memcmp(name, place.name, place.name_len) != 0)
            continue;
        e->stored = data + place.offset;
    }
}

struct tl_zip *tl_zip_open(const uint8_t *data, size_t n, const char *what, struct tl_err *err)
{
    struct tl_zip *z = calloc(1, sizeof *z);
    if (z) z->what = strdup(what);
    if (z) z->n_bytes = n;
    if (!z || !z->what) {
        out_of_memory(what, err);
        tl_zip_close(&z);
    } else if (!open_archive(z, data, n, err) || !list_entries(z, err)) {
        tl_zip_close(&z);
    } else {
        find_stored(z, data, n);
    }
    return z;
}

size_t tl_zip_count(const struct tl_zip *zip)
{
    return zip->n;
}

const char *tl_zip_name(const struct tl_zip *zip, size_t i)
{
    const char *name = zip_get_name(zip->zip, i, ZIP_FL_ENC_RAW);
    return name ? name : "";
}

uint64_t tl_zip_size(const struct tl_zip *zip, size_t i)
{
    return zip->entries[i].size;
}

const uint8_t *tl_zip_stored(const struct tl_zip *zip, size_t i)
{
    return zip->entries[i].stored;
}

bool tl_zip_find(const struct tl_zip *zip, const char *name, size_t *out_i)
{
    zip_int64_t i = zip_name_locate(zip->zip, name, ZIP_FL_ENC_RAW);
    if (i < 0) return false;
    *out_i = (size_t)i;
    return true;
}

static bool cannot_unpack(const struct tl_zip *z, size_t i, const char *why, struct tl_err *err)
{
    return tl_err_set(err, TL_BAD_INPUT, "%s: %.200s: cannot be unpacked: %s", z->what, tl_zip_name(z, i),
                      why);
}

/* The first n bytes of the content; with is_all those are all. */
static bool unpack(const struct tl_zip *z, size_t i, uint8_t *out, uint64_t n, bool is_all,
                   struct tl_err *err)
{
    uint8_t more;
    zip_file_t *file = zip_fopen_index(z->zip, i, 0);
    if (!file) return cannot_unpack(z, i, zip_strerror(z->zip), err);
    bool ok = true;
    for (uint64_t got = 0; ok && got < n;) {
        zip_int64_t part = zip_fread(file, out + got, n - got);
        ok = part > 0;
        if (ok) got += (uint64_t)part;
    }
    /* The read at the end is the one that checks the CRC-32. */
    ok = ok && (!is_all || zip_fread(file, &more, 1) == 0);
    if (!ok)
        cannot_unpack(z, i,
                      zip_error_code_zip(zip_file_get_error(file)) ? zip_file_strerror(file)
                                                                   : "not as long as the archive says",
                      err);
    zip_fclose(file);
    return ok;
}

static bool check_promise(const struct tl_zip *z, size_t i, struct tl_err *err)
{
    const struct entry *e = &z->entries[i];
    uint64_t packed = e->packed < z->n_bytes ? e->packed : z->n_bytes; /* whatever the directory says */
    if (e->size / MOST_DEFLATE <= packed && e->size <= SIZE_MAX - 1) return true;
    return tl_err_set(err, TL_BAD_INPUT, "%s: %.200s: %llu bytes cannot be packed in %llu", z->what,
                      tl_zip_name(z, i), (unsigned long long)e->size, (unsigned long long)packed);
}

bool tl_zip_peek(const struct tl_zip *z, size_t i, uint8_t *out, size_t n, size_t *out_n, struct tl_err *err)
{
    const struct entry *e = &z->entries[i];
    *out_n = e->size < n ? (size_t)e->size : n;
    if (!e->stored) return check_promise(z, i, err) && unpack(z, i, out, *out_n, false, err);
    memcpy(out, e->stored, *out_n);
    return true;
}

bool tl_zip_read(const struct tl_zip *z, size_t i, uint64_t limit, struct tl_arena *arena,
                 const uint8_t **out, struct tl_err *err)
{
    const struct entry *e = &z->entries[i];
    if (e->size > limit) {
        return tl_err_set(err, TL_BAD_INPUT, "%s: %.200s: more than the %llu bytes allowed here", z->what,
                          tl_zip_name(z, i), (unsigned long long)limit);
    }
    if (e->stored) {
        *out = e->stored;
        return true;
    }
    if (!check_promise(z, i, err)) return false;
    uint8_t *data = tl_arena_alloc(arena, (size_t)e->size + 1, 1);
    if (!data) return out_of_memory(z->what, err);
    *out = data;
    return unpack(z, i, data, e->size, true, err);
}

/* ---- writing: the archive is made in memory, then written as any file ---- */

static bool add_items(zip_t *zip, const struct tl_zip_item *items, size_t n, bool deflate)
{
    for (size_t i = 0; i < n; i++) {
        zip_source_t *source = zip_source_buffer(zip, items[i].data, items[i].n, 0);
        zip_int64_t at = source ? zip_file_add(zip, items[i].name, source, ZIP_FL_ENC_UTF_8) : -1;
        if (at < 0) {
            zip_source_free(source);
            return false;
        }
        zip_int32_t method = deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE;
        /* 1980-01-01, the first day of this calendar: a file does not depend on when it was made. */
        if (zip_set_file_compression(zip, (zip_uint64_t)at, method, 0) != 0 ||
            zip_file_set_dostime(zip, (zip_uint64_t)at, 0, 0x21, 0) != 0)
            return false;
    }
    return true;
}

/* The bytes of a source that an archive was written to; the caller frees. */
static uint8_t *take_bytes(zip_source_t *source, size_t *out_n)
{
    zip_stat_t st;
    if (zip_source_stat(source, &st) != 0 || !(st.valid & ZIP_STAT_SIZE) || zip_source_open(source) != 0)
        return NULL;
    uint8_t *data = st.size < SIZE_MAX ? malloc((size_t)st.size + 1) : NULL;
    zip_int64_t got = data ? zip_source_read(source, data, st.size) : -1;
    zip_source_close(source);
    if (got >= 0 && (uint64_t)got == st.size) {
        *out_n = (size_t)got;
        return data;
    }
    free(data);
    return NULL;
}

bool tl_zip_write(const char *path, const struct tl_zip_item *items, size_t n, bool deflate,
                  struct tl_err *err)
{
    zip_error_t why;
    zip_error_init(&why);
    zip_source_t *source = zip_source_buffer_create(NULL, 0, 0, &why);
    zip_t *zip = source ? zip_open_from_source(source, ZIP_TRUNCATE, &why) : NULL;
    uint8_t *data = NULL;
    size_t n_data = 0;
    if (zip) {
        zip_source_keep(source); /* the archive's own hold ends with zip_close */
        if (!add_items(zip, items, n, deflate) || zip_close(zip) != 0) {
            zip_discard(zip);
        } else {
            data = take_bytes(source, &n_data);
        }
    }
    if (source) zip_source_free(source);
    zip_error_fini(&why);
    if (!data)
        return tl_err_set(err, TL_OUTPUT, "%s: the zip archive could not be made: out of memory", path);
    bool ok = tl_file_write(path, data, n_data, err);
    free(data);
    return ok;
}
