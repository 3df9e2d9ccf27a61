/* What a steered run finds in its folder, and what it leaves there of nothing: lines of steer.jsonl whose
 * pictures stand beside them; pictures of others; those of a group that failed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tiller/log.h>

#include "io/file.h"
#include "run/steer_parts.h"

bool tl_steer_has_list(const cJSON *line, const char *key, size_t n)
{
    const cJSON *list = tl_json_get(line, key), *x;
    if (!cJSON_IsArray(list) || (size_t)cJSON_GetArraySize(list) != n) return false;
    cJSON_ArrayForEach(x, list)
    {
        if (!cJSON_IsNumber(x)) return false;
    }
    return true;
}

void tl_steer_take(struct tl_steer *s, size_t group, cJSON *line)
{
    s->lines[group] = line;
    s->n_finished++;
    if (group < s->next_line)
        s->out_of_order = true;
    else
        s->next_line = group + 1;
}

/* Calls fn with the path of each picture of a group and of the best one's in best/ (best = k: of each there)
 * until it is false. */
static bool each_picture(const struct tl_steer *s, size_t group, size_t best, bool (*fn)(const char *path))
{
    struct tl_str path = {0};
    char name[32], other[40];
    bool ok = true;
    for (size_t j = 0; ok && j < s->k; j++) {
        tl_sample_file_name(&s->settings, group * s->k + j, name);
        snprintf(other, sizeof other, "best/%s", name);
        ok = tl_steer_path(s, name, &path, NULL) && fn(path.data);
        if (ok && (j == best || best == s->k)) ok = tl_steer_path(s, other, &path, NULL) && fn(path.data);
    }
    tl_str_finish(&path);
    return ok;
}

static bool has_files(const struct tl_steer *s, size_t group, size_t best)
{
    return each_picture(s, group, best, tl_file_exists);
}

static bool take_line(struct tl_steer *s, cJSON *line, struct tl_err *err)
{
    int64_t group, best;
    const char *prompt;
    bool ok = tl_json_int(line, "group", -1, &group, err) && tl_json_int(line, "best", -1, &best, err) &&
              tl_json_string(line, "prompt", "", &prompt, err);
    ok = ok && group >= 0 && (size_t)group < s->n_groups && best >= 0 && (size_t)best < s->k &&
         strcmp(prompt, s->inputs.prompts[group].text) == 0 && tl_steer_has_list(line, "rewards", s->k) &&
         tl_steer_has_list(line, "weights", s->k) && tl_steer_has_list(line, "log_weights", s->k) &&
         !s->lines[group];
    if (!ok) return tl_err_set(err, TL_BAD_INPUT, "the line is not one of this run");
    if (has_files(s, (size_t)group, (size_t)best)) {
        tl_steer_take(s, (size_t)group, line);
        return true;
    }
    tl_log(TL_LOG_WARN, "%s: pictures of prompt %lld are missing; they are drawn again", s->p->sample.out,
           (long long)group);
    s->out_of_order = true;
    cJSON_Delete(line);
    return true;
}

struct lines {
    struct tl_steer *s;
    const char *name;
    bool (*take)(struct tl_steer *s, cJSON *line, struct tl_err *err);
};

/* Whole lines of the file; *out_whole: bytes up to the end of the last. */
static bool take_lines(const struct lines *l, const char *text, size_t n, size_t *out_whole,
                       struct tl_err *err)
{
    size_t number = 0;
    *out_whole = 0;
    for (const char *end; (end = memchr(text + *out_whole, '\n', n - *out_whole));) {
        const char *at = text + *out_whole;
        cJSON *line = tl_json_parse(at, (size_t)(end - at), "line", err);
        number++;
        if (!line || !l->take(l->s, line, err)) {
            cJSON_Delete(line);
            return tl_err_add(err, "%s/%s:%zu", l->s->p->sample.out, l->name, number);
        }
        *out_whole = (size_t)(end - text) + 1;
    }
    return true;
}

static bool open_log(const char *path, size_t whole, int *out, struct tl_err *err)
{
    *out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (*out >= 0 && ftruncate(*out, (off_t)whole) == 0) return true;
    int reason = errno;
    return tl_err_set(err, TL_OUTPUT, "%s: cannot open: %s%s", path, strerror(reason),
                      tl_file_advice(reason));
}

