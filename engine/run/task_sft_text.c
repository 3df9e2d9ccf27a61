/* Captions as the UNet reads them: looked up among encodings made once, or encoded as they come where the
 * encoder is trained or captions change from sample to sample. */
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "run/task_sft_parts.h"

static struct tl_exec *plan(struct tl_sft *s, bool gradient, struct tl_err *err)
{
    struct tl_component *text = s->pipeline->text[0];
    struct tl_graph *g = tl_graph_create();
    struct tl_clip_text_out out;
    if (!g) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    struct tl_nn nn = {.g = g,
                       .set = TL_SET_BASE,
                       .lora = s->spec[TL_SFT_TEXT],
                       .lora_scale = TL_NONE,
                       .dtype = text->dtype};
    tl_clip_text_build(&nn, &text->config.clip_text,
                       tl_input(g, "input_ids", TL_I32, tl_shape2(s->p.batch, s->pipeline->tokens)), TL_NONE,
                       TL_NONE, false, 0, &out);
    if (out.hidden >= 0 && !gradient) tl_output(g, out.hidden, "hidden");
    if (out.hidden >= 0 && gradient) {
        tl_val cot = tl_input(g, "d_hidden", TL_F32, *tl_shape_of(g, out.hidden));
        tl_graph_backward(
            g, &(struct tl_backward_params){.outputs = &out.hidden,
                                            .cotangents = &cot,
                                            .n_outputs = 1,
                                            .param_sets = 1u << (s->full ? TL_SET_BASE : TL_SET_LORA)});
    }
    struct tl_exec *e = tl_exec_create(text->store->device, &g, err);
    if (e && !tl_sft_bind(s, e, TL_SFT_TEXT, NULL, gradient, err)) tl_exec_destroy(&e);
    return e;
}

bool tl_sft_text_init(struct tl_sft *s, struct tl_err *err)
{
    struct tl_sft_text *t = &s->text;
    size_t b = (size_t)s->p.batch, tokens = (size_t)s->pipeline->tokens;
    t->ids = malloc(b * tokens * sizeof *t->ids);
    t->hidden = malloc(b * tokens * (size_t)s->pipeline->width * sizeof *t->hidden);
    if (!t->ids || !t->hidden) return tl_err_set(err, TL_FAIL, "out of memory");
    t->forward = plan(s, false, err);
    if (t->forward && s->p.train_text) t->backward = plan(s, true, err);
    return t->forward && (t->backward || !s->p.train_text);
}

void tl_sft_text_finish(struct tl_sft_text *t)
{
    tl_exec_destroy(&t->forward);
    tl_exec_destroy(&t->backward);
    free(t->ids);
    free(t->hidden);
    *t = (struct tl_sft_text){0};
}

/* Ids of a batch, the last texts repeated where there are fewer. */
static bool tokenize(struct tl_sft *s, const char *const *texts, size_t n, struct tl_err *err)
{
    struct tl_sft_text *t = &s->text;
    size_t tokens = (size_t)s->pipeline->tokens;
    for (size_t j = 0; j < (size_t)s->p.batch; j++) {
        size_t cut = 0;
        int32_t *ids = t->ids + j * tokens;
        if (j >= n) {
            memcpy(ids, ids - tokens, tokens * sizeof *ids);
            continue;
        }
        if (!tl_clip_bpe_encode(s->pipeline->tokenizer[0], texts[j], tokens, ids, NULL, &cut, NULL, err))
            return tl_err_add(err, "caption \"%.80s\"", texts[j]);
        if (cut && !t->told_cut)
            tl_log(TL_LOG_WARN, "captions of more than %zu tokens are cut, as \"%.60s\"", tokens, texts[j]);
        t->told_cut = t->told_cut || cut;
    }
    return true;
}

bool tl_sft_text_encode(struct tl_sft *s, const char *const *texts, size_t n, struct tl_store *weights,
                        float *out, struct tl_err *err)
{
    struct tl_sft_text *t = &s->text;
    size_t b = (size_t)s->p.batch, row = (size_t)s->pipeline->tokens * (size_t)s->pipeline->width;
    if (!tl_sft_bind(s, t->forward, TL_SFT_TEXT, weights, false, err)) return false;
    for (size_t i = 0; i < n; i += b) {
        size_t m = n - i < b ? n - i : b;
        if (!tokenize(s, texts + i, m, err) || !tl_exec_write(t->forward, "input_ids", t->ids, err) ||
            !tl_exec_run(t->forward, err) || !tl_exec_read(t->forward, "hidden", t->hidden, err))
            return false;
        memcpy(out + i * row, t->hidden, m * row * sizeof *out);
    }
    return true;
}

bool tl_sft_text_gradient(struct tl_sft *s, const char *const *texts, const float *d_hidden,
                          struct tl_err *err)
{
    struct tl_exec *e = s->text.backward;
    return tokenize(s, texts, (size_t)s->p.batch, err) && tl_exec_write(e, "input_ids", s->text.ids, err) &&
           tl_exec_write(e, "d_hidden", d_hidden, err) && tl_exec_run(e, err);
}

bool tl_sft_contexts(struct tl_sft *s, const int *pictures, const struct tl_rng_key *keys,
                     struct tl_store *weights, struct tl_err *err)
{
    size_t row = (size_t)s->pipeline->tokens * (size_t)s->pipeline->width;
    for (int j = 0; j < s->p.batch; j++) {
        int i = pictures[j];
        if (s->live_texts) {
            static const struct tl_caption_params plain = {0};
            tl_caption_compose(tl_dataset_caption(&s->data, i), keys ? &s->captions : &plain,
                               keys ? keys[j] : (struct tl_rng_key){0}, &s->texts[j]);
            if (s->texts[j].failed) return tl_err_set(err, TL_FAIL, "out of memory");
            s->text_list[j] = s->texts[j].data ? s->texts[j].data : "";
            continue;
        }
        bool dropped = keys && (double)tl_rng_uniform(keys[j], 0) < s->captions.dropout;
        memcpy(s->context + (size_t)j * row,
               s->set.contexts + (size_t)(dropped ? 0 : s->set.caption[i]) * row, row * sizeof(float));
    }
    return !s->live_texts ||
           tl_sft_text_encode(s, s->text_list, (size_t)s->p.batch, weights, s->context, err);
}
