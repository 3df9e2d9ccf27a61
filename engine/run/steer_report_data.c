#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "metrics/stats.h"
#include "run/report_samples.h"
#include "run/steer_report.h"

enum { MOST_ROWS = 1 << 20, MOST_PARTICLES = 4096, MOST_PLAIN = 1 << 20 };

/* Rows, until their number is known. */
struct gathered {
    struct tl_steer_report *report;
    struct tl_steer_report_row *list; /* owns */
    size_t n, size;
};

bool tl_steer_report_is(struct tl_report_run *r)
{
    const char *path = tl_path_join_in(&r->arena, r->path, "steer.jsonl");
    return strcmp(tl_report_config(r, "method"), "steer") == 0 || (path && tl_file_exists(path));
}

/* ---- lines ---- */

/* n finite numbers in the arena; n 0: as many as there are, at most `most`. NULL: something else. */
static double *numbers(struct tl_arena *arena, const cJSON *list, size_t most, size_t *n)
{
    size_t count = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0, i = 0;
    const cJSON *x;
    if (count == 0 || count > most || (*n && count != *n)) return NULL;
    double *out = tl_arena_alloc(arena, count, sizeof *out);
    cJSON_ArrayForEach(x, list)
    {
        if (!out || !cJSON_IsNumber(x)) return NULL;
        out[i++] = x->valuedouble;
    }
    *n = count;
    return out;
}

static size_t *places(struct tl_arena *arena, const cJSON *list, size_t k)
{
    double *x = numbers(arena, list, k, &k);
    size_t *out = x ? tl_arena_alloc(arena, k, sizeof *out) : NULL;
    for (size_t i = 0; out && i < k; i++) {
        if (!(x[i] >= 0 && x[i] < (double)k && x[i] == floor(x[i]))) return NULL;
        out[i] = (size_t)x[i];
    }
    return out;
}

static bool read_event(struct tl_arena *arena, const cJSON *json, size_t k, struct tl_steer_report_event *e)
{
    int64_t unique;
    if (!tl_json_int(json, "step", -1, &e->step, NULL) || !tl_json_double(json, "t", NAN, &e->t, NULL) ||
        !tl_json_double(json, "ess", NAN, &e->ess, NULL) ||
        !tl_json_bool(json, "resampled", false, &e->resampled, NULL) ||
        !tl_json_int(json, "unique", (int64_t)k, &unique, NULL))
        return false;
    e->unique = unique > 0 && unique <= (int64_t)k ? (size_t)unique : k;
    e->rewards = numbers(arena, tl_json_get(json, "rewards"), k, &k);
    e->ancestors = places(arena, tl_json_get(json, "ancestors"), k);
    return e->step >= 0 && isfinite(e->ess) && e->rewards && e->ancestors;
}

static bool read_events(struct tl_arena *arena, const cJSON *list, size_t k, struct tl_steer_report_row *row)
{
    size_t n = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
    const cJSON *json;
    row->events = n ? tl_arena_alloc(arena, n, sizeof *row->events) : NULL;
    if (n && !row->events) return false;
    cJSON_ArrayForEach(json, list)
    {
        struct tl_steer_report_event *e = &row->events[row->n_events];
        if (!read_event(arena, json, k, e) || (row->n_events && e->step <= e[-1].step)) return false;
        row->n_events++;
    }
    return true;
}

static bool grow(struct gathered *g)
{
    if (g->n < g->size) return true;
    size_t size = g->size ? 2 * g->size : 64;
    struct tl_steer_report_row *list = realloc(g->list, size * sizeof *list);
    if (!list) return false;
    g->list = list;
    g->size = size;
    return true;
}

static void rate(struct tl_steer_report_row *row, size_t k)
{
    double sum = 0, weights = 0;
    row->pair = (struct tl_steer_pair){.best = row->rewards[row->best], .base = NAN, .best_of = NAN};
    for (size_t j = 0; j < k; j++) {
        sum += row->weights[j] * row->rewards[j];
        weights += row->weights[j];
    }
    row->pair.weighted = weights > 0 ? sum / weights : NAN;
}

