#include "rewards/clip_encoder.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "rewards/clip_memo.h"
#include "encoders/clip_pixels.h"
#include "encoders/clip_texts.h"

struct tl_clip_encoder {
    struct tl_clip_encoder *next; /* in `all` */
    size_t n_users;
    struct tl_device *device; /* borrowed */
    enum tl_dtype dtype;
    char *folder, *real; /* as it was first named; its real path */
    struct tl_clip_towers *towers;
    struct tl_clip_texts *texts; /* NULL until wanted */
    struct tl_clip_pixels how;
    struct tl_clip_memo memo;
    float *pixels, *embeds; /* of one run: [rows][side][side][3], [rows][dim] */
};

/* The encoders that are open, and what guards the list. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tl_clip_encoder *all;

/* ---- opening ---- */

static bool load(struct tl_clip_encoder *e, struct tl_err *err)
{
    size_t pixels, embeds;
    e->towers = tl_clip_towers_open(e->device, e->folder, e->dtype, err);
    if (!e->towers) return false;
    int side = tl_clip_towers_config(e->towers)->vision.image_size;
    size_t rows = tl_clip_towers_batch(e->towers);
    if (!tl_clip_pixels_read(e->folder, side, &e->how, err)) return false;
    if (tl_checked_mul((size_t)side * (size_t)side * 3, rows, &pixels) &&
        tl_checked_mul(tl_clip_encoder_dim(e), rows, &embeds)) {
        e->pixels = calloc(pixels, sizeof *e->pixels);
        e->embeds = calloc(embeds, sizeof *e->embeds);
    }
    return (e->pixels && e->embeds) || tl_err_set(err, TL_FAIL, "out of memory");
}

static void destroy(struct tl_clip_encoder *e)
{
    tl_clip_memo_finish(&e->memo);
    tl_clip_texts_close(&e->texts);
    tl_clip_towers_close(&e->towers);
    free(e->folder);
    free(e->real);
    free(e->pixels);
    free(e->embeds);
    free(e);
}

/* Takes over real. */
static struct tl_clip_encoder *create(struct tl_device *device, const char *folder, char *real,
                                      enum tl_dtype dtype, struct tl_err *err)
{
    struct tl_clip_encoder *e = calloc(1, sizeof *e);
    if (!e) {
        free(real);
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    *e = (struct tl_clip_encoder){
        .device = device, .dtype = dtype, .folder = strdup(folder), .real = real, .n_users = 1};
    if (e->folder && real ? load(e, err) : tl_err_set(err, TL_FAIL, "out of memory")) return e;
    destroy(e);
    return NULL;
}

static struct tl_clip_encoder *find(const struct tl_device *device, const char *real, enum tl_dtype dtype)
{
    for (struct tl_clip_encoder *e = all; e; e = e->next)
        if (e->device == device && e->dtype == dtype && strcmp(e->real, real) == 0) return e;
    return NULL;
}

struct tl_clip_encoder *tl_clip_encoder_open(struct tl_device *device, const char *folder,
                                             enum tl_dtype dtype, struct tl_err *err)
{
    char *real = realpath(folder, NULL);
    if (!real) real = strdup(folder); /* loading says what is wrong with it */
    pthread_mutex_lock(&lock);
    struct tl_clip_encoder *e = real ? find(device, real, dtype) : NULL;
    if (e) {
        e->n_users++;
        free(real);
    } else {
        e = create(device, folder, real, dtype, err);
        if (e) {
            e->next = all;
            all = e;
        }
    }
    pthread_mutex_unlock(&lock);
    return e;
}

void tl_clip_encoder_close(struct tl_clip_encoder **encoder)
{
    struct tl_clip_encoder *e = *encoder, **at = &all;
    if (!e) return;
    *encoder = NULL;
    pthread_mutex_lock(&lock);
    if (--e->n_users == 0) {
        while (*at != e) at = &(*at)->next;
        *at = e->next;
        destroy(e);
    }
    pthread_mutex_unlock(&lock);
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
