/* Several rewards as one: opening, scoring, the weighted sum of standardised scores. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "metrics/stats.h"
#include "rewards/rewards.h"

struct part {
    struct tl_reward_spec spec;
    char *text;               /* NAME[:ARG]; owns */
    struct tl_reward *reward; /* owns */
};

struct tl_reward_set {
    struct part *parts;
    size_t n;
    bool raw, is_standard;
    struct tl_reward_standard *standard; /* [n] */
    struct tl_device *device;            /* what the rewards use; may be NULL */
    struct tl_device *own;               /* the same where the set opened it */
    enum tl_dtype dtype;                 /* of encoders' weights */
};

/* A batch under way: a part's scores are there already, or its ticket is. */
struct tl_reward_batch {
    struct tl_reward_set *set;
    const struct tl_reward_item *items; /* borrowed until collected */
    size_t n;
    double *scores; /* [n_parts][n] */
    void **tickets; /* [n_parts]; NULL where the scores are there */
};

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

static bool open_part(struct tl_reward_set *s, struct part *p, const struct tl_reward_class *const *classes,
                      const struct tl_reward_set_params *params, const char *spec, struct tl_err *err)
{
    if (!tl_reward_spec_parse(spec, &p->spec, err)) return false;
    const struct tl_reward_class *cls = tl_reward_class_find(classes, p->spec.name, err);
    if (!cls) return false;
    size_t n = strlen(p->spec.name) + (p->spec.arg ? strlen(p->spec.arg) + 1 : 0);
    p->text = strndup(spec, n);
    if (!p->text) return tl_err_set(err, TL_FAIL, "out of memory");
    if (cls->info.needs_encoder && !s->device) {
        s->own = tl_device_open(
            &(struct tl_device_params){.name = params->device_name, .threads = params->threads}, err);
        s->device = s->own;
        if (!s->device) return false;
    }
    const struct tl_reward_env env = {cls->info.needs_encoder ? s->device : NULL, s->dtype};
    p->reward = cls->open(&env, p->spec.arg, err);
    return p->reward || tl_err_add(err, "reward %s", p->spec.name);
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
        *s = (struct tl_reward_set){.raw = params->raw, .device = params->device};
        s->parts = calloc(params->n_specs, sizeof *s->parts);
        s->standard = calloc(params->n_specs, sizeof *s->standard);
        ok = s->parts && s->standard;
    }
    if (!ok) tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && read_dtype(params->dtype, &s->dtype, err);
    for (size_t k = 0; ok && k < params->n_specs; k++) {
        s->n = k + 1;
        ok = open_part(s, &s->parts[k], classes, params, params->specs[k], err);
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
        if (s->parts[k].reward) s->parts[k].reward->cls->close(s->parts[k].reward);
        tl_reward_spec_finish(&s->parts[k].spec);
        free(s->parts[k].text);
    }
    tl_device_close(&s->own);
    free(s->parts);
    free(s->standard);
    free(s);
    *set = NULL;
}

size_t tl_reward_set_count(const struct tl_reward_set *set)
{
    return set->n;
}

struct tl_reward *tl_reward_set_part(struct tl_reward_set *set, size_t k)
{
    return set->parts[k].reward;
}

bool tl_reward_set_about(const struct tl_reward_set *set, size_t k, struct tl_reward_about *out,
                         struct tl_err *err)
{
    const struct part *p = &set->parts[k];
    const struct tl_reward_class *cls = p->reward->cls;
    *out = (struct tl_reward_about){.info = &cls->info,
                                    .spec = p->text,
                                    .weight = p->spec.weight,
                                    .low = cls->info.low,
                                    .high = cls->info.high};
    return !cls->about || cls->about(p->reward, out, err) || tl_err_add(err, "reward %s", p->text);
}

/* ---- scoring ---- */

/* Every score is finite, or an error that names its item. */
static bool check_scores(const struct tl_reward_batch *b, size_t k, struct tl_err *err)
{
    const double *x = b->scores + k * b->n;
    for (size_t i = 0; i < b->n; i++) {
        if (isfinite(x[i])) continue;
        tl_err_set(err, TL_NUMERIC, "the score is %g", x[i]);
        if (b->set->parts[k].reward->cls->info.kind != TL_REWARD_OF_SET) tl_reward_item_err(b->items, i, err);
        return tl_err_add(err, "reward %s", b->set->parts[k].text);
    }
    return true;
}

/* A whole set's one number stands for each of its samples. */
static void spread(const struct tl_reward_batch *b, size_t k)
{
    double *x = b->scores + k * b->n;
    if (b->set->parts[k].reward->cls->info.kind != TL_REWARD_OF_SET) return;
    for (size_t i = 1; i < b->n; i++) x[i] = x[0];
}

static bool submit_part(struct tl_reward_batch *b, size_t k, struct tl_err *err)
{
    struct tl_reward *r = b->set->parts[k].reward;
    double *out = b->scores + k * b->n;
    if (r->cls->submit) {
        b->tickets[k] = r->cls->submit(r, b->items, b->n, err);
        return b->tickets[k] || tl_err_add(err, "reward %s", b->set->parts[k].text);
    }
    if (!r->cls->score(r, b->items, b->n, out, err))
        return tl_err_add(err, "reward %s", b->set->parts[k].text);
    return true;
}

