/* The stack machine that reads a pickle: a stack of values, marks in it, and a memo, as in CPython's
 * Lib/pickle.py. Inside of pickle_read.c. Fallible functions record an error of the file. */
#ifndef TL_IO_PICKLE_MACHINE_H
#define TL_IO_PICKLE_MACHINE_H

#include "io/pickle.h"

enum { TL_PICKLE_MAX_STACK = 10000000, TL_PICKLE_MAX_VALUES = 20000000, TL_PICKLE_VOID = UINT32_MAX };

struct tl_pickle_machine {
    struct tl_pickle *p;
    const uint8_t *data;
    size_t n, at;
    uint32_t *stack, *marks, *memo; /* own; a mark is the height of the stack below it */
    size_t n_stack, stack_size, n_marks, marks_size, n_memo, memo_size;
    const char *what;
    struct tl_err *err;
};

bool tl_pickle_bad(struct tl_pickle_machine *m, const char *why);
void *tl_pickle_grown(struct tl_pickle_machine *m, void *array, size_t *size, size_t item);

/* Room for one more in a growing array; returns from its caller where there is none. */
#define MAKE_ROOM(m, array, size, used)                                                                      \
    do {                                                                                                     \
        if ((used) < (size)) break;                                                                          \
        void *more_ = tl_pickle_grown(m, array, &(size), sizeof *(array));                                   \
        if (!more_) return false;                                                                            \
        (array) = more_;                                                                                     \
    } while (0)

/* ---- bytes ---- */

const uint8_t *tl_pickle_take(struct tl_pickle_machine *m, uint64_t n);
/* A little-endian number of up to 8 bytes. */
bool tl_pickle_take_number(struct tl_pickle_machine *m, unsigned bytes, uint64_t *out);

/* ---- the stack ---- */

/* Height below which an opcode may not reach: the last mark's. */
size_t tl_pickle_floor_of(const struct tl_pickle_machine *m);
bool tl_pickle_push(struct tl_pickle_machine *m, uint32_t value);
bool tl_pickle_pop(struct tl_pickle_machine *m, uint32_t *out);
bool tl_pickle_top(struct tl_pickle_machine *m, uint32_t *out);
bool tl_pickle_push_mark(struct tl_pickle_machine *m);
/* Values above the last mark are stack[*out_from .. n_stack - 1]; the mark goes. */
bool tl_pickle_pop_mark(struct tl_pickle_machine *m, size_t *out_from);

/* A new value, kept or pushed too. */
bool tl_pickle_add(struct tl_pickle_machine *m, struct tl_pickle_value value, uint32_t *out);
bool tl_pickle_push_new(struct tl_pickle_machine *m, struct tl_pickle_value value);
bool tl_pickle_push_kind(struct tl_pickle_machine *m, enum tl_pickle_kind kind);
bool tl_pickle_push_int(struct tl_pickle_machine *m, enum tl_pickle_kind kind, int64_t integer);

/* ---- containers ---- */

bool tl_pickle_append(struct tl_pickle_machine *m, uint32_t container, uint32_t value);
/* A new one of the values above the last mark, or of the last n. */
bool tl_pickle_push_marked(struct tl_pickle_machine *m, enum tl_pickle_kind kind);
bool tl_pickle_push_last(struct tl_pickle_machine *m, enum tl_pickle_kind kind, size_t n);
/* The values above the last mark, or the last n, go into the container below them. */
bool tl_pickle_extend_marked(struct tl_pickle_machine *m, enum tl_pickle_kind kind);
bool tl_pickle_extend_last(struct tl_pickle_machine *m, enum tl_pickle_kind kind, size_t n);

#endif
