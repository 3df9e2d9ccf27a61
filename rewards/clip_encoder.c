#include "rewards/clip_encoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "encoders/clip_pixels.h"
#include "encoders/clip_texts.h"
#include "rewards/clip_memo.h"
#include "rewards/shared.h"

struct tl_clip_encoder {
    struct tl_shared base;
    char *folder; /* as it was first named */
    enum tl_dtype dtype;
    struct tl_clip_towers *towers;
    struct tl_clip_texts *texts; /* NULL until wanted */
    struct tl_clip_pixels how;
    struct tl_clip_memo memo;
    float *pixels, *embeds; /* of one run: [rows][side][side][3], [rows][dim] */
    char settings[160];
};

/* ---- opening ---- */

static bool load(struct tl_clip_encoder *e, struct tl_device *device, struct tl_err *err)
{
    size_t pixels, embeds;
    e->towers = tl_clip_towers_open(device, e->folder, e->dtype, err);
    if (!e->towers) return false;
    int side = tl_clip_towers_config(e->towers)->vision.image_size;
    size_t rows = tl_clip_towers_batch(e->towers);
    bool torchvision_crop = e->how.is_torchvision;
    if (!tl_clip_pixels_read(e->folder, side, &e->how, err)) return false;
    e->how.is_torchvision = torchvision_crop;
    if (tl_checked_mul((size_t)side * (size_t)side * 3, rows, &pixels) &&
        tl_checked_mul(tl_clip_encoder_dim(e), rows, &embeds)) {
        e->pixels = calloc(pixels, sizeof *e->pixels);
        e->embeds = calloc(embeds, sizeof *e->embeds);
    }
    snprintf(e->settings, sizeof e->settings,
             "8-bit RGB, resized as Pillow does to %d pixels (filter %d, short side %d)", e->how.side,
             (int)e->how.filter, e->how.shortest);
    return (e->pixels && e->embeds) || tl_err_set(err, TL_FAIL, "out of memory");
}

static void close_encoder(struct tl_shared *shared)
{
    struct tl_clip_encoder *e = (struct tl_clip_encoder *)shared;
    tl_clip_memo_finish(&e->memo);
    tl_clip_texts_close(&e->texts);
    tl_clip_towers_close(&e->towers);
    free(e->folder);
    free(e->pixels);
    free(e->embeds);
    free(e);
}

static const char torchvision[] = "torchvision"; /* the setting of its crop */

static struct tl_shared *open_encoder(const struct tl_reward_env *env, const char *folder,
                                      const char *settings, struct tl_err *err)
{
    struct tl_clip_encoder *e = calloc(1, sizeof *e);
    if (!e) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    e->folder = strdup(folder);
    e->dtype = env->dtype;
    e->how.is_torchvision = strcmp(settings, torchvision) == 0;
    if (e->folder ? load(e, env->device, err) : tl_err_set(err, TL_FAIL, "out of memory")) return &e->base;
    close_encoder(&e->base);
    return NULL;
}

static const struct tl_shared_class shared = {open_encoder, close_encoder};

struct tl_clip_encoder *tl_clip_encoder_open(struct tl_device *device, const char *folder,
                                             enum tl_dtype dtype, bool torchvision_crop, struct tl_err *err)
{
    const struct tl_reward_env env = {device, dtype};
    return (struct tl_clip_encoder *)tl_shared_open(&shared, &env, folder,
                                                    torchvision_crop ? torchvision : "", err);
}

void tl_clip_encoder_close(struct tl_clip_encoder **encoder)
{
    if (*encoder) tl_shared_close(&(*encoder)->base);
    *encoder = NULL;
}

/* ---- what it is ---- */

size_t tl_clip_encoder_dim(const struct tl_clip_encoder *e)
{
    return (size_t)tl_clip_towers_config(e->towers)->projection;
}

double tl_clip_encoder_scale(const struct tl_clip_encoder *e)
{
    return tl_clip_towers_scale(e->towers);
}

const char *tl_clip_encoder_settings(const struct tl_clip_encoder *e)
{
    return e->settings;
}

struct tl_store *tl_clip_encoder_store(const struct tl_clip_encoder *e)
{
    return tl_clip_towers_store(e->towers);
}

bool tl_clip_encoder_hash(const struct tl_clip_encoder *e, char out[65], struct tl_err *err)
{
    return tl_clip_towers_hash(e->folder, out, err);
}

/* ---- embeddings ---- */

/* One run of the tower, or what is left of one. Embeddings as the tower gives them. */
static const float *run(struct tl_clip_encoder *e, const struct tl_reward_item *items, size_t n,
                        struct tl_err *err)
{
    char key[65];
    size_t picture = (size_t)e->how.side * (size_t)e->how.side * 3;
    tl_clip_memo_key(items, n, key);
    const float *known = tl_clip_memo_find(&e->memo, key);
    if (known) return known;
    for (size_t i = 0; i < n; i++) {
        if (tl_clip_pixels_bytes(&e->how, items[i].rgb, items[i].width, items[i].height,
                                 e->pixels + i * picture, err))
            continue;
        tl_reward_item_err(items, i, err);
        return NULL;
    }
    if (!tl_clip_towers_images(e->towers, e->pixels, n, e->embeds, err)) return NULL;
    tl_clip_memo_keep(&e->memo, key, e->embeds, n * tl_clip_encoder_dim(e));
    return e->embeds;
}

static void to_unit_length(const float *x, size_t n, float *out)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    for (size_t i = 0; i < n; i++) out[i] = (float)(x[i] / sqrt(sum));
}

bool tl_clip_encoder_images(struct tl_clip_encoder *e, const struct tl_reward_item *items, size_t n,
                            float *out, struct tl_err *err)
{
    size_t rows = tl_clip_towers_batch(e->towers), dim = tl_clip_encoder_dim(e);
    for (size_t i = 0; i < n; i += rows) {
        size_t m = n - i < rows ? n - i : rows;
        const float *embeds = run(e, items + i, m, err);
        if (!embeds) return false;
        for (size_t k = 0; k < m; k++) to_unit_length(embeds + k * dim, dim, out + (i + k) * dim);
    }
    return true;
}

bool tl_clip_encoder_want_texts(struct tl_clip_encoder *e, struct tl_err *err)
{
    if (!e->texts) e->texts = tl_clip_texts_open(e->folder, e->towers, err);
    return e->texts != NULL;
}

bool tl_clip_encoder_texts(struct tl_clip_encoder *e, const char *const *prompts, size_t n, float *out,
                           struct tl_err *err)
{
    return tl_clip_texts_embed(e->texts, prompts, n, out, err);
}

/* ---- as a piece of a graph ---- */

tl_val tl_clip_encoder_build(const struct tl_clip_encoder *e, struct tl_graph *g,
                             const struct tl_reward_fragment *f)
{
    struct tl_nn nn = {.g = g, .set = f->set, .lora_scale = TL_NONE, .dtype = e->dtype};
    struct tl_clip_vision_out vision;
    tl_val pixels = tl_clip_pixels_build(&e->how, g, f->pictures, f->prefix);
    if (pixels < 0) return TL_NONE;
    tl_clip_vision_build(&nn, &tl_clip_towers_config(e->towers)->vision, pixels, true, &vision);
    return vision.embeds < 0 ? TL_NONE : tl_nn_normalize(&nn, vision.embeds);
}

bool tl_clip_encoder_feed(const struct tl_clip_encoder *e, struct tl_exec *exec,
                          const struct tl_reward_fragment *f, struct tl_err *err)
{
    return tl_clip_pixels_feed(&e->how, exec, f->prefix, err);
}
