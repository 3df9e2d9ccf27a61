#include "run/task_contrastive.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/str.h"
#include "io/file.h"
#include "io/json.h"
#include "run/reconstruct.h"
#include "run/task_contrastive_parts.h"

#define MASKED        (-1e9f)
#define GROUND_WEIGHT 0.05f /* of patches of label 0, against 1 */

/* OpenAI's normalisation, which transformers' preprocessor_config.json repeats. */
static const float mean[3] = {0.48145466f, 0.4578275f, 0.40821073f},
                   deviation[3] = {0.26862954f, 0.26130258f, 0.27577711f};

static struct tl_exec *plan(struct tl_contrastive *t, struct tl_err *err)
{
    bool patches = t->extras.n_channels > 0 && t->p.patch_weight > 0;
    struct tl_device *d = t->clip->store->device;
    struct tl_graph *g = tl_graph_create();
    if (!g) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE};
    tl_val loss = tl_contrastive_loss(&nn, t, patches), one = tl_fill(g, tl_shape1(1), 1);
    tl_output(g, loss, "loss");
    tl_graph_backward(g, &(struct tl_backward_params){.outputs = &loss,
                                                      .cotangents = &one,
                                                      .n_outputs = 1,
                                                      .param_sets = 1u << TL_SET_BASE | 1u << TL_SET_AUX});
    if (patches && tl_graph_ok(g, err)) {
        const struct tl_graph *const graphs[1] = {g};
        t->aux_layout = tl_store_layout_create(graphs, 1, TL_SET_AUX, NULL, NULL, err);
        t->aux = t->aux_layout ? tl_store_create(d, t->aux_layout, err) : NULL;
        t->aux_grads = t->aux ? tl_store_create(d, t->aux_layout, err) : NULL;
        if (!t->aux_grads || !tl_weights_init(t->aux, t->p.seed + 1, err)) {
            tl_graph_destroy(&g);
            return NULL;
        }
    }
    return tl_exec_create(d, &g, err);
}

static const char *negative_of(const struct tl_contrastive *t, int item, uint64_t step, int j)
{
    int first = t->extras.first_negative[item], n = t->extras.first_negative[item + 1] - first;
    struct tl_rng_key key = {
        .seed = t->p.seed, .stream = TL_RNG_AUGMENT, .sample = (uint32_t)j, .step = (uint32_t)step};
    return n > 0 ? t->extras.negatives[first + (int)tl_rng_below(key, 1000000, (uint32_t)n)] : NULL;
}

/* Normalised pixels; half of the pictures through the VAE where there is one, noise up to the limit. */
static void fill_pixels(struct tl_contrastive *t, int item, uint64_t step, int j)
{
    struct tl_rng_key key = {
        .seed = t->p.seed, .stream = TL_RNG_AUGMENT, .sample = (uint32_t)j, .step = (uint32_t)step};
    size_t n = (size_t)t->side * (size_t)t->side * 3;
    float *out = t->pixels + (size_t)j * n;
    bool through = t->seen_through_vae && tl_rng_uniform(key, 1000001) < 0.5f;
    const uint8_t *px = (through ? t->seen_through_vae : t->data.px) + (size_t)item * n;
    tl_rng_normal(key, 0, n, out);
    float level = (float)t->p.noise * tl_rng_uniform(key, 1000002) * 0.5f;
    for (size_t k = 0; k < n; k++)
        out[k] = ((float)px[k] / 255.0f + level * out[k] - mean[k % 3]) / deviation[k % 3];
}

static void fill_masks(struct tl_contrastive *t, const char *const *texts, int n_texts)
{
    int b = t->p.batch;
    for (int i = 0; i < b; i++)
        for (int k = 0; k < n_texts; k++) {
            bool own = k == i || k == b + i;
            bool same = k < b && k != i && strcmp(texts[i], texts[k]) == 0;
            bool no_negative = k == b + i && strcmp(texts[i], texts[k]) == 0;
            t->mask[i * n_texts + k] = (k >= b && !own) || same || no_negative ? MASKED : 0;
            if (k < b) t->mask_text[i * b + k] = same ? MASKED : 0;
        }
}

