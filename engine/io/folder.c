#include "io/folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "io/file.h"
#include "io/folder_inner.h"
#include "io/text_lines.h"
#include "io/utf8.h"

enum { MOST_DEPTH = 32, MOST_REPEATS = 10000 };

void tl_folder_finish(struct tl_folder *folder)
{
    tl_arena_finish(&folder->arena);
    *folder = (struct tl_folder){0};
}

static bool ends_in(const char *name, const char *const *extensions, size_t n)
{
    const char *e = tl_path_extension(name);
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(e, extensions[i]) == 0) return true;
    }
    return false;
}

bool tl_folder_is_picture(const char *name)
{
    static const char *const extensions[] = {"png", "jpg", "jpeg", "webp", "bmp",
                                             "tga", "ppm", "pgm",  "pnm",  "gif"};
    return ends_in(name, extensions, sizeof extensions / sizeof extensions[0]);
}

bool tl_folder_is_sound(const char *name)
{
    static const char *const extensions[] = {"wav",  "wave", "flac", "ogg", "oga", "opus", "mp3", "aif",
                                             "aiff", "aifc", "au",   "snd", "caf", "w64",  "rf64"};
    return ends_in(name, extensions, sizeof extensions / sizeof extensions[0]);
}

static bool is_wanted(enum tl_modality modality, const char *name)
{
    return modality == TL_MODALITY_AUDIO ? tl_folder_is_sound(name) : tl_folder_is_picture(name);
}

const char *tl_folder_noun(const struct tl_folder_reader *r)
{
    return r->modality == TL_MODALITY_AUDIO ? "sound" : "picture";
}

bool tl_folder_parse_repeats(const char *name, int *out_repeats, const char **out_rest)
{
    int n = 0;
    const char *p = name;
    for (; *p >= '0' && *p <= '9'; p++) {
        n = 10 * n + (*p - '0');
        if (n > MOST_REPEATS) return false; /* a date, say */
    }
    if (p == name || *p != '_' || !p[1]) return false;
    *out_repeats = n;
    *out_rest = p + 1;
    return true;
}

bool tl_folder_no_memory(struct tl_folder_reader *r)
{
    return tl_err_set(r->err, TL_FAIL, "%s: out of memory listing the folder", r->root);
}

bool tl_folder_leads_out(const struct tl_folder_reader *r, const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISLNK(st.st_mode)) return false;
    if (!r->real_root) return true;
    char *real = realpath(path, NULL);
    size_t n = strlen(r->real_root);
    bool out = real && (strncmp(real, r->real_root, n) != 0 || (n > 1 && real[n] != '/'));
    free(real);
    return out;
}

bool tl_folder_add(struct tl_folder_reader *r, const char *path, const char *name, const char *trouble)
{
    if (r->out->n == r->size) {
        r->size = r->size ? 2 * r->size : 256;
        struct tl_folder_item *more = realloc(r->items, r->size * sizeof *more);
        if (!more) return tl_folder_no_memory(r);
        r->items = more;
    }
    r->items[r->out->n] = (struct tl_folder_item){.path = path, .name = name, .repeats = 1};
    if (trouble) {
        r->items[r->out->n].trouble = tl_arena_printf(&r->out->arena, "%s: %s", path, trouble);
        if (!r->items[r->out->n].trouble) return tl_folder_no_memory(r);
    }
    r->out->n++;
    return true;
}

static bool add_metadata(struct tl_folder_reader *r, const char *name)
{
    if (r->n_metadata == r->metadata_size) {
        r->metadata_size = r->metadata_size ? 2 * r->metadata_size : 8;
        const char **more = realloc((void *)r->metadata, r->metadata_size * sizeof *more);
        if (!more) return tl_folder_no_memory(r);
        r->metadata = more;
    }
    r->metadata[r->n_metadata++] = name;
    return true;
}

static bool walk(struct tl_folder_reader *r, const char *below, int depth);

