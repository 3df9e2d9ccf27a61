#include "run/reward_lens.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/finite.h"
#include "base/str.h"
#include "tensor/device_planning.h"

/* A planned graph, and the prompts whose encodings stand in it. */
struct plan {
    struct tl_exec *exec;
    struct tl_str prompts;
};

struct part {
    struct tl_reward *reward;
    struct tl_reward_fragment fragment;
    char prefix[32];
};

struct tl_reward_lens {
    struct tl_reward_lens_params p;
    size_t n_parts, dim; /* floats of a latent */
    bool combines;       /* there are ensembles: slopes depend on the scores */
    struct part *parts;
    struct tl_store *stores[TL_REWARD_LENS_STORES]; /* of set 1 + i */
    size_t n_stores;
    struct plan score, gradient;
    const char **prompts; /* [batch] */
    float *latents;       /* [batch][dim] */
    float *scores, *cot;  /* [parts][batch] */
    double *row, *slopes; /* [parts] */
};

/* ---- what it serves ---- */

static struct tl_store *store_of(struct tl_reward *r)
{
    return r->cls->store ? r->cls->store(r) : NULL;
}

/* The number of the store among the first n, which takes it up; TL_REWARD_LENS_STORES: there is no room. */
static size_t place_of(struct tl_store **stores, size_t *n, struct tl_store *store)
{
    for (size_t i = 0; i < *n; i++)
        if (stores[i] == store) return i;
    if (*n < TL_REWARD_LENS_STORES) stores[*n] = store;
    return *n < TL_REWARD_LENS_STORES ? (*n)++ : TL_REWARD_LENS_STORES;
}

static bool part_serves(const struct tl_reward_class *cls, struct tl_err *err)
{
    if (strcmp(cls->info.modality, "audio") == 0)
        return tl_err_set(err, TL_USAGE, "reward %s scores sounds, not pictures", cls->info.name);
    return (cls->info.has_gradient && cls->build) ||
           tl_err_set(err, TL_USAGE, "reward %s has no gradient (tiller list rewards says which have one)",
                      cls->info.name);
}

bool tl_reward_lens_serves(struct tl_reward_set *set, struct tl_err *why)
{
    struct tl_store *stores[TL_REWARD_LENS_STORES], *store;
    struct tl_err unheard = {0};
    size_t n = 0;
    if (!why) why = &unheard;
    for (size_t k = 0; k < tl_reward_set_count(set); k++) {
        struct tl_reward *r = tl_reward_set_part(set, k);
        if (!part_serves(r->cls, why)) return false;
        if ((store = store_of(r)) && place_of(stores, &n, store) == TL_REWARD_LENS_STORES)
            return tl_err_set(why, TL_USAGE,
                              "the rewards have more than %d different encoders, which is what one graph "
                              "takes beside the decoder",
                              TL_REWARD_LENS_STORES);
    }
    return true;
}

/* ---- planning ---- */

static tl_val build_scores(struct tl_reward_lens *l, struct tl_graph *g, tl_val pictures)
{
    tl_val all = TL_NONE;
    for (size_t k = 0; k < l->n_parts; k++) {
        struct part *part = &l->parts[k];
        part->fragment.pictures = pictures;
        tl_val scores = part->reward->cls->build(part->reward, g, &part->fragment);
        if (scores < 0) {
            tl_graph_fail(g, "reward %s cannot be a part of a graph", part->reward->cls->info.name);
            return TL_NONE;
        }
        scores = tl_reshape(g, scores, tl_shape2(1, l->p.batch));
        all = k ? tl_concat(g, all, scores, 0) : scores;
    }
    return all;
}

/* Latents to scores [parts,batch]; `in` is the input. */
static tl_val build(struct tl_reward_lens *l, struct tl_graph *g, tl_val in)
{
    const struct tl_vae_config *v = &l->p.vae->config.vae;
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = l->p.vae->dtype};
    tl_val z = tl_unary(g, TL_UNARY_AFFINE, in, 1.0f / v->scaling_factor, v->shift_factor);
    tl_val y = tl_vae_decode(&nn, v, z);
    if (y < 0) return TL_NONE;
    y = tl_unary(g, TL_UNARY_CLAMP, tl_unary(g, TL_UNARY_AFFINE, y, 0.5f, 0.5f), 0, 1);
    return build_scores(l, g, y);
}

