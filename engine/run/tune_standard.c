/* The scale of each reward of a sum, from samples of the untouched model. */
#include <stdlib.h>

#include <tiller/interrupt.h>

#include "run/reward_standards.h"
#include "run/tune.h"

enum { SAMPLES = 256, FIRST = 1 << 29 };

/* Prompts from all of the file, evenly; all of them again and again where they are fewer than the samples. */
static size_t prompt_of(const struct tl_tune *r, size_t sample)
{
    return r->prompts.n > SAMPLES ? sample * r->prompts.n / SAMPLES : sample % r->prompts.n;
}

struct untouched {
    struct tl_tune *r;
    size_t first; /* sample of the piece that is drawn */
};

static const float *context(void *user, size_t sample, bool negative)
{
    const struct untouched *u = user;
    const struct tl_encoding *e = negative ? &u->r->negative : &u->r->encoding;
    return e->context +
           (negative ? 0 : prompt_of(u->r, u->first + sample)) * (size_t)e->tokens * (size_t)e->width;
}

static const char *text(void *user, size_t sample)
{
    const struct untouched *u = user;
    return u->r->prompts.items[prompt_of(u->r, sample)].text;
}

/* Sets that have no scale yet, with their rewards' own scores of the same pictures: [SAMPLES][parts]. */
struct unscaled {
    struct tl_reward_set *set;
    const char *key;
    double *scores;
};

static bool score_untouched(struct tl_tune *r, const struct unscaled *sets, size_t n_sets, struct tl_err *err)
{
    size_t most = r->n_drawn < SAMPLES ? r->n_drawn : SAMPLES;
    struct untouched user = {r, 0};
    struct tl_policy_conditions c = {.context = context, .user = &user};
    float *latents = malloc(most * r->trainer->dim * sizeof *latents);
    bool ok = latents || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t done = 0, take; ok && done < SAMPLES; done += take) {
        take = SAMPLES - done < most ? SAMPLES - done : most;
        user.first = done;
        ok = tl_interrupt_check("reading the untouched model", err) &&
             tl_policy_trainer_sample(r->trainer, &c, take, r->job->seed + 1, FIRST + (uint32_t)done, true,
                                      latents, err) &&
             tl_tune_decode(r, latents, take, r->rgb, err);
        const struct tl_tune_pictures pictures = {r->rgb, done, take, text, &user};
        for (size_t k = 0; ok && k < n_sets; k++)
            ok = tl_tune_score(r, sets[k].set, &pictures, NULL,
                               sets[k].scores + done * tl_reward_set_count(sets[k].set), err);
    }
    free(latents);
    return ok;
}

bool tl_tune_standardise(struct tl_tune *r, struct tl_err *err)
{
    const struct unscaled all[2] = {{r->reward, "reward_standards", NULL},
                                    {r->held_out, "eval_reward_standards", NULL}};
    struct unscaled sets[2];
    size_t n = 0;
    cJSON *about = tl_run_folder_read_about(r->t.folder, err);
    bool ok = about != NULL;
    for (int k = 0; ok && k < 2; k++) {
        if (!all[k].set || !tl_reward_set_needs_standard(all[k].set)) continue;
        const cJSON *list = tl_json_get(about, all[k].key);
        if (list || r->untouched_read) {
            ok = tl_reward_standards_recall(all[k].set, list, err) ||
                 tl_err_set(err, TL_BAD_INPUT, "run.json has no %s for these rewards", all[k].key);
            continue;
        }
        sets[n] = all[k];
        sets[n].scores = malloc(SAMPLES * tl_reward_set_count(all[k].set) * sizeof(double));
        ok = sets[n++].scores || tl_err_set(err, TL_FAIL, "out of memory");
    }
    ok = ok && (n == 0 || score_untouched(r, sets, n, err));
    for (size_t k = 0; ok && k < n; k++)
        ok = tl_reward_set_measure(sets[k].set, sets[k].scores, SAMPLES, err) &&
             tl_run_folder_note(r->t.folder, sets[k].key, tl_reward_standards_json(sets[k].set), err);
    for (size_t k = 0; k < n; k++) free(sets[k].scores);
    cJSON_Delete(about);
    return ok;
}
