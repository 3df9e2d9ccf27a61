#include <tiller/config.h>
#include <tiller/inspect.h>
#include <tiller/registry.h>
#include <tiller/train.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static struct {
    const char *method, *config;
} params;

static const struct tl_option options[] = {
    {"method", 0, TL_OPTION_TYPE_STRING, offsetof(__typeof__(params), method), NULL, 0, 0, NULL, "NAME",
     "which way to train; tiller list methods"},
    {"config", 'c', TL_OPTION_TYPE_STRING, offsetof(__typeof__(params), config), NULL, 0, 0, NULL, "FILE",
     "JSON of options, as a run's config.json; the command line wins"},
    {0},
};

/* The value of an option in the raw words: the method must be known before the rest can be read. */
static const char *value_of(const char *const *words, size_t n, const char *name, const char *letter)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < n && strcmp(words[i], "--") != 0; i++) {
        bool bare = strcmp(words[i], name) == 0 || (letter && strcmp(words[i], letter) == 0);
        if (bare && i + 1 < n) return words[i + 1];
        if (strncmp(words[i], name, len) == 0 && words[i][len] == '=') return words[i] + len + 1;
        if (letter && strncmp(words[i], letter, 2) == 0 && words[i][2]) return words[i] + 2;
    }
    return NULL;
}

static bool has_word(const char *const *words, size_t n, const char *word)
{
    for (size_t i = 0; i < n && strcmp(words[i], "--") != 0; i++)
        if (strcmp(words[i], word) == 0) return true;
    return false;
}

static bool unknown_method(const char *name, struct tl_err *err)
{
    const char *names[32];
    char all[512] = "";
    size_t n = 0, used = 0;
    for (const struct tl_method *m = tl_methods; m->name && n < 32; m++) {
        names[n++] = m->name;
        int more = snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", m->name);
        used += more > 0 && (size_t)more < sizeof all - used ? (size_t)more : 0;
    }
    if (!name) return tl_err_set(err, TL_USAGE, "train needs --method NAME; there are %s", all);
    const char *near = tl_registry_nearest(name, names, n);
    if (near) return tl_err_set(err, TL_USAGE, "there is no method '%.80s'; did you mean %s?", name, near);
    return tl_err_set(err, TL_USAGE, "there is no method '%.80s'; there are %s", name, all);
}

/* The method stands on the command line, in the config file, or in the run that is resumed. */
static bool choose(const char *const *words, size_t n, struct cli_choice *out, struct tl_err *err)
{
    static char title[128];
    const char *method = value_of(words, n, "--method", NULL), *config = value_of(words, n, "--config", "-c");
    const char *folder = has_word(words, n, "--resume") ? value_of(words, n, "--out", "-o") : NULL;
    char path[4096];
    if (!config && folder) {
        if (snprintf(path, sizeof path, "%s/config.json", folder) >= (int)sizeof path)
            return tl_err_set(err, TL_USAGE, "the folder's name is too long");
        config = path;
    }
    char *from_file = !method && config ? tl_config_text(config, "method", err) : NULL;
    if (err->code) return false;
    const struct tl_method *m = method || from_file ? tl_method_find(method ? method : from_file) : NULL;
    bool ok = m || unknown_method(method ? method : from_file, err);
    free(from_file);
    if (!ok) return false;
    snprintf(title, sizeof title, "Options of --method %s", m->name);
    *out = (struct cli_choice){
        .title = title, .table = m->options, .params = calloc(1, m->params_size), .context = m};
    return out->params || tl_err_set(err, TL_FAIL, "out of memory");
}

/* The method's option of that name as text, to be freed; NULL where it has none. */
static char *text_of(const struct cli_call *call, const char *name)
{
    const struct tl_option *row = tl_option_find(call->choice->table, name);
    return row ? tl_option_text(call->sets[2], row) : NULL;
}

/* What a resumed run was begun with, and a config file; both weaker than the command line. */
static bool read_files(const struct cli_call *call, struct tl_err *err)
{
    if (params.config && !tl_config_read(call->sets, call->n_sets, params.config, err)) return false;
    char *resume = text_of(call, "resume"), *folder = text_of(call, "out");
    bool ok = true;
    if (resume && strcmp(resume, "true") == 0 && folder && *folder)
        ok = tl_config_read_run(call->sets, call->n_sets, folder, err);
    free(folder);
    free(resume);
    return ok;
}

static bool report(const struct cli_call *call, struct tl_err *err)
{
    char *folder = call->common->quiet ? NULL : text_of(call, "out");
    bool ok = !folder || cli_print_owned(tl_inspect_end(folder, call->common->json, err), err);
    free(folder);
    return ok;
}

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    const struct tl_method *method = call->choice->context;
    if (!read_files(call, err)) return err->code;
    struct tl_job job = call->job;
    job.seed = call->common->seed; /* a file may have said otherwise */
    job.device = call->common->device;
    job.threads = call->common->threads;
    bool ok = method->run(&job, call->sets[2], call->choice->params, err);
    cli_progress_end();
    return ok && report(call, err) ? TL_OK : err->code;
}

const struct cli_verb cli_train = {
    .name = "train",
    .help = "trains or fine-tunes a model, from data or on rewards",
    .args = "",
    .required = "--method NAME -o FOLDER",
    .min_args = 0,
    .max_args = 0,
    .examples =
        "tiller train --method prdp --model assets/models/shapes --prompts prompts.txt "
        "--reward clip:assets/encoders/shapes-clip -o run/\n"
        "tiller train --method sft --data pictures/ --model sd15/ --steps 5000 --lr 1e-5 -o run/\n"
        "tiller train --method vae --data pictures/ --model vae.json --crop 32 -o run/\n"
        "tiller train --resume -o run/\n"
        "tiller train --method sft -h          # that method's options; tiller list methods shows all\n",
    .options = options,
    .params = &params,
    .choose = choose,
    .can_pause = true,
    .run = run,
};
