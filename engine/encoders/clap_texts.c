#include "encoders/clap_texts.h"

#include <stdlib.h>

#include <tiller/log.h>

#include "encoders/text_cache.h"
#include "models/roberta_bpe.h"

struct tl_clap_texts {
    struct tl_clap_towers *towers;
    struct tl_roberta_bpe *tokenizer;
    struct tl_text_cache *cache;
    size_t most;  /* ids of a text */
    int32_t *ids; /* [most] */
};

static bool encode(void *user, const char *const *prompts, size_t n, float *out, struct tl_err *err)
{
    struct tl_clap_texts *t = user;
    size_t dim = (size_t)tl_clap_towers_config(t->towers)->projection;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        size_t used, n_cut = 0;
        struct tl_str cut = {0};
        ok = tl_roberta_bpe_encode(t->tokenizer, prompts[i], t->most, t->ids, &used, &n_cut, &cut, err);
        if (ok && n_cut)
            tl_log(TL_LOG_WARN, "the encoder reads %zu tokens; cut off the prompt: \"%s\"", t->most,
                   cut.data ? cut.data : "");
        tl_str_finish(&cut);
        if (!ok) return tl_err_add(err, "prompt \"%s\"", prompts[i]);
        ok = tl_clap_towers_text(t->towers, t->ids, used, out + i * dim, err);
    }
    return ok;
}

static bool open_into(struct tl_clap_texts *t, const char *folder, struct tl_err *err)
{
    const struct tl_clap_config *c = tl_clap_towers_config(t->towers);
    if (!tl_clap_towers_has_text(t->towers))
        return tl_err_set(err, TL_BAD_INPUT, "the model has no text tower, a ClapModel is needed");
    t->tokenizer = tl_roberta_bpe_open(folder, err);
    if (!t->tokenizer) return false;
    struct tl_bpe_info info = tl_roberta_bpe_info(t->tokenizer);
    if (info.n_vocab > (size_t)c->text.vocab)
        return tl_err_set(err, TL_BAD_INPUT, "the tokenizer has %zu tokens, the text model %d", info.n_vocab,
                          c->text.vocab);
    if (info.pad != c->text.pad_id)
        return tl_err_set(err, TL_BAD_INPUT, "the tokenizer pads with id %d, the text model expects %d",
                          (int)info.pad, c->text.pad_id);
    t->most = (size_t)tl_clap_text_most(&c->text);
    if (info.max_len < t->most) t->most = info.max_len;
    t->ids = calloc(t->most, sizeof *t->ids);
    if (!t->ids) return tl_err_set(err, TL_FAIL, "out of memory");
    t->cache = tl_text_cache_create((size_t)c->projection, encode, t, err);
    return t->cache != NULL;
}

struct tl_clap_texts *tl_clap_texts_open(const char *folder, struct tl_clap_towers *towers,
                                         struct tl_err *err)
{
    struct tl_clap_texts *t = calloc(1, sizeof *t);
    if (!t) tl_err_set(err, TL_FAIL, "out of memory");
    if (t) t->towers = towers;
    if (t && !open_into(t, folder, err)) {
        tl_err_add(err, "%s", folder);
        tl_clap_texts_close(&t);
    }
    return t;
}

void tl_clap_texts_close(struct tl_clap_texts **texts)
{
    struct tl_clap_texts *t = *texts;
    if (!t) return;
    tl_text_cache_destroy(&t->cache);
    tl_roberta_bpe_destroy(&t->tokenizer);
    free(t->ids);
    free(t);
    *texts = NULL;
}

bool tl_clap_texts_embed(struct tl_clap_texts *texts, const char *const *prompts, size_t n, float *out,
                         struct tl_err *err)
{
    return tl_text_cache_embed(texts->cache, prompts, n, out, err);
}