/* The file or folder `name` below the root. */
static bool take_entry(struct tl_folder_reader *r, const char *name, int depth)
{
    const char *path = tl_path_join_in(&r->out->arena, r->root, name), *base = tl_path_base(name);
    bool wanted = is_wanted(r->modality, name);
    struct stat st, target;
    if (!path) return tl_folder_no_memory(r);
    if (lstat(path, &st) != 0 || stat(path, &target) != 0) {
        int reason = errno;
        if (wanted)
            return tl_folder_add(r, path, name,
                                 tl_arena_printf(&r->out->arena, "cannot open: %s", strerror(reason)));
        return true; /* gone meanwhile, or a link to nowhere */
    }
    if (S_ISDIR(st.st_mode)) {
        size_t before = r->out->n;
        if (!walk(r, name, depth + 1)) return false;
        if (!wanted || r->out->n > before) return true;
        return tl_folder_add(r, path, name, "a folder, and nothing to take in it");
    }
    if (S_ISDIR(target.st_mode)) return true;
    if (wanted)
        return tl_folder_add(r, path, name,
                             !S_ISREG(target.st_mode)       ? "not a regular file"
                             : tl_folder_leads_out(r, path) ? "a link that leads out of the folder"
                                                            : NULL);
    if (S_ISREG(target.st_mode) && (strcmp(base, "metadata.jsonl") == 0 || strcmp(base, "metadata.csv") == 0))
        return add_metadata(r, name);
    return true;
}

/* A folder that cannot be read stands for what is in it. */
static bool add_lost(struct tl_folder_reader *r, const char *path, const char *name, const struct tl_err *why)
{
    if (!tl_folder_add(r, path, name, NULL)) return false;
    const char **trouble = &r->items[r->out->n - 1].trouble;
    *trouble = tl_arena_strdup(&r->out->arena, why->text);
    return *trouble || tl_folder_no_memory(r);
}

/* `below` is relative to the root, "" for the root itself. */
static bool walk(struct tl_folder_reader *r, const char *below, int depth)
{
    struct tl_arena *arena = &r->out->arena;
    const char *folder = *below ? tl_path_join_in(arena, r->root, below) : r->root;
    const char *const *names;
    struct tl_err why = {0};
    size_t n;
    if (!folder) return tl_folder_no_memory(r);
    if (depth > MOST_DEPTH) return tl_folder_add(r, folder, below, "a folder too deep below the first");
    if (!tl_file_list(folder, arena, &names, &n, &why)) {
        if (*below && why.code == TL_BAD_INPUT) return add_lost(r, folder, below, &why);
        return tl_err_set(r->err, why.code, "%s", why.text);
    }
    for (size_t i = 0; i < n; i++) {
        if (names[i][0] == '.') continue;
        const char *name = tl_path_join_in(arena, below, names[i]);
        if (!name) return tl_folder_no_memory(r);
        if (!take_entry(r, name, depth)) return false;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tl_folder_item *)a)->name, ((const struct tl_folder_item *)b)->name);
}

/* Repeats and, where it has none of its own, the caption from the nearest folder N_name above an item. */
static bool take_folder_name(struct tl_folder_reader *r, struct tl_folder_item *item)
{
    char part[256];
    const char *rest, *caption = NULL;
    if (r->is_list && !tl_path_is_inside(item->name)) return true;
    for (const char *p = item->name, *slash; (slash = strchr(p, '/')); p = slash + 1) {
        size_t n = (size_t)(slash - p);
        if (n >= sizeof part) continue;
        memcpy(part, p, n);
        part[n] = 0;
        if (tl_folder_parse_repeats(part, &item->repeats, &rest)) caption = p + (rest - part);
    }
    if (!caption || item->caption || item->trouble) return true;
    size_t n = (size_t)(strchr(caption, '/') - caption);
    if (tl_utf8_prefix(caption, n) != n) return true;
    tl_text_trim(&caption, &n);
    item->caption = n ? tl_text_keep(&r->out->arena, caption, n) : NULL;
    return !n || item->caption || tl_folder_no_memory(r);
}

/* Sorts what was gathered into the folder. */
static bool settle_items(struct tl_folder_reader *r)
{
    struct tl_folder *out = r->out;
    qsort(r->items, out->n, sizeof *r->items, by_name);
    out->items = tl_arena_copy(&out->arena, r->items, out->n * sizeof *r->items);
    return out->items || tl_folder_no_memory(r);
}

/* Captions from beside and above the items, where they have none. */
static bool settle_captions(struct tl_folder_reader *r)
{
    struct tl_folder *out = r->out;
    for (size_t i = 0; i < out->n; i++) {
        struct tl_folder_item *item = &out->items[i];
        bool is_open = !item->trouble && !item->caption && r->captions != TL_FOLDER_NO_CAPTIONS;
        if (is_open && !tl_folder_take_sidecar(r, item)) return false;
        if (!take_folder_name(r, item)) return false;
        if (item->caption) out->n_captions++;
    }
    out->strays = tl_arena_copy(&out->arena, (void *)r->strays, out->n_strays * sizeof *r->strays);
    return out->strays || !out->n_strays || tl_folder_no_memory(r);
}

