#include "io/map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool tl_map_open(struct tl_map *map, const char *path, struct tl_err *err)
{
    struct stat st = {0};
    *map = (struct tl_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait for its writer */
    if (fd < 0 || fstat(fd, &st) != 0) {
        tl_err_set(err, TL_BAD_INPUT, "%s: cannot open: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        tl_err_set(err, TL_BAD_INPUT, "%s: is not a plain file", path);
    } else if ((uint64_t)st.st_size > SIZE_MAX) {
        tl_err_set(err, TL_BAD_INPUT, "%s: too large for this machine's addresses", path);
    } else if (st.st_size == 0) {
        map->data = (const uint8_t *)"";
    } else {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            tl_err_set(err, TL_BAD_INPUT, "%s: cannot map: %s", path, strerror(errno));
        } else {
            *map = (struct tl_map){.data = data, .n = (size_t)st.st_size};
        }
    }
    if (fd >= 0) close(fd);
    return map->data != NULL;
}

void tl_map_close(struct tl_map *map)
{
    if (map->n) munmap((void *)(uintptr_t)map->data, map->n);
    *map = (struct tl_map){0};
}

void tl_map_let_go(const struct tl_map *map)
{
    /* A private mapping that nobody writes to: dropped pages come back from the file. */
    if (map->n) (void)madvise((void *)(uintptr_t)map->data, map->n, MADV_DONTNEED);
}
