#include "run/run_metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <tiller/log.h>

#include "base/str.h"
#include "io/file.h"
#include "io/html.h"
#include "io/json.h"
#include "run/run_events.h"

enum { MOST_BYTES = 1 << 30, MOST_PICTURE = 64 << 20 };

struct tl_run_metrics {
    char *path;                   /* owns */
    int fd;                       /* opened for appending; owns */
    int64_t n_rows;               /* in the file */
    struct tl_run_events *events; /* owns; NULL: without */
};

/* The step of a line, or -1 where it is no row. */
static int64_t step_of(const char *line, size_t n)
{
    int64_t step = -1;
    cJSON *row = tl_json_parse(line, n, "row", NULL);
    if (!row || !tl_json_int(row, "step", -1, &step, NULL)) step = -1;
    cJSON_Delete(row);
    return step;
}

/* What a resumed run keeps, and what of it was found. */
struct cut {
    int64_t last_step, most_rows;
    int64_t n_kept, n_cut;
};

/* Copies the lines that stay; counts the others. */
static bool copy_rows(struct tl_file_out *out, const char *text, size_t n, struct cut *cut,
                      struct tl_err *err)
{
    const char *end = text + n;
    for (const char *line = text; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((newline ? newline : end) - line);
        int64_t step = newline ? step_of(line, len) : -1;
        bool stays = step >= 0 && step <= cut->last_step && cut->n_kept < cut->most_rows;
        if (stays && !tl_file_put(out, line, len + 1, err)) return false;
        cut->n_kept += stays;
        cut->n_cut += !stays;
        line += len + (newline != NULL);
    }
    return true;
}

static bool cut_rows(const char *path, struct cut *cut, struct tl_err *err)
{
    size_t n;
    if (!tl_file_exists(path)) return true;
    char *text = (char *)tl_file_read(path, MOST_BYTES, &n, err);
    if (!text) return false;
    struct tl_file_out out = {0};
    bool ok = tl_file_begin(&out, path, err) && copy_rows(&out, text, n, cut, err);
    if (ok && cut->n_cut) {
        ok = tl_file_commit(&out, err);
        if (ok)
            tl_log(TL_LOG_INFO, "%s: %lld rows beyond the checkpoint of step %lld cut off", path,
                   (long long)cut->n_cut, (long long)cut->last_step);
    } else {
        tl_file_abort(&out);
    }
    free(text);
    return ok;
}

struct tl_run_metrics *tl_run_metrics_open(const char *folder, int64_t resumed_step, struct tl_err *err)
{
    return tl_run_metrics_reopen(folder, resumed_step, -1, err);
}

struct tl_run_metrics *tl_run_metrics_reopen(const char *folder, int64_t resumed_step, int64_t resumed_rows,
                                             struct tl_err *err)
{
    struct tl_str path = {0};
    struct cut cut = {.last_step = resumed_step, .most_rows = resumed_rows < 0 ? INT64_MAX : resumed_rows};
    struct tl_run_metrics *m = calloc(1, sizeof *m);
    if (!m) goto no_memory;
    m->fd = -1;
    tl_path_join(&path, folder, "metrics.jsonl");
    m->path = path.failed ? NULL : strdup(path.data);
    tl_str_finish(&path);
    if (!m->path) goto no_memory;
    if (resumed_step >= 0 && !cut_rows(m->path, &cut, err)) goto fail;
    m->n_rows = cut.n_kept;
    if (resumed_step >= 0 && cut.n_kept < resumed_rows)
        tl_log(TL_LOG_WARN, "%s: has %lld rows of the %lld that the checkpoint came after", m->path,
               (long long)cut.n_kept, (long long)resumed_rows);
    m->fd = open(m->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (resumed_step < 0 ? O_TRUNC : 0), 0666);
    if (m->fd >= 0) {
        m->events = tl_run_events_open(folder, resumed_step);
        return m;
    }
    int reason = errno;
    tl_err_set(err, TL_OUTPUT, "%s: cannot open: %s%s", m->path, strerror(reason), tl_file_advice(reason));
    goto fail;
no_memory:
    tl_err_set(err, TL_OUTPUT, "%s: out of memory", folder);
fail:
    tl_run_metrics_close(&m);
    return NULL;
}

void tl_run_metrics_close(struct tl_run_metrics **m_ptr)
{
    struct tl_run_metrics *m = *m_ptr;
    if (!m) return;
    tl_run_events_close(&m->events);
    if (m->fd >= 0) close(m->fd);
    free(m->path);
    free(m);
    *m_ptr = NULL;
}

static double wall_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + floor((double)t.tv_nsec * 1e-6) * 1e-3;
}

static bool check_value(const struct tl_run_metric *v, int64_t step, struct tl_err *err)
{
    if (!strcmp(v->name, "step") || !strcmp(v->name, "phase") || !strcmp(v->name, "time")) {
        return tl_err_set(err, TL_FAIL, "a metric cannot be called \"%s\"", v->name);
    }
    return isfinite(v->value) || tl_err_set(err, TL_NUMERIC, "step %lld: %s is %s", (long long)step, v->name,
                                            isnan(v->value) ? "not a number" : "infinite");
}

