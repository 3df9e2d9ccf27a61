/* The program: a table of verbs over the library. A verb is an option table that fills a params struct, and a
 * function that hands the struct to a job. Files here see include/tiller alone. */
#ifndef TILLER_CLI_H
#define TILLER_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>
#include <tiller/job.h>
#include <tiller/option.h>

/* What every verb takes. */
struct cli_common {
    const char *device;
    int threads;
    uint64_t seed;
    bool json, quiet, verbose, help;
};
extern const struct tl_option cli_common_options[];

/* More options, where they depend on the words (train --method NAME). */
struct cli_choice {
    const char *title; /* "Options of --method prdp" */
    const struct tl_option *table;
    void *params;        /* what the table fills; from malloc, owned by main.c */
    const void *context; /* the verb's own */
};

/* One call of a verb: what was parsed, valid until the verb returns. */
struct cli_call {
    const struct cli_common *common;
    struct tl_job job;              /* device, threads, seed, command line, progress: ready to hand on */
    struct tl_options *const *sets; /* common, the verb's own, then the chosen ones */
    size_t n_sets;
    const struct cli_choice *choice; /* empty where the verb has none */
    const char *const *args;         /* what is no option */
    size_t n_args;
};

struct cli_verb {
    const char *name, *help; /* one clause */
    const char *args;        /* "FILE_OR_FOLDER": how the usage line shows what is no option; "" for none */
    const char *required;    /* options that the usage line shows: "--input FILE -o FILE"; "" for none */
    size_t min_args, max_args;
    const char *examples;      /* lines, each ends with \n, without indent */
    const char *notes;         /* the same, below the usage line; NULL: none */
    const char *const *tables; /* of tiller/registry.h, whose rows the help shows; ends at NULL; NULL: none */
    const struct tl_option *options;
    void *params; /* what the options fill; static */
    /* Finds the choice; fails where the words make none. NULL: the verb has none. */
    bool (*choose)(const char *const *words, size_t n, struct cli_choice *out, struct tl_err *err);
    bool can_pause; /* the job asks tl_interrupted, so the first Ctrl-C is its to answer */
    /* The exit code; anything but TL_OK and TL_PARTIAL has err set. */
    enum tl_code (*run)(const struct cli_call *call, struct tl_err *err);
};

extern const struct cli_verb cli_sample, cli_steer, cli_train, cli_score, cli_reward, cli_inspect,
    cli_forward, cli_doctor, cli_list, cli_bench, cli_report, cli_convert, cli_merge, cli_embed, cli_stats;
extern const struct cli_verb *const cli_verbs[]; /* ends at NULL */

/* ---- cli_help.c ---- */
bool cli_help_program(struct tl_err *err);
/* choice: NULL, or an empty one, without. */
bool cli_help_verb(const struct cli_verb *verb, const struct cli_choice *choice, struct tl_err *err);

/* ---- cli_terminal.c ---- */

/* Opens what was closed of the three standard streams, ignores SIGPIPE, takes the library's log. */
void cli_terminal_start(void);
void cli_terminal_set(bool quiet, bool verbose, bool json);
/* Whether the stream shows colours: a terminal, and neither NO_COLOR nor TERM=dumb. */
bool cli_terminal_colours(int fd);

/* Text to standard output. True where the reader has gone (| head); TL_OUTPUT where it cannot be written. */
bool cli_print(const char *text, struct tl_err *err);
/* Prints and frees; NULL (a job that failed) gives false. */
bool cli_print_owned(char *text, struct tl_err *err);
bool cli_flush(struct tl_err *err);

/* One line to standard error, "tiller: " in front, control characters escaped. */
void cli_complain(const char *kind, const char *text);

/* The job's progress as one line that is drawn anew; only on a terminal, never with --quiet. */
void cli_progress(void *user, const struct tl_progress *progress);
void cli_progress_end(void);

#endif
