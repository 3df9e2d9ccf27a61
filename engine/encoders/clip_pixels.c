#include "encoders/clip_pixels.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "io/file.h"
#include "io/json.h"

static const double openai_mean[3] = {0.48145466, 0.4578275, 0.40821073};
static const double openai_deviation[3] = {0.26862954, 0.26130258, 0.27577711};
enum { LARGEST = 1 << 14 };

/* ---- the config ---- */

static bool side_of(const cJSON *json, const char *key, int64_t fallback, int *out, struct tl_err *err)
{
    int64_t v;
    if (!tl_json_int(json, key, fallback, &v, err)) return false;
    if (v < 1 || v > LARGEST)
        return tl_err_set(err, TL_BAD_INPUT, "%s %lld is not between 1 and %d", key, (long long)v, LARGEST);
    *out = (int)v;
    return true;
}

/* A number stands for `one`; {"height", "width"} and {"shortest_edge"} for themselves. */
static bool read_size(const cJSON *json, struct tl_clip_pixels *p, struct tl_err *err)
{
    const cJSON *size = tl_json_get(json, "size");
    if (!size || cJSON_IsNumber(size)) return side_of(json, "size", p->side, &p->shortest, err);
    if (tl_json_get(size, "shortest_edge"))
        return side_of(size, "shortest_edge", 0, &p->shortest, err) || tl_err_add(err, "size");
    p->shortest = 0;
    return (side_of(size, "width", 0, &p->width, err) && side_of(size, "height", 0, &p->height, err)) ||
           tl_err_add(err, "size: only a number, shortest_edge, or width and height are supported");
}

static bool read_crop(const cJSON *json, struct tl_clip_pixels *p, struct tl_err *err)
{
    const cJSON *size = tl_json_get(json, "crop_size");
    if (!size || cJSON_IsNumber(size)) {
        if (!side_of(json, "crop_size", p->side, &p->crop_width, err)) return false;
        p->crop_height = p->crop_width;
        return true;
    }
    return (side_of(size, "width", 0, &p->crop_width, err) &&
            side_of(size, "height", 0, &p->crop_height, err)) ||
           tl_err_add(err, "crop_size");
}

static bool read_filter(const cJSON *json, enum tl_resize_filter *out, struct tl_err *err)
{
    int64_t v;
    if (!tl_json_int(json, "resample", TL_RESIZE_BICUBIC, &v, err)) return false;
    if (v < TL_RESIZE_LANCZOS || v > TL_RESIZE_BOX)
        return tl_err_set(err, TL_BAD_INPUT, "resample %lld is not supported: 1 (lanczos) to 4 (box) are",
                          (long long)v);
    *out = (enum tl_resize_filter)v;
    return true;
}

/* Three numbers; absent: OpenAI's. */
static bool read_triple(const cJSON *json, const char *key, const double fallback[3], double out[3],
                        struct tl_err *err)
{
    const cJSON *list = tl_json_get(json, key);
    memcpy(out, fallback, 3 * sizeof *out);
    for (int i = 0; list && i < 3; i++) {
        const cJSON *x =
            cJSON_IsArray(list) && cJSON_GetArraySize(list) == 3 ? cJSON_GetArrayItem(list, i) : NULL;
        if (!cJSON_IsNumber(x))
            return tl_err_set(err, TL_BAD_INPUT, "%s must be a list of three numbers", key);
        out[i] = x->valuedouble;
    }
    return true;
}

static bool read_normalisation(const cJSON *json, struct tl_clip_pixels *p, struct tl_err *err)
{
    static const double zeros[3], ones[3] = {1, 1, 1};
    bool rescale, normalise;
    if (!tl_json_bool(json, "do_rescale", true, &rescale, err) ||
        !tl_json_bool(json, "do_normalize", true, &normalise, err) ||
        !tl_json_double(json, "rescale_factor", 1.0 / 255, &p->factor, err))
        return false;
    if (!rescale) p->factor = 1;
    memcpy(p->mean, zeros, sizeof zeros);
    memcpy(p->deviation, ones, sizeof ones);
    if (normalise && (!read_triple(json, "image_mean", openai_mean, p->mean, err) ||
                      !read_triple(json, "image_std", openai_deviation, p->deviation, err)))
        return false;
    for (int c = 0; c < 3; c++)
        if (p->deviation[c] == 0) return tl_err_set(err, TL_BAD_INPUT, "image_std holds a zero");
    return true;
}

static bool read_steps(const cJSON *json, struct tl_clip_pixels *p, struct tl_err *err)
{
    bool resize, crop;
    if (!tl_json_bool(json, "do_resize", true, &resize, err) ||
        !tl_json_bool(json, "do_center_crop", true, &crop, err))
        return false;
    p->shortest = -1;
    if (resize && (!read_size(json, p, err) || !read_filter(json, &p->filter, err))) return false;
    if (crop && !read_crop(json, p, err)) return false;
    if (crop && (p->crop_width != p->side || p->crop_height != p->side))
        return tl_err_set(err, TL_BAD_INPUT, "crop_size %dx%d is not the model's image_size %d",
                          p->crop_width, p->crop_height, p->side);
    return read_normalisation(json, p, err);
}

