#include "support_data.h"

#include "support/check.h"

#include "base/arena.h"
#include "io/file.h"
#include "io/image.h"

void support_picture(const char *path, int width, int height, uint8_t level)
{
    struct tl_err err = {0};
    struct tl_image image = {0};
    struct tl_arena arena = {0};
    check_ok(tl_file_make_folder(tl_path_folder_in(&arena, path), &err) &&
                 tl_image_init(&image, width, height, 3, &err),
             &err);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int k = 0; k < 3; k++)
                image.px[(y * width + x) * 3 + k] = (uint8_t)(level - level * x / (2 * width));
    check_ok(tl_image_save_png(path, &image, NULL, 0, &err), &err);
    tl_image_finish(&image);
    tl_arena_finish(&arena);
}
