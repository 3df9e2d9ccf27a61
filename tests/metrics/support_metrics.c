#include "metrics/support_metrics.h"

#include "base/rng.h"

static struct tl_features room(size_t n, size_t dim, float **out)
{
    *out = malloc(n * dim * sizeof **out);
    assert_non_null(*out);
    return (struct tl_features){.x = *out, .n = n, .dim = dim, .n_items = n};
}

struct tl_features normal_rows(uint32_t sample, size_t n, size_t dim)
{
    float *x;
    struct tl_features f = room(n, dim, &x);
    tl_rng_normal((struct tl_rng_key){.seed = 5, .stream = TL_RNG_TEST, .sample = sample}, 0, n * dim, x);
    return f;
}

struct tl_features rows_of(const float *x, size_t n, size_t dim)
{
    return (struct tl_features){.x = x, .n = n, .dim = dim, .n_items = n};
}

struct tl_features wave_x(size_t n, size_t dim)
{
    float *x;
    struct tl_features f = room(n, dim, &x);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < dim; j++) x[i * dim + j] = (float)sin((double)((i + 1) * (j + 1)) * 0.37);
    return f;
}

struct tl_features wave_y(size_t n, size_t dim)
{
    float *x;
    struct tl_features f = room(n, dim, &x);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < dim; j++)
            x[i * dim + j] = (float)(cos((double)((i + 1) * (j + 2)) * 0.53) + 0.1 * (double)j);
    return f;
}

void rows_free(struct tl_features *x)
{
    free((void *)x->x);
    *x = (struct tl_features){0};
}
