/* Reward `colour`: minus the distance of a picture's mean colour from a target.
 *
 * The mean is of linear light, which is what reaches the eye from afar: black and white pixels in equal parts
 * count as sRGB 188, as they look, not 128. The distance is Euclid's in OKLab, where equal steps look about
 * equally large for dark, light, dull and vivid colours alike; black and white are 1 apart, the farthest that
 * two colours can be, and 0.02 is just seen. In sRGB or in linear light a reward would hardly tell dark
 * colours apart. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "rewards/oklab.h"
#include "rewards/rewards.h"
#include "rewards/spec.h"

/* CSS's values. */
static const struct {
    const char *name;
    uint8_t rgb[3];
} names[] = {
    {"black", {0, 0, 0}},      {"white", {255, 255, 255}}, {"grey", {128, 128, 128}},
    {"gray", {128, 128, 128}}, {"red", {255, 0, 0}},       {"green", {0, 128, 0}},
    {"lime", {0, 255, 0}},     {"blue", {0, 0, 255}},      {"yellow", {255, 255, 0}},
    {"cyan", {0, 255, 255}},   {"magenta", {255, 0, 255}}, {"orange", {255, 165, 0}},
    {"purple", {128, 0, 128}}, {"brown", {165, 42, 42}},   {"pink", {255, 192, 203}},
    {"navy", {0, 0, 128}},     {"teal", {0, 128, 128}},    {"olive", {128, 128, 0}},
};
enum { N_NAMES = sizeof names / sizeof *names };

struct colour {
    struct tl_reward base;
    char text[8];     /* "#rrggbb" */
    double target[3]; /* OKLab */
    double farthest;  /* distance of the colour that is farthest from it */
    double linear[256];
};

/* ---- opening ---- */

/* "#rrggbb" or "#rgb". */
static bool read_hex(const char *text, uint8_t rgb[3])
{
    size_t n = strlen(text);
    if (text[0] != '#' || (n != 4 && n != 7) || text[1 + strspn(text + 1, "0123456789abcdefABCDEF")])
        return false;
    unsigned long v = strtoul(text + 1, NULL, 16);
    for (int i = 0; i < 3; i++)
        rgb[i] = n == 7 ? (uint8_t)(v >> (8 * (2 - i))) : (uint8_t)(17 * ((v >> (4 * (2 - i))) & 15));
    return true;
}

/* "R,G,B", 0 to 255. */
static bool read_triple(const char *text, uint8_t rgb[3])
{
    for (int i = 0; i < 3; i++) {
        double x;
        size_t n = strcspn(text, ",");
        if (!tl_spec_number(text, n, &x) || !(x >= 0 && x <= 255) || x != floor(x)) return false;
        rgb[i] = (uint8_t)x;
        text += n;
        if (*text != (i < 2 ? ',' : 0)) return false;
        text++;
    }
    return true;
}

static bool read_name(const char *text, uint8_t rgb[3])
{
    for (size_t i = 0; i < N_NAMES; i++) {
        if (strcmp(text, names[i].name) != 0) continue;
        memcpy(rgb, names[i].rgb, sizeof names[i].rgb);
        return true;
    }
    return false;
}

static bool refuse(const char *text, struct tl_err *err)
{
    const char *all[N_NAMES];
    struct tl_str list = {0};
    for (size_t i = 0; i < N_NAMES; i++) {
        all[i] = names[i].name;
        tl_str_printf(&list, "%s%s", i ? ", " : "", all[i]);
    }
    const char *near = *text ? tl_str_nearest(text, all, N_NAMES) : NULL;
    if (near)
        tl_err_set(err, TL_USAGE, "there is no colour '%s'; did you mean %s?", text, near);
    else
        tl_err_set(err, TL_USAGE,
                   "'%s' is no colour; write colour:R,G,B with 0 to 255, colour:#rrggbb, or one of %s", text,
                   list.data ? list.data : "");
    tl_str_finish(&list);
    return false;
}

