/* Metrics over sets: which encoder, which sets, one row a value. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "run/memory_plan.h"
#include "run/progress.h"
#include "run/score_flavour.h"
#include "run/score_parts.h"

struct sets {
    const struct tl_metric *metric;
    struct tl_score_flavour flavour;
    const struct tl_score_params *params;
    const struct tl_job *job;
    struct tl_arena arena;
    const char *spec;            /* of the encoder; NULL where no set has files */
    struct tl_feature_set *sets; /* [n] */
    size_t n;
    struct tl_embedder embedder;
    struct tl_pool *pool;
    const char *settings;   /* of the encoder */
    struct tl_err *trouble; /* [n]: why a set has no value */
};

/* ---- what is asked ---- */

static bool check_extra(const struct sets *s, bool given, enum tl_metric_extras extra, const char *option,
                        struct tl_err *err)
{
    return !given || (s->metric->extras & extra) ||
           tl_err_set(err, TL_USAGE, "%s has no %s", s->metric->info.name, option);
}

static bool check_usage(const struct sets *s, struct tl_err *err)
{
    const struct tl_score_params *p = s->params;
    const char *name = s->metric->info.name;
    if (s->metric->info.kind != TL_METRIC_ONE_SET && p->n_folders < 2)
        return tl_err_set(err, TL_USAGE, "%s compares two sets: tiller score %s REFERENCE FOLDER", name,
                          name);
    if (p->prompts) return tl_err_set(err, TL_USAGE, "%s reads no --prompts", name);
    if (p->indiv && p->n_folders > 2)
        return tl_err_set(err, TL_USAGE, "--indiv is the table of one evaluated set; %zu are given",
                          p->n_folders - 1);
    return check_extra(s, p->inf, TL_METRIC_INF, "--inf", err) &&
           check_extra(s, p->indiv != NULL, TL_METRIC_INDIV, "--indiv", err) &&
           check_extra(s, p->order != 0 && p->order != 1, TL_METRIC_ORDER, "--order", err) &&
           check_extra(s, p->bandwidth != 0, TL_METRIC_BANDWIDTH, "--bandwidth", err);
}

static bool needs_encoder(const struct sets *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (tl_feature_source_of(s->params->folders[i]) == TL_FEATURES_OF_FILES) return true;
    return false;
}

/* ---- the encoder ---- */

/* The encoder as it is named, and what the flavour adds for its class. */
static bool find_spec(struct sets *s, enum tl_modality *out, struct tl_err *err)
{
    const struct tl_metric_info *info = &s->metric->info;
    const char *spec = s->params->encoder ? s->params->encoder : info->encoder, *arg;
    if (!spec)
        return tl_err_set(err, TL_USAGE, "%s needs an encoder: give --encoder, with %s", info->name,
                          info->encoder_advice);
    const struct tl_encoder_class *cls = tl_encoder_class_of(spec, &arg, err);
    if (!cls) return false;
    bool image = cls->modality == TL_MODALITY_IMAGE;
    if (strcmp(info->modality, "any") != 0 && image != (strcmp(info->modality, "image") == 0))
        return tl_err_set(err, TL_USAGE, "%s is a measure of %s, and encoder %s takes %s; give %s",
                          info->name, image ? "sounds" : "pictures", cls->name, image ? "pictures" : "sounds",
                          info->encoder_advice);
    *out = cls->modality;
    if (s->params->flavour ? !tl_score_flavour_apply(&s->flavour, &s->arena, cls->name, &spec, err)
                           : !tl_score_flavour_find(&s->flavour, &s->arena, cls->name, spec, err))
        return false;
    s->spec = spec;
    return true;
}

/* ---- the sets ---- */

/* Of several evaluated sets one that cannot be used costs its own value alone, unless --strict. */
static bool may_fail(struct sets *s, size_t i, const struct tl_err *why)
{
    bool has_reference = s->metric->info.kind != TL_METRIC_ONE_SET;
    if (s->params->strict || s->n - has_reference < 2 || (has_reference && i == 0)) return false;
    if (why->code != TL_BAD_INPUT && why->code != TL_NUMERIC) return false;
    s->trouble[i] = *why;
    return true;
}

