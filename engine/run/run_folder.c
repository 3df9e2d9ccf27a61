#include "run/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <tiller/log.h>

#include "io/file.h"
#include "run/checkpoint_folder.h"
#include "run/run_folder_inner.h"

const char *tl_run_now_text(char out[32])
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return out;
}

static bool join(struct tl_str *out, const char *folder, const char *name, struct tl_err *err)
{
    tl_path_join(out, folder, name);
    return !out->failed || tl_err_set(err, TL_OUTPUT, "%s: out of memory", folder);
}

bool tl_run_folder_path(const struct tl_run_folder *f, const char *name, struct tl_str *out,
                        struct tl_err *err)
{
    return join(out, f->path, name, err);
}

bool tl_run_folder_is_run(const char *path)
{
    static const char *const names[] = {"config.json", "run.json", "metrics.jsonl", "checkpoints"};
    struct tl_str s = {0};
    bool found = false;
    for (size_t i = 0; !found && i < sizeof names / sizeof *names; i++) {
        found = join(&s, path, names[i], NULL) && tl_file_exists(s.data);
    }
    tl_str_finish(&s);
    return found;
}

struct holder {
    long pid; /* 0: not known */
    char host[128], since[64];
};

static struct holder read_holder(int fd)
{
    struct holder h = {0};
    char line[256] = "";
    ssize_t n = pread(fd, line, sizeof line - 1, 0);
    line[n > 0 ? n : 0] = 0;
    if (!strchr(line, '\n') || sscanf(line, "%ld %127s %63s", &h.pid, h.host, h.since) != 3) h.pid = 0;
    return h;
}

static void own_host(char out[128])
{
    memset(out, 0, 128);
    if (gethostname(out, 127) != 0 || !out[0]) strcpy(out, "?");
}

static bool is_gone(const struct holder *h)
{
    char host[128];
    own_host(host);
    return h->pid > 0 && strcmp(h->host, host) == 0 && kill((pid_t)h->pid, 0) != 0 && errno == ESRCH;
}

/* The holder writes its line right after it got the lock: a reader that comes between waits a little for it.
 */
static bool say_busy(int fd, const char *path, struct tl_err *err)
{
    struct holder h = read_holder(fd);
    for (int attempt = 0; attempt < 20 && !h.pid; attempt++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        h = read_holder(fd);
    }
    if (!h.pid)
        return tl_err_set(err, TL_BUSY,
                          "%s: another process works in this folder; wait for it, or choose another folder",
                          path);
    if (is_gone(&h))
        return tl_err_set(
            err, TL_BUSY,
            "%s: process %ld, which worked here since %s, is gone, but a child of it still holds "
            "the folder; end that, or wait",
            path, h.pid, h.since);
    return tl_err_set(
        err, TL_BUSY,
        "%s: process %ld on %s works in this folder since %s; wait for it, or choose another folder", path,
        h.pid, h.host, h.since);
}

