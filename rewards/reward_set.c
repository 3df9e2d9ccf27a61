/* Several rewards as one: opening them, what they are, embeddings. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "rewards/reward_set.h"

/* ---- opening ---- */

static bool read_dtype(const char *name, enum tl_dtype *out, struct tl_err *err)
{
    static const enum tl_dtype known[] = {TL_F32, TL_F16, TL_BF16};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        *out = known[i];
        if (!name || strcmp(name, tl_dtype_name(known[i])) == 0) return true;
    }
    return tl_err_set(err, TL_USAGE, "encoders cannot be kept as '%s'; there are f32, f16, bf16", name);
}

static bool open_device(struct tl_reward_set *s, const struct tl_reward_set_params *params,
                        struct tl_err *err)
{
    if (s->device) return true;
    s->own = tl_device_open(
        &(struct tl_device_params){.name = params->device_name, .threads = params->threads}, err);
    s->device = s->own;
    return s->device != NULL;
}

/* A reward of its own, or a member. arg may be NULL. */
static bool open_part(struct tl_reward_set *s, const struct tl_reward_class *cls, const char *arg,
                      const struct tl_reward_set_params *params, struct tl_err *err)
{
    struct tl_str text = {0};
    struct tl_reward_part *more = realloc(s->parts, (s->n + 1) * sizeof *more);
    if (!more) return tl_err_set(err, TL_FAIL, "out of memory");
    s->parts = more;
    struct tl_reward_part *p = &s->parts[s->n++];
    *p = (struct tl_reward_part){.term = s->n_terms - 1};
    tl_str_printf(&text, "%s%s%s", cls->info.name, arg ? ":" : "", arg ? arg : "");
    p->text = text.data; /* moved */
    if (text.failed || !p->text) return tl_err_set(err, TL_FAIL, "out of memory");
    if (cls->info.needs_encoder && !open_device(s, params, err)) return false;
    const struct tl_reward_env env = {.device = cls->info.needs_encoder ? s->device : NULL,
                                      .dtype = s->dtype,
                                      .keep = s->keep,
                                      .plans_only = s->device && s->device->plans_only};
    p->reward = cls->open(&env, arg, err);
    /* Of several programs it matters which. */
    const char *name = cls->info.needs_encoder ? cls->info.name : p->text;
    return p->reward || tl_err_add(err, "reward %.200s", name);
}

static bool open_member(struct tl_reward_set *s, const char *text,
                        const struct tl_reward_class *const *classes,
                        const struct tl_reward_set_params *params, struct tl_err *err)
{
    size_t n = strcspn(text, ":");
    char *name = strndup(text, n);
    if (!name) return tl_err_set(err, TL_FAIL, "out of memory");
    const struct tl_reward_class *cls = tl_reward_class_find(classes, name, err);
    free(name);
    if (cls && cls->members)
        return tl_err_set(err, TL_USAGE, "an ensemble's members are single rewards, not %s", cls->info.name);
    return cls && open_part(s, cls, text[n] ? text + n + 1 : NULL, params, err);
}

static bool open_term(struct tl_reward_set *s, const struct tl_reward_class *const *classes,
                      const struct tl_reward_set_params *params, const char *text, struct tl_err *err)
{
    struct tl_reward_term *t = &s->terms[s->n_terms++];
    t->first = s->n;
    if (!tl_reward_spec_parse(text, &t->spec, err)) return false;
    t->cls = tl_reward_class_find(classes, t->spec.name, err);
    if (!t->cls) return false;
    t->text = strndup(text, strlen(t->spec.name) + (t->spec.arg ? strlen(t->spec.arg) + 1 : 0));
    if (!t->text) return tl_err_set(err, TL_FAIL, "out of memory");
    bool ok = true;
    if (t->cls->members) {
        ok = t->cls->members(t->spec.arg, classes, &t->combine, err);
        for (size_t i = 0; ok && i < t->combine.n; i++)
            ok = open_member(s, t->combine.members[i], classes, params, err);
        if (!ok) tl_err_add(err, "reward %s", t->spec.name);
    } else {
        ok = open_part(s, t->cls, t->spec.arg, params, err);
    }
    t->n = s->n - t->first;
    return ok;
}

struct tl_reward_set *tl_reward_set_open_among(const struct tl_reward_class *const *classes,
                                               const struct tl_reward_set_params *params, struct tl_err *err)
{
    if (!params->n_specs) {
        tl_err_set(err, TL_USAGE, "no reward was named; write NAME[:ARG][@WEIGHT]");
        return NULL;
    }
    struct tl_reward_set *s = calloc(1, sizeof *s);
    bool ok = s != NULL;
    if (ok) {
        *s = (struct tl_reward_set){.raw = params->raw, .device = params->device, .keep = params->keep};
        s->terms = calloc(params->n_specs, sizeof *s->terms);
        ok = s->terms != NULL;
    }
    if (!ok) tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && read_dtype(params->dtype, &s->dtype, err);
    for (size_t k = 0; ok && k < params->n_specs; k++)
        ok = open_term(s, classes, params, params->specs[k], err);
    if (ok) {
        s->standard = calloc(s->n, sizeof *s->standard);
        ok = s->standard || tl_err_set(err, TL_FAIL, "out of memory");
    }
    if (!ok) tl_reward_set_close(&s);
    return s;
}

struct tl_reward_set *tl_reward_set_open(const struct tl_reward_set_params *params, struct tl_err *err)
{
    return tl_reward_set_open_among(tl_reward_classes, params, err);
}

