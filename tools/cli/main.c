#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>
#include <tiller/registry.h>
#include <tiller/version.h>

#include "cli.h"

static struct cli_common common;

const struct tl_option cli_common_options[] = {
    TL_OPTION_STRING(struct cli_common, device, 0, "device", "auto", "NAME",
                     "auto, cpu, vulkan, vulkan:N; see tiller doctor", TL_OPTION_FREE),
    TL_OPTION_INT(struct cli_common, threads, 0, "threads", "0", 0, 4096, "N",
                  "threads of the cpu device; 0: all cores", TL_OPTION_FREE),
    TL_OPTION_SEED(struct cli_common, seed, 0, "seed", "random",
                   "where randomness starts; the same seed gives the same bytes"),
    TL_OPTION_BOOL(struct cli_common, json, 0, "json", NULL, "print JSON instead of text"),
    TL_OPTION_BOOL(struct cli_common, quiet, 'q', "quiet", NULL,
                   "no progress, nothing printed that was not asked for"),
    TL_OPTION_BOOL(struct cli_common, verbose, 'v', "verbose", NULL, "say more on standard error"),
    TL_OPTION_BOOL(struct cli_common, help, 'h', "help", NULL, "this text"),
    {0},
};

/* The order in which people meet them. */
const struct cli_verb *const cli_verbs[] = {
    &cli_sample,  &cli_steer,   &cli_train, &cli_score,   &cli_reward, &cli_embed,  &cli_stats, &cli_report,
    &cli_inspect, &cli_convert, &cli_merge, &cli_forward, &cli_list,   &cli_doctor, &cli_bench, NULL};

static const struct cli_verb *find_verb(const char *name, struct tl_err *err)
{
    const char *names[64];
    size_t n = 0;
    for (; cli_verbs[n]; n++) {
        if (strcmp(cli_verbs[n]->name, name) == 0) return cli_verbs[n];
        names[n] = cli_verbs[n]->name;
    }
    const char *near = tl_registry_nearest(name, names, n);
    if (near)
        tl_err_set(err, TL_USAGE, "there is no command '%.80s'; did you mean %s?", name, near);
    else
        tl_err_set(err, TL_USAGE, "there is no command '%.80s'; tiller help lists them", name);
    return NULL;
}

/* -h anywhere in front of "--" wants the help, whatever else is wrong with the line. */
static bool wants_help(const char *const *words, size_t n)
{
    for (size_t i = 0; i < n && strcmp(words[i], "--") != 0; i++)
        if (strcmp(words[i], "-h") == 0 || strcmp(words[i], "--help") == 0) return true;
    return false;
}

static bool check_args(const struct cli_verb *verb, const char *const *args, size_t n, struct tl_err *err)
{
    if (n > verb->max_args)
        return tl_err_set(err, TL_USAGE, "%s: '%.80s' is one argument too many; see tiller %s -h", verb->name,
                          args[verb->max_args], verb->name);
    if (n < verb->min_args)
        return tl_err_set(err, TL_USAGE, "%s needs %s; see tiller %s -h", verb->name, verb->args, verb->name);
    return true;
}

/* The line as it was typed, for run.json and the pictures' metadata; words with spaces are quoted. */
static char *command_line(int argc, char **argv)
{
    size_t size = 1;
    for (int i = 0; i < argc; i++) size += 4 * strlen(argv[i]) + 3;
    char *text = malloc(size), *to = text;
    for (int i = 0; text && i < argc; i++) {
        const char *word = i ? argv[i] : "tiller";
        bool plain =
            *word &&
            !word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+.,:/@%")];
        if (i) *to++ = ' ';
        if (!plain) *to++ = '\'';
        for (; *word; word++) {
            if (*word == '\'') {
                memcpy(to, "'\\''", 4);
                to += 4;
            } else {
                *to++ = *word;
            }
        }
        if (!plain) *to++ = '\'';
    }
    if (text) *to = 0;
    return text;
}

