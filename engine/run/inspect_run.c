#include "run/inspect_run.h"

#include <tiller/inspect.h>

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/file.h"

enum { MOST_METRICS = 1 << 30, MOST_SUMMARY = 1 << 20 };

static const char *in(struct tl_arena *arena, const char *folder, const char *name)
{
    const char *path = tl_path_join_in(arena, folder, name);
    return path ? path : "";
}

bool tl_inspect_is_run(const char *folder)
{
    struct tl_arena arena = {0};
    bool is = tl_file_exists(in(&arena, folder, "run.json")) ||
              tl_file_exists(in(&arena, folder, "metrics.jsonl")) ||
              tl_file_is_folder(in(&arena, folder, "checkpoints"));
    tl_arena_finish(&arena);
    return is;
}

static bool add_json(cJSON *out, const char *key, const char *path, struct tl_err *err)
{
    if (!tl_file_exists(path)) return true;
    cJSON *json = tl_json_read(path, err);
    if (!json) return false;
    if (!out || !cJSON_AddItemToObject(out, key, json)) cJSON_Delete(json);
    return true;
}

/* The number of lines and the last whole one. A line without its end is one that a running job is writing. */
static bool add_metrics(cJSON *out, const char *path, struct tl_err *err)
{
    if (!tl_file_exists(path)) return true;
    size_t n, lines = 0;
    char *text = (char *)tl_file_read(path, MOST_METRICS, &n, err);
    if (!text) return false;
    const char *last = NULL;
    size_t last_n = 0;
    for (char *line = text, *end; (end = memchr(line, '\n', n - (size_t)(line - text))); line = end + 1) {
        if (end == line) continue;
        lines++;
        last = line;
        last_n = (size_t)(end - line);
    }
    tl_listing_count(out, "metrics", lines);
    cJSON *json = last ? tl_json_parse(last, last_n, path, err) : NULL;
    if (json && (!out || !cJSON_AddItemToObject(out, "last_metrics", json))) cJSON_Delete(json);
    free(text);
    return !last || json;
}

static bool add_names(cJSON *out, const char *key, const char *folder, struct tl_arena *arena,
                      struct tl_err *err)
{
    const char *const *names;
    size_t n;
    if (!tl_file_is_folder(folder)) return true;
    if (!tl_file_list(folder, arena, &names, &n, err)) return false;
    cJSON *array = tl_listing_array(out, key);
    for (size_t i = 0; i < n; i++) {
        cJSON *name = names[i][0] == '.' ? NULL : cJSON_CreateString(names[i]);
        if (name && (!array || !cJSON_AddItemToArray(array, name))) cJSON_Delete(name);
    }
    return true;
}

/* Where the things are that people look for first. */
static void add_places(cJSON *out, const char *folder, struct tl_arena *arena)
{
    static const struct {
        const char *key, *name;
    } places[] = {{"model", "model"},
                  {"lora", "lora/pytorch_lora_weights.safetensors"},
                  {"before_after", "before_after.png"},
                  {"curve", "curve.png"},
                  {"report", "report.html"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *path = in(arena, folder, places[i].name);
        if (tl_file_exists(path)) tl_listing_text(out, places[i].key, path);
    }
}

static bool add_summary(cJSON *out, const char *path, struct tl_err *err)
{
    size_t n;
    if (!tl_file_exists(path)) return true;
    char *text = (char *)tl_file_read(path, MOST_SUMMARY, &n, err);
    if (!text) return false;
    while (n && text[n - 1] == '\n') text[--n] = 0;
    if (n) tl_listing_text(out, "summary", text);
    free(text);
    return true;
}

bool tl_inspect_run(cJSON *out, const char *folder, struct tl_err *err)
{
    struct tl_arena arena = {0};
    add_places(out, folder, &arena);
    bool ok = add_summary(out, in(&arena, folder, "summary.txt"), err) &&
              add_names(out, "checkpoints", in(&arena, folder, "checkpoints"), &arena, err) &&
              add_names(out, "samples", in(&arena, folder, "samples"), &arena, err) &&
              add_metrics(out, in(&arena, folder, "metrics.jsonl"), err) &&
              add_json(out, "result", in(&arena, folder, "result.json"), err) &&
              add_json(out, "config", in(&arena, folder, "config.json"), err) &&
              add_json(out, "run", in(&arena, folder, "run.json"), err);
    tl_arena_finish(&arena);
    return ok;
}

char *tl_inspect_end(const char *folder, bool json, struct tl_err *err)
{
    struct tl_arena arena = {0};
    cJSON *out = cJSON_CreateObject();
    tl_listing_text(out, "run", folder);
    add_places(out, folder, &arena);
    bool ok = json ? add_json(out, "result", in(&arena, folder, "result.json"), err)
                   : add_summary(out, in(&arena, folder, "summary.txt"), err);
    tl_arena_finish(&arena);
    if (ok) return tl_listing_print(out, "tiller.train/1", json, err);
    cJSON_Delete(out);
    return NULL;
}
