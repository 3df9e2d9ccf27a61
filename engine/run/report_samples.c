#include "run/report_samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

/* A reading's rows, until their number is known. */
struct gathered {
    struct tl_report_run *run;
    struct tl_report_sample *list; /* owns */
    size_t n, size;
};

static int compare(const void *a_void, const void *b_void)
{
    const struct tl_report_sample *a = a_void, *b = b_void;
    int by_set = strcmp(a->set, b->set);
    if (by_set != 0) return by_set;
    if (a->prompt_index != b->prompt_index) return a->prompt_index < b->prompt_index ? -1 : 1;
    return a->sample < b->sample ? -1 : a->sample > b->sample;
}

static bool grow(struct gathered *g)
{
    if (g->n < g->size) return true;
    size_t size = g->size ? 2 * g->size : 256;
    struct tl_report_sample *list = realloc(g->list, size * sizeof *list);
    if (!list) return false;
    g->list = list;
    g->size = size;
    return true;
}

/* Neighbours mostly share their texts. */
static const char *keep(struct tl_report_run *r, const char *text, const char *before)
{
    if (!*text) return "";
    return before && strcmp(text, before) == 0 ? before : tl_arena_strdup(&r->arena, text);
}

static bool take_sample(void *user, const cJSON *row)
{
    struct gathered *g = user;
    struct tl_report_sample s;
    if (!tl_json_string(row, "set", "", &s.set, NULL) ||
        !tl_json_string(row, "prompt", "", &s.prompt, NULL) ||
        !tl_json_string(row, "file", "", &s.file, NULL) || !tl_json_string(row, "role", "", &s.role, NULL) ||
        !tl_json_int(row, "prompt_index", 0, &s.prompt_index, NULL) ||
        !tl_json_int(row, "sample", 0, &s.sample, NULL) ||
        !tl_json_double(row, "reward", NAN, &s.reward, NULL) ||
        !tl_json_double(row, "held_out", NAN, &s.held_out, NULL))
        return false;
    if (*s.file && !tl_path_is_inside(s.file)) return false;
    const struct tl_report_sample *last = g->n ? &g->list[g->n - 1] : NULL;
    s.set = keep(g->run, s.set, last ? last->set : NULL);
    s.prompt = keep(g->run, s.prompt, last ? last->prompt : NULL);
    s.role = keep(g->run, s.role, last ? last->role : NULL);
    s.file = keep(g->run, s.file, NULL);
    if (!grow(g)) g->run->arena.failed = true;
    if (!g->run->arena.failed) g->list[g->n++] = s;
    return true;
}

static bool load_reading(struct tl_report_run *r, const char *folder, int64_t step, struct tl_err *err)
{
    struct gathered g = {.run = r};
    struct tl_report_reading reading = {.step = step, .folder = folder};
    const char *rows = tl_path_join_in(&r->arena, folder, "rewards.jsonl"),
               *grid = tl_path_join_in(&r->arena, folder, "grid.png"),
               *trained = tl_path_join_in(&r->arena, folder, "grid-trained.png");
    bool ok = (rows && grid && trained) || tl_err_set(err, TL_FAIL, "%s: out of memory", r->path);
    ok = ok && tl_report_rows(r, rows, take_sample, &g, err);
    if (ok && g.n) {
        qsort(g.list, g.n, sizeof *g.list, compare);
        reading.samples = tl_arena_copy(&r->arena, g.list, g.n * sizeof *g.list);
        ok = reading.samples || tl_err_set(err, TL_FAIL, "%s: out of memory", r->path);
    }
    reading.n = g.n;
    free(g.list);
    reading.has_grid = ok && (tl_file_exists(grid) || tl_file_exists(trained));
    if (ok && (reading.n || reading.has_grid)) r->readings[r->n_readings++] = reading;
    return ok;
}

static int by_step(const void *a_void, const void *b_void)
{
    const struct tl_report_reading *a = a_void, *b = b_void;
    return a->step < b->step ? -1 : a->step > b->step;
}

/* The number of "step-00000012"; -1 for another name. */
static int64_t step_of(const char *name)
{
    char *end;
    if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9') return -1;
    long long step = strtoll(name + 5, &end, 10);
    return *end || step < 0 ? -1 : step;
}

bool tl_report_load_samples(struct tl_report_run *r, struct tl_err *err)
{
    const char *const *names = NULL;
    size_t n = 0;
    const char *samples = tl_path_join_in(&r->arena, r->path, "samples");
    if (samples && !tl_file_is_folder(samples)) return true;
    if (!samples || !tl_file_list(samples, &r->arena, &names, &n, err)) return false;
    r->readings = tl_arena_alloc(&r->arena, n + 1, sizeof *r->readings);
    bool ok = r->readings || tl_err_set(err, TL_FAIL, "%s: out of memory", r->path);
    for (size_t i = 0; ok && i < n; i++) {
        const char *folder = tl_path_join_in(&r->arena, samples, names[i]);
        int64_t step = step_of(names[i]);
        if (step >= 0 && folder && tl_file_is_folder(folder)) ok = load_reading(r, folder, step, err);
    }
    if (ok && r->n_readings > 1) qsort(r->readings, r->n_readings, sizeof *r->readings, by_step);
    return ok;
}

const struct tl_report_reading *tl_report_first(const struct tl_report_run *r)
{
    for (size_t i = 0; i < r->n_readings; i++)
        if (r->readings[i].n) return r->readings[i].step == 0 ? &r->readings[i] : NULL;
    return NULL;
}

const struct tl_report_reading *tl_report_last(const struct tl_report_run *r)
{
    for (size_t i = r->n_readings; i-- > 0;)
        if (r->readings[i].n) return r->readings[i].step > 0 ? &r->readings[i] : NULL;
    return NULL;
}

const struct tl_report_sample *tl_report_pair(const struct tl_report_reading *reading,
                                              const struct tl_report_sample *of)
{
    if (!reading || !reading->n) return NULL;
    return bsearch(of, reading->samples, reading->n, sizeof *of, compare);
}
