#include "encoders/text_cache.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const size_t cache_bytes = (size_t)64 << 20; /* forgotten between calls beyond this */

struct kept {
    char *prompt;  /* owns */
    float *embeds; /* [dim]; owns */
};

struct tl_text_cache {
    size_t dim;
    bool (*encode)(void *user, const char *const *prompts, size_t n, float *out, struct tl_err *err);
    void *user;
    struct kept *table; /* open addressing; size a power of two */
    size_t n, size;
    float *embeds; /* [TL_TEXT_CACHE_PENDING][dim] */
};

/* ---- what is kept ---- */

static struct kept *place(const struct tl_text_cache *t, const char *prompt)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (const char *c = prompt; *c; c++) h = (h ^ (uint8_t)*c) * 1099511628211u;
    size_t i = (size_t)h & (t->size - 1);
    while (t->table[i].prompt && strcmp(t->table[i].prompt, prompt) != 0) i = (i + 1) & (t->size - 1);
    return &t->table[i];
}

static void forget(struct tl_text_cache *t)
{
    for (size_t i = 0; i < t->size; i++) {
        free(t->table[i].prompt);
        free(t->table[i].embeds);
    }
    free(t->table);
    t->table = NULL;
    t->n = t->size = 0;
}

static bool grow(struct tl_text_cache *t)
{
    struct tl_text_cache bigger = *t;
    if (2 * (t->n + 1) <= t->size) return true;
    bigger.size = t->size ? 2 * t->size : 64;
    bigger.table = calloc(bigger.size, sizeof *bigger.table);
    if (!bigger.table) return false;
    for (size_t i = 0; i < t->size; i++)
        if (t->table[i].prompt) *place(&bigger, t->table[i].prompt) = t->table[i];
    free(t->table);
    *t = bigger;
    return true;
}

/* Keeps a prompt with its embedding at unit length; a zero one becomes NaN, which scoring reports. */
static bool keep(struct tl_text_cache *t, const char *prompt, const float *embeds)
{
    double sum = 0;
    if (!grow(t)) return false;
    struct kept k = {strdup(prompt), malloc(t->dim * sizeof(float))};
    if (!k.prompt || !k.embeds) {
        free(k.prompt);
        free(k.embeds);
        return false;
    }
    for (size_t i = 0; i < t->dim; i++) sum += (double)embeds[i] * embeds[i];
    for (size_t i = 0; i < t->dim; i++) k.embeds[i] = (float)(embeds[i] / sqrt(sum));
    *place(t, prompt) = k;
    t->n++;
    return true;
}

/* ---- encoding ---- */

static bool encode(struct tl_text_cache *t, const char *const *pending, size_t n, struct tl_err *err)
{
    if (n && !t->encode(t->user, pending, n, t->embeds, err)) return false;
    for (size_t i = 0; i < n; i++)
        if (!keep(t, pending[i], t->embeds + i * t->dim)) return tl_err_set(err, TL_FAIL, "out of memory");
    return true;
}

static bool is_known(const struct tl_text_cache *t, const char *const *pending, size_t n, const char *prompt)
{
    if (t->size && place(t, prompt)->prompt) return true;
    for (size_t i = 0; i < n; i++)
        if (strcmp(pending[i], prompt) == 0) return true;
    return false;
}

bool tl_text_cache_embed(struct tl_text_cache *t, const char *const *prompts, size_t n, float *out,
                         struct tl_err *err)
{
    const char *pending[TL_TEXT_CACHE_PENDING] = {0};
    size_t n_pending = 0, bytes = t->dim * sizeof *out;
    if (t->n * bytes > cache_bytes) forget(t);
    for (size_t i = 0; i < n; i++) {
        if (is_known(t, pending, n_pending, prompts[i])) continue;
        pending[n_pending++] = prompts[i];
        if (n_pending < TL_TEXT_CACHE_PENDING) continue;
        if (!encode(t, pending, n_pending, err)) return false;
        n_pending = 0;
    }
    if (!encode(t, pending, n_pending, err)) return false;
    for (size_t i = 0; i < n; i++) memcpy(out + i * t->dim, place(t, prompts[i])->embeds, bytes);
    return true;
}

struct tl_text_cache *tl_text_cache_create(size_t dim,
                                           bool (*how)(void *user, const char *const *prompts, size_t n,
                                                       float *out, struct tl_err *err),
                                           void *user, struct tl_err *err)
{
    struct tl_text_cache *t = calloc(1, sizeof *t);
    if (t) *t = (struct tl_text_cache){.dim = dim, .encode = how, .user = user};
    if (t) t->embeds = calloc(TL_TEXT_CACHE_PENDING * dim, sizeof *t->embeds);
    if (t && t->embeds) return t;
    tl_err_set(err, TL_FAIL, "out of memory");
    free(t);
    return NULL;
}

void tl_text_cache_destroy(struct tl_text_cache **cache)
{
    struct tl_text_cache *t = *cache;
    if (!t) return;
    forget(t);
    free(t->embeds);
    free(t);
    *cache = NULL;
}
