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
    TL_OPTION_STRING(__typeof__(params), method, 0, "method", NULL, "NAME",
                     "which way to train; tiller list methods"),
    TL_OPTION_STRING(__typeof__(params), config, 'c', "config", NULL, "FILE",
                     "JSON of options, as a run's config.json; the command line wins"),
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

/* The run that `--resume RUN` goes on with; `--resume -o RUN` is the same. *out stays NULL where nothing is
 * resumed. */
static bool find_run(const char *const *words, size_t n, const char **out, struct tl_err *err)
{
    const char *folder = value_of(words, n, "--out", "-o"), *run = NULL;
    bool resumes = false;
    for (size_t i = 0; i < n && strcmp(words[i], "--") != 0; i++) {
        if (strncmp(words[i], "--resume=", 9) == 0)
            return tl_err_set(err, TL_USAGE, "write --resume %.200s", words[i] + 9);
        if (strcmp(words[i], "--resume") != 0) continue;
        resumes = true;
        if (i + 1 < n && words[i + 1][0] != '-' && words[i + 1][0]) run = words[i + 1];
    }
    if (resumes && run && folder && strcmp(run, folder) != 0)
        return tl_err_set(err, TL_USAGE, "--resume %.200s goes on in that folder; leave out -o %.200s", run,
                          folder);
    if (resumes && !run && !folder)
        return tl_err_set(err, TL_USAGE, "which run goes on? tiller train --resume RUN");
    *out = !resumes ? NULL : run ? run : folder;
    return true;
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

/* The method that the run in `folder` was begun with, to be freed. */
static char *method_of(const char *folder, const char *given, struct tl_err *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/config.json", folder) >= (int)sizeof path) {
        tl_err_set(err, TL_USAGE, "the folder's name is too long");
        return NULL;
    }
    char *method = tl_config_text(path, "method", err);
    if (!method && err->code) tl_err_add(err, "%s holds no run that could go on", folder);
    if (!method || !given || strcmp(method, given) == 0) return method;
    tl_err_set(err, TL_USAGE, "%s: the run began with --method %s, not %s; leave it out", folder, method,
               given);
    free(method);
    return NULL;
}

