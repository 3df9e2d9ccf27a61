/* The float variant: no rounding between the passes, none at the end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "io/resize.h"

/* [rows][n_in][inner] to [rows][n_out][inner]. Sums in double, rounded once a pass: Pillow's bits for mode F.
 */
static bool pass(const float *in, size_t rows, size_t inner, const struct tl_resize_axis *axis, float *out,
                 struct tl_err *err)
{
    double *sum = inner <= SIZE_MAX / sizeof *sum ? malloc(inner * sizeof *sum) : NULL;
    if (!sum) return tl_err_set(err, TL_BAD_INPUT, "out of memory resizing a picture");
    for (size_t r = 0; r < rows; r++) {
        const float *from = in + r * (size_t)axis->n_in * inner;
        for (int x = 0; x < axis->n_out; x++, out += inner) {
            const double *w = axis->weight + (size_t)x * (size_t)axis->most;
            memset(sum, 0, inner * sizeof *sum);
            for (int k = 0; k < axis->count[x]; k++) {
                const float *p = from + (size_t)(axis->first[x] + k) * inner;
                for (size_t i = 0; i < inner; i++) sum[i] += (double)p[i] * w[k];
            }
            for (size_t i = 0; i < inner; i++) out[i] = (float)sum[i];
        }
    }
    free(sum);
    return true;
}

bool tl_resize_floats(const float *in, int w, int h, int channels, int out_w, int out_h,
                      enum tl_resize_filter filter, float *out, struct tl_err *err)
{
    struct tl_resize_axis across = {0}, down = {0};
    size_t n = 0, c = (size_t)channels;
    float *middle = NULL;
    if (channels < 1) return tl_err_set(err, TL_BAD_INPUT, "cannot resize %d channels", channels);
    bool ok = tl_resize_axis_init(&across, w, out_w, filter, err) &&
              tl_resize_axis_init(&down, h, out_h, filter, err);
    ok = ok && ((tl_checked_mul((size_t)h, (size_t)out_w, &n) && tl_checked_mul(n, c, &n) &&
                 tl_checked_mul(n, sizeof *middle, &n) && (middle = malloc(n)) != NULL) ||
                tl_err_set(err, TL_BAD_INPUT, "out of memory resizing a picture"));
    if (ok) {
        if (w == out_w) {
            memcpy(middle, in, n);
        } else {
            ok = pass(in, (size_t)h, c, &across, middle, err);
        }
        if (ok && h == out_h) {
            memcpy(out, middle, n);
        } else if (ok) {
            ok = pass(middle, 1, (size_t)out_w * c, &down, out, err);
        }
    }
    free(middle);
    tl_resize_axis_finish(&across);
    tl_resize_axis_finish(&down);
    return ok;
}
