/* Options: one table of rows serves the command line, config files, config.json and the help text.
 *
 *     struct job { int steps; double eta; const char *out; struct tl_strings reward; };
 *     static const struct tl_option job_options[] = {
 *         TL_OPTION_INT(struct job, steps, 0, "steps", "50", 1, 1000, "N", "denoising steps"),
 *         TL_OPTION_REAL(struct job, eta, 0, "eta", "0", 0, 1, "X", "share of fresh noise in a DDIM step"),
 *         TL_OPTION_STRING(struct job, out, 'o', "out", NULL, "FOLDER", "where the pictures go"),
 *         TL_OPTION_STRINGS(struct job, reward, 0, "reward", NULL, "NAME[:ARG][@WEIGHT]", "repeat it for a
 * sum"), {0},
 *     };
 *
 * Flags may follow the help clause: TL_OPTION_INT(..., "denoising steps", TL_OPTION_FREE).
 *
 * The macros refuse, at compile time, a field of another type than the row's. Names are written with dashes;
 * keys are found with dashes and underscores alike, and JSON gets underscores. Names need to be unique among
 * the tables that are used together.
 *
 * A value from a stronger source is never replaced by a weaker one, whatever the order of the calls: the
 * command line wins over a file, a file over the defaults. Errors are TL_USAGE, one line, with what was given
 * and what would do. Numbers are read and written with '.' whatever the locale. Not thread-safe. */
#ifndef TILLER_OPTION_H
#define TILLER_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

enum tl_option_type {
    TL_OPTION_TYPE_INT,     /* int */
    TL_OPTION_TYPE_REAL,    /* double; never NaN, infinite only where a limit is ("inf") */
    TL_OPTION_TYPE_BOOL,    /* bool; --name, --no-name, --name=false */
    TL_OPTION_TYPE_STRING,  /* const char *, NULL where there is no fallback */
    TL_OPTION_TYPE_STRINGS, /* struct tl_strings; each mention adds one. A fallback is one item */
    TL_OPTION_TYPE_ENUM,    /* int or an enum: the number of the name in `names` */
    TL_OPTION_TYPE_SEED,    /* uint64_t, decimal or 0x..; "random" draws one below 2^32 */
};

struct tl_strings {
    const char *const *items;
    size_t n;
};

enum tl_option_flag {
    /* A run that is resumed may be given another value: it changes where the run ends or what is told of it,
     * not what is learnt (a step count, an interval, a folder to write to). */
    TL_OPTION_FREE = 1,
    /* A path: another way to the same file is the same value, and one that has moved may be named anew. */
    TL_OPTION_PLACE = 2,
};

/* A row. The table ends at name NULL. min == max == 0: no limits but the type's own. A REAL row's min of
 * DBL_MIN means above 0. No fallback: 0, false, NULL, empty; such a row is shown without a default. */
struct tl_option {
    const char *name;
    char letter; /* short form on the command line, or 0 */
    enum tl_option_type type;
    size_t offset; /* of the field in the params struct */
    const char *fallback;
    double min, max;
    const char *const *names; /* ENUM: NULL-ended */
    const char *meta;         /* "N", "FILE": what the help calls the value */
    const char *help;         /* one clause; NULL hides the row from the help text */
    unsigned flags;
};

/* One row; what stands behind the help clause is its flags. */
#define TL_OPTION_ROW_(type_, offset_, letter_, name_, fallback_, min_, max_, names_, meta_, ...)            \
    {                                                                                                        \
        .name = name_, .letter = letter_, .type = TL_OPTION_TYPE_##type_, .offset = offset_,                 \
        .fallback = fallback_, .min = min_, .max = max_, .names = names_, .meta = meta_, .help = __VA_ARGS__ \
    }
#define TL_OPTION_TEXT_OFFSET_(s, field) _Generic(((s *)0)->field, const char * : offsetof(s, field))
#define TL_OPTION_INT(s, field, letter, name, fallback, min, max, meta, ...)                                 \
    TL_OPTION_ROW_(INT,                                                                                      \
                   _Generic(((s *)0)->field, int                                                             \
                            : offsetof(s, field)),                                                           \
                   letter, name, fallback, min, max, NULL, meta, __VA_ARGS__)
#define TL_OPTION_REAL(s, field, letter, name, fallback, min, max, meta, ...)                                \
    TL_OPTION_ROW_(REAL,                                                                                     \
                   _Generic(((s *)0)->field, double                                                          \
                            : offsetof(s, field)),                                                           \
                   letter, name, fallback, min, max, NULL, meta, __VA_ARGS__)
