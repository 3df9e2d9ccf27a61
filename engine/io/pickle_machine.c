#include <stdlib.h>

#include "io/pickle_machine.h"

bool tl_pickle_bad(struct tl_pickle_machine *m, const char *why)
{
    return tl_err_set(m->err, TL_BAD_INPUT, "%s: its pickle, near byte %zu: %s", m->what, m->at, why);
}

void *tl_pickle_grown(struct tl_pickle_machine *m, void *array, size_t *size, size_t item)
{
    size_t more = *size ? 2 * *size : 64;
    void *data = realloc(array, more * item);
    if (!data) {
        tl_pickle_bad(m, "out of memory");
        return NULL;
    }
    *size = more;
    return data;
}

/* ---- bytes ---- */

const uint8_t *tl_pickle_take(struct tl_pickle_machine *m, uint64_t n)
{
    if (n > m->n - m->at) {
        tl_pickle_bad(m, "cut short");
        return NULL;
    }
    m->at += (size_t)n;
    return m->data + m->at - n;
}

/* A little-endian number of up to 8 bytes. */
bool tl_pickle_take_number(struct tl_pickle_machine *m, unsigned bytes, uint64_t *out)
{
    const uint8_t *p = tl_pickle_take(m, bytes);
    if (!p) return false;
    *out = 0;
    for (unsigned i = bytes; i-- > 0;) *out = *out << 8 | p[i];
    return true;
}

/* ---- the stack ---- */

bool tl_pickle_push(struct tl_pickle_machine *m, uint32_t value)
{
    if (m->n_stack >= TL_PICKLE_MAX_STACK)
        return tl_pickle_bad(m, "more than 10 million values on its stack");
    MAKE_ROOM(m, m->stack, m->stack_size, m->n_stack);
    m->stack[m->n_stack++] = value;
    return true;
}

bool tl_pickle_add(struct tl_pickle_machine *m, struct tl_pickle_value value, uint32_t *out)
{
    struct tl_pickle *p = m->p;
    if (p->n_values >= TL_PICKLE_MAX_VALUES) return tl_pickle_bad(m, "more than 20 million values");
    MAKE_ROOM(m, p->values, p->values_size, p->n_values);
    p->values[p->n_values] = value;
    *out = (uint32_t)p->n_values++;
    return true;
}

bool tl_pickle_push_new(struct tl_pickle_machine *m, struct tl_pickle_value value)
{
    uint32_t v = 0;
    return tl_pickle_add(m, value, &v) && tl_pickle_push(m, v);
}

bool tl_pickle_push_kind(struct tl_pickle_machine *m, enum tl_pickle_kind kind)
{
    return tl_pickle_push_new(m, (struct tl_pickle_value){.kind = (uint8_t)kind});
}

bool tl_pickle_push_int(struct tl_pickle_machine *m, enum tl_pickle_kind kind, int64_t integer)
{
    return tl_pickle_push_new(m, (struct tl_pickle_value){.kind = (uint8_t)kind, .integer = integer});
}

/* Height below which an opcode may not reach: the last mark's. */
size_t tl_pickle_floor_of(const struct tl_pickle_machine *m)
{
    return m->n_marks ? m->marks[m->n_marks - 1] : 0;
}

bool tl_pickle_pop(struct tl_pickle_machine *m, uint32_t *out)
{
    if (m->n_stack <= tl_pickle_floor_of(m)) return tl_pickle_bad(m, "a value is missing on its stack");
    *out = m->stack[--m->n_stack];
    return true;
}

bool tl_pickle_top(struct tl_pickle_machine *m, uint32_t *out)
{
    if (m->n_stack <= tl_pickle_floor_of(m)) return tl_pickle_bad(m, "a value is missing on its stack");
    *out = m->stack[m->n_stack - 1];
    return true;
}

