/* Python pickles as data. The machine imports nothing and calls nothing: a class or function is its name, a
 * call is the name with its arguments, and what a call would have done with state is dropped. The one thing
 * that is known by name is collections.OrderedDict, a dict.
 *
 * Protocols 2 to 5, without the text opcodes of protocol 0 and without extensions. Limits: 256 MiB, strings
 * 1 MiB, memo and stack 10 million entries, 20 million values. Everything made is bounded by the pickle's
 * length. Values may refer to each other in cycles: who walks them must look out. */
#ifndef TL_IO_PICKLE_H
#define TL_IO_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

enum { TL_PICKLE_MAX_BYTES = 256 << 20, TL_PICKLE_MAX_TEXT = 1 << 20 };

enum tl_pickle_kind {
    TL_PICKLE_NONE,
    TL_PICKLE_BOOL, /* integer: 0 or 1 */
    TL_PICKLE_INT,
    TL_PICKLE_LONG, /* beyond 64 bits: no value kept */
    TL_PICKLE_FLOAT,
    TL_PICKLE_TEXT,  /* bytes as they are: not checked to be UTF-8 */
    TL_PICKLE_BYTES, /* also of Python 3's bytes and bytearray */
    TL_PICKLE_TUPLE,
    TL_PICKLE_LIST,
    TL_PICKLE_SET,
    TL_PICKLE_DICT,   /* items are key, value, key, value ... */
    TL_PICKLE_NAME,   /* pair: module and name, both TEXT */
    TL_PICKLE_CALL,   /* pair: what is called (any kind) and its arguments */
    TL_PICKLE_PERSID, /* pair: the id, twice */
};

struct tl_pickle_value {
    uint8_t kind;
    bool walking; /* for those who walk: set while below this value */
    union {
        int64_t integer;
        double real;
        struct {
            const char *data; /* in the pickle: no NUL behind it */
            uint32_t len;
        } text;
        struct {
            uint32_t first, last, n; /* cells; `first` and `last` only where n > 0 */
        } items;
        uint32_t pair[2];
    };
};

struct tl_pickle_cell {
    uint32_t value, next;
};

/* Values are numbers: indices into `values`. A zeroed struct is empty. */
struct tl_pickle {
    struct tl_pickle_value *values; /* owns */
    struct tl_pickle_cell *cells;   /* owns */
    size_t n_values, n_cells, values_size, cells_size;
    uint32_t root;
};

/* Reads one pickle from the front of the bytes, which must outlive it; *out_used is its length. `what` names
 * the file. TL_BAD_INPUT; finish it in any case. */
bool tl_pickle_read(struct tl_pickle *p, const uint8_t *data, size_t n, const char *what, size_t *out_used,
                    struct tl_err *err);
void tl_pickle_finish(struct tl_pickle *p);

const struct tl_pickle_value *tl_pickle_at(const struct tl_pickle *p, uint32_t value);

/* Item i of a tuple or list that has more than i; slow for long ones. */
const struct tl_pickle_value *tl_pickle_item(const struct tl_pickle *p, const struct tl_pickle_value *v,
                                             uint32_t i);

bool tl_pickle_is_text(const struct tl_pickle_value *v, const char *text);
/* Whether it is the name of module.name. */
bool tl_pickle_is_name(const struct tl_pickle *p, const struct tl_pickle_value *v, const char *module,
                       const char *name);
/* The value of a text key; NULL where there is none. The last one counts, as in Python. */
const struct tl_pickle_value *tl_pickle_get(const struct tl_pickle *p, const struct tl_pickle_value *dict,
                                            const char *key);
/* For messages: "argparse.Namespace" of a call or a name, else the kind; returns out. */
char *tl_pickle_describe(const struct tl_pickle *p, const struct tl_pickle_value *v, char *out, size_t size);

#endif