static void build_gradient(struct tl_graph *g, tl_val scores, tl_val in)
{
    tl_val cot = tl_input(g, "cot", TL_F32, *tl_shape_of(g, scores)), d_in = TL_NONE;
    struct tl_backward_params back = {
        .outputs = &scores, .cotangents = &cot, .n_outputs = 1, .wrt = &in, .out_wrt = &d_in, .n_wrt = 1};
    if (tl_graph_backward(g, &back)) tl_output(g, d_in, "d_latents");
}

static bool plan(struct tl_reward_lens *l, bool gradient, struct plan *out, struct tl_err *err)
{
    struct tl_device *device = l->p.vae->store->device;
    struct tl_graph *g = tl_graph_create();
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    tl_val in =
        tl_input(g, "latents", TL_F32,
                 tl_shape4(l->p.batch, l->p.height, l->p.width, l->p.vae->config.vae.latent_channels));
    tl_val scores = build(l, g, in);
    if (scores >= 0 && gradient) build_gradient(g, scores, in);
    if (scores >= 0) tl_output(g, scores, "scores");
    if (!tl_graph_ok(g, err)) {
        tl_graph_destroy(&g);
        return false;
    }
    const char *before = tl_device_planning_part(device, gradient ? "rewards of latents, gradient"
                                                                  : "rewards of latents, activations");
    out->exec = tl_exec_create(device, &g, err);
    tl_device_planning_part(device, before);
    if (!out->exec || !tl_exec_bind(out->exec, TL_SET_BASE, l->p.vae->store, err)) return false;
    for (size_t i = 0; i < l->n_stores; i++)
        if (!tl_exec_bind(out->exec, 1 + (int)i, l->stores[i], err)) return false;
    return true;
}

/* ---- making ---- */

static void place_parts(struct tl_reward_lens *l)
{
    for (size_t k = 0; k < l->n_parts; k++) {
        struct part *part = &l->parts[k];
        part->reward = tl_reward_set_part(l->p.rewards, k);
        struct tl_store *store = store_of(part->reward);
        snprintf(part->prefix, sizeof part->prefix, "reward%zu", k);
        part->fragment = (struct tl_reward_fragment){
            .set = store ? 1 + (int)place_of(l->stores, &l->n_stores, store) : TL_SET_BASE,
            .prefix = part->prefix};
    }
}

static bool allocate(struct tl_reward_lens *l, struct tl_err *err)
{
    size_t batch = (size_t)l->p.batch, n_latents, n_scores;
    if (!tl_checked_mul(batch, l->dim, &n_latents) || !tl_checked_mul(batch, l->n_parts, &n_scores))
        return tl_err_set(err, TL_USAGE, "%d latents at a time are too many", l->p.batch);
    l->parts = calloc(l->n_parts, sizeof *l->parts);
    l->prompts = calloc(batch, sizeof *l->prompts);
    l->latents = calloc(n_latents, sizeof *l->latents);
    l->scores = calloc(n_scores, sizeof *l->scores);
    l->cot = calloc(n_scores, sizeof *l->cot);
    l->row = calloc(l->n_parts, sizeof *l->row);
    l->slopes = calloc(l->n_parts, sizeof *l->slopes);
    return (l->parts && l->prompts && l->latents && l->scores && l->cot && l->row && l->slopes) ||
           tl_err_set(err, TL_FAIL, "out of memory");
}

