/* Pickles and checkpoints by hand: what torch.save would never write. */
#ifndef TL_TESTS_SUPPORT_PICKLE_H
#define TL_TESTS_SUPPORT_PICKLE_H

#include "io/support_io.h"

#include "base/str.h"

/* Opcodes as bytes, with these escapes, so that a pickle reads like pickletools.dis:
 *   'text'   BINUNICODE of the text        #123   BININT
 *   @a.b     GLOBAL of module a, name b (up to a blank)      blanks are skipped
 *   anything else is the opcode of that character; \xNN bytes may follow. PROTO 2 comes first. */
void pickle_ops(struct tl_str *out, const char *ops);

/* A tensor of the storage KEY: type is "FloatStorage", shape and stride are tuples as ops: "(#2#3t". */
void pickle_tensor(struct tl_str *out, const char *type, const char *key, int numel, int offset,
                   const char *shape, const char *stride);

/* A zip layout file of the pickle and one storage "0" of n bytes (none where data is NULL). */
const char *pickle_put(const char *name, const struct tl_str *pickle, const void *data, size_t n);

#endif