/* Pictures without labels weigh nothing. */
static void fill_patch_targets(struct tl_contrastive *t, const uint32_t *items)
{
    const struct tl_caption_extras *x = &t->extras;
    size_t patches = (size_t)x->n_patches;
    for (int k = 0; k < x->n_channels && t->aux; k++) {
        size_t classes = (size_t)x->n_classes[k];
        float *out = t->patch_targets[k], sum = 0;
        memset(out, 0, (size_t)t->p.batch * patches * classes * sizeof *out);
        for (int pass = 0; pass < 2; pass++)
            for (int j = 0; j < t->p.batch; j++) {
                const uint8_t *labels = tl_caption_extras_labels(x, (int)items[j], k);
                for (size_t p = 0; labels && p < patches; p++) {
                    float w = labels[p] ? 1 : GROUND_WEIGHT;
                    if (pass == 0)
                        sum += w;
                    else
                        out[((size_t)j * patches + p) * classes + labels[p]] = w / sum;
                }
            }
    }
}

static bool upload(struct tl_contrastive *t, struct tl_err *err)
{
    bool ok = tl_exec_write(t->exec, "pixel_values", t->pixels, err) &&
              tl_exec_write(t->exec, "input_ids", t->ids, err) &&
              tl_exec_write(t->exec, "eos_rows", t->rows, err) &&
              tl_exec_write(t->exec, "mask", t->mask, err) &&
              tl_exec_write(t->exec, "mask_text", t->mask_text, err);
    for (int k = 0; ok && t->aux && k < t->extras.n_channels; k++) {
        char name[32];
        snprintf(name, sizeof name, "patch_targets.%d", k);
        ok = tl_exec_write(t->exec, name, t->patch_targets[k], err);
    }
    return ok;
}

/* Share of pictures whose own caption scores highest in the batch, hard negative included. */
static bool accuracy(struct tl_contrastive *t, int n_texts, double *out, struct tl_err *err)
{
    int b = t->p.batch, hits = 0;
    float *logits = malloc((size_t)b * (size_t)n_texts * sizeof *logits);
    if (!logits || !tl_exec_read(t->exec, "logits", logits, err)) {
        free(logits);
        return tl_err_set(err, TL_FAIL, "out of memory");
    }
    for (int i = 0; i < b; i++) {
        bool best = true;
        for (int k = 0; k < n_texts; k++)
            best &=
                k == i || t->mask[i * n_texts + k] < 0 || logits[i * n_texts + k] < logits[i * n_texts + i];
        hits += best;
    }
    free(logits);
    *out = (double)hits / b;
    return true;
}

/* One batch is one update: pictures tell each other apart within it, so batches cannot be gathered. */
static bool gradient(void *self, uint64_t step, uint32_t part, double out[TL_TASK_METRICS],
                     struct tl_err *err)
{
    struct tl_contrastive *t = self;
    enum { MOST = 4096 };
    (void)part;
    int b = t->p.batch, n_texts = t->extras.n_negatives ? 2 * b : b;
    uint32_t items[MOST / 2];
    const char *texts[MOST];
    for (int j = 0; j < b; j++) {
        items[j] = tl_task_order_item(&t->order, step * (uint64_t)b + (uint64_t)j);
        texts[j] = tl_dataset_caption(&t->data, (int)items[j]);
        const char *negative = n_texts > b ? negative_of(t, (int)items[j], step, j) : NULL;
        if (n_texts > b) texts[b + j] = negative ? negative : texts[j];
        fill_pixels(t, (int)items[j], step, j);
    }
    for (int k = 0; k < n_texts; k++)
        if (!tl_clip_bpe_encode(t->tokenizer, texts[k], (size_t)t->tokens,
                                t->ids + (size_t)k * (size_t)t->tokens, NULL, NULL, NULL, err))
            return false;
    tl_clip_eos_rows(&t->clip->config.clip.text, t->ids, n_texts, t->tokens, t->rows);
    fill_masks(t, texts, n_texts);
    fill_patch_targets(t, items);
    if (!upload(t, err) || !tl_exec_run(t->exec, err)) return false;
    const char *const names[3] = {"loss", "contrastive", "patch"};
    for (int i = 0; i < 3; i++) {
        float v = 0;
        if ((i < 2 || t->aux) && !tl_exec_read(t->exec, names[i], &v, err)) return false;
        out[i] = v;
    }
    return accuracy(t, n_texts, &out[3], err);
}

