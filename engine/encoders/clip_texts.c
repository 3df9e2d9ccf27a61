#include "encoders/clip_texts.h"

#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "encoders/text_cache.h"
#include "models/clip_bpe.h"

struct tl_clip_texts {
    struct tl_clip_towers *towers;
    struct tl_clip_bpe *tokenizer;
    size_t positions, projection;
    struct tl_text_cache *cache;
    int32_t *ids; /* [TL_TEXT_CACHE_PENDING][positions] */
};

static bool no_memory(struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "out of memory");
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

static bool encode(void *user, const char *const *prompts, size_t n, float *out, struct tl_err *err)
{
    struct tl_clip_texts *t = user;
    for (size_t i = 0; i < n; i++)
        if (!tokenise(t, prompts[i], t->ids + i * t->positions, err)) return false;
    return tl_clip_towers_texts(t->towers, t->ids, n, out, err);
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
    t->ids = calloc(TL_TEXT_CACHE_PENDING * t->positions, sizeof *t->ids);
    if (!t->tokenizer) return false;
    if (!t->ids) return no_memory(err);
    t->cache = tl_text_cache_create(t->projection, encode, t, err);
    if (!t->cache) return false;
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
    tl_text_cache_destroy(&t->cache);
    tl_clip_bpe_destroy(&t->tokenizer);
    free(t->ids);
    free(t);
    *texts = NULL;
}

bool tl_clip_texts_embed(struct tl_clip_texts *t, const char *const *prompts, size_t n, float *out,
                         struct tl_err *err)
{
    return tl_text_cache_embed(t->cache, prompts, n, out, err);
}
