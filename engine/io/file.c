#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 1 << 16, MOST_PIECE = 1 << 30 };

/* Reads until the end, growing; the size that the system says is only a first guess (files grow, /proc says
 * 0). */
static uint8_t *read_all(int fd, const char *path, size_t guess, size_t limit, size_t *out_n,
                         struct tl_err *err)
{
    size_t size = guess + 1, n = 0;
    uint8_t *data = malloc(size + 1);
    while (data) {
        size_t room = size - n;
        ssize_t got = read(fd, data + n, room < MOST_PIECE ? room : MOST_PIECE);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            tl_err_set(err, TL_BAD_INPUT, "%s: cannot read: %s", path, strerror(errno));
            break;
        }
        if (got == 0) {
            data[n] = 0;
            *out_n = n;
            return data;
        }
        n += (size_t)got;
        if (n > limit) {
            tl_err_set(err, TL_BAD_INPUT, "%s: more than the %zu bytes allowed here", path, limit);
            break;
        }
        if (n < size) continue;
        size += size / 2 + 4096;
        uint8_t *more = realloc(data, size + 1);
        if (!more) break;
        data = more;
    }
    free(data);
    tl_err_set(err, TL_BAD_INPUT, "%s: out of memory reading the file", path);
    return NULL;
}

uint8_t *tl_file_read(const char *path, size_t limit, size_t *out_n, struct tl_err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        tl_err_set(err, TL_BAD_INPUT, "%s: cannot open: %s", path, strerror(errno));
        if (fd >= 0) close(fd);
        return NULL;
    }
    uint8_t *data = NULL;
    if (S_ISDIR(st.st_mode)) {
        tl_err_set(err, TL_BAD_INPUT, "%s: is a folder, not a file", path);
    } else if (st.st_size < 0 || (uint64_t)st.st_size > limit) {
        tl_err_set(err, TL_BAD_INPUT, "%s: more than the %zu bytes allowed here", path, limit);
    } else {
        data = read_all(fd, path, (size_t)st.st_size, limit, out_n, err);
    }
    close(fd);
    return data;
}

void tl_file_abort(struct tl_file_out *out)
{
    if (out->temp) {
        if (out->fd >= 0) close(out->fd);
        unlink(out->temp);
    }
    free(out->path);
    free(out->temp);
    free(out->buf);
    *out = (struct tl_file_out){.fd = -1};
}

const char *tl_file_advice(int reason)
{
    switch (reason) {
    case ENOSPC:
    case EDQUOT:
        return "; free some space";
    case EFBIG:
        return "; raise the limit on file sizes (ulimit -f)";
    case EACCES:
    case EPERM:
    case EROFS:
        return "; choose a place that can be written";
    default:
        return "";
    }
}

/* Records the reason, then leaves nothing behind. errno is read first. */
static bool give_up(struct tl_file_out *out, const char *doing, struct tl_err *err)
{
    int reason = errno;
    tl_err_set(err, TL_OUTPUT, "%s: cannot %s: %s%s", out->path, doing, strerror(reason),
               tl_file_advice(reason));
    tl_file_abort(out);
    return false;
}

static char *temp_name(const char *path)
{
    static atomic_uint counter;
    const char *base = tl_path_base(path);
    size_t size = (size_t)(base - path) + 64;
    char *temp = malloc(size);
    if (temp) {
        snprintf(temp, size, "%.*s.tiller-%ld-%u.tmp", (int)(base - path), path, (long)getpid(),
                 atomic_fetch_add(&counter, 1));
    }
    return temp;
}

bool tl_file_begin(struct tl_file_out *out, const char *path, struct tl_err *err)
{
    *out = (struct tl_file_out){.fd = -1};
    struct stat st;
    if (!*tl_path_base(path)) return tl_err_set(err, TL_OUTPUT, "\"%s\": not a file name", path);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        return tl_err_set(err, TL_OUTPUT, "%s: exists and is not a plain file; choose another name", path);
    }
    for (int attempt = 0; attempt < 100;
         attempt++) { /* a crashed process with our id may have left its file */
        char *temp = temp_name(path);
        if (!temp) break;
        int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0) {
            int reason = errno;
            free(temp);
            if (reason == EEXIST) continue;
            return tl_err_set(err, TL_OUTPUT, "%s: cannot create: %s%s", path, strerror(reason),
                              tl_file_advice(reason));
        }
        *out = (struct tl_file_out){.fd = fd, .path = strdup(path), .temp = temp, .buf = malloc(BUFFER)};
        if (out->path && out->buf) return true;
        break;
    }
    tl_file_abort(out);
    return tl_err_set(err, TL_OUTPUT, "%s: no temporary file could be made beside it", path);
}

static bool write_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n < MOST_PIECE ? n : MOST_PIECE);
        if (done < 0 && errno == EINTR) continue;
        if (done == 0) errno = ENOSPC; /* no progress: never seen on a plain file, but must not loop */
        if (done <= 0) return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

bool tl_file_put(struct tl_file_out *out, const void *data, size_t n, struct tl_err *err)
{
    if (!out->temp) return tl_err_set(err, TL_OUTPUT, "write to a file that is not open");
    if (!n) return true;
    if (n > BUFFER - out->used) {
        if (!write_all(out->fd, out->buf, out->used)) return give_up(out, "write", err);
        out->used = 0;
    }
    if (n >= BUFFER) return write_all(out->fd, data, n) ? true : give_up(out, "write", err);
    memcpy(out->buf + out->used, data, n);
    out->used += n;
    return true;
}

