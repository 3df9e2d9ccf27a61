/* A folder for a test's files, beside the program; gone after it. Also: the library's log, kept. */
#ifndef TL_TESTS_RUN_SUPPORT_FOLDER_H
#define TL_TESTS_RUN_SUPPORT_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

/* cmocka setup and teardown: *state is the folder's name. */
int support_folder_make(void **state);
int support_folder_remove(void **state);

/* "FOLDER/fmt": the last 16 results stay valid. */
const char *support_path(const char *folder, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The whole file as text; the caller frees. NULL if it is not there. */
char *support_read(const char *path);
void support_write(const char *path, const char *text);
bool support_exists(const char *path);

/* Gathers what tl_log is told from now on. */
void support_log_start(void);
const char *support_log(void);

#endif
