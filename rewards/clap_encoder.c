#include "rewards/clap_encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/str.h"
#include "encoders/encoder_clap.h"
#include "rewards/embed_keep.h"
#include "rewards/embed_memo.h"
#include "rewards/shared.h"

/* Sounds whose windows share runs, and that are remembered together. */
enum { CHUNK = 16 };

struct tl_clap_encoder {
    struct tl_shared base;
    struct tl_encoder *encoder;
    struct tl_clap_texts *texts;
    struct tl_embed_memo memo;
    struct tl_embed_kept kept;
    size_t dim, rows; /* of one run */
    /* Windows that wait for a full run. */
    size_t n, floats, size; /* size: floats that there is room for in x */
    float *x;               /* [rows][floats] */
    struct owner {
        size_t item, window;
    } * owner;    /* [rows] */
    size_t first; /* item of the chunk */
    float *out;   /* [rows][dim] */
    struct sound {
        float *rows; /* [n][dim]; owns */
        size_t n;
        bool is_kept;
    } sounds[CHUNK];
    double *sum;  /* [dim] */
    float *means; /* [CHUNK][dim] */
};

/* ---- opening ---- */

static void drop_sounds(struct tl_clap_encoder *e)
{
    for (size_t i = 0; i < CHUNK; i++) {
        free(e->sounds[i].rows);
        e->sounds[i] = (struct sound){0};
    }
    e->n = 0;
}

static void close_encoder(struct tl_shared *shared)
{
    struct tl_clap_encoder *e = (struct tl_clap_encoder *)shared;
    drop_sounds(e);
    tl_embed_kept_close(&e->kept);
    tl_embed_memo_finish(&e->memo);
    tl_clap_texts_close(&e->texts);
    tl_encoder_close(&e->encoder);
    free(e->x);
    free(e->owner);
    free(e->out);
    free(e->sum);
    free(e->means);
    free(e);
}

static bool load(struct tl_clap_encoder *e, const struct tl_reward_env *env, const char *folder,
                 const char *settings, struct tl_err *err)
{
    struct tl_str spec = {0};
    tl_str_printf(&spec, "clap:%s%s", folder, settings);
    bool ok = !spec.failed || tl_err_set(err, TL_FAIL, "out of memory");
    if (ok)
        e->encoder = tl_encoder_open(&(struct tl_encoder_env){.device = env->device, .dtype = env->dtype},
                                     spec.data, err);
    tl_str_finish(&spec);
    if (!e->encoder) return false;
    e->dim = tl_encoder_about(e->encoder)->dim;
    e->rows = tl_encoder_about(e->encoder)->batch;
    e->texts = tl_clap_texts_open(folder, tl_encoder_clap_towers(e->encoder), err);
    if (!e->texts) return false;
    e->owner = calloc(e->rows, sizeof *e->owner);
    e->out = calloc(e->rows * e->dim, sizeof *e->out);
    e->sum = calloc(e->dim, sizeof *e->sum);
    e->means = calloc(CHUNK * e->dim, sizeof *e->means);
    if (!e->owner || !e->out || !e->sum || !e->means) return tl_err_set(err, TL_FAIL, "out of memory");
    tl_embed_kept_open(&e->kept, env->keep, tl_encoder_about(e->encoder), env->dtype, env->device->name);
    return true;
}

static struct tl_shared *open_encoder(const struct tl_reward_env *env, const char *folder,
                                      const char *settings, struct tl_err *err)
{
    struct tl_clap_encoder *e = calloc(1, sizeof *e);
    if (!e) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    if (load(e, env, folder, settings, err)) return &e->base;
    close_encoder(&e->base);
    return NULL;
}

static const struct tl_shared_class shared = {open_encoder, close_encoder};

struct tl_clap_encoder *tl_clap_encoder_open(const struct tl_reward_env *env, const char *folder,
                                             const char *settings, struct tl_err *err)
{
    return (struct tl_clap_encoder *)tl_shared_open(&shared, env, folder, settings, err);
}

void tl_clap_encoder_close(struct tl_clap_encoder **encoder)
{
    if (*encoder) tl_shared_close(&(*encoder)->base);
    *encoder = NULL;
}

/* ---- what it is ---- */

const struct tl_encoder_about *tl_clap_encoder_about(const struct tl_clap_encoder *e)
{
    return tl_encoder_about(e->encoder);
}

double tl_clap_encoder_scale(const struct tl_clap_encoder *e)
{
    return tl_clap_towers_scale(tl_encoder_clap_towers(e->encoder));
}

/* ---- embeddings ---- */

/* The item of the first row that is not finite; else of the first row. */
static size_t culprit(const struct tl_clap_encoder *e)
{
    for (size_t i = 0; i < e->n * e->dim; i++)
        if (!isfinite(e->out[i])) return e->owner[i / e->dim].item;
    return e->owner[0].item;
}

