#include "run/latent_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/sha256.h"
#include "io/file.h"
#include "io/safetensors.h"

static const char sum_key[] = "tiller.latents.sha256";

struct tl_latent_cache {
    struct tl_str path;
    struct tl_st_file *file; /* NULL: empty */
};

/* ---- names ---- */

static void add_text(struct tl_sha256 *s, const char *text)
{
    tl_sha256_add(s, text, strlen(text) + 1);
}

static bool add_weights(struct tl_sha256 *s, struct tl_component *vae, struct tl_err *err)
{
    const struct tl_store_layout *layout = vae->layout;
    for (int32_t i = 0; i < layout->n_entries; i++) {
        const struct tl_store_entry *e = &layout->entries[i];
        size_t n = (size_t)tl_shape_count(&e->shape);
        float *v = malloc((n + 1) * sizeof *v);
        bool ok = (v || tl_err_set(err, TL_FAIL, "out of memory")) && tl_store_read(vae->store, e, v, err);
        if (ok) {
            add_text(s, e->name);
            tl_sha256_add(s, v, n * sizeof *v);
        }
        free(v);
        if (!ok) return false;
    }
    return true;
}

bool tl_latent_cache_key(struct tl_component *vae, const struct tl_dataset *d, char out[65],
                         struct tl_err *err)
{
    struct tl_sha256 s;
    char rule[200];
    char *config = cJSON_PrintUnformatted(vae->json), *folder = realpath(d->params.folder, NULL);
    bool ok = (config && folder) || tl_err_set(err, TL_FAIL, "out of memory");
    const struct tl_dataset_params *p = &d->params;
    snprintf(rule, sizeof rule, "latents 2 %d %dx%d %d %d %d", (int)p->fit, p->width, p->height, p->area_side,
             p->bucket_step, p->no_upscale);
    tl_sha256_init(&s);
    if (ok) {
        add_text(&s, rule);
        add_text(&s, folder);
        add_text(&s, config);
        add_text(&s, vae->store->device->name);
        ok = add_weights(&s, vae, err);
    }
    tl_sha256_hex(&s, out);
    cJSON_free(config);
    free(folder);
    return ok;
}

bool tl_latent_cache_name(const char *picture, int width, int height, bool flip, char out[TL_LATENT_NAME],
                          struct tl_err *err)
{
    char hex[65];
    if (!tl_sha256_file(picture, hex, err)) return false;
    snprintf(out, TL_LATENT_NAME, "%s-%dx%d%s", hex, width, height, flip ? "-flip" : "");
    return true;
}

/* ---- the file ---- */

/* Over names and bytes in order of the names. */
static void add_entry(struct tl_sha256 *s, const char *name, const void *data, size_t bytes)
{
    add_text(s, name);
    tl_sha256_add(s, data, bytes);
}

static bool verify(const struct tl_st_file *f)
{
    struct tl_sha256 s;
    char hex[65];
    const char *wanted = tl_st_meta_find(f, sum_key);
    tl_sha256_init(&s);
    for (size_t i = 0; i < tl_st_count(f); i++) {
        const struct tl_st_tensor *t = tl_st_at(f, i);
        if (t->dtype != TL_ST_F32 || t->rank != 3) return false;
        add_entry(&s, t->name, t->data, t->bytes);
    }
    tl_sha256_hex(&s, hex);
    return wanted && strcmp(wanted, hex) == 0;
}

/* Leaves the cache empty where the file cannot be used. */
static void map_file(struct tl_latent_cache *c)
{
    struct tl_err err = {0};
    tl_st_close(&c->file);
    if (!tl_file_exists(c->path.data)) return;
    c->file = tl_st_open(c->path.data, &err);
    if (c->file && verify(c->file)) return;
    tl_err_set(&err, TL_BAD_INPUT, "%s: its content is not what was written", c->path.data);
    tl_log(TL_LOG_WARN, "%s; the pictures are encoded again", err.text);
    tl_st_close(&c->file);
}

struct tl_latent_cache *tl_latent_cache_open(const char *folder, const char key[65], struct tl_err *err)
{
    char name[64];
    struct tl_latent_cache *c = calloc(1, sizeof *c);
    bool ok = (c || tl_err_set(err, TL_FAIL, "out of memory")) && tl_file_make_folder(folder, err);
    if (ok) {
        snprintf(name, sizeof name, "latents-%.16s.safetensors", key);
        tl_path_join(&c->path, folder, name);
        ok = !c->path.failed || tl_err_set(err, TL_FAIL, "out of memory");
    }
    if (ok)
        map_file(c);
    else
        tl_latent_cache_close(&c);
    return c;
}

void tl_latent_cache_close(struct tl_latent_cache **cache)
{
    struct tl_latent_cache *c = *cache;
    *cache = NULL;
    if (!c) return;
    tl_st_close(&c->file);
    tl_str_finish(&c->path);
    free(c);
}

bool tl_latent_cache_find(const struct tl_latent_cache *c, struct tl_latent_entry *e)
{
    const struct tl_st_tensor *t = c->file ? tl_st_find(c->file, e->name) : NULL;
    if (!t || !tl_st_has_shape(t, 3, e->height, e->width, 2 * e->channels)) return false;
    e->data = t->data;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct tl_latent_entry *const *)a)->name,
                  (*(const struct tl_latent_entry *const *)b)->name);
}

/* Sorted by name, each name once; returns how many. */
static size_t sort_entries(const struct tl_latent_entry *entries, size_t n,
                           const struct tl_latent_entry **out)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) out[i] = &entries[i];
    qsort((void *)out, n, sizeof *out, by_name);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(out[kept - 1]->name, out[i]->name) != 0) out[kept++] = out[i];
    return kept;
}

bool tl_latent_cache_write(struct tl_latent_cache *c, const struct tl_latent_entry *entries, size_t n,
                           struct tl_err *err)
{
    struct tl_sha256 s;
    char hex[65];
    const struct tl_latent_entry **sorted = malloc((n + 1) * sizeof *sorted);
    struct tl_st_item *items = calloc(n + 1, sizeof *items);
    bool ok = (sorted && items) || tl_err_set(err, TL_FAIL, "out of memory");
    size_t kept = ok ? sort_entries(entries, n, sorted) : 0;
    tl_sha256_init(&s);
    for (size_t i = 0; i < kept; i++) {
        const struct tl_latent_entry *e = sorted[i];
        items[i] =
            (struct tl_st_item){.name = e->name,
                                .dtype = TL_ST_F32,
                                .rank = 3,
                                .shape = {(uint64_t)e->height, (uint64_t)e->width, 2 * (uint64_t)e->channels},
                                .data = e->data};
        add_entry(&s, e->name, e->data,
                  (size_t)e->height * (size_t)e->width * 2 * (size_t)e->channels * sizeof(float));
    }
    tl_sha256_hex(&s, hex);
    const struct tl_st_meta meta = {sum_key, hex};
    ok = ok && tl_st_write(c->path.data, items, kept,
                           &(struct tl_st_write_params){.meta = &meta, .n_meta = 1, .no_format = true}, err);
    if (ok) map_file(c);
    free((void *)sorted);
    free(items);
    return ok;
}
