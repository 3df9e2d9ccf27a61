/* The moments of a data set's pictures: from the cache, or decoded and encoded bucket by bucket. */
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

#include "base/checked.h"
#include "base/clock.h"
#include "run/encoded_set_parts.h"
#include "run/latent_cache.h"
#include "sample/latents.h"

/* Entries stand as the pictures do: [n], and with flips [n] more for the mirrored ones. */
struct encoding {
    struct tl_dataset *d;
    struct tl_component *vae;
    const struct tl_encoded_params *p;
    struct tl_encoded_set *s;
    struct tl_latent_entry *entries;
    int n_entries, n_missing, n_done;
    float *px, *mean, *logvar; /* of one group */
    double told;               /* when the progress was told last */
    float *next;               /* where in s->made the next moments go */
    struct tl_err *err;
};

static bool no_memory(struct encoding *e)
{
    return tl_err_set(e->err, TL_FAIL, "out of memory for the latents of %d pictures", e->d->n);
}

static size_t entry_floats(const struct tl_latent_entry *e)
{
    return (size_t)e->height * (size_t)e->width * 2 * (size_t)e->channels;
}

/* Shapes; and names, where there is a cache. */
static bool list_entries(struct encoding *e)
{
    struct tl_dataset *d = e->d;
    int f = tl_vae_factor(&e->vae->config.vae);
    e->n_entries = d->n * (e->p->flips ? 2 : 1);
    e->entries = calloc((size_t)e->n_entries, sizeof *e->entries);
    if (!e->entries) return no_memory(e);
    for (int k = 0; k < e->n_entries; k++) {
        int i = k % d->n;
        const struct tl_bucket *b = tl_dataset_bucket(d, i);
        struct tl_latent_entry *en = &e->entries[k];
        en->height = b->height / f;
        en->width = b->width / f;
        en->channels = e->s->channels;
        if (en->height == 0 || en->width == 0)
            return tl_err_set(e->err, TL_BAD_INPUT, "pictures of %dx%d are smaller than the VAE's step of %d",
                              b->width, b->height, f);
        if (!e->s->cache) continue;
        if (k >= d->n) { /* the same file: its hash is known */
            memcpy(en->name, e->entries[i].name, sizeof en->name);
            strncat(en->name, "-flip", sizeof en->name - strlen(en->name) - 1);
        } else if (!tl_latent_cache_name(d->folder.items[d->item[i]].path, b->width, b->height, false,
                                         en->name, e->err)) {
            return false;
        }
    }
    return true;
}

static bool find_entries(struct encoding *e)
{
    for (int k = 0; k < e->n_entries; k++) {
        struct tl_latent_entry *en = &e->entries[k];
        en->data = NULL;
        if (!e->s->cache || !tl_latent_cache_find(e->s->cache, en)) e->n_missing++;
    }
    return e->n_missing == 0;
}

/* Mean beside logvar, as they are kept: [pixels][c] each into [pixels][2 c]. */
static void interleave(const float *mean, const float *logvar, size_t pixels, size_t c, float *out)
{
    for (size_t p = 0; p < pixels; p++) {
        memcpy(out + p * 2 * c, mean + p * c, c * sizeof *out);
        memcpy(out + (p * 2 + 1) * c, logvar + p * c, c * sizeof *out);
    }
}

/* Pictures of one run of the VAE: the largest power of two that its plan would take (latents.c), so that a
 * group is one run and its size depends on the pictures' size alone. */
static int group_size(int height, int width)
{
    int64_t pixels = (int64_t)height * width;
    int n = 1;
    while (n < TL_ENCODE_BATCH && 2 * n * pixels <= TL_ENCODE_PIXELS) n *= 2;
    return n;
}

/* n <= group pictures of one bucket; the group is filled up with the first, so that every run has one shape.
 */