/* Walked, sorted, then the captions. */
static bool read_folder(struct tl_folder_reader *r)
{
    struct tl_folder *out = r->out;
    r->real_root = realpath(r->root, NULL);
    if (!walk(r, "", 0)) return false;
    if (!r->real_root) return tl_folder_no_memory(r);
    if (!out->n)
        return tl_err_set(r->err, TL_BAD_INPUT, "%s: no %ss in this folder", r->root, tl_folder_noun(r));
    if (!settle_items(r)) return false;
    size_t n_metadata = r->captions == TL_FOLDER_NO_CAPTIONS ? 0 : r->n_metadata;
    for (size_t i = 0; i < n_metadata; i++)
        if (!tl_folder_take_metadata(r, r->metadata[i])) return false;
    return settle_captions(r);
}

static bool read_list(struct tl_folder_reader *r, const char *path)
{
    struct tl_folder *out = r->out;
    if (is_wanted(r->modality == TL_MODALITY_AUDIO ? TL_MODALITY_IMAGE : TL_MODALITY_AUDIO, path))
        return tl_err_set(r->err, TL_BAD_INPUT, "%s: %ss are wanted here", path, tl_folder_noun(r));
    r->root = tl_path_folder_in(&out->arena, path);
    if (!r->root) return tl_folder_no_memory(r);
    if (is_wanted(r->modality, path)) {
        const char *name = tl_arena_strdup(&out->arena, tl_path_base(path));
        const char *own = tl_arena_strdup(&out->arena, path);
        if (!name || !own) return tl_folder_no_memory(r);
        if (!tl_folder_add(r, own, name, NULL)) return false;
    } else if (!tl_folder_take_list(r, path)) {
        return false;
    }
    if (!out->n)
        return tl_err_set(r->err, TL_BAD_INPUT, "%s: the list names no %ss", path, tl_folder_noun(r));
    if (!settle_items(r)) return false;
    for (size_t i = 1; i < out->n; i++) {
        if (strcmp(out->items[i - 1].name, out->items[i].name) != 0) continue;
        return tl_err_set(r->err, TL_BAD_INPUT, "%s: \"%.200s\" is listed twice", path, out->items[i].name);
    }
    return settle_captions(r);
}

static bool end_reading(struct tl_folder_reader *r, bool ok)
{
    free(r->items);
    free(r->real_root);
    free((void *)r->metadata);
    free((void *)r->strays);
    if (!ok) tl_folder_finish(r->out);
    return ok;
}

static bool read_as(const char *folder, enum tl_modality modality, enum tl_folder_captions captions,
                    struct tl_folder *out, struct tl_err *err)
{
    *out = (struct tl_folder){0};
    struct tl_folder_reader r = {
        .out = out, .modality = modality, .captions = captions, .root = folder, .err = err};
    return end_reading(&r, read_folder(&r));
}

bool tl_folder_read(const char *folder, struct tl_folder *out, struct tl_err *err)
{
    return read_as(folder, TL_MODALITY_IMAGE, TL_FOLDER_CAPTIONS, out, err);
}

bool tl_folder_read_sounds(const char *folder, struct tl_folder *out, struct tl_err *err)
{
    return read_as(folder, TL_MODALITY_AUDIO, TL_FOLDER_CAPTIONS, out, err);
}

bool tl_folder_open_any(const char *path, enum tl_modality modality, enum tl_folder_captions captions,
                        struct tl_folder *out, struct tl_err *err)
{
    struct stat st;
    *out = (struct tl_folder){0};
    if (stat(path, &st) != 0)
        return tl_err_set(err, TL_BAD_INPUT, "%s: cannot open: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) return read_as(path, modality, captions, out, err);
    if (!S_ISREG(st.st_mode)) return tl_err_set(err, TL_BAD_INPUT, "%s: neither a folder nor a file", path);
    struct tl_folder_reader r = {
        .out = out, .modality = modality, .captions = captions, .is_list = true, .err = err};
    return end_reading(&r, read_list(&r, path));
}

bool tl_folder_scan(const char *folder, struct tl_folder *out, struct tl_err *err)
{
    if (!tl_folder_read(folder, out, err)) return false;
    const char *trouble = out->n_strays ? out->strays[0] : NULL;
    for (size_t i = 0; i < out->n && !trouble; i++) trouble = out->items[i].trouble;
    if (!trouble) return true;
    tl_err_set(err, TL_BAD_INPUT, "%s", trouble);
    tl_folder_finish(out);
    return false;
}
