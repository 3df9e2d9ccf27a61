#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { ALIGN = 64, BLOCK = 64 * 1024 };

struct tl_arena_block {
    struct tl_arena_block *next;
    size_t used, size; /* of the payload, which begins ALIGN bytes after this header */
};

void tl_arena_finish(struct tl_arena *arena)
{
    for (struct tl_arena_block *b = arena->head; b;) {
        struct tl_arena_block *next = b->next;
        free(b);
        b = next;
    }
    *arena = (struct tl_arena){0};
}

static struct tl_arena_block *block_create(size_t size)
{
    size_t total;
    if (!tl_checked_add(size, ALIGN, &total)) return NULL;
    struct tl_arena_block *b = aligned_alloc(ALIGN, total);
    if (!b) return NULL;
    b->next = NULL;
    b->used = 0;
    b->size = size;
    return b;
}

void *tl_arena_alloc(struct tl_arena *arena, size_t n, size_t size)
{
    size_t bytes;
    if (!tl_checked_mul(n, size, &bytes) || !tl_checked_align(bytes ? bytes : 1, ALIGN, &bytes)) goto fail;
    struct tl_arena_block *b = arena->head;
    if (!b || b->size - b->used < bytes) {
        b = block_create(bytes > BLOCK ? bytes : BLOCK);
        if (!b) goto fail;
        if (bytes > BLOCK &&
            arena->head) { /* a large block goes behind, so that the current one keeps filling */
            b->next = arena->head->next;
            arena->head->next = b;
        } else {
            b->next = arena->head;
            arena->head = b;
        }
    }
    void *p = (char *)b + ALIGN + b->used;
    b->used += bytes;
    arena->bytes += bytes;
    return memset(p, 0, bytes);
fail:
    arena->failed = true;
    return NULL;
}

void *tl_arena_copy(struct tl_arena *arena, const void *data, size_t bytes)
{
    void *p = tl_arena_alloc(arena, bytes, 1);
    if (p && bytes) memcpy(p, data, bytes);
    return p;
}

char *tl_arena_strdup(struct tl_arena *arena, const char *text)
{
    return tl_arena_copy(arena, text, strlen(text) + 1);
}

char *tl_arena_printf(struct tl_arena *arena, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *p = n < 0 ? NULL : tl_arena_alloc(arena, (size_t)n + 1, 1);
    if (p) vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}
