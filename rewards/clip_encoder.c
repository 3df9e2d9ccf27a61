#include "rewards/clip_encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/str.h"
#include "encoders/clip_texts.h"
#include "encoders/encoder_clip.h"
#include "rewards/embed_keep.h"
#include "rewards/embed_memo.h"
#include "rewards/shared.h"

struct tl_clip_encoder {
    struct tl_shared base;
    char *folder; /* as it was first named */
    enum tl_dtype dtype;
    struct tl_encoder *encoder;
    struct tl_clip_towers *towers;    /* the encoder's */
    const struct tl_clip_pixels *how; /* the encoder's */
    struct tl_clip_texts *texts;      /* NULL until wanted */
    struct tl_embed_memo memo;
    struct tl_embed_kept kept;
    size_t rows;           /* of one run */
    float *pixels, *fresh; /* of one run: [rows][side][side][3], [rows][dim] */
    size_t *missing;       /* [rows]: the items of a run that are not kept */
    float *embeds;         /* [rows][dim] */
};

/* ---- opening ---- */

static bool open_towers(struct tl_clip_encoder *e, const struct tl_reward_env *env, const char *settings,
                        struct tl_err *err)
{
    struct tl_str spec = {0};
    const struct tl_encoder_env ee = {.device = env->device, .dtype = env->dtype, .no_hash = !env->keep};
    tl_str_printf(&spec, "clip:%s%s", e->folder, settings);
    bool ok = !spec.failed || tl_err_set(err, TL_FAIL, "out of memory");
    if (ok) e->encoder = tl_encoder_open(&ee, spec.data, err);
    tl_str_finish(&spec);
    if (!e->encoder) return false;
    e->towers = tl_encoder_clip_towers(e->encoder);
    e->how = tl_encoder_clip_pixels(e->encoder);
    return true;
}

static bool load(struct tl_clip_encoder *e, const struct tl_reward_env *env, const char *settings,
                 struct tl_err *err)
{
    size_t pixels, embeds;
    if (!open_towers(e, env, settings, err)) return false;
    size_t picture = (size_t)e->how->side * (size_t)e->how->side * 3;
    e->rows = tl_encoder_about(e->encoder)->batch;
    if (tl_checked_mul(picture, e->rows, &pixels) &&
        tl_checked_mul(tl_clip_encoder_dim(e), e->rows, &embeds)) {
        e->pixels = calloc(pixels, sizeof *e->pixels);
        e->fresh = calloc(embeds, sizeof *e->fresh);
        e->embeds = calloc(embeds, sizeof *e->embeds);
        e->missing = calloc(e->rows, sizeof *e->missing);
    }
    if (!e->pixels || !e->fresh || !e->embeds || !e->missing)
        return tl_err_set(err, TL_FAIL, "out of memory");
    tl_embed_kept_open(&e->kept, env->keep, tl_encoder_about(e->encoder), env->dtype, env->device->name);
    return true;
}

static void close_encoder(struct tl_shared *shared)
{
    struct tl_clip_encoder *e = (struct tl_clip_encoder *)shared;
    tl_embed_kept_close(&e->kept);
    tl_embed_memo_finish(&e->memo);
    tl_clip_texts_close(&e->texts);
    tl_encoder_close(&e->encoder);
    free(e->folder);
    free(e->pixels);
    free(e->fresh);
    free(e->embeds);
    free(e->missing);
    free(e);
}

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
    if (e->folder ? load(e, env, settings, err) : tl_err_set(err, TL_FAIL, "out of memory")) return &e->base;
    close_encoder(&e->base);
    return NULL;
}

static const struct tl_shared_class shared = {open_encoder, close_encoder};

struct tl_clip_encoder *tl_clip_encoder_open(const struct tl_reward_env *env, const char *folder,
                                             bool torchvision_crop, struct tl_err *err)
{
    return (struct tl_clip_encoder *)tl_shared_open(&shared, env, folder,
                                                    torchvision_crop ? ",crop=torchvision" : "", err);
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
    return tl_encoder_about(e->encoder)->settings;
}

struct tl_store *tl_clip_encoder_store(const struct tl_clip_encoder *e)
{
    return tl_clip_towers_store(e->towers);
}

bool tl_clip_encoder_hash(const struct tl_clip_encoder *e, char out[65], struct tl_err *err)
{
    const char *known = tl_encoder_about(e->encoder)->sha256;
    if (!*known) return tl_clip_towers_hash(e->folder, out, err);
    memcpy(out, known, 65);
    return true;
}

/* ---- embeddings ---- */