/* Values above the last mark are stack[*out_from .. n_stack - 1]; the mark goes. */
bool tl_pickle_pop_mark(struct tl_pickle_machine *m, size_t *out_from)
{
    if (!m->n_marks) return tl_pickle_bad(m, "a mark is missing on its stack");
    *out_from = m->marks[--m->n_marks];
    return true;
}

bool tl_pickle_push_mark(struct tl_pickle_machine *m)
{
    MAKE_ROOM(m, m->marks, m->marks_size, m->n_marks);
    m->marks[m->n_marks++] = (uint32_t)m->n_stack;
    return true;
}

/* ---- containers ---- */

bool tl_pickle_append(struct tl_pickle_machine *m, uint32_t container, uint32_t value)
{
    struct tl_pickle *p = m->p;
    /* Each value on the stack is put away once, and once more by OrderedDict of pairs. */
    if (p->n_cells >= 2 * m->n) return tl_pickle_bad(m, "more items than it has bytes");
    MAKE_ROOM(m, p->cells, p->cells_size, p->n_cells);
    uint32_t cell = (uint32_t)p->n_cells++;
    struct tl_pickle_value *c = &p->values[container];
    p->cells[cell] = (struct tl_pickle_cell){.value = value, .next = TL_PICKLE_VOID};
    if (c->items.n++) {
        p->cells[c->items.last].next = cell;
    } else {
        c->items.first = cell;
    }
    c->items.last = cell;
    return true;
}

/* Moves stack[from ..] into the container, or drops it where that is the result of a call. */
static bool append_from(struct tl_pickle_machine *m, uint32_t container, size_t from)
{
    bool ok = true;
    for (size_t i = from; ok && i < m->n_stack && m->p->values[container].kind != TL_PICKLE_CALL; i++)
        ok = tl_pickle_append(m, container, m->stack[i]);
    m->n_stack = from;
    return ok;
}

static bool push_filled(struct tl_pickle_machine *m, enum tl_pickle_kind kind, size_t from)
{
    uint32_t v = 0;
    if (kind == TL_PICKLE_DICT && (m->n_stack - from) % 2) return tl_pickle_bad(m, "a key without its value");
    return tl_pickle_add(m, (struct tl_pickle_value){.kind = (uint8_t)kind}, &v) && append_from(m, v, from) &&
           tl_pickle_push(m, v);
}

bool tl_pickle_push_last(struct tl_pickle_machine *m, enum tl_pickle_kind kind, size_t n)
{
    if (m->n_stack - tl_pickle_floor_of(m) < n) return tl_pickle_bad(m, "a value is missing on its stack");
    return push_filled(m, kind, m->n_stack - n);
}

bool tl_pickle_push_marked(struct tl_pickle_machine *m, enum tl_pickle_kind kind)
{
    size_t from = 0;
    return tl_pickle_pop_mark(m, &from) && push_filled(m, kind, from);
}

/* Items go into the container below them. */
static bool extend(struct tl_pickle_machine *m, enum tl_pickle_kind kind, size_t from)
{
    if (from <= tl_pickle_floor_of(m)) return tl_pickle_bad(m, "a value is missing on its stack");
    uint32_t container = m->stack[from - 1];
    unsigned found = m->p->values[container].kind;
    if (found != kind && found != TL_PICKLE_CALL)
        return tl_pickle_bad(m, "items for something that takes none");
    if (kind == TL_PICKLE_DICT && (m->n_stack - from) % 2) return tl_pickle_bad(m, "a key without its value");
    return append_from(m, container, from);
}

bool tl_pickle_extend_last(struct tl_pickle_machine *m, enum tl_pickle_kind kind, size_t n)
{
    if (m->n_stack - tl_pickle_floor_of(m) < n) return tl_pickle_bad(m, "a value is missing on its stack");
    return extend(m, kind, m->n_stack - n);
}

bool tl_pickle_extend_marked(struct tl_pickle_machine *m, enum tl_pickle_kind kind)
{
    size_t from = 0;
    return tl_pickle_pop_mark(m, &from) && extend(m, kind, from);
}