/* Runs the windows that wait, and gives their rows to their sounds. */
static bool flush(struct tl_clap_encoder *e, const struct tl_reward_item *items, struct tl_err *err)
{
    if (e->n && !tl_encoder_run(e->encoder, e->x, e->n, e->floats, e->out, err))
        return tl_reward_item_err(items, culprit(e), err);
    for (size_t r = 0; r < e->n; r++) {
        float *rows = e->sounds[e->owner[r].item - e->first].rows;
        memcpy(rows + e->owner[r].window * e->dim, e->out + r * e->dim, e->dim * sizeof *rows);
    }
    e->n = 0;
    return true;
}

/* Room for a run of windows of so many floats; those that wait are of that size, too (about.is_fixed). */
static bool make_room(struct tl_clap_encoder *e, size_t floats, struct tl_err *err)
{
    size_t size;
    e->floats = floats;
    if (!tl_checked_mul(e->rows, floats, &size)) return tl_err_set(err, TL_FAIL, "out of memory");
    if (size <= e->size) return true;
    free(e->x);
    e->x = calloc(size, sizeof *e->x);
    e->size = e->x ? size : 0;
    return e->x || tl_err_set(err, TL_FAIL, "out of memory");
}

static bool gather(struct tl_clap_encoder *e, const struct tl_reward_item *items, size_t i,
                   const struct tl_encoder_windows *w, struct tl_err *err)
{
    struct sound *s = &e->sounds[i - e->first];
    size_t floats;
    s->rows = tl_checked_mul(w->n, e->dim, &floats) ? calloc(floats + 1, sizeof *s->rows) : NULL;
    if (!s->rows) return tl_err_set(err, TL_FAIL, "out of memory");
    s->n = w->n;
    for (size_t k = 0; k < w->n; k++) {
        memcpy(e->x + e->n * w->floats, w->x + k * w->floats, w->floats * sizeof *w->x);
        e->owner[e->n++] = (struct owner){i, k};
        if (e->n == e->rows && !flush(e, items, err)) return false;
    }
    return true;
}

static bool add_sound(struct tl_clap_encoder *e, const struct tl_reward_item *items, size_t i,
                      struct tl_err *err)
{
    struct sound *s = &e->sounds[i - e->first];
    struct tl_sound sound = tl_reward_item_sound(&items[i]);
    struct tl_encoder_windows w = {0};
    s->is_kept = tl_embed_kept_find(&e->kept, &items[i], &s->rows, &s->n);
    if (s->is_kept) return true;
    bool ok = sound.samples
                  ? tl_encoder_prepare(e->encoder, &(struct tl_encoder_item){.sound = &sound}, &w, err)
                  : tl_embed_kept_lost(err);
    if (!ok || !make_room(e, w.floats, err)) {
        tl_encoder_windows_finish(&w);
        return tl_reward_item_err(items, i, err);
    }
    ok = gather(e, items, i, &w, err);
    tl_encoder_windows_finish(&w);
    return ok;
}

static void take_mean(const struct tl_clap_encoder *e, const struct sound *s, float *out)
{
    double squares = 0;
    memset(e->sum, 0, e->dim * sizeof *e->sum);
    for (size_t r = 0; r < s->n; r++)
        for (size_t k = 0; k < e->dim; k++) e->sum[k] += (double)s->rows[r * e->dim + k];
    for (size_t k = 0; k < e->dim; k++) {
        out[k] = (float)(e->sum[k] / (double)s->n);
        squares += (double)out[k] * (double)out[k];
    }
    for (size_t k = 0; k < e->dim; k++) out[k] = (float)((double)out[k] / sqrt(squares));
}

/* At most CHUNK; borrowed until the next call. */
static const float *embed_chunk(struct tl_clap_encoder *e, const struct tl_reward_item *items, size_t first,
                                size_t n, struct tl_err *err)
{
    char key[65];
    tl_embed_memo_key(items + first, n, key);
    const float *known = tl_embed_memo_find(&e->memo, key);
    if (known) return known;
    drop_sounds(e);
    e->first = first;
    for (size_t i = first; i < first + n; i++)
        if (!add_sound(e, items, i, err)) return NULL;
    if (!flush(e, items, err)) return NULL;
    for (size_t i = 0; i < n; i++) {
        const struct sound *s = &e->sounds[i];
        if (!s->is_kept) tl_embed_kept_add(&e->kept, &items[first + i], s->rows, s->n);
        take_mean(e, s, e->means + i * e->dim);
    }
    drop_sounds(e);
    tl_embed_memo_keep(&e->memo, key, e->means, n * e->dim);
    return e->means;
}

bool tl_clap_encoder_sounds(struct tl_clap_encoder *e, const struct tl_reward_item *items, size_t n,
                            float *out, struct tl_err *err)
{
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t m = n - i < CHUNK ? n - i : CHUNK;
        const float *rows = embed_chunk(e, items, i, m, err);
        if (!rows) return false;
        memcpy(out + i * e->dim, rows, m * e->dim * sizeof *out);
    }
    return true;
}

bool tl_clap_encoder_knows(const struct tl_clap_encoder *e, const struct tl_reward_item *item)
{
    return tl_embed_kept_has(&e->kept, item);
}

bool tl_clap_encoder_texts(struct tl_clap_encoder *e, const char *const *prompts, size_t n, float *out,
                           struct tl_err *err)
{
    return tl_clap_texts_embed(e->texts, prompts, n, out, err);
}