static bool prepare(struct tl_clip_encoder *e, const struct tl_reward_item *item, float *out,
                    struct tl_err *err)
{
    struct tl_image image = {
        .px = (uint8_t *)item->rgb, .width = item->width, .height = item->height, .channels = 3};
    struct tl_encoder_windows w = {0};
    if (!item->rgb) return tl_embed_kept_lost(err);
    if (!tl_encoder_prepare(e->encoder, &(struct tl_encoder_item){.image = &image}, &w, err)) return false;
    memcpy(out, w.x, w.floats * sizeof *out);
    tl_encoder_windows_finish(&w);
    return true;
}

/* The first of m fresh rows that is not finite; else the first. */
static size_t culprit(const struct tl_clip_encoder *e, size_t m)
{
    size_t dim = tl_clip_encoder_dim(e);
    for (size_t i = 0; i < m * dim; i++)
        if (!isfinite(e->fresh[i])) return i / dim;
    return 0;
}

/* The rows of the m items that are missing, to their places and to where they are kept. */
static bool run_missing(struct tl_clip_encoder *e, const struct tl_reward_item *items, size_t m,
                        struct tl_err *err)
{
    size_t picture = (size_t)e->how->side * (size_t)e->how->side * 3, dim = tl_clip_encoder_dim(e);
    for (size_t i = 0; i < m; i++)
        if (!prepare(e, &items[e->missing[i]], e->pixels + i * picture, err))
            return tl_reward_item_err(items, e->missing[i], err);
    if (m && !tl_encoder_run(e->encoder, e->pixels, m, picture, e->fresh, err))
        return err && err->code == TL_NUMERIC ? tl_reward_item_err(items, e->missing[culprit(e, m)], err)
                                              : false;
    for (size_t i = 0; i < m; i++) {
        const float *row = e->fresh + i * dim;
        memcpy(e->embeds + e->missing[i] * dim, row, dim * sizeof *row);
        tl_embed_kept_add(&e->kept, &items[e->missing[i]], row, 1);
    }
    return true;
}

/* Takes the item's row from where it is kept. */
static bool is_kept(struct tl_clip_encoder *e, const struct tl_reward_item *item, float *out)
{
    float *row;
    size_t n, dim = tl_clip_encoder_dim(e);
    if (!tl_embed_kept_find(&e->kept, item, &row, &n)) return false;
    if (n == 1) memcpy(out, row, dim * sizeof *row);
    free(row);
    return n == 1;
}

/* One run of the tower, or what is left of one; borrowed until the next. */
static const float *run(struct tl_clip_encoder *e, const struct tl_reward_item *items, size_t n,
                        struct tl_err *err)
{
    char key[65];
    size_t dim = tl_clip_encoder_dim(e), m = 0;
    tl_embed_memo_key(items, n, key);
    const float *known = tl_embed_memo_find(&e->memo, key);
    if (known) return known;
    for (size_t i = 0; i < n; i++)
        if (!is_kept(e, &items[i], e->embeds + i * dim)) e->missing[m++] = i;
    if (!run_missing(e, items, m, err)) return NULL;
    tl_embed_memo_keep(&e->memo, key, e->embeds, n * dim);
    return e->embeds;
}

bool tl_clip_encoder_images(struct tl_clip_encoder *e, const struct tl_reward_item *items, size_t n,
                            float *out, struct tl_err *err)
{
    size_t dim = tl_clip_encoder_dim(e);
    for (size_t i = 0; i < n; i += e->rows) {
        size_t m = n - i < e->rows ? n - i : e->rows;
        const float *embeds = run(e, items + i, m, err);
        if (!embeds) return false;
        memcpy(out + i * dim, embeds, m * dim * sizeof *out);
    }
    return true;
}

bool tl_clip_encoder_knows(const struct tl_clip_encoder *e, const struct tl_reward_item *item)
{
    return tl_embed_kept_has(&e->kept, item);
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
    tl_val pixels = tl_clip_pixels_build(e->how, g, f->pictures, f->prefix);
    if (pixels < 0) return TL_NONE;
    tl_clip_vision_build(&nn, &tl_clip_towers_config(e->towers)->vision, pixels, true, &vision);
    return vision.embeds < 0 ? TL_NONE : tl_nn_normalize(&nn, vision.embeds);
}

bool tl_clip_encoder_feed(const struct tl_clip_encoder *e, struct tl_exec *exec,
                          const struct tl_reward_fragment *f, struct tl_err *err)
{
    return tl_clip_pixels_feed(e->how, exec, f->prefix, err);
}
