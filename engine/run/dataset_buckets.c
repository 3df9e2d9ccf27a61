#include "run/dataset_buckets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_STEP = 64, MOST_SIDE = 16384 };

static int by_size(const void *a, const void *b)
{
    const struct tl_size *x = a, *y = b;
    return x->width != y->width ? x->width - y->width : x->height - y->height;
}

static void add(struct tl_bucket_rule *r, int width, int height)
{
    for (int i = 0; i < r->n; i++)
        if (r->sizes[i].width == width && r->sizes[i].height == height) return;
    r->sizes[r->n++] = (struct tl_size){width, height};
}

static bool list_sizes(struct tl_bucket_rule *r, int least, int most, struct tl_err *err)
{
    int step = r->step, square = r->area_side / step * step;
    int64_t area = (int64_t)r->area_side * r->area_side;
    r->sizes = malloc((2 * (size_t)(most / step) + 3) * sizeof *r->sizes);
    if (!r->sizes) return tl_err_set(err, TL_FAIL, "out of memory");
    add(r, square, square);
    for (int width = least; width <= most; width += step) {
        int64_t height = area / width / step * step;
        if (height > most) height = most;
        if (height < least) continue;
        add(r, width, (int)height);
        add(r, (int)height, width);
    }
    qsort(r->sizes, (size_t)r->n, sizeof *r->sizes, by_size);
    return true;
}

bool tl_bucket_rule_init(struct tl_bucket_rule *r, const struct tl_dataset_params *p, struct tl_err *err)
{
    int step = p->bucket_step ? p->bucket_step : DEFAULT_STEP;
    *r = (struct tl_bucket_rule){.area_side = p->area_side, .step = step, .no_upscale = p->no_upscale};
    if (p->area_side < 1 || p->area_side > MOST_SIDE || step < 1 || step > p->area_side)
        return tl_err_set(err, TL_USAGE,
                          "buckets of up to %dx%d pixels in steps of %d: the side must be 1 to %d, the step "
                          "at most the side",
                          p->area_side, p->area_side, step, MOST_SIDE);
    /* whole steps, so that every size is one */
    int least = p->area_side / 2 / step * step, most = 2 * p->area_side / step * step;
    if (least < step) least = step;
    return p->no_upscale || list_sizes(r, least, most, err);
}

void tl_bucket_rule_finish(struct tl_bucket_rule *r)
{
    free(r->sizes);
    *r = (struct tl_bucket_rule){0};
}

static struct tl_size nearest(const struct tl_bucket_rule *r, int width, int height)
{
    struct tl_size best = {0};
    double ratio = (double)width / height, least = INFINITY;
    for (int i = 0; i < r->n; i++) {
        struct tl_size s = r->sizes[i];
        double off = fabs((double)s.width / s.height - ratio);
        if (s.width == width && s.height == height) return s;
        if (off < least) {
            least = off;
            best = s;
        }
    }
    return best;
}

static double round_down(double x, int step)
{
    double whole = floor(x + 0.5);
    return whole - fmod(whole, step);
}

/* Its area shrunk to the rule's, one side a multiple of the step: the side that bends the ratio less. */
static struct tl_size shrink(const struct tl_bucket_rule *r, int width, int height)
{
    double area = (double)r->area_side * r->area_side, ratio = (double)width / height;
    double wide = round_down(sqrt(area * ratio), r->step),
           tall = round_down(area / sqrt(area * ratio), r->step);
    double tall_of_wide = round_down(wide / ratio, r->step), wide_of_tall = round_down(tall * ratio, r->step);
    double off_wide = tall_of_wide > 0 ? fabs(wide / tall_of_wide - ratio) : INFINITY,
           off_tall = tall > 0 ? fabs(wide_of_tall / tall - ratio) : INFINITY;
    if (off_wide < off_tall) return (struct tl_size){(int)wide, (int)floor(wide / ratio + 0.5)};
    return (struct tl_size){(int)floor(tall * ratio + 0.5), (int)tall};
}

struct tl_size tl_bucket_rule_pick(const struct tl_bucket_rule *r, int width, int height)
{
    if (!r->no_upscale) return nearest(r, width, height);
    struct tl_size s = {width, height};
    if ((int64_t)width * height > (int64_t)r->area_side * r->area_side) s = shrink(r, width, height);
    s.width -= s.width % r->step;
    s.height -= s.height % r->step;
    return s.width && s.height ? s : (struct tl_size){0, 0};
}
