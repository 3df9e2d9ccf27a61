/* The table of methods: one row each. */
#include "run/train_methods.h"

#include <string.h>

#include "io/option_json.h"

const struct tl_method tl_methods[] = {
    {"vae", "autoencoder from pictures: L1 + MSE + KL", "vae", "pictures", tl_vae_options, sizeof(struct tl_supervised_params), tl_train_vae},
    {"contrastive", "CLIP from captioned pictures", "clip", "captioned pictures", tl_contrastive_options, sizeof(struct tl_supervised_params),
     tl_train_contrastive},
    {"sft", "latent diffusion UNet from captioned pictures", "unet", "captioned pictures", tl_sft_options, sizeof(struct tl_supervised_params), tl_train_sft},
    {"prdp", "proximal reward difference prediction: fine-tune a generator on a reward", "unet", "rewards", tl_prdp_options,
     sizeof(struct tl_prdp_run_params), tl_train_prdp},
    {0},
};

const struct tl_method *tl_method_find(const char *name)
{
    for (const struct tl_method *m = tl_methods; m->name; m++)
        if (strcmp(m->name, name) == 0) return m;
    return NULL;
}

bool tl_training_open(struct tl_training *t, const struct tl_job *job, const struct tl_options *options, const char *method, const char *out, bool resume,
                      const struct tl_run_input *inputs, size_t n_inputs, struct tl_err *err)
{
    *t = (struct tl_training){0};
    if (!out) return tl_err_set(err, TL_USAGE, "-o FOLDER is missing: where the run goes");
    t->device = tl_device_open(&(struct tl_device_params){.name = job->device, .threads = job->threads}, err);
    t->folder = t->device ? tl_run_folder_open(out, resume ? TL_RUN_RESUME : TL_RUN_NEW, err) : NULL;
    cJSON *config = t->folder ? cJSON_CreateObject() : NULL;
    bool ok = config != NULL;
    if (ok) {
        cJSON_AddStringToObject(config, "method", method);
        ok = tl_option_to_json(options, config, err) && (resume || tl_run_folder_write_config(t->folder, config, err));
    }
    cJSON_Delete(config);
    const struct tl_run_seed seed = {"seed", job->seed};
    const struct tl_run_about about = {.command = job->command, .device_name = t->device ? t->device->name : NULL,
                                       .device_description = t->device ? t->device->description : NULL, .seeds = &seed, .n_seeds = 1, .inputs = inputs, .n_inputs = n_inputs};
    if (ok && tl_run_folder_write_about(t->folder, &about, err)) return true;
    tl_training_close(t);
    return false;
}

void tl_training_close(struct tl_training *t)
{
    tl_run_folder_close(&t->folder);
    tl_device_close(&t->device);
}
