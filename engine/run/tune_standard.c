/* The scale of each reward of a sum, from samples of the untouched model. */
#include <math.h>
#include <stdlib.h>

#include <tiller/interrupt.h>

#include "run/tune.h"

enum { SAMPLES = 256, FIRST = 1 << 29 };

/* Each reward's own scores of SAMPLES pictures, the epoch's prompts again and again: out [SAMPLES][parts]. */
static bool score_untouched(struct tl_tune *r, struct tl_reward_set *set, double *out, struct tl_err *err)
{
    size_t n = SAMPLES, most = r->n_drawn, parts = tl_reward_set_count(set);
    struct tl_policy_conditions c = tl_tune_draw_conditions(r);
    float *latents = malloc((most < n ? most : n) * r->trainer->dim * sizeof *latents);
    bool ok = latents || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t done = 0, take; ok && done < n; done += take) {
        take = n - done < most ? n - done : most;
        struct tl_tune_pictures pictures = {r->rgb, 0, take, tl_tune_prompt, r};
        ok = tl_interrupt_check("reading the untouched model", err) &&
             tl_policy_trainer_sample(r->trainer, &c, take, r->job->seed + 1, FIRST + (uint32_t)done, true,
                                      latents, err) &&
             tl_tune_decode(r, latents, take, r->rgb, err) &&
             tl_tune_score(r, set, &pictures, NULL, out + done * parts, err);
    }
    free(latents);
    return ok;
}

static bool keep(struct tl_tune *r, const struct tl_reward_set *set, const char *key, struct tl_err *err)
{
    const struct tl_reward_standard *s = tl_reward_set_standards(set);
    cJSON *list = cJSON_CreateArray();
    for (size_t k = 0; k < tl_reward_set_count(set); k++)
        cJSON_AddItemToArray(list, cJSON_CreateDoubleArray((const double[]){s[k].mean, s[k].deviation}, 2));
    return tl_run_folder_note(r->t.folder, key, list, err);
}

static bool measure(struct tl_tune *r, struct tl_reward_set *set, const char *key, struct tl_err *err)
{
    double *scores = malloc(SAMPLES * tl_reward_set_count(set) * sizeof *scores);
    bool ok = scores || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && score_untouched(r, set, scores, err) && tl_reward_set_measure(set, scores, SAMPLES, err) &&
         keep(r, set, key, err);
    free(scores);
    return ok;
}

/* The numbers of the beginning. */
static bool recall(struct tl_reward_set *set, const cJSON *list, struct tl_err *err)
{
    size_t parts = tl_reward_set_count(set);
    struct tl_reward_standard *s = calloc(parts, sizeof *s);
    bool ok = s && cJSON_GetArraySize(list) == (int)parts;
    for (size_t k = 0; ok && k < parts; k++) {
        const cJSON *pair = cJSON_GetArrayItem(list, (int)k), *mean = cJSON_GetArrayItem(pair, 0),
                    *deviation = cJSON_GetArrayItem(pair, 1);
        ok = cJSON_IsNumber(mean) && cJSON_IsNumber(deviation) && isfinite(mean->valuedouble) &&
             deviation->valuedouble > 0;
        if (ok) s[k] = (struct tl_reward_standard){mean->valuedouble, deviation->valuedouble};
    }
    ok = ok && tl_reward_set_standardise(set, s, err);
    free(s);
    return ok;
}

bool tl_tune_standardise(struct tl_tune *r, struct tl_reward_set *set, const char *key, struct tl_err *err)
{
    if (!set || !tl_reward_set_needs_standard(set)) return true;
    cJSON *about = tl_run_folder_read_about(r->t.folder, err);
    if (!about) return false;
    const cJSON *list = tl_json_get(about, key);
    bool ok = list || r->untouched_read
                  ? recall(set, list, err) ||
                        tl_err_set(err, TL_BAD_INPUT, "run.json has no %s for these rewards", key)
                  : measure(r, set, key, err);
    cJSON_Delete(about);
    return ok;
}
