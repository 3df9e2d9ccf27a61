/* Metrics over sets: which encoder, which sets, one row a value. */
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "run/memory_plan.h"
#include "run/score_parts.h"

struct sets {
    const struct tl_metric *metric;
    const struct tl_metric_way *way;
    const struct tl_score_params *params;
    const struct tl_job *job;
    struct tl_arena arena;
    const char *spec;            /* of the encoder; NULL where no set has files */
    struct tl_feature_set *sets; /* [n] */
    size_t n;
    struct tl_embedder embedder;
    struct tl_pool *pool;
    const char *settings; /* of the encoder */
    bool is_deaf;         /* the flavour is an encoder's, and this one does not know it */
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

/* Whether the spec says the setting's key already. */
static bool says(struct sets *s, const char *spec, const char *setting)
{
    const char *key = tl_arena_printf(&s->arena, ",%.*s=", (int)strcspn(setting, "="), setting);
    return !key || strstr(spec, key);
}

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
    bool image = cls->modality == TL_MODALITY_IMAGE, known = false, has_any = false;
    if (strcmp(info->modality, "any") != 0 && image != (strcmp(info->modality, "image") == 0))
        return tl_err_set(err, TL_USAGE, "%s is a measure of %s, and encoder %s takes %s; give %s",
                          info->name, image ? "sounds" : "pictures", cls->name, image ? "pictures" : "sounds",
                          info->encoder_advice);
    for (int k = 0; k < TL_METRIC_MOST_SETTINGS && s->way->settings[k].encoder; k++) {
        has_any = true;
        if (strcmp(s->way->settings[k].encoder, cls->name) != 0) continue;
        known = true;
        if (s->params->flavour && !says(s, spec, s->way->settings[k].setting))
            spec = tl_arena_printf(&s->arena, "%s,%s", spec, s->way->settings[k].setting);
    }
    s->is_deaf = s->params->flavour && has_any && !known;
    s->spec = spec;
    *out = cls->modality;
    return spec || tl_err_set(err, TL_FAIL, "out of memory");
}

/* ---- the sets ---- */

static bool open_sets(struct sets *s, enum tl_modality modality, struct tl_err *err)
{
    s->sets = calloc(s->n, sizeof *s->sets);
    if (!s->sets) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < s->n; i++) {
        const char *path = s->params->folders[i];
        if (tl_feature_source_of(path) == TL_FEATURES_OF_STATISTICS && !s->metric->info.takes_statistics)
            return tl_err_set(err, TL_USAGE,
                              "%s needs the embeddings themselves, and %s holds mean and covariance only",
                              s->metric->info.name, path);
        if (!tl_feature_set_open(&s->sets[i], path, modality, s->params->strict, err)) return false;
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
        if (!tl_feature_set_encode(&s->sets[i], &s->embedder, err)) return false;
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

static bool measure(struct sets *s, const struct tl_feature_set *reference, const struct tl_feature_set *set,
                    struct tl_score_row *row, struct tl_err *err)
{
    struct tl_measure m = {.params = s->params,
                           .way = s->way,
                           .reference = reference,
                           .set = set,
                           .pool = s->pool,
                           .seed = s->job->seed};
    const struct tl_feature_origin *o = &set->origin;
    row->metric = s->metric->info.name;
    row->flavour = s->way->flavour.name;
    row->encoder = s->spec ? s->spec : o->encoder;
    row->sha256 = o->sha256;
    row->encoder_settings = s->settings ? s->settings : o->settings;
    if ((reference && !add_side(row, reference)) || !add_side(row, set))
        return tl_err_set(err, TL_FAIL, "out of memory");
    if (reference && differ(reference->origin.device, o->device))
        tl_score_row_note(row, "%s was encoded on %s and %s on %s: rounding differs", reference->path,
                          reference->origin.device, set->path, o->device);
    if (s->is_deaf)
        tl_score_row_note(row, "flavour %s changes nothing of encoder %s", row->flavour, row->encoder);
    return tl_interrupt_check("scoring", err) && s->metric->measure(&m, row, err);
}

static bool run(struct sets *s, struct tl_score_row *rows, size_t *out_n, struct tl_err *err)
{
    enum tl_modality modality = TL_MODALITY_IMAGE;
    bool has_reference = s->metric->info.kind != TL_METRIC_ONE_SET;
    if (!check_usage(s, err) || (needs_encoder(s) && !find_spec(s, &modality, err)) ||
        !open_sets(s, modality, err) || !encode(s, err) || !check_origins(s, err))
        return false;
    s->pool = tl_pool_create(s->job->threads, err);
    if (!s->pool) return false;
    for (size_t i = has_reference; i < s->n; i++)
        if (!measure(s, has_reference ? &s->sets[0] : NULL, &s->sets[i], &rows[(*out_n)++], err))
            return false;
    return true;
}

/* Strings that rows borrow from what ends with the job. */
static bool keep_strings(struct tl_score_row *row)
{
    const char **const strings[] = {&row->encoder, &row->sha256, &row->encoder_settings};
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
    s.way = tl_metric_way_find(metric, params->flavour, err);
    bool ok = s.way && run(&s, rows, out_n, err);
    for (size_t i = 0; ok && i < *out_n; i++)
        ok = keep_strings(&rows[i]) || tl_err_set(err, TL_FAIL, "out of memory");
    tl_pool_destroy(&s.pool);
    tl_embedder_close(&s.embedder);
    for (size_t i = 0; s.sets && i < s.n; i++) tl_feature_set_finish(&s.sets[i]);
    free(s.sets);
    tl_arena_finish(&s.arena);
    return ok;
}
