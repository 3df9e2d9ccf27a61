#include "run/guard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    bool has_start;
} metrics[TL_GUARD_METRICS] = {
    [TL_GUARD_REWARD] = {"reward", true},
    [TL_GUARD_HELD_OUT] = {"held_out", true},
    [TL_GUARD_DIVERSITY] = {"diversity", true},
    [TL_GUARD_KL] = {"kl", false},
    [TL_GUARD_CLIP_FRACTION] = {"clip_fraction", false},
    [TL_GUARD_REWARD_SPREAD] = {"reward_spread", false},
    [TL_GUARD_GRAD_NORM] = {"grad_norm", false},
};

const char *tl_guard_metric_name(enum tl_guard_metric metric)
{
    return metrics[metric].name;
}

static bool not_a_rule(const char *text, struct tl_err *err)
{
    char names[160] = "";
    for (int i = 0; i < TL_GUARD_METRICS; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", metrics[i].name);
    }
    return tl_err_set(err, TL_USAGE,
                      "'%.60s' is no rule: METRIC<LIMIT or METRIC>LIMIT is expected, such as 'kl>20' or "
                      "'held_out<95%%'; metrics: %s",
                      text, names);
}

bool tl_guard_parse(const char *text, struct tl_guard_rule *out, struct tl_err *err)
{
    size_t n = strcspn(text, "<>");
    while (n > 0 && text[n] && text[n - 1] == ' ') n--;
    const char *sign = text + strcspn(text, "<>");
    if (!*sign) return not_a_rule(text, err);
    int found = -1;
    for (int i = 0; i < TL_GUARD_METRICS; i++)
        if (strlen(metrics[i].name) == n && strncmp(metrics[i].name, text, n) == 0) found = i;
    char *end = NULL;
    double limit = strtod(sign + 1, &end);
    bool percent = *end == '%';
    if (found < 0 || end == sign + 1 || *(end + percent) || !isfinite(limit)) return not_a_rule(text, err);
    if (percent && !metrics[found].has_start)
        return tl_err_set(
            err, TL_USAGE,
            "'%.60s': %s is 0 for the untouched model, so a limit in %% says nothing; give a number", text,
            metrics[found].name);
    *out = (struct tl_guard_rule){(enum tl_guard_metric)found, *sign == '>', percent, limit};
    return true;
}

bool tl_guard_fires(const struct tl_guard_rule *rule, const struct tl_guard_readings *readings)
{
    const struct tl_guard_value *v = &readings->of[rule->metric];
    if (!v->known || (rule->percent && !v->has_start)) return false;
    /* of a negative start, 110 % lies above it, too: percents are of its size */
    double limit = rule->percent ? v->start + fabs(v->start) * (rule->limit / 100 - 1) : rule->limit;
    return rule->above ? v->now > limit : v->now < limit;
}

static bool fell(const struct tl_guard_value *v, double errors)
{
    return v->known && v->has_start && v->now < v->start - 0.1 * v->scale && v->z < -errors;
}

static bool rose(const struct tl_guard_value *v, double errors)
{
    return v->known && v->has_start && v->now > v->start + 0.1 * v->scale && v->z > errors;
}

size_t tl_guard_warnings(const struct tl_guard_readings *r, const char *restrain,
                         struct tl_guard_warning out[TL_GUARD_WARNINGS])
{
    const struct tl_guard_value *reward = &r->of[TL_GUARD_REWARD], *held = &r->of[TL_GUARD_HELD_OUT],
                                *diversity = &r->of[TL_GUARD_DIVERSITY],
                                *clip = &r->of[TL_GUARD_CLIP_FRACTION],
                                *spread = &r->of[TL_GUARD_REWARD_SPREAD], *kl = &r->of[TL_GUARD_KL];
    size_t n = 0;
#define WARN(KIND, ...)                                                                                      \
    do {                                                                                                     \
        out[n].kind = KIND;                                                                                  \
        snprintf(out[n].text, sizeof out[n].text, __VA_ARGS__);                                              \
        n++;                                                                                                 \
    } while (0)
    if (rose(reward, 2) && fell(held, 2))
        WARN("reward hacking",
             "the trained reward rose from %.4g to %.4g while the held-out one fell from %.4g to %.4g; take "
             "the "
             "best checkpoint, or try %s, a second --reward, fewer epochs",
             reward->start, reward->now, held->start, held->now, restrain);
    if (diversity->known && diversity->has_start && diversity->now < 0.5 * diversity->start)
        WARN("collapse",
             "pictures of one prompt became alike: their diversity fell from %.4g to %.4g; try %s, a lower "
             "--lr, or stop earlier",
             diversity->start, diversity->now, restrain);
    if (fell(reward, 3))
        WARN("divergence",
             "the trained reward fell from %.4g to %.4g (KL %.3g nats): the policy moves, but not uphill; "
             "try a "
             "lower --lr, a smaller --clip, more --samples-per-prompt",
             reward->start, reward->now, kl->known ? kl->now : 0.0);
    if (clip->known && clip->now > 0.5)
        WARN("clipping",
             "%.0f %% of all steps left their band: an epoch moves farther than --clip lets it learn from; "
             "try "
             "a lower --lr, fewer --passes or a wider --clip",
             100 * clip->now);
    if (spread->known && spread->now == 0)
        WARN(
            "no signal",
            "all pictures of every prompt got the same reward, so there was nothing to learn from; try other "
            "prompts, more --samples-per-prompt or another reward");
#undef WARN
    return n;
}
