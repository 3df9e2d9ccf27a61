/* A preloaded library that makes a program's calls that change the disk fail, one at a time.
 *
 *     FAULT_FOLDER   calls that touch a path below this absolute folder are counted, from 1
 *     FAULT_AT       the number of the call that fails; unset: none
 *     FAULT_HOW      ENOSPC, EIO, or KILL: the process dies by SIGKILL in the middle of the call
 *     FAULT_STICKY   set: every later call fails as well, as on a disk that stays full
 *     FAULT_LOG      a file to which each counted call adds a line: number, name, path
 *
 * Counted are write, pwrite, fsync, fdatasync, open with O_CREAT, mkdir, rename, ftruncate and close. A write
 * that fails or dies has written half of its bytes. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *folder;
static size_t folder_length;
static long fault_at = -1;
static int reason;
static bool kills, is_sticky;
static int log_fd = -1;
static atomic_long count;

__attribute__((constructor)) static void read_environment(void)
{
    const char *at = getenv("FAULT_AT"), *how = getenv("FAULT_HOW"), *log = getenv("FAULT_LOG");
    folder = getenv("FAULT_FOLDER");
    folder_length = folder ? strlen(folder) : 0;
    if (at) fault_at = strtol(at, NULL, 10);
    kills = how && strcmp(how, "KILL") == 0;
    reason = how && strcmp(how, "EIO") == 0 ? EIO : ENOSPC;
    is_sticky = getenv("FAULT_STICKY") != NULL;
    if (log)
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log_fd >= 0 && log_fd < 3) log_fd = -1; /* would be taken for a standard stream */
}

static bool is_inside(const char *path)
{
    char full[2 * PATH_MAX];
    if (!folder || !path) return false;
    if (path[0] != '/') {
        if (!getcwd(full, PATH_MAX)) return false;
        size_t n = strlen(full);
        snprintf(full + n, sizeof full - n, "/%s", path);
        path = full;
    }
    return strncmp(path, folder, folder_length) == 0 && (path[folder_length] == '/' || !path[folder_length]);
}

/* The path behind a descriptor; "" where there is none. */
static const char *path_of(int fd, char out[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = 0;
    return out;
}

/* Counts a call; whether it is to fail. */
static bool fails(const char *name, const char *path)
{
    if (!is_inside(path)) return false;
    long k = atomic_fetch_add(&count, 1) + 1;
    if (log_fd >= 0) {
        char line[PATH_MAX + 64];
        int n = snprintf(line, sizeof line, "%ld %s %s\n", k, name, path);
        if (n > 0) syscall(SYS_write, log_fd, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    }
    return k == fault_at || (is_sticky && fault_at > 0 && k > fault_at);
}

static int fail(void)
{
    if (kills) kill(getpid(), SIGKILL);
    errno = reason;
    return -1;
}

#define REAL(name)                                                                                           \
    __typeof__(&name) real;                                                                                  \
    *(void **)&real = dlsym(RTLD_NEXT, #name) /* as POSIX has it */

ssize_t write(int fd, const void *data, size_t n)
{
    char path[PATH_MAX];
    REAL(write);
    if (fd == log_fd || !fails("write", path_of(fd, path))) return real(fd, data, n);
    if (n > 1) (void)!real(fd, data, n / 2);
    return fail();
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    char path[PATH_MAX];
    REAL(pwrite);
    if (!fails("pwrite", path_of(fd, path))) return real(fd, data, n, at);
    if (n > 1) (void)!real(fd, data, n / 2, at);
    return fail();
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    return pwrite(fd, data, n, at);
}

int fsync(int fd)
{
    char path[PATH_MAX];
    REAL(fsync);
    return fails("fsync", path_of(fd, path)) ? fail() : real(fd);
}

int fdatasync(int fd)
{
    char path[PATH_MAX];
    REAL(fdatasync);
    return fails("fdatasync", path_of(fd, path)) ? fail() : real(fd);
}

int ftruncate(int fd, off_t size)
{
    char path[PATH_MAX];
    REAL(ftruncate);
    return fails("ftruncate", path_of(fd, path)) ? fail() : real(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

/* The descriptor is gone all the same, as Linux has it. Only those that may have been written to count. */
int close(int fd)
{
    char path[PATH_MAX];
    REAL(close);
    int flags = fcntl(fd, F_GETFL);
    bool bad = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && fails("close", path_of(fd, path));
    int result = real(fd);
    return bad ? fail() : result;
}

static int open_with(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode)
{
    return (flags & O_CREAT) && fails("open", path) ? fail() : real(path, flags, mode);
}

#define MODE_OF(flags)                                                                                       \
    mode_t mode = 0;                                                                                         \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                   \
        va_list args;                                                                                        \
        va_start(args, flags);                                                                               \
        mode = (mode_t)va_arg(args, unsigned);                                                               \
        va_end(args);                                                                                        \
    }

int open(const char *path, int flags, ...)
{
    REAL(open);
    MODE_OF(flags)
    return open_with(real, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    REAL(open64);
    MODE_OF(flags)
    return open_with(real, path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir);
    return fails("mkdir", path) ? fail() : real(path, mode);
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    return fails("rename", to) ? fail() : real(from, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    REAL(renameat2);
    return fails("rename", to) ? fail() : real(from_fd, from, to_fd, to, flags);
}
