/* Reward `ensemble`: its grammar, and the arithmetic of combining. The set does the rest.
 *
 * An ensemble of encoders is harder to fool than one of them (Eisenstein et al. 2023, Coste et al. 2023): min
 * and mean - k std hold back where a picture pleases some members only. */
#include "rewards/reward_ensemble.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rewards/spec.h"

/* ---- the grammar ---- */

static bool is_how(const char *text, size_t n, const char *name)
{
    return strlen(name) == n && memcmp(text, name, n) == 0;
}

/* "mean-std", "mean-0.5std": K in between. */
static bool read_mean_std(const char *text, size_t n, double *out_k)
{
    static const char head[] = "mean-", tail[] = "std";
    size_t used = sizeof head - 1 + sizeof tail - 1;
    if (n < used || memcmp(text, head, sizeof head - 1) != 0 ||
        memcmp(text + n - (sizeof tail - 1), tail, sizeof tail - 1) != 0)
        return false;
    *out_k = 1;
    return n == used || (tl_spec_number(text + sizeof head - 1, n - used, out_k) && *out_k >= 0);
}

static bool read_how(const char *text, size_t n, struct tl_combination *c, struct tl_err *err)
{
    static const char *const names[] = {"mean", "min", "median"};
    c->k = 0;
    for (int i = 0; i < 3; i++) {
        if (!is_how(text, n, names[i])) continue;
        c->how = i;
        return true;
    }
    c->how = TL_COMBINE_MEAN_STD;
    return read_mean_std(text, n, &c->k) ||
           tl_err_set(err, TL_USAGE,
                      "there is no way '%.*s' to combine rewards; there are mean, min, median, mean-std, "
                      "mean-Kstd (mean-0.5std)",
                      (int)n, text);
}

static bool begins_reward(const char *text, const struct tl_reward_class *const *classes)
{
    size_t n = strcspn(text, ":+");
    for (size_t i = 0; classes[i]; i++)
        if (is_how(text, n, classes[i]->info.name)) return true;
    return false;
}

static const char *end_of_member(const char *text, const struct tl_reward_class *const *classes)
{
    const char *plus = text;
    while ((plus = strchr(plus, '+')) != NULL)
        if (begins_reward(++plus, classes)) return plus - 1;
    return text + strlen(text);
}

static bool read_members(const char *text, const struct tl_reward_class *const *classes,
                         struct tl_combination *c, struct tl_err *err)
{
    c->members = calloc(TL_COMBINE_MOST, sizeof *c->members);
    if (!c->members) return tl_err_set(err, TL_FAIL, "out of memory");
    for (const char *end; *text; text = *end ? end + 1 : end) {
        end = end_of_member(text, classes);
        if (c->n == TL_COMBINE_MOST)
            return tl_err_set(err, TL_USAGE, "more than %d members", TL_COMBINE_MOST);
        char *member = strndup(text, (size_t)(end - text));
        if (!member) return tl_err_set(err, TL_FAIL, "out of memory");
        c->members[c->n++] = member;
    }
    return c->n >= 2 ||
           tl_err_set(err, TL_USAGE,
                      "an ensemble takes two rewards at least; write ensemble:%s:REWARD+REWARD, each "
                      "NAME[:ARG] (tiller list rewards)",
                      c->name);
}

bool tl_combination_parse(const char *arg, const struct tl_reward_class *const *classes,
                          struct tl_combination *out, struct tl_err *err)
{
    if (!arg) arg = "";
    size_t n = strcspn(arg, ":");
    *out = (struct tl_combination){0};
    if (!*arg)
        return tl_err_set(err, TL_USAGE,
                          "no rewards were named; write ensemble:HOW:REWARD+REWARD, HOW one "
                          "of mean, min, median, mean-std, mean-Kstd");
    bool ok = read_how(arg, n, out, err);
    if (ok) out->name = strndup(arg, n);
    ok = ok && (out->name || tl_err_set(err, TL_FAIL, "out of memory")) &&
         read_members(arg + n + (arg[n] == ':'), classes, out, err);
    if (!ok) tl_combination_finish(out);
    return ok;
}

void tl_combination_finish(struct tl_combination *c)
{
    for (size_t i = 0; i < c->n; i++) free(c->members[i]);
    free(c->members);
    free(c->name);
    *c = (struct tl_combination){0};
}

/* ---- the arithmetic ---- */

static double mean_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

/* Over n, not n - 1: the members are all there are. */
static double deviation_of(const double *x, size_t n)
{
    double mean = mean_of(x, n), sum = 0;
    for (size_t i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sqrt(sum / (double)n);
}

/* The member that has `rank` members below it; of equal ones the earlier is the lower. */
static size_t member_of_rank(const double *x, size_t n, size_t rank)
{
    for (size_t i = 0; i < n; i++) {
        size_t below = 0;
        for (size_t k = 0; k < n; k++) below += x[k] < x[i] || (x[k] == x[i] && k < i);
        if (below == rank) return i;
    }
    return 0;
}

double tl_combination_of(const struct tl_combination *c, const double *x, size_t n)
{
    switch (c->how) {
    case TL_COMBINE_MIN:
        return x[member_of_rank(x, n, 0)];
    case TL_COMBINE_MEDIAN:
        return (x[member_of_rank(x, n, (n - 1) / 2)] + x[member_of_rank(x, n, n / 2)]) / 2;
    case TL_COMBINE_MEAN_STD:
        return mean_of(x, n) - c->k * deviation_of(x, n);
    case TL_COMBINE_MEAN:
        break;
    }
    return mean_of(x, n);
}

void tl_combination_slopes(const struct tl_combination *c, const double *x, size_t n, double *out)
{
    double mean = mean_of(x, n), deviation = deviation_of(x, n);
    for (size_t i = 0; i < n; i++) {
        out[i] = c->how == TL_COMBINE_MEAN || c->how == TL_COMBINE_MEAN_STD ? 1 / (double)n : 0;
        if (c->how == TL_COMBINE_MEAN_STD && deviation > 0)
            out[i] -= c->k * (x[i] - mean) / ((double)n * deviation);
    }
    if (c->how == TL_COMBINE_MIN) out[member_of_rank(x, n, 0)] = 1;
    if (c->how == TL_COMBINE_MEDIAN) {
        out[member_of_rank(x, n, (n - 1) / 2)] += 0.5;
        out[member_of_rank(x, n, n / 2)] += 0.5;
    }
}

void tl_combination_range(const struct tl_combination *c, const double *low, const double *high, size_t n,
                          double *out_low, double *out_high)
{
    double least = low[0], most = high[0];
    if (c->how != TL_COMBINE_MEAN_STD) { /* never falls where a member rises */
        *out_low = tl_combination_of(c, low, n);
        *out_high = tl_combination_of(c, high, n);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        least = fmin(least, low[i]);
        most = fmax(most, high[i]);
    }
    *out_low = mean_of(low, n) - (c->k > 0 ? c->k * (most - least) / 2 : 0);
    *out_high = mean_of(high, n);
}

const struct tl_reward_class tl_reward_ensemble = {
    .info = {.name = "ensemble",
             .help = "several rewards by their mean, min, median or mean - K std, each standardised first",
             .argument = "HOW:REWARD+REWARD",
             .modality = "image",
             .kind = TL_REWARD_PER_ITEM,
             .has_gradient = true,
             .deterministic = true,
             .low = -INFINITY,
             .high = INFINITY},
    .members = tl_combination_parse,
};