void tl_reward_set_close(struct tl_reward_set **set)
{
    struct tl_reward_set *s = *set;
    if (!s) return;
    for (size_t k = 0; k < s->n; k++) {
        struct tl_reward *r = s->parts[k].reward;
        if (r && r->cls->hang_up) r->cls->hang_up(r);
    }
    for (size_t k = 0; k < s->n; k++) {
        if (s->parts[k].reward) s->parts[k].reward->cls->close(s->parts[k].reward);
        free(s->parts[k].text);
    }
    for (size_t t = 0; t < s->n_terms; t++) {
        tl_combination_finish(&s->terms[t].combine);
        tl_reward_spec_finish(&s->terms[t].spec);
        free(s->terms[t].text);
    }
    tl_device_close(&s->own);
    free(s->parts);
    free(s->terms);
    free(s->standard);
    free(s);
    *set = NULL;
}

/* ---- what is in it ---- */

size_t tl_reward_set_count(const struct tl_reward_set *set)
{
    return set->n;
}

size_t tl_reward_set_count_terms(const struct tl_reward_set *set)
{
    return set->n_terms;
}

bool tl_reward_set_needs_prompts(const struct tl_reward_set *set)
{
    for (size_t k = 0; k < set->n; k++)
        if (tl_reward_info_of(set->parts[k].reward)->needs_prompt) return true;
    return false;
}

const char *tl_reward_set_modality(const struct tl_reward_set *set)
{
    const char *all = "any";
    for (size_t k = 0; k < set->n; k++) {
        const char *its = tl_reward_info_of(set->parts[k].reward)->modality;
        if (!its || strcmp(its, "any") == 0 || strcmp(its, all) == 0) continue;
        if (strcmp(all, "any") != 0) return NULL;
        all = its;
    }
    return all;
}

bool tl_reward_set_knows(const struct tl_reward_set *set, const char *sha256)
{
    const struct tl_reward_item item = {.sha256 = sha256};
    for (size_t k = 0; k < set->n; k++) {
        const struct tl_reward *r = set->parts[k].reward;
        if (!r->cls->knows || !r->cls->knows(r, &item)) return false;
    }
    return true;
}

struct tl_reward *tl_reward_set_part(struct tl_reward_set *set, size_t k)
{
    return set->parts[k].reward;
}

/* All that is known without reading files. */
static void about_whole(const struct tl_reward_term *t, size_t number, struct tl_reward_about *out)
{
    *out = (struct tl_reward_about){.info = &t->cls->info,
                                    .spec = t->text,
                                    .weight = t->spec.weight,
                                    .variant = t->combine.name,
                                    .low = t->cls->info.low,
                                    .high = t->cls->info.high,
                                    .term = number,
                                    .first = t->first,
                                    .n = t->n};
}

bool tl_reward_set_about(const struct tl_reward_set *set, size_t k, struct tl_reward_about *out,
                         struct tl_err *err)
{
    const struct tl_reward_part *p = &set->parts[k];
    const struct tl_reward_class *cls = p->reward->cls;
    about_whole(&set->terms[p->term], p->term, out);
    out->info = tl_reward_info_of(p->reward);
    out->spec = p->text;
    out->variant = NULL;
    out->low = out->info->low;
    out->high = out->info->high;
    return !cls->about || cls->about(p->reward, out, err) || tl_err_add(err, "reward %s", p->text);
}

const char *tl_reward_set_spec(const struct tl_reward_set *set, size_t k, double *out_weight)
{
    *out_weight = set->terms[set->parts[k].term].spec.weight;
    return set->parts[k].text;
}

bool tl_reward_set_about_term(const struct tl_reward_set *set, size_t number, struct tl_reward_about *out,
                              struct tl_err *err)
{
    const struct tl_reward_term *t = &set->terms[number];
    double low[TL_COMBINE_MOST], high[TL_COMBINE_MOST];
    if (!t->cls->members) return tl_reward_set_about(set, t->first, out, err);
    for (size_t i = 0; i < t->n; i++) {
        if (!tl_reward_set_about(set, t->first + i, out, err)) return false;
        low[i] = out->low;
        high[i] = out->high;
    }
    about_whole(t, number, out);
    tl_combination_range(&t->combine, low, high, t->n, &out->low, &out->high);
    return true;
}

/* ---- embeddings ---- */

static struct tl_reward *embedder(const struct tl_reward_set *set)
{
    for (size_t k = 0; k < set->n; k++)
        if (set->parts[k].reward->cls->embed) return set->parts[k].reward;
    return NULL;
}

size_t tl_reward_set_embed_dim(const struct tl_reward_set *set)
{
    const struct tl_reward *r = embedder(set);
    return r ? r->cls->embed_dim(r) : 0;
}

bool tl_reward_set_embed(struct tl_reward_set *set, const struct tl_reward_item *items, size_t n, float *out,
                         struct tl_err *err)
{
    struct tl_reward *r = embedder(set);
    if (!r)
        return tl_err_set(err, TL_USAGE,
                          "none of the rewards has an encoder of samples; clip, aesthetic and clap have one");
    if (!tl_reward_check_modality(r, items, n, err) || !r->cls->embed(r, items, n, out, err)) return false;
    size_t dim = r->cls->embed_dim(r);
    for (size_t i = 0; i < n * dim; i++) {
        if (isfinite(out[i])) continue;
        tl_err_set(err, TL_NUMERIC, "the embedding has a value %g", (double)out[i]);
        return tl_reward_item_err(items, i / dim, err);
    }
    return true;
}
