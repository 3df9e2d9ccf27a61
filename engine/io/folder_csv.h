/* Comma-separated values as RFC 4180 has them: fields may be quoted, "" is a quote in a quoted field, which
 * may hold commas and line ends; lines end in LF or CRLF. A byte order mark and blank lines are passed over.
 * A quote inside an unquoted field stands for itself. */
#ifndef TL_IO_FOLDER_CSV_H
#define TL_IO_FOLDER_CSV_H

#include "io/text_lines.h"

struct tl_csv {
    struct tl_text_lines text; /* `line` is that of the record given last */
    size_t next_line;
};

/* Fails on invalid UTF-8 and names the line. The text is borrowed. */
bool tl_csv_begin(struct tl_csv *csv, const char *text, size_t n, const char *what, struct tl_err *err);

/* The next record, in the arena; *out_n is 0 at the end of the text. */
bool tl_csv_next(struct tl_csv *csv, struct tl_arena *arena, const char *const **out_fields, size_t *out_n,
                 struct tl_err *err);

#endif
