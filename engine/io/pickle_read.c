/* The opcodes. */
#include <stdlib.h>
#include <string.h>

#include "io/pickle_machine.h"

/* ---- texts and numbers ---- */

static bool push_text(struct tl_pickle_machine *m, enum tl_pickle_kind kind, unsigned length_bytes)
{
    uint64_t len = 0;
    if (!tl_pickle_take_number(m, length_bytes, &len)) return false;
    if (kind == TL_PICKLE_TEXT && len > TL_PICKLE_MAX_TEXT)
        return tl_pickle_bad(m, "a string of more than 1 MiB");
    const uint8_t *data = tl_pickle_take(m, len);
    return data &&
           tl_pickle_push_new(m, (struct tl_pickle_value){.kind = (uint8_t)kind,
                                                          .text = {(const char *)data, (uint32_t)len}});
}

static bool push_long(struct tl_pickle_machine *m, unsigned length_bytes)
{
    uint64_t len, bits = 0;
    if (!tl_pickle_take_number(m, length_bytes, &len)) return false;
    const uint8_t *p = tl_pickle_take(m, len);
    if (!p) return false;
    if (len > 8) return tl_pickle_push_kind(m, TL_PICKLE_LONG);
    for (size_t i = (size_t)len; i-- > 0;) bits = bits << 8 | p[i];
    if (len && len < 8 && p[len - 1] & 0x80) bits |= UINT64_MAX << 8 * len;
    return tl_pickle_push_int(m, TL_PICKLE_INT, (int64_t)bits);
}

static bool push_float(struct tl_pickle_machine *m)
{
    const uint8_t *p = tl_pickle_take(m, 8); /* big-endian, unlike all the rest */
    uint64_t bits = 0;
    struct tl_pickle_value v = {.kind = TL_PICKLE_FLOAT};
    if (!p) return false;
    for (int i = 0; i < 8; i++) bits = bits << 8 | p[i];
    memcpy(&v.real, &bits, sizeof bits);
    return tl_pickle_push_new(m, v);
}

/* ---- names, calls, memo ---- */

static bool take_line(struct tl_pickle_machine *m, uint32_t *out)
{
    const uint8_t *begin = m->data + m->at, *end = memchr(begin, '\n', m->n - m->at);
    if (!end) return tl_pickle_bad(m, "cut short");
    if (end - begin > 4096) return tl_pickle_bad(m, "a name of more than 4096 bytes");
    m->at += (size_t)(end - begin) + 1;
    return tl_pickle_add(m,
                         (struct tl_pickle_value){.kind = TL_PICKLE_TEXT,
                                                  .text = {(const char *)begin, (uint32_t)(end - begin)}},
                         out);
}

static bool push_pair(struct tl_pickle_machine *m, enum tl_pickle_kind kind, uint32_t a, uint32_t b)
{
    return tl_pickle_push_new(m, (struct tl_pickle_value){.kind = (uint8_t)kind, .pair = {a, b}});
}

static bool push_name(struct tl_pickle_machine *m, bool from_stack)
{
    uint32_t module = 0, name = 0;
    bool ok = from_stack ? tl_pickle_pop(m, &name) && tl_pickle_pop(m, &module)
                         : take_line(m, &module) && take_line(m, &name);
    if (!ok) return false;
    if (m->p->values[module].kind != TL_PICKLE_TEXT || m->p->values[name].kind != TL_PICKLE_TEXT)
        return tl_pickle_bad(m, "a name that is no string");
    return push_pair(m, TL_PICKLE_NAME, module, name);
}

