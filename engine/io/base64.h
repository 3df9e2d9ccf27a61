/* Base64 as RFC 4648 has it: data URIs, hashes in content policies. */
#ifndef TL_IO_BASE64_H
#define TL_IO_BASE64_H

#include "base/str.h"

/* Appends the n bytes, padded, on one line. */
void tl_base64_append(struct tl_str *out, const void *bytes, size_t n);

#endif
