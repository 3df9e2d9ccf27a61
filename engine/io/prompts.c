#include "io/prompts.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/file.h"
#include "io/text_lines.h"

enum { MOST_FILE = 256 << 20 };

void tl_prompts_finish(struct tl_prompts *prompts)
{
    tl_arena_finish(&prompts->arena);
    *prompts = (struct tl_prompts){0};
}

static bool fill_row(const struct tl_text_lines *lines, const char *text, size_t n, struct tl_arena *arena,
                     struct tl_prompt *out, struct tl_err *err)
{
    static const char *const keys[] = {"prompt", "text", "caption"};
    cJSON *row = tl_text_lines_object(lines, text, n, err);
    if (!row) return false;
    bool ok = tl_text_caption(row, keys, 3, arena, &out->text, err);
    if (!ok) tl_err_add(err, "%s: line %zu", lines->what, lines->line);
    if (ok && !out->text) {
        ok =
            tl_err_set(err, TL_BAD_INPUT, "%s: line %zu: no \"prompt\" in the row", lines->what, lines->line);
    }
    cJSON_Delete(row);
    out->json = ok ? tl_text_keep(arena, text, n) : NULL;
    return ok && (out->json || tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", lines->what));
}

/* A line that begins an object with a key: "{a|b}" is a prompt. */
static bool looks_like_object(const char *text, size_t n)
{
    size_t i = 1;
    if (!n || text[0] != '{') return false;
    while (i < n && (text[i] == ' ' || text[i] == '\t')) i++;
    return i < n && text[i] == '"';
}

bool tl_prompts_parse(const char *text, size_t n, bool jsonl, const char *what, struct tl_prompts *out,
                      struct tl_err *err)
{
    struct tl_text_lines lines;
    const char *line;
    size_t len, size = 0;
    struct tl_prompt *items = NULL;
    *out = (struct tl_prompts){0};
    bool ok = tl_text_lines_begin(&lines, text, n, what, err);
    while (ok && tl_text_lines_next(&lines, &line, &len)) {
        if (!jsonl && line[0] == '#') continue;
        if (out->n == 0 && looks_like_object(line, len)) jsonl = true;
        if (out->n == size) {
            size = size ? 2 * size : 64;
            struct tl_prompt *more = realloc(items, size * sizeof *items);
            ok = more != NULL || tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", what);
            if (!ok) break;
            items = more;
        }
        struct tl_prompt *item = &items[out->n++];
        *item = (struct tl_prompt){.line = lines.line};
        if (jsonl) {
            ok = fill_row(&lines, line, len, &out->arena, item, err);
        } else {
            item->text = tl_text_keep(&out->arena, line, len);
            ok = item->text || tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", what);
        }
    }
    if (ok && !out->n) {
        ok = tl_err_set(err, TL_BAD_INPUT, "%s: no prompts in it%s", what,
                        lines.line ? " (blank lines and # comments only)" : ", the file is empty");
    }
    if (ok) {
        out->items = tl_arena_copy(&out->arena, items, out->n * sizeof *items);
        ok = out->items || tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", what);
    }
    free(items);
    if (!ok) tl_prompts_finish(out);
    return ok;
}

bool tl_prompts_read(const char *path, struct tl_prompts *out, struct tl_err *err)
{
    *out = (struct tl_prompts){0};
    size_t n;
    uint8_t *text = tl_file_read(path, MOST_FILE, &n, err);
    bool ok = text && tl_prompts_parse((const char *)text, n,
                                       strcasecmp(tl_path_extension(path), "jsonl") == 0, path, out, err);
    free(text);
    return ok;
}
