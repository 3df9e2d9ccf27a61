#include "io/folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/str.h"
#include "io/file.h"
#include "io/text_lines.h"

enum { MOST_DEPTH = 32, MOST_CAPTION = 1 << 20, MOST_METADATA = 1 << 30 };

struct scan {
    struct tl_folder *out;
    const char *root;
    struct tl_folder_item *items; /* owns the array while it grows */
    size_t size;
    const char **metadata; /* owns the array; relative paths of metadata.jsonl files */
    size_t n_metadata, metadata_size;
    struct tl_err *err;
};

void tl_folder_finish(struct tl_folder *folder)
{
    tl_arena_finish(&folder->arena);
    *folder = (struct tl_folder){0};
}

bool tl_folder_is_picture(const char *name)
{
    static const char *const extensions[] = {"png", "jpg", "jpeg", "webp", "bmp",
                                             "tga", "ppm", "pgm",  "pnm",  "gif"};
    const char *e = tl_path_extension(name);
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
        if (strcasecmp(e, extensions[i]) == 0) return true;
    }
    return false;
}

static bool no_memory(struct scan *s)
{
    return tl_err_set(s->err, TL_BAD_INPUT, "%s: out of memory listing the folder", s->root);
}

static bool add_picture(struct scan *s, const char *path, const char *name)
{
    if (s->out->n == s->size) {
        s->size = s->size ? 2 * s->size : 256;
        struct tl_folder_item *more = realloc(s->items, s->size * sizeof *more);
        if (!more) return no_memory(s);
        s->items = more;
    }
    s->items[s->out->n++] = (struct tl_folder_item){.path = path, .name = name};
    return true;
}

static bool add_metadata(struct scan *s, const char *name)
{
    if (s->n_metadata == s->metadata_size) {
        s->metadata_size = s->metadata_size ? 2 * s->metadata_size : 8;
        const char **more = realloc((void *)s->metadata, s->metadata_size * sizeof *more);
        if (!more) return no_memory(s);
        s->metadata = more;
    }
    s->metadata[s->n_metadata++] = name;
    return true;
}

/* `below` is relative to the root, "" for the root itself. */
static bool walk(struct scan *s, const char *below, int depth)
{
    struct tl_arena *arena = &s->out->arena;
    const char *folder = *below ? tl_path_join_in(arena, s->root, below) : s->root;
    const char *const *names;
    size_t n;
    if (!folder) return no_memory(s);
    if (depth > MOST_DEPTH) {
        return tl_err_set(s->err, TL_BAD_INPUT, "%s: more than %d folders deep", folder, MOST_DEPTH);
    }
    if (!tl_file_list(folder, arena, &names, &n, s->err)) return false;
    for (size_t i = 0; i < n; i++) {
        struct stat st, target;
        if (names[i][0] == '.') continue;
        const char *name = tl_path_join_in(arena, below, names[i]);
        const char *path = name ? tl_path_join_in(arena, s->root, name) : NULL;
        if (!path) return no_memory(s);
        if (lstat(path, &st) != 0 || stat(path, &target) != 0) {
            if (!tl_folder_is_picture(name)) continue; /* gone meanwhile, or a link to nowhere */
            return tl_err_set(s->err, TL_BAD_INPUT, "%s: cannot open: %s", path, strerror(errno));
        }
        bool ok = true;
        if (S_ISDIR(st.st_mode)) {
            ok = walk(s, name, depth + 1);
        } else if (S_ISREG(target.st_mode) && tl_folder_is_picture(name)) {
            ok = add_picture(s, path, name);
        } else if (S_ISREG(target.st_mode) && strcmp(names[i], "metadata.jsonl") == 0) {
            ok = add_metadata(s, name);
        }
        if (!ok) return false;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tl_folder_item *)a)->name, ((const struct tl_folder_item *)b)->name);
}

static struct tl_folder_item *find(struct tl_folder *f, const char *name)
{
    struct tl_folder_item key = {.name = name};
    return bsearch(&key, f->items, f->n, sizeof *f->items, by_name);
}

/* One row of a metadata file in the folder `below`. A picture is found only among those of the walk, so no
 * name can lead out of the root. */
