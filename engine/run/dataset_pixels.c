/* Pixels of a data set as networks read them. */
#include <stdlib.h>
#include <string.h>

#include "io/decode_pool.h"
#include "run/dataset.h"

/* Part of a picture whose rows are `stride` pixels long: [h][w][3] in [-1,1]. */
static void to_floats(const uint8_t *px, size_t stride, int h, int w, bool flip, float *out)
{
    size_t wide = (size_t)w;
    for (size_t r = 0; r < (size_t)h; r++) {
        const uint8_t *row = px + r * stride * 3;
        float *to = out + r * wide * 3;
        for (size_t x = 0; x < wide; x++)
            for (size_t k = 0; k < 3; k++)
                to[3 * x + k] = (float)row[3 * (flip ? wide - 1 - x : x) + k] * (1.0f / 127.5f) - 1.0f;
    }
}

void tl_dataset_pixels(const struct tl_dataset *d, int i, int y, int x, int h, int w, float *out)
{
    size_t stride = (size_t)tl_dataset_bucket(d, i)->width;
    to_floats(d->px + d->start[i] + ((size_t)y * stride + (size_t)x) * 3, stride, h, w, false, out);
}

struct reading {
    int height, width;
    bool flip;
    float *out;
    struct tl_err *err;
    bool failed;
};

static bool take(void *user, size_t i, struct tl_image *image, const struct tl_err *error)
{
    struct reading *r = user;
    r->failed = error != NULL;
    if (error) {
        tl_err_set(r->err, error->code, "%s", error->text);
        return tl_err_add(r->err, "the picture could be read when the run began");
    }
    to_floats(image->px, (size_t)image->width, r->height, r->width, r->flip,
              r->out + i * (size_t)r->height * (size_t)r->width * 3);
    return true;
}

static bool decode(struct tl_dataset *d, const int *pictures, int n, struct reading *r)
{
    struct tl_decode_job *jobs = malloc((size_t)n * sizeof *jobs);
    bool ok = jobs || tl_err_set(r->err, TL_FAIL, "out of memory");
    for (int i = 0; ok && i < n; i++) {
        const struct tl_bucket *b = tl_dataset_bucket(d, pictures[i]);
        jobs[i] = (struct tl_decode_job){.path = d->folder.items[d->item[pictures[i]]].path,
                                         .kind = TL_DECODE_PIXELS,
                                         .width = b->width,
                                         .height = b->height};
    }
    if (ok && !d->decoders) d->decoders = tl_decode_pool_open(NULL, r->err);
    ok = ok && d->decoders && tl_decode_pool_run(d->decoders, jobs, (size_t)n, take, r, r->err) && !r->failed;
    free(jobs);
    return ok;
}

bool tl_dataset_read(struct tl_dataset *d, const int *pictures, int n, int height, int width, bool flip,
                     float *out, struct tl_err *err)
{
    struct reading r = {.height = height, .width = width, .flip = flip, .out = out, .err = err};
    if (n < 1) return true;
    if (!d->px) return decode(d, pictures, n, &r);
    for (int i = 0; i < n; i++) {
        size_t stride = (size_t)tl_dataset_bucket(d, pictures[i])->width;
        to_floats(d->px + d->start[pictures[i]], stride, height, width, flip,
                  out + (size_t)i * (size_t)height * (size_t)width * 3);
    }
    return true;
}
