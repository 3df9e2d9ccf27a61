/* What is cheap to refuse: options by themselves, and the prompt files. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "io/file.h"
#include "run/lora_start_check.h"
#include "run/tune.h"

enum { MOST_SIDE = 8192 };

static bool parse_size(struct tl_tune *r, struct tl_err *err)
{
    const char *text = r->p->size;
    if (!text || !*text) return true;
    char *end = NULL;
    long w = strtol(text, &end, 10), h = *end == 'x' || *end == 'X' ? strtol(end + 1, &end, 10) : 0;
    if (*end || w < 1 || h < 1 || w > MOST_SIDE || h > MOST_SIDE)
        return tl_err_set(err, TL_USAGE,
                          "--size %.40s: expected WIDTHxHEIGHT in pixels, 1 to %d each, such as 64x64", text,
                          MOST_SIDE);
    r->width = (int)w;
    r->height = (int)h;
    return true;
}

static bool parse_rules(struct tl_tune *r, struct tl_err *err)
{
    const struct tl_strings *texts = &r->p->stop_when;
    if (texts->n > TL_TUNE_RULES)
        return tl_err_set(err, TL_USAGE, "--stop-when: at most %d rules", TL_TUNE_RULES);
    for (r->n_rules = 0; r->n_rules < texts->n; r->n_rules++) {
        struct tl_guard_rule *rule = &r->rules[r->n_rules];
        if (!tl_guard_parse(texts->items[r->n_rules], rule, err)) return tl_err_add(err, "--stop-when");
        bool held_out = rule->metric == TL_GUARD_HELD_OUT,
             read = held_out || rule->metric == TL_GUARD_REWARD || rule->metric == TL_GUARD_DIVERSITY;
        const struct tl_strings *rewards = held_out ? &r->p->eval_reward : &r->p->reward;
        if (held_out && r->p->eval_reward.n == 0)
            return tl_err_set(err, TL_USAGE, "--stop-when %s: there is no --eval-reward",
                              texts->items[r->n_rules]);
        if (read && r->p->eval_every == 0)
            return tl_err_set(err, TL_USAGE, "--stop-when %s: there are no readings with --eval-every 0",
                              texts->items[r->n_rules]);
        if (rule->percent && rule->metric != TL_GUARD_DIVERSITY && rewards->n > 1 && !r->p->raw_rewards)
            return tl_err_set(err, TL_USAGE,
                              "--stop-when %s: a standardised sum of rewards begins near 0, so a limit in %% "
                              "says nothing; give a number of deviations",
                              texts->items[r->n_rules]);
    }
    return true;
}

/* Noise is keyed by 32-bit numbers: an epoch's samples, then the readings', then the standards'. */
static bool check_numbers(const struct tl_tune_params *p, struct tl_err *err)
{
    uint64_t drawn = (uint64_t)p->epochs * (uint64_t)p->prompts_per_epoch * (uint64_t)p->samples_per_prompt,
             trained = (uint64_t)p->eval_trained_most * (uint64_t)p->eval_samples,
             others = (uint64_t)p->eval_others_most * (uint64_t)p->eval_samples;
    if (drawn > TL_TUNE_EVAL_FIRST)
        return tl_err_set(err, TL_USAGE, "%llu samples in all epochs are too many: %d are possible",
                          (unsigned long long)drawn, TL_TUNE_EVAL_FIRST);
    return (trained <= TL_TUNE_OTHERS_FIRST - TL_TUNE_EVAL_FIRST &&
            others <= TL_TUNE_OTHERS_FIRST - TL_TUNE_EVAL_FIRST) ||
           tl_err_set(err, TL_USAGE, "a reading of more than %d pictures is too large",
                      TL_TUNE_OTHERS_FIRST - TL_TUNE_EVAL_FIRST);
}

/* A LoRA that a run goes on from brings its own shape. */
static bool check_lora(const struct tl_tune_params *p, struct tl_err *err)
{
    if (!p->lora || !*p->lora) return true;
    if (p->full)
        return tl_err_set(err, TL_USAGE, "--lora goes on from a LoRA, --full trains all weights: take one");
    const struct tl_lora_shape shape = {p->rank, p->alpha, p->targets, NULL};
    return tl_lora_start_check(tl_prdp_options, &shape, err);
}

bool tl_tune_check(struct tl_tune *r, struct tl_err *err)
{
    const struct tl_tune_params *p = r->p;
    if (!p->model) return tl_err_set(err, TL_USAGE, "--model is missing: the pipeline that is fine-tuned");
    if (!tl_file_is_folder(p->model))
        return tl_err_set(err, TL_BAD_INPUT,
                          "--model %s: there is no such folder; name a diffusers pipeline, with "
                          "model_index.json in it",
                          p->model);
    if (!p->prompts) return tl_err_set(err, TL_USAGE, "--prompts is missing: what is drawn");
    if (p->reward.n == 0)
        return tl_err_set(err, TL_USAGE, "--reward is missing: what is trained on (tiller list rewards)");
    const struct tl_sampler *sampler = p->sampler ? tl_sampler_find(p->sampler) : NULL;
    if (p->sampler && *p->sampler && !(sampler && tl_sampler_trains(sampler)))
        return tl_err_set(err, TL_USAGE, "--sampler %.40s: ddim and ddpm are possible", p->sampler);
    const struct tl_policy_trainer_params tp = tl_tune_trainer_params(r);
    if (!parse_size(r, err) || !tl_policy_trainer_check(&tp, err) || !parse_rules(r, err)) return false;
    long updates = p->passes * (long)p->minibatches;
    if (r->method->one_update && updates != 1)
        return tl_err_set(err, TL_USAGE,
                          "--estimator plain is right for one update an epoch only: --passes 1 --minibatches "
                          "1, or take --estimator importance");
    if (!check_numbers(p, err) || !check_lora(p, err)) return false;
    if (updates == 1 && !r->method->one_update)
        tl_log(TL_LOG_WARN, "one update per epoch: the clip cannot act, because the policy is its own "
                            "snapshot; use --passes or --minibatches above 1");
    return true;
}

bool tl_tune_read_prompts(struct tl_tune *r, struct tl_err *err)
{
    const struct tl_tune_params *p = r->p;
    if (!tl_prompts_read(p->prompts, &r->prompts, err) ||
        (p->eval_prompts && !tl_prompts_read(p->eval_prompts, &r->eval_prompts, err)))
        return false;
    if (r->prompts.n > UINT32_MAX) return tl_err_set(err, TL_BAD_INPUT, "%s: too many prompts", p->prompts);
    size_t shared = 0;
    for (size_t i = 0; i < r->eval_prompts.n; i++) {
        bool found = false;
        for (size_t j = 0; j < r->prompts.n && !found; j++)
            found = strcmp(r->eval_prompts.items[i].text, r->prompts.items[j].text) == 0;
        shared += found;
    }
    if (shared)
        tl_log(TL_LOG_WARN, "%zu of %zu --eval-prompts are trained on, too: their readings flatter", shared,
               r->eval_prompts.n);
    if ((size_t)p->prompts_per_epoch > r->prompts.n)
        return tl_err_set(err, TL_USAGE, "%s has %zu prompts, --prompts-per-epoch wants %d different ones",
                          p->prompts, r->prompts.n, p->prompts_per_epoch);
    return true;
}
