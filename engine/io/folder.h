/* A data folder: pictures or sounds with captions, as people have them.
 *
 * Files are found by extension, any case: pictures by png jpg jpeg webp bmp tga ppm pgm pnm gif, sounds by
 * wav wave flac ogg oga opus mp3 aif aiff aifc au snd caf w64 rf64. Subfolders are read too, and files come
 * in byte order of their relative path; hidden names and links to folders are passed over. What is said of
 * pictures below holds for sounds. A caption comes from the metadata.jsonl or metadata.csv (RFC 4180, first
 * line names the columns) beside or above the picture (`file_name` relative to it; caption under `text`,
 * `caption` or `prompt`), else from the same-stem .txt, else .caption, else from a folder called N_name above
 * the picture: then it is the name.
 *
 * Below a folder N_name (N from 0 to 10000, the nearest one above a picture counts) a pass of training looks
 * at each picture N times, as kohya's trainers do. The folder that is read itself is not looked at for this.
 *
 * A folder that cannot be read, or that lies more than 32 below the first, is an item in trouble; so is one
 * that is called like a picture and has none.
 *
 * Nothing outside the folder is read: a row that leads out of it is an error, a link that does makes its
 * picture unusable. */
#ifndef TL_IO_FOLDER_H
#define TL_IO_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

#include "base/arena.h"
#include "io/modality.h"

struct tl_folder_item {
    const char *path;    /* folder joined with name */
    const char *name;    /* relative to the folder */
    const char *caption; /* UTF-8, outer white space cut; NULL where there is none */
    const char *json; /* the metadata row as it stands in the file, a JSON object; NULL where there is none */
    const char *trouble;  /* why it cannot be used, a line that names the file; NULL: nothing is known */
    int repeats;          /* N of N_name, else 1 */
    const char *metadata; /* path of the metadata file that has a row for it; NULL: none has */
};

struct tl_folder {
    struct tl_arena arena; /* owns everything below */
    struct tl_folder_item *items;
    size_t n;
    size_t n_captions;         /* items with a caption */
    const char *const *strays; /* rows that name no picture of the folder, a line each */
    size_t n_strays;
};

/* Fails on a folder without pictures (TL_BAD_INPUT), on a broken metadata file, and on the first item in
 * trouble or stray row. A zeroed struct may be finished. */
bool tl_folder_scan(const char *folder, struct tl_folder *out, struct tl_err *err);
/* The same, but keeps items in trouble and stray rows for the caller to tell. */
bool tl_folder_read(const char *folder, struct tl_folder *out, struct tl_err *err);
void tl_folder_finish(struct tl_folder *folder);

enum tl_folder_captions {
    TL_FOLDER_CAPTIONS, /* as above */
    /* A metadata file of something else, without any file_name, is passed over with a warning. */
    TL_FOLDER_CAPTIONS_FOUND,
    /* Caption and metadata files are not looked at, whatever is in them. Rows of a list still name its
     * files and may bring captions. */
    TL_FOLDER_NO_CAPTIONS,
};

/* What stands for a set of files on a command line, as the struct that tl_folder_read gives: a folder; one
 * picture or sound by itself; or a list file, any other text file, which holds a path a line, each relative
 * to the list file's folder or absolute. A tab ends the path and begins a caption; blank lines and lines that
 * begin with '#' are passed over. A list whose name ends in .jsonl, or whose first line is an object, has
 * rows as metadata.jsonl has, one named .csv those of metadata.csv; either may be any number of files.
 *
 * A list may name any file, by any extension, wherever it lies, links too: it is the user's own word. A
 * missing one is an item in trouble. Items come in byte order of their names, which are the paths as they are
 * listed without a leading "./"; a second row for a name is TL_BAD_INPUT. Captions beside the files (.txt,
 * .caption, N_name) count where the row has none; metadata files beside them do not. Fails on a list without
 * items. */
bool tl_folder_open_any(const char *path, enum tl_modality modality, enum tl_folder_captions captions,
                        struct tl_folder *out, struct tl_err *err);

/* tl_folder_read for sounds. */
bool tl_folder_read_sounds(const char *folder, struct tl_folder *out, struct tl_err *err);

/* Whether the name ends in one of the picture extensions, in one of the sound extensions. */
bool tl_folder_is_picture(const char *name);
bool tl_folder_is_sound(const char *name);

/* "10_red shoe": 10 and "red shoe" (borrowed). False where the name says no number of repeats. */
bool tl_folder_parse_repeats(const char *name, int *out_repeats, const char **out_rest);

#endif
