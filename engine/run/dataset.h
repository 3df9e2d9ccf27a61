/* The pictures of a data folder that training may use: which they are, their captions, how often a pass looks
 * at each, which are held out, and the size that each is brought to.
 *
 * A picture is decoded once when the set is opened, in worker processes (io/decode_pool.h: open the set
 * before weights are loaded, so that they share less). So what cannot be used is known before training
 * begins: it is logged with the reason (some lines, then a count), left out and counted in n_skipped; with
 * `strict` it is an error. Pixels stay in memory only where `keep_pixels` asks for it; else tl_dataset_read
 * decodes again.
 *
 * Sizes. TL_FIT_CROP: all pictures have one. TL_FIT_BUCKET: aspect ratio bucketing as kohya's sd-scripts do
 * it (dataset_buckets.h). Either way a picture of another shape is resized (Lanczos) so that it covers its
 * size, and cropped in the middle. */
#ifndef TL_RUN_DATASET_H
#define TL_RUN_DATASET_H

#include <stdint.h>

#include <tiller/job.h>

#include "io/folder.h"

enum tl_fit { TL_FIT_CROP, TL_FIT_BUCKET };

struct tl_dataset_params {
    const char *folder;
    enum tl_fit fit;
    int width, height;  /* CROP; 0: the first picture's */
    int area_side;      /* BUCKET: a bucket has at most area_side^2 pixels */
    int bucket_step;    /* BUCKET: sides are multiples of it; 0: 64. Itself a multiple of the VAE's factor */
    bool no_upscale;    /* BUCKET: small pictures keep their size, cut to multiples of the step */
    bool need_captions; /* a picture without a caption cannot be used */
    bool strict;
    bool keep_pixels;
    const struct tl_job *job; /* told the progress of opening; or NULL */
    double val_share; /* 0 .. 1: share of the pictures that is held out, chosen by a hash of the name alone */
};

/* Pictures of one size, in the set's order; never empty. */
struct tl_bucket {
    int width, height, n;
    int *pictures; /* owns; trained and held out ones */
};

struct tl_dataset {
    struct tl_dataset_params params; /* as given; the folder's path belongs to the caller */
    struct tl_folder folder;         /* owns captions and rows */
    int n;                           /* pictures, in byte order of their names */
    int width, height;               /* CROP: of every picture; BUCKET: 0 */
    int n_skipped;                   /* pictures; rows that name none are folder.n_strays */
    int *item;                       /* picture i is folder.items[item[i]]; owns, as all below */
    int *bucket;
    bool *held_out;
    int n_held_out;
    struct tl_bucket *buckets; /* by width, then height */
    int n_buckets;
    uint8_t *px;                     /* kept pixels or NULL; CROP: [n][height][width][3] */
    size_t *start;                   /* picture i's pixels begin at px[start[i]] */
    struct tl_decode_pool *decoders; /* or NULL */
};

/* Fails where no picture is left to train on. A zeroed struct may be finished. */
bool tl_dataset_open(const struct tl_dataset_params *params, struct tl_dataset *out, struct tl_err *err);
/* TL_FIT_CROP with pixels in memory, nothing held out. width 0: the first picture's size. */
bool tl_dataset_load(const char *folder, int width, int height, bool need_captions, bool strict,
                     struct tl_dataset *out, struct tl_err *err);
void tl_dataset_finish(struct tl_dataset *dataset);

static inline const char *tl_dataset_caption(const struct tl_dataset *d, int i)
{
    const char *caption = d->folder.items[d->item[i]].caption;
    return caption ? caption : "";
}

/* How often a pass looks at picture i (N_name folders), at least 1. */
static inline int tl_dataset_repeats(const struct tl_dataset *d, int i)
{
    return d->folder.items[d->item[i]].repeats;
}

static inline const struct tl_bucket *tl_dataset_bucket(const struct tl_dataset *d, int i)
{
    return &d->buckets[d->bucket[i]];
}

/* Kept pixels of picture i, part of it: [h][w][3] floats in [-1,1]. */
void tl_dataset_pixels(const struct tl_dataset *d, int i, int y, int x, int h, int w, float *out);

/* Pictures of one bucket, or their upper left part, [n][height][width][3] floats in [-1,1], kept or decoded
 * again; `flip` mirrors them left to right. A file that can no longer be read is an error, and so is Ctrl-C
 * (TL_INTERRUPTED). */
bool tl_dataset_read(struct tl_dataset *d, const int *pictures, int n, int height, int width, bool flip,
                     float *out, struct tl_err *err);
/* Ends the decoders, until tl_dataset_read needs them again: when all is encoded, say. */
void tl_dataset_rest(struct tl_dataset *d);

#endif
