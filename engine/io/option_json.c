#include "io/option_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/option_inner.h"
#include "base/str.h"

static const uint64_t MOST_EXACT = 1ull << 53;

static cJSON *list_to_json(const struct tl_strings *list)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; array && i < list->n; i++) {
        cJSON *item = cJSON_CreateString(list->items[i]);
        if (!item || !cJSON_AddItemToArray(array, item)) {
            cJSON_Delete(item);
            cJSON_Delete(array);
            return NULL;
        }
    }
    return array;
}

static cJSON *real_to_json(double v)
{
    return isfinite(v) ? cJSON_CreateNumber(v) : cJSON_CreateString(v < 0 ? "-inf" : "inf");
}

static cJSON *seed_to_json(uint64_t v)
{
    char text[32];
    if (v <= MOST_EXACT) return cJSON_CreateNumber((double)v);
    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    return cJSON_CreateString(text);
}

static cJSON *row_to_json(const struct tl_options *o, const struct tl_option *row)
{
    const void *field = (const char *)o->params + row->offset;
    const char *text;
    switch (row->type) {
    case TL_OPTION_TYPE_INT:
        return cJSON_CreateNumber(*(const int *)field);
    case TL_OPTION_TYPE_REAL:
        return real_to_json(*(const double *)field);
    case TL_OPTION_TYPE_BOOL:
        return cJSON_CreateBool(*(const bool *)field);
    case TL_OPTION_TYPE_STRINGS:
        return list_to_json(field);
    case TL_OPTION_TYPE_ENUM:
        return cJSON_CreateString(row->names[*(const int *)field]);
    case TL_OPTION_TYPE_SEED:
        return seed_to_json(*(const uint64_t *)field);
    case TL_OPTION_TYPE_STRING:
        break;
    }
    text = *(const char *const *)field;
    return text ? cJSON_CreateString(text) : cJSON_CreateNull();
}

bool tl_option_to_json(const struct tl_options *o, cJSON *object, struct tl_err *err)
{
    for (const struct tl_option *row = o->table; row->name; row++) {
        char key[128] = "";
        strncat(key, row->name, sizeof key - 1);
        for (char *p = key; *p; p++) {
            if (*p == '-') *p = '_';
        }
        cJSON *value = row_to_json(o, row);
        cJSON_DeleteItemFromObjectCaseSensitive(object, key);
        if (value && cJSON_AddItemToObject(object, key, value)) continue;
        cJSON_Delete(value);
        return tl_err_set(err, TL_FAIL, "%s: out of memory", row->name);
    }
    return true;
}

static const char *wanted_type(const struct tl_option *row)
{
    static const char *const names[] = {
        [TL_OPTION_TYPE_INT] = "a number",
        [TL_OPTION_TYPE_REAL] = "a number",
        [TL_OPTION_TYPE_BOOL] = "true or false",
        [TL_OPTION_TYPE_STRING] = "a string",
        [TL_OPTION_TYPE_STRINGS] = "a list of strings",
        [TL_OPTION_TYPE_ENUM] = "a string",
        [TL_OPTION_TYPE_SEED] = "a whole number",
    };
    return names[row->type];
}

static bool fits_type(const struct tl_option *row, const cJSON *value)
{
    switch (row->type) {
    case TL_OPTION_TYPE_INT:
        return cJSON_IsNumber(value);
    case TL_OPTION_TYPE_REAL:
        return cJSON_IsNumber(value) || (cJSON_IsString(value) && strstr(value->valuestring, "inf"));
    case TL_OPTION_TYPE_BOOL:
        return cJSON_IsBool(value);
    case TL_OPTION_TYPE_SEED:
        return cJSON_IsNumber(value) || cJSON_IsString(value);
    case TL_OPTION_TYPE_STRING:
    case TL_OPTION_TYPE_STRINGS:
    case TL_OPTION_TYPE_ENUM:
        break;
    }
    return cJSON_IsString(value);
}

static bool set_value(struct tl_options *set, const struct tl_option *row, const cJSON *value,
                      enum tl_option_source source, struct tl_err *err)
{
    if (!fits_type(row, value))
        return tl_err_set(err, TL_USAGE, "%s: must be %s", row->name, wanted_type(row));
    if (cJSON_IsString(value)) return tl_option_set(set, row->name, value->valuestring, source, err);
    if (row->type == TL_OPTION_TYPE_SEED && value->valuedouble > (double)MOST_EXACT) {
        return tl_err_set(err, TL_USAGE, "%s: a number above 2^53 is not exact in JSON; write it as a string",
                          row->name);
    }
    char *text = tl_json_print(value, false, err);
    bool ok = text && tl_option_set(set, row->name, text, source, err);
    free(text);
    return ok;
}

static bool set_member(struct tl_options *set, const struct tl_option *row, const cJSON *value,
                       enum tl_option_source source, struct tl_err *err)
{
    if (row->type != TL_OPTION_TYPE_STRINGS || !cJSON_IsArray(value))
        return set_value(set, row, value, source, err);
    const cJSON *item;
    tl_option_clear_list(set, row, source);
    cJSON_ArrayForEach(item, value)
    {
        if (!set_value(set, row, item, source, err)) return false;
    }
    return true;
}

bool tl_options_from_json(struct tl_options *const *sets, size_t n_sets, const cJSON *object,
                          enum tl_option_source source, struct tl_err *err)
{
    if (!cJSON_IsObject(object)) return tl_err_set(err, TL_USAGE, "options must be one JSON object");
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        struct tl_options *set = NULL;
        const struct tl_option *row = tl_option_find_in(sets, n_sets, item->string, &set);
        if (!row) return tl_options_unknown(sets, n_sets, item->string, "", err);
        if (!cJSON_IsNull(item) && !set_member(set, row, item, source, err)) return false;
    }
    return true;
}

bool tl_options_read_json(struct tl_options *const *sets, size_t n_sets, const char *path,
                          enum tl_option_source source, struct tl_err *err)
{
    cJSON *object = tl_json_read(path, err);
    bool ok = object != NULL;
    if (ok && !tl_options_from_json(sets, n_sets, object, source, err)) ok = tl_err_add(err, "%s", path);
    cJSON_Delete(object);
    return ok;
}
