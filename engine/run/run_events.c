#include "run/run_events.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tiller/log.h>

#include "base/clock.h"
#include "io/file.h"
#include "run/run_metrics.h"

enum { MOST_WAITING = 64 * 1024 };
static const double MOST_SECONDS = 10;
static const char PREFIX[] = "events.out.tfevents.";

struct tl_run_events {
    char *folder; /* owns */
    int64_t resumed_step;
    int fd;                /* -1 until the first event; owns */
    bool off;              /* it failed once */
    struct tl_str path;    /* of the file */
    struct tl_str waiting; /* whole records that are not written yet */
    double flushed;        /* tl_clock_s */
};

struct tl_run_events *tl_run_events_open(const char *folder, int64_t resumed_step)
{
    struct tl_run_events *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->fd = -1;
    e->resumed_step = resumed_step;
    e->folder = strdup(folder);
    if (e->folder) return e;
    free(e);
    return NULL;
}

static void give_up(struct tl_run_events *e, const char *why)
{
    tl_log(TL_LOG_WARN, "%s: no TensorBoard events from here on: %s",
           e->path.data && *e->path.data ? e->path.data : e->folder, why);
    e->off = true;
    tl_str_finish(&e->waiting);
}

/* Writes what waits. A part that does not fit leaves a torn record behind, which readers pass over. */
void tl_run_events_flush(struct tl_run_events *e)
{
    if (!e || e->off || e->fd < 0) return;
    if (e->waiting.failed) {
        give_up(e, "out of memory");
        return;
    }
    for (size_t done = 0; done < e->waiting.len;) {
        ssize_t n = write(e->fd, e->waiting.data + done, e->waiting.len - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            give_up(e, n < 0 ? strerror(errno) : "no space left");
            return;
        }
        done += (size_t)n;
    }
    tl_str_clear(&e->waiting);
    e->flushed = tl_clock_s();
}

void tl_run_events_close(struct tl_run_events **e_ptr)
{
    struct tl_run_events *e = *e_ptr;
    if (!e) return;
    tl_run_events_flush(e);
    if (e->fd >= 0) close(e->fd);
    tl_str_finish(&e->waiting);
    tl_str_finish(&e->path);
    free(e->folder);
    free(e);
    *e_ptr = NULL;
}

/* The time in the newest event file's name, -1 where there is none. */
static int64_t newest_time(const char *folder)
{
    struct tl_arena arena = {0};
    const char *const *names = NULL;
    size_t n = 0;
    int64_t newest = -1;
    if (!tl_file_list(folder, &arena, &names, &n, NULL)) n = 0;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(names[i], PREFIX, sizeof PREFIX - 1) != 0) continue;
        long long t = strtoll(names[i] + sizeof PREFIX - 1, NULL, 10);
        if (t > newest && t < 9999999999) newest = t;
        if (newest < 0) newest = 0;
    }
    tl_arena_finish(&arena);
    return newest;
}

static void host_name(char out[65])
{
    if (gethostname(out, 64) != 0 || !*out) strcpy(out, "localhost");
    out[64] = 0;
    for (char *p = out; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '-') *p = '_';
}

/* The file, at the first event. */
static bool begin(struct tl_run_events *e, double time)
{
    static int n_opened; /* one run at a time writes */
    int64_t newest = newest_time(e->folder), stamp = (int64_t)time > newest ? (int64_t)time : newest + 1;
    struct tl_str name = {0};
    char host[65];
    host_name(host);
    tl_str_printf(&name, "%s%010lld.%s.%ld.%d", PREFIX, (long long)stamp, host, (long)getpid(), n_opened++);
    if (!name.failed) tl_path_join(&e->path, e->folder, name.data);
    tl_str_finish(&name);
    if (e->path.failed || !e->path.data) {
        give_up(e, "out of memory");
        return false;
    }
    e->fd = open(e->path.data, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    if (e->fd < 0) {
        give_up(e, strerror(errno));
        return false;
    }
    e->flushed = tl_clock_s();
    tl_tb_version(&e->waiting, time);
    if (newest >= 0) tl_tb_restart(&e->waiting, time, e->resumed_step < 0 ? 0 : e->resumed_step + 1);
    return true;
}

static bool ready(struct tl_run_events *e, double time)
{
    return e && !e->off && (e->fd >= 0 || begin(e, time));
}

static void flush_when_due(struct tl_run_events *e)
{
    if (e->waiting.failed || e->waiting.len >= MOST_WAITING || tl_clock_s() - e->flushed >= MOST_SECONDS)
        tl_run_events_flush(e);
}

void tl_run_events_scalars(struct tl_run_events *e, const char *phase, int64_t step,
                           const struct tl_run_metric *values, size_t n, double time)
{
    if (n == 0 || !ready(e, time)) return;
    struct tl_tb_scalar *scalars = calloc(n, sizeof *scalars);
    struct tl_str *tags = calloc(n, sizeof *tags);
    for (size_t i = 0; scalars && tags && i < n; i++) {
        tl_str_printf(&tags[i], "%s/%s", phase, values[i].name);
        e->waiting.failed = e->waiting.failed || tags[i].failed;
        scalars[i] = (struct tl_tb_scalar){tags[i].failed ? "" : tags[i].data, (float)values[i].value};
    }
    if (scalars && tags)
        tl_tb_scalars(&e->waiting, time, step, scalars, n);
    else
        e->waiting.failed = true;
    for (size_t i = 0; tags && i < n; i++) tl_str_finish(&tags[i]);
    free(tags);
    free(scalars);
    flush_when_due(e);
}

void tl_run_events_image(struct tl_run_events *e, int64_t step, const struct tl_tb_image *image, double time)
{
    if (!ready(e, time)) return;
    tl_tb_image(&e->waiting, time, step, image);
    flush_when_due(e);
}
