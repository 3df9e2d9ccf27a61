#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/sha256.h"
#include "base/str.h"
#include "encoders/encoder_rows.h"
#include "io/file.h"
#include "io/json.h"
#include "models/component.h"

const struct tl_encoder_class *const tl_encoder_classes[] = {&tl_encoder_clip,
                                                             &tl_encoder_clap,
                                                             &tl_encoder_logmel,
                                                             &tl_encoder_inception,
                                                             &tl_encoder_vggish,
                                                             &tl_encoder_panns,
                                                             NULL};

/* ---- which one ---- */

static bool list_names(struct tl_str *out)
{
    for (const struct tl_encoder_class *const *c = tl_encoder_classes; *c; c++) {
        if (c != tl_encoder_classes) tl_str_append(out, ", ");
        tl_str_append(out, (*c)->name);
        if (*(*c)->argument) tl_str_printf(out, ":%s", (*c)->argument);
    }
    return !out->failed;
}

static const struct tl_encoder_class *unknown(const char *spec, const char *why, struct tl_err *err)
{
    struct tl_str names = {0};
    tl_err_set(err, TL_USAGE, "'%s' %s; encoders are %s, or a model's folder", spec, why,
               list_names(&names) ? names.data : "");
    tl_str_finish(&names);
    return NULL;
}

static const struct tl_encoder_class *class_of_folder(const char *folder, struct tl_err *err)
{
    struct tl_str path = {0};
    tl_str_printf(&path, "%s/config.json", folder);
    cJSON *json = path.failed ? NULL : tl_json_read(path.data, err);
    if (path.failed) tl_err_set(err, TL_FAIL, "out of memory");
    tl_str_finish(&path);
    const struct tl_component_class *cls = json ? tl_component_class_of(json, err) : NULL;
    cJSON_Delete(json);
    if (!cls) {
        tl_err_add(err, "%s", folder);
        return NULL;
    }
    for (const struct tl_encoder_class *const *c = tl_encoder_classes; *c; c++)
        if ((*c)->folder_class && strcmp((*c)->folder_class, cls->name) == 0) return *c;
    tl_err_set(err, TL_BAD_INPUT, "%s holds a %s, which is no encoder of pictures or sounds", folder,
               cls->name);
    return NULL;
}

const struct tl_encoder_class *tl_encoder_class_of(const char *spec, const char **out_arg, struct tl_err *err)
{
    size_t n = strcspn(spec, ":,");
    for (const struct tl_encoder_class *const *c = tl_encoder_classes; *c; c++) {
        if (strlen((*c)->name) != n || strncmp((*c)->name, spec, n) != 0) continue;
        *out_arg = spec[n] == ':' ? spec + n + 1 : spec[n] == ',' ? spec + n : NULL;
        return *c;
    }
    struct tl_str folder = {0};
    tl_str_append_n(&folder, spec, strcspn(spec, ","));
    bool is_folder = !folder.failed && (tl_file_is_folder(spec) || tl_file_is_folder(folder.data));
    const struct tl_encoder_class *cls = NULL;
    if (is_folder)
        cls = class_of_folder(tl_file_is_folder(spec) ? spec : folder.data, err);
    else
        unknown(spec, "is no encoder and no folder", err);
    tl_str_finish(&folder);
    *out_arg = spec;
    return cls;
}

/* ---- an argument's parts ---- */

static const char *key_at(const char *text, const char *const *keys, size_t *out_k)
{
    for (size_t k = 0; keys[k]; k++) {
        size_t n = strlen(keys[k]);
        if (text[0] == ',' && strncmp(text + 1, keys[k], n) == 0 && text[1 + n] == '=') {
            *out_k = k;
            return text + n + 2;
        }
    }
    return NULL;
}

/* The first ",KEY=" of small letters in a text, or NULL. */
static const char *setting_in(const char *text)
{
    for (const char *p = strchr(text, ','); p; p = strchr(p + 1, ',')) {
        size_t n = strspn(p + 1, "abcdefghijklmnopqrstuvwxyz_");
        if (n && p[1 + n] == '=') return p + 1;
    }
    return NULL;
}

static bool unknown_setting(const char *arg, const char *setting, const char *const *keys, struct tl_err *err)
{
    struct tl_str all = {0};
    for (size_t k = 0; keys[k]; k++) tl_str_printf(&all, "%s%s", k ? ", " : "", keys[k]);
    tl_err_set(err, TL_USAGE, "'%s' has an unknown setting '%s'; settings are %s", arg, setting,
               all.data ? all.data : "none");
    tl_str_finish(&all);
    return false;
}

/* Settings that no key takes: behind a value, or behind a path that is none with them. */
static bool check_settings(const char *arg, const char *path, const char *const *keys,
                           const char *const *values, struct tl_err *err)
{
    for (size_t k = 0; keys[k]; k++) {
        const char *at = values[k] ? setting_in(values[k]) : NULL;
        if (at) return unknown_setting(arg, at, keys, err);
    }
    const char *at = path ? setting_in(path) : NULL;
    if (!at || tl_file_exists(path) || tl_file_is_folder(path)) return true;
    return unknown_setting(arg, at, keys, err);
}