static char *row_text(const char *phase, int64_t step, const struct tl_run_metric *values, size_t n,
                      double time, struct tl_err *err)
{
    cJSON *row = cJSON_CreateObject();
    bool ok = row && cJSON_AddNumberToObject(row, "step", (double)step) &&
              cJSON_AddStringToObject(row, "phase", phase);
    for (size_t i = 0; ok && i < n; i++)
        ok = cJSON_AddNumberToObject(row, values[i].name, values[i].value) != NULL;
    ok = ok && cJSON_AddNumberToObject(row, "time", time);
    char *text = ok ? tl_json_print(row, false, err) : NULL;
    cJSON_Delete(row);
    return text;
}

/* All of it or nothing. */
static bool write_line(struct tl_run_metrics *m, const char *line, size_t n, struct tl_err *err)
{
    struct stat st;
    if (fstat(m->fd, &st) != 0) return tl_err_set(err, TL_OUTPUT, "%s: %s", m->path, strerror(errno));
    ssize_t done;
    do {
        done = write(m->fd, line, n);
    } while (done < 0 && errno == EINTR);
    if (done == (ssize_t)n) return true;
    int reason = done < 0 ? errno : ENOSPC;
    tl_err_set(err, TL_OUTPUT, "%s: cannot write: %s%s", m->path, strerror(reason), tl_file_advice(reason));
    if (done > 0 && ftruncate(m->fd, st.st_size) != 0) tl_err_add(err, "the last row is incomplete");
    return false;
}

bool tl_run_metrics_append(struct tl_run_metrics *m, const char *phase, int64_t step,
                           const struct tl_run_metric *values, size_t n, struct tl_err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!check_value(&values[i], step, err)) return false;
    }
    struct tl_str line = {0};
    double time = wall_clock();
    char *text = row_text(phase, step, values, n, time, err);
    if (text) tl_str_printf(&line, "%s\n", text);
    free(text);
    bool ok = text && !line.failed && write_line(m, line.data, line.len, err);
    if (!ok) tl_err_set(err, TL_OUTPUT, "%s: out of memory", m->path);
    m->n_rows += ok;
    if (ok) tl_run_events_scalars(m->events, phase, step, values, n, time);
    tl_str_finish(&line);
    return ok;
}

int64_t tl_run_metrics_rows(const struct tl_run_metrics *m)
{
    return m->n_rows;
}

void tl_run_metrics_image(struct tl_run_metrics *m, const char *tag, int64_t step, const void *png,
                          size_t n_bytes, int width, int height)
{
    const struct tl_tb_image image = {
        .tag = tag, .width = width, .height = height, .channels = 3, .png = png, .n_bytes = n_bytes};
    tl_run_events_image(m->events, step, &image, wall_clock());
}

void tl_run_metrics_picture(struct tl_run_metrics *m, const char *tag, int64_t step, const char *png_path)
{
    size_t n;
    int width, height;
    uint8_t *png = tl_file_read(png_path, MOST_PICTURE, &n, NULL);
    if (png && tl_html_png_size(png, n, &width, &height))
        tl_run_metrics_image(m, tag, step, png, n, width, height);
    free(png);
}

bool tl_run_metrics_sync(struct tl_run_metrics *m, struct tl_err *err)
{
    tl_run_events_flush(m->events);
    if (fsync(m->fd) == 0 || errno == EINVAL || errno == ENOTSUP) return true;
    int reason = errno;
    return tl_err_set(err, TL_OUTPUT, "%s: cannot sync: %s%s", m->path, strerror(reason),
                      tl_file_advice(reason));
}

struct column {
    double *steps, *values;
    size_t n, size;
};

static bool column_add(struct column *c, double step, double value)
{
    if (c->n == c->size) {
        size_t size = c->size ? 2 * c->size : 256;
        double *steps = realloc(c->steps, size * sizeof *steps);
        if (steps) c->steps = steps;
        double *values = realloc(c->values, size * sizeof *values);
        if (values) c->values = values;
        if (!steps || !values) return false;
        c->size = size;
    }
    c->steps[c->n] = step;
    c->values[c->n++] = value;
    return true;
}

static bool column_line(struct column *c, const cJSON *row, const char *phase, const char *name)
{
    const char *its = NULL;
    const cJSON *value = tl_json_get(row, name), *step = tl_json_get(row, "step");
    if (!cJSON_IsNumber(value) || !cJSON_IsNumber(step)) return true;
    if (phase && (!tl_json_string(row, "phase", "", &its, NULL) || strcmp(its, phase) != 0)) return true;
    return column_add(c, step->valuedouble, value->valuedouble);
}

bool tl_run_metrics_column(const char *path, const char *phase, const char *name, double **out_steps,
                           double **out_values, size_t *out_n, struct tl_err *err)
{
    size_t n;
    char *text = (char *)tl_file_read(path, MOST_BYTES, &n, err);
    if (!text) return false;
    struct column c = {0};
    bool ok = true;
    const char *line = text;
    for (const char *end; ok && (end = memchr(line, '\n', n - (size_t)(line - text))); line = end + 1) {
        cJSON *row = tl_json_parse(line, (size_t)(end - line), path, NULL);
        ok = column_line(&c, row, phase, name) || tl_err_set(err, TL_FAIL, "%s: out of memory", path);
        cJSON_Delete(row);
    }
    free(text);
    if (!ok || !c.n) {
        free(c.steps);
        free(c.values);
        c = (struct column){0};
    }
    *out_steps = c.steps;
    *out_values = c.values;
    *out_n = c.n;
    return ok;
}