struct tl_reward_lens *tl_reward_lens_create(const struct tl_reward_lens_params *params, struct tl_err *err)
{
    const struct tl_vae_config *v = &params->vae->config.vae;
    if (!tl_reward_lens_serves(params->rewards, err)) return NULL;
    if (params->batch < 1 || params->height < 1 || params->width < 1 || v->out_channels != 3) {
        tl_err_set(err, TL_USAGE, "%d latents of %dx%d do not become colour pictures", params->batch,
                   params->width, params->height);
        return NULL;
    }
    struct tl_reward_lens *l = calloc(1, sizeof *l);
    if (!l) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    l->p = *params;
    l->n_parts = tl_reward_set_count(params->rewards);
    l->combines = l->n_parts != tl_reward_set_count_terms(params->rewards);
    l->dim = (size_t)params->height * (size_t)params->width * (size_t)v->latent_channels;
    bool ok = allocate(l, err);
    if (ok) place_parts(l);
    ok = ok && plan(l, false, &l->score, err) && (!params->gradient || plan(l, true, &l->gradient, err));
    if (!ok) tl_reward_lens_destroy(&l);
    return l;
}

static void finish_plan(struct plan *p)
{
    tl_exec_destroy(&p->exec);
    tl_str_finish(&p->prompts);
}

void tl_reward_lens_destroy(struct tl_reward_lens **lens)
{
    struct tl_reward_lens *l = *lens;
    if (!l) return;
    finish_plan(&l->score);
    finish_plan(&l->gradient);
    free(l->parts);
    free(l->prompts);
    free(l->latents);
    free(l->scores);
    free(l->cot);
    free(l->row);
    free(l->slopes);
    free(l);
    *lens = NULL;
}

size_t tl_reward_lens_bytes(const struct tl_reward_lens *l)
{
    return tl_exec_bytes(l->score.exec) + (l->gradient.exec ? tl_exec_bytes(l->gradient.exec) : 0);
}

/* ---- a run ---- */

/* Samples at .. at + n - 1 of a call. */
struct piece {
    size_t at, n;
    const float *latents;
    const char *const *prompts;
};

/* A short piece is filled up with its last sample. */
static void gather(struct tl_reward_lens *l, const struct piece *p)
{
    for (size_t i = 0; i < (size_t)l->p.batch; i++) {
        size_t from = p->at + (i < p->n ? i : p->n - 1);
        memcpy(l->latents + i * l->dim, p->latents + from * l->dim, l->dim * sizeof *l->latents);
        l->prompts[i] = p->prompts ? p->prompts[from] : "";
    }
}

/* Where the batch's prompts are others than those that stand in the graph. */
static bool feed(struct tl_reward_lens *l, struct plan *plan, struct tl_err *err)
{
    struct tl_str key = {0};
    size_t batch = (size_t)l->p.batch;
    for (size_t i = 0; i < batch; i++) tl_str_printf(&key, "%zu:%s;", strlen(l->prompts[i]), l->prompts[i]);
    bool same = !key.failed && plan->prompts.data && strcmp(plan->prompts.data, key.data) == 0;
    bool ok = !key.failed || tl_err_set(err, TL_FAIL, "out of memory");
    tl_str_finish(&plan->prompts);
    for (size_t k = 0; ok && !same && k < l->n_parts; k++) {
        struct part *part = &l->parts[k];
        ok = part->reward->cls->feed(part->reward, plan->exec, &part->fragment, l->prompts, batch, err) ||
             tl_err_add(err, "reward %s", part->reward->cls->info.name);
    }
    if (ok)
        plan->prompts = key;
    else
        tl_str_finish(&key);
    return ok;
}

static bool run(struct tl_reward_lens *l, struct plan *plan, const struct piece *p, struct tl_err *err)
{
    if (!feed(l, plan, err) || !tl_exec_write(plan->exec, "latents", l->latents, err) ||
        !tl_exec_run(plan->exec, err) || !tl_exec_read(plan->exec, "scores", l->scores, err))
        return false;
    for (size_t k = 0; k < l->n_parts; k++)
        for (size_t i = 0; i < p->n; i++) {
            double score = (double)l->scores[k * (size_t)l->p.batch + i];
            if (!isfinite(score))
                return tl_err_set(err, TL_NUMERIC, "reward %s: sample %zu: the score is %g",
                                  l->parts[k].reward->cls->info.name, p->at + i, score);
        }
    return true;
}