/* OrderedDict([(key, value), ...]), as Python 2 wrote it. */
static bool push_pairs(struct tl_pickle_machine *m, uint32_t list)
{
    struct tl_pickle *p = m->p;
    uint32_t dict = 0, cell = p->values[list].items.first, n = p->values[list].items.n;
    if (!tl_pickle_add(m, (struct tl_pickle_value){.kind = TL_PICKLE_DICT}, &dict)) return false;
    for (uint32_t i = 0; i < n; i++) {
        struct tl_pickle_value pair = p->values[p->cells[cell].value];
        if ((pair.kind != TL_PICKLE_TUPLE && pair.kind != TL_PICKLE_LIST) || pair.items.n != 2)
            return tl_pickle_bad(m, "an OrderedDict of something other than pairs");
        struct tl_pickle_cell key = p->cells[pair.items.first];
        if (!tl_pickle_append(m, dict, key.value) || !tl_pickle_append(m, dict, p->cells[key.next].value))
            return false;
        cell = p->cells[cell].next;
    }
    return tl_pickle_push(m, dict);
}

static bool push_call(struct tl_pickle_machine *m)
{
    struct tl_pickle *p = m->p;
    uint32_t callee = 0, args = 0;
    if (!tl_pickle_pop(m, &args) || !tl_pickle_pop(m, &callee)) return false;
    const struct tl_pickle_value *a = &p->values[args];
    if (tl_pickle_is_name(p, &p->values[callee], "collections", "OrderedDict") &&
        a->kind == TL_PICKLE_TUPLE) {
        if (!a->items.n) return tl_pickle_push_kind(m, TL_PICKLE_DICT);
        uint32_t first = p->cells[a->items.first].value;
        if (a->items.n == 1 && p->values[first].kind == TL_PICKLE_LIST) return push_pairs(m, first);
    }
    return push_pair(m, TL_PICKLE_CALL, callee, args);
}

static bool put_memo(struct tl_pickle_machine *m, uint64_t index)
{
    uint32_t v = 0;
    if (!tl_pickle_top(m, &v)) return false;
    /* Writers number from 0, so that an index is less than the length of what was read. */
    if (index >= TL_PICKLE_MAX_STACK || index >= m->n)
        return tl_pickle_bad(m, "a memo index beyond all values");
    while (m->n_memo <= index) {
        MAKE_ROOM(m, m->memo, m->memo_size, m->n_memo);
        m->memo[m->n_memo++] = TL_PICKLE_VOID;
    }
    m->memo[index] = v;
    return true;
}

static bool get_memo(struct tl_pickle_machine *m, uint64_t index)
{
    if (index >= m->n_memo || m->memo[index] == TL_PICKLE_VOID)
        return tl_pickle_bad(m, "a memo index that was never stored");
    return tl_pickle_push(m, m->memo[index]);
}

static bool put_memo_from(struct tl_pickle_machine *m, unsigned bytes)
{
    uint64_t index = 0;
    return tl_pickle_take_number(m, bytes, &index) && put_memo(m, index);
}

static bool get_memo_from(struct tl_pickle_machine *m, unsigned bytes)
{
    uint64_t index = 0;
    return tl_pickle_take_number(m, bytes, &index) && get_memo(m, index);
}

static bool push_uint(struct tl_pickle_machine *m, unsigned bytes)
{
    uint64_t v = 0;
    return tl_pickle_take_number(m, bytes, &v) && tl_pickle_push_int(m, TL_PICKLE_INT, (int64_t)v);
}

static bool drop(struct tl_pickle_machine *m)
{
    uint32_t v = 0;
    /* In CPython POP takes a mark where one is on top. */
    if (m->n_marks && m->n_stack == tl_pickle_floor_of(m)) return m->n_marks--, true;
    return tl_pickle_pop(m, &v);
}

static bool drop_marked(struct tl_pickle_machine *m)
{
    size_t from = 0;
    if (!tl_pickle_pop_mark(m, &from)) return false;
    m->n_stack = from;
    return true;
}

/* cls, args, kwargs -> a call. */
static bool push_new_object(struct tl_pickle_machine *m)
{
    uint32_t kwargs;
    return tl_pickle_pop(m, &kwargs) && push_call(m);
}

