#include "sample/pipeline_encode.h"

#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/checked.h"
#include "sample/pipeline.h"
#include "tensor/device_planning.h"
#include "tensor/exec.h"

/* Texts of one run; a short one is padded. Always the same, so that a text's bytes do not depend on its
 * company. */
enum { BATCH = 4 };
static const size_t cache_limit = (size_t)512 << 20;

struct cached {
    char *text;   /* owns */
    float *value; /* [tokens * width + pooled_width]; owns */
};

struct tl_prompt_encoder {
    struct tl_exec *exec[2];
    int width[2];
    size_t n_context, n_value; /* floats of one prompt */
    int32_t *ids, rows[BATCH]; /* ids [BATCH][tokens] */
    float *context, *pooled;   /* [BATCH][tokens][width of one encoder], [BATCH][pooled_width] */
    struct cached *table;      /* open addressing, size a power of two */
    size_t n, size;
};

static uint64_t hash(const char *text)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *text; text++) h = (h ^ (uint8_t)*text) * 1099511628211u;
    return h;
}

static struct cached *place(const struct tl_prompt_encoder *e, const char *text)
{
    size_t i = (size_t)hash(text) & (e->size - 1);
    while (e->table[i].text && strcmp(e->table[i].text, text) != 0) i = (i + 1) & (e->size - 1);
    return &e->table[i];
}

static void forget(struct tl_prompt_encoder *e)
{
    for (size_t i = 0; i < e->size; i++) {
        free(e->table[i].text);
        free(e->table[i].value);
        e->table[i] = (struct cached){0};
    }
    e->n = 0;
}

static bool grow(struct tl_prompt_encoder *e)
{
    if (2 * (e->n + 1) <= e->size) return true;
    struct tl_prompt_encoder bigger = *e;
    bigger.size = e->size ? 2 * e->size : 64;
    bigger.table = calloc(bigger.size, sizeof *bigger.table);
    if (!bigger.table) return false;
    for (size_t i = 0; i < e->size; i++)
        if (e->table[i].text) *place(&bigger, e->table[i].text) = e->table[i];
    free(e->table);
    *e = bigger;
    return true;
}

/* Room for a text; its value is still to be filled. */
static struct cached *add(struct tl_prompt_encoder *e, const char *text)
{
    if (!grow(e)) return NULL;
    struct cached c = {strdup(text), malloc(e->n_value * sizeof(float))};
    if (!c.text || !c.value) {
        free(c.text);
        free(c.value);
        return NULL;
    }
    struct cached *at = place(e, text);
    *at = c;
    e->n++;
    return at;
}

void tl_prompt_encoder_destroy(struct tl_prompt_encoder **e_ptr)
{
    struct tl_prompt_encoder *e = *e_ptr;
    if (!e) return;
    forget(e);
    tl_exec_destroy(&e->exec[0]);
    tl_exec_destroy(&e->exec[1]);
    free(e->table);
    free(e->ids);
    free(e->context);
    free(e->pooled);
    free(e);
    *e_ptr = NULL;
}

void tl_pipeline_forget_prompts(struct tl_pipeline *p)
{
    if (p->encoder) forget(p->encoder);
}

static struct tl_exec *plan(struct tl_pipeline *p, int i, struct tl_err *err)
{
    struct tl_graph *g = tl_graph_create();
    struct tl_clip_text_out out;
    if (!g) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = p->text[i]->dtype};
    tl_val ids = tl_input(g, "input_ids", TL_I32, tl_shape2(BATCH, p->tokens));
    bool pooled = i == 1;
    tl_val rows = pooled ? tl_input(g, "eos_rows", TL_I32, tl_shape1(BATCH)) : TL_NONE;
    tl_clip_text_build(&nn, &p->text[i]->config.clip_text, ids, TL_NONE, rows, pooled, 0, &out);
    tl_output(g, p->xl ? out.penultimate : out.hidden, "context");
    if (pooled) tl_output(g, out.embeds, "pooled");
    if (!tl_graph_ok(g, err)) {
        tl_graph_destroy(&g);
        return NULL;
    }
    struct tl_exec *exec = tl_exec_create(p->device, &g, err);
    if (exec && !tl_exec_bind(exec, TL_SET_BASE, p->text[i]->store, err)) tl_exec_destroy(&exec);
    return exec;
}

static bool make_encoder(struct tl_pipeline *p, struct tl_err *err)
{
    if (!p->text[0]) return tl_err_set(err, TL_FAIL, "the text encoder was given back");
    const char *before = tl_device_planning_part(p->device, "text encoder, activations");
    struct tl_prompt_encoder *e = calloc(1, sizeof *e);
    if (!e) return tl_err_set(err, TL_FAIL, "out of memory");
    p->encoder = e;
    e->n_context = (size_t)p->tokens * (size_t)p->width;
    e->n_value = e->n_context + (size_t)p->pooled_width;
    e->ids = malloc(BATCH * (size_t)p->tokens * sizeof *e->ids);
    e->context = malloc(BATCH * e->n_context * sizeof *e->context);
    e->pooled = malloc((BATCH * (size_t)p->pooled_width + 1) * sizeof *e->pooled);
    bool ok = (e->ids && e->context && e->pooled) || tl_err_set(err, TL_FAIL, "out of memory");
    for (int i = 0; ok && i < 2 && p->text[i]; i++) {
        e->width[i] = p->text[i]->config.clip_text.tower.width;
        e->exec[i] = plan(p, i, err);
        ok = e->exec[i] != NULL;
    }
    if (!ok) tl_prompt_encoder_destroy(&p->encoder);
    tl_device_planning_part(p->device, before);
    return ok;
}

