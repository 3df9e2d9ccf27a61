/* The reward of a score: what its row says, and its opening. */
#include <string.h>

#include "base/str.h"
#include "rewards/rewards.h"
#include "run/memory_plan.h"
#include "run/score_parts.h"

const struct tl_reward_info *tl_score_reward_info(const char *reward)
{
    size_t n = strcspn(reward, ":@");
    const struct tl_reward_info *info;
    for (size_t i = 0; (info = tl_reward_at(i)) != NULL; i++)
        if (strlen(info->name) == n && strncmp(info->name, reward, n) == 0) return info;
    return NULL;
}

/* By the table. Of an ensemble, "ensemble:HOW:REWARD+...", its first member's. */
static const char *modality_of(const char *reward)
{
    const struct tl_reward_info *info = tl_score_reward_info(reward);
    const char *member = info && strcmp(info->name, "ensemble") == 0 ? strchr(reward, ':') : NULL;
    member = member ? strchr(member + 1, ':') : NULL;
    if (member) {
        struct tl_str name = {0};
        tl_str_append_n(&name, member + 1, strcspn(member + 1, ":@+"));
        const struct tl_reward_info *first = name.len ? tl_score_reward_info(name.data) : NULL;
        if (first) info = first;
        tl_str_finish(&name);
    }
    return info ? info->modality : "image";
}

static bool has_pictures(const char *folder)
{
    struct tl_folder files = {0};
    struct tl_err ignored = {0};
    bool ok = tl_folder_open_any(folder, TL_MODALITY_IMAGE, TL_FOLDER_NO_CAPTIONS, &files, &ignored);
    tl_folder_finish(&files);
    return ok;
}

bool tl_score_reward_modality(struct tl_score_work *w, struct tl_err *err)
{
    const char *its = modality_of(w->params->metric);
    if (strcmp(its, "any") == 0) {
        if (!tl_score_reward_open(w, err)) return false;
        its = tl_reward_set_modality(w->reward);
        if (!its)
            return tl_err_set(err, TL_USAGE, "%s: one member takes pictures, another takes sounds",
                              w->params->metric);
        if (strcmp(its, "any") == 0) its = has_pictures(w->folder) ? "image" : "audio";
    }
    w->modality = strcmp(its, "audio") == 0 ? TL_MODALITY_AUDIO : TL_MODALITY_IMAGE;
    return true;
}

/* Whether ARG says the encoder already. */
static bool names_encoder(const char *reward, const struct tl_reward_info *info)
{
    return strstr(reward, info->encoder_key ? ",encoder=" : ":") != NULL;
}

/* Names of metrics over sets and of rewards. */
static bool unknown(const char *name, struct tl_err *err)
{
    enum { MOST = 64 };
    const char *names[MOST];
    struct tl_str all = {0};
    const struct tl_reward_info *info;
    const struct tl_metric_info *metric;
    size_t n = 0;
    for (size_t i = 0; n < MOST && (metric = tl_metric_at(i)) != NULL; i++)
        if (metric->kind != TL_METRIC_OF_PAIRS) names[n++] = metric->name;
    for (size_t i = 0; n < MOST && (info = tl_reward_at(i)) != NULL; i++) names[n++] = info->name;
    for (size_t i = 0; i < n; i++) tl_str_printf(&all, "%s%s", i ? ", " : "", names[i]);
    const char *near = tl_str_nearest(name, names, n);
    tl_err_set(err, TL_USAGE, "there is no metric '%s'; %s%s%s", name, near ? "did you mean " : "there are ",
               near       ? near
               : all.data ? all.data
                          : "none",
               near ? "?" : "");
    tl_str_finish(&all);
    return false;
}

static bool check_options(const struct tl_score_params *p, const char *name, struct tl_err *err)
{
    const struct {
        bool given;
        const char *option;
    } options[] = {{p->inf, "--inf"},
                   {p->indiv != NULL, "--indiv"},
                   {p->order != 0 && p->order != 1, "--order"},
                   {p->bandwidth != 0, "--bandwidth"}};
    for (size_t k = 0; k < sizeof options / sizeof *options; k++)
        if (options[k].given)
            return tl_err_set(err, TL_USAGE, "%s has no %s: it is a mean over files", name,
                              options[k].option);
    return p->n_folders == 1 ||
           tl_err_set(err, TL_USAGE, "%s is a mean over the files of one folder, and %zu are given", name,
                      p->n_folders);
}

bool tl_score_reward_check(const struct tl_score_params *p, struct tl_err *err)
{
    const struct tl_reward_info *info = tl_score_reward_info(p->metric);
    if (!info) return unknown(p->metric, err);
    bool named = names_encoder(p->metric, info);
    if (p->encoder && !info->needs_encoder)
        return tl_err_set(err, TL_USAGE, "reward %s has no --encoder", info->name);
    if (p->flavour && !info->has_flavours)
        return tl_err_set(err, TL_USAGE, "reward %s has no --flavour", info->name);
    if (p->encoder && named)
        return tl_err_set(err, TL_USAGE, "'%s' names its encoder already: leave out --encoder", p->metric);
    if (p->encoder && info->encoder_key && !strchr(p->metric, ':'))
        return tl_err_set(err, TL_USAGE, "%s needs more than an encoder: write %s:%s", info->name, info->name,
                          info->argument);
    if (info->needs_encoder && !p->encoder && !named)
        return tl_err_set(err, TL_USAGE, "%s needs an encoder: give --encoder FOLDER, or write %s:%s",
                          info->name, info->name, info->argument);
    return check_options(p, info->name, err);
}

/* NAME[:ENCODER][,flavour=NAME], or NAME:ARG,encoder=ENCODER; without an encoder a flavour is ARG's first
 * setting. The weight of 1 keeps an '@' of the folder's name a part of the name. */
static const char *spec_of(struct tl_score_work *w, const struct tl_reward_info *info, struct tl_err *err)
{
    const struct tl_score_params *p = w->params;
    if (!p->encoder && !p->flavour) return p->metric;
    const char *before = info && info->encoder_key ? ",encoder=" : ":";
    const char *flavour = !p->flavour ? "" : p->encoder || strchr(p->metric, ':') ? ",flavour=" : ":flavour=";
    const char *spec = tl_arena_printf(&w->row->arena, "%s%s%s%s%s@1", p->metric, p->encoder ? before : "",
                                       p->encoder ? p->encoder : "", flavour, p->flavour ? p->flavour : "");
    if (!spec) tl_err_set(err, TL_FAIL, "out of memory");
    return spec;
}

bool tl_score_reward_open(struct tl_score_work *w, struct tl_err *err)
{
    const struct tl_embed_keep *keep = NULL;
    const char *spec = spec_of(w, tl_score_reward_info(w->params->metric), err);
    if (!spec) return false;
    if (!w->params->no_cache) keep = tl_feature_keep_init(&w->keep, w->params->cache);
    struct tl_reward_set_params params = {.specs = &spec,
                                          .n_specs = 1,
                                          .raw = true,
                                          .device_name = w->job->device,
                                          .threads = w->job->threads,
                                          .dtype = tl_dtype_choices[w->params->dtype],
                                          .keep = keep};
    w->reward = tl_reward_set_open(&params, err);
    if (!w->reward) return false;
    w->n_parts = tl_reward_set_count(w->reward);
    for (size_t k = 0; k < w->n_parts; k++)
        w->of_set |= tl_reward_set_part(w->reward, k)->cls->info.kind == TL_REWARD_OF_SET;
    if (keep && tl_reward_set_embed_dim(w->reward)) w->known = w->reward;
    return true;
}
