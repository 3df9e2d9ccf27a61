/* What a row of metadata.jsonl may say besides file name and caption, for contrastive training. */
#ifndef TL_RUN_CAPTION_EXTRAS_H
#define TL_RUN_CAPTION_EXTRAS_H

#include "run/dataset.h"

enum { TL_PATCH_CHANNELS = 4 };

struct tl_caption_extras {
    int n_negatives;                  /* captions in all */
    char **negatives;                 /* owns, as everything here */
    int *first_negative;              /* [n + 1]: picture i has negatives first[i] .. first[i + 1] - 1 */
    int n_channels;                   /* of patch labels; 0: none */
    int n_classes[TL_PATCH_CHANNELS]; /* largest label + 1 */
    int n_patches;
    uint8_t *labels; /* [n][channels][patches] */
    bool *labelled;  /* [n]: its row has labels */
};

/* patches: how many the encoder has. Pictures without a row and rows without extras have none; a row that
 * disagrees is an error that names the picture. */
bool tl_caption_extras_read(const struct tl_dataset *data, int patches, struct tl_caption_extras *out,
                            struct tl_err *err);
/* Labels [patches] of a picture in one channel; NULL: it has none. */
const uint8_t *tl_caption_extras_labels(const struct tl_caption_extras *extras, int picture, int channel);
void tl_caption_extras_finish(struct tl_caption_extras *extras);

#endif
