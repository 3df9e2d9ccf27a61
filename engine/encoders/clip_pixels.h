/* Pictures as a CLIP encoder takes them, by the folder's preprocessor_config.json: resize, centre crop,
 * rescale, normalise. Two ways that agree to half a grey level: Pillow's bytes for scores, and a graph of
 * products with the same filter weights, in float without rounding, for gradients. */
#ifndef TL_ENCODERS_CLIP_PIXELS_H
#define TL_ENCODERS_CLIP_PIXELS_H

#include "io/resize.h"
#include "tensor/exec.h"

struct tl_clip_pixels {
    int side;          /* what comes out: side x side, the model's image_size */
    int shortest;      /* length that the short side is resized to; 0: to width x height; -1: no resize */
    int width, height; /* with shortest 0 */
    int crop_width, crop_height; /* 0: no crop */
    bool is_torchvision;         /* the crop's corner is rounded, halves to even: OpenAI's code, clean-fid,
                                    clip-score.         Else floored: transformers. One picture in four moves by a pixel */
    enum tl_resize_filter filter;
    double factor;                /* of the 8-bit value; 1/255 */
    double mean[3], deviation[3]; /* 0 and 1 where the config does not normalise */
};

/* With the crop of transformers. preprocessor_config.json, or the image_processor of processor_config.json;
 * without either OpenAI's values at the model's size. Steps that we do not have are TL_BAD_INPUT. */
bool tl_clip_pixels_read(const char *folder, int image_size, struct tl_clip_pixels *out, struct tl_err *err);

/* One 8-bit picture [height][width][3] to out [side][side][3]. */
bool tl_clip_pixels_bytes(const struct tl_clip_pixels *p, const uint8_t *rgb, int width, int height,
                          float *out, struct tl_err *err);

/* pictures [N,H,W,3] in 0 to 1, to [N,side,side,3]. The filters' weights are inputs PREFIX.rows and
 * PREFIX.cols, the normalisation PREFIX.scale and PREFIX.shift: feed fills them, once after planning. */
tl_val tl_clip_pixels_build(const struct tl_clip_pixels *p, struct tl_graph *g, tl_val pictures,
                            const char *prefix);
bool tl_clip_pixels_feed(const struct tl_clip_pixels *p, struct tl_exec *exec, const char *prefix,
                         struct tl_err *err);

#endif
