/* Captions of a data folder: rows of metadata files, and text files beside the pictures; and list files,
 * whose rows are items themselves. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <tiller/log.h>

#include "base/str.h"
#include "io/file.h"
#include "io/folder_csv.h"
#include "io/folder_inner.h"
#include "io/text_lines.h"

enum { MOST_CAPTION = 1 << 20, MOST_METADATA = 1 << 30 };

static const char *const caption_keys[] = {"text", "caption", "prompt"};
enum { CAPTION_KEYS = sizeof caption_keys / sizeof *caption_keys };

/* A metadata file while it is read. */
struct rows {
    struct tl_folder_reader *r;
    const char *path, *below; /* the file; its folder relative to the root */
    size_t line, n_rows;
    bool is_alien; /* no metadata of pictures: none of it is used */
};

/* Whether a file that names no files may be passed over. */
static bool may_pass(struct rows *rows)
{
    if (rows->r->is_list || rows->r->captions != TL_FOLDER_CAPTIONS_FOUND) return false;
    rows->is_alien = true;
    tl_log(TL_LOG_WARN, "%s: has no file_name and tells nothing of the %ss here; not used", rows->path,
           tl_folder_noun(rows->r));
    return true;
}

static bool refuse(struct rows *rows, const char *what, const char *file)
{
    return tl_err_set(rows->r->err, TL_BAD_INPUT, "%s: line %zu: file_name \"%.200s\"%s", rows->path,
                      rows->line, file, what);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tl_folder_item *)a)->name, ((const struct tl_folder_item *)b)->name);
}

static bool add_stray(struct rows *rows, const char *file)
{
    struct tl_folder_reader *r = rows->r;
    struct tl_folder *out = r->out;
    if (out->n_strays == r->strays_size) {
        r->strays_size = r->strays_size ? 2 * r->strays_size : 16;
        const char **more = realloc((void *)r->strays, r->strays_size * sizeof *more);
        if (!more) return tl_folder_no_memory(r);
        r->strays = more;
    }
    const char *text =
        tl_arena_printf(&out->arena, "%s: line %zu: file_name \"%.200s\": no such %s in the folder",
                        rows->path, rows->line, file, tl_folder_noun(r));
    if (!text) return tl_folder_no_memory(r);
    r->strays[out->n_strays++] = text;
    return true;
}

/* The item that a list's row makes. */
static bool list_item(struct rows *rows, const char *file, struct tl_folder_item **out)
{
    struct tl_folder_reader *r = rows->r;
    struct tl_arena *arena = &r->out->arena;
    struct stat st;
    for (const char *p = file; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) return refuse(rows, ": a control character", file);
    }
    while (file[0] == '.' && file[1] == '/') file += 2;
    if (!*file) return refuse(rows, ": no name", file);
    const char *name = tl_arena_strdup(arena, file), *path = tl_path_join_in(arena, r->root, file);
    if (!name || !path) return tl_folder_no_memory(r);
    const char *trouble = NULL;
    if (stat(path, &st) != 0) {
        trouble = tl_arena_printf(arena, "cannot open: %s", strerror(errno));
        if (!trouble) return tl_folder_no_memory(r);
    } else if (!S_ISREG(st.st_mode)) {
        trouble = "not a regular file";
    }
    if (!tl_folder_add(r, path, name, trouble)) return false;
    *out = &r->items[r->out->n - 1];
    (*out)->metadata = rows->path;
    return true;
}

/* The item that a row names, *out NULL for a stray. An item of a folder is found only among those of the
 * walk, so no name can lead out of the root. */
static bool find_item(struct rows *rows, const char *file, struct tl_folder_item **out)
{
    struct tl_folder *f = rows->r->out;
    *out = NULL;
    if (rows->r->is_list) return list_item(rows, file, out);
    if (!tl_path_is_inside(file)) return refuse(rows, " leads out of the folder", file);
    while (file[0] == '.' && file[1] == '/') file += 2;
    struct tl_folder_item key = {.name = tl_path_join_in(&f->arena, rows->below, file)};
    if (!key.name) return tl_folder_no_memory(rows->r);
    *out = bsearch(&key, f->items, f->n, sizeof *f->items, by_name);
    if (!*out) return add_stray(rows, file);
    const char *other = (*out)->metadata;
    (*out)->metadata = rows->path;
    if (!other) return true;
    if (strcmp(other, rows->path) == 0) return refuse(rows, ": a second row for it", file);
    return tl_err_set(
        rows->r->err, TL_BAD_INPUT,
        "%s: line %zu: file_name \"%.200s\": a second row for it, %s has one: leave its row in one "
        "of them, or remove the file that is not meant",
        rows->path, rows->line, file, other);
}

