/* Options from the command line, over several tables at once. */
#include <stdlib.h>
#include <string.h>

#include "base/option_inner.h"
#include "base/str.h"

const struct tl_option *tl_option_find_in(struct tl_options *const *sets, size_t n_sets, const char *name,
                                          struct tl_options **out_set)
{
    for (size_t i = 0; i < n_sets; i++) {
        const struct tl_option *row = tl_option_find(sets[i]->table, name);
        if (!row) continue;
        *out_set = sets[i];
        return row;
    }
    return NULL;
}

static const struct tl_option *find_letter(struct tl_options *const *sets, size_t n_sets, char letter,
                                           struct tl_options **out_set)
{
    for (size_t i = 0; i < n_sets; i++) {
        for (const struct tl_option *row = sets[i]->table; row->name; row++) {
            if (row->letter != letter) continue;
            *out_set = sets[i];
            return row;
        }
    }
    return NULL;
}

bool tl_options_unknown(struct tl_options *const *sets, size_t n_sets, const char *name, const char *dashes,
                        struct tl_err *err)
{
    size_t n = 0, used = 0;
    for (size_t i = 0; i < n_sets; i++) {
        for (const struct tl_option *row = sets[i]->table; row->name; row++) n++;
    }
    const char **names = calloc(n + 1, sizeof *names);
    for (size_t i = 0; names && i < n_sets; i++) {
        for (const struct tl_option *row = sets[i]->table; row->name; row++) {
            if (row->help) names[used++] = row->name;
        }
    }
    char word[64] = "";
    strncat(word, name, sizeof word - 1);
    for (char *p = word; *p; p++) {
        if (*p == '_') *p = '-';
    }
    const char *near = names ? tl_str_nearest(word, names, used) : NULL;
    free((void *)names);
    if (near) {
        return tl_err_set(err, TL_USAGE, "%s%.80s is no option here; did you mean %s%s?", dashes, name,
                          dashes, near);
    }
    return tl_err_set(err, TL_USAGE, "%s%.80s is no option here; -h lists them", dashes, name);
}

bool tl_options_set_pair(struct tl_options *const *sets, size_t n_sets, const char *pair,
                         enum tl_option_source source, struct tl_err *err)
{
    const char *equals = strchr(pair, '=');
    char name[128] = "";
    size_t len = equals ? (size_t)(equals - pair) : 0;
    if (!len || len >= sizeof name) {
        return tl_err_set(err, TL_USAGE, "\"%.80s\" is no setting: write KEY=VALUE, as in steps=20", pair);
    }
    memcpy(name, pair, len);
    struct tl_options *set = NULL;
    if (!tl_option_find_in(sets, n_sets, name, &set)) return tl_options_unknown(sets, n_sets, name, "", err);
    return tl_option_set(set, name, equals + 1, source, err);
}

struct reader {
    struct tl_options *const *sets;
    size_t n_sets;
    const char *const *argv;
    size_t n, at; /* at: the next word */
    struct tl_err *err;
};

/* The value of the option just read: what is glued to it, else the next word. */
static const char *take_value(struct reader *r, const char *glued, const char *option, const char *meta)
{
    if (glued) return glued;
    if (r->at < r->n) return r->argv[r->at++];
    tl_err_set(r->err, TL_USAGE, "%s needs a value%s%s", option, meta ? ": " : "", meta ? meta : "");
    return NULL;
}

static bool parse_long(struct reader *r, const char *word)
{
    char name[128] = "";
    const char *equals = strchr(word, '='), *glued = equals ? equals + 1 : NULL;
    size_t len = equals ? (size_t)(equals - word) : strlen(word);
    if (len >= sizeof name) return tl_options_unknown(r->sets, r->n_sets, word + 2, "--", r->err);
    memcpy(name, word, len);
    const char *key = name + 2;
    struct tl_options *set = NULL;
    const struct tl_option *row = tl_option_find_in(r->sets, r->n_sets, key, &set);
    if (!row && !strcmp(key, "set")) {
        const char *pair = take_value(r, glued, name, "KEY=VALUE");
        return pair && tl_options_set_pair(r->sets, r->n_sets, pair, TL_FROM_COMMAND, r->err);
    }
    if (!row && !strncmp(key, "no-", 3) && !glued) {
        row = tl_option_find_in(r->sets, r->n_sets, key + 3, &set);
        if (row && row->type == TL_OPTION_TYPE_BOOL)
            return tl_option_set(set, row->name, "false", TL_FROM_COMMAND, r->err);
        row = NULL;
    }
    if (!row) return tl_options_unknown(r->sets, r->n_sets, key, "--", r->err);
    if (row->type == TL_OPTION_TYPE_BOOL && !glued) glued = "true";
    const char *value = take_value(r, glued, name, row->meta);
    return value && tl_option_set(set, row->name, value, TL_FROM_COMMAND, r->err);
}

static bool parse_short(struct reader *r, const char *word)
{
    struct tl_options *set = NULL;
    const struct tl_option *row = find_letter(r->sets, r->n_sets, word[1], &set);
    if (!row) return tl_err_set(r->err, TL_USAGE, "%.80s is no option here; -h lists them", word);
    const char option[3] = {'-', word[1], 0}, *glued = word[2] ? word + 2 : NULL;
    if (row->type == TL_OPTION_TYPE_BOOL) {
        if (glued)
            return tl_err_set(r->err, TL_USAGE, "%.80s: %s takes no value; write letters one by one", word,
                              option);
        glued = "true";
    }
    const char *value = take_value(r, glued, option, row->meta);
    return value && tl_option_set(set, row->name, value, TL_FROM_COMMAND, r->err);
}

bool tl_options_parse(struct tl_options *const *sets, size_t n_sets, const char *const *argv, size_t n,
                      const char **out_rest, size_t *out_n_rest, struct tl_err *err)
{
    struct reader r = {sets, n_sets, argv, n, 0, err};
    size_t n_rest = 0;
    bool options = true;
    while (r.at < n) {
        const char *word = argv[r.at++];
        if (options && !strcmp(word, "--")) {
            options = false;
        } else if (!options || word[0] != '-' || !word[1]) {
            out_rest[n_rest++] = word; /* "-" alone is an argument: standard input or output */
        } else if (!(word[1] == '-' ? parse_long(&r, word) : parse_short(&r, word))) {
            return false;
        }
    }
    *out_n_rest = n_rest;
    return true;
}