static double distance(const double a[3], const double b[3])
{
    double sum = 0;
    for (int i = 0; i < 3; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(sum);
}

static void take(struct colour *c, const uint8_t rgb[3])
{
    double linear[3], corner[3];
    snprintf(c->text, sizeof c->text, "#%02x%02x%02x", rgb[0], rgb[1], rgb[2]);
    for (int v = 0; v < 256; v++) c->linear[v] = tl_srgb_to_linear(v / 255.0);
    for (int i = 0; i < 3; i++) linear[i] = c->linear[rgb[i]];
    tl_oklab_of_linear(linear, c->target);
    for (int k = 0; k < 8; k++) { /* the farthest colour is a corner of the cube */
        for (int i = 0; i < 3; i++) linear[i] = (k >> i) & 1;
        tl_oklab_of_linear(linear, corner);
        c->farthest = fmax(c->farthest, distance(corner, c->target));
    }
}

static struct tl_reward *colour_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    uint8_t rgb[3];
    (void)env;
    if (!arg) arg = "";
    if (!read_hex(arg, rgb) && !read_triple(arg, rgb) && !read_name(arg, rgb)) {
        refuse(arg, err);
        return NULL;
    }
    struct colour *c = calloc(1, sizeof *c);
    if (!c) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    c->base.cls = &tl_reward_colour;
    take(c, rgb);
    return &c->base;
}

static void colour_close(struct tl_reward *reward)
{
    free(reward);
}

static bool colour_about(const struct tl_reward *reward, struct tl_reward_about *out, struct tl_err *err)
{
    const struct colour *c = (const struct colour *)reward;
    (void)err;
    out->variant = c->text;
    out->low = -c->farthest;
    return true;
}

/* ---- scoring ---- */

static double score_one(const struct colour *c, const struct tl_reward_item *item)
{
    size_t n = (size_t)item->width * (size_t)item->height, count[3][256] = {{0}};
    double mean[3] = {0}, lab[3];
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 3; k++) count[k][item->rgb[3 * i + (size_t)k]]++;
    for (int k = 0; k < 3; k++)
        for (int v = 0; v < 256; v++) mean[k] += (double)count[k][v] * c->linear[v] / (double)n;
    tl_oklab_of_linear(mean, lab);
    return -distance(lab, c->target);
}

static bool colour_score(struct tl_reward *reward, const struct tl_reward_item *items, size_t n, double *out,
                         struct tl_err *err)
{
    (void)err;
    for (size_t i = 0; i < n; i++) out[i] = score_one((const struct colour *)reward, &items[i]);
    return true;
}

/* ---- the gradient ---- */

/* Keeps the cube root's slope finite at black, and the distance's at the target. */
static const float no_light = 1e-7f, no_distance = 1e-8f;

/* sRGB's two pieces as a sum: the line up to the knee, the power beyond it. */
static tl_val to_linear(struct tl_graph *g, tl_val x)
{
    const double knee = 0.04045;
    tl_val above = tl_unary(g, TL_UNARY_RELU, tl_unary(g, TL_UNARY_AFFINE, x, 1, (float)-knee), 0, 0);
    tl_val line = tl_scale(g, tl_binary(g, TL_BINARY_SUB, x, above), (float)(1 / 12.92));
    tl_val base = tl_unary(g, TL_UNARY_AFFINE, above, (float)(1 / 1.055), (float)((knee + 0.055) / 1.055));
    tl_val power = tl_unary(g, TL_UNARY_EXP, tl_scale(g, tl_unary(g, TL_UNARY_LOG, base, 0, 0), 2.4f), 0, 0);
    return tl_unary(g, TL_UNARY_AFFINE, tl_add(g, line, power), 1, (float)-tl_srgb_to_linear(knee));
}

