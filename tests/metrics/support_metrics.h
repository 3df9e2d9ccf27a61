/* Rows that tests of metrics stand on. */
#ifndef TL_TESTS_SUPPORT_METRICS_H
#define TL_TESTS_SUPPORT_METRICS_H

#include "support/check.h"

#include "metrics/features.h"

/* n standard normal rows, every row an item; the caller frees x. */
struct tl_features normal_rows(uint32_t sample, size_t n, size_t dim);

/* Rows given in the test. */
struct tl_features rows_of(const float *x, size_t n, size_t dim);

/* sin((i + 1)(j + 1) 0.37) and cos((i + 1)(j + 2) 0.53) + 0.1 j, the spec's X and Y. */
struct tl_features wave_x(size_t n, size_t dim);
struct tl_features wave_y(size_t n, size_t dim);

void rows_free(struct tl_features *x);

#endif
