/* Methods that train from data: options, and how each makes its task. */
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/folder.h"
#include "io/json.h"
#include "run/task_contrastive.h"
#include "run/task_sft.h"
#include "run/task_vae.h"
#include "run/train_loop.h"
#include "run/train_methods.h"

static const char *const schedules[] = {"cosine", "constant", "linear", NULL};

#define S struct tl_supervised_params
#define COMMON_OPTIONS(model_help, steps_, batch_, lr_, warmup_, beta2_, decay_, ema_)                       \
    TL_OPTION_STRING(S, data, 0, "data", NULL, "FOLDER",                                                     \
                     "pictures, with captions where the method reads them"),                                 \
        TL_OPTION_STRING(S, model, 0, "model", NULL, "FOLDER|FILE", model_help),                             \
        TL_OPTION_STRING(S, out, 'o', "out", NULL, "FOLDER", "the run"),                                     \
        TL_OPTION_INT(S, steps, 0, "steps", steps_, 1, 100000000, "N", "updates"),                           \
        TL_OPTION_INT(S, batch, 0, "batch", batch_, 1, 2048, "N", "pictures per update"),                    \
        TL_OPTION_INT(S, size, 0, "size", "0", 0, 8192, "PIXELS",                                            \
                      "side that pictures are brought to; 0: the model's, else the first picture's"),        \
        TL_OPTION_REAL(S, lr, 0, "lr", lr_, 0, 10, "X", "learning rate"),                                    \
        TL_OPTION_ENUM(S, schedule, 0, "schedule", "cosine", schedules, "of the learning rate"),             \
        TL_OPTION_INT(S, warmup, 0, "warmup", warmup_, 0, 1000000, "N", "steps of rising learning rate"),    \
        TL_OPTION_REAL(S, beta1, 0, "beta1", "0.9", 0, 0.99999, "X", "AdamW"),                               \
        TL_OPTION_REAL(S, beta2, 0, "beta2", beta2_, 0, 0.99999, "X", "AdamW"),                              \
        TL_OPTION_REAL(S, weight_decay, 0, "weight-decay", decay_, 0, 10, "X", "AdamW"),                     \
        TL_OPTION_REAL(S, clip_norm, 0, "clip-norm", "1", 0, 1e9, "X",                                       \
                       "largest gradient norm; 0: no limit"),                                                \
        TL_OPTION_REAL(S, ema, 0, "ema", ema_, 0, 0.999999, "X",                                             \
                       "decay of the weights' moving average, which is what is saved; 0: none"),             \
        TL_OPTION_INT(S, log_every, 0, "log-every", "50", 1, 1000000, "STEPS", "rows of metrics.jsonl"),     \
        TL_OPTION_INT(S, save_every, 0, "save-every", "1000", 1, 10000000, "STEPS", "checkpoints"),          \
        TL_OPTION_BOOL(S, resume, 0, "resume", "false", "go on with the run in --out"),                      \
        TL_OPTION_BOOL(S, strict, 0, "strict", "false", "an unreadable picture ends the run")

const struct tl_option tl_vae_options[] = {
    COMMON_OPTIONS("AutoencoderKL: a folder, or a config.json to start from random weights", "5000", "8",
                   "0.003", "50", "0.99", "0.0001", "0"),
    TL_OPTION_INT(S, crop, 0, "crop", "0", 0, 8192, "PIXELS", "side of random crops; 0: whole pictures"),
    TL_OPTION_REAL(S, kl_weight, 0, "kl-weight", "0.0005", 0, 1e6, "X", "of the KL per latent value"),
    {0},
};

const struct tl_option tl_contrastive_options[] = {
    COMMON_OPTIONS("CLIPModel: a folder, or a config.json to start from random weights and a vocabulary "
                   "learnt from the captions",
                   "2000", "96", "0.002", "100", "0.98", "0.02", "0"),
    TL_OPTION_STRING(S, vae, 0, "vae", NULL, "FOLDER",
                     "AutoencoderKL through which half of the pictures are seen"),
    TL_OPTION_REAL(S, noise, 0, "noise", "0.05", 0, 2, "X", "most noise on the pictures"),
    TL_OPTION_REAL(S, patch_weight, 0, "patch-weight", "1", 0, 1e6, "X",
                   "of the patch labels' loss, where the data has them"),
    {0},
};

