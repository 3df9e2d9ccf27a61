#include "run/report_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/utf8.h"
#include "run/inspect_run.h"
#include "run/report_samples.h"

enum { MOST_BYTES = 1 << 30, MOST_COLUMNS = 1000, MOST_WARNINGS = 1000 };

static bool no_memory(const struct tl_report_run *r, struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "%s: out of memory", r->path);
}

/* ---- metrics ---- */

static struct tl_report_column *column_of(struct tl_report_run *r, const char *phase, const char *name)
{
    for (size_t i = 0; i < r->n_columns; i++)
        if (strcmp(r->columns[i].name, name) == 0 && strcmp(r->columns[i].phase, phase) == 0)
            return &r->columns[i];
    if (r->n_columns == MOST_COLUMNS) return NULL;
    struct tl_report_column *grown = realloc(r->columns, (r->n_columns + 1) * sizeof *grown);
    if (!grown) return NULL;
    r->columns = grown;
    grown += r->n_columns;
    *grown = (struct tl_report_column){.phase = tl_arena_strdup(&r->arena, phase),
                                       .name = tl_arena_strdup(&r->arena, name)};
    if (!grown->phase || !grown->name) return NULL;
    r->n_columns++;
    return grown;
}

static bool column_add(struct tl_report_column *c, double x, double y)
{
    if (c->n == c->size) {
        size_t size = c->size ? 2 * c->size : 64;
        double *xs = realloc(c->x, size * sizeof *xs);
        if (xs) c->x = xs;
        double *ys = realloc(c->y, size * sizeof *ys);
        if (ys) c->y = ys;
        if (!xs || !ys) return false;
        c->size = size;
    }
    c->x[c->n] = x;
    c->y[c->n++] = y;
    return true;
}

/* False: no row of metrics. What does not fit into memory is left out. */
static bool take_metrics(void *user, const cJSON *row)
{
    struct tl_report_run *r = user;
    const char *phase = "";
    int64_t step;
    if (!cJSON_IsNumber(tl_json_get(row, "step")) || !tl_json_int(row, "step", -1, &step, NULL) || step < 0 ||
        !tl_json_string(row, "phase", "", &phase, NULL))
        return false;
    for (const cJSON *v = row->child; v; v = v->next) {
        if (!cJSON_IsNumber(v) || strcmp(v->string, "step") == 0) continue;
        struct tl_report_column *c = column_of(r, phase, v->string);
        if (c && !column_add(c, (double)step, v->valuedouble)) r->arena.failed = true;
        if (strcmp(v->string, "time") != 0) continue;
        if (r->first_time == 0) r->first_time = v->valuedouble;
        r->last_time = fmax(r->last_time, v->valuedouble);
    }
    r->last_step = step > r->last_step ? step : r->last_step;
    r->n_rows++;
    return true;
}

static bool take_warning(void *user, const cJSON *row)
{
    struct tl_report_run *r = user;
    struct tl_report_warning w = {.step = -1};
    if (!cJSON_IsObject(row) || !tl_json_int(row, "step", -1, &w.step, NULL) ||
        !tl_json_string(row, "kind", "", &w.kind, NULL) || !tl_json_string(row, "text", "", &w.text, NULL))
        return false;
    if (r->n_warnings == MOST_WARNINGS) return true;
    w.kind = tl_arena_strdup(&r->arena, w.kind);
    w.text = tl_arena_strdup(&r->arena, w.text);
    if (w.kind && w.text) r->warnings[r->n_warnings++] = w;
    return true;
}

/* ---- files ---- */

/* The last line may lack its end: a job is writing it. */
bool tl_report_rows(struct tl_report_run *r, const char *path, bool (*take)(void *user, const cJSON *row),
                    void *user, struct tl_err *err)
{
    size_t n;
    if (!tl_file_exists(path)) return true;
    char *text = (char *)tl_file_read(path, MOST_BYTES, &n, err);
    if (!text) return false;
    char *line = text;
    for (char *end; (end = memchr(line, '\n', n - (size_t)(line - text))); line = end + 1) {
        if (end == line) continue;
        cJSON *row = tl_json_parse(line, (size_t)(end - line), path, NULL);
        if (!cJSON_IsObject(row) || !take(user, row)) r->n_bad_lines++;
        cJSON_Delete(row);
    }
    free(text);
    return !r->arena.failed || no_memory(r, err);
}

