/* What a sample is: a picture or a sound. */
#ifndef TL_IO_MODALITY_H
#define TL_IO_MODALITY_H

enum tl_modality { TL_MODALITY_IMAGE, TL_MODALITY_AUDIO };

#endif
