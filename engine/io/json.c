#include "io/json.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json_scan.h"
#include "io/utf8.h"

enum { MOST_BYTES = 256 << 20 };
static const double MOST_EXACT = 9007199254740992.0; /* 2^53 */

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* Sorts the members' pointers: vocabularies have 50,000 members. */
static bool check_keys(const cJSON *object, const char *what, struct tl_err *err)
{
    size_t n = 0, i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, object) n++;
    if (n < 2) return true;
    const cJSON **items = malloc(n * sizeof *items);
    if (!items) return tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", what);
    cJSON_ArrayForEach(item, object) items[i++] = item;
    qsort(items, n, sizeof *items, by_key);
    bool ok = true;
    for (i = 1; ok && i < n; i++) {
        if (strcmp(items[i - 1]->string, items[i]->string) == 0) {
            ok = tl_err_set(err, TL_BAD_INPUT,
                            "%s: not valid JSON: key \"%.100s\" appears twice in one object", what,
                            items[i]->string);
        }
    }
    free((void *)items);
    return ok;
}

/* What the scan cannot see: duplicate keys, and numbers beyond the range of a double. Depth is at most 64. */
static bool check_values(const cJSON *value, const char *what, struct tl_err *err)
{
    if (cJSON_IsNumber(value) && !isfinite(value->valuedouble)) {
        return tl_err_set(err, TL_BAD_INPUT, "%s: not valid JSON: a number beyond the range of a double",
                          what);
    }
    if (cJSON_IsObject(value) && !check_keys(value, what, err)) return false;
    if (!cJSON_IsObject(value) && !cJSON_IsArray(value)) return true;
    const cJSON *item;
    cJSON_ArrayForEach(item, value)
    {
        if (!check_values(item, what, err)) return false;
    }
    return true;
}

/* cJSON reads and writes numbers with the locale's decimal point; this thread uses the C locale meanwhile. */
static cJSON *parse_in_c_locale(const char *text, size_t n)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), old = c ? uselocale(c) : (locale_t)0;
    cJSON *value = cJSON_ParseWithLength(text, n);
    if (c) {
        uselocale(old);
        freelocale(c);
    }
    return value;
}

cJSON *tl_json_parse(const char *text, size_t n, const char *what, struct tl_err *err)
{
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        n -= 3;
    }
    struct tl_json_scan scan = {.start = text, .p = text, .end = text + n, .what = what, .err = err};
    size_t valid = tl_utf8_prefix(text, n);
    if (valid != n) {
        scan.p = text + valid;
        tl_json_scan_fail(&scan, "invalid UTF-8");
        return NULL;
    }
    if (!tl_json_scan_skip(&scan, 0) || !tl_json_scan_finish(&scan)) return NULL;
    cJSON *value = parse_in_c_locale(text, n);
    if (!value) {
        tl_err_set(err, TL_BAD_INPUT, "%s: out of memory reading JSON", what);
    } else if (!check_values(value, what, err)) {
        cJSON_Delete(value);
        value = NULL;
    }
    return value;
}

cJSON *tl_json_read(const char *path, struct tl_err *err)
{
    size_t n;
    uint8_t *text = tl_file_read(path, MOST_BYTES, &n, err);
    cJSON *value = text ? tl_json_parse((const char *)text, n, path, err) : NULL;
    free(text);
    return value;
}

/* In place: 1e300 is shorter, spaces fill up. */
static void replace_infinities(char *text, size_t n)
{
    static const char infinity[] = "Infinity", number[] = "1e300   ";
    bool inside = false;
    for (size_t i = 0; i < n; i++) {
        if (inside && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            inside = !inside;
        else if (!inside && n - i >= 8 && memcmp(text + i, infinity, 8) == 0)
            memcpy(text + i, number, 8);
    }
}

cJSON *tl_json_read_python(const char *path, struct tl_err *err)
{
    size_t n;
    uint8_t *text = tl_file_read(path, MOST_BYTES, &n, err);
    if (!text) return NULL;
    replace_infinities((char *)text, n);
    cJSON *value = tl_json_parse((const char *)text, n, path, err);
    free(text);
    return value;
}

const cJSON *tl_json_get(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
    return cJSON_IsNull(item) ? NULL : item;
}

static const char *type_name(const cJSON *item)
{
    if (cJSON_IsNumber(item)) return "a number";
    if (cJSON_IsString(item)) return "a string";
    if (cJSON_IsBool(item)) return "true or false";
    if (cJSON_IsArray(item)) return "a list";
    return cJSON_IsObject(item) ? "an object" : "null";
}

static bool wrong(const char *key, const char *wanted, const cJSON *item, struct tl_err *err)
{
    return tl_err_set(err, TL_BAD_INPUT, "\"%s\" must be %s, it is %s", key, wanted, type_name(item));
}

static bool whole(const cJSON *item, const char *key, int64_t *out, struct tl_err *err)
{
    if (!cJSON_IsNumber(item)) return wrong(key, "a whole number", item, err);
    double v = item->valuedouble;
    if (!(fabs(v) <= MOST_EXACT) || v != floor(v)) {
        return tl_err_set(err, TL_BAD_INPUT, "\"%s\" must be a whole number of at most 2^53, it is %.17g",
                          key, v);
    }
    *out = (int64_t)v;
    return true;
}

bool tl_json_int(const cJSON *object, const char *key, int64_t fallback, int64_t *out, struct tl_err *err)
{
    const cJSON *item = tl_json_get(object, key);
    if (item) return whole(item, key, out, err);
    *out = fallback;
    return true;
}

bool tl_json_double(const cJSON *object, const char *key, double fallback, double *out, struct tl_err *err)
{
    const cJSON *item = tl_json_get(object, key);
    if (item && !cJSON_IsNumber(item)) return wrong(key, "a number", item, err);
    *out = item ? item->valuedouble : fallback;
    return true;
}

bool tl_json_bool(const cJSON *object, const char *key, bool fallback, bool *out, struct tl_err *err)
{
    const cJSON *item = tl_json_get(object, key);
    if (item && !cJSON_IsBool(item)) return wrong(key, "true or false", item, err);
    *out = item ? cJSON_IsTrue(item) : fallback;
    return true;
}

bool tl_json_string(const cJSON *object, const char *key, const char *fallback, const char **out,
                    struct tl_err *err)
{
    const cJSON *item = tl_json_get(object, key);
    if (item && !cJSON_IsString(item)) return wrong(key, "a string", item, err);
    *out = item ? item->valuestring : fallback;
    return true;
}

bool tl_json_ints(const cJSON *object, const char *key, int64_t *out, size_t most, size_t *out_n,
                  struct tl_err *err)
{
    const cJSON *list = tl_json_get(object, key), *item;
    size_t n = 0;
    *out_n = 0;
    if (list && !cJSON_IsArray(list)) return wrong(key, "a list of whole numbers", list, err);
    cJSON_ArrayForEach(item, list)
    {
        if (n == most) {
            return tl_err_set(err, TL_BAD_INPUT, "\"%s\" must have at most %zu numbers", key, most);
        }
        if (!whole(item, key, &out[n++], err)) return false;
    }
    *out_n = n;
    return true;
}