static bool encode_group(struct encoding *e, struct tl_latent_codec *codec, const int *ks, int n, int group)
{
    int pictures[TL_ENCODE_BATCH];
    int f = tl_vae_factor(&e->vae->config.vae);
    const struct tl_latent_entry *en = &e->entries[ks[0]];
    int h = en->height * f, w = en->width * f;
    size_t n_px = (size_t)h * (size_t)w * 3, n_m = entry_floats(en), n_z = n_m / 2;
    for (int j = 0; j < n; j++) pictures[j] = ks[j] % e->d->n;
    if (!tl_dataset_read(e->d, pictures, n, h, w, ks[0] >= e->d->n, e->px, e->err)) return false;
    for (int j = n; j < group; j++) memcpy(e->px + (size_t)j * n_px, e->px, n_px * sizeof *e->px);
    if (!tl_latent_codec_encode(codec, e->px, (size_t)group, h, w, e->mean, e->logvar, e->err)) return false;
    for (int j = 0; j < n; j++) {
        interleave(e->mean + (size_t)j * n_z, e->logvar + (size_t)j * n_z, n_z / (size_t)en->channels,
                   (size_t)en->channels, e->next);
        e->entries[ks[j]].data = e->next;
        e->next += n_m;
    }
    e->n_done += n;
    return true;
}

static void report(struct encoding *e)
{
    const struct tl_job *job = e->p->job;
    double now = tl_clock_s();
    if (!job || !job->progress || now - e->told < 0.3) return;
    e->told = now;
    job->progress(job->user, &(struct tl_progress){.phase = "encoding",
                                                   .done = e->n_done,
                                                   .total = e->n_missing,
                                                   .unit = "pictures",
                                                   .seconds_left = -1,
                                                   .health = ""});
}

/* What is missing of one bucket, straight or mirrored. */
static bool encode_bucket(struct encoding *e, struct tl_latent_codec *codec, const struct tl_bucket *b,
                          bool flip)
{
    int ks[TL_ENCODE_BATCH], n = 0, f = tl_vae_factor(&e->vae->config.vae);
    int h = b->height / f * f, w = b->width / f * f, group = group_size(h, w);
    size_t n_px = (size_t)group * (size_t)h * (size_t)w * 3,
           n_z = (size_t)group * (size_t)(h / f) * (size_t)(w / f) * (size_t)e->s->channels;
    e->px = malloc(n_px * sizeof *e->px);
    e->mean = malloc(n_z * sizeof *e->mean);
    e->logvar = malloc(n_z * sizeof *e->logvar);
    bool ok = (e->px && e->mean && e->logvar) || no_memory(e);
    for (int j = 0; ok && j < b->n; j++) {
        int k = b->pictures[j] + (flip ? e->d->n : 0);
        if (!e->entries[k].data) ks[n++] = k;
        if (n < group && (j + 1 < b->n || n == 0)) continue;
        ok = tl_interrupt_check("encoding the pictures", e->err) && encode_group(e, codec, ks, n, group);
        n = 0;
        if (ok) report(e);
    }
    free(e->px);
    free(e->mean);
    free(e->logvar);
    return ok;
}

static bool encode_missing(struct encoding *e)
{
    size_t floats = 0;
    for (int k = 0; k < e->n_entries; k++)
        if (!e->entries[k].data && !tl_checked_add(floats, entry_floats(&e->entries[k]), &floats))
            return no_memory(e);
    size_t bytes;
    e->s->made = tl_checked_mul(floats, sizeof(float), &bytes) ? malloc(bytes) : NULL;
    e->next = e->s->made;
    struct tl_latent_codec *codec = e->s->made ? tl_latent_codec_create(e->vae, e->err) : NULL;
    bool ok = codec || no_memory(e);
    for (int k = 0; ok && k < e->d->n_buckets; k++)
        for (int flip = 0; ok && flip <= e->p->flips; flip++)
            ok = encode_bucket(e, codec, &e->d->buckets[k], flip);
    tl_latent_codec_destroy(&codec);
    return ok;
}

