/* A CLIPModel folder: pictures to projected embeddings of unit length. */
#include "encoders/encoder_clip.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "encoders/encoder_rows.h"

struct encoder_clip {
    struct tl_encoder base;
    struct tl_clip_towers *towers;
    struct tl_clip_pixels pixels;
    char *folder;
    bool is_raw; /* rows keep their length */
    char settings[224];
};

static void close_clip(struct tl_encoder *encoder)
{
    struct encoder_clip *e = (struct encoder_clip *)encoder;
    tl_clip_towers_close(&e->towers);
    free(e->folder);
    free(e);
}

/* Settings crop and unit; NULL where they were not given. */
static bool choose(struct encoder_clip *e, const char *crop, const char *unit, struct tl_err *err)
{
    e->pixels.is_torchvision = crop && strcmp(crop, "torchvision") == 0;
    e->is_raw = unit && strcmp(unit, "no") == 0;
    if (crop && !e->pixels.is_torchvision && strcmp(crop, "transformers") != 0)
        return tl_err_set(err, TL_USAGE, "crop '%s' is not known: transformers and torchvision are", crop);
    return !unit || e->is_raw || strcmp(unit, "yes") == 0 ||
           tl_err_set(err, TL_USAGE, "unit '%s' is not known: yes and no are", unit);
}

static bool fill(struct encoder_clip *e, const struct tl_encoder_env *env, const char *arg,
                 struct tl_err *err)
{
    static const char *const keys[] = {"crop", "unit", NULL};
    const char *path = NULL, *values[2];
    if (!tl_encoder_arg_parse(arg, keys, &e->folder, &path, values, err)) return false;
    if (!path) return tl_err_set(err, TL_USAGE, "clip needs a model's folder: clip:FOLDER");
    e->towers = tl_clip_towers_open(env->device, path, env->dtype, err);
    if (!e->towers) return false;
    const struct tl_clip_config *config = tl_clip_towers_config(e->towers);
    if (!tl_clip_pixels_read(path, config->vision.image_size, &e->pixels, err) ||
        !choose(e, values[0], values[1], err))
        return false;
    struct tl_encoder_about *a = &e->base.about;
    snprintf(e->settings, sizeof e->settings,
             "8-bit RGB, resized as Pillow does to %d pixels (filter %d, short side %d)%s%s, v1",
             e->pixels.side, (int)e->pixels.filter, e->pixels.shortest,
             e->pixels.is_torchvision ? ", cropped as torchvision does" : "",
             e->is_raw ? ", rows keep their length" : "");
    a->path = path;
    a->settings = e->settings;
    a->dim = (size_t)config->projection;
    a->batch = tl_clip_towers_batch(e->towers);
    a->is_fixed = true;
    a->is_unit = !e->is_raw;
    return env->no_hash || tl_clip_towers_hash(path, a->sha256, err);
}

static struct tl_encoder *open_clip(const struct tl_encoder_env *env, const char *arg, struct tl_err *err)
{
    struct encoder_clip *e = calloc(1, sizeof *e);
    if (!e) tl_err_set(err, TL_FAIL, "out of memory");
    if (e && !fill(e, env, arg, err)) {
        close_clip(&e->base);
        e = NULL;
    }
    return e ? &e->base : NULL;
}

static bool prepare_clip(const struct tl_encoder *encoder, const struct tl_encoder_item *item,
                         struct tl_encoder_windows *out, struct tl_err *err)
{
    const struct encoder_clip *e = (const struct encoder_clip *)encoder;
    size_t side = (size_t)e->pixels.side;
    out->n = 1;
    out->floats = side * side * 3;
    out->x = calloc(out->floats, sizeof *out->x);
    if (!out->x) return tl_err_set(err, TL_FAIL, "out of memory");
    return tl_clip_pixels_bytes(&e->pixels, item->image->px, item->image->width, item->image->height, out->x,
                                err);
}

static bool run_clip(struct tl_encoder *encoder, const float *x, size_t n, size_t floats, float *out,
                     struct tl_err *err)
{
    struct encoder_clip *e = (struct encoder_clip *)encoder;
    size_t dim = e->base.about.dim;
    (void)floats;
    if (!tl_clip_towers_images(e->towers, x, n, out, err)) return false;
    for (size_t i = 0; i < n && !e->is_raw; i++) {
        double sum = 0;
        float *row = out + i * dim;
        for (size_t k = 0; k < dim; k++) sum += (double)row[k] * (double)row[k];
        for (size_t k = 0; k < dim; k++) row[k] = (float)((double)row[k] / sqrt(sum));
    }
    return true;
}

struct tl_clip_towers *tl_encoder_clip_towers(struct tl_encoder *encoder)
{
    return ((struct encoder_clip *)encoder)->towers;
}

const struct tl_clip_pixels *tl_encoder_clip_pixels(const struct tl_encoder *encoder)
{
    return &((const struct encoder_clip *)encoder)->pixels;
}

const struct tl_encoder_class tl_encoder_clip = {
    .name = "clip",
    .help =
        "picture tower of a CLIPModel folder, projected, unit length; crop says whose centre: transformers, "
        "or torchvision (OpenAI's code, clean-fid, clip-score)",
    .argument = "FOLDER[,crop=transformers|torchvision][,unit=yes|no]",
    .modality = TL_MODALITY_IMAGE,
    .needs_device = true,
    .folder_class = "CLIPModel",
    .open = open_clip,
    .close = close_clip,
    .prepare = prepare_clip,
    .run = run_clip,
};
