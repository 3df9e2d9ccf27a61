#include "run/resume_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "io/file.h"
#include "io/option_json.h"

static bool is_empty(const cJSON *v)
{
    return cJSON_IsNull(v) || (cJSON_IsString(v) && !*v->valuestring);
}

static bool is_same(const cJSON *a, const cJSON *b)
{
    return (is_empty(a) && is_empty(b)) || cJSON_Compare(a, b, true);
}

/* Two ways to one file, or a new way to one that is not where it was. */
static bool is_same_place(const struct tl_option *row, const cJSON *recorded, const cJSON *now, bool warn)
{
    if (!cJSON_IsString(recorded) || !cJSON_IsString(now)) return false;
    char *a = realpath(recorded->valuestring, NULL), *b = realpath(now->valuestring, NULL);
    bool same = a && b && strcmp(a, b) == 0, moved = !a && b;
    free(a);
    free(b);
    if (moved && warn)
        tl_log(TL_LOG_WARN, "--%s: the run began with %s, which is not there any more; %s is taken for it",
               row->name, recorded->valuestring, now->valuestring);
    return same || moved;
}

/* A value as it stands on a command line. */
static char *value_text(const cJSON *v)
{
    if (is_empty(v) || (cJSON_IsArray(v) && cJSON_GetArraySize(v) == 0)) return strdup("none");
    if (cJSON_IsString(v)) return strdup(v->valuestring);
    return tl_json_print(v, false, NULL);
}

static bool refuse(const struct tl_option *row, const cJSON *recorded, const cJSON *now, struct tl_err *err)
{
    char *was = value_text(recorded), *is = value_text(now);
    tl_err_set(err, TL_USAGE,
               "--%s: the run began with %.200s, now it is %.200s; leave it as it was, or begin another run",
               row->name, was ? was : "another value", is ? is : "another one");
    free(was);
    free(is);
    return false;
}

static const cJSON *member(const cJSON *object, const char *name)
{
    char key[128] = "";
    strncat(key, name, sizeof key - 1);
    for (char *p = key; *p; p++)
        if (*p == '-') *p = '_';
    return tl_json_get(object, key);
}

bool tl_resume_check(const struct tl_options *set, const cJSON *recorded, bool given_only, struct tl_err *err)
{
    cJSON *now = cJSON_CreateObject();
    bool ok = (now || tl_err_set(err, TL_FAIL, "out of memory")) && tl_option_to_json(set, now, err);
    for (const struct tl_option *row = tl_options_table(set); ok && row->name; row++) {
        const cJSON *was = member(recorded, row->name), *is = member(now, row->name);
        if (!was || (row->flags & TL_OPTION_FREE) || is_same(was, is)) continue;
        if (given_only && tl_option_source_of(set, row->name) == TL_FROM_DEFAULT) continue;
        if ((row->flags & TL_OPTION_PLACE) && is_same_place(row, was, is, !given_only)) continue;
        ok = refuse(row, was, is, err);
    }
    cJSON_Delete(now);
    return ok;
}
