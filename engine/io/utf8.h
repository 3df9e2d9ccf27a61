/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef TL_IO_UTF8_H
#define TL_IO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the longest valid prefix: n where all of it is valid, else the offset of the first bad byte. */
size_t tl_utf8_prefix(const void *text, size_t n);

/* Decodes one character of valid text at p; returns the number of bytes. */
size_t tl_utf8_decode(const char *p, uint32_t *out_code);

/* Encodes a character (not a surrogate, <= U+10FFFF); returns the number of bytes, at most 4. */
size_t tl_utf8_encode(uint32_t code, char out[4]);

#endif