/* A killed process may leave children (decoders, external rewards) that hold the lock until they notice. */
static bool lock_file(int fd)
{
    for (int attempt = 0;; attempt++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
        if (errno != EWOULDBLOCK || attempt == 250) return false;
        struct holder h = read_holder(fd);
        if (!is_gone(&h)) break;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    errno = EWOULDBLOCK;
    return false;
}

static bool write_holder(int fd)
{
    char line[256], host[128], now[32];
    own_host(host);
    int n = snprintf(line, sizeof line, "%ld %s %s\n", (long)getpid(), host, tl_run_now_text(now));
    return ftruncate(fd, 0) == 0 && n > 0 && pwrite(fd, line, (size_t)n, 0) == n;
}

static bool take_lock(struct tl_run_folder *f, struct tl_err *err)
{
    struct tl_str path = {0};
    if (!join(&path, f->path, "run.lock", err)) return false;
    f->lock = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    bool ok = f->lock >= 0;
    if (!ok) {
        int reason = errno;
        tl_err_set(err, TL_OUTPUT, "%s: cannot open: %s%s", path.data, strerror(reason),
                   tl_file_advice(reason));
    } else if (lock_file(f->lock)) {
        ok = write_holder(f->lock);
        int reason = errno;
        if (!ok)
            tl_err_set(err, TL_OUTPUT, "%s: cannot write: %s%s", path.data, strerror(reason),
                       tl_file_advice(reason));
    } else if (errno == EWOULDBLOCK) {
        ok = say_busy(f->lock, f->path, err);
    } else { /* some network file systems have no locks */
        tl_log(TL_LOG_WARN, "%s: cannot lock (%s); nothing else may work in this folder now", path.data,
               strerror(errno));
    }
    tl_str_finish(&path);
    return ok;
}

static bool check_mode(struct tl_run_folder *f, enum tl_run_mode mode, struct tl_err *err)
{
    f->begun = tl_run_folder_is_run(f->path);
    if (mode == TL_RUN_NEW && f->begun) {
        return tl_err_set(err, TL_USAGE,
                          "%s: holds another run; choose another folder, or resume that one with --resume %s",
                          f->path, f->path);
    }
    if (mode == TL_RUN_RESUME && !f->begun)
        return tl_err_set(err, TL_USAGE, "%s: holds no run to resume", f->path);
    return true;
}

/* Under the lock nobody else writes here: what is unfinished was left by a crash. */
static bool look_around(struct tl_run_folder *f, struct tl_err *err)
{
    enum { DEPTH = 3 }; /* samples/step-N/NAME, model/unet/NAME */
    struct tl_arena arena = {0};
    struct tl_checkpoint_id *ids = NULL;
    size_t n = 0;
    const char *checkpoints = tl_path_join_in(&arena, f->path, "checkpoints");
    bool ok = checkpoints || tl_err_set(err, TL_OUTPUT, "%s: out of memory", f->path);
    if (ok) {
        tl_file_remove_leftovers(f->path, DEPTH);
        tl_checkpoint_remove_unfinished(checkpoints);
        ok = tl_checkpoint_list(checkpoints, &arena, &ids, &n, err);
    }
    f->resumes = f->begun && n > 0;
    tl_arena_finish(&arena);
    return ok;
}

/* A new folder's name is durable once its parent is synced; where that cannot be done the run goes on. */
static void sync_parent(const char *path)
{
    struct tl_arena arena = {0};
    char *full = realpath(path, NULL);
    const char *parent = full ? tl_path_folder_in(&arena, full) : NULL;
    if (parent) tl_checkpoint_sync_folder(parent, NULL);
    free(full);
    tl_arena_finish(&arena);
}

struct tl_run_folder *tl_run_folder_open(const char *path, enum tl_run_mode mode, struct tl_err *err)
{
    struct tl_run_folder *f = calloc(1, sizeof *f);
    if (!f) goto no_memory;
    f->lock = -1;
    f->path = strdup(path);
    if (!f->path) goto no_memory;
    if (mode == TL_RUN_RESUME && !check_mode(f, mode, err))
        goto fail; /* makes no folder for a mistyped name */
    if (!tl_file_make_folder(path, err) || !take_lock(f, err) || !check_mode(f, mode, err) ||
        !look_around(f, err))
        goto fail;
    if (!f->begun) sync_parent(path);
    return f;
no_memory:
    tl_err_set(err, TL_OUTPUT, "%s: out of memory", path);
fail:
    tl_run_folder_close(&f);
    return NULL;
}

void tl_run_folder_close(struct tl_run_folder **f_ptr)
{
    struct tl_run_folder *f = *f_ptr;
    if (!f) return;
    if (f->lock >= 0)
        close(f->lock); /* the file stays: removing it would race with the next one to open it */
    free(f->path);
    free(f);
    *f_ptr = NULL;
}

bool tl_run_folder_write_json(const struct tl_run_folder *f, const char *name, const cJSON *value,
                              struct tl_err *err)
{
    struct tl_str path = {0};
    bool ok = join(&path, f->path, name, err) && tl_json_write(path.data, value, err);
    tl_str_finish(&path);
    return ok;
}

static cJSON *read_json(const struct tl_run_folder *f, const char *name, struct tl_err *err)
{
    struct tl_str path = {0};
    cJSON *value = join(&path, f->path, name, err) ? tl_json_read(path.data, err) : NULL;
    tl_str_finish(&path);
    return value;
}

bool tl_run_folder_write_config(const struct tl_run_folder *f, const cJSON *config, struct tl_err *err)
{
    return tl_run_folder_write_json(f, "config.json", config, err);
}

cJSON *tl_run_folder_read_config(const struct tl_run_folder *f, struct tl_err *err)
{
    return read_json(f, "config.json", err);
}

cJSON *tl_run_folder_read_about(const struct tl_run_folder *f, struct tl_err *err)
{
    return read_json(f, "run.json", err);
}

bool tl_run_folder_samples(const struct tl_run_folder *f, int64_t step, struct tl_str *out,
                           struct tl_err *err)
{
    char name[64];
    snprintf(name, sizeof name, "samples/step-%08lld", (long long)step);
    if (!join(out, f->path, name, err) || !tl_file_make_folder(out->data, err)) return false;
    struct tl_str samples = {0};
    bool ok = join(&samples, f->path, "samples", err) && tl_checkpoint_sync_folder(samples.data, err);
    tl_str_finish(&samples);
    return ok;
}