/* A damaged one is as good as none, and counted. */
static cJSON *read_json(struct tl_report_run *r, const char *name)
{
    const char *path = tl_path_join_in(&r->arena, r->path, name);
    if (!path || !tl_file_exists(path)) return NULL;
    cJSON *json = tl_json_read(path, NULL);
    if (cJSON_IsObject(json)) return json;
    cJSON_Delete(json);
    r->n_bad_lines++;
    return NULL;
}

/* "run" of "a/run/"; of "." and "..", the folder's true name, so that a report is the same from anywhere. */
static const char *name_of(struct tl_arena *arena, const char *path)
{
    char *whole = realpath(path, NULL);
    const char *name = tl_arena_strdup(arena, whole ? tl_path_base(whole) : path);
    free(whole);
    return name && *name ? name : "run";
}

bool tl_report_load(struct tl_report_run *r, const char *path, struct tl_err *err)
{
    *r = (struct tl_report_run){.path = path, .last_step = -1};
    if (!tl_file_is_folder(path)) return tl_err_set(err, TL_BAD_INPUT, "%s: there is no such folder", path);
    if (!tl_inspect_is_run(path))
        return tl_err_set(err, TL_BAD_INPUT,
                          "%s is no run: it holds neither run.json nor metrics.jsonl; give the folder that "
                          "tiller train or tiller steer wrote (-o)",
                          path);
    r->name = name_of(&r->arena, path);
    r->config = read_json(r, "config.json");
    r->about = read_json(r, "run.json");
    r->result = read_json(r, "result.json");
    r->warnings = tl_arena_alloc(&r->arena, MOST_WARNINGS, sizeof *r->warnings);
    const char *metrics = tl_path_join_in(&r->arena, path, "metrics.jsonl"),
               *warnings = tl_path_join_in(&r->arena, path, "warnings.jsonl");
    bool ok = (metrics && warnings && r->warnings) || no_memory(r, err);
    ok = ok && tl_report_rows(r, metrics, take_metrics, r, err) &&
         tl_report_rows(r, warnings, take_warning, r, err) && tl_report_load_samples(r, err);
    if (!ok) tl_report_unload(r);
    return ok;
}

void tl_report_unload(struct tl_report_run *r)
{
    for (size_t i = 0; i < r->n_columns; i++) {
        free(r->columns[i].x);
        free(r->columns[i].y);
    }
    free(r->columns);
    cJSON_Delete(r->config);
    cJSON_Delete(r->about);
    cJSON_Delete(r->result);
    tl_arena_finish(&r->arena);
    *r = (struct tl_report_run){0};
}

const struct tl_report_column *tl_report_column(const struct tl_report_run *r, const char *phase,
                                                const char *name)
{
    for (size_t i = 0; i < r->n_columns; i++)
        if (strcmp(r->columns[i].name, name) == 0 && strcmp(r->columns[i].phase, phase) == 0)
            return &r->columns[i];
    return NULL;
}

const char *tl_report_value_text(struct tl_arena *arena, const cJSON *value)
{
    const char *text = "";
    if (cJSON_IsString(value)) return value->valuestring;
    if (cJSON_IsArray(value)) {
        const cJSON *item;
        cJSON_ArrayForEach(item, value)
        {
            const char *one = tl_report_value_text(arena, item);
            const char *all = *text ? tl_arena_printf(arena, "%s, %s", text, one) : one;
            text = all ? all : "";
        }
        return text;
    }
    if (!value || cJSON_IsNull(value)) return text;
    char *printed = tl_json_print(value, false, NULL);
    if (printed) text = tl_arena_strdup(arena, printed);
    free(printed);
    return text ? text : "";
}

const char *tl_report_config(struct tl_report_run *r, const char *key)
{
    return tl_report_value_text(&r->arena, tl_json_get(r->config, key));
}
