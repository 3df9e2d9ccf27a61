/* Clips to tokens: batch norm per mel band, time stretched to the square's, the picture folded, patches;
 * fused checkpoints add the stretches of longer clips by attention (AFF). */
#include <math.h>
#include <stdio.h>

#include "models/clap_inner.h"

static const float norm_eps = 1e-5f; /* torch's default, which the config does not touch */

/* ---- stretching ---- */

int tl_clap_frames(const struct tl_clap_audio_config *c)
{
    return c->side * (c->side / c->bands);
}

/* Torch's cubic kernel at distance d >= 0. */
static double cubic(double d)
{
    const double a = -0.75;
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

void tl_clap_time_weights(const struct tl_clap_audio_config *c, int64_t frames, float *out)
{
    int64_t n = tl_clap_frames(c);
    /* in float, as torch has it: at whole places the last bits would differ */
    float step = n > 1 ? (float)(frames - 1) / (float)(n - 1) : 0;
    for (int64_t i = 0; i < frames * n; i++) out[i] = 0;
    for (int64_t t = 0; t < n; t++) {
        float place = step * (float)t;
        int64_t first = (int64_t)floorf(place);
        double rest = (double)(place - (float)first);
        for (int64_t k = -1; k <= 2; k++) {
            int64_t at = first + k;
            at = at < 0 ? 0 : at >= frames ? frames - 1 : at;
            out[at * n + t] += (float)cubic(fabs(rest - (double)k));
        }
    }
}

/* ---- the picture ---- */

/* [N,T,F,C] to [N,C,S,S]: mel bands of chunk k of the time at rows k*F and on. */
static tl_val picture(struct tl_nn *nn, const struct tl_clap_audio_config *c, tl_val features,
                      tl_val time_weights)
{
    struct tl_graph *g = nn->g;
    if (features < 0) return TL_NONE;
    struct tl_shape s = *tl_shape_of(g, features);
    int64_t n = s.dim[0], t = s.dim[1], f = s.dim[2], ch = s.dim[3], full = tl_clap_frames(c);
    if (f != c->bands || t > full) {
        tl_graph_fail(g, "clips of %lld frames and %lld bands; this encoder takes at most %lld and %d",
                      (long long)t, (long long)f, (long long)full, c->bands);
        return TL_NONE;
    }
    tl_val x = tl_permute(g, features, (const int32_t[]){0, 3, 1, 2});
    x = tl_nn_batch_norm(nn, x, norm_eps, true, "audio_model.audio_encoder.batch_norm");
    x = tl_permute(g, x, (const int32_t[]){0, 1, 3, 2});
    x = tl_reshape(g, x, tl_shape2(n * ch * f, t));
    if (t < full) x = tl_gemm(g, x, time_weights, TL_NONE, TL_NONE, false, false);
    int64_t fold = c->side / f;
    x = tl_permute(g, tl_reshape(g, x, tl_shape4(n * ch, f, fold, c->side)), (const int32_t[]){0, 2, 1, 3});
    return tl_reshape(g, x, tl_shape4(n, ch, c->side, c->side));
}

/* A convolution of patches, `across` of them wide: x [N,H,W,I] to [N,P,Q,width]. */
static tl_val patch_conv(struct tl_nn *nn, const struct tl_clap_audio_config *c, tl_val x, int across,
                         const char *name)
{
    int32_t pad = (c->patch - c->stride) / 2;
    struct tl_nn_conv conv = {.kernel = c->patch,
                              .kernel_w = c->patch * across,
                              .stride = c->stride,
                              .stride_w = c->stride * across,
                              .pad = {pad, pad, pad, pad}};
    return tl_nn_conv2d(nn, x, c->width, conv, "%s", name);
}

/* ---- fusion ---- */

/* Convolution of 1x1, norm, relu, convolution, norm; layers numbered from `first`. */
static tl_val fusion_branch(struct tl_nn *nn, const struct tl_clap_audio_config *c, tl_val x,
                            const char *branch, int first)
{
    char name[96];
    int inner = c->width / c->aff_r;
    snprintf(name, sizeof name, "audio_model.audio_encoder.patch_embed.fusion_model.%s", branch);
    x = tl_nn_conv1x1(nn, x, inner, true, "%s.%d", name, first);
    x = tl_nn_batch_norm(nn, x, norm_eps, true, "%s.%d", name, first + 1);
    x = tl_nn_conv1x1(nn, tl_nn_activation(nn, x, "relu"), c->width, true, "%s.%d", name, first + 3);
    return tl_nn_batch_norm(nn, x, norm_eps, true, "%s.%d", name, first + 4);
}

/* x, r [N,S,S,D] to 2 x w + 2 r (1 - w), w = sigmoid(local(x + r) + global(mean of x + r)). */
static tl_val fuse(struct tl_nn *nn, const struct tl_clap_audio_config *c, tl_val x, tl_val r)
{
    struct tl_graph *g = nn->g;
    tl_val sum = tl_add(g, x, r);
    if (sum < 0) return TL_NONE;
    struct tl_shape s = *tl_shape_of(g, sum), one = tl_shape4(s.dim[0], 1, 1, s.dim[3]);
    tl_val mean = tl_scale(g, tl_reduce_sum(g, sum, one), (float)(1.0 / (double)(s.dim[1] * s.dim[2])));
    tl_val w =
        tl_add(g, fusion_branch(nn, c, sum, "local_att", 0), fusion_branch(nn, c, mean, "global_att", 1));
    w = tl_unary(g, TL_UNARY_SIGMOID, w, 0, 0);
    /* r + (x - r) w, twice */
    return tl_scale(g, tl_add(g, r, tl_mul(g, tl_sub(g, x, r), w)), 2);
}

/* The stretches, picture [N,4,S,S] to [N,P,P,D]: each a third of the width, zeros behind the last. */
static tl_val stretches(struct tl_nn *nn, const struct tl_clap_audio_config *c, tl_val x, int64_t n)
{
    struct tl_graph *g = nn->g;
    int64_t parts = TL_CLAP_FUSED_CHANNELS - 1, side = c->side;
    x = tl_reshape(g, tl_slice(g, x, 1, 1, parts), tl_shape4(n * parts, side, side, 1));
    x = patch_conv(nn, c, x, 3, "audio_model.audio_encoder.patch_embed.mel_conv2d");
    if (x < 0) return TL_NONE;
    struct tl_shape s = *tl_shape_of(g, x);
    int64_t height = s.dim[1], width = s.dim[2], d = s.dim[3], full = c->side / c->stride;
    x = tl_permute(g, tl_reshape(g, x, tl_shape4(n, parts, height, width * d)),
                   (const int32_t[]){0, 2, 1, 3});
    x = tl_reshape(g, x, tl_shape4(n, height, parts * width, d));
    return parts * width <= full ? tl_pad(g, x, 2, 0, full - parts * width) : tl_slice(g, x, 2, 0, full);
}

/* Clips that are not longer keep their global patches. */
static tl_val add_stretches(struct tl_nn *nn, const struct tl_clap_audio_config *c, tl_val whole,
                            tl_val image, tl_val is_longer, int64_t n)
{
    struct tl_graph *g = nn->g;
    tl_val fused = fuse(nn, c, whole, stretches(nn, c, image, n));
    tl_val is = tl_reshape(g, is_longer, tl_shape4(n, 1, 1, 1));
    return tl_add(g, whole, tl_mul(g, tl_sub(g, fused, whole), is));
}

tl_val tl_clap_patches(struct tl_nn *nn, const struct tl_clap_audio_config *c, tl_val features,
                       tl_val is_longer, tl_val time_weights)
{
    struct tl_graph *g = nn->g;
    if (features < 0) return TL_NONE;
    int64_t n = tl_shape_of(g, features)->dim[0], ch = tl_shape_of(g, features)->dim[3];
    if (ch != (c->is_fused ? TL_CLAP_FUSED_CHANNELS : c->channels)) {
        tl_graph_fail(g, "clips of %lld channels; this encoder takes %d", (long long)ch,
                      c->is_fused ? TL_CLAP_FUSED_CHANNELS : c->channels);
        return TL_NONE;
    }
    tl_val image = picture(nn, c, features, time_weights), first = image;
    if (c->is_fused) first = tl_slice(g, image, 1, 0, 1);
    int64_t in = c->is_fused ? 1 : ch;
    first = in == 1 ? tl_reshape(g, first, tl_shape4(n, c->side, c->side, 1))
                    : tl_permute(g, first, (const int32_t[]){0, 2, 3, 1});
    tl_val x = patch_conv(nn, c, first, 1, "audio_model.audio_encoder.patch_embed.proj");
    if (c->is_fused) x = add_stretches(nn, c, x, image, is_longer, n);
    if (!c->has_patch_norm) return x;
    return tl_nn_layer_norm(nn, x, norm_eps, "audio_model.audio_encoder.patch_embed.norm");
}