static bool tokenize(struct tl_pipeline *p, int i, const char *text, int32_t *ids, struct tl_err *err)
{
    struct tl_str cut = {0};
    size_t n_cut = 0;
    bool ok = tl_clip_bpe_encode(p->tokenizer[i], text, (size_t)p->tokens, ids, NULL, &n_cut, &cut, err);
    if (!ok) tl_err_add(err, "prompt \"%.80s\"", text);
    if (ok && n_cut > 0 && i == 0)
        tl_log(TL_LOG_WARN, "prompt \"%.60s%s\" is longer than %d tokens: its last %zu are cut off: \"%s\"",
               text, strlen(text) > 60 ? "..." : "", p->tokens, n_cut, cut.data ? cut.data : "");
    tl_str_finish(&cut);
    return ok;
}

/* Texts todo[0..n) through encoder i, into their places. */
static bool run_encoder(struct tl_pipeline *p, int i, struct cached *const *todo, size_t n,
                        struct tl_err *err)
{
    struct tl_prompt_encoder *e = p->encoder;
    size_t tokens = (size_t)p->tokens, w = (size_t)e->width[i], offset = i ? (size_t)e->width[0] : 0;
    for (size_t k = 0; k < BATCH; k++) {
        if (k < n && !tokenize(p, i, todo[k]->text, e->ids + k * tokens, err)) return false;
        if (k >= n) memcpy(e->ids + k * tokens, e->ids, tokens * sizeof *e->ids);
    }
    if (!tl_exec_write(e->exec[i], "input_ids", e->ids, err)) return false;
    if (i == 1) {
        tl_clip_eos_rows(&p->text[1]->config.clip_text, e->ids, BATCH, p->tokens, e->rows);
        if (!tl_exec_write(e->exec[i], "eos_rows", e->rows, err)) return false;
    }
    if (!tl_exec_run(e->exec[i], err) || !tl_exec_read(e->exec[i], "context", e->context, err)) return false;
    if (i == 1 && !tl_exec_read(e->exec[i], "pooled", e->pooled, err)) return false;
    for (size_t k = 0; k < n; k++) {
        for (size_t t = 0; t < tokens; t++)
            memcpy(todo[k]->value + t * (size_t)p->width + offset, e->context + (k * tokens + t) * w,
                   w * sizeof(float));
        if (i == 1)
            memcpy(todo[k]->value + e->n_context, e->pooled + k * (size_t)p->pooled_width,
                   (size_t)p->pooled_width * sizeof(float));
    }
    return true;
}

/* NULL: nothing to encode, zeros. */
static const char *text_of(const struct tl_pipeline *p, const char *prompt)
{
    return prompt ? prompt : p->zero_negative ? NULL : "";
}

/* The texts among prompts that are not there yet, encoded and kept. A failure forgets everything, so that no
 * half-filled place stays. */
static bool encode_missing(struct tl_pipeline *p, const char *const *prompts, size_t n, struct tl_err *err)
{
    struct tl_prompt_encoder *e = p->encoder;
    if (e->n * e->n_value > cache_limit / sizeof(float)) forget(e);
    for (size_t next = 0; next < n;) {
        const char *texts[BATCH];
        struct cached *todo[BATCH];
        size_t m = 0;
        for (; next < n && m < BATCH; next++) {
            const char *text = text_of(p, prompts[next]);
            if (!text || (e->size && place(e, text)->text)) continue;
            if (!add(e, text)) {
                forget(e);
                return tl_err_set(err, TL_FAIL, "out of memory for the prompts");
            }
            texts[m++] = text;
        }
        if (m == 0) break;
        for (size_t k = 0; k < m; k++)
            todo[k] = place(e, texts[k]); /* the table may have moved while it grew */
        for (int i = 0; i < 2 && e->exec[i]; i++)
            if (!run_encoder(p, i, todo, m, err)) {
                forget(e);
                return false;
            }
    }
    return true;
}

bool tl_pipeline_encode(struct tl_pipeline *p, const char *const *prompts, size_t n, struct tl_encoding *out,
                        struct tl_err *err)
{
    *out =
        (struct tl_encoding){.n = n, .tokens = p->tokens, .width = p->width, .pooled_width = p->pooled_width};
    size_t total;
    if (!p->encoder && !make_encoder(p, err)) return false;
    struct tl_prompt_encoder *e = p->encoder;
    if (!tl_checked_mul(n, e->n_value, &total))
        return tl_err_set(err, TL_USAGE, "%zu prompts are too many", n);
    if (!encode_missing(p, prompts, n, err)) return false;
    out->context = calloc(n * e->n_context + 1, sizeof(float));
    if (p->pooled_width) out->pooled = calloc(n * (size_t)p->pooled_width + 1, sizeof(float));
    if (!out->context || (p->pooled_width && !out->pooled)) {
        tl_encoding_finish(out);
        return tl_err_set(err, TL_FAIL, "out of memory for the encodings of %zu prompts", n);
    }
    for (size_t i = 0; i < n; i++) {
        const char *text = text_of(p, prompts[i]);
        if (!text) continue;
        const float *value = place(e, text)->value;
        memcpy(out->context + i * e->n_context, value, e->n_context * sizeof(float));
        if (out->pooled)
            memcpy(out->pooled + i * (size_t)p->pooled_width, value + e->n_context,
                   (size_t)p->pooled_width * sizeof(float));
    }
    return true;
}

void tl_encoding_finish(struct tl_encoding *e)
{
    free(e->context);
    free(e->pooled);
    *e = (struct tl_encoding){0};
}
