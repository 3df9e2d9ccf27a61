/* Reading what stands behind a reward's name. */
#ifndef TL_REWARDS_SPEC_H
#define TL_REWARDS_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

/* A decimal number, all n bytes of it, '.' in any locale. May be infinite where it is too large. */
bool tl_spec_number(const char *text, size_t n, double *out);

/* A last ",KEY=VALUE" of an argument, KEY of letters, '_' and '-'. Bytes in front of the comma; value NULL
 * where there is none. TL_USAGE where KEY is another than `key`: a folder that has such a name is refused. */
struct tl_spec_setting {
    size_t n_before;
    const char *value;
};
bool tl_spec_setting(const char *arg, const char *key, struct tl_spec_setting *out, struct tl_err *err);

#endif