struct tl_reward_batch *tl_reward_set_submit(struct tl_reward_set *set, const struct tl_reward_item *items,
                                             size_t n, struct tl_err *err)
{
    size_t n_scores = 0;
    if (n == 0) {
        tl_err_set(err, TL_USAGE, "no samples to score");
        return NULL;
    }
    struct tl_reward_batch *b = calloc(1, sizeof *b);
    if (b && tl_checked_mul(n, set->n, &n_scores)) {
        *b = (struct tl_reward_batch){.set = set, .items = items, .n = n};
        b->scores = calloc(n_scores, sizeof *b->scores);
        b->tickets = calloc(set->n, sizeof *b->tickets);
    }
    bool ok = b && b->scores && b->tickets;
    if (!ok) tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t k = 0; ok && k < set->n; k++) ok = submit_part(b, k, err);
    if (!ok) tl_reward_batch_drop(&b);
    return b;
}

void tl_reward_batch_drop(struct tl_reward_batch **batch)
{
    struct tl_reward_batch *b = *batch;
    if (!b) return;
    for (size_t k = 0; b->tickets && k < b->set->n; k++) {
        struct tl_reward *r = b->set->parts[k].reward;
        if (b->tickets[k]) r->cls->collect(r, b->tickets[k], NULL, NULL);
    }
    free(b->scores);
    free(b->tickets);
    free(b);
    *batch = NULL;
}

static double standardised(const struct tl_reward_set *s, size_t k, double score)
{
    if (s->raw || s->n == 1) return score;
    return (score - s->standard[k].mean) / s->standard[k].deviation;
}

static void write_results(const struct tl_reward_batch *b, double *out_total, double *out_parts)
{
    const struct tl_reward_set *s = b->set;
    for (size_t i = 0; i < b->n; i++) {
        double total = 0;
        for (size_t k = 0; k < s->n; k++) {
            double score = b->scores[k * b->n + i];
            total += s->parts[k].spec.weight * standardised(s, k, score);
            if (out_parts) out_parts[i * s->n + k] = score;
        }
        if (out_total) out_total[i] = total;
    }
}

bool tl_reward_batch_collect(struct tl_reward_batch **batch, double *out_total, double *out_parts,
                             struct tl_err *err)
{
    struct tl_reward_batch *b = *batch;
    bool ok = !out_total || !tl_reward_set_needs_standard(b->set) ||
              tl_err_set(err, TL_FAIL, "several rewards are summed, but were not standardised yet");
    for (size_t k = 0; ok && k < b->set->n; k++) {
        struct tl_reward *r = b->set->parts[k].reward;
        void *ticket = b->tickets[k];
        b->tickets[k] = NULL;
        if (ticket)
            ok = r->cls->collect(r, ticket, b->scores + k * b->n, err) ||
                 tl_err_add(err, "reward %s", b->set->parts[k].text);
        if (ok) spread(b, k);
        ok = ok && check_scores(b, k, err);
    }
    if (ok) write_results(b, out_total, out_parts);
    tl_reward_batch_drop(batch);
    return ok;
}

bool tl_reward_set_score(struct tl_reward_set *set, const struct tl_reward_item *items, size_t n,
                         double *out_total, double *out_parts, struct tl_err *err)
{
    struct tl_reward_batch *b = tl_reward_set_submit(set, items, n, err);
    return b && tl_reward_batch_collect(&b, out_total, out_parts, err);
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
                          "none of the rewards has an encoder of pictures; clip and aesthetic have one");
    if (!r->cls->embed(r, items, n, out, err)) return false;
    size_t dim = r->cls->embed_dim(r);
    for (size_t i = 0; i < n * dim; i++) {
        if (isfinite(out[i])) continue;
        tl_err_set(err, TL_NUMERIC, "the embedding has a value %g", (double)out[i]);
        return tl_reward_item_err(items, i / dim, err);
    }
    return true;
}

/* ---- standardisation ---- */

bool tl_reward_set_needs_standard(const struct tl_reward_set *set)
{
    return set->n > 1 && !set->raw && !set->is_standard;
}

const struct tl_reward_standard *tl_reward_set_standards(const struct tl_reward_set *set)
{
    return set->is_standard ? set->standard : NULL;
}

double tl_reward_set_slope(const struct tl_reward_set *set, size_t k)
{
    double w = set->parts[k].spec.weight;
    return set->raw || set->n == 1 || !set->is_standard ? w : w / set->standard[k].deviation;
}

bool tl_reward_set_standardise(struct tl_reward_set *set, const struct tl_reward_standard *standards,
                               struct tl_err *err)
{
    for (size_t k = 0; k < set->n; k++) {
        double mean = standards[k].mean, deviation = standards[k].deviation;
        if (isfinite(mean) && isfinite(deviation) && deviation > 0) continue;
        return tl_err_set(err, TL_NUMERIC,
                          "reward %s has mean %g and deviation %g on the samples of the untouched model: it "
                          "cannot be standardised; leave it out, or sum the rewards as they are (raw)",
                          set->parts[k].text, mean, deviation);
    }
    memcpy(set->standard, standards, set->n * sizeof *standards);
    set->is_standard = true;
    return true;
}

bool tl_reward_set_measure(struct tl_reward_set *set, const double *parts, size_t n, struct tl_err *err)
{
    if (n < 2) return tl_err_set(err, TL_USAGE, "standardising rewards takes two samples at least");
    double *x = calloc(n, sizeof *x);
    struct tl_reward_standard *found = calloc(set->n, sizeof *found);
    bool ok = (x && found) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t k = 0; ok && k < set->n; k++) {
        for (size_t i = 0; i < n; i++) x[i] = parts[i * set->n + k];
        found[k] = (struct tl_reward_standard){tl_stats_mean(x, n), tl_stats_sd(x, n)};
        /* Rounding alone makes equal numbers vary by this much. */
        if (found[k].deviation <= 1e-12 * fabs(found[k].mean)) found[k].deviation = 0;
    }
    ok = ok && tl_reward_set_standardise(set, found, err);
    free(x);
    free(found);
    return ok;
}
