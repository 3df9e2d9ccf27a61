#include "encoders/inception_pixels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/resize.h"
#include "models/inception.h"

enum { SIDE = TL_INCEPTION_SIDE, FLOATS = SIDE * SIDE * 3 };

static const struct {
    const char *name, *text;
} ways[TL_INCEPTION_RESIZES] = {
    [TL_INCEPTION_FID] = {"fid", "bilinear to 299x299 without antialias, 2x/255-1 (pytorch-fid)"},
    [TL_INCEPTION_CLEAN] = {"clean",
                            "antialiased float bicubic to 299x299, clipped, (x-128)/128 (clean-fid)"},
    [TL_INCEPTION_TF] = {"tf", "TensorFlow 1 bilinear to 299x299, (x-128)/128 (torch-fidelity)"},
    [TL_INCEPTION_TORCHMETRICS] = {"torchmetrics",
                                   "antialiased float bilinear to 299x299, (x-128)/128 (torchmetrics)"},
    [TL_INCEPTION_NONE] = {"none", "299x299 as it is, 2x/255-1"},
};

const char *tl_inception_resize_name(enum tl_inception_resize how)
{
    return ways[how].name;
}

const char *tl_inception_resize_text(enum tl_inception_resize how)
{
    return ways[how].text;
}

bool tl_inception_resize_parse(const char *name, enum tl_inception_resize *out, struct tl_err *err)
{
    for (int i = 0; i < TL_INCEPTION_RESIZES; i++)
        if (strcmp(name, ways[i].name) == 0) {
            *out = (enum tl_inception_resize)i;
            return true;
        }
    return tl_err_set(err, TL_USAGE, "resize '%s' is not known: fid, clean, tf, torchmetrics and none are",
                      name);
}

/* Output pixel i of one axis lies between inputs low and high, `t` of the way. */
struct between {
    int low[SIDE], high[SIDE];
    float t[SIDE];
};

/* In float, as the tools compute it: the last bits decide which pixels are taken. */
static void axis(int n, bool half_centres, struct between *b)
{
    float scale = (float)n / (float)SIDE;
    for (int i = 0; i < SIDE; i++) {
        float at = half_centres ? scale * ((float)i + 0.5f) - 0.5f : scale * (float)i;
        if (at < 0) at = 0;
        int low = (int)floorf(at);
        b->low[i] = low < n ? low : n - 1;
        b->high[i] = low + 1 < n ? low + 1 : n - 1;
        b->t[i] = at - (float)low;
    }
}

/* The order of the operations is the tools': pytorch-fid divides by 255 first. */
static void bilinear(const struct tl_image *im, bool is_tf, float *out)
{
    struct between across, down;
    float unit = 255.0f;
    axis(im->width, !is_tf, &across);
    axis(im->height, !is_tf, &down);
    for (int y = 0; y < SIDE; y++) {
        const uint8_t *top = im->px + (size_t)down.low[y] * (size_t)im->width * 3;
        const uint8_t *bottom = im->px + (size_t)down.high[y] * (size_t)im->width * 3;
        float v = down.t[y];
        for (int x = 0; x < SIDE; x++) {
            size_t l = (size_t)across.low[x] * 3, r = (size_t)across.high[x] * 3;
            float u = across.t[x];
            for (size_t c = 0; c < 3; c++) {
                float a = top[l + c], b = top[r + c], d = bottom[l + c], e = bottom[r + c];
                if (is_tf) {
                    float up = a + (b - a) * u, low = d + (e - d) * u;
                    *out++ = (up + (low - up) * v - 128.0f) / 128.0f;
                } else {
                    float up = a / unit * (1 - u) + b / unit * u, low = d / unit * (1 - u) + e / unit * u;
                    *out++ = 2 * (up * (1 - v) + low * v) - 1;
                }
            }
        }
    }
}

static bool antialiased(const struct tl_image *im, enum tl_resize_filter filter, float *out,
                        struct tl_err *err)
{
    size_t n = (size_t)im->width * (size_t)im->height * 3; /* an image in memory: no overflow */
    float *x = malloc(n * sizeof *x);
    if (!x) return tl_err_set(err, TL_FAIL, "out of memory resizing a picture");
    for (size_t i = 0; i < n; i++) x[i] = im->px[i];
    bool ok = tl_resize_floats(x, im->width, im->height, 3, SIDE, SIDE, filter, out, err);
    free(x);
    for (size_t i = 0; ok && i < FLOATS; i++) {
        float v = out[i] < 0 ? 0 : out[i] > 255 ? 255 : out[i];
        out[i] = (v - 128.0f) / 128.0f;
    }
    return ok;
}

bool tl_inception_pixels(const struct tl_image *rgb, enum tl_inception_resize how, float *out,
                         struct tl_err *err)
{
    if (rgb->width < 1 || rgb->height < 1 || rgb->channels != 3)
        return tl_err_set(err, TL_BAD_INPUT, "a picture of 3 channels is needed");
    if (how == TL_INCEPTION_NONE && (rgb->width != SIDE || rgb->height != SIDE))
        return tl_err_set(err, TL_BAD_INPUT,
                          "the picture is %dx%d; with resize=none it must be 299x299, resize=fid takes any",
                          rgb->width, rgb->height);
    if (how == TL_INCEPTION_CLEAN) return antialiased(rgb, TL_RESIZE_BICUBIC, out, err);
    if (how == TL_INCEPTION_TORCHMETRICS) return antialiased(rgb, TL_RESIZE_BILINEAR, out, err);
    bilinear(rgb, how == TL_INCEPTION_TF, out);
    return true;
}