static tl_val input(struct tl_graph *g, const char *prefix, const char *name, struct tl_shape shape)
{
    struct tl_str full = {0};
    tl_str_printf(&full, "%s.%s", prefix, name);
    tl_val v = full.failed ? TL_NONE : tl_input(g, full.data, TL_F32, shape);
    tl_str_finish(&full);
    return v;
}

static tl_val colour_build(struct tl_reward *reward, struct tl_graph *g, const struct tl_reward_fragment *f)
{
    (void)reward;
    const struct tl_shape s = *tl_shape_of(g, f->pictures);
    if (s.rank != 4 || s.dim[3] != 3) {
        tl_graph_fail(g, "pictures for a colour must be [N,H,W,3]");
        return TL_NONE;
    }
    int64_t n = s.dim[0];
    tl_val cones = input(g, f->prefix, "cones", tl_shape2(3, 3)),
           axes = input(g, f->prefix, "axes", tl_shape2(3, 3));
    tl_val target = input(g, f->prefix, "target", tl_shape2(1, 3));
    if (cones < 0 || axes < 0 || target < 0) return TL_NONE;
    tl_val x = to_linear(g, tl_unary(g, TL_UNARY_CLAMP, f->pictures, 0, 1));
    x = tl_scale(g, tl_reduce_sum(g, x, tl_shape4(n, 1, 1, 3)), 1 / (float)(s.dim[1] * s.dim[2]));
    x = tl_gemm(g, tl_reshape(g, x, tl_shape2(n, 3)), cones, TL_NONE, TL_NONE, false, true);
    x = tl_unary(g, TL_UNARY_LOG, tl_unary(g, TL_UNARY_AFFINE, x, 1, no_light), 0, 0);
    x = tl_unary(g, TL_UNARY_EXP, tl_scale(g, x, 1.0f / 3), 0, 0);
    x = tl_binary(g, TL_BINARY_SUB, tl_gemm(g, x, axes, TL_NONE, TL_NONE, false, true), target);
    x = tl_reduce_sum(g, tl_unary(g, TL_UNARY_SQUARE, x, 0, 0), tl_shape2(n, 1));
    x = tl_unary(g, TL_UNARY_SQRT, tl_unary(g, TL_UNARY_AFFINE, x, 1, no_distance), 0, 0);
    return tl_reshape(g, tl_scale(g, x, -1), tl_shape1(n));
}

static bool feed_one(struct tl_exec *exec, const char *prefix, const char *name, const double *x, int n,
                     struct tl_err *err)
{
    struct tl_str full = {0};
    float data[9];
    for (int i = 0; i < n; i++) data[i] = (float)x[i];
    tl_str_printf(&full, "%s.%s", prefix, name);
    bool ok =
        full.failed ? tl_err_set(err, TL_FAIL, "out of memory") : tl_exec_write(exec, full.data, data, err);
    tl_str_finish(&full);
    return ok;
}

static bool colour_feed(struct tl_reward *reward, struct tl_exec *exec, const struct tl_reward_fragment *f,
                        const char *const *prompts, size_t n, struct tl_err *err)
{
    (void)prompts;
    (void)n;
    return feed_one(exec, f->prefix, "cones", &tl_oklab_cones[0][0], 9, err) &&
           feed_one(exec, f->prefix, "axes", &tl_oklab_axes[0][0], 9, err) &&
           feed_one(exec, f->prefix, "target", ((const struct colour *)reward)->target, 3, err);
}

const struct tl_reward_class tl_reward_colour = {
    .info = {.name = "colour",
             .help = "minus the distance of the mean colour from a target, in OKLab",
             .argument = "R,G,B or #rrggbb or NAME",
             .modality = "image",
             .kind = TL_REWARD_PER_ITEM,
             .has_gradient = true,
             .deterministic = true,
             .low = -1,
             .high = 0},
    .open = colour_open,
    .close = colour_close,
    .score = colour_score,
    .about = colour_about,
    .build = colour_build,
    .feed = colour_feed,
};