bool tl_clip_pixels_read(const char *folder, int image_size, struct tl_clip_pixels *out, struct tl_err *err)
{
    struct tl_str path = {0};
    cJSON *json = NULL;
    *out = (struct tl_clip_pixels){.side = image_size, .filter = TL_RESIZE_BICUBIC};
    tl_path_join(&path, folder, "preprocessor_config.json");
    bool nested = !tl_file_exists(path.data ? path.data : "");
    if (nested) tl_path_join(&path, folder, "processor_config.json");
    bool ok = !path.failed || tl_err_set(err, TL_FAIL, "out of memory");
    if (ok && tl_file_exists(path.data)) {
        json = tl_json_read(path.data, err);
        ok = json != NULL;
    }
    const cJSON *steps = nested ? tl_json_get(json, "image_processor") : json;
    ok = ok && (read_steps(steps, out, err) || tl_err_add(err, "%s", path.data));
    cJSON_Delete(json);
    tl_str_finish(&path);
    return ok;
}

/* ---- sizes ---- */

/* What a picture is resized to. */
static void resized(const struct tl_clip_pixels *p, int width, int height, int *out_width, int *out_height)
{
    *out_width = p->shortest > 0 ? p->shortest : p->shortest < 0 ? width : p->width;
    *out_height = p->shortest > 0 ? p->shortest : p->shortest < 0 ? height : p->height;
    if (p->shortest > 0 && width > height) *out_width = (int)((int64_t)p->shortest * width / height);
    if (p->shortest > 0 && height > width) *out_height = (int)((int64_t)p->shortest * height / width);
}

/* Where the crop of n pixels to p->side begins. */
static int corner(const struct tl_clip_pixels *p, int n)
{
    int margin = n - p->side, half = margin >> 1;
    return half + (p->is_torchvision && margin > 0 && margin % 4 == 3);
}

/* Without a crop the resized picture itself must fit. */
static bool fits(const struct tl_clip_pixels *p, int width, int height, struct tl_err *err)
{
    int w, h;
    if (width < 1 || height < 1) return tl_err_set(err, TL_BAD_INPUT, "the picture is empty");
    resized(p, width, height, &w, &h);
    if (w > LARGEST || h > LARGEST)
        return tl_err_set(err, TL_BAD_INPUT, "a picture of %dx%d is too narrow: it would become %dx%d", width,
                          height, w, h);
    if (p->crop_width || (w == p->side && h == p->side)) return true;
    return tl_err_set(err, TL_BAD_INPUT, "a picture of %dx%d becomes %dx%d, and the encoder takes %dx%d",
                      width, height, w, h, p->side, p->side);
}

/* ---- bytes ---- */

bool tl_clip_pixels_bytes(const struct tl_clip_pixels *p, const uint8_t *rgb, int width, int height,
                          float *out, struct tl_err *err)
{
    struct tl_image whole = {width, height, 3, (uint8_t *)(uintptr_t)rgb}, small = {0}, cut = {0};
    int w, h;
    if (!fits(p, width, height, err)) return false;
    resized(p, width, height, &w, &h);
    const struct tl_image *at = &whole;
    bool ok = true;
    if (w != width || h != height) {
        ok = tl_resize_image(at, w, h, p->filter, &small, err);
        at = &small;
    }
    if (ok && p->crop_width && (w != p->side || h != p->side)) {
        ok = tl_resize_crop(at, corner(p, w), corner(p, h), p->side, p->side, &cut, err);
        at = &cut;
    }
    if (ok) {
        float table[3][256];
        size_t n = (size_t)p->side * (size_t)p->side;
        for (int c = 0; c < 3; c++)
            for (int v = 0; v < 256; v++)
                table[c][v] = (float)((v * p->factor - p->mean[c]) / p->deviation[c]);
        for (size_t i = 0; i < 3 * n; i++) out[i] = table[i % 3][at->px[i]];
    }
    tl_image_finish(&small);
    tl_image_finish(&cut);
    return ok;
}

/* ---- the differentiable way ---- */

static tl_val input(struct tl_graph *g, const char *prefix, const char *name, struct tl_shape shape)
{
    struct tl_str full = {0};
    tl_str_printf(&full, "%s.%s", prefix, name);
    tl_val v = full.failed ? TL_NONE : tl_input(g, full.data, TL_F32, shape);
    if (full.failed) tl_graph_fail(g, "out of memory");
    tl_str_finish(&full);
    return v;
}

