/* A data folder: pictures with captions.
 *
 * Pictures are found by extension (png jpg jpeg webp bmp tga ppm pgm pnm gif, any case), in subfolders too,
 * and come in byte order of their relative path; hidden names and links to folders are passed over. A caption
 * comes from the metadata.jsonl beside or above the picture (`file_name` relative to it; caption under
 * `text`, `caption` or `prompt`), else from the same-stem .txt, else .caption. A row that names no picture of
 * the folder, or leaves it, is an error. */
#ifndef TL_IO_FOLDER_H
#define TL_IO_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

#include "base/arena.h"

struct tl_folder_item {
    const char *path;    /* folder joined with name */
    const char *name;    /* relative to the folder */
    const char *caption; /* UTF-8, outer white space cut; NULL where there is none */
    const char *json; /* the metadata row as it stands in the file, a JSON object; NULL where there is none */
};

struct tl_folder {
    struct tl_arena arena; /* owns everything below */
    struct tl_folder_item *items;
    size_t n;
    size_t n_captions; /* items with a caption */
};

/* Fails on a folder without pictures (TL_BAD_INPUT). A zeroed struct may be finished. */
bool tl_folder_scan(const char *folder, struct tl_folder *out, struct tl_err *err);
void tl_folder_finish(struct tl_folder *folder);

/* Whether the name ends in one of the picture extensions. */
bool tl_folder_is_picture(const char *name);

#endif
