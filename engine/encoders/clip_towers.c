#include "encoders/clip_towers.h"

#include <stdlib.h>
#include <string.h>

#include "encoders/encoder_plan.h"
#include "encoders/encoder_weights.h"

/* Rows of one run. Large towers gain nothing from many, and a short batch costs as much as a full one. */
enum { ROWS = 16, ROWS_LARGE = 4 };
static const double large_flop = 2e9; /* of one picture */

struct tl_clip_towers {
    struct tl_component *clip;
    struct tl_clip_config config; /* of a vision model alone: text stays zero */
    bool has_text;
    struct tl_encoder_plan image, text; /* text is planned when it is first needed */
    double scale;
};

static double flop(const struct tl_clip_tower *t, double tokens)
{
    return 2 * tokens * t->layers * (4.0 * t->width * t->width + 2.0 * t->width * t->mlp);
}

static int64_t rows_of(const struct tl_clip_tower *t, double tokens)
{
    return flop(t, tokens) > large_flop ? ROWS_LARGE : ROWS;
}

static bool plan_image(struct tl_clip_towers *t, struct tl_err *err)
{
    const struct tl_clip_vision_config *c = &t->config.vision;
    double side = c->image_size / c->patch;
    struct tl_clip_vision_out out;
    struct tl_graph *g = tl_graph_create();
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = t->clip->dtype};
    struct tl_shape shape = tl_shape4(rows_of(&c->tower, side * side + 1), c->image_size, c->image_size, 3);
    tl_clip_vision_build(&nn, c, tl_input(g, "in", TL_F32, shape), true, &out);
    tl_output(g, out.embeds, "out");
    return tl_encoder_plan_init(&t->image, &g, t->clip->store, err);
}

static bool plan_text(struct tl_clip_towers *t, struct tl_err *err)
{
    const struct tl_clip_text_config *c = &t->config.text;
    struct tl_clip_text_out out;
    struct tl_graph *g = tl_graph_create();
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = t->clip->dtype};
    int64_t rows = rows_of(&c->tower, c->positions);
    tl_clip_text_build(&nn, c, tl_input(g, "in", TL_I32, tl_shape2(rows, c->positions)), TL_NONE,
                       tl_input(g, "eos_rows", TL_I32, tl_shape1(rows)), true, 0, &out);
    tl_output(g, out.embeds, "out");
    return tl_encoder_plan_init(&t->text, &g, t->clip->store, err);
}

static bool take_config(struct tl_clip_towers *t, const char *folder, struct tl_err *err)
{
    t->has_text = strcmp(t->clip->cls->name, "CLIPModel") == 0;
    if (t->has_text) {
        t->config = t->clip->config.clip;
    } else if (strcmp(t->clip->cls->name, "CLIPVisionModelWithProjection") == 0) {
        t->config.vision = t->clip->config.clip_vision;
        t->config.projection = t->config.vision.projection;
    } else {
        return tl_err_set(err, TL_BAD_INPUT, "%s holds a %s, a CLIPModel is needed", folder,
                          t->clip->cls->name);
    }
    return t->config.vision.channels == 3 ||
           tl_err_set(err, TL_BAD_INPUT, "%s: num_channels %d is not supported: it must be 3", folder,
                      t->config.vision.channels);
}

static bool open_into(struct tl_clip_towers *t, struct tl_device *device, const char *folder,
                      enum tl_dtype dtype, struct tl_err *err)
{
    t->clip = tl_component_open_as(device, folder, dtype, err);
    if (!t->clip || !take_config(t, folder, err)) return false;
    bool ok = !t->has_text || tl_encoder_weights_scale(t->clip, "logit_scale", &t->scale, err);
    return (ok && plan_image(t, err)) || tl_err_add(err, "%s", folder);
}

struct tl_clip_towers *tl_clip_towers_open(struct tl_device *device, const char *folder, enum tl_dtype dtype,
                                           struct tl_err *err)
{
    struct tl_clip_towers *t = calloc(1, sizeof *t);
    if (!t) tl_err_set(err, TL_FAIL, "out of memory");
    if (t && !open_into(t, device, folder, dtype, err)) tl_clip_towers_close(&t);
    return t;
}

void tl_clip_towers_close(struct tl_clip_towers **towers)
{
    struct tl_clip_towers *t = *towers;
    if (!t) return;
    tl_encoder_plan_finish(&t->image);
    tl_encoder_plan_finish(&t->text);
    tl_component_close(&t->clip);
    free(t);
    *towers = NULL;
}

const struct tl_clip_config *tl_clip_towers_config(const struct tl_clip_towers *towers)
{
    return &towers->config;
}

bool tl_clip_towers_plan_texts(struct tl_clip_towers *t, struct tl_err *err)
{
    if (t->text.exec) return true;
    if (!t->has_text)
        return tl_err_set(err, TL_BAD_INPUT, "%s holds a %s without a text tower, a CLIPModel is needed",
                          t->clip->folder, t->clip->cls->name);
    return plan_text(t, err) || tl_err_add(err, "%s", t->clip->folder);
}

struct tl_store *tl_clip_towers_store(const struct tl_clip_towers *towers)
{
    return towers->clip->store;
}

double tl_clip_towers_scale(const struct tl_clip_towers *towers)
{
    return towers->scale;
}

size_t tl_clip_towers_batch(const struct tl_clip_towers *towers)
{
    return towers->image.rows;
}

bool tl_clip_towers_images(struct tl_clip_towers *towers, const float *pixels, size_t n, float *out,
                           struct tl_err *err)
{
    return tl_encoder_plan_run(&towers->image, pixels, n, out, err);
}

bool tl_clip_towers_texts(struct tl_clip_towers *towers, const int32_t *ids, size_t n, float *out,
                          struct tl_err *err)
{
    struct tl_encoder_plan *w = &towers->text;
    if (!tl_clip_towers_plan_texts(towers, err)) return false;
    for (size_t i = 0; i < n; i += w->rows) {
        size_t m = n - i < w->rows ? n - i : w->rows;
        int32_t eos[ROWS] = {0};
        const int32_t *in = ids + i * w->n_in;
        tl_clip_eos_rows(&towers->config.text, in, (int64_t)m, (int64_t)w->n_in, eos);
        if (!tl_exec_write(w->exec, "eos_rows", eos, err) ||
            !tl_encoder_plan_run(w, in, m, out + i * w->n_out, err))
            return false;
    }
    return true;
}

bool tl_clip_towers_hash(const char *folder, char out[65], struct tl_err *err)
{
    return tl_encoder_weights_hash(folder, "CLIPModel", out, err);
}
