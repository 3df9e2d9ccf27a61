/* A file's content by its hash, and what tells that it was changed since it was hashed. */
#ifndef TL_RUN_FILE_CONTENT_H
#define TL_RUN_FILE_CONTENT_H

#include <sys/types.h>
#include <time.h>

#include <stdbool.h>
#include <stdint.h>

#include <tiller/err.h>

struct tl_file_content {
    char hash[65]; /* "": not known */
    struct timespec changed;
    off_t bytes;
    ino_t inode;
};

/* Of a regular file of at most `most` bytes. False with an empty hash where it is not known: whoever reads
 * the file finds out why. Only TL_INTERRUPTED is an error, by tl_interrupt_check(doing). */
bool tl_file_content_read(struct tl_file_content *out, const char *path, int64_t most, const char *doing,
                          struct tl_err *err);

/* After the file was read once more, say for decoding, which may have met other bytes than those that were
 * hashed: then the hash is forgotten. */
void tl_file_content_check(struct tl_file_content *content, const char *path);

#endif
