/* What stands behind `exec:` : a command, then settings.
 *
 *     exec:./judge.py --model small,timeout=300,workers=2
 *
 * The command is cut into words at spaces, with '...', "..." and \ as in a shell, but no shell runs: $, *, ~
 * and | mean themselves. Settings stand behind it, each ",KEY=VALUE" with a KEY of the list below, outside
 * quotes; VALUE is without space and quote, or all of it stands in one pair of quotes (log='a file'). So an
 * argument of the program's own that ends like a setting is quoted, name and all. As with every reward, '@'
 * and a number at the very end are the weight, and in an ensemble '+' in front of a reward's name begins the
 * next member: quotes keep both, too ('a@2', "+"jpeg). */
#ifndef TL_REWARDS_EXEC_SPEC_H
#define TL_REWARDS_EXEC_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

struct tl_exec_spec {
    char **words; /* argv, NULL behind the last; owns, as all here */
    size_t n_words;
    char *program;    /* the file to run; NULL until it was found */
    bool from_path;   /* found by PATH: words[0] has no '/' */
    double timeout_s; /* for the answer to a request: 120 */
    double start_s;   /* from the start to the welcome: 30 */
    int workers;      /* processes: 1 */
    int retries;      /* times that a batch is sent again: 3 */
    size_t memory;    /* bytes of data of each process; 0: no limit */
    char *log;        /* where standard error goes; NULL: a file of its own, which goes if all went well */
};

/* "command,KEY=VALUE..." for messages and help. */
extern const char tl_exec_spec_argument[];

/* TL_USAGE; `arg` may be NULL. */
bool tl_exec_spec_parse(const char *arg, struct tl_exec_spec *out, struct tl_err *err);
/* Finds the program: a path is relative to the current folder, a bare name is looked up in PATH. TL_USAGE
 * where there is none that can be run. */
bool tl_exec_spec_find(struct tl_exec_spec *spec, struct tl_err *err);
void tl_exec_spec_finish(struct tl_exec_spec *spec);

#endif
