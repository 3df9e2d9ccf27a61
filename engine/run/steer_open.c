/* Opening a steered run: what is cheap to refuse comes first, then folder, model, rewards; then the run
 * begins. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tiller/log.h>

#include "base/clock.h"
#include "io/file.h"
#include "rewards/rewards.h"
#include "run/memory_plan.h"
#include "run/steer_parts.h"

void tl_steer_begin_work(struct tl_steer *s, enum tl_steer_work work)
{
    double now = tl_clock_s();
    s->seconds[s->work] += now - s->since;
    s->since = now;
    s->work = work;
}

bool tl_steer_looks(const struct tl_steer *s)
{
    return tl_potential_looks(s->potential) && s->k > 1 && s->p->lambda != 0 && s->p->ess > 0;
}

bool tl_steer_open_rewards(struct tl_steer *s, struct tl_err *err)
{
    s->reward =
        tl_reward_set_open(&(struct tl_reward_set_params){.specs = s->p->reward.items,
                                                          .n_specs = s->p->reward.n,
                                                          .raw = s->p->raw_rewards,
                                                          .device = s->t.device,
                                                          .dtype = tl_dtype_choices[s->p->sample.dtype]},
                           err);
    if (!s->reward) return tl_err_add(err, "--reward");
    for (size_t i = 0; i < tl_reward_set_count(s->reward); i++) {
        const struct tl_reward_info *info = tl_reward_info_of(tl_reward_set_part(s->reward, i));
        if (strcmp(info->modality, "audio") == 0)
            return tl_err_set(err, TL_USAGE, "--reward %s scores sounds, %s makes pictures", info->name,
                              s->p->sample.model);
        if (info->kind == TL_REWARD_OF_SET)
            return tl_err_set(
                err, TL_USAGE,
                "--reward %s gives one number for all pictures together: particles need one each",
                info->name);
    }
    return true;
}

/* Whole groups that a batch holds walk together; a group that is larger walks alone, in several network runs.
 */
static bool plan(struct tl_steer *s, struct tl_err *err)
{
    int batch = tl_sample_model_batch(&s->model);
    s->together = (size_t)batch / s->k > 0 ? (size_t)batch / s->k : 1;
    if (s->together > s->n_groups) s->together = s->n_groups;
    if ((size_t)batch > s->together * s->k) batch = (int)(s->together * s->k);
    s->model.input_gradient = tl_steer_guides(s);
    if (!tl_sample_model_plan(&s->model, batch, err)) return false;
    s->settings.sampler = s->model.sampler;
    s->settings.karras = s->model.karras;
    s->settings.width = s->model.width;
    s->settings.height = s->model.height;
    return true;
}

static bool set_scored(struct tl_steer *s, struct tl_err *err)
{
    const struct tl_steer_params *p = s->p;
    size_t n = (size_t)p->sample.steps, first, last;
    s->scored = calloc(n, sizeof *s->scored);
    if (!s->scored) return tl_err_set(err, TL_FAIL, "out of memory");
    if (!tl_steer_looks(s)) return true;
    bool any = tl_steer_window(s, &first, &last);
    for (size_t i = first; any && i <= last; i += (size_t)p->every) {
        s->scored[i] = true;
        s->n_scored++;
    }
    if (any && s->p->ess * (double)s->k <= 1)
        tl_log(TL_LOG_WARN,
               "--ess %g of %zu particles: nothing is ever resampled, since the effective sample size is at "
               "least 1; --ess above %.3g does, such as %.3g; --ess 0 saves the rewards on the way",
               s->p->ess, s->k, 1 / (double)s->k, 0.5 + 0.5 / (double)s->k);
    if (!any)
        tl_log(TL_LOG_WARN,
               "no step is scored: --steps %zu has none from --from %g to --to %g; the pictures are plain "
               "samples, weighed at the end",
               n, p->from, p->to);
    return true;
}

/* Copies of a particle part with the next noise: where none comes any more, a resampling only loses. */
static bool check_noise(const struct tl_steer *s, struct tl_err *err)
{
    size_t n = (size_t)s->p->sample.steps, end = n, lost = 0, first = n;
    while (end > 0 && !(s->model.steps[end - 1].sigma > 0)) end--;
    for (size_t i = end; i < n; i++)
        if (s->scored[i] && lost++ == 0) first = i;
    if (lost == 0 || s->p->ess <= 0) return true;
    if (end == 0)
        return tl_err_set(
            err, TL_USAGE,
            "sampler %s%s adds no noise: copies of a particle would stay the same: give --eta 1 "
            "or a stochastic sampler (ddpm, euler_a, dpmpp2m_sde)",
            s->model.sampler, strcmp(s->model.sampler, "ddim") == 0 ? " with --eta 0" : "");
    tl_log(TL_LOG_WARN,
           "step %zu of %zu is scored, but no noise comes from there on: copies that are made there stay "
           "the same; a smaller --to leaves it out",
           first, n);
    return true;
}