static bool take_json_row(struct rows *rows, const cJSON *row, const char *text, size_t n)
{
    struct tl_folder_reader *r = rows->r;
    struct tl_arena *arena = &r->out->arena;
    struct tl_folder_item *item;
    const char *file, *caption;
    if (!tl_json_string(row, "file_name", NULL, &file, r->err))
        return tl_err_add(r->err, "%s: line %zu", rows->path, rows->line);
    if (!file && !rows->n_rows && may_pass(rows)) return true;
    rows->n_rows++;
    if (!file)
        return tl_err_set(r->err, TL_BAD_INPUT, "%s: line %zu: no \"file_name\" in the row", rows->path,
                          rows->line);
    if (!tl_text_caption(row, caption_keys, CAPTION_KEYS, arena, &caption, r->err))
        return tl_err_add(r->err, "%s: line %zu", rows->path, rows->line);
    if (!find_item(rows, file, &item)) return false;
    if (!item) return true;
    item->caption = caption;
    item->json = tl_text_keep(arena, text, n);
    return item->json || tl_folder_no_memory(r);
}

static bool take_jsonl(struct rows *rows, const char *text, size_t n)
{
    struct tl_err *err = rows->r->err;
    struct tl_text_lines lines;
    const char *line;
    size_t len;
    bool ok = tl_text_lines_begin(&lines, text, n, rows->path, err);
    while (ok && !rows->is_alien && tl_text_lines_next(&lines, &line, &len)) {
        cJSON *row = tl_text_lines_object(&lines, line, len, err);
        rows->line = lines.line;
        ok = row && take_json_row(rows, row, line, len);
        cJSON_Delete(row);
    }
    return ok;
}

/* Where a CSV's header has file name and caption. */
struct columns {
    size_t n, file, caption; /* caption SIZE_MAX: none */
};

static bool find_columns(struct rows *rows, const char *const *header, size_t n, struct columns *c)
{
    *c = (struct columns){.n = n, .file = SIZE_MAX, .caption = SIZE_MAX};
    for (size_t i = 0; i < n; i++)
        if (strcmp(header[i], "file_name") == 0) c->file = i;
    for (size_t k = 0; k < CAPTION_KEYS && c->caption == SIZE_MAX; k++)
        for (size_t i = 0; i < n; i++)
            if (strcmp(header[i], caption_keys[k]) == 0) c->caption = i;
    if (c->file != SIZE_MAX || may_pass(rows)) return true;
    return tl_err_set(rows->r->err, TL_BAD_INPUT,
                      "%s: no column file_name; the first line must name the columns, separated by commas: "
                      "file_name,text",
                      rows->path);
}

static bool take_csv_row(struct rows *rows, const struct columns *c, const char *const *fields, size_t n)
{
    struct tl_folder_item *item;
    if (n != c->n)
        return tl_err_set(rows->r->err, TL_BAD_INPUT,
                          "%s: line %zu: %zu fields, the first line has %zu; a field with commas stands in "
                          "quotes",
                          rows->path, rows->line, n, c->n);
    if (!find_item(rows, fields[c->file], &item)) return false;
    if (!item || c->caption == SIZE_MAX) return true;
    const char *text = fields[c->caption];
    size_t len = strlen(text);
    tl_text_trim(&text, &len);
    item->caption = len ? tl_text_keep(&rows->r->out->arena, text, len) : NULL;
    return !len || item->caption || tl_folder_no_memory(rows->r);
}

static bool take_csv(struct rows *rows, const char *text, size_t n)
{
    struct tl_arena arena = {0}; /* fields */
    struct tl_csv csv;
    struct columns columns;
    const char *const *fields;
    size_t n_fields;
    bool ok = tl_csv_begin(&csv, text, n, rows->path, rows->r->err) &&
              tl_csv_next(&csv, &arena, &fields, &n_fields, rows->r->err) &&
              find_columns(rows, fields, n_fields, &columns);
    while (ok && !rows->is_alien && (ok = tl_csv_next(&csv, &arena, &fields, &n_fields, rows->r->err)) &&
           n_fields) {
        rows->line = csv.text.line;
        ok = take_csv_row(rows, &columns, fields, n_fields);
    }
    tl_arena_finish(&arena);
    return ok;
}

