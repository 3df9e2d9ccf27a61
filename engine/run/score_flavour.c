#include "run/score_flavour.h"

#include <string.h>

#include "base/str.h"

struct word {
    const char *at;
    size_t n;
};

/* The setting "key=..." of `settings`, "key=value,key=value"; n 0 where there is none. */
static struct word setting_of(const char *settings, const char *key, size_t key_n)
{
    for (const char *at = settings; *at;) {
        size_t n = strcspn(at, ",");
        if (n > key_n && at[key_n] == '=' && strncmp(at, key, key_n) == 0) return (struct word){at, n};
        at += n + (at[n] != 0);
    }
    return (struct word){NULL, 0};
}

/* How many of the way's settings the encoder's spec has, has otherwise, has not. */
struct fit {
    int same, other, absent;
    struct word wanted, found; /* the first that differ */
    struct tl_str missing;     /* ",key=value" of those that are absent; the caller finishes */
};

static struct fit fit_of(const char *spec, const char *settings)
{
    struct fit f = {0};
    for (const char *at = settings; *at;) {
        size_t n = strcspn(at, ",");
        struct word have = setting_of(spec, at, strcspn(at, "="));
        if (!have.n) {
            f.absent++;
            tl_str_printf(&f.missing, ",%.*s", (int)n, at);
        } else if (have.n == n && strncmp(have.at, at, n) == 0) {
            f.same++;
        } else if (f.other++ == 0) {
            f.wanted = (struct word){at, n};
            f.found = have;
        }
        at += n + (at[n] != 0);
    }
    return f;
}

/* The way's settings for this class of encoders; NULL. */
static const char *settings_of(const struct tl_metric_way *way, const char *encoder)
{
    for (int k = 0; k < TL_METRIC_MOST_SETTINGS && way->settings[k].encoder; k++)
        if (strcmp(way->settings[k].encoder, encoder) == 0) return way->settings[k].setting;
    return NULL;
}

bool tl_score_flavour_apply(struct tl_score_flavour *s, struct tl_arena *arena, const char *encoder,
                            const char **spec, struct tl_err *err)
{
    const char *settings = settings_of(s->way, encoder), *flavour = s->way->flavour.name;
    s->is_deaf = !settings && s->way->settings[0].encoder;
    s->told = s->is_deaf && s->way->is_input ? NULL : flavour;
    if (!settings) return true;
    struct fit f = fit_of(*spec, settings);
    bool ok = !f.other;
    if (!ok)
        tl_err_set(err, TL_USAGE,
                   "flavour %s means %.*s, and the encoder is given %.*s: leave one of them out", flavour,
                   (int)f.wanted.n, f.wanted.at, (int)f.found.n, f.found.at);
    else if (f.absent &&
             !(*spec = tl_arena_printf(arena, "%s%s", *spec, f.missing.failed ? "" : f.missing.data)))
        ok = tl_err_set(err, TL_FAIL, "out of memory");
    tl_str_finish(&f.missing);
    return ok;
}

bool tl_score_flavour_find(struct tl_score_flavour *s, struct tl_arena *arena, const char *encoder,
                           const char *spec, struct tl_err *err)
{
    const char *own = settings_of(s->way, encoder), *implied = NULL;
    bool is_default = true;
    if (own) {
        struct fit f = fit_of(spec, own);
        is_default = !f.other;
        tl_str_finish(&f.missing);
    }
    for (const struct tl_metric_way *w = s->metric->ways; w->flavour.name && !implied; w++) {
        const char *settings = w == s->way ? NULL : settings_of(w, encoder);
        if (!settings) continue;
        struct fit f = fit_of(spec, settings);
        if (f.same && !f.other && !f.absent) implied = w->flavour.name;
        tl_str_finish(&f.missing);
    }
    bool has_name = is_default && (own || !s->way->is_input);
    s->told = has_name ? s->way->flavour.name : implied;
    if (!s->way->is_input && implied)
        s->told = tl_arena_printf(arena, "%s, input of %s", s->way->flavour.name, implied);
    return !implied || s->told || tl_err_set(err, TL_FAIL, "out of memory");
}

void tl_score_flavour_of_rows(struct tl_score_flavour *s, bool is_given)
{
    s->told = s->way->is_input ? NULL : s->way->flavour.name;
    s->is_deaf = is_given && s->way->settings[0].encoder;
}