static bool set_aside(struct sets *s, size_t i, struct tl_err *err)
{
    if (!may_fail(s, i, err)) return false;
    tl_err_clear(err);
    return true;
}

static bool open_sets(struct sets *s, enum tl_modality modality, struct tl_err *err)
{
    s->sets = calloc(s->n, sizeof *s->sets);
    s->trouble = calloc(s->n, sizeof *s->trouble);
    if (!s->sets || !s->trouble) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < s->n; i++) {
        const char *path = s->params->folders[i];
        if (tl_feature_source_of(path) == TL_FEATURES_OF_STATISTICS && !s->metric->info.takes_statistics)
            return tl_err_set(err, TL_USAGE,
                              "%s needs the embeddings themselves, and %s holds mean and covariance only",
                              s->metric->info.name, path);
        if (!tl_feature_set_open(&s->sets[i], path, modality, s->params->strict, err) &&
            !set_aside(s, i, err))
            return false;
    }
    return true;
}

static bool encode(struct sets *s, struct tl_err *err)
{
    const struct tl_score_params *p = s->params;
    struct tl_embedder_params ep = {.job = s->job,
                                    .spec = s->spec,
                                    .dtype = (enum tl_dtype)p->dtype,
                                    .n_workers = p->workers,
                                    .no_cache = p->no_cache,
                                    .cache = p->cache,
                                    .strict = p->strict};
    if (!s->spec) return true;
    if (!tl_embedder_open(&s->embedder, &ep, err)) return false;
    for (size_t i = 0; i < s->n; i++)
        if (!s->trouble[i].code && !tl_feature_set_encode(&s->sets[i], &s->embedder, err) &&
            !set_aside(s, i, err))
            return false;
    const struct tl_encoder_about *about = tl_encoder_about(s->embedder.encoder);
    s->settings = tl_arena_printf(&s->arena, "%s%s%s%s%s", about->settings ? about->settings : "",
                                  p->dtype ? "; weights in " : "", p->dtype ? tl_dtype_choices[p->dtype] : "",
                                  s->embedder.device ? "; on " : "",
                                  s->embedder.device ? s->embedder.device->name : "");
    return s->settings || tl_err_set(err, TL_FAIL, "out of memory");
}

static bool differ(const char *a, const char *b)
{
    return a && b && strcmp(a, b) != 0;
}

/* Embeddings of two encoders do not compare, even where their width is the same. */
static bool check_origins(const struct sets *s, struct tl_err *err)
{
    const struct tl_feature_origin *first = &s->sets[0].origin;
    for (size_t i = 1; i < s->n; i++) {
        const struct tl_feature_origin *o = &s->sets[i].origin;
        const char *const parts[][3] = {{"the weights' hash", first->sha256, o->sha256},
                                        {"the configuration's hash", first->config, o->config},
                                        {"settings", first->settings, o->settings},
                                        {"dtype", first->dtype, o->dtype}};
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
            if (differ(parts[k][1], parts[k][2]))
                return tl_err_set(
                    err, TL_BAD_INPUT,
                    "%s was made by %s, and %s by %s: they do not compare, for %s: '%s' and '%s'",
                    s->sets[0].path, first->encoder ? first->encoder : "?", s->sets[i].path,
                    o->encoder ? o->encoder : "?", parts[k][0], parts[k][1], parts[k][2]);
    }
    return true;
}

/* ---- values ---- */

static bool add_side(struct tl_score_row *row, const struct tl_feature_set *set)
{
    bool statistics = set->source == TL_FEATURES_OF_STATISTICS;
    row->sides[row->n_sides++] =
        (struct tl_score_side){.path = set->path,
                               .n = statistics ? set->gaussian.n : set->features.n_items,
                               .rows = statistics ? set->gaussian.n : set->features.n};
    row->n = row->sides[row->n_sides - 1].n;
    for (size_t i = 0; i < set->n_skipped; i++)
        if (!tl_score_row_skip(row, set->path, set->skipped[i].file, set->skipped[i].reason)) return false;
    return true;
}

