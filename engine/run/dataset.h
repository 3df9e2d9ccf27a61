/* Captioned pictures of a folder, decoded and brought to one size, in memory.
 *
 * Pictures of another shape are resized (Lanczos) so that they cover the size and cropped in the middle. A
 * file that cannot be read is logged and left out; with `strict` it is an error. */
#ifndef TL_RUN_DATASET_H
#define TL_RUN_DATASET_H

#include <stdint.h>

#include "io/folder.h"

struct tl_dataset {
    struct tl_folder folder; /* owns captions and rows */
    int n, width, height;
    uint8_t *px; /* [n][height][width][3]; owns */
    int *item;   /* picture i is folder.items[item[i]]; owns */
    int n_skipped;
};

/* need_captions: a picture without a caption counts as unreadable. width 0: the first picture's size. */
bool tl_dataset_load(const char *folder, int width, int height, bool need_captions, bool strict,
                     struct tl_dataset *out, struct tl_err *err);
void tl_dataset_finish(struct tl_dataset *dataset);

static inline const char *tl_dataset_caption(const struct tl_dataset *d, int i)
{
    const char *caption = d->folder.items[d->item[i]].caption;
    return caption ? caption : "";
}

/* Pixels of picture i, part of it: [h][w][3] floats in [-1,1]. */
void tl_dataset_pixels(const struct tl_dataset *d, int i, int y, int x, int h, int w, float *out);

#endif