const struct tl_option tl_sft_options[] = {
    COMMON_OPTIONS("diffusers pipeline folder; a unet/ without weights starts from random ones", "10000",
                   "16", "0.0001", "100", "0.99", "0.001", "0.999"),
    TL_OPTION_REAL(S, caption_dropout, 0, "caption-dropout", "0.1", 0, 1, "X",
                   "share of samples that see the empty caption"),
    TL_OPTION_REAL(S, snr_gamma, 0, "snr-gamma", "0", 0, 1e6, "X", "min-SNR loss weights; 0: none"),
    {0},
};
#undef S

/* What every method here needs before anything is opened. */
static bool check_params(const struct tl_supervised_params *p, struct tl_err *err)
{
    if (!p->data) return tl_err_set(err, TL_USAGE, "--data FOLDER is missing: the pictures");
    if (!p->model) return tl_err_set(err, TL_USAGE, "--model is missing: what is trained");
    return true;
}

/* A component from a folder, or from a config file with random weights (*out_fresh). */
static struct tl_component *open_or_start(struct tl_device *d, const char *path, uint64_t seed,
                                          bool *out_fresh, struct tl_err *err)
{
    *out_fresh = !tl_file_is_folder(path);
    if (!*out_fresh) return tl_component_open(d, path, err);
    cJSON *json = tl_json_read(path, err);
    struct tl_component *c = json ? tl_component_create(d, json, seed, err) : NULL;
    if (json && !c) tl_err_add(err, "%s", path);
    cJSON_Delete(json);
    return c;
}

static bool expect_class(struct tl_component **c, const char *class_name, struct tl_err *err)
{
    if (strcmp((*c)->cls->name, class_name) == 0) return true;
    tl_err_set(err, TL_BAD_INPUT, "--model is a %s; this method trains a %s", (*c)->cls->name, class_name);
    tl_component_close(c);
    return false;
}

/* The run begins once its task stands (`ok`), so a wrong path leaves no run behind. Ends task and training.
 */
static bool train(const struct tl_supervised_params *p, const struct tl_options *options, const char *method,
                  struct tl_training *t, struct tl_task *task, bool ok, struct tl_err *err)
{
    ok = ok && tl_training_begin(t, options, method, NULL, 0, err) &&
         tl_train_loop(t->job, p, t->device, t->folder, task, err);
    if (task->destroy) task->destroy(task->self);
    tl_training_close(t);
    return ok;
}

bool tl_train_vae(const struct tl_job *job, struct tl_options *options, const void *params,
                  struct tl_err *err)
{
    const struct tl_supervised_params *p = params;
    struct tl_training t;
    struct tl_task task = {0};
    if (!check_params(p, err) || !tl_training_open(&t, job, p->out, p->resume, err)) return false;
    struct tl_task_vae_params tp = {p->data,      p->batch, p->crop,   p->size,
                                    p->kl_weight, false,    p->strict, job->seed};
    struct tl_component *c = open_or_start(t.device, p->model, job->seed, &tp.fresh, err);
    bool ok = c && expect_class(&c, "AutoencoderKL", err) && tl_task_vae_create(c, &tp, &task, err);
    return train(p, options, "vae", &t, &task, ok, err);
}

/* A vocabulary learnt from the captions of a data folder. */
static struct tl_clip_bpe *learn_vocabulary(const char *data, int64_t positions, struct tl_err *err)
{
    struct tl_folder f;
    if (!tl_folder_scan(data, &f, err)) return NULL;
    const char **captions = malloc((f.n + 1) * sizeof *captions);
    size_t n = 0;
    for (size_t i = 0; captions && i < f.n; i++)
        if (f.items[i].caption) captions[n++] = f.items[i].caption;
    struct tl_clip_bpe *tok = captions ? tl_clip_bpe_train(captions, n, 0, (size_t)positions, err) : NULL;
    if (!captions) tl_err_set(err, TL_FAIL, "out of memory");
    free(captions);
    tl_folder_finish(&f);
    return tok;
}

