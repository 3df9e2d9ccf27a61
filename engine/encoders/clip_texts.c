#include "encoders/clip_texts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "models/clip_bpe.h"

static const size_t cache_bytes = (size_t)64 << 20; /* forgotten between calls beyond this */
enum { PENDING = 16 };

struct kept {
    char *prompt;  /* owns */
    float *embeds; /* [projection]; owns */
};

struct tl_clip_texts {
    struct tl_clip_towers *towers;
    struct tl_clip_bpe *tokenizer;
    size_t positions, projection;
    struct kept *table; /* open addressing; size a power of two */
    size_t n, size;
    int32_t *ids;  /* [PENDING][positions] */
    float *embeds; /* [PENDING][projection] */
};

static bool no_memory(struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "out of memory");
}

/* ---- what is kept ---- */

static struct kept *place(const struct tl_clip_texts *t, const char *prompt)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (const char *c = prompt; *c; c++) h = (h ^ (uint8_t)*c) * 1099511628211u;
    size_t i = (size_t)h & (t->size - 1);
    while (t->table[i].prompt && strcmp(t->table[i].prompt, prompt) != 0) i = (i + 1) & (t->size - 1);
    return &t->table[i];
}

static void forget(struct tl_clip_texts *t)
{
    for (size_t i = 0; i < t->size; i++) {
        free(t->table[i].prompt);
        free(t->table[i].embeds);
    }
    free(t->table);
    t->table = NULL;
    t->n = t->size = 0;
}

static bool grow(struct tl_clip_texts *t)
{
    struct tl_clip_texts bigger = *t;
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
static bool keep(struct tl_clip_texts *t, const char *prompt, const float *embeds)
{
    double sum = 0;
    if (!grow(t)) return false;
    struct kept k = {strdup(prompt), malloc(t->projection * sizeof(float))};
    if (!k.prompt || !k.embeds) {
        free(k.prompt);
        free(k.embeds);
        return false;
    }
    for (size_t i = 0; i < t->projection; i++) sum += (double)embeds[i] * embeds[i];
    for (size_t i = 0; i < t->projection; i++) k.embeds[i] = (float)(embeds[i] / sqrt(sum));
    *place(t, prompt) = k;
    t->n++;
    return true;
}

/* ---- opening ---- */

static bool check_fit(const struct tl_clip_texts *t, struct tl_err *err)
{
    const struct tl_clip_text_config *c = &tl_clip_towers_config(t->towers)->text;
    struct tl_bpe_info info = tl_clip_bpe_info(t->tokenizer);
    if (info.n_vocab > (size_t)c->vocab)
        return tl_err_set(err, TL_BAD_INPUT, "the tokenizer has %zu tokens, the text model %d", info.n_vocab,
                          c->vocab);
    /* eos_token_id 2 is the older rule: the largest id is the end */
    if (c->eos_id != 2 && c->eos_id != info.eos)
        return tl_err_set(err, TL_BAD_INPUT, "the tokenizer ends texts with id %d, the text model expects %d",
                          (int)info.eos, c->eos_id);
    return true;
}

static bool open_into(struct tl_clip_texts *t, const char *folder, struct tl_err *err)
{
    if (!tl_clip_towers_plan_texts(t->towers, err)) return false;
    t->tokenizer = tl_clip_bpe_open(folder, err);
    t->ids = calloc(PENDING * t->positions, sizeof *t->ids);
    t->embeds = calloc(PENDING * t->projection, sizeof *t->embeds);
    if (!t->tokenizer) return false;
    if (!t->ids || !t->embeds) return no_memory(err);
    return check_fit(t, err) || tl_err_add(err, "%s", folder);
}

struct tl_clip_texts *tl_clip_texts_open(const char *folder, struct tl_clip_towers *towers,
                                         struct tl_err *err)
{
    const struct tl_clip_config *c = tl_clip_towers_config(towers);
    struct tl_clip_texts *t = calloc(1, sizeof *t);
    if (!t) no_memory(err);
    if (t)
        *t = (struct tl_clip_texts){
            .towers = towers, .positions = (size_t)c->text.positions, .projection = (size_t)c->projection};
    if (t && !open_into(t, folder, err)) tl_clip_texts_close(&t);
    return t;
}

void tl_clip_texts_close(struct tl_clip_texts **texts)
{
    struct tl_clip_texts *t = *texts;
    if (!t) return;
    forget(t);
    tl_clip_bpe_destroy(&t->tokenizer);
    free(t->ids);
    free(t->embeds);
    free(t);
    *texts = NULL;
}

/* ---- encoding ---- */

static bool tokenise(const struct tl_clip_texts *t, const char *prompt, int32_t *ids, struct tl_err *err)
{
    size_t n_cut = 0;
    struct tl_str cut = {0};
    bool ok = tl_clip_bpe_encode(t->tokenizer, prompt, t->positions, ids, NULL, &n_cut, &cut, err);
    if (ok && n_cut)
        tl_log(TL_LOG_WARN, "the encoder reads %zu tokens; cut off the prompt: \"%s\"", t->positions,
               cut.data ? cut.data : "");
    tl_str_finish(&cut);
    return ok || tl_err_add(err, "prompt \"%s\"", prompt);
}

static bool encode(struct tl_clip_texts *t, const char *const *pending, size_t n, struct tl_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!tokenise(t, pending[i], t->ids + i * t->positions, err)) return false;
    if (n && !tl_clip_towers_texts(t->towers, t->ids, n, t->embeds, err)) return false;
    for (size_t i = 0; i < n; i++)
        if (!keep(t, pending[i], t->embeds + i * t->projection)) return no_memory(err);
    return true;
}

static bool is_known(const struct tl_clip_texts *t, const char *const *pending, size_t n, const char *prompt)
{
    if (t->size && place(t, prompt)->prompt) return true;
    for (size_t i = 0; i < n; i++)
        if (strcmp(pending[i], prompt) == 0) return true;
    return false;
}

bool tl_clip_texts_embed(struct tl_clip_texts *t, const char *const *prompts, size_t n, float *out,
                         struct tl_err *err)
{
    const char *pending[PENDING] = {0};
    size_t n_pending = 0, bytes = t->projection * sizeof *out;
    if (t->n * bytes > cache_bytes) forget(t);
    for (size_t i = 0; i < n; i++) {
        if (is_known(t, pending, n_pending, prompts[i])) continue;
        pending[n_pending++] = prompts[i];
        if (n_pending < PENDING) continue;
        if (!encode(t, pending, n_pending, err)) return false;
        n_pending = 0;
    }
    if (!encode(t, pending, n_pending, err)) return false;
    for (size_t i = 0; i < n; i++) memcpy(out + i * t->projection, place(t, prompts[i])->embeds, bytes);
    return true;
}
