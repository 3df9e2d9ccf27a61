#include <tiller/registry.h>

#include <math.h>
#include <string.h>

#include <tiller/reward.h>
#include <tiller/score.h>
#include <tiller/train.h>

#include "algo/potential.h"
#include "algo/resample.h"
#include "base/str.h"
#include "encoders/encoder.h"
#include "models/component.h"
#include "run/listing.h"
#include "run/score_metrics.h"
#include "sample/scheduler.h"

static void add_models(cJSON *rows)
{
    for (const struct tl_component_class *c = tl_component_classes; c->name; c++) {
        struct tl_str methods = {0};
        for (int i = 0; i < 3 && c->methods[i].name; i++)
            tl_str_printf(&methods, "%s%s", i ? ", " : "", c->methods[i].name);
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", c->name);
        tl_listing_text(row, "library", c->library);
        tl_listing_text(row, "methods", methods.data);
        tl_listing_text(row, "help", c->help);
        tl_str_finish(&methods);
    }
}

static void add_samplers(cJSON *rows)
{
    for (size_t i = 0; i < tl_n_samplers; i++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", tl_samplers[i].name);
        tl_listing_text(row, "help", tl_samplers[i].help);
    }
}

static void add_methods(cJSON *rows)
{
    for (const struct tl_method *m = tl_methods; m->name; m++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", m->name);
        tl_listing_text(row, "trains", m->trains);
        tl_listing_text(row, "from", m->from);
        tl_listing_text(row, "help", m->help);
    }
}

static void add_limit(cJSON *row, const char *key, double x)
{
    if (isfinite(x))
        tl_listing_number(row, key, x);
    else
        tl_listing_text(row, key, "none");
}

static void add_rewards(cJSON *rows)
{
    const struct tl_reward_info *r;
    for (size_t i = 0; (r = tl_reward_at(i)); i++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", r->name);
        tl_listing_text(row, "argument", r->argument);
        tl_listing_text(row, "modality", r->modality);
        tl_listing_text(row, "kind", tl_reward_kind_name(r->kind));
        tl_listing_bool(row, "encoder", r->needs_encoder);
        tl_listing_bool(row, "gradient", r->has_gradient);
        tl_listing_bool(row, "deterministic", r->deterministic);
        add_limit(row, "low", r->low);
        add_limit(row, "high", r->high);
        tl_listing_text(row, "help", r->help);
    }
}

/* What `tiller score` measures: rows of its own, and the mean of every reward of single items. */
static void add_metrics(cJSON *rows)
{
    const struct tl_metric_info *m;
    const struct tl_reward_info *r;
    for (size_t i = 0; (m = tl_metric_at(i)); i++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", m->name);
        tl_listing_text(row, "of", m->modality);
        tl_listing_text(row, "kind", tl_metric_kind_name(m->kind));
        tl_listing_text(row, "interval", m->interval);
        tl_listing_text(row, "encoder", m->encoder ? m->encoder : "to be named");
        tl_listing_text(row, "help", m->help);
    }
    for (size_t i = 0; (r = tl_reward_at(i)); i++) {
        if (tl_metric_find(r->name, 2)) continue; /* told above */
        bool of_set = r->kind == TL_REWARD_OF_SET;
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", r->name);
        tl_listing_text(row, "of", r->modality);
        tl_listing_text(row, "kind", of_set ? "of all files together" : "mean over files");
        tl_listing_text(row, "interval",
                        of_set ? "none" : "over files: Student's t below 20, else bootstrap");
        tl_listing_text(row, "encoder", r->needs_encoder ? "to be named" : "none");
        tl_listing_text(row, "help", r->help);
    }
}

/* The ways of a metric, the default first. */
static void add_flavours(cJSON *rows)
{
    const struct tl_metric_info *m;
    const struct tl_metric_flavour *f;
    for (size_t i = 0; (m = tl_metric_at(i)); i++)
        for (size_t k = 0; (f = tl_metric_flavour_at(i, k)); k++) {
            cJSON *row = tl_listing_row(rows);
            tl_listing_text(row, "metric", m->name);
            tl_listing_text(row, "flavour", f->name);
            tl_listing_bool(row, "default", k == 0);
            tl_listing_text(row, "help", f->help);
        }
}

static void add_encoders(cJSON *rows)
{
    for (const struct tl_encoder_class *const *c = tl_encoder_classes; *c; c++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", (*c)->name);
        tl_listing_text(row, "argument", (*c)->argument);
        tl_listing_text(row, "modality", (*c)->modality == TL_MODALITY_IMAGE ? "image" : "audio");
        tl_listing_text(row, "folder", (*c)->folder_class ? (*c)->folder_class : "-");
        tl_listing_text(row, "help", (*c)->help);
    }
}

