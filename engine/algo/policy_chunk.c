#include "algo/policy_chunk.h"

#include <stdlib.h>
#include <string.h>

static size_t context_width(const struct tl_unet_config *c)
{
    return (size_t)(c->encoder_hid_dim ? c->encoder_hid_dim : c->cross_dim[0]);
}

static size_t pooled_width(const struct tl_unet_config *c)
{
    return c->text_time ? (size_t)(c->addition_input_dim - 6 * c->addition_time_dim) : 0;
}

bool tl_policy_chunk_init(struct tl_policy_chunk *k, struct tl_policy_trainer *t, struct tl_err *err)
{
    const struct tl_unet_config *c = &t->p.unet->config.unet;
    size_t batch = (size_t)t->p.batch, rows = t->p.guidance > 1 ? 2 * batch : batch;
    *k = (struct tl_policy_chunk){.t = t};
    k->context = malloc((rows * (size_t)t->p.tokens * context_width(c) + 1) * sizeof(float));
    k->text_embeds = malloc((rows * pooled_width(c) + 1) * sizeof(float));
    k->time_ids = malloc((rows * 6) * sizeof(float));
    k->times = malloc(batch * sizeof(float));
    k->m = malloc(batch * t->dim * sizeof(float));
    k->condition = (struct tl_condition){k->context, c->text_time ? k->text_embeds : NULL,
                                         c->text_time ? k->time_ids : NULL};
    if (k->context && k->text_embeds && k->time_ids && k->times && k->m) return true;
    return tl_err_set(err, TL_FAIL, "out of memory");
}

void tl_policy_chunk_finish(struct tl_policy_chunk *k)
{
    float *const all[] = {k->context, k->text_embeds, k->time_ids, k->times, k->m};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    *k = (struct tl_policy_chunk){0};
}

bool tl_policy_chunk_condition(struct tl_policy_chunk *k, const struct tl_policy_conditions *c, size_t first,
                               struct tl_err *err)
{
    const struct tl_unet_config *u = &k->t->p.unet->config.unet;
    size_t batch = (size_t)k->t->p.batch, row = (size_t)k->t->p.tokens * context_width(u),
           pooled = pooled_width(u);
    bool guided = k->t->p.guidance > 1;
    for (size_t r = 0; r < (guided ? 2 * batch : batch); r++) {
        size_t j = r % batch, sample = first + (k->n_real && j >= k->n_real ? 0 : j);
        bool negative = guided && r < batch;
        const float *context = c->context(c->user, sample, negative);
        if (!context) return tl_err_set(err, TL_FAIL, "sample %zu has no condition", sample);
        memcpy(k->context + r * row, context, row * sizeof(float));
        if (!u->text_time) continue;
        if (!c->text_embeds || !c->time_ids)
            return tl_err_set(err, TL_BAD_INPUT, "this UNet needs pooled text and sizes");
        memcpy(k->text_embeds + r * pooled, c->text_embeds(c->user, sample, negative),
               pooled * sizeof(float));
        memcpy(k->time_ids + r * 6, c->time_ids(c->user, sample), 6 * sizeof(float));
    }
    return true;
}

static void set_times(struct tl_policy_chunk *k, size_t step)
{
    for (int j = 0; j < k->t->p.batch; j++) k->times[j] = (float)k->t->steps[step].t;
}

/* The policy's weights: a LoRA at full scale over the base, or all weights; the reference's: the LoRA at
 * scale 0, or the copy. */
static struct tl_denoiser_weights weights_of(const struct tl_policy_trainer *t, bool reference)
{
    if (!t->p.lora)
        return (struct tl_denoiser_weights){.base = reference ? t->reference : t->weights, .grads = t->grads};
    return (struct tl_denoiser_weights){.lora = t->weights,
                                        .grads = t->grads,
                                        .lora_scale = reference ? 0 : t->p.lora->alpha / t->p.lora->rank};
}

static bool may_go_on(const struct tl_policy_trainer *t, struct tl_err *err)
{
    return !t->p.go_on || t->p.go_on(t->p.user) ||
           tl_err_set(err, TL_INTERRUPTED, "training was interrupted");
}

bool tl_policy_chunk_run(struct tl_policy_chunk *k, const float *x, size_t step, bool reference, float *out,
                         struct tl_err *err)
{
    struct tl_denoiser_weights w = weights_of(k->t, reference);
    set_times(k, step);
    if (!may_go_on(k->t, err)) return false;
    return tl_denoiser_run(k->t->denoiser, &w, x, k->times, &k->condition, k->t->p.guidance, out, err);
}

bool tl_policy_chunk_backward(struct tl_policy_chunk *k, const float *x, size_t step, const float *d_m,
                              struct tl_err *err)
{
    struct tl_denoiser_weights w = weights_of(k->t, false);
    set_times(k, step);
    if (!may_go_on(k->t, err)) return false;
    return tl_denoiser_backward(k->t->denoiser, &w, x, k->times, &k->condition, k->t->p.guidance, d_m, err);
}
