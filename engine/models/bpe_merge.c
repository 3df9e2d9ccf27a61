/* Merging the symbols of one piece: a linked list of symbols and a heap of the pairs that have a rank, the
 * lowest rank first, the leftmost of equal ones: n log n, so that a prompt of one endless word costs little.
 */
#include "models/bpe.h"

#include <stdlib.h>

#include "base/checked.h"

enum { NONE = -1 };

struct symbol {
    int32_t id, prev, next; /* positions, NONE at the ends */
    bool gone;              /* part of the symbol on its left */
};

struct pair {
    int32_t rank, at; /* at: position of the left symbol */
};

struct tl_bpe_scratch {
    struct symbol *symbols;
    struct pair *heap;
    size_t size, n_heap; /* size: of both, the heap has three times that */
};

struct tl_bpe_scratch *tl_bpe_scratch_new(void)
{
    return calloc(1, sizeof(struct tl_bpe_scratch));
}

void tl_bpe_scratch_free(struct tl_bpe_scratch *scratch)
{
    if (!scratch) return;
    free(scratch->symbols);
    free(scratch->heap);
    free(scratch);
}

/* n symbols give at most n - 1 pairs at first, and each of at most n - 1 merges makes two more. */
static bool reserve(struct tl_bpe_scratch *s, size_t n)
{
    if (n <= s->size) return true;
    size_t bytes;
    if (n > INT32_MAX / 4 || !tl_checked_mul(n, 3 * sizeof *s->heap, &bytes)) return false;
    struct symbol *symbols = realloc(s->symbols, n * sizeof *symbols);
    if (!symbols) return false;
    s->symbols = symbols;
    struct pair *heap = realloc(s->heap, bytes);
    if (!heap) return false;
    s->heap = heap;
    s->size = n;
    return true;
}

static bool before(struct pair a, struct pair b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static void heap_push(struct tl_bpe_scratch *s, struct pair pair)
{
    size_t i = s->n_heap++;
    for (; i > 0 && before(pair, s->heap[(i - 1) / 2]); i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = pair;
}

static struct pair heap_pop(struct tl_bpe_scratch *s)
{
    struct pair top = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->n_heap) break;
        if (child + 1 < s->n_heap && before(s->heap[child + 1], s->heap[child])) child++;
        if (!before(s->heap[child], last)) break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

static int32_t rank_at(const struct tl_bpe *tok, const struct tl_bpe_scratch *s, int32_t at)
{
    const struct symbol *left = &s->symbols[at];
    return left->gone || left->next == NONE ? NONE
                                            : tl_bpe_find_merge(tok, left->id, s->symbols[left->next].id);
}

static void offer(const struct tl_bpe *tok, struct tl_bpe_scratch *s, int32_t at)
{
    int32_t rank = at == NONE ? NONE : rank_at(tok, s, at);
    if (rank != NONE) heap_push(s, (struct pair){rank, at});
}

/* The symbol at `at` takes in the one on its right. */
static void join(const struct tl_bpe *tok, struct tl_bpe_scratch *s, struct pair pair)
{
    struct symbol *left = &s->symbols[pair.at], *right = &s->symbols[left->next];
    left->id = tok->merges[pair.rank].result;
    left->next = right->next;
    right->gone = true;
    if (left->next != NONE) s->symbols[left->next].prev = pair.at;
    offer(tok, s, left->prev);
    offer(tok, s, pair.at);
}

bool tl_bpe_ids_push(struct tl_bpe_ids *out, int32_t id, struct tl_err *err)
{
    if (out->n == out->size) {
        size_t size = out->size ? 2 * out->size : 64, bytes;
        int32_t *ids = tl_checked_mul(size, sizeof *ids, &bytes) ? realloc(out->ids, bytes) : NULL;
        if (!ids) return tl_err_set(err, TL_FAIL, "out of memory for token ids");
        out->ids = ids;
        out->size = size;
    }
    out->ids[out->n++] = id;
    return true;
}

bool tl_bpe_merge_piece(const struct tl_bpe *tok, struct tl_bpe_scratch *s, const char *piece, size_t n,
                        struct tl_bpe_ids *out, struct tl_err *err)
{
    if (!reserve(s, n)) return tl_err_set(err, TL_FAIL, "out of memory for a word of %zu bytes", n);
    s->n_heap = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)piece[i];
        bool last = i + 1 == n;
        s->symbols[i] = (struct symbol){.id = last ? tok->ending[byte] : tok->plain[byte],
                                        .prev = (int32_t)i - 1,
                                        .next = last ? NONE : (int32_t)i + 1};
    }
    for (size_t i = 0; i + 1 < n; i++) offer(tok, s, (int32_t)i);
    while (s->n_heap > 0) {
        struct pair pair = heap_pop(s);
        if (rank_at(tok, s, pair.at) == pair.rank) join(tok, s, pair); /* else one side has merged since */
    }
    for (int32_t at = n ? 0 : NONE; at != NONE; at = s->symbols[at].next)
        if (!tl_bpe_ids_push(out, s->symbols[at].id, err)) return false;
    return true;
}