/* Names the set; metrics know first and second. */
static bool usable(const struct tl_feature_set *set, struct tl_err *err)
{
    if (!set || set->source == TL_FEATURES_OF_STATISTICS) return true;
    return tl_features_check(&set->features, err) || tl_err_add(err, "%s", set->path);
}

static void note_idle(const struct sets *s, struct tl_score_row *row)
{
    const char *flavour = s->flavour.way->flavour.name;
    if (s->flavour.is_deaf && s->spec)
        tl_score_row_note(row, "flavour %s changes nothing of encoder %s", flavour, s->spec);
    else if (s->flavour.is_deaf)
        tl_score_row_note(
            row,
            "flavour %s is in part or all an encoder's input, and nothing is encoded here: the rows "
            "are what they were made to be",
            flavour);
    if (!s->spec && s->params->encoder)
        tl_score_row_note(row, "--encoder %s is not used: nothing is encoded here", s->params->encoder);
}

static bool has_items(const struct tl_feature_set *set)
{
    return !set || set->source == TL_FEATURES_OF_STATISTICS || set->features.n_items > 1;
}

static void note_no_interval(const struct sets *s, const struct tl_feature_set *reference,
                             const struct tl_feature_set *set, struct tl_score_row *row)
{
    if (isnan(row->low) && !s->params->no_interval && has_items(reference) && has_items(set) && row->n > 1 &&
        set->source != TL_FEATURES_OF_STATISTICS)
        tl_score_row_note(row, "no interval: without one of its files a set is too small for %s",
                          row->metric);
}

static bool measure(struct sets *s, const struct tl_feature_set *reference, const struct tl_feature_set *set,
                    struct tl_score_row *row, struct tl_err *err)
{
    struct tl_measure m = {.params = s->params,
                           .way = s->flavour.way,
                           .reference = reference,
                           .set = set,
                           .pool = s->pool,
                           .seed = s->job->seed};
    const struct tl_feature_origin *o = &set->origin;
    row->metric = s->metric->info.name;
    row->flavour = s->flavour.told;
    row->encoder = s->spec ? s->spec : o->encoder;
    row->sha256 = o->sha256;
    row->encoder_settings = s->settings ? s->settings : o->settings;
    if ((reference && !add_side(row, reference)) || !add_side(row, set))
        return tl_err_set(err, TL_FAIL, "out of memory");
    if (!tl_interrupt_check("scoring", err) || !usable(reference, err) || !usable(set, err)) return false;
    if (!s->metric->measure(&m, row, err)) return tl_err_add(err, "%s", set->path);
    if (reference && differ(reference->origin.device, o->device))
        tl_score_row_note(row, "%s was encoded on %s and %s on %s: rounding differs", reference->path,
                          reference->origin.device, set->path, o->device);
    note_idle(s, row);
    note_no_interval(s, reference, set, row);
    if (row->interval) tl_score_row_draws(row, s->job->seed, row->interval);
    return true;
}

/* A row without a value: what was found of it before it failed is dropped. */
static bool tell_failed(struct sets *s, size_t i, struct tl_score_row *row, struct tl_err *err)
{
    const char *path = s->params->folders[i];
    bool named = strstr(s->trouble[i].text, path) != NULL;
    tl_score_row_finish(row);
    row->metric = s->metric->info.name;
    row->flavour = s->flavour.told;
    row->value = row->low = row->high = NAN;
    if (s->metric->info.kind != TL_METRIC_ONE_SET)
        row->sides[row->n_sides++] = (struct tl_score_side){.path = s->params->folders[0]};
    row->sides[row->n_sides++] = (struct tl_score_side){.path = path};
    row->failed =
        tl_arena_printf(&row->arena, "%s%s%s", named ? "" : path, named ? "" : ": ", s->trouble[i].text);
    return row->failed || tl_err_set(err, TL_FAIL, "out of memory");
}