tl_val tl_clip_pixels_build(const struct tl_clip_pixels *p, struct tl_graph *g, tl_val pictures,
                            const char *prefix)
{
    static const int32_t swap[] = {0, 2, 1};
    struct tl_err err = {0};
    if (pictures < 0) return TL_NONE;
    struct tl_shape s = *tl_shape_of(g, pictures);
    int64_t n = s.dim[0], h = s.dim[1], w = s.dim[2], side = p->side;
    if (s.rank != 4 || s.dim[3] != 3 || h > LARGEST || w > LARGEST || !fits(p, (int)w, (int)h, &err)) {
        tl_graph_fail(g, "%s", err.code ? err.text : "pictures for an encoder must be [N,H,W,3]");
        return TL_NONE;
    }
    tl_val rows = tl_reshape(g, input(g, prefix, "rows", tl_shape2(side, h)), tl_shape3(1, side, h));
    tl_val cols = input(g, prefix, "cols", tl_shape2(side, w));
    tl_val x = tl_reshape(g, pictures, tl_shape3(n, h, w * 3));
    x = tl_gemm(g, tl_broadcast(g, rows, tl_shape3(n, side, h)), x, TL_NONE, TL_NONE, false,
                false);                                                   /* [N,side,W*3] */
    x = tl_permute(g, tl_reshape(g, x, tl_shape3(n * side, w, 3)), swap); /* [N*side,3,W] */
    x = tl_gemm(g, tl_reshape(g, x, tl_shape2(n * side * 3, w)), cols, TL_NONE, TL_NONE, false, true);
    x = tl_permute(g, tl_reshape(g, x, tl_shape3(n * side, 3, side)), swap);
    x = tl_mul(g, tl_reshape(g, x, tl_shape4(n, side, side, 3)),
               input(g, prefix, "scale", tl_shape4(1, 1, 1, 3)));
    return tl_add(g, x, input(g, prefix, "shift", tl_shape4(1, 1, 1, 3)));
}

/* Rows of the filter's matrix that the centre crop keeps: weights [side][n_in]; zeros beside the picture. */
static bool filter_matrix(const struct tl_clip_pixels *p, int n_in, int n_out, float *weights,
                          struct tl_err *err)
{
    struct tl_resize_axis axis = {0};
    if (n_in != n_out && !tl_resize_axis_init(&axis, n_in, n_out, p->filter, err)) return false;
    int offset = corner(p, n_out);
    memset(weights, 0, (size_t)p->side * (size_t)n_in * sizeof *weights);
    for (int i = 0; i < p->side; i++) {
        int x = i + offset;
        float *row = weights + (size_t)i * (size_t)n_in;
        if (x < 0 || x >= n_out) continue;
        if (n_in == n_out) row[x] = 1;
        for (int k = 0; n_in != n_out && k < axis.count[x]; k++)
            row[axis.first[x] + k] = (float)axis.weight[(size_t)x * (size_t)axis.most + (size_t)k];
    }
    tl_resize_axis_finish(&axis);
    return true;
}

static bool write_input(struct tl_exec *exec, const char *prefix, const char *name, const float *data,
                        struct tl_err *err)
{
    struct tl_str full = {0};
    tl_str_printf(&full, "%s.%s", prefix, name);
    bool ok =
        full.failed ? tl_err_set(err, TL_FAIL, "out of memory") : tl_exec_write(exec, full.data, data, err);
    tl_str_finish(&full);
    return ok;
}

/* Columns of the matrix that the planned graph has: the pictures' height or width. */
static int planned(struct tl_exec *exec, const char *prefix, const char *name)
{
    struct tl_str full = {0};
    const struct tl_graph *g = tl_exec_graph(exec);
    tl_str_printf(&full, "%s.%s", prefix, name);
    tl_val v = full.failed ? TL_NONE : tl_graph_find_input(g, full.data);
    tl_str_finish(&full);
    return v < 0 ? 0 : (int)tl_shape_of(g, v)->dim[1];
}

bool tl_clip_pixels_feed(const struct tl_clip_pixels *p, struct tl_exec *exec, const char *prefix,
                         struct tl_err *err)
{
    int height = planned(exec, prefix, "rows"), width = planned(exec, prefix, "cols"), w, h;
    if (!height || !width) return tl_err_set(err, TL_FAIL, "the graph has no reward of prefix %s", prefix);
    resized(p, width, height, &w, &h);
    float scale[3], shift[3];
    for (int c = 0; c < 3; c++) { /* pictures in 0 to 1 are 8-bit values over 255 */
        scale[c] = (float)(255 * p->factor / p->deviation[c]);
        shift[c] = (float)(-p->mean[c] / p->deviation[c]);
    }
    size_t longest = (size_t)(width > height ? width : height);
    float *m = calloc((size_t)p->side * longest, sizeof *m);
    bool ok = m || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && filter_matrix(p, height, h, m, err) && write_input(exec, prefix, "rows", m, err);
    ok = ok && filter_matrix(p, width, w, m, err) && write_input(exec, prefix, "cols", m, err);
    free(m);
    return ok && write_input(exec, prefix, "scale", scale, err) &&
           write_input(exec, prefix, "shift", shift, err);
}
