/* What the files of folder.h share: the reader that gathers items while it walks. */
#ifndef TL_IO_FOLDER_INNER_H
#define TL_IO_FOLDER_INNER_H

#include "io/folder.h"

struct tl_folder_reader {
    struct tl_folder *out;
    const char *root;
    char *real_root;              /* owns; without links */
    struct tl_folder_item *items; /* owns the array while it grows */
    size_t size;
    const char **metadata; /* owns the array; relative paths of metadata files */
    size_t n_metadata, metadata_size;
    const char **strays; /* owns the array */
    size_t strays_size;
    struct tl_err *err;
};

bool tl_folder_no_memory(struct tl_folder_reader *r);

/* Whether a link at `path` leads to something outside the root. */
bool tl_folder_leads_out(const struct tl_folder_reader *r, const char *path);

/* The rows of metadata.jsonl or metadata.csv at `name`, relative to the root; items are sorted by then. */
bool tl_folder_take_metadata(struct tl_folder_reader *r, const char *name);
/* The caption of the same-stem text file, where there is one. */
bool tl_folder_take_sidecar(struct tl_folder_reader *r, struct tl_folder_item *item);

#endif