/* The method stands on the command line, in the config file, or in the run that is resumed. */
static bool choose(const char *const *words, size_t n, struct cli_choice *out, struct tl_err *err)
{
    static char title[128];
    const char *method = value_of(words, n, "--method", NULL), *config = value_of(words, n, "--config", "-c"),
               *folder = NULL;
    if (!find_run(words, n, &folder, err)) return false;
    char *from_file = folder              ? method_of(folder, method, err)
                      : !method && config ? tl_config_text(config, "method", err)
                                          : NULL;
    if (err->code) return false;
    const char *name = from_file ? from_file : method;
    const struct tl_method *m = name ? tl_method_find(name) : NULL;
    bool ok = m || unknown_method(name, err);
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

static bool is_set(const struct cli_call *call, const char *name)
{
    char *text = text_of(call, name);
    bool yes = text && strcmp(text, "true") == 0;
    free(text);
    return yes;
}

static bool is_resumed(const struct cli_call *call)
{
    return is_set(call, "resume");
}

/* `--resume RUN` leaves RUN as the one argument. */
static bool read_args(const struct cli_call *call, struct tl_err *err)
{
    if (call->n_args == 0) return true;
    if (!is_resumed(call))
        return tl_err_set(err, TL_USAGE, "train: '%.80s' is one argument too many; see tiller train -h",
                          call->args[0]);
    return tl_option_set(call->sets[2], "out", call->args[0], TL_FROM_COMMAND, err);
}

/* What a resumed run was begun with, and a config file; both weaker than the command line. A file wins over
 * the run where it may, so it is read again. */
static bool read_files(const struct cli_call *call, struct tl_err *err)
{
    if (params.config && !tl_config_read(call->sets, call->n_sets, params.config, err)) return false;
    if (!is_resumed(call)) return true;
    char *folder = text_of(call, "out");
    bool ok = folder ? tl_config_read_run(call->sets, call->n_sets, folder, err)
                     : tl_err_set(err, TL_FAIL, "out of memory");
    free(folder);
    return ok && (!params.config || tl_config_read(call->sets, call->n_sets, params.config, err));
}

/* Steps of methods from data, epochs of those from rewards. */
static const char *unit(const struct cli_call *call)
{
    return tl_option_find(call->choice->table, "epochs") ? "epochs" : "steps";
}

/* Whether the run had come to its end before this call. */
static bool is_through(const struct cli_call *call, const char *folder)
{
    char *wanted = text_of(call, unit(call));
    bool through = is_resumed(call) && wanted && tl_train_saved_step(folder) >= strtoll(wanted, NULL, 10);
    free(wanted);
    return through;
}

static bool report(const struct cli_call *call, const char *folder, bool was_through, struct tl_err *err)
{
    char line[4200];
    if ((call->common->quiet && !call->common->json) || is_set(call, "dry-run")) return true;
    snprintf(line, sizeof line, "%s was through already: %lld %s; it goes further with --%s N\n", folder,
             (long long)tl_train_saved_step(folder), unit(call), unit(call));
    if (was_through && !call->common->json && !cli_print(line, err)) return false;
    return cli_print_owned(tl_inspect_end(folder, call->common->json, err), err);
}

/* Says how the run can go on. */
static enum tl_code explain(const struct cli_call *call, const char *folder, struct tl_err *err)
{
    const struct tl_err why = *err;
    bool stopped = why.code == TL_OUTPUT || why.code == TL_DEVICE || why.code == TL_PLUGIN ||
                   why.code == TL_NUMERIC || why.code == TL_INTERRUPTED;
    if (!stopped || strstr(why.text, "--resume") || !tl_train_is_begun(folder)) return err->code;
    const char *thing = strcmp(unit(call), "epochs") == 0 ? "epoch" : "step";
    bool within;
    long long step = tl_train_whole_step(folder, &within);
    tl_err_clear(err);
    if (step < 0)
        tl_err_set(err, why.code, "%s; nothing was saved yet; begin again with: tiller train --resume %s",
                   why.text, folder);
    else
        tl_err_set(err, why.code,
                   "%s; the last checkpoint, %s%s %lld, is whole; go on with: tiller train --resume %s",
                   why.text, within ? "within " : "", thing, step + within, folder);
    return why.code;
}

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    const struct tl_method *method = call->choice->context;
    if (!read_args(call, err) || !read_files(call, err)) return err->code;
    struct tl_job job = call->job;
    job.seed = call->common->seed; /* a file may have said otherwise */
    job.device = call->common->device;
    job.threads = call->common->threads;
    char *folder = text_of(call, "out");
    if (!folder) return tl_err_set(err, TL_FAIL, "out of memory"), TL_FAIL;
    bool was_through = is_through(call, folder);
    bool ok = method->run(&job, call->sets[2], call->choice->params, err);
    cli_progress_end();
    struct tl_err trouble = {0};
    bool done = ok || err->code == TL_PARTIAL; /* trained, but some pictures were left out: err says so */
    enum tl_code code = !done                                         ? explain(call, folder, err)
                        : report(call, folder, was_through, &trouble) ? err->code
                                                                      : trouble.code;
    if (done && trouble.code) *err = trouble;
    free(folder);
    return code;
}

const struct cli_verb cli_train = {
    .name = "train",
    .help = "trains or fine-tunes a model, from data or on rewards",
    .args = "",
    .required = "--method NAME -o FOLDER | --resume FOLDER",
    .min_args = 0,
    .max_args = 1, /* of --resume */
    .examples =
        "tiller train --method prdp --model assets/models/shapes --prompts prompts.txt "
        "--reward clip:assets/encoders/shapes-clip -o run/\n"
        "tiller train --method sft --data pictures/ --model sd15/ --steps 5000 --lr 1e-5 -o run/\n"
        "tiller train --method vae --data pictures/ --model vae.json --crop 32 -o run/\n"
        "tiller train --resume run/             # after Ctrl-C, a crash, a full disk: as if nothing had "
        "happened\n"
        "tiller train --method sft -h          # that method's options; tiller list methods shows all\n",
    .options = options,
    .params = &params,
    .choose = choose,
    .can_pause = true,
    .run = run,
};