static bool push_persid(struct tl_pickle_machine *m)
{
    uint32_t v = 0;
    return tl_pickle_pop(m, &v) && push_pair(m, TL_PICKLE_PERSID, v, v);
}

static bool duplicate(struct tl_pickle_machine *m)
{
    uint32_t v = 0;
    return tl_pickle_top(m, &v) && tl_pickle_push(m, v);
}

/* State is for objects; OrderedDict's is _metadata. */
static bool build(struct tl_pickle_machine *m)
{
    uint32_t state, object;
    return tl_pickle_pop(m, &state) && tl_pickle_top(m, &object);
}

static bool check_protocol(struct tl_pickle_machine *m)
{
    uint64_t v = 0;
    if (!tl_pickle_take_number(m, 1, &v)) return false;
    return v <= 5 || tl_pickle_bad(m, "a protocol above 5");
}

static bool check_frame(struct tl_pickle_machine *m)
{
    uint64_t len = 0;
    if (!tl_pickle_take_number(m, 8, &len)) return false;
    return len <= m->n - m->at || tl_pickle_bad(m, "cut short");
}

static bool push_bin_int(struct tl_pickle_machine *m)
{
    uint64_t v = 0;
    return tl_pickle_take_number(m, 4, &v) && tl_pickle_push_int(m, TL_PICKLE_INT, (int32_t)(uint32_t)v);
}

static bool unknown(struct tl_pickle_machine *m, unsigned op)
{
    return tl_err_set(m->err, TL_BAD_INPUT,
                      "%s: its pickle, near byte %zu: opcode 0x%02x is none that a checkpoint needs", m->what,
                      m->at, op);
}

