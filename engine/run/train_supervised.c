/* Methods that train from data: options, and how each makes its task. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "io/file.h"
#include "io/folder.h"
#include "io/json.h"
#include "run/task_contrastive.h"
#include "run/task_sft.h"
#include "run/task_vae.h"
#include "run/train_loop.h"
#include "run/train_methods.h"
#include "run/train_partners.h"

static bool check_path(const char *option, const char *path, bool is_there, const char *wanted,
                       struct tl_err *err)
{
    if (!path || is_there) return true;
    return tl_err_set(err, TL_BAD_INPUT, "--%s %s: there is no such %s", option, path, wanted);
}

/* What every method here needs before anything is opened: a slip of the pen leaves no folder behind. */
static bool check_params(const struct tl_options *options, const struct tl_supervised_params *p,
                         struct tl_err *err)
{
    if (!p->data) return tl_err_set(err, TL_USAGE, "--data FOLDER is missing: the pictures");
    if (!p->model) return tl_err_set(err, TL_USAGE, "--model is missing: what is trained");
    return check_path("data", p->data, tl_file_is_folder(p->data), "folder; name the one with the pictures",
                      err) &&
           check_path("model", p->model, tl_file_exists(p->model),
                      tl_option_find(tl_options_table(options), "rank")
                          ? "folder; name a diffusers pipeline, with model_index.json in it"
                          : "folder or config.json; name what is trained",
                      err) &&
           check_path("vae", p->vae, p->vae && tl_file_is_folder(p->vae), "folder", err) &&
           check_path("sample-prompts", p->sample_prompts,
                      p->sample_prompts && tl_file_exists(p->sample_prompts), "file; a prompt a line", err) &&
           tl_train_partners_check(options, p, err);
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

/* What the run is made from: a resume refuses another one. */
static bool list_inputs(const struct tl_supervised_params *p, struct tl_run_inputs *in, struct tl_err *err)
{
    bool ok = tl_run_inputs_add(in, "sample_prompts", p->sample_prompts, err);
    for (size_t i = 0; i < in->n; i++) in->list[i].harmless = true;
    return ok && tl_run_inputs_add(in, "lora", p->lora, err) &&
           tl_run_inputs_add(in, "model", p->model, err) && tl_run_inputs_add(in, "vae", p->vae, err);
}

/* Trained, but not on all that was given. */
static bool tell_left_out(const struct tl_task *t, struct tl_err *err)
{
    char rows[96] = "";
    if (t->n_strays)
        snprintf(rows, sizeof rows, "%zu %s of metadata %s no picture", t->n_strays,
                 t->n_strays == 1 ? "row" : "rows", t->n_strays == 1 ? "names" : "name");
    if (t->n_skipped)
        return tl_err_set(err, TL_PARTIAL, "trained, but %zu of %zu pictures could not be used%s%s",
                          t->n_skipped, t->n_pictures, *rows ? ", and " : "", rows);
    return !*rows || tl_err_set(err, TL_PARTIAL, "trained, but %s", rows);
}

/* The run begins once its task stands (`ok`), so a wrong path leaves no run behind. Ends task and training.
 */
static bool train(const struct tl_supervised_params *p, const struct tl_options *options, const char *method,
                  struct tl_training *t, struct tl_task *task, bool ok, struct tl_err *err)
{
    struct tl_run_inputs inputs = {0};
    ok = ok && list_inputs(p, &inputs, err) &&
         tl_training_begin(t, options, method, inputs.list, inputs.n, err) &&
         tl_train_loop(t->job, p, t->device, t->folder, task, err);
    size_t peak = 0;
    if (ok) tl_device_bytes(t->device, NULL, &peak);
    ok = ok && tl_run_folder_note(t->folder, "device_peak_bytes", cJSON_CreateNumber((double)peak), err);
    ok = ok && tell_left_out(task, err);
    if (task->destroy) task->destroy(task->self);
    tl_run_inputs_finish(&inputs);
    tl_training_close(t);
    return ok;
}

bool tl_train_vae(const struct tl_job *job, struct tl_options *options, const void *params,
                  struct tl_err *err)
{
    const struct tl_supervised_params *p = params;
    struct tl_training t;
    struct tl_task task = {0};
    if (!check_params(options, p, err) || !tl_training_open(&t, job, p->out, p->resume, err)) return false;
    struct tl_task_vae_params tp = {p->data,      p->batch, p->accumulate, p->crop,  p->size,
                                    p->kl_weight, false,    p->strict,     job->seed};
    struct tl_component *c = open_or_start(t.device, p->model, job->seed, &tp.fresh, err);
    bool ok = c && expect_class(&c, "AutoencoderKL", err) && tl_task_vae_create(c, &tp, &task, err);
    return train(p, options, "vae", &t, &task, ok, err);
}

/* A vocabulary learnt from the captions of a data folder; what cannot be used there is told when the pictures
 * are read. */
static struct tl_clip_bpe *learn_vocabulary(const char *data, int64_t positions, struct tl_err *err)
{
    struct tl_folder f;
    if (!tl_folder_read(data, &f, err)) return NULL;
    const char **captions = malloc((f.n + 1) * sizeof *captions);
    size_t n = 0;
    for (size_t i = 0; captions && i < f.n; i++)
        if (f.items[i].caption && !f.items[i].trouble) captions[n++] = f.items[i].caption;
    struct tl_clip_bpe *tok = captions ? tl_clip_bpe_train(captions, n, 0, (size_t)positions, err) : NULL;
    if (!captions)
        tl_err_set(err, TL_FAIL, "out of memory");
    else if (!tok)
        tl_err_add(err, "a vocabulary from the captions of %s", data);
    free(captions);
    tl_folder_finish(&f);
    return tok;
}

/* A text tower that is started anew takes the vocabulary's size and special ids. */
static bool adopt_vocabulary(cJSON *json, const struct tl_clip_bpe *tok, struct tl_err *err)
{
    struct tl_bpe_info info = tl_clip_bpe_info(tok);
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

static bool read_positions(const cJSON *config, int64_t *out, struct tl_err *err)
{
    const cJSON *text = tl_json_get(config, "text_config");
    if (!cJSON_IsObject(text))
        return tl_err_set(err, TL_BAD_INPUT, "the config has no text_config; a CLIPModel's is wanted");
    if (!tl_json_int(text, "max_position_embeddings", 77, out, err)) return false;
    return (*out >= 3 && *out <= 4096) ||
           tl_err_set(err, TL_BAD_INPUT, "max_position_embeddings %lld: 3 to 4096 are possible",
                      (long long)*out);
}

/* From a config: random weights, and a vocabulary learnt from the captions. */
static struct tl_component *start_clip(struct tl_device *d, cJSON *config,
                                       const struct tl_supervised_params *p, uint64_t seed,
                                       struct tl_clip_bpe **tok, struct tl_err *err)
{
    int64_t positions;
    if (!read_positions(config, &positions, err)) {
        tl_err_add(err, "%s", p->model);
        return NULL;
    }
    *tok = learn_vocabulary(p->data, positions, err);
    if (!*tok || !adopt_vocabulary(config, *tok, err)) return NULL;
    struct tl_component *c = tl_component_create(d, config, seed, err);
    if (!c) tl_err_add(err, "%s", p->model);
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
    struct tl_component *c = config ? start_clip(d, config, p, seed, tok, err) : NULL;
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
    if (!check_params(options, p, err) || !tl_training_open(&t, job, p->out, p->resume, err)) return false;
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

/* Lines of the log about a run that is not begun. */
static void tell_needs(const struct tl_supervised_params *p, const struct tl_sft_needs *n,
                       const struct tl_device *device)
{
    char line[256], text[3][32];
    uint64_t left = tl_memory_free(device), weights = (uint64_t)n->trained * sizeof(float);
    uint64_t updates = (uint64_t)p->steps,
             each = (uint64_t)p->batch * (uint64_t)(p->accumulate > 1 ? p->accumulate : 1);
    uint64_t checkpoint = weights * (p->ema > 0 ? 4 : 3);
    tl_memory_plan_line(&n->plan, line, sizeof line);
    tl_log(TL_LOG_NOTE, "memory: %s; batch %d, nothing is recomputed, %s", line, p->batch,
           tl_dtype_choices[p->dtype]);
    tl_memory_plan_log(&n->plan);
    if (left && n->plan.budgeted > left)
        tl_log(TL_LOG_WARN,
               "the machine has %s left: take a smaller --batch with --accumulate, or --dtype f16",
               tl_memory_text(left, text[0]));
    tl_log(TL_LOG_NOTE, "disk: checkpoints of %s each; %s of weights as files",
           tl_memory_text(checkpoint, text[0]), tl_memory_text(weights, text[1]));
    tl_log(
        TL_LOG_NOTE,
        "%zu pictures (%zu held out; %zu more cannot be used) in %zu sizes, seen %llu times in a pass; %llu "
        "updates of %llu pictures are %.1f passes",
        n->n_pictures, n->n_held_out, n->n_skipped, n->n_buckets, (unsigned long long)n->visits,
        (unsigned long long)updates, (unsigned long long)each, (double)updates / (double)n->per_pass);
    tl_log(TL_LOG_NOTE, "nothing was trained and nothing written: leave --dry-run out to begin");
}

static bool look_at_sft(const struct tl_job *job, const struct tl_supervised_params *p, struct tl_err *err)
{
    struct tl_sft_needs needs;
    struct tl_device *d =
        tl_device_open(&(struct tl_device_params){.name = job->device, .threads = job->threads}, err);
    bool ok = d && tl_task_sft_needs(d, job, p, &needs, err);
    if (ok) tell_needs(p, &needs, d);
    tl_device_close(&d);
    return ok;
}

bool tl_train_sft(const struct tl_job *job, struct tl_options *options, const void *params,
                  struct tl_err *err)
{
    const struct tl_supervised_params *p = params;
    struct tl_training t;
    struct tl_task task = {0};
    if (p->dry_run) return check_params(options, p, err) && look_at_sft(job, p, err);
    if (!check_params(options, p, err) || !tl_training_open(&t, job, p->out, p->resume, err)) return false;
    bool ok = tl_task_sft_create(t.device, job, p, &task, err);
    return train(p, options, "sft", &t, &task, ok, err);
}