bool tl_folder_take_metadata(struct tl_folder_reader *r, const char *name)
{
    struct tl_arena *arena = &r->out->arena;
    const char *slash = strrchr(name, '/');
    struct rows rows = {.r = r,
                        .path = tl_path_join_in(arena, r->root, name),
                        .below = slash ? tl_text_keep(arena, name, (size_t)(slash - name)) : ""};
    if (!rows.below || !rows.path) return tl_folder_no_memory(r);
    if (tl_folder_leads_out(r, rows.path))
        return tl_err_set(r->err, TL_BAD_INPUT, "%s: a link that leads out of the folder", rows.path);
    size_t n;
    uint8_t *text = tl_file_read(rows.path, MOST_METADATA, &n, r->err);
    bool ok = text && (tl_str_ends(name, ".csv") ? take_csv : take_jsonl)(&rows, (const char *)text, n);
    free(text);
    return ok;
}

/* "PATH" or "PATH<tab>CAPTION". */
static bool take_line(struct rows *rows, const char *line, size_t len)
{
    struct tl_folder_reader *r = rows->r;
    struct tl_arena *arena = &r->out->arena;
    const char *tab = memchr(line, '\t', len), *file = line, *text = tab ? tab + 1 : line + len;
    size_t n_file = tab ? (size_t)(tab - line) : len, n_text = (size_t)(line + len - text);
    struct tl_folder_item *item;
    tl_text_trim(&file, &n_file);
    tl_text_trim(&text, &n_text);
    file = tl_text_keep(arena, file, n_file);
    if (!file) return tl_folder_no_memory(r);
    if (!find_item(rows, file, &item)) return false;
    if (n_text) item->caption = tl_text_keep(arena, text, n_text);
    return !n_text || item->caption || tl_folder_no_memory(r);
}

static bool take_plain(struct rows *rows, const char *text, size_t n)
{
    struct tl_text_lines lines;
    const char *line;
    size_t len;
    bool is_first = true, ok = tl_text_lines_begin(&lines, text, n, rows->path, rows->r->err);
    for (; ok && tl_text_lines_next(&lines, &line, &len); is_first = false) {
        if (is_first && line[0] == '{') return take_jsonl(rows, text, n);
        rows->line = lines.line;
        ok = line[0] == '#' || take_line(rows, line, len);
    }
    return ok;
}

bool tl_folder_take_list(struct tl_folder_reader *r, const char *path)
{
    struct rows rows = {.r = r, .path = tl_arena_strdup(&r->out->arena, path), .below = ""};
    size_t n;
    if (!rows.path) return tl_folder_no_memory(r);
    uint8_t *text = tl_file_read(path, MOST_METADATA, &n, r->err);
    if (!text) return false;
    const char *e = tl_path_extension(path);
    bool ok = (strcmp(e, "jsonl") == 0 ? take_jsonl
               : strcmp(e, "csv") == 0 ? take_csv
                                       : take_plain)(&rows, (const char *)text, n);
    free(text);
    return ok;
}

/* A text file's whole content as the item's caption; what is wrong with it is the item's trouble. */
static bool take_text(struct tl_folder_reader *r, struct tl_folder_item *item, const char *path)
{
    struct tl_arena *arena = &r->out->arena;
    struct tl_err err = {0};
    struct tl_text_lines lines;
    size_t n;
    if (tl_folder_leads_out(r, path)) {
        item->trouble = tl_arena_printf(arena, "%s: a link that leads out of the folder", path);
        return item->trouble || tl_folder_no_memory(r);
    }
    struct stat st;
    bool is_file = stat(path, &st) != 0 || S_ISREG(st.st_mode); /* a pipe would be waited for */
    uint8_t *text = is_file ? tl_file_read(path, MOST_CAPTION, &n, &err) : NULL;
    if (!is_file) tl_err_set(&err, TL_BAD_INPUT, "%s: not a regular file", path);
    if (text && tl_text_lines_begin(&lines, (const char *)text, n, path, &err)) {
        const char *caption = lines.p;
        size_t len = (size_t)(lines.end - lines.p);
        tl_text_trim(&caption, &len);
        item->caption = tl_text_keep(arena, caption, len);
    } else {
        item->trouble = tl_arena_strdup(arena, err.text);
    }
    free(text);
    return item->caption || item->trouble || tl_folder_no_memory(r);
}

bool tl_folder_take_sidecar(struct tl_folder_reader *r, struct tl_folder_item *item)
{
    static const char *const extensions[] = {"txt", "caption"};
    const char *e = tl_path_extension(item->path);
    struct tl_str path = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < 2 && !item->caption && !item->trouble; i++) {
        tl_str_clear(&path);
        tl_str_append_n(&path, item->path, (size_t)(e - item->path));
        tl_str_append(&path, extensions[i]);
        if (path.failed)
            ok = tl_folder_no_memory(r);
        else if (tl_file_exists(path.data))
            ok = take_text(r, item, path.data);
    }
    tl_str_finish(&path);
    return ok;
}
