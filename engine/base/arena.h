/* Arena: memory with one owner and one lifetime. Blocks grow; nothing is freed singly.
 * Not thread-safe. Allocation failure is reported as NULL, and an arena that failed once stays failed. */
#ifndef TL_BASE_ARENA_H
#define TL_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct tl_arena_block;
struct tl_arena {
    struct tl_arena_block *head; /* newest block; owns */
    size_t bytes;                /* handed out so far */
    bool failed;
};

/* A zeroed struct is a valid empty arena; finish on an empty one is fine. */
void tl_arena_finish(struct tl_arena *arena);

/* Zeroed memory, 64-byte aligned, valid until tl_arena_finish. n * size is checked. */
void *tl_arena_alloc(struct tl_arena *arena, size_t n, size_t size);

/* Copies of strings and bytes. */
char *tl_arena_strdup(struct tl_arena *arena, const char *text);
char *tl_arena_printf(struct tl_arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *tl_arena_copy(struct tl_arena *arena, const void *data, size_t bytes);

#endif
