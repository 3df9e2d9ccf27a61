#include "io/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static double sinc(double x)
{
    const double pi = 3.14159265358979323846;
    if (x == 0.0) return 1.0;
    return sin(x * pi) / (x * pi);
}

static double lanczos(double x)
{
    return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

static const struct {
    double (*weight)(double x);
    double support;
} filters[] = {
    [TL_RESIZE_LANCZOS] = {lanczos, 3.0},
    [TL_RESIZE_BILINEAR] = {bilinear, 1.0},
    [TL_RESIZE_BICUBIC] = {bicubic, 2.0},
    [TL_RESIZE_BOX] = {box, 0.5},
};

void tl_resize_axis_finish(struct tl_resize_axis *axis)
{
    free(axis->first);
    free(axis->count);
    free(axis->weight);
    *axis = (struct tl_resize_axis){0};
}

bool tl_resize_axis_init(struct tl_resize_axis *axis, int n_in, int n_out, enum tl_resize_filter filter,
                         struct tl_err *err)
{
    *axis = (struct tl_resize_axis){.n_in = n_in, .n_out = n_out};
    if ((unsigned)filter >= sizeof filters / sizeof filters[0] || !filters[filter].weight) {
        return tl_err_set(err, TL_BAD_INPUT,
                          "resample filter %d is not supported; 1 (lanczos), 2 (bilinear), "
                          "3 (bicubic) and 4 (box) are",
                          (int)filter);
    }
    if (n_in < 1 || n_out < 1 || n_in > TL_IMAGE_MAX_PIXELS || n_out > TL_IMAGE_MAX_PIXELS) {
        return tl_err_set(err, TL_BAD_INPUT, "cannot resize %d to %d pixels", n_in, n_out);
    }
    double scale = (double)n_in / n_out, f = scale < 1.0 ? 1.0 : scale, support = filters[filter].support * f;
    size_t n;
    axis->most = (int)ceil(support) * 2 + 1;
    if (!tl_checked_mul((size_t)n_out, (size_t)axis->most, &n) || n > SIZE_MAX / sizeof(double)) n = 0;
    axis->first = calloc((size_t)n_out, sizeof(int));
    axis->count = calloc((size_t)n_out, sizeof(int));
    axis->weight = n ? calloc(n, sizeof(double)) : NULL;
    if (!axis->first || !axis->count || !axis->weight) {
        tl_resize_axis_finish(axis);
        return tl_err_set(err, TL_BAD_INPUT, "out of memory resizing %d to %d pixels", n_in, n_out);
    }
    /* The order of the operations is Pillow's: weights must agree to the last bit that rounding to 2^-22 can
     * show. */
    for (int x = 0; x < n_out; x++) {
        double center = (x + 0.5) * scale, sum = 0.0, *w = axis->weight + (size_t)x * (size_t)axis->most;
        int low = (int)(center - support + 0.5), high = (int)(center + support + 0.5);
        if (low < 0) low = 0;
        if (high > n_in) high = n_in;
        axis->first[x] = low;
        axis->count[x] = high - low;
        for (int k = 0; k < high - low; k++) {
            w[k] = filters[filter].weight((k + low - center + 0.5) * (1.0 / f));
            sum += w[k];
        }
        for (int k = 0; k < high - low; k++) {
            if (sum != 0.0) w[k] /= sum;
        }
    }
    return true;
}

/* ---- 8 bits ---- */

enum { BITS = 22 }; /* 32 - 8 - 2: the sum of products fits an int, the filters' overshoot included */

static int32_t *fixed_weights(const struct tl_resize_axis *axis, struct tl_err *err)
{
    size_t n = (size_t)axis->n_out * (size_t)axis->most;
    int32_t *q = malloc(n * sizeof *q);
    if (!q) {
        tl_err_set(err, TL_BAD_INPUT, "out of memory resizing a picture");
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        double w = axis->weight[i] * (1 << BITS);
        q[i] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
    }
    return q;
}

static uint8_t clip8(int32_t sum)
{
    int32_t v = sum >> BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Along x: every row by itself. */
static void horizontal8(const struct tl_image *in, const struct tl_resize_axis *axis, const int32_t *q,
                        struct tl_image *out)
{
    size_t c_n = (size_t)in->channels;
    for (int y = 0; y < in->height; y++) {
        const uint8_t *row = in->px + (size_t)y * (size_t)in->width * c_n;
        uint8_t *to = out->px + (size_t)y * (size_t)out->width * c_n;
        for (int x = 0; x < out->width; x++) {
            const int32_t *w = q + (size_t)x * (size_t)axis->most;
            const uint8_t *from = row + (size_t)axis->first[x] * c_n;
            if (c_n == 3) { /* one walk over the pixels for the usual case */
                int32_t r = 1 << (BITS - 1), g = r, b = r;
                for (int k = 0; k < axis->count[x]; k++, from += 3) {
                    r += w[k] * from[0];
                    g += w[k] * from[1];
                    b += w[k] * from[2];
                }
                *to++ = clip8(r);
                *to++ = clip8(g);
                *to++ = clip8(b);
                continue;
            }
            for (size_t c = 0; c < c_n; c++) {
                int32_t sum = 1 << (BITS - 1);
                for (int k = 0; k < axis->count[x]; k++) sum += w[k] * from[(size_t)k * c_n + c];
                *to++ = clip8(sum);
            }
        }
    }
}

/* Along y: whole rows at a time, sums in a row of ints. */
static void vertical8(const struct tl_image *in, const struct tl_resize_axis *axis, const int32_t *q,
                      int32_t *sums, struct tl_image *out)
{
    size_t stride = (size_t)in->width * (size_t)in->channels;
    for (int y = 0; y < out->height; y++) {
        const int32_t *w = q + (size_t)y * (size_t)axis->most;
        for (size_t i = 0; i < stride; i++) sums[i] = 1 << (BITS - 1);
        for (int k = 0; k < axis->count[y]; k++) {
            const uint8_t *row = in->px + (size_t)(axis->first[y] + k) * stride;
            for (size_t i = 0; i < stride; i++) sums[i] += w[k] * row[i];
        }
        uint8_t *to = out->px + (size_t)y * stride;
        for (size_t i = 0; i < stride; i++) to[i] = clip8(sums[i]);
    }
}

static bool pass8(const struct tl_image *in, bool along_x, int size, enum tl_resize_filter filter,
                  struct tl_image *out, struct tl_err *err)
{
    struct tl_resize_axis axis = {0};
    int32_t *q = NULL, *sums = NULL;
    bool ok = tl_resize_axis_init(&axis, along_x ? in->width : in->height, size, filter, err) &&
              (q = fixed_weights(&axis, err)) != NULL &&
              tl_image_init(out, along_x ? size : in->width, along_x ? in->height : size, in->channels, err);
    if (ok && along_x) {
        horizontal8(in, &axis, q, out);
    } else if (ok) {
        sums = malloc((size_t)in->width * (size_t)in->channels * sizeof *sums);
        if (sums) {
            vertical8(in, &axis, q, sums, out);
        } else {
            tl_image_finish(out);
            ok = tl_err_set(err, TL_BAD_INPUT, "out of memory resizing a picture");
        }
    }
    free(sums);
    free(q);
    tl_resize_axis_finish(&axis);
    return ok;
}

bool tl_resize_image(const struct tl_image *in, int width, int height, enum tl_resize_filter filter,
                     struct tl_image *out, struct tl_err *err)
{
    struct tl_image middle = {0};
    *out = (struct tl_image){0};
    bool wide = width != in->width, high = height != in->height;
    if (!wide && !high) {
        if (!tl_image_init(out, width, height, in->channels, err)) return false;
        memcpy(out->px, in->px, (size_t)width * (size_t)height * (size_t)in->channels);
        return true;
    }
    if (!high) return pass8(in, true, width, filter, out, err);
    if (!wide) return pass8(in, false, height, filter, out, err);
    bool ok = pass8(in, true, width, filter, &middle, err) && pass8(&middle, false, height, filter, out, err);
    tl_image_finish(&middle);
    return ok;
}

bool tl_resize_shortest(const struct tl_image *in, int edge, enum tl_resize_filter filter,
                        struct tl_image *out, struct tl_err *err)
{
    bool tall = in->width <= in->height;
    int short_side = tall ? in->width : in->height, long_side = tall ? in->height : in->width;
    *out = (struct tl_image){0};
    if (short_side < 1 || edge < 1) return tl_err_set(err, TL_BAD_INPUT, "cannot resize an empty picture");
    int64_t scaled = (int64_t)edge * long_side / short_side;
    if (scaled > TL_IMAGE_MAX_PIXELS)
        return tl_err_set(err, TL_BAD_INPUT,
                          "a picture of %d x %d is too long and narrow to be resized to %d", in->width,
                          in->height, edge);
    return tall ? tl_resize_image(in, edge, (int)scaled, filter, out, err)
                : tl_resize_image(in, (int)scaled, edge, filter, out, err);
}

bool tl_resize_center_crop(const struct tl_image *in, int width, int height, struct tl_image *out,
                           struct tl_err *err)
{
    /* Floors for both signs: a smaller picture is put at -((in - crop) div 2). */
    return tl_resize_crop(in, (in->width - width) >> 1, (in->height - height) >> 1, width, height, out, err);
}

bool tl_resize_crop(const struct tl_image *in, int left, int top, int width, int height, struct tl_image *out,
                    struct tl_err *err)
{
    if (!tl_image_init(out, width, height, in->channels, err)) return false;
    int from = left > 0 ? left : 0, to = left > 0 ? 0 : -left;
    int n = in->width - from < width - to ? in->width - from : width - to;
    if (n < 0) n = 0;
    size_t c = (size_t)in->channels;
    for (int y = 0; y < height; y++) {
        int source = y + top;
        if (source < 0 || source >= in->height) continue;
        memcpy(out->px + ((size_t)y * (size_t)width + (size_t)to) * c,
               in->px + ((size_t)source * (size_t)in->width + (size_t)from) * c, (size_t)n * c);
    }
    return true;
}
