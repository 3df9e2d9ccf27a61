/* The file form of a pipeline cache: our own header (hash, driver's identity, length) in front of the
 * driver's bytes. A file is input like any other: whatever does not match is not read. */
#ifndef TL_GPU_CACHE_FILE_H
#define TL_GPU_CACHE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "gpu/gpu_context.h"

/* The payload of a file that this very driver wrote and nobody damaged; else NULL. The caller frees. */
void *tl_gpu_cache_file_read(const struct tl_gpu_facts *facts, const char *path, size_t *out_bytes);

/* Writes beside and renames. */
bool tl_gpu_cache_file_write(const struct tl_gpu_facts *facts, const char *path, const void *data,
                             size_t bytes);

#endif