static bool open_sets(const struct cli_verb *verb, const struct cli_choice *choice,
                      struct tl_options *sets[3], size_t *out_n, struct tl_err *err)
{
    sets[0] = tl_options_create(cli_common_options, &common, err);
    sets[1] = sets[0] ? tl_options_create(verb->options, verb->params, err) : NULL;
    sets[2] = sets[1] && choice->table ? tl_options_create(choice->table, choice->params, err) : NULL;
    *out_n = choice->table ? 3 : 2;
    return sets[*out_n - 1] != NULL;
}

static enum tl_code run_verb(const struct cli_verb *verb, int argc, char **argv, struct tl_err *err)
{
    const char *const *words = (const char *const *)argv + 2;
    size_t n_words = (size_t)argc - 2, n_args = 0, n_sets = 0;
    struct cli_choice choice = {0};
    bool chosen = !verb->choose || verb->choose(words, n_words, &choice, err);
    if (wants_help(words, n_words)) {
        tl_err_clear(err);
        cli_help_verb(verb, &choice, err);
    }
    if (wants_help(words, n_words) || !chosen) {
        free(choice.params);
        return err->code;
    }
    struct tl_options *sets[3] = {NULL};
    const char **args = calloc(n_words + 1, sizeof *args);
    char *command = command_line(argc, argv);
    enum tl_code code = TL_FAIL;
    if (args && command && open_sets(verb, &choice, sets, &n_sets, err) &&
        tl_options_parse(sets, n_sets, words, n_words, args, &n_args, err) &&
        check_args(verb, args, n_args, err)) {
        struct cli_call call = {.common = &common,
                                .sets = sets,
                                .n_sets = n_sets,
                                .choice = &choice,
                                .args = args,
                                .n_args = n_args};
        call.job = (struct tl_job){.device = common.device,
                                   .threads = common.threads,
                                   .seed = common.seed,
                                   .command = command,
                                   .progress = cli_progress};
        cli_terminal_set(common.quiet, common.verbose, common.json);
        if (verb->can_pause) tl_interrupt_install();
        code = verb->run(&call, err);
        cli_progress_end();
    } else {
        tl_err_set(err, TL_FAIL, "out of memory");
        code = err->code;
    }
    free(command);
    free((void *)args);
    for (int i = 2; i >= 0; i--) tl_options_destroy(&sets[i]);
    free(choice.params);
    return code;
}

static enum tl_code run(int argc, char **argv, struct tl_err *err)
{
    const char *word = argc > 1 ? argv[1] : "";
    bool ok;
    if (!*word) return tl_err_set(err, TL_USAGE, "what is wanted? tiller help lists the commands"), TL_USAGE;
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        ok = cli_print("tiller " TL_VERSION "\n", err);
    } else if (strcmp(word, "help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        const struct cli_verb *about = argc > 2 ? find_verb(argv[2], err) : NULL;
        ok = argc > 2 ? about && cli_help_verb(about, NULL, err) : cli_help_program(err);
    } else if (word[0] == '-') {
        ok = tl_err_set(
            err, TL_USAGE,
            "%.80s: options follow the command: tiller COMMAND [OPTION ...]; tiller help lists the commands",
            word);
    } else {
        const struct cli_verb *verb = find_verb(word, err);
        return verb ? run_verb(verb, argc, argv, err) : err->code;
    }
    return ok ? TL_OK : err->code;
}

int main(int argc, char **argv)
{
    struct tl_err err = {0};
    cli_terminal_start();
    enum tl_code code = run(argc, argv, &err);
    if (!cli_flush(&err) && code == TL_OK) code = err.code;
    if (err.code && code != TL_OK) cli_complain("", err.text);
    if (code == TL_INTERRUPTED && tl_interrupt_signal()) return 128 + tl_interrupt_signal();
    return (int)code;
}
