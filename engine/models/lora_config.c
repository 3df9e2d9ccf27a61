#include "models/lora_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "io/json.h"

enum { KEY_SIZE = 96, LAYER_SIZE = TL_ST_MAX_NAME };

static const cJSON *get(const cJSON *config, const char *prefix, const char *key)
{
    char name[KEY_SIZE];
    snprintf(name, sizeof name, "%s%s", prefix, key);
    return tl_json_get(config, name);
}

static bool truthy(const cJSON *v)
{
    return cJSON_IsTrue(v) || (cJSON_IsArray(v) && v->child) || (cJSON_IsObject(v) && v->child);
}

bool tl_lora_config_check(const cJSON *config, const char *prefix, struct tl_err *err)
{
    static const char *const refused[] = {"use_dora", "fan_in_fan_out", "modules_to_save", "use_qalora"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (truthy(get(config, prefix, refused[i])))
            return tl_err_set(err, TL_BAD_INPUT, "%s%s is set: adapters of that kind are not supported",
                              prefix, refused[i]);
    const cJSON *bias = get(config, prefix, "bias"), *type = get(config, prefix, "peft_type");
    if (cJSON_IsString(bias) && strcmp(bias->valuestring, "none") != 0)
        return tl_err_set(err, TL_BAD_INPUT, "%sbias is '%s': only 'none' is supported", prefix,
                          bias->valuestring);
    if (cJSON_IsString(type) && strcmp(type->valuestring, "LORA") != 0)
        return tl_err_set(err, TL_BAD_INPUT, "%speft_type is %s: only LORA is supported", prefix,
                          type->valuestring);
    return true;
}

bool tl_lora_config_has(const cJSON *config, const char *prefix)
{
    return get(config, prefix, "r") || get(config, prefix, "lora_alpha");
}

/* Patterns name a layer by its end, as PEFT matches them: "(.*\.)?KEY$"; newer files start some with '^'. */
static const cJSON *pattern(const cJSON *patterns, const char *layer)
{
    size_t n = strlen(layer);
    for (const cJSON *p = cJSON_IsObject(patterns) ? patterns->child : NULL; p; p = p->next) {
        const char *key = p->string[0] == '^' ? p->string + 1 : p->string;
        size_t m = strlen(key);
        if (m <= n && strcmp(layer + n - m, key) == 0 && (m == n || layer[n - m - 1] == '.')) return p;
    }
    return NULL;
}

bool tl_lora_config_scale(const cJSON *config, const char *prefix, const char *layer, int rank,
                          double *out_scale, struct tl_err *err)
{
    const cJSON *alpha = pattern(get(config, prefix, "alpha_pattern"), layer);
    if (!alpha) alpha = get(config, prefix, "lora_alpha");
    double a = 8; /* PEFT's default */
    if (alpha) {
        if (!cJSON_IsNumber(alpha))
            return tl_err_set(err, TL_BAD_INPUT, "lora_alpha of %s is not a number", layer);
        a = alpha->valuedouble;
    }
    *out_scale = truthy(get(config, prefix, "use_rslora")) ? a / sqrt(rank) : a / rank;
    return true;
}

static bool add(cJSON *object, const char *prefix, const char *key, cJSON *value)
{
    char name[KEY_SIZE];
    snprintf(name, sizeof name, "%s%s", prefix, key);
    if (value && cJSON_AddItemToObject(object, name, value)) return true;
    cJSON_Delete(value);
    return false;
}

static double alpha_of(const struct tl_lora_layer *l, bool unit_scale)
{
    return unit_scale ? l->rank : l->scale * l->rank;
}

static const struct tl_lora_layer *first_of(const struct tl_lora_file *file, int part)
{
    for (size_t i = 0; i < file->n; i++)
        if (file->layers[i].part == part) return &file->layers[i];
    return NULL;
}

cJSON *tl_lora_config_make(const struct tl_lora_file *file, int part, const char *prefix, bool unit_scale,
                           const struct tl_lora_write_params *params)
{
    const struct tl_lora_layer *first = first_of(file, part);
    cJSON *config = cJSON_CreateObject(), *ranks = cJSON_CreateObject(), *alphas = cJSON_CreateObject(),
          *targets = cJSON_CreateArray();
    bool ok = first && config && ranks && alphas && targets;
    for (size_t i = 0; ok && i < file->n; i++) {
        const struct tl_lora_layer *l = &file->layers[i];
        char layer[LAYER_SIZE];
        if (l->part != part) continue;
        snprintf(layer, sizeof layer, "%.*s", (int)tl_lora_layer_len(l->entry), l->entry->name);
        if (params->n_targets == 0) ok = cJSON_AddItemToArray(targets, cJSON_CreateString(layer));
        if (l->rank != first->rank) ok = ok && cJSON_AddNumberToObject(ranks, layer, l->rank);
        if (alpha_of(l, unit_scale) != alpha_of(first, unit_scale))
            ok = ok && cJSON_AddNumberToObject(alphas, layer, alpha_of(l, unit_scale));
    }
    for (size_t i = 0; ok && i < params->n_targets; i++)
        ok = cJSON_AddItemToArray(targets, cJSON_CreateString(params->targets[i]));
    if (!ok) goto fail;
    /* In the order of the keys, as json.dumps(sort_keys=True) has them; only what every PEFT since 0.5 knows.
     */
    ok = add(config, prefix, "alpha_pattern", alphas);
    alphas = NULL;
    ok = ok && add(config, prefix, "base_model_name_or_path", cJSON_CreateNull()) &&
         add(config, prefix, "bias", cJSON_CreateString("none")) &&
         add(config, prefix, "fan_in_fan_out", cJSON_CreateFalse()) &&
         add(config, prefix, "inference_mode", cJSON_CreateFalse()) &&
         add(config, prefix, "init_lora_weights", cJSON_CreateString("gaussian")) &&
         add(config, prefix, "lora_alpha", cJSON_CreateNumber(alpha_of(first, unit_scale))) &&
         add(config, prefix, "lora_dropout", cJSON_CreateNumber(0)) &&
         add(config, prefix, "modules_to_save", cJSON_CreateNull()) &&
         add(config, prefix, "peft_type", cJSON_CreateString("LORA")) &&
         add(config, prefix, "r", cJSON_CreateNumber(first->rank));
    if (!ok) goto fail;
    ok = add(config, prefix, "rank_pattern", ranks);
    ranks = NULL;
    if (!ok) goto fail;
    ok = add(config, prefix, "target_modules", targets);
    targets = NULL;
    ok = ok && add(config, prefix, "task_type", cJSON_CreateNull());
    if (ok) return config;
fail:
    cJSON_Delete(config);
    cJSON_Delete(ranks);
    cJSON_Delete(alphas);
    cJSON_Delete(targets);
    return NULL;
}