bool tl_steer_take_lines(struct tl_steer *s, const char *name,
                         bool (*take)(struct tl_steer *s, cJSON *line, struct tl_err *err), int *out_log,
                         struct tl_err *err)
{
    const struct lines l = {s, name, take};
    struct tl_str path = {0};
    size_t n = 0, whole = 0;
    bool ok = tl_steer_path(s, name, &path, err);
    if (ok && s->t.folder->begun && tl_file_exists(path.data)) {
        char *text = (char *)tl_file_read(path.data, (size_t)1 << 32, &n, err);
        ok = text && take_lines(&l, text, n, &whole, err);
        free(text);
    }
    ok = ok && open_log(path.data, whole, out_log, err);
    tl_str_finish(&path);
    return ok;
}

bool tl_steer_order_lines(struct tl_steer *s, struct tl_err *err)
{
    struct tl_str path = {0}, all = {0};
    if (!s->out_of_order) return true;
    bool ok = tl_steer_path(s, "steer.jsonl", &path, err);
    for (size_t g = 0; ok && g < s->n_groups; g++) {
        char *text = s->lines[g] ? tl_json_print(s->lines[g], false, err) : NULL;
        ok = text || !s->lines[g];
        if (text) tl_str_printf(&all, "%s\n", text);
        free(text);
    }
    ok = (ok && !all.failed) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_file_write(path.data, all.data ? all.data : "", all.len, err);
    if (ok) {
        close(s->log);
        s->log = -1;
        s->out_of_order = false;
        ok = open_log(path.data, all.len, &s->log, err);
    }
    tl_str_finish(&path);
    tl_str_finish(&all);
    return ok;
}

bool tl_steer_recall(struct tl_steer *s, struct tl_err *err)
{
    struct tl_str path = {0};
    bool ok = tl_steer_path(s, "best", &path, err) && tl_file_make_folder(path.data, err) &&
              tl_steer_take_lines(s, "steer.jsonl", take_line, &s->log, err);
    ok = ok && tl_steer_order_lines(s, err);
    s->n_kept = s->n_finished;
    tl_str_finish(&path);
    return ok;
}

/* ---- others' ---- */

static bool is_numbered(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    return digits > 0 && strcmp(name + digits, ".png") == 0;
}

bool tl_steer_refuse_others(const struct tl_steer *s, struct tl_err *err)
{
    const char *out = s->p->sample.out, *first = NULL;
    struct tl_arena arena = {0};
    const char *const *names;
    size_t n = 0, found = 0;
    if (!out || s->p->resume || tl_run_folder_is_run(out)) return true;
    if (!tl_file_list(out, &arena, &names, &n, NULL)) n = 0; /* it is not there yet */
    for (size_t i = 0; i < n; i++) {
        const char *path = tl_path_join_in(&arena, out, names[i]);
        if ((!is_numbered(names[i]) && strcmp(names[i], "metadata.jsonl") != 0) || !path ||
            tl_file_is_folder(path))
            continue;
        if (found++ == 0) first = names[i];
    }
    bool ok =
        found == 0 || tl_err_set(err, TL_USAGE,
                                 "%s holds pictures of something else (%zu files: %s%s); choose another "
                                 "folder, or move them away",
                                 out, found, first, found > 1 ? ", ..." : "");
    tl_arena_finish(&arena);
    return ok;
}

/* ---- what failed ---- */

static bool discard(const char *path)
{
    (void)unlink(path);
    return true;
}

static void discard_steps(const struct tl_steer *s)
{
    struct tl_str path = {0};
    char name[48];
    for (size_t g = 0; g < s->n_groups && g < TL_STEER_SHOWN; g++)
        for (size_t i = 0; i < (size_t)s->p->sample.steps; i++) {
            if (!s->scored[i]) continue;
            snprintf(name, sizeof name, "steps/%04zu-%03zu.png", g, i);
            if (tl_steer_path(s, name, &path, NULL)) (void)unlink(path.data);
        }
    tl_str_finish(&path);
}

void tl_steer_discard(const struct tl_steer *s)
{
    static const char *const names[] = {"steer.jsonl", "best", "steps"};
    struct tl_str path = {0};
    each_picture(s, 0, s->k, discard);
    if (s->p->report) discard_steps(s);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (tl_steer_path(s, names[i], &path, NULL) && unlink(path.data) != 0) (void)rmdir(path.data);
    tl_str_finish(&path);
}
