/* A keeper lives as long as its program. Whatever the caller had in memory at the fork would stay there twice
 * as soon as the caller writes to it: weights, activations, gigabytes. So the large pieces are dropped. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rewards/exec_keeper.h"

#if defined(__SANITIZE_ADDRESS__)

/* Its shadow is such a piece. */
void tl_exec_shed_memory(void)
{
}

#else

/* Small pieces are kept, and both ends of the large ones: the system joins neighbours, and a library's zeroed
 * data or a thread's own may stand at an end. */
enum { LEAST = 16 << 20, MARGIN = 1 << 20 };

static bool read_hex(const char **at, uintptr_t *out)
{
    const char *start = *at;
    for (*out = 0;; (*at)++) {
        char c = **at;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) return *at > start;
        *out = *out << 4 | (unsigned)digit;
    }
}

static void drop(uintptr_t low, uintptr_t high)
{
    if (high > low && high - low >= MARGIN) madvise((void *)low, high - low, MADV_DONTNEED);
}

/* A line of /proc/self/maps: "start-end rw-p 00000000 00:00 0   [heap]". */
static void drop_line(const char *line)
{
    char here;
    uintptr_t low, high, stack = (uintptr_t)&here, own = (uintptr_t)&errno;
    if (!read_hex(&line, &low) || *line++ != '-' || !read_hex(&line, &high)) return;
    static const char kind[] = " rw-p 00000000 00:00 0";
    for (size_t i = 0; kind[i]; i++)
        if (line[i] != kind[i]) return;
    if (high - low < LEAST || (stack >= low && stack < high)) return;
    low += MARGIN;
    high -= MARGIN;
    if (own >= low && own < high) {
        drop(low, own > low + MARGIN ? own - MARGIN : low);
        low = own + MARGIN;
    }
    const uintptr_t page = 65536; /* a multiple of every page size in use */
    drop((low + page - 1) & ~(page - 1), high & ~(page - 1));
}

void tl_exec_shed_memory(void)
{
    char line[512], bytes[4096];
    size_t n_line = 0;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    for (ssize_t n; fd >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0;) {
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] != '\n') {
                if (n_line + 1 < sizeof line) line[n_line++] = bytes[i];
                continue;
            }
            line[n_line] = 0;
            n_line = 0;
            drop_line(line);
        }
    }
    if (fd >= 0) close(fd);
}

#endif