/* A text tower that is started anew takes the vocabulary's size and special ids. */
static bool adopt_vocabulary(cJSON *json, const struct tl_clip_bpe *tok, struct tl_err *err)
{
    struct tl_clip_bpe_info info = tl_clip_bpe_info(tok);
    cJSON *text = cJSON_GetObjectItemCaseSensitive(json, "text_config");
    const struct {
        const char *key;
        double value;
    } rows[] = {{"vocab_size", (double)info.n_vocab},
                {"bos_token_id", info.bos},
                {"eos_token_id", info.eos},
                {"pad_token_id", info.pad}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(text, rows[i].key);
        if (!cJSON_AddNumberToObject(text, rows[i].key, rows[i].value))
            return tl_err_set(err, TL_FAIL, "out of memory");
    }
    return true;
}

/* From a config: random weights, and a vocabulary learnt from the captions. */
static struct tl_component *start_clip(struct tl_device *d, const cJSON *config, const char *data,
                                       uint64_t seed, struct tl_clip_bpe **tok, struct tl_err *err)
{
    const cJSON *text = tl_json_get(config, "text_config");
    int64_t positions = 77;
    if (!cJSON_IsObject(text)) {
        tl_err_set(err, TL_BAD_INPUT, "the config has no text_config; a CLIPModel's is wanted");
        return NULL;
    }
    if (!tl_json_int(text, "max_position_embeddings", 77, &positions, err)) return NULL;
    if (positions < 3 || positions > 4096) {
        tl_err_set(err, TL_BAD_INPUT, "max_position_embeddings %lld: 3 to 4096 are possible",
                   (long long)positions);
        return NULL;
    }
    *tok = learn_vocabulary(data, positions, err);
    cJSON *json = *tok ? cJSON_Duplicate(config, true) : NULL;
    struct tl_component *c =
        json && adopt_vocabulary(json, *tok, err) ? tl_component_create(d, json, seed, err) : NULL;
    if (*tok && !json) tl_err_set(err, TL_FAIL, "out of memory");
    cJSON_Delete(json);
    return c;
}

static struct tl_component *open_or_start_clip(struct tl_device *d, const struct tl_supervised_params *p,
                                               uint64_t seed, struct tl_clip_bpe **tok, struct tl_err *err)
{
    if (tl_file_is_folder(p->model)) {
        *tok = tl_clip_bpe_open(p->model, err);
        return *tok ? tl_component_open(d, p->model, err) : NULL;
    }
    cJSON *config = tl_json_read(p->model, err);
    struct tl_component *c = config ? start_clip(d, config, p->data, seed, tok, err) : NULL;
    if (config && !c) tl_err_add(err, "%s", p->model);
    cJSON_Delete(config);
    return c;
}

/* An encoder's side is its own. */
static bool check_side(int side, int wanted, struct tl_err *err)
{
    return wanted == 0 || wanted == side ||
           tl_err_set(err, TL_USAGE, "--size %d: this encoder sees pictures of %dx%d; leave --size out",
                      wanted, side, side);
}

bool tl_train_contrastive(const struct tl_job *job, struct tl_options *options, const void *params,
                          struct tl_err *err)
{
    const struct tl_supervised_params *p = params;
    struct tl_training t;
    struct tl_task task = {0};
    struct tl_clip_bpe *tok = NULL;
    if (!check_params(p, err) || !tl_training_open(&t, job, p->out, p->resume, err)) return false;
    struct tl_task_contrastive_params tp = {p->data,         p->vae,    p->batch, p->noise,
                                            p->patch_weight, p->strict, job->seed};
    struct tl_component *c = open_or_start_clip(t.device, p, job->seed, &tok, err);
    bool ok = c && tok && expect_class(&c, "CLIPModel", err) &&
              check_side(c->config.clip.vision.image_size, p->size, err);
    if (ok)
        ok = tl_task_contrastive_create(c, tok, &tp, &task, err); /* takes both over */
    else {
        tl_component_close(&c);
        tl_clip_bpe_destroy(&tok);
    }
    return train(p, options, "contrastive", &t, &task, ok, err);
}

bool tl_train_sft(const struct tl_job *job, struct tl_options *options, const void *params,
                  struct tl_err *err)
{
    const struct tl_supervised_params *p = params;
    struct tl_training t;
    struct tl_task task = {0};
    if (!check_params(p, err) || !tl_training_open(&t, job, p->out, p->resume, err)) return false;
    struct tl_task_sft_params tp = {p->data,      p->model,  p->batch, p->size, p->caption_dropout,
                                    p->snr_gamma, p->strict, job->seed};
    bool ok = tl_task_sft_create(t.device, &tp, &task, err);
    return train(p, options, "sft", &t, &task, ok, err);
}