static bool save_preprocessor(const struct tl_contrastive *t, const char *folder, struct tl_err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/preprocessor_config.json", folder);
    cJSON *json = cJSON_CreateObject(), *size = cJSON_CreateObject(), *crop = cJSON_CreateObject();
    double m[3], s[3];
    for (int k = 0; k < 3; k++) {
        m[k] = (double)mean[k];
        s[k] = (double)deviation[k];
    }
    cJSON_AddNumberToObject(size, "shortest_edge", t->side);
    cJSON_AddNumberToObject(crop, "height", t->side);
    cJSON_AddNumberToObject(crop, "width", t->side);
    cJSON_AddStringToObject(json, "image_processor_type", "CLIPImageProcessor");
    const char *const on[] = {"do_resize", "do_center_crop", "do_convert_rgb", "do_normalize", "do_rescale"};
    for (size_t i = 0; i < sizeof on / sizeof *on; i++) cJSON_AddTrueToObject(json, on[i]);
    cJSON_AddItemToObject(json, "size", size);
    cJSON_AddItemToObject(json, "crop_size", crop);
    cJSON_AddItemToObject(json, "image_mean", cJSON_CreateDoubleArray(m, 3));
    cJSON_AddItemToObject(json, "image_std", cJSON_CreateDoubleArray(s, 3));
    cJSON_AddNumberToObject(json, "resample", 3);
    cJSON_AddNumberToObject(json, "rescale_factor", 1.0 / 255.0);
    bool ok = tl_json_write(path, json, err);
    cJSON_Delete(json);
    return ok;
}

static bool save(void *self, struct tl_store *weights, const char *run_folder, struct tl_err *err)
{
    struct tl_contrastive *t = self;
    struct tl_str path = {0};
    tl_path_join(&path, run_folder, "model");
    bool ok = (!path.failed || tl_err_set(err, TL_FAIL, "out of memory")) &&
              tl_component_save(t->clip, weights, path.data, TL_ST_F32, err) &&
              tl_clip_bpe_save(t->tokenizer, path.data, err) && save_preprocessor(t, path.data, err);
    tl_str_finish(&path);
    return ok;
}

static void destroy(void *self)
{
    struct tl_contrastive *t = self;
    tl_exec_destroy(&t->exec);
    tl_store_destroy(&t->grads);
    tl_store_destroy(&t->aux);
    tl_store_destroy(&t->aux_grads);
    tl_store_layout_destroy(&t->aux_layout);
    tl_component_close(&t->clip);
    tl_clip_bpe_destroy(&t->tokenizer);
    tl_dataset_finish(&t->data);
    tl_caption_extras_finish(&t->extras);
    tl_task_order_finish(&t->order);
    for (int k = 0; k < TL_PATCH_CHANNELS; k++) free(t->patch_targets[k]);
    free(t->seen_through_vae);
    free(t->pixels);
    free(t->mask);
    free(t->mask_text);
    free(t->ids);
    free(t->rows);
    free(t);
}

static bool allocate(struct tl_contrastive *t, struct tl_err *err)
{
    size_t b = (size_t)t->p.batch, texts = t->extras.n_negatives ? 2 * b : b;
    t->pixels = malloc(b * (size_t)t->side * (size_t)t->side * 3 * sizeof(float));
    t->mask = malloc(b * texts * sizeof(float));
    t->mask_text = malloc(b * b * sizeof(float));
    t->ids = malloc(texts * (size_t)t->tokens * sizeof(int32_t));
    t->rows = malloc(texts * sizeof(int32_t));
    bool ok = t->pixels && t->mask && t->mask_text && t->ids && t->rows;
    for (int k = 0; ok && k < t->extras.n_channels; k++) {
        t->patch_targets[k] =
            malloc(b * (size_t)t->extras.n_patches * (size_t)t->extras.n_classes[k] * sizeof(float));
        ok = t->patch_targets[k] != NULL;
    }
    return ok || tl_err_set(err, TL_FAIL, "out of memory");
}