#define TL_OPTION_BOOL(s, field, letter, name, fallback, ...)                                                \
    TL_OPTION_ROW_(BOOL,                                                                                     \
                   _Generic(((s *)0)->field, bool                                                            \
                            : offsetof(s, field)),                                                           \
                   letter, name, fallback, 0, 0, NULL, NULL, __VA_ARGS__)
#define TL_OPTION_STRING(s, field, letter, name, fallback, meta, ...)                                        \
    TL_OPTION_ROW_(STRING, TL_OPTION_TEXT_OFFSET_(s, field), letter, name, fallback, 0, 0, NULL, meta,       \
                   __VA_ARGS__)
#define TL_OPTION_STRINGS(s, field, letter, name, fallback, meta, ...)                                       \
    TL_OPTION_ROW_(STRINGS,                                                                                  \
                   _Generic(((s *)0)->field, struct tl_strings                                               \
                            : offsetof(s, field)),                                                           \
                   letter, name, fallback, 0, 0, NULL, meta, __VA_ARGS__)
#define TL_OPTION_ENUM(s, field, letter, name, fallback, names, ...)                                         \
    TL_OPTION_ROW_(ENUM,                                                                                     \
                   _Generic(((s *)0)->field, int                                                             \
                            : offsetof(s, field), unsigned                                                   \
                            : offsetof(s, field)),                                                           \
                   letter, name, fallback, 0, 0, names, NULL, __VA_ARGS__)
#define TL_OPTION_SEED(s, field, letter, name, fallback, ...)                                                \
    TL_OPTION_ROW_(SEED,                                                                                     \
                   _Generic(((s *)0)->field, uint64_t                                                        \
                            : offsetof(s, field)),                                                           \
                   letter, name, fallback, 0, 0, NULL, "N", __VA_ARGS__)

/* Weakest first. */
enum tl_option_source { TL_FROM_DEFAULT, TL_FROM_FILE, TL_FROM_COMMAND };

/* A table bound to a params struct. Owns the strings that the params point to: destroy it after the last use
 * of them. Table and params are borrowed and outlive it. */
struct tl_options;

/* Sets every field to its fallback. A fallback that breaks its own row is TL_FAIL. */
struct tl_options *tl_options_create(const struct tl_option *table, void *params, struct tl_err *err);
void tl_options_destroy(struct tl_options **options);

/* One value by text. A list grows while the source stays the same and starts anew when a stronger source
 * first speaks. */
bool tl_option_set(struct tl_options *options, const char *name, const char *text,
                   enum tl_option_source source, struct tl_err *err);

/* The table that they are bound to. */
const struct tl_option *tl_options_table(const struct tl_options *options);

/* The row, or NULL. */
const struct tl_option *tl_option_find(const struct tl_option *table, const char *name);

/* Where the value comes from; unknown names: TL_FROM_DEFAULT. */
enum tl_option_source tl_option_source_of(const struct tl_options *options, const char *name);

/* The current value of a row as text that tl_option_set would take (a list: joined by ", "). The caller
 * frees; NULL if out of memory. NULL strings give "". */
char *tl_option_text(const struct tl_options *options, const struct tl_option *option);

/* ---- several tables at once: what all verbs have, then the verb's own ---- */

/* "key=value", as `--set` has it. */
bool tl_options_set_pair(struct tl_options *const *sets, size_t n_sets, const char *pair,
                         enum tl_option_source source, struct tl_err *err);

/* Records an unknown key, naming the nearest that exists. Always false. `dashes` is "--" for the command
 * line, "" for keys. */
bool tl_options_unknown(struct tl_options *const *sets, size_t n_sets, const char *name, const char *dashes,
                        struct tl_err *err);

/* A command line without the program's and the verb's name: --name VALUE, --name=VALUE, -n VALUE, -nVALUE,
 * --set KEY=VALUE,
 * "--" ends the options. What is no option goes to out_rest, an array of n pointers of the caller's, borrowed
 * from argv. */
bool tl_options_parse(struct tl_options *const *sets, size_t n_sets, const char *const *argv, size_t n,
                      const char **out_rest, size_t *out_n_rest, struct tl_err *err);

/* The table as help text, a row each, 100 columns at most where the words allow it. The caller frees; NULL if
 * out of memory. */
char *tl_option_help(const struct tl_option *table);

#endif
