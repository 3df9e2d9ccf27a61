/* Small data folders for tests. */
#ifndef TL_TESTS_RUN_SUPPORT_DATA_H
#define TL_TESTS_RUN_SUPPORT_DATA_H

#include <stdint.h>

/* A PNG of one colour that gets darker to the right, so that mirrored ones differ; its folders are made. */
void support_picture(const char *path, int width, int height, uint8_t level);

#endif