static bool take_line(void *user, const cJSON *json)
{
    struct gathered *g = user;
    struct tl_steer_report *r = g->report;
    struct tl_arena *arena = &r->run->arena;
    struct tl_steer_report_row row = {0};
    int64_t group, best;
    size_t k = r->k;
    if (!tl_json_int(json, "group", -1, &group, NULL) || !tl_json_int(json, "best", -1, &best, NULL) ||
        !tl_json_string(json, "prompt", "", &row.prompt, NULL) ||
        !tl_json_double(json, "log_z", NAN, &row.log_z, NULL) ||
        !tl_json_double(json, "network_evaluations", 0, &row.network, NULL) ||
        !tl_json_double(json, "reward_evaluations", 0, &row.reward, NULL))
        return false;
    row.rewards = numbers(arena, tl_json_get(json, "rewards"), MOST_PARTICLES, &k);
    row.weights = numbers(arena, tl_json_get(json, "weights"), k, &k);
    if (!row.rewards || !row.weights || group < 0 || best < 0 || (size_t)best >= k || g->n == MOST_ROWS ||
        !read_events(arena, tl_json_get(json, "events"), k, &row))
        return false;
    row.group = (size_t)group;
    row.best = (size_t)best;
    row.prompt = tl_arena_strdup(arena, row.prompt);
    if (!row.prompt || !grow(g)) {
        arena->failed = true;
        return true;
    }
    rate(&row, k);
    r->k = k;
    g->list[g->n++] = row;
    return true;
}

static int by_group(const void *a_void, const void *b_void)
{
    const struct tl_steer_report_row *a = a_void, *b = b_void;
    return a->group < b->group ? -1 : a->group > b->group;
}

static void set_plain(struct tl_steer_report_row *row, double lambda, double *rewards, size_t n)
{
    row->plain = rewards;
    row->n_plain = n;
    for (size_t j = 1; j < n; j++)
        if (tl_steer_is_better(lambda, rewards[j], rewards[row->best_plain])) row->best_plain = j;
    row->pair.base = tl_stats_mean(rewards, n);
    row->pair.best_of = rewards[row->best_plain];
    row->has_pair = true;
}

static bool take_plain(void *user, const cJSON *json)
{
    struct tl_steer_report *r = user;
    int64_t group;
    const char *prompt;
    size_t n = 0;
    if (!tl_json_int(json, "group", -1, &group, NULL) || group < 0 ||
        !tl_json_string(json, "prompt", "", &prompt, NULL))
        return false;
    double *rewards = numbers(&r->run->arena, tl_json_get(json, "rewards"), MOST_PLAIN, &n);
    const struct tl_steer_report_row key = {.group = (size_t)group};
    struct tl_steer_report_row *row = r->n ? bsearch(&key, r->rows, r->n, sizeof key, by_group) : NULL;
    if (!rewards || (row && strcmp(row->prompt, prompt) != 0)) return false;
    if (row) set_plain(row, tl_steer_report_lambda(r), rewards, n);
    return true;
}

/* ---- totals ---- */

static struct tl_steer_mean mean_of(const struct tl_steer_report *r,
                                    double (*value)(const struct tl_steer_report *r, size_t i),
                                    double *scratch)
{
    for (size_t i = 0; i < r->n; i++) scratch[i] = value(r, i);
    return (struct tl_steer_mean){tl_stats_mean(scratch, r->n), tl_stats_se(scratch, r->n)};
}

static double best_of(const struct tl_steer_report *r, size_t i)
{
    return r->rows[i].pair.best;
}

static double weighted_of(const struct tl_steer_report *r, size_t i)
{
    return r->rows[i].pair.weighted;
}

static double all_of(const struct tl_steer_report *r, size_t i)
{
    return tl_stats_mean(r->rows[i].rewards, r->k);
}

static double log_z_of(const struct tl_steer_report *r, size_t i)
{
    return r->rows[i].log_z;
}

/* Starts that the particles at the end come from. */
static size_t survivors(const struct tl_steer_report_row *row, size_t k, size_t *places, bool *seen)
{
    size_t n = 0;
    for (size_t j = 0; j < k; j++) {
        places[j] = j;
        seen[j] = false;
    }
    for (size_t e = row->n_events; e-- > 0;)
        for (size_t j = 0; j < k; j++) places[j] = row->events[e].ancestors[places[j]];
    for (size_t j = 0; j < k; j++) {
        n += !seen[places[j]];
        seen[places[j]] = true;
    }
    return n;
}

static bool sum_up(struct tl_steer_report *r, struct tl_err *err)
{
    struct tl_steer_report_totals *t = &r->totals;
    struct tl_arena *arena = &r->run->arena;
    double *scratch = tl_arena_alloc(arena, r->n, sizeof *scratch);
    size_t *at = tl_arena_alloc(arena, r->k, sizeof *at);
    bool *seen = tl_arena_alloc(arena, r->k, sizeof *seen);
    if (!scratch || !at || !seen) return tl_err_set(err, TL_FAIL, "%s: out of memory", r->run->path);
    t->best = mean_of(r, best_of, scratch);
    t->weighted = mean_of(r, weighted_of, scratch);
    t->mean = mean_of(r, all_of, scratch);
    t->log_z = mean_of(r, log_z_of, scratch);
    for (size_t i = 0; i < r->n; i++) {
        const struct tl_steer_report_row *row = &r->rows[i];
        for (size_t e = 0; e < row->n_events; e++) {
            t->events++;
            t->resampled += row->events[e].resampled;
            t->ess += row->events[e].ess;
        }
        t->survivors += (double)survivors(row, r->k, at, seen) / (double)r->n;
        t->network += row->network;
        t->reward += row->reward;
    }
    t->ess = t->events ? t->ess / (double)t->events : NAN;
    return true;
}

