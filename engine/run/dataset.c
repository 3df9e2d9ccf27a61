#include "run/dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/checked.h"
#include "io/image.h"
#include "io/resize.h"

/* Covers width x height, then the middle. */
static bool fit(const struct tl_image *in, int width, int height, struct tl_image *out, struct tl_err *err)
{
    if (in->width == width && in->height == height) {
        if (!tl_image_init(out, width, height, 3, err)) return false;
        memcpy(out->px, in->px, (size_t)width * (size_t)height * 3);
        return true;
    }
    double scale_w = (double)width / in->width, scale_h = (double)height / in->height,
           scale = scale_w > scale_h ? scale_w : scale_h;
    double wide = floor(in->width * scale + 0.5), tall = floor(in->height * scale + 0.5);
    if (wide * tall > TL_IMAGE_MAX_PIXELS)
        return tl_err_set(err, TL_BAD_INPUT,
                          "a picture of %dx%d cannot be brought to %dx%d: it is too narrow", in->width,
                          in->height, width, height);
    int w = (int)wide, h = (int)tall;
    struct tl_image large = {0};
    bool ok =
        tl_resize_image(in, w < width ? width : w, h < height ? height : h, TL_RESIZE_LANCZOS, &large, err) &&
        tl_resize_center_crop(&large, width, height, out, err);
    tl_image_finish(&large);
    return ok;
}

static bool load_one(struct tl_dataset *d, const struct tl_folder_item *item, bool need_captions,
                     struct tl_err *err)
{
    struct tl_image file = {0}, fitted = {0};
    if (need_captions && !item->caption) return tl_err_set(err, TL_BAD_INPUT, "%s: no caption", item->path);
    if (!tl_image_load(item->path, &file, err)) return false;
    if (d->width == 0) {
        d->width = file.width;
        d->height = file.height;
    }
    size_t bytes = (size_t)d->width * (size_t)d->height * 3, all;
    bool ok = true;
    if (!d->px) {
        d->px = tl_checked_mul(bytes, d->folder.n, &all) ? malloc(all) : NULL;
        if (!d->px)
            ok = tl_err_set(err, TL_FAIL, "out of memory for %zu pictures of %dx%d", d->folder.n, d->width,
                            d->height);
    }
    ok = ok && (fit(&file, d->width, d->height, &fitted, err) || tl_err_add(err, "%s", item->path));
    if (ok) memcpy(d->px + (size_t)d->n * bytes, fitted.px, bytes);
    tl_image_finish(&file);
    tl_image_finish(&fitted);
    return ok;
}

bool tl_dataset_load(const char *folder, int width, int height, bool need_captions, bool strict,
                     struct tl_dataset *d, struct tl_err *err)
{
    *d = (struct tl_dataset){.width = width, .height = height};
    if (!tl_folder_scan(folder, &d->folder, err)) return false;
    d->item = malloc((d->folder.n + 1) * sizeof *d->item);
    if (!d->item) goto fail;
    for (size_t i = 0; i < d->folder.n; i++) {
        struct tl_err one = {0};
        if (load_one(d, &d->folder.items[i], need_captions, &one)) {
            d->item[d->n++] = (int)i;
            continue;
        }
        if (strict || one.code != TL_BAD_INPUT) {
            tl_err_set(err, one.code, "%s", one.text);
            goto fail;
        }
        d->n_skipped++;
        tl_log(TL_LOG_WARN, "skipped: %s", one.text);
    }
    if (d->n > 0) return true;
    tl_err_set(err, TL_BAD_INPUT, "%s: none of %zu pictures can be used", folder, d->folder.n);
fail:
    tl_err_set(err, TL_FAIL, "out of memory");
    tl_dataset_finish(d);
    return false;
}

void tl_dataset_finish(struct tl_dataset *d)
{
    tl_folder_finish(&d->folder);
    free(d->px);
    free(d->item);
    *d = (struct tl_dataset){0};
}

void tl_dataset_pixels(const struct tl_dataset *d, int i, int y, int x, int h, int w, float *out)
{
    for (int r = 0; r < h; r++) {
        const uint8_t *row =
            d->px + (((size_t)i * (size_t)d->height + (size_t)(y + r)) * (size_t)d->width + (size_t)x) * 3;
        for (int k = 0; k < w * 3; k++)
            out[(size_t)r * (size_t)w * 3 + (size_t)k] = (float)row[k] * (1.0f / 127.5f) - 1.0f;
    }
}