static bool write_pick(struct tl_contrastive *t, struct tl_err *err)
{
    int b = t->p.batch, texts = t->extras.n_negatives ? 2 * b : b;
    float *pick = calloc((size_t)b * (size_t)texts, sizeof *pick);
    if (!pick) return tl_err_set(err, TL_FAIL, "out of memory");
    for (int i = 0; i < b; i++) pick[i * texts + i] = 1.0f / (float)b;
    bool ok = tl_exec_write(t->exec, "pick", pick, err);
    free(pick);
    return ok;
}

static bool prepare(struct tl_contrastive *t, struct tl_err *err)
{
    const struct tl_clip_config *c = &t->clip->config.clip;
    struct tl_device *d = t->clip->store->device;
    struct tl_bpe_info info = tl_clip_bpe_info(t->tokenizer);
    if (info.n_vocab > (size_t)c->text.vocab)
        return tl_err_set(err, TL_BAD_INPUT, "the tokenizer has %zu tokens, the text tower %d", info.n_vocab,
                          c->text.vocab);
    if (c->vision.channels != 3)
        return tl_err_set(err, TL_BAD_INPUT, "the vision tower takes %d channels; pictures have 3",
                          c->vision.channels);
    t->tokens = c->text.positions;
    t->side = c->vision.image_size;
    int grid = t->side / c->vision.patch;
    if (!tl_dataset_load(t->p.data, t->side, t->side, true, t->p.strict, &t->data, err)) return false;
    if (t->data.n < t->p.batch)
        return tl_err_set(err, TL_USAGE, "a batch of %d from %d pictures", t->p.batch, t->data.n);
    if (!tl_caption_extras_read(&t->data, grid * grid, &t->extras, err)) return false;
    if (t->p.vae && !tl_reconstruct(d, t->p.vae, &t->data, &t->seen_through_vae, err)) return false;
    if (!tl_task_order_of(&t->order, t->p.seed, &t->data, err) || !allocate(t, err)) return false;
    t->grads = tl_store_create(d, t->clip->layout, err);
    t->exec = t->grads ? plan(t, err) : NULL;
    if (!t->exec || !tl_exec_bind(t->exec, TL_SET_BASE, t->clip->store, err) ||
        !tl_exec_bind(t->exec, TL_SET_BASE + TL_SET_GRADS, t->grads, err))
        return false;
    if (t->aux && (!tl_exec_bind(t->exec, TL_SET_AUX, t->aux, err) ||
                   !tl_exec_bind(t->exec, TL_SET_AUX + TL_SET_GRADS, t->aux_grads, err)))
        return false;
    return write_pick(t, err);
}

bool tl_task_contrastive_create(struct tl_component *clip, struct tl_clip_bpe *tokenizer,
                                const struct tl_task_contrastive_params *params, struct tl_task *out,
                                struct tl_err *err)
{
    struct tl_contrastive *t = calloc(1, sizeof *t);
    if (!t) {
        tl_component_close(&clip);
        tl_clip_bpe_destroy(&tokenizer);
        return tl_err_set(err, TL_FAIL, "out of memory");
    }
    t->clip = clip;
    t->tokenizer = tokenizer;
    t->p = *params;
    if (!prepare(t, err)) {
        destroy(t);
        return false;
    }
    *out = (struct tl_task){.self = t,
                            .weights = clip->store,
                            .grads = t->grads,
                            .aux_weights = t->aux,
                            .aux_grads = t->aux_grads,
                            .metrics = {"loss", "contrastive", "patch", "accuracy"},
                            .n_pictures = t->data.folder.n,
                            .n_skipped = (size_t)t->data.n_skipped,
                            .n_strays = t->data.folder.n_strays,
                            .gradient = gradient,
                            .save = save,
                            .destroy = destroy};
    return true;
}