/* One opcode but STOP; names of Lib/pickle.py beside them. */
static bool step(struct tl_pickle_machine *m, uint8_t op)
{
    switch (op) {
    case 0x80:
        return check_protocol(m); /* PROTO */
    case 0x95:
        return check_frame(m); /* FRAME */
    case '(':
        return tl_pickle_push_mark(m); /* MARK */
    case '0':
        return drop(m); /* POP */
    case '1':
        return drop_marked(m); /* POP_MARK */
    case '2':
        return duplicate(m); /* DUP */
    case 'N':
        return tl_pickle_push_kind(m, TL_PICKLE_NONE); /* NONE */
    case 0x88:
        return tl_pickle_push_int(m, TL_PICKLE_BOOL, 1); /* NEWTRUE */
    case 0x89:
        return tl_pickle_push_int(m, TL_PICKLE_BOOL, 0); /* NEWFALSE */
    case 'J':
        return push_bin_int(m); /* BININT */
    case 'K':
        return push_uint(m, 1); /* BININT1 */
    case 'M':
        return push_uint(m, 2); /* BININT2 */
    case 0x8a:
        return push_long(m, 1); /* LONG1 */
    case 0x8b:
        return push_long(m, 4); /* LONG4 */
    case 'G':
        return push_float(m); /* BINFLOAT */
    case 'X':
        return push_text(m, TL_PICKLE_TEXT, 4); /* BINUNICODE */
    case 0x8c:
        return push_text(m, TL_PICKLE_TEXT, 1); /* SHORT_BINUNICODE */
    case 0x8d:
        return push_text(m, TL_PICKLE_TEXT, 8); /* BINUNICODE8 */
    case 'U':
        return push_text(m, TL_PICKLE_TEXT, 1); /* SHORT_BINSTRING */
    case 'T':
        return push_text(m, TL_PICKLE_TEXT, 4); /* BINSTRING */
    case 'C':
        return push_text(m, TL_PICKLE_BYTES, 1); /* SHORT_BINBYTES */
    case 'B':
        return push_text(m, TL_PICKLE_BYTES, 4); /* BINBYTES */
    case 0x8e:
        return push_text(m, TL_PICKLE_BYTES, 8); /* BINBYTES8 */
    case 0x96:
        return push_text(m, TL_PICKLE_BYTES, 8); /* BYTEARRAY8 */
    case ')':
        return tl_pickle_push_kind(m, TL_PICKLE_TUPLE); /* EMPTY_TUPLE */
    case 't':
        return tl_pickle_push_marked(m, TL_PICKLE_TUPLE); /* TUPLE */
    case 0x85:
        return tl_pickle_push_last(m, TL_PICKLE_TUPLE, 1); /* TUPLE1 */
    case 0x86:
        return tl_pickle_push_last(m, TL_PICKLE_TUPLE, 2); /* TUPLE2 */
    case 0x87:
        return tl_pickle_push_last(m, TL_PICKLE_TUPLE, 3); /* TUPLE3 */
    case ']':
        return tl_pickle_push_kind(m, TL_PICKLE_LIST); /* EMPTY_LIST */
    case 'l':
        return tl_pickle_push_marked(m, TL_PICKLE_LIST); /* LIST */
    case 'a':
        return tl_pickle_extend_last(m, TL_PICKLE_LIST, 1); /* APPEND */
    case 'e':
        return tl_pickle_extend_marked(m, TL_PICKLE_LIST); /* APPENDS */
    case 0x8f:
        return tl_pickle_push_kind(m, TL_PICKLE_SET); /* EMPTY_SET */
    case 0x90:
        return tl_pickle_extend_marked(m, TL_PICKLE_SET); /* ADDITEMS */
    case 0x91:
        return tl_pickle_push_marked(m, TL_PICKLE_SET); /* FROZENSET */
    case '}':
        return tl_pickle_push_kind(m, TL_PICKLE_DICT); /* EMPTY_DICT */
    case 'd':
        return tl_pickle_push_marked(m, TL_PICKLE_DICT); /* DICT */
    case 's':
        return tl_pickle_extend_last(m, TL_PICKLE_DICT, 2); /* SETITEM */
    case 'u':
        return tl_pickle_extend_marked(m, TL_PICKLE_DICT); /* SETITEMS */
    case 'c':
        return push_name(m, false); /* GLOBAL */
    case 0x93:
        return push_name(m, true); /* STACK_GLOBAL */
    case 'R':
        return push_call(m); /* REDUCE */
    case 0x81:
        return push_call(m); /* NEWOBJ */
    case 0x92:
        return push_new_object(m); /* NEWOBJ_EX */
    case 'b':
        return build(m); /* BUILD */
    case 'Q':
        return push_persid(m); /* BINPERSID */
    case 'q':
        return put_memo_from(m, 1); /* BINPUT */
    case 'r':
        return put_memo_from(m, 4); /* LONG_BINPUT */
    case 'h':
        return get_memo_from(m, 1); /* BINGET */
    case 'j':
        return get_memo_from(m, 4); /* LONG_BINGET */
    case 0x94:
        return put_memo(m, m->n_memo); /* MEMOIZE */
    default:
        return unknown(m, op);
    }
}

static bool run(struct tl_pickle_machine *m)
{
    for (;;) {
        const uint8_t *op = tl_pickle_take(m, 1);
        if (!op) return false;
        if (*op == '.') return tl_pickle_pop(m, &m->p->root); /* STOP */
        if (!step(m, *op)) return false;
    }
}

bool tl_pickle_read(struct tl_pickle *p, const uint8_t *data, size_t n, const char *what, size_t *out_used,
                    struct tl_err *err)
{
    *p = (struct tl_pickle){0};
    /* A file's rest may be larger than the pickle at its front. */
    struct tl_pickle_machine m = {.p = p,
                                  .data = data,
                                  .n = n < TL_PICKLE_MAX_BYTES ? n : TL_PICKLE_MAX_BYTES,
                                  .what = what,
                                  .err = err};
    bool ok = n >= 2 && data[0] == 0x80
                  ? run(&m)
                  : tl_pickle_bad(&m, "it does not begin as a pickle of protocol 2 to 5");
    free(m.stack);
    free(m.marks);
    free(m.memo);
    *out_used = m.at;
    return ok;
}