/* Mirrored moments that an earlier run kept of these pictures, and this one does not need. */
static size_t carry_flips(const struct encoding *e, struct tl_latent_entry *out)
{
    size_t n = 0;
    for (int i = 0; i < e->d->n && !e->p->flips; i++) {
        out[n] = e->entries[i];
        strncat(out[n].name, "-flip", sizeof out[n].name - strlen(out[n].name) - 1);
        if (tl_latent_cache_find(e->s->cache, &out[n])) n++;
    }
    return n;
}

/* What there is goes to disk, also of an encoding that was interrupted. A cache that cannot be written costs
 * the next run time, and this one nothing. */
static bool keep(struct encoding *e, bool whole)
{
    struct tl_err err = {0};
    struct tl_latent_entry *have = malloc(((size_t)e->n_entries + (size_t)e->d->n) * sizeof *have);
    size_t n = 0;
    if (!have) return no_memory(e);
    for (int k = 0; k < e->n_entries; k++)
        if (e->entries[k].data) have[n++] = e->entries[k];
    n += carry_flips(e, have + n);
    bool ok = tl_latent_cache_write(e->s->cache, have, n, &err);
    free(have);
    if (!ok) tl_log(TL_LOG_WARN, "the latents are not kept: %s", err.text);
    if (!ok || !whole) return true;
    for (int k = 0; k < e->n_entries; k++)
        if (!tl_latent_cache_find(e->s->cache, &e->entries[k]))
            return tl_err_set(e->err, TL_OUTPUT, "%s: latents that were just written are not there",
                              e->p->cache);
    free(e->s->made);
    e->s->made = NULL;
    return true;
}

static bool give(struct encoding *e)
{
    struct tl_encoded_set *s = e->s;
    s->moments = calloc((size_t)s->n, sizeof *s->moments);
    if (!s->moments) return no_memory(e);
    for (int i = 0; i < s->n; i++) {
        const struct tl_latent_entry *en = &e->entries[i];
        s->moments[i] = (struct tl_moments){en->height, en->width, en->data,
                                            e->p->flips ? e->entries[s->n + i].data : NULL};
    }
    if (e->d->params.fit == TL_FIT_CROP) {
        s->height = s->moments[0].height;
        s->width = s->moments[0].width;
    }
    return true;
}

static bool open_cache(struct encoding *e)
{
    char key[65];
    if (!tl_latent_cache_key(e->vae, e->d, key, e->err)) return false;
    e->s->cache = tl_latent_cache_open(e->p->cache, key, e->err);
    return e->s->cache != NULL;
}

bool tl_encoded_set_pictures(struct tl_dataset *d, struct tl_component *vae,
                             const struct tl_encoded_params *params, struct tl_encoded_set *s,
                             struct tl_err *err)
{
    const struct tl_vae_config *c = &vae->config.vae;
    struct encoding e = {.d = d, .vae = vae, .p = params, .s = s, .err = err};
    if (c->in_channels != 3)
        return tl_err_set(err, TL_BAD_INPUT, "the VAE takes %d channels; pictures have 3", c->in_channels);
    if (c->latent_channels > TL_ENCODE_CHANNELS)
        return tl_err_set(err, TL_BAD_INPUT, "the VAE has %d latent channels; at most %d can be trained with",
                          c->latent_channels, TL_ENCODE_CHANNELS);
    s->channels = c->latent_channels;
    bool ok = (!params->cache || open_cache(&e)) && list_entries(&e);
    if (ok && !find_entries(&e)) {
        ok = encode_missing(&e);
        if (s->cache && e.n_done > 0) ok = keep(&e, ok) && ok;
    }
    tl_dataset_rest(d);
    s->n_read = e.n_entries - e.n_missing;
    ok = ok && give(&e);
    if (ok && s->cache)
        tl_log(TL_LOG_INFO, "latents: %d from %s, %d encoded", s->n_read, params->cache, e.n_missing);
    free(e.entries);
    return ok;
}
