#include "io/pth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* The pickle of 0x1950a86a20f9469cfc6c. */
static const uint8_t old_magic[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                    0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

enum { TAR_MAGIC_AT = 257, OLD_PROTOCOL = 1001 };

static bool is_tar(const uint8_t *data, size_t n)
{
    return n >= TAR_MAGIC_AT + 5 && memcmp(data + TAR_MAGIC_AT, "ustar", 5) == 0;
}

static bool is_pickle(const uint8_t *data, size_t n)
{
    return n >= 2 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5;
}

bool tl_pth_is(const uint8_t *data, size_t n)
{
    return tl_zip_is(data, n) || is_pickle(data, n) || is_tar(data, n);
}

static bool bad(struct tl_pth *pth, const char *why)
{
    return tl_err_set(pth->err, TL_BAD_INPUT, "%s: %s", pth->file->what, why);
}

/* ---- zip layout ---- */

/* The folder in the archive that all is in: that of the first entry PREFIX/data.pkl. */
static bool find_pickle(struct tl_pth *pth, size_t *out)
{
    static const char name[] = "/data.pkl";
    size_t n = tl_zip_count(pth->zip);
    bool numpy = false;
    for (size_t i = 0; i < n; i++) {
        const char *entry = tl_zip_name(pth->zip, i), *slash = strchr(entry, '/');
        numpy |= tl_str_ends(entry, ".npy");
        if (!slash || strcmp(slash, name) != 0) continue;
        if ((size_t)(slash - entry) >= sizeof pth->prefix) return bad(pth, "its folder's name is too long");
        memcpy(pth->prefix, entry, (size_t)(slash - entry));
        *out = i;
        return true;
    }
    return bad(pth, numpy ? "a zip archive of numpy arrays (.npz), not a PyTorch checkpoint"
                          : "a zip archive without data.pkl: not a PyTorch checkpoint");
}

/* Entries besides the pickle that say how to read it. */
static bool check_entries(struct tl_pth *pth)
{
    char name[sizeof pth->prefix + 32];
    size_t i, n = tl_zip_count(pth->zip);
    snprintf(name, sizeof name, "%s/code/", pth->prefix);
    for (i = 0; i < n; i++) {
        const char *entry = tl_zip_name(pth->zip, i);
        if (strncmp(entry, name, strlen(name)) == 0) break;
    }
    snprintf(name, sizeof name, "%s/constants.pkl", pth->prefix);
    if (i < n || tl_zip_find(pth->zip, name, &i))
        return bad(pth, "a TorchScript program, not a checkpoint; save its state_dict() with torch.save");
    snprintf(name, sizeof name, "%s/byteorder", pth->prefix);
    if (!tl_zip_find(pth->zip, name, &i)) return true; /* files before torch 2.0 */
    const uint8_t *order;
    if (!tl_zip_read(pth->zip, i, 64, &pth->file->own, &order, pth->err)) return false;
    size_t len = (size_t)tl_zip_size(pth->zip, i);
    return (len >= 6 && memcmp(order, "little", 6) == 0) ||
           bad(pth, "its numbers are big-endian, which is not read: save it again on a usual machine");
}

static bool read_zip(struct tl_pth *pth)
{
    struct tl_st_file *f = pth->file;
    const uint8_t *data;
    size_t i = 0, used;
    pth->zip = tl_zip_open(f->bytes, f->n_bytes, f->what, pth->err);
    if (!pth->zip || !find_pickle(pth, &i) || !check_entries(pth)) return false;
    if (!tl_zip_read(pth->zip, i, TL_PICKLE_MAX_BYTES, &f->own, &data, pth->err)) return false;
    pth->unpacked = calloc(tl_zip_count(pth->zip) + 1, sizeof *pth->unpacked);
    if (!pth->unpacked) return bad(pth, "out of memory");
    /* torch deflates nothing, and weights deflate to about their own size. Entries may share packed bytes. */
    uint64_t most = 16 * (uint64_t)f->n_bytes, least = (uint64_t)64 << 20;
    pth->unpack_left = most > least ? most : least;
    return tl_pickle_read(&pth->pickle, data, (size_t)tl_zip_size(pth->zip, i), f->what, &used, pth->err);
}

/* ---- older layout: pickles behind each other ---- */

static bool next_pickle(struct tl_pth *pth, struct tl_pickle *p, size_t *at)
{
    const struct tl_st_file *f = pth->file;
    size_t used = 0;
    bool ok = tl_pickle_read(p, f->bytes + *at, f->n_bytes - *at, f->what, &used, pth->err);
    *at += used;
    return ok;
}

static bool check_protocol(struct tl_pth *pth, size_t *at)
{
    struct tl_pickle p;
    bool ok = next_pickle(pth, &p, at);
    const struct tl_pickle_value *v = ok ? tl_pickle_at(&p, p.root) : NULL;
    ok = ok && ((v->kind == TL_PICKLE_INT && v->integer == OLD_PROTOCOL) ||
                bad(pth, "a version of PyTorch's older layout that is not known (not 1001)"));
    tl_pickle_finish(&p);
    return ok;
}

static bool check_machine(struct tl_pth *pth, size_t *at)
{
    struct tl_pickle p;
    bool ok = next_pickle(pth, &p, at);
    const struct tl_pickle_value *little =
        ok ? tl_pickle_get(&p, tl_pickle_at(&p, p.root), "little_endian") : NULL;
    if (ok && (!little || little->kind != TL_PICKLE_BOOL))
        ok = bad(pth, "it does not say whether its numbers are little-endian");
    if (ok && !little->integer)
        ok = bad(pth, "its numbers are big-endian, which is not read: save it again on a usual machine");
    tl_pickle_finish(&p);
    return ok;
}

static bool read_old(struct tl_pth *pth)
{
    struct tl_pickle keys;
    size_t at = sizeof old_magic;
    if (!check_protocol(pth, &at) || !check_machine(pth, &at) || !next_pickle(pth, &pth->pickle, &at))
        return false;
    bool ok = next_pickle(pth, &keys, &at) && tl_pth_list_parts(pth, &keys, at);
    tl_pickle_finish(&keys);
    return ok;
}

static bool read_layout(struct tl_pth *pth)
{
    const struct tl_st_file *f = pth->file;
    if (tl_zip_is(f->bytes, f->n_bytes)) return read_zip(pth);
    if (is_tar(f->bytes, f->n_bytes))
        return bad(
            pth, "a tar file of PyTorch before 0.1.10, which is not read: load and save it with a newer one");
    if (f->n_bytes >= sizeof old_magic && memcmp(f->bytes, old_magic, sizeof old_magic) == 0)
        return read_old(pth);
    return bad(pth, "a Python pickle, but not of torch.save: it has no tensors to take");
}

bool tl_pth_read(struct tl_st_file *file, struct tl_err *err)
{
    struct tl_pth pth = {.file = file, .err = err, .gather_left = (uint64_t)64 << 20};
    if (__builtin_add_overflow(pth.gather_left, 16 * (uint64_t)file->n_bytes, &pth.gather_left))
        pth.gather_left = UINT64_MAX;
    bool ok = read_layout(&pth) && tl_pth_take(&pth);
    tl_zip_close(&pth.zip);
    tl_pickle_finish(&pth.pickle);
    free(pth.unpacked);
    free(pth.parts);
    return ok;
}
