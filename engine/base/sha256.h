/* SHA-256 (FIPS 180-4) of bytes and of files: manifests, weight hashes. */
#ifndef TL_BASE_SHA256_H
#define TL_BASE_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

struct tl_sha256 {
    uint32_t h[8];
    uint64_t bytes;
    uint8_t block[64];
};

void tl_sha256_init(struct tl_sha256 *s);
void tl_sha256_add(struct tl_sha256 *s, const void *data, size_t n);
void tl_sha256_hex(struct tl_sha256 *s, char out[65]); /* ends the hash */

bool tl_sha256_file(const char *path, char out[65], struct tl_err *err);
/* The same, but TL_INTERRUPTED as soon as the job is asked to stop (tl_interrupt_check of `doing`). */
bool tl_sha256_file_while(const char *path, const char *doing, char out[65], struct tl_err *err);

#endif
