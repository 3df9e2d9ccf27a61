/* The encodings of a data set's distinct captions. */
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/checked.h"
#include "run/encoded_set_parts.h"
#include "tensor/exec.h"

/* Numbers the distinct captions; texts[0] is the empty one. Open addressing over caption numbers. */
static bool number_captions(const struct tl_dataset *d, struct tl_encoded_set *s, const char **texts,
                            struct tl_err *err)
{
    size_t size = 64;
    while (size < 4 * ((size_t)d->n + 1)) size *= 2;
    int *slot = malloc(size * sizeof *slot);
    if (!slot) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < size; i++) slot[i] = -1;
    texts[0] = "";
    s->n_captions = 1;
    for (int i = -1; i < d->n; i++) {
        const char *text = i < 0 ? "" : tl_dataset_caption(d, i);
        uint32_t h = 2166136261u;
        for (const char *p = text; *p; p++) h = (h ^ (uint8_t)*p) * 16777619u;
        size_t at = h & (size - 1);
        while (slot[at] >= 0 && strcmp(texts[slot[at]], text) != 0) at = (at + 1) & (size - 1);
        if (slot[at] < 0) {
            slot[at] = i < 0 ? 0 : s->n_captions++;
            texts[slot[at]] = text;
        }
        if (i >= 0) s->caption[i] = slot[at];
    }
    free(slot);
    return true;
}

static struct tl_exec *plan_text(struct tl_component *text, int tokens, struct tl_err *err)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) return NULL;
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = text->dtype};
    struct tl_clip_text_out out;
    tl_clip_text_build(&nn, &text->config.clip_text,
                       tl_input(g, "input_ids", TL_I32, tl_shape2(TL_ENCODE_BATCH, tokens)), TL_NONE, TL_NONE,
                       false, 0, &out);
    tl_output(g, out.hidden, "hidden");
    return tl_exec_create(text->store->device, &g, err);
}

static bool encode_texts(const char *const *texts, struct tl_component *text,
                         const struct tl_clip_bpe *tokenizer, struct tl_encoded_set *s, struct tl_err *err)
{
    size_t row = (size_t)s->tokens * (size_t)s->dim;
    int32_t *ids = malloc(TL_ENCODE_BATCH * (size_t)s->tokens * sizeof *ids);
    float *hidden = malloc(TL_ENCODE_BATCH * row * sizeof *hidden);
    struct tl_exec *e = plan_text(text, s->tokens, err);
    bool ok = e && ids && hidden && tl_exec_bind(e, TL_SET_BASE, text->store, err);
    int n_cut = 0;
    for (int i = 0; ok && i < s->n_captions; i += TL_ENCODE_BATCH) {
        int n = s->n_captions - i < TL_ENCODE_BATCH ? s->n_captions - i : TL_ENCODE_BATCH;
        for (int j = 0; ok && j < TL_ENCODE_BATCH; j++) {
            size_t cut = 0;
            ok = tl_clip_bpe_encode(tokenizer, texts[j < n ? i + j : i], (size_t)s->tokens,
                                    ids + (size_t)(j * s->tokens), NULL, &cut, NULL, err);
            n_cut += j < n && cut > 0;
        }
        ok = ok && tl_exec_write(e, "input_ids", ids, err) && tl_exec_run(e, err) &&
             tl_exec_read(e, "hidden", hidden, err);
        if (ok) memcpy(s->contexts + (size_t)i * row, hidden, (size_t)n * row * sizeof *hidden);
    }
    if (ok && n_cut)
        tl_log(TL_LOG_WARN, "%d of %d captions are longer than %d tokens and were cut", n_cut, s->n_captions,
               s->tokens);
    tl_exec_destroy(&e);
    free(ids);
    free(hidden);
    return ok || tl_err_set(err, TL_FAIL, "out of memory");
}

bool tl_encoded_set_texts(const struct tl_dataset *d, struct tl_pipeline *pipeline, struct tl_encoded_set *s,
                          struct tl_err *err)
{
    const char **texts = malloc(((size_t)d->n + 1) * sizeof *texts);
    s->caption = malloc(((size_t)d->n + 1) * sizeof *s->caption);
    bool ok = (texts && s->caption) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && number_captions(d, s, texts, err);
    if (ok) {
        size_t row, all;
        s->tokens = pipeline->tokens;
        s->dim = pipeline->width;
        ok = tl_checked_mul((size_t)s->tokens, (size_t)s->dim, &row) &&
             tl_checked_mul(row * sizeof(float), (size_t)s->n_captions, &all);
        s->contexts = ok ? malloc(all) : NULL;
        ok = s->contexts || tl_err_set(err, TL_FAIL, "out of memory for %d text encodings of %dx%d",
                                       s->n_captions, s->tokens, s->dim);
    }
    ok = ok && encode_texts(texts, pipeline->text[0], pipeline->tokenizer[0], s, err);
    free(texts);
    return ok;
}