bool tl_steer_plan_model(struct tl_steer *s, struct tl_err *err)
{
    return plan(s, err) && set_scored(s, err) && check_noise(s, err) &&
           (s->reward || tl_steer_open_rewards(s, err)) && tl_steer_open_lens(s, err);
}

void tl_steer_unplan_model(struct tl_steer *s)
{
    tl_reward_lens_destroy(&s->lens);
    tl_sample_model_unplan(&s->model);
    free(s->scored);
    free(s->guided);
    s->scored = s->guided = NULL;
    s->n_scored = s->n_guided = 0;
}

bool tl_steer_open_model(struct tl_steer *s, struct tl_err *err)
{
    s->k = (size_t)s->p->sample.n;
    s->n_groups = s->inputs.n_prompts;
    return tl_sample_model_open(&s->model, s->t.device, &s->p->sample, &s->inputs, &s->own.sample.guidance,
                                err);
}

void tl_steer_close_model(struct tl_steer *s)
{
    tl_steer_unplan_model(s);
    tl_reward_set_close(&s->reward);
    tl_sample_model_close(&s->model);
}

static bool open_all(struct tl_steer *s, struct tl_err *err)
{
    if (!tl_steer_choose_batch(s, err) || !tl_steer_open_model(s, err) || !tl_steer_plan_model(s, err))
        return false;
    s->lines = calloc(s->n_groups, sizeof *s->lines);
    return s->lines || tl_err_set(err, TL_FAIL, "out of memory for %zu prompts", s->n_groups);
}

/* What the run is made from: a resume refuses another one. */
static bool list_inputs(const struct tl_steer *s, struct tl_run_inputs *in, struct tl_err *err)
{
    const struct tl_sample_params *p = &s->p->sample;
    bool ok = tl_run_inputs_add(in, "prompts", p->prompts, err) &&
              tl_run_inputs_add(in, "init_latents", p->init_latents, err) &&
              tl_run_inputs_add(in, "model", p->model, err);
    for (size_t i = 0; ok && i < s->inputs.n_loras; i++)
        ok = tl_run_inputs_add(in, "lora", s->inputs.loras[i].path, err);
    for (size_t i = 0; ok && i < s->p->reward.n; i++)
        ok = tl_run_inputs_add_reward(in, "reward", s->p->reward.items[i], err);
    return ok;
}

/* Pictures tell of the command that the run began with, whoever ended it. */
static bool recall_command(struct tl_steer *s, struct tl_err *err)
{
    const char *text = NULL;
    cJSON *about = tl_run_folder_read_about(s->t.folder, err);
    bool ok = about && tl_json_string(about, "command", NULL, &text, err);
    if (ok && text) {
        s->command = strdup(text);
        ok = s->command || tl_err_set(err, TL_FAIL, "out of memory");
    }
    cJSON_Delete(about);
    s->settings.command = s->command;
    return ok;
}

static bool begin(struct tl_steer *s, const struct tl_options *options, struct tl_err *err)
{
    struct tl_run_inputs inputs = {0};
    s->t.folder->resumes = s->t.folder->begun; /* it has no checkpoints to go on from */
    bool ok = list_inputs(s, &inputs, err) &&
              tl_training_begin(&s->t, options, "steer", inputs.list, inputs.n, err);
    tl_run_inputs_finish(&inputs);
    return ok && recall_command(s, err);
}

bool tl_steer_open(struct tl_steer *s, const struct tl_options *options, struct tl_err *err)
{
    s->log = s->plain_log = -1;
    s->since = tl_clock_s();
    s->settings = (struct tl_sample_settings){
        .params = &s->p->sample, .inputs = &s->inputs, .command = s->job->command, .seed = s->job->seed};
    return tl_steer_check(s, err) && tl_sample_inputs_read(&s->p->sample, &s->inputs, err) &&
           tl_steer_refuse_others(s, err) &&
           tl_training_open(&s->t, s->job, s->p->sample.out, s->p->resume, err) && open_all(s, err) &&
           begin(s, options, err) && tl_steer_note_batch(s, err) && tl_steer_recall(s, err);
}

void tl_steer_close(struct tl_steer *s)
{
    for (size_t g = 0; s->lines && g < s->n_groups; g++) cJSON_Delete(s->lines[g]);
    for (size_t g = 0; s->plain && g < s->n_groups; g++) cJSON_Delete(s->plain[g]);
    free(s->lines);
    free(s->plain);
    free(s->command);
    if (s->log >= 0) close(s->log);
    if (s->plain_log >= 0) close(s->plain_log);
    tl_steer_close_model(s);
    tl_training_close(&s->t);
    tl_sample_inputs_finish(&s->inputs);
}