bool tl_encoder_arg_parse(const char *arg, const char *const *keys, char **out_block, const char **out_path,
                          const char **out_values, struct tl_err *err)
{
    size_t k = 0;
    char *block = strdup(arg ? arg : "");
    *out_block = block;
    *out_path = NULL;
    for (size_t i = 0; keys[i]; i++) out_values[i] = NULL;
    if (!block) return tl_err_set(err, TL_FAIL, "out of memory");
    char *at = block;
    while (*at && !key_at(at, keys, &k)) at++;
    char *cut = at;
    while (*at) {
        const char *value = key_at(at, keys, &k);
        char *end = at + (value - at);
        if (out_values[k]) return tl_err_set(err, TL_USAGE, "'%s' says %s twice", arg, keys[k]);
        out_values[k] = value;
        *at = 0;
        size_t next;
        while (*end && !key_at(end, keys, &next)) end++;
        at = end;
    }
    *cut = 0;
    if (*block) *out_path = block;
    return check_settings(arg, *out_path, keys, out_values, err);
}

/* ---- one of them ---- */

/* What makes other numbers of the same weights. */
static bool hash_config(struct tl_encoder_about *about, struct tl_err *err)
{
    static const char *const files[] = {"config.json", "preprocessor_config.json", "processor_config.json"};
    struct tl_str path = {0};
    struct tl_sha256 all;
    char hash[65];
    bool ok = true;
    if (!about->path || !tl_file_is_folder(about->path)) return true;
    tl_sha256_init(&all);
    for (size_t k = 0; ok && k < sizeof files / sizeof *files; k++) {
        tl_path_join(&path, about->path, files[k]);
        ok = !path.failed || tl_err_set(err, TL_FAIL, "out of memory");
        if (!ok || !tl_file_exists(path.data)) continue;
        ok = tl_sha256_file(path.data, hash, err);
        tl_sha256_add(&all, files[k], strlen(files[k]) + 1);
        tl_sha256_add(&all, hash, sizeof hash);
    }
    tl_sha256_hex(&all, about->config_sha256);
    tl_str_finish(&path);
    return ok;
}

struct tl_encoder *tl_encoder_open(const struct tl_encoder_env *env, const char *spec, struct tl_err *err)
{
    const char *arg = NULL;
    const struct tl_encoder_class *cls = tl_encoder_class_of(spec, &arg, err);
    if (!cls) return NULL;
    if (*cls->argument && !arg) {
        tl_err_set(err, TL_USAGE, "encoder %s needs its weights: write %s:%s", cls->name, cls->name,
                   cls->argument);
        return NULL;
    }
    struct tl_encoder *e = cls->open(env, arg, err);
    if (!e) return NULL;
    e->about.cls = cls;
    e->spec = strdup(spec);
    e->about.spec = e->spec;
    bool ok = e->spec || tl_err_set(err, TL_FAIL, "out of memory");
    if (!ok || !hash_config(&e->about, err)) tl_encoder_close(&e);
    return e;
}

void tl_encoder_close(struct tl_encoder **encoder)
{
    struct tl_encoder *e = *encoder;
    if (!e) return;
    free(e->spec);
    e->about.cls->close(e);
    *encoder = NULL;
}

const struct tl_encoder_about *tl_encoder_about(const struct tl_encoder *encoder)
{
    return &encoder->about;
}

void tl_encoder_windows_finish(struct tl_encoder_windows *w)
{
    free(w->x);
    *w = (struct tl_encoder_windows){0};
}

/* One file's trouble, before the network makes it a whole batch's. */
static bool check_windows(const struct tl_encoder_windows *w, struct tl_err *err)
{
    for (size_t i = 0; i < w->n * w->floats; i++)
        if (!isfinite(w->x[i]))
            return tl_err_set(err, TL_BAD_INPUT,
                              "its %s window is not finite: it holds values too large to work on",
                              i < w->floats ? "first" : "later");
    return true;
}

bool tl_encoder_prepare(const struct tl_encoder *encoder, const struct tl_encoder_item *item,
                        struct tl_encoder_windows *out, struct tl_err *err)
{
    *out = (struct tl_encoder_windows){0};
    if (encoder->about.cls->prepare(encoder, item, out, err) && check_windows(out, err)) return true;
    tl_encoder_windows_finish(out);
    return item->name ? tl_err_add(err, "%s", item->name) : false;
}

bool tl_encoder_run(struct tl_encoder *encoder, const float *x, size_t n, size_t floats, float *out,
                    struct tl_err *err)
{
    size_t dim = encoder->about.dim;
    if (!encoder->about.cls->run(encoder, x, n, floats, out, err)) return false;
    for (size_t i = 0; i < n * dim; i++)
        if (!isfinite(out[i]))
            return tl_err_set(err, TL_NUMERIC, "an embedding of %s is not finite (row %zu, value %zu)",
                              encoder->about.spec, i / dim, i % dim);
    return true;
}
