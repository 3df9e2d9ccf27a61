/* The scale of each reward of a sum, from plain samples of the run's own settings. */
#include <stdlib.h>

#include <tiller/interrupt.h>

#include "run/reward_standards.h"
#include "run/steer_parts.h"

enum { FIRST = 1 << 29 }; /* numbers that no picture of a run has; the seed is another one, too */

/* Prompts from all of the run, evenly; all of them again and again where they are fewer than the samples. */
static size_t prompt_of(const struct tl_steer *s, size_t i)
{
    size_t n = s->n_groups, samples = (size_t)s->p->standardise;
    return n > samples ? i * n / samples : i % n;
}

static bool after_step(void *user, size_t done, size_t k, size_t first, size_t m, const float *x,
                       struct tl_err *err)
{
    struct tl_steer *s = user;
    (void)k, (void)first, (void)m, (void)x;
    if (!tl_interrupt_check("reading the plain samples", err)) return false;
    tl_progress_advance(&s->meter, (int64_t)done, "");
    return true;
}

static bool draw(struct tl_steer *s, float *latents, struct tl_err *err)
{
    const struct tl_sample_model *m = &s->model;
    size_t n = (size_t)s->p->standardise;
    const struct tl_denoiser_weights weights = {0};
    struct tl_encoding prompts = {0};
    const char **texts = calloc(s->n_groups, sizeof *texts);
    size_t *prompt = calloc(n, sizeof *prompt);
    uint32_t *numbers = calloc(n, sizeof *numbers);
    bool ok = (texts && prompt && numbers) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t g = 0; ok && g < s->n_groups; g++) texts[g] = s->inputs.prompts[g].text;
    for (size_t i = 0; ok && i < n; i++) {
        prompt[i] = prompt_of(s, i);
        numbers[i] = FIRST + (uint32_t)i;
    }
    ok = ok && tl_pipeline_encode(m->pipeline, texts, s->n_groups, &prompts, err);
    const struct tl_sampler_run run = {.pipeline = m->pipeline,
                                       .denoiser = m->denoiser,
                                       .weights = &weights,
                                       .batch = m->batch,
                                       .height = m->h,
                                       .width = m->w,
                                       .steps = m->steps,
                                       .n_steps = (size_t)m->params->steps,
                                       .guidance = m->params->guidance,
                                       .seed = s->job->seed + 1,
                                       .n = n,
                                       .numbers = numbers,
                                       .prompts = &prompts,
                                       .prompt = prompt,
                                       .negative = &m->negative,
                                       .after_step = after_step,
                                       .user = s};
    ok = ok && tl_sampler_run(&run, latents, NULL, NULL, err);
    tl_encoding_finish(&prompts);
    free((void *)texts);
    free(prompt);
    free(numbers);
    return ok;
}

/* Each sample's parts, a few samples at a time. */
static bool score(struct tl_steer *s, const float *latents, double *parts, struct tl_err *err)
{
    const struct tl_sample_model *m = &s->model;
    size_t n = (size_t)s->p->standardise, count = tl_reward_set_count(s->reward), most = (size_t)m->batch;
    uint8_t *rgb = malloc(most * m->bytes);
    struct tl_reward_item *items = calloc(most, sizeof *items);
    bool ok = (rgb && items) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t at = 0, take; ok && at < n; at += take) {
        take = n - at < most ? n - at : most;
        ok = tl_latent_codec_decode(m->codec, latents + at * m->dim, take, m->h, m->w, NULL, rgb, err);
        for (size_t i = 0; ok && i < take; i++)
            items[i] = (struct tl_reward_item){.name = "a plain sample",
                                               .prompt = s->inputs.prompts[prompt_of(s, at + i)].text,
                                               .rgb = rgb + i * m->bytes,
                                               .width = m->width,
                                               .height = m->height};
        ok = ok && tl_reward_set_score(s->reward, items, take, NULL, parts + at * count, err);
    }
    free(rgb);
    free(items);
    return ok;
}

static bool measure(struct tl_steer *s, struct tl_err *err)
{
    size_t n = (size_t)s->p->standardise;
    float *latents = malloc(n * s->model.dim * sizeof *latents);
    double *parts = malloc(n * tl_reward_set_count(s->reward) * sizeof *parts);
    bool ok = (latents && parts) || tl_err_set(err, TL_FAIL, "out of memory for %zu samples", n);
    s->meter = (struct tl_progress_meter){.fn = s->job->progress,
                                          .user = s->job->user,
                                          .phase = "plain samples",
                                          .unit = "steps",
                                          .total = (int64_t)n * s->p->sample.steps};
    tl_progress_begin(&s->meter, 0);
    ok = ok && draw(s, latents, err) && score(s, latents, parts, err) &&
         tl_reward_set_measure(s->reward, parts, n, err) &&
         tl_run_folder_note(s->t.folder, "reward_standards", tl_reward_standards_json(s->reward), err);
    free(latents);
    free(parts);
    return ok;
}

bool tl_steer_standardise(struct tl_steer *s, struct tl_err *err)
{
    if (!tl_reward_set_needs_standard(s->reward)) return true;
    cJSON *about = tl_run_folder_read_about(s->t.folder, err);
    const cJSON *list = tl_json_get(about, "reward_standards");
    bool ok = about != NULL;
    if (ok && list)
        ok = tl_reward_standards_recall(s->reward, list, err) ||
             tl_err_set(err, TL_BAD_INPUT, "run.json has no reward_standards for these rewards");
    else if (ok)
        ok = measure(s, err);
    cJSON_Delete(about);
    return ok;
}
