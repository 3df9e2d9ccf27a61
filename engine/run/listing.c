#include "run/listing.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "run/listing_text.h"

static void add(cJSON *object, const char *key, cJSON *item)
{
    if (item && !(object && cJSON_AddItemToObject(object, key, item))) cJSON_Delete(item);
}

void tl_listing_text(cJSON *object, const char *key, const char *text)
{
    if (text) add(object, key, cJSON_CreateString(text));
}

void tl_listing_format(cJSON *object, const char *key, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    tl_listing_text(object, key, text);
}

void tl_listing_count(cJSON *object, const char *key, uint64_t n)
{
    add(object, key, cJSON_CreateNumber((double)n));
}

void tl_listing_number(cJSON *object, const char *key, double x)
{
    add(object, key, isfinite(x) ? cJSON_CreateNumber(x) : cJSON_CreateNull());
}

void tl_listing_bool(cJSON *object, const char *key, bool b)
{
    add(object, key, cJSON_CreateBool(b));
}

cJSON *tl_listing_object(cJSON *object, const char *key)
{
    return object ? cJSON_AddObjectToObject(object, key) : NULL;
}

cJSON *tl_listing_array(cJSON *object, const char *key)
{
    return object ? cJSON_AddArrayToObject(object, key) : NULL;
}

cJSON *tl_listing_row(cJSON *array)
{
    cJSON *row = array ? cJSON_CreateObject() : NULL;
    if (row && !cJSON_AddItemToArray(array, row)) {
        cJSON_Delete(row);
        row = NULL;
    }
    return row;
}

char *tl_listing_print(cJSON *tree, const char *schema, bool json, struct tl_err *err)
{
    char *text = NULL;
    if (!tree) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    if (json) {
        tl_listing_text(tree, "schema", schema);
        text = tl_json_print(tree, true, err);
    } else {
        struct tl_str out = {0};
        tl_listing_print_text(&out, tree);
        text = out.failed ? NULL : out.data;
        if (!text) tl_str_finish(&out);
    }
    if (!text) tl_err_set(err, TL_FAIL, "out of memory");
    cJSON_Delete(tree);
    return text;
}
