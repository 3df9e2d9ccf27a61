/* A file mapped read-only. Do not shorten it while it is mapped; writers of this program replace files. */
#ifndef TL_IO_MAP_H
#define TL_IO_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

struct tl_map {
    const uint8_t *data; /* NULL in an empty one */
    size_t n;
};

/* Plain files only; an empty one gives n 0 and a data that may not be read. TL_BAD_INPUT. */
bool tl_map_open(struct tl_map *map, const char *path, struct tl_err *err);
void tl_map_close(struct tl_map *map);

/* What was read need not stay in memory; it is read again when it is asked for. */
void tl_map_let_go(const struct tl_map *map);

#endif
