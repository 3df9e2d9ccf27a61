/* InceptionV3 of pytorch-fid: pictures to the features of one of its four blocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "encoders/encoder_plan.h"
#include "encoders/encoder_rows.h"
#include "encoders/inception_pixels.h"
#include "models/inception.h"

enum { ROWS = 4 }; /* of one run: more bring nothing, and a short batch costs as much as a full one */

struct encoder_inception {
    struct tl_encoder base;
    struct tl_weights_file weights;
    struct tl_encoder_plan plan;
    enum tl_inception_resize resize;
    int block;
    char *arg, settings[192];
};

static void close_inception(struct tl_encoder *encoder)
{
    struct encoder_inception *e = (struct encoder_inception *)encoder;
    tl_encoder_plan_finish(&e->plan);
    tl_weights_file_finish(&e->weights);
    free(e->arg);
    free(e);
}

static bool parse_dims(const char *text, int *out_block, struct tl_err *err)
{
    char have[16];
    for (int i = 0; i < TL_INCEPTION_BLOCKS; i++) {
        snprintf(have, sizeof have, "%d", tl_inception_dims[i]);
        if (strcmp(text, have) != 0) continue;
        *out_block = i;
        return true;
    }
    return tl_err_set(err, TL_USAGE, "dims '%s' is not known: 64, 192, 768 and 2048 are", text);
}

static struct tl_graph *build(struct encoder_inception *e, int64_t rows)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) return NULL;
    struct tl_nn nn = tl_weights_file_nn(&e->weights, g);
    tl_val x = tl_input(g, "in", TL_F32, tl_shape4(rows, TL_INCEPTION_SIDE, TL_INCEPTION_SIDE, 3));
    tl_output(g, tl_inception_build(&nn, &e->weights, x, e->block), "out");
    return g;
}

static bool load(struct encoder_inception *e, const struct tl_encoder_env *env, const char *path,
                 struct tl_err *err)
{
    static const char *const names[] = {"Conv2d_1a_3x3", "blocks.0.0", NULL};
    const char *found;
    e->weights.dtype = env->dtype;
    if (!tl_weights_file_open(&e->weights, path, err) ||
        !tl_weights_file_prefix(&e->weights, "pytorch-fid's InceptionV3", names, ".conv.weight", &found, err))
        return false;
    struct tl_graph *g = build(e, 1), *planned = build(e, ROWS);
    bool ok = (g && planned) || tl_err_set(err, TL_FAIL, "out of memory");
    if (!ok) {
        tl_graph_destroy(&g);
        tl_graph_destroy(&planned);
        return false;
    }
    ok = tl_weights_file_load(&e->weights, env->device, &g, tl_inception_norm_eps, err);
    if (ok)
        return tl_encoder_plan_init(&e->plan, &planned, e->weights.store, err) || tl_err_add(err, "%s", path);
    tl_graph_destroy(&planned);
    return false;
}

static bool fill(struct encoder_inception *e, const struct tl_encoder_env *env, const char *arg,
                 struct tl_err *err)
{
    static const char *const keys[] = {"resize", "dims", NULL};
    const char *path = NULL, *values[2];
    if (!tl_encoder_arg_parse(arg, keys, &e->arg, &path, values, err)) return false;
    if (!path) return tl_err_set(err, TL_USAGE, "inception needs its weights: inception:FILE");
    e->block = TL_INCEPTION_BLOCKS - 1;
    if ((values[0] && !tl_inception_resize_parse(values[0], &e->resize, err)) ||
        (values[1] && !parse_dims(values[1], &e->block, err)) || !load(e, env, path, err))
        return false;
    struct tl_encoder_about *a = &e->base.about;
    snprintf(e->settings, sizeof e->settings, "8-bit RGB, %s, mean of block %d (%d), v2",
             tl_inception_resize_text(e->resize), e->block, tl_inception_dims[e->block]);
    a->path = path;
    a->settings = e->settings;
    a->dim = e->plan.n_out;
    a->batch = ROWS;
    a->is_fixed = true;
    return tl_sha256_file(path, a->sha256, err);
}

static struct tl_encoder *open_inception(const struct tl_encoder_env *env, const char *arg,
                                         struct tl_err *err)
{
    struct encoder_inception *e = calloc(1, sizeof *e);
    if (!e) tl_err_set(err, TL_FAIL, "out of memory");
    if (e && !fill(e, env, arg, err)) {
        close_inception(&e->base);
        e = NULL;
    }
    return e ? &e->base : NULL;
}

static bool prepare_inception(const struct tl_encoder *encoder, const struct tl_encoder_item *item,
                              struct tl_encoder_windows *out, struct tl_err *err)
{
    const struct encoder_inception *e = (const struct encoder_inception *)encoder;
    out->n = 1;
    out->floats = e->plan.n_in;
    out->x = calloc(out->floats, sizeof *out->x);
    if (!out->x) return tl_err_set(err, TL_FAIL, "out of memory");
    return tl_inception_pixels(item->image, e->resize, out->x, err);
}

static bool run_inception(struct tl_encoder *encoder, const float *x, size_t n, size_t floats, float *out,
                          struct tl_err *err)
{
    struct encoder_inception *e = (struct encoder_inception *)encoder;
    (void)floats;
    return tl_encoder_plan_run(&e->plan, x, n, out, err);
}

const struct tl_encoder_class tl_encoder_inception = {
    .name = "inception",
    .help = "InceptionV3 of pytorch-fid, as FID and KID are defined; resize says whose pictures: fid "
            "(pytorch-fid), clean (clean-fid), tf (torch-fidelity), torchmetrics",
    .argument = "FILE[,resize=fid|clean|tf|torchmetrics|none][,dims=64|192|768|2048]",
    .modality = TL_MODALITY_IMAGE,
    .needs_device = true,
    .open = open_inception,
    .close = close_inception,
    .prepare = prepare_inception,
    .run = run_inception,
};
