/* A scratch folder for each test program, and files in it. */
#ifndef TL_TESTS_SUPPORT_IO_H
#define TL_TESTS_SUPPORT_IO_H

#include "support/check.h"

/* Group set-up and tear-down: makes the folder, removes it with all that is in it. */
int io_setup(void **state);
int io_teardown(void **state);

/* Path of a name in the folder; valid until 16 calls later. */
const char *io_path(const char *name);

/* Writes bytes plainly (parents are made) and returns the path. */
const char *io_put(const char *name, const void *data, size_t n);
const char *io_put_text(const char *name, const char *text);

/* Number of names in the folder that contain `part`. */
size_t io_count(const char *part);

/* The call fails with this code, and its message holds the text. Clears the error. */
#define check_fails(call, err, wanted, part)                                                                 \
    do {                                                                                                     \
        if (call) fail_msg("%s: succeeded", #call);                                                          \
        if ((err)->code != (wanted) || !strstr((err)->text, part)) {                                         \
            fail_msg("%s: code %d, \"%s\"; expected code %d and \"%s\"", #call, (int)(err)->code,            \
                     (err)->text, (int)(wanted), part);                                                      \
        }                                                                                                    \
        tl_err_clear(err);                                                                                   \
    } while (0)

#endif
