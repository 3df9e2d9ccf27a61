/* The table of methods: one row each. */
#include "run/train_methods.h"

#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/option_json.h"
#include "run/checkpoint_folder.h"

const struct tl_method tl_methods[] = {
    {"vae", "autoencoder from pictures: L1 + MSE + KL", "vae", "pictures", tl_vae_options,
     sizeof(struct tl_supervised_params), tl_train_vae},
    {"contrastive", "CLIP from captioned pictures", "clip", "captioned pictures", tl_contrastive_options,
     sizeof(struct tl_supervised_params), tl_train_contrastive},
    {"sft", "latent diffusion UNet from captioned pictures", "unet", "captioned pictures", tl_sft_options,
     sizeof(struct tl_supervised_params), tl_train_sft},
    {"prdp", "proximal reward difference prediction: fine-tune a generator on a reward", "unet", "rewards",
     tl_prdp_options, sizeof(struct tl_prdp_run_params), tl_train_prdp},
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

static bool write_config(const struct tl_training *t, const struct tl_options *options, const char *method,
                         struct tl_err *err)
{
    cJSON *config = cJSON_CreateObject();
    bool ok = (config && cJSON_AddStringToObject(config, "method", method)) ||
              tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_option_to_json(options, config, err) && tl_run_folder_write_config(t->folder, config, err);
    cJSON_Delete(config);
    return ok;
}

/* The newest checkpoint by its name, 0 where there is none: what run.json says of a resume. */
static int64_t newest_step(const struct tl_run_folder *folder)
{
    struct tl_arena arena = {0};
    int64_t *steps = NULL;
    size_t n = 0;
    const char *checkpoints = tl_path_join_in(&arena, folder->path, "checkpoints");
    int64_t step =
        checkpoints && tl_checkpoint_list(checkpoints, &arena, &steps, &n, NULL) && n ? steps[0] : 0;
    tl_arena_finish(&arena);
    return step;
}

bool tl_training_begin(struct tl_training *t, const struct tl_options *options, const char *method,
                       const struct tl_run_input *inputs, size_t n_inputs, struct tl_err *err)
{
    const struct tl_run_seed seed = {"seed", t->job->seed};
    const struct tl_run_about about = {.command = t->job->command,
                                       .device_name = t->device->name,
                                       .device_description = t->device->description,
                                       .seeds = &seed,
                                       .n_seeds = 1,
                                       .inputs = inputs,
                                       .n_inputs = n_inputs,
                                       .step = newest_step(t->folder)};
    return (t->folder->resumes || write_config(t, options, method, err)) &&
           tl_run_folder_write_about(t->folder, &about, err);
}

void tl_training_forget(struct tl_training *t)
{
    static const char *const names[] = {"config.json", "run.json", "metrics.jsonl"};
    struct tl_str path = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names && !t->folder->resumes; i++)
        if (tl_run_folder_path(t->folder, names[i], &path, NULL)) unlink(path.data);
    tl_str_finish(&path);
}

void tl_training_close(struct tl_training *t)
{
    tl_run_folder_close(&t->folder);
    tl_device_close(&t->device);
}
