/* The table of methods: one row each. */
#include "run/train_methods.h"

#include <string.h>
#include <unistd.h>

#include <tiller/log.h>

#include "io/file.h"
#include "io/option_json.h"
#include "run/checkpoint.h"
#include "run/checkpoint_folder.h"
#include "run/resume_check.h"

const struct tl_method tl_methods[] = {
    {"vae", "autoencoder from pictures: L1 + MSE + KL", "vae", "pictures", tl_vae_options,
     sizeof(struct tl_supervised_params), tl_train_vae},
    {"contrastive", "CLIP from captioned pictures", "clip", "captioned pictures", tl_contrastive_options,
     sizeof(struct tl_supervised_params), tl_train_contrastive},
    {"sft", "latent diffusion UNet from captioned pictures", "unet", "captioned pictures", tl_sft_options,
     sizeof(struct tl_supervised_params), tl_train_sft},
    {"prdp", "proximal reward difference prediction: fine-tune a generator on a reward", "unet", "rewards",
     tl_prdp_options, sizeof(struct tl_tune_params), tl_train_prdp},
    {"ddpo", "denoising diffusion policy optimisation: policy gradients on a reward", "unet", "rewards",
     tl_ddpo_options, sizeof(struct tl_tune_params), tl_train_ddpo},
    {0},
};

const struct tl_method *tl_method_find(const char *name)
{
    for (const struct tl_method *m = tl_methods; m->name; m++)
        if (strcmp(m->name, name) == 0) return m;
    return NULL;
}

bool tl_training_open(struct tl_training *t, const struct tl_job *job, const char *out, bool resume,
                      struct tl_err *err)
{
    *t = (struct tl_training){.job = job};
    if (!out || !*out) return tl_err_set(err, TL_USAGE, "-o FOLDER is missing: where the run goes");
    t->device = tl_device_open(&(struct tl_device_params){.name = job->device, .threads = job->threads}, err);
    t->folder = t->device ? tl_run_folder_open(out, resume ? TL_RUN_RESUME : TL_RUN_NEW, err) : NULL;
    if (t->folder) return true;
    tl_training_close(t);
    return false;
}

/* What config.json holds of the job, besides the method's options. */
static bool add_job(const struct tl_training *t, cJSON *config)
{
    return cJSON_AddStringToObject(config, "device", t->device->name) &&
           cJSON_AddNumberToObject(config, "threads", t->job->threads) &&
           cJSON_AddItemToObject(config, "seed", tl_run_seed_json(t->job->seed));
}

static bool write_config(const struct tl_training *t, const struct tl_options *options, const char *method,
                         struct tl_err *err)
{
    cJSON *config = cJSON_CreateObject();
    bool ok = (config && cJSON_AddStringToObject(config, "method", method) && add_job(t, config)) ||
              tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_option_to_json(options, config, err) && tl_run_folder_write_config(t->folder, config, err);
    cJSON_Delete(config);
    return ok;
}

int64_t tl_train_saved_step(const char *folder)
{
    struct tl_arena arena = {0};
    struct tl_checkpoint_id *ids = NULL;
    size_t n = 0;
    const char *checkpoints = tl_path_join_in(&arena, folder, "checkpoints");
    int64_t step =
        checkpoints && tl_checkpoint_list(checkpoints, &arena, &ids, &n, NULL) && n ? ids[0].step : -1;
    tl_arena_finish(&arena);
    return step;
}

int64_t tl_train_whole_step(const char *folder, bool *out_within)
{
    struct tl_checkpoint *c = tl_checkpoint_open_newest(folder, NULL);
    int64_t step = c ? tl_checkpoint_step(c) : -1;
    *out_within = c && tl_checkpoint_is_within(c);
    tl_checkpoint_close(&c);
    return step;
}

bool tl_train_is_begun(const char *folder)
{
    return tl_run_folder_is_run(folder);
}

/* A caller of the library may bring other options than the command line would let through. */
static bool check_config(const struct tl_training *t, const struct tl_options *options, const char *method,
                         struct tl_err *err)
{
    const char *was = NULL;
    cJSON *config = tl_run_folder_read_config(t->folder, err), *seed = tl_run_seed_json(t->job->seed);
    const cJSON *old_seed = tl_json_get(config, "seed");
    bool ok = config && tl_json_string(config, "method", method, &was, err);
    if (ok && strcmp(was, method) != 0)
        ok = tl_err_set(err, TL_USAGE, "the run began with --method %s, not %s", was, method);
    if (ok && old_seed && !cJSON_Compare(old_seed, seed, true))
        ok = tl_err_set(err, TL_USAGE, "the run began with another --seed than %llu; leave it out",
                        (unsigned long long)t->job->seed);
    ok = ok && tl_resume_check(options, config, false, err);
    if (config && !ok) tl_err_add(err, "%s", t->folder->path);
    cJSON_Delete(config);
    cJSON_Delete(seed);
    return ok;
}

/* What was begun and not ended, in so many words; nothing is said of a new run. */
static void tell(const struct tl_training *t)
{
    if (t->folder->begun && !t->folder->resumes)
        tl_log(TL_LOG_WARN, "%s: was left before its first checkpoint: it begins anew", t->folder->path);
}

bool tl_training_begin(struct tl_training *t, const struct tl_options *options, const char *method,
                       const struct tl_run_input *inputs, size_t n_inputs, struct tl_err *err)
{
    const struct tl_run_seed seed = {"seed", t->job->seed};
    int64_t step = tl_train_saved_step(t->folder->path);
    const struct tl_run_about about = {.command = t->job->command,
                                       .device_name = t->device->name,
                                       .device_description = t->device->description,
                                       .seeds = &seed,
                                       .n_seeds = 1,
                                       .inputs = inputs,
                                       .n_inputs = n_inputs,
                                       .step = step < 0 ? 0 : step};
    if (!(t->folder->begun ? check_config : write_config)(t, options, method, err)) return false;
    tell(t);
    return tl_run_folder_write_about(t->folder, &about, err);
}

void tl_training_forget(struct tl_training *t)
{
    /* config.json goes last: with it alone a killed process has left a run that can be resumed */
    static const char *const names[] = {"metrics.jsonl", "run.json", "config.json"};
    struct tl_str path = {0};
    bool keep = t->folder->begun || !tl_run_folder_path(t->folder, "checkpoints", &path, NULL) ||
                tl_file_exists(path.data);
    for (size_t i = 0; i < sizeof names / sizeof *names && !keep; i++)
        if (tl_run_folder_path(t->folder, names[i], &path, NULL)) unlink(path.data);
    tl_str_finish(&path);
}

void tl_training_close(struct tl_training *t)
{
    tl_run_folder_close(&t->folder);
    tl_device_close(&t->device);
}