static bool take_row(struct scan *s, const char *below, const cJSON *row, const char *text, size_t n)
{
    static const char *const keys[] = {"text", "caption", "prompt"};
    struct tl_arena *arena = &s->out->arena;
    const char *file;
    if (!tl_json_string(row, "file_name", NULL, &file, s->err)) return false;
    if (!file) return tl_err_set(s->err, TL_BAD_INPUT, "no \"file_name\" in the row");
    if (!tl_path_is_inside(file)) {
        return tl_err_set(s->err, TL_BAD_INPUT, "file_name \"%.200s\" leads out of the folder", file);
    }
    while (file[0] == '.' && file[1] == '/') file += 2;
    const char *name = tl_path_join_in(arena, below, file);
    if (!name) return no_memory(s);
    struct tl_folder_item *item = find(s->out, name);
    if (!item)
        return tl_err_set(s->err, TL_BAD_INPUT, "file_name \"%.200s\": no such picture in the folder", file);
    if (item->json)
        return tl_err_set(s->err, TL_BAD_INPUT, "file_name \"%.200s\": a second row for it", file);
    item->json = tl_text_keep(arena, text, n);
    return item->json ? tl_text_caption(row, keys, 3, arena, &item->caption, s->err) : no_memory(s);
}

static bool take_metadata(struct scan *s, const char *name)
{
    struct tl_arena *arena = &s->out->arena;
    const char *slash = strrchr(name, '/');
    const char *below = slash ? tl_text_keep(arena, name, (size_t)(slash - name)) : "";
    const char *path = tl_path_join_in(arena, s->root, name);
    if (!below || !path) return no_memory(s);
    size_t n, len;
    uint8_t *text = tl_file_read(path, MOST_METADATA, &n, s->err);
    struct tl_text_lines lines;
    const char *line;
    bool ok = text && tl_text_lines_begin(&lines, (const char *)text, n, path, s->err);
    while (ok && tl_text_lines_next(&lines, &line, &len)) {
        cJSON *row = tl_text_lines_object(&lines, line, len, s->err);
        ok = row != NULL;
        if (ok && !take_row(s, below, row, line, len))
            ok = tl_err_add(s->err, "%s: line %zu", path, lines.line);
        cJSON_Delete(row);
    }
    free(text);
    return ok;
}

/* The caption of the same-stem text file, where there is one. */
static bool take_sidecar(struct scan *s, struct tl_folder_item *item)
{
    static const char *const extensions[] = {"txt", "caption"};
    const char *e = tl_path_extension(item->path);
    struct tl_str path = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < 2 && !item->caption; i++) {
        tl_str_clear(&path);
        tl_str_append_n(&path, item->path, (size_t)(e - item->path));
        tl_str_append(&path, extensions[i]);
        if (path.failed) {
            ok = no_memory(s);
        } else if (tl_file_exists(path.data)) {
            size_t n;
            uint8_t *text = tl_file_read(path.data, MOST_CAPTION, &n, s->err);
            struct tl_text_lines lines;
            ok = text && tl_text_lines_begin(&lines, (const char *)text, n, path.data, s->err);
            if (ok) {
                const char *caption = lines.p;
                size_t len = (size_t)(lines.end - lines.p);
                tl_text_trim(&caption, &len);
                item->caption = tl_text_keep(&s->out->arena, caption, len);
                ok = item->caption || no_memory(s);
            }
            free(text);
        }
    }
    tl_str_finish(&path);
    return ok;
}

bool tl_folder_scan(const char *folder, struct tl_folder *out, struct tl_err *err)
{
    *out = (struct tl_folder){0};
    struct scan s = {.out = out, .root = folder, .err = err};
    bool ok = walk(&s, "", 0);
    if (ok && !out->n) ok = tl_err_set(err, TL_BAD_INPUT, "%s: no pictures in this folder", folder);
    if (ok) {
        qsort(s.items, out->n, sizeof *s.items, by_name);
        out->items = tl_arena_copy(&out->arena, s.items, out->n * sizeof *s.items);
        ok = out->items || no_memory(&s);
    }
    for (size_t i = 0; ok && i < s.n_metadata; i++) ok = take_metadata(&s, s.metadata[i]);
    for (size_t i = 0; ok && i < out->n; i++) {
        ok = out->items[i].caption || take_sidecar(&s, &out->items[i]);
        if (ok && out->items[i].caption) out->n_captions++;
    }
    free(s.items);
    free((void *)s.metadata);
    if (!ok) tl_folder_finish(out);
    return ok;
}