static const double *row_of(const struct tl_reward_lens *l, size_t i)
{
    for (size_t k = 0; k < l->n_parts; k++) l->row[k] = (double)l->scores[k * (size_t)l->p.batch + i];
    return l->row;
}

/* Of the scores that stand in l->scores. */
static bool write_slopes(struct tl_reward_lens *l, struct tl_err *err)
{
    size_t batch = (size_t)l->p.batch;
    for (size_t i = 0; i < batch; i++) {
        tl_reward_set_slopes(l->p.rewards, row_of(l, i), l->slopes);
        for (size_t k = 0; k < l->n_parts; k++) l->cot[k * batch + i] = (float)l->slopes[k];
    }
    return tl_exec_write(l->gradient.exec, "cot", l->cot, err);
}

static bool gradient(struct tl_reward_lens *l, const struct piece *p, float *out, struct tl_err *err)
{
    bool ok = (!l->combines || run(l, &l->score, p, err)) && write_slopes(l, err) &&
              run(l, &l->gradient, p, err) && tl_exec_read(l->gradient.exec, "d_latents", l->latents, err);
    if (!ok) return false;
    for (size_t i = 0; i < p->n; i++)
        if (!tl_all_finite(l->latents + i * l->dim, l->dim))
            return tl_err_set(err, TL_NUMERIC,
                              "the gradient of the reward by the latents of sample %zu is not finite",
                              p->at + i);
    memcpy(out + p->at * l->dim, l->latents, p->n * l->dim * sizeof *out);
    return true;
}

static bool check_call(struct tl_reward_lens *l, const char *const *prompts, size_t n,
                       const double *out_total, struct tl_err *err)
{
    if (out_total && tl_reward_set_needs_standard(l->p.rewards))
        return tl_err_set(err, TL_FAIL, "several rewards are summed, but were not standardised yet");
    if (!prompts && tl_reward_set_needs_prompts(l->p.rewards))
        return tl_err_set(err, TL_BAD_INPUT, "the rewards read prompts, and there are none");
    for (size_t i = 0; prompts && i < n; i++)
        if (!prompts[i]) return tl_err_set(err, TL_BAD_INPUT, "sample %zu has no prompt", i);
    return true;
}

static bool look(struct tl_reward_lens *l, const struct piece *whole, double *out_total, double *out_parts,
                 float *out_d_latents, struct tl_err *err)
{
    if (!check_call(l, whole->prompts, whole->n, out_total, err)) return false;
    struct piece p = *whole;
    for (p.at = 0; p.at < whole->n; p.at += p.n) {
        p.n = whole->n - p.at < (size_t)l->p.batch ? whole->n - p.at : (size_t)l->p.batch;
        gather(l, &p);
        if (!(out_d_latents ? gradient(l, &p, out_d_latents, err) : run(l, &l->score, &p, err))) return false;
        for (size_t i = 0; i < p.n; i++) {
            const double *row = row_of(l, i);
            if (out_total) out_total[p.at + i] = tl_reward_set_total(l->p.rewards, row);
            if (out_parts) memcpy(out_parts + (p.at + i) * l->n_parts, row, l->n_parts * sizeof *row);
        }
    }
    return true;
}

bool tl_reward_lens_score(struct tl_reward_lens *l, const float *latents, const char *const *prompts,
                          size_t n, double *out_total, double *out_parts, struct tl_err *err)
{
    return look(l, &(struct piece){.n = n, .latents = latents, .prompts = prompts}, out_total, out_parts,
                NULL, err);
}

bool tl_reward_lens_gradient(struct tl_reward_lens *l, const float *latents, const char *const *prompts,
                             size_t n, double *out_total, double *out_parts, float *out_d_latents,
                             struct tl_err *err)
{
    if (!l->gradient.exec) return tl_err_set(err, TL_FAIL, "this lens was planned without gradients");
    return look(l, &(struct piece){.n = n, .latents = latents, .prompts = prompts}, out_total, out_parts,
                out_d_latents, err);
}