static bool compare(struct tl_steer_report *r, struct tl_err *err)
{
    double steps = tl_steer_report_setting(r, "steps");
    struct tl_steer_pair *pairs = tl_arena_alloc(&r->run->arena, r->n, sizeof *pairs);
    size_t n = 0;
    if (!pairs) return tl_err_set(err, TL_FAIL, "%s: out of memory", r->run->path);
    for (size_t i = 0; i < r->n; i++) {
        struct tl_steer_report_row *row = &r->rows[i];
        if (r->is_plain && !row->has_pair) set_plain(row, tl_steer_report_lambda(r), row->rewards, r->k);
        if (!row->has_pair) continue;
        pairs[n++] = row->pair;
        r->totals.plain_network += (double)row->n_plain * steps;
        r->totals.plain_reward += (double)row->n_plain;
    }
    return n == 0 || tl_steer_compare(pairs, n, &r->comparison, err);
}

/* ---- the folder ---- */

double tl_steer_report_setting(const struct tl_steer_report *r, const char *key)
{
    const cJSON *x = tl_json_get(r->run->config, key);
    return cJSON_IsNumber(x) ? x->valuedouble : NAN;
}

double tl_steer_report_lambda(const struct tl_steer_report *r)
{
    double lambda = tl_steer_report_setting(r, "lambda");
    return isfinite(lambda) ? lambda : 1;
}

/* Nothing was scored on the way and nothing guided. */
static bool is_plain(const struct tl_steer_report *r)
{
    double guide = tl_steer_report_setting(r, "guide"), lambda = tl_steer_report_setting(r, "lambda");
    bool any = guide > 0 && lambda != 0;
    for (size_t i = 0; i < r->n; i++) any |= r->rows[i].n_events > 0;
    return !any;
}

static void read_summary(struct tl_steer_report *r)
{
    const char *path = tl_path_join_in(&r->run->arena, r->run->path, "steer.json");
    if (!path || !tl_file_exists(path)) return;
    r->summary = tl_json_read(path, NULL);
    if (r->summary) return;
    r->run->n_bad_lines++;
}

bool tl_steer_report_load(struct tl_steer_report *r, struct tl_report_run *run, struct tl_err *err)
{
    struct gathered g = {.report = r};
    *r = (struct tl_steer_report){.run = run};
    const char *lines = tl_path_join_in(&run->arena, run->path, "steer.jsonl"),
               *plain = tl_path_join_in(&run->arena, run->path, "plain.jsonl");
    bool ok = (lines && plain) || tl_err_set(err, TL_FAIL, "%s: out of memory", run->path);
    ok = ok && tl_report_rows(run, lines, take_line, &g, err);
    if (ok && g.n) {
        qsort(g.list, g.n, sizeof *g.list, by_group);
        for (size_t i = 0; i < g.n; i++) { /* the first of twins */
            if (r->n && g.list[r->n - 1].group == g.list[i].group)
                run->n_bad_lines++;
            else
                g.list[r->n++] = g.list[i];
        }
        r->rows = tl_arena_copy(&run->arena, g.list, r->n * sizeof *g.list);
        ok = r->rows || tl_err_set(err, TL_FAIL, "%s: out of memory", run->path);
    }
    free(g.list);
    ok = ok && tl_report_rows(run, plain, take_plain, r, err);
    r->is_plain = is_plain(r);
    if (ok && r->n) ok = sum_up(r, err) && compare(r, err);
    if (ok) read_summary(r);
    return ok;
}

void tl_steer_report_unload(struct tl_steer_report *r)
{
    cJSON_Delete(r->summary);
    *r = (struct tl_steer_report){0};
}

const char *tl_steer_report_state(const struct tl_steer_report *r)
{
    const char *text = tl_arena_printf(&r->run->arena, "%s%zu prompt%s%s",
                                       r->summary ? "finished, " : "not finished: ", r->n,
                                       r->n == 1 ? "" : "s", r->summary ? "" : " so far");
    return text ? text : "";
}