/* Makes the new name durable. Some file systems refuse to sync a folder: then there is nothing more to do. */
static bool sync_folder(const char *path)
{
    struct tl_arena arena = {0};
    const char *folder = tl_path_folder_in(&arena, path);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool ok = fd < 0 || fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
    int reason = errno;
    if (fd >= 0) close(fd);
    tl_arena_finish(&arena);
    errno = reason;
    return ok;
}

bool tl_file_commit(struct tl_file_out *out, struct tl_err *err)
{
    if (!out->temp) return tl_err_set(err, TL_OUTPUT, "write to a file that is not open");
    if (!write_all(out->fd, out->buf, out->used)) return give_up(out, "write", err);
    if (fsync(out->fd) != 0 && errno != EINVAL && errno != ENOTSUP) return give_up(out, "sync", err);
    int fd = out->fd;
    out->fd = -1;
    if (close(fd) != 0) return give_up(out, "close", err);
    if (rename(out->temp, out->path) != 0) return give_up(out, "rename", err);
    free(out->temp);
    out->temp = NULL; /* it is the target now: nothing to remove */
    if (!sync_folder(out->path)) return give_up(out, "sync the folder", err);
    tl_file_abort(out);
    return true;
}

bool tl_file_write(const char *path, const void *data, size_t n, struct tl_err *err)
{
    struct tl_file_out out;
    return tl_file_begin(&out, path, err) && tl_file_put(&out, data, n, err) && tl_file_commit(&out, err);
}

bool tl_file_make_folder(const char *path, struct tl_err *err)
{
    char *part = strdup(path);
    if (!part) return tl_err_set(err, TL_OUTPUT, "%s: out of memory", path);
    bool ok = *path != 0;
    if (!ok) errno = ENOENT;
    for (char *p = part; ok; p++) {
        if (*p && (*p != '/' || p == part)) continue;
        char keep = *p;
        *p = 0;
        if (mkdir(part, 0777) != 0 && !tl_file_is_folder(part)) {
            ok = false;
        } else {
            *p = keep;
            if (!keep) break;
        }
    }
    if (!ok) {
        int reason = errno;
        tl_err_set(err, TL_OUTPUT, "%s: cannot make the folder %s: %s%s", path, part, strerror(reason),
                   tl_file_advice(reason));
    }
    free(part);
    return ok;
}

/* ".tiller-PID-N.tmp" of a process that is no more: or of our own number, which is then an earlier one's. */
static bool is_leftover(const char *name)
{
    long pid = 0;
    unsigned number = 0;
    int n = 0;
    if (sscanf(name, ".tiller-%ld-%u.tmp%n", &pid, &number, &n) != 2 || n == 0 || name[n] || pid <= 0)
        return false;
    return pid == getpid() || (kill((pid_t)pid, 0) != 0 && errno == ESRCH);
}

void tl_file_remove_leftovers(const char *folder, int depth)
{
    struct tl_arena arena = {0};
    const char *const *names = NULL;
    size_t n = 0;
    if (!tl_file_list(folder, &arena, &names, &n, NULL)) n = 0;
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        const char *path = tl_path_join_in(&arena, folder, names[i]);
        if (!path || lstat(path, &st) != 0) continue;
        if (S_ISDIR(st.st_mode) && depth > 0) tl_file_remove_leftovers(path, depth - 1);
        if (S_ISREG(st.st_mode) && is_leftover(names[i])) unlink(path);
    }
    tl_arena_finish(&arena);
}

bool tl_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool tl_file_is_folder(const char *path)
{
    int kept = errno; /* so that it can be asked while an error is being told */
    struct stat st;
    bool yes = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    errno = kept;
    return yes;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool tl_file_list(const char *folder, struct tl_arena *arena, const char *const **out_names, size_t *out_n,
                  struct tl_err *err)
{
    DIR *dir = opendir(folder);
    if (!dir) return tl_err_set(err, TL_BAD_INPUT, "%s: cannot list: %s", folder, strerror(errno));
    const char **names = NULL;
    size_t n = 0, size = 0;
    bool ok = true;
    for (struct dirent *entry; ok && (errno = 0, entry = readdir(dir)) != NULL;) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (n == size) {
            size = size ? 2 * size : 64;
            const char **more = realloc(names, size * sizeof *names);
            if (!more) {
                errno = ENOMEM;
                break;
            }
            names = more;
        }
        ok = (names[n++] = tl_arena_strdup(arena, entry->d_name)) != NULL;
        if (!ok) errno = ENOMEM;
    }
    if (errno) {
        tl_err_set(err, TL_BAD_INPUT, "%s: cannot list: %s", folder, strerror(errno));
        ok = false;
    }
    closedir(dir);
    if (ok && n) {
        qsort(names, n, sizeof *names, by_bytes);
        *out_names = tl_arena_copy(arena, names, n * sizeof *names);
        ok = *out_names != NULL || tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", folder);
    } else if (ok) {
        *out_names = NULL;
    }
    *out_n = ok ? n : 0;
    free((void *)names);
    return ok;
}
