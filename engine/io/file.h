/* Files and paths. Paths are UTF-8 bytes with '/'.
 *
 * Reading fails with TL_BAD_INPUT, writing with TL_OUTPUT; messages name the path and the system's reason.
 * A written file appears whole or not at all: bytes go to a temporary sibling that is synced and renamed over
 * the target, and the folder is synced after it. A crash can leave a `.tiller-PID-N.tmp` behind, never half a
 * target. */
#ifndef TL_IO_FILE_H
#define TL_IO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "base/arena.h"
#include "base/str.h"

/* The whole file with a NUL behind it (not counted); the caller frees. Fails if longer than `limit` bytes. */
uint8_t *tl_file_read(const char *path, size_t limit, size_t *out_n, struct tl_err *err);

/* Atomic write of n bytes. */
bool tl_file_write(const char *path, const void *data, size_t n, struct tl_err *err);

/* The same in pieces: begin, write ..., then commit or abort. After a failed write or commit nothing is left
 * on disk and the struct is empty; abort on an empty one is fine. Between begin and commit the target is
 * untouched. */
struct tl_file_out {
    int fd;       /* -1 or 0 in an empty one; valid while temp is not NULL */
    char *path;   /* owns; the target */
    char *temp;   /* owns; the sibling that is written */
    uint8_t *buf; /* owns; small writes gather here */
    size_t used;
};
bool tl_file_begin(struct tl_file_out *out, const char *path, struct tl_err *err);
bool tl_file_put(struct tl_file_out *out, const void *data, size_t n, struct tl_err *err);
bool tl_file_commit(struct tl_file_out *out, struct tl_err *err);
void tl_file_abort(struct tl_file_out *out);

/* What to try after an errno of writing, as a clause "; ..." or "". */
const char *tl_file_advice(int reason);

/* Removes the temporary files that crashed processes left in a folder and `depth` levels below it. Files of a
 * process that lives on this machine stay. Call it only where nothing else of ours may be writing. */
void tl_file_remove_leftovers(const char *folder, int depth);

/* Makes the folder and its parents; one that exists already is fine. */
bool tl_file_make_folder(const char *path, struct tl_err *err);

bool tl_file_exists(const char *path);
bool tl_file_is_folder(const char *path);

/* Names in a folder without "." and "..", in byte order. Array and names live in the arena. */
bool tl_file_list(const char *folder, struct tl_arena *arena, const char *const **out_names, size_t *out_n,
                  struct tl_err *err);

/* "a/b". An absolute b, or an empty a, gives b alone. The first replaces what `out` held. */
void tl_path_join(struct tl_str *out, const char *a, const char *b);
char *tl_path_join_in(struct tl_arena *arena, const char *a, const char *b);

/* Parts of a path, borrowed from it: "a/b.tar.gz" has base "b.tar.gz" and extension "gz" ("" where there is
 * none; a leading dot does not start one). */
const char *tl_path_base(const char *path);
const char *tl_path_extension(const char *path);

/* The folder part in an arena: "a" of "a/b", "." of "b", "/" of "/b". */
char *tl_path_folder_in(struct tl_arena *arena, const char *path);

/* Whether a relative path taken from a file stays below the folder it is joined to: not empty, not absolute,
 * no "..", no backslash, no control characters. */
bool tl_path_is_inside(const char *path);

#endif
