/* What the files of folder.h share: the reader that gathers items while it walks. */
#ifndef TL_IO_FOLDER_INNER_H
#define TL_IO_FOLDER_INNER_H

#include "io/folder.h"

struct tl_folder_reader {
    struct tl_folder *out;
    enum tl_modality modality;
    enum tl_folder_captions captions;
    const char *root;             /* the folder; of a list, the folder that it lies in */
    bool is_list;                 /* rows make items, from anywhere */
    char *real_root;              /* owns; without links; NULL of a list */
    struct tl_folder_item *items; /* owns the array while it grows */
    size_t size;
    const char **metadata; /* owns the array; relative paths of metadata files */
    size_t n_metadata, metadata_size;
    const char **strays; /* owns the array */
    size_t strays_size;
    struct tl_err *err;
};

bool tl_folder_no_memory(struct tl_folder_reader *r);

/* "picture" or "sound". */
const char *tl_folder_noun(const struct tl_folder_reader *r);

/* path and name lie in the arena. trouble may be NULL; the path is put in front of it. */
bool tl_folder_add(struct tl_folder_reader *r, const char *path, const char *name, const char *trouble);

/* Whether a link at `path` leads to something outside the root. */
bool tl_folder_leads_out(const struct tl_folder_reader *r, const char *path);

/* The rows of metadata.jsonl or metadata.csv at `name`, relative to the root; items are sorted by then. */
bool tl_folder_take_metadata(struct tl_folder_reader *r, const char *name);
/* The rows of a list: whatever it names becomes an item, in the list's order. */
bool tl_folder_take_list(struct tl_folder_reader *r, const char *path);
/* The caption of the same-stem text file, where there is one. */
bool tl_folder_take_sidecar(struct tl_folder_reader *r, struct tl_folder_item *item);

#endif