static void add_potentials(cJSON *rows)
{
    for (const struct tl_potential *p = tl_potentials; p->name; p++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", p->name);
        tl_listing_text(row, "help", p->help);
    }
}

static void add_resamplers(cJSON *rows)
{
    for (const struct tl_resampler *r = tl_resamplers; r->name; r++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", r->name);
        tl_listing_text(row, "help", r->help);
    }
}

/* One row a table. */
static const struct {
    const char *name;
    void (*add)(cJSON *rows);
} tables[] = {
    {"methods", add_methods},   {"rewards", add_rewards},       {"models", add_models},
    {"samplers", add_samplers}, {"metrics", add_metrics},       {"flavours", add_flavours},
    {"encoders", add_encoders}, {"potentials", add_potentials}, {"resamplers", add_resamplers},
};
enum { N_TABLES = sizeof tables / sizeof *tables };

static bool unknown(const char *table, struct tl_err *err)
{
    const char *names[N_TABLES];
    struct tl_str all = {0};
    for (int i = 0; i < N_TABLES; i++) {
        names[i] = tables[i].name;
        tl_str_printf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = tl_str_nearest(table, names, N_TABLES);
    if (near)
        tl_err_set(err, TL_USAGE, "there is no table '%s'; did you mean %s?", table, near);
    else
        tl_err_set(err, TL_USAGE, "there is no table '%s'; there are %s", table,
                   all.data ? all.data : "none");
    tl_str_finish(&all);
    return false;
}

char *tl_registry_print(const char *table, bool json, struct tl_err *err)
{
    cJSON *out = cJSON_CreateObject();
    bool any = false;
    for (int i = 0; i < N_TABLES; i++) {
        if (table && strcmp(table, tables[i].name) != 0) continue;
        tables[i].add(tl_listing_array(out, tables[i].name));
        any = true;
    }
    if (any || unknown(table, err)) return tl_listing_print(out, "tiller.list/1", json, err);
    cJSON_Delete(out);
    return NULL;
}

/* ---- for help texts ---- */

enum { COLUMNS = 100 };

/* Words from `text`, lines behind the first begin at column `indent`. */
static void add_wrapped(struct tl_str *out, const char *text, size_t indent)
{
    size_t at = indent;
    for (size_t n; *(text += strspn(text, " ")); text += n) {
        n = strcspn(text, " ");
        if (at > indent && at + 1 + n > COLUMNS) {
            tl_str_printf(out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            tl_str_append(out, " ");
            at++;
        }
        tl_str_append_n(out, text, n);
        at += n;
    }
    tl_str_append(out, "\n");
}

static const char *member(const cJSON *row, const char *key)
{
    const cJSON *x = tl_json_get(row, key);
    return cJSON_IsString(x) ? x->valuestring : "";
}

/* Flavours stand behind their metric's name. */
static void add_line(struct tl_str *out, const cJSON *row)
{
    enum { INDENT = 26 };
    struct tl_str name = {0};
    const char *flavour = member(row, "flavour"), *argument = member(row, "argument");
    tl_str_printf(&name, "%s%s%s", *flavour ? member(row, "metric") : member(row, "name"),
                  *flavour ? " " : "", flavour);
    tl_str_printf(out, "  %-*s", INDENT - 2, name.data ? name.data : "");
    tl_str_finish(&name);
    tl_str_append_n(&name, member(row, "help"), strlen(member(row, "help")));
    if (*argument) tl_str_printf(&name, " (:%s)", argument);
    add_wrapped(out, name.data ? name.data : "", INDENT);
    tl_str_finish(&name);
}

char *tl_registry_help(const char *table, struct tl_err *err)
{
    struct tl_str out = {0};
    for (int i = 0; i < N_TABLES; i++) {
        if (strcmp(table, tables[i].name) != 0) continue;
        cJSON *rows = cJSON_CreateArray();
        const cJSON *row;
        tables[i].add(rows);
        cJSON_ArrayForEach(row, rows) add_line(&out, row);
        cJSON_Delete(rows);
    }
    if (out.data && !out.failed) return out.data;
    tl_str_finish(&out);
    tl_err_set(err, TL_FAIL, "out of memory");
    return NULL;
}

const char *tl_registry_nearest(const char *word, const char *const *names, size_t n)
{
    return tl_str_nearest(word, names, n);
}
