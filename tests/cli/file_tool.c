/* For the scripts: what they cannot do with files themselves.
 *
 *   file_tool take IN PREFIX OUT         the tensors whose names begin with PREFIX, without it
 *   file_tool compare OURS REF PREFIX LIMIT   every tensor of OURS against PREFIX + its name in REF by
 * relative L2; prints name and error, fails beyond the limit or where REF lacks it file_tool names FILE one a
 * line file_tool picture OUT KEY TEXT         a PNG of 4 x 2 with one text
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/image.h"
#include "io/safetensors.h"

static int complain(const struct tl_err *err)
{
    fprintf(stderr, "file_tool: %s\n", err->text);
    return 1;
}

static int take(const struct tl_st_file *in, const char *prefix, const char *path)
{
    struct tl_err err = {0};
    size_t n = 0, count = tl_st_count(in);
    struct tl_st_item *items = calloc(count + 1, sizeof *items);
    for (size_t i = 0; items && i < count; i++) {
        const struct tl_st_tensor *t = tl_st_at(in, i);
        if (strncmp(t->name, prefix, strlen(prefix)) != 0) continue;
        items[n] = (struct tl_st_item){
            .name = t->name + strlen(prefix), .dtype = t->dtype, .rank = t->rank, .data = t->data};
        memcpy(items[n++].shape, t->shape, sizeof t->shape);
    }
    bool ok = items && tl_st_write(path, items, n, NULL, &err);
    free(items);
    return ok ? 0 : complain(&err);
}

static double relative_l2(const struct tl_st_tensor *a, const struct tl_st_tensor *b, struct tl_err *err)
{
    float *x = malloc((a->n + 1) * sizeof *x), *y = malloc((b->n + 1) * sizeof *y);
    double d = 0, r = 0, e = NAN;
    if (x && y && a->n == b->n && tl_st_to_f32(a, x, err) && tl_st_to_f32(b, y, err)) {
        for (size_t i = 0; i < a->n; i++) {
            d += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
            r += (double)y[i] * y[i];
        }
        e = d == 0 ? 0 : sqrt(d / (r > 0 ? r : 1));
    }
    free(x);
    free(y);
    return e;
}

static int compare(const struct tl_st_file *ours, const struct tl_st_file *ref, const char *prefix,
                   double limit)
{
    int bad = tl_st_count(ours) == 0;
    for (size_t i = 0; i < tl_st_count(ours); i++) {
        struct tl_err err = {0};
        const struct tl_st_tensor *a = tl_st_at(ours, i);
        char name[1024];
        snprintf(name, sizeof name, "%s%s", strncmp(a->name, "grad.", 5) == 0 ? "" : prefix, a->name);
        const struct tl_st_tensor *b = tl_st_find(ref, name);
        bool same = b && a->rank == b->rank && memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0;
        double e = same ? relative_l2(a, b, &err) : NAN;
        printf("%s %.2e%s\n", name, e, !b ? " (not in the reference)" : !same ? " (another shape)" : "");
        bad |= !(e <= limit);
    }
    return bad;
}

static int picture(const char *path, const char *key, const char *text)
{
    struct tl_err err = {0};
    struct tl_image image = {0};
    struct tl_png_text row = {key, text};
    bool ok = tl_image_init(&image, 4, 2, 3, &err) && tl_image_save_png(path, &image, &row, 1, &err);
    tl_image_finish(&image);
    return ok ? 0 : complain(&err);
}

static int pixels(const char *a_path, const char *b_path, int limit)
{
    struct tl_err err = {0};
    struct tl_image a = {0}, b = {0};
    int worst = 256;
    if (!tl_image_load(a_path, &a, &err) || !tl_image_load(b_path, &b, &err)) {
        complain(&err);
    } else if (a.width == b.width && a.height == b.height) {
        worst = 0;
        for (size_t i = 0; i < (size_t)a.width * (size_t)a.height * 3; i++)
            if (abs(a.px[i] - b.px[i]) > worst) worst = abs(a.px[i] - b.px[i]);
    }
    printf("%s and %s: %d apart\n", a_path, b_path, worst);
    tl_image_finish(&a);
    tl_image_finish(&b);
    return worst > limit;
}

int main(int argc, char **argv)
{
    struct tl_err err = {0};
    if (argc == 5 && strcmp(argv[1], "picture") == 0) return picture(argv[2], argv[3], argv[4]);
    if (argc == 5 && strcmp(argv[1], "pixels") == 0) return pixels(argv[2], argv[3], atoi(argv[4]));
    struct tl_st_file *a = argc > 2 ? tl_st_open(argv[2], &err) : NULL, *b = NULL;
    int result = 2;
    if (!a) return argc > 2 ? complain(&err) : 2;
    if (argc == 5 && strcmp(argv[1], "take") == 0) {
        result = take(a, argv[3], argv[4]);
    } else if (argc == 6 && strcmp(argv[1], "compare") == 0) {
        b = tl_st_open(argv[3], &err);
        result = b ? compare(a, b, argv[4], atof(argv[5])) : complain(&err);
    } else if (argc == 3 && strcmp(argv[1], "names") == 0) {
        for (size_t i = 0; i < tl_st_count(a); i++) printf("%s\n", tl_st_at(a, i)->name);
        result = 0;
    }
    tl_st_close(&a);
    tl_st_close(&b);
    return result;
}