static bool measure_each(struct sets *s, struct tl_score_row *rows, size_t *out_n, struct tl_err *err)
{
    size_t first = s->metric->info.kind != TL_METRIC_ONE_SET, n_failed = 0;
    struct tl_progress_meter meter = {.fn = s->job->progress,
                                      .user = s->job->user,
                                      .phase = s->metric->info.name,
                                      .unit = "sets",
                                      .total = (int64_t)(s->n - first)};
    tl_progress_begin(&meter, 0);
    for (size_t i = first; i < s->n; i++) {
        struct tl_score_row *row = &rows[(*out_n)++];
        if (!s->trouble[i].code && !measure(s, first ? &s->sets[0] : NULL, &s->sets[i], row, err) &&
            !set_aside(s, i, err))
            return false;
        if (s->trouble[i].code && !tell_failed(s, i, row, err)) return false;
        n_failed += s->trouble[i].code != 0;
        tl_progress_advance(&meter, (int64_t)(i + 1 - first), NULL);
    }
    return n_failed < s->n - first ||
           tl_err_set(err, s->trouble[first].code, "none of the sets has a value; the first: %s",
                      s->trouble[first].text);
}

static bool run(struct sets *s, struct tl_score_row *rows, size_t *out_n, struct tl_err *err)
{
    enum tl_modality modality = TL_MODALITY_IMAGE;
    tl_score_flavour_of_rows(&s->flavour, s->params->flavour != NULL);
    if (!check_usage(s, err) || (needs_encoder(s) && !find_spec(s, &modality, err)) ||
        !open_sets(s, modality, err) || !encode(s, err) || !check_origins(s, err))
        return false;
    s->pool = tl_pool_create(s->job->threads, err);
    return s->pool && measure_each(s, rows, out_n, err);
}

/* Strings that rows borrow from what ends with the job. */
static bool keep_strings(struct tl_score_row *row)
{
    const char **const strings[] = {&row->encoder, &row->sha256, &row->encoder_settings, &row->flavour};
    for (size_t k = 0; k < sizeof strings / sizeof *strings; k++)
        if (*strings[k] && !(*strings[k] = tl_arena_strdup(&row->arena, *strings[k]))) return false;
    for (size_t i = 0; i < row->n_skipped; i++) {
        struct tl_score_skip *k = &row->skipped[i];
        k->file = tl_arena_strdup(&row->arena, k->file);
        k->reason = k->file ? tl_arena_strdup(&row->arena, k->reason) : NULL;
        if (!k->reason) return false;
    }
    for (size_t i = 0; i < row->n_items; i++) {
        struct tl_score_item *item = &row->items[i];
        item->file = tl_arena_strdup(&row->arena, item->file);
        item->other = item->file ? tl_arena_strdup(&row->arena, item->other) : NULL;
        if (!item->other) return false;
    }
    return true;
}

bool tl_score_sets(const struct tl_metric *metric, const struct tl_score_params *params,
                   const struct tl_job *job, struct tl_score_row *rows, size_t *out_n, struct tl_err *err)
{
    struct sets s = {.metric = metric, .params = params, .job = job, .n = params->n_folders};
    *out_n = 0;
    s.flavour =
        (struct tl_score_flavour){.metric = metric, .way = tl_metric_way_find(metric, params->flavour, err)};
    bool ok = s.flavour.way && run(&s, rows, out_n, err);
    for (size_t i = 0; ok && i < *out_n; i++)
        ok = keep_strings(&rows[i]) || tl_err_set(err, TL_FAIL, "out of memory");
    tl_pool_destroy(&s.pool);
    tl_embedder_close(&s.embedder);
    for (size_t i = 0; s.sets && i < s.n; i++) tl_feature_set_finish(&s.sets[i]);
    free(s.sets);
    free(s.trouble);
    tl_arena_finish(&s.arena);
    return ok;
}
