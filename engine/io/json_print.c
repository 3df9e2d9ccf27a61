#include "io/json.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json_scan.h"
#include "io/utf8.h"

/* cJSON's own printer is not used: it stops at 15 digits when they are near enough, and writes tabs. */

/* Fewest of 15, 16, 17 digits that read back to the same double; 17 always do. Runs in the C locale. */
static void print_double(struct tl_str *out, double v)
{
    char text[40];
    if (v == floor(v) && fabs(v) <= 9007199254740992.0 && !(v == 0 && signbit(v))) {
        tl_str_printf(out, "%.0f", v);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    tl_str_append(out, text);
    if (!strpbrk(text, ".e")) tl_str_append(out, ".0"); /* -0.0 and whole numbers above 2^53 stay floats */
}

static void escape(struct tl_str *out, const char *text, size_t n)
{
    for (const char *p = text, *end = text + n; p < end;) {
        size_t run = 0;
        while (p + run < end && (unsigned char)p[run] >= 0x20 && p[run] != '"' && p[run] != '\\') run++;
        tl_str_append_n(out, p, run);
        p += run;
        if (p == end) break;
        static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
        const char *found = strchr(plain, *p);
        if (found) {
            tl_str_printf(out, "\\%c", letters[found - plain]);
        } else {
            tl_str_printf(out, "\\u%04x", (unsigned)(unsigned char)*p);
        }
        p++;
    }
}

void tl_json_quote(struct tl_str *out, const char *text)
{
    tl_str_append(out, "\"");
    for (size_t n = strlen(text); n;) {
        size_t valid = tl_utf8_prefix(text, n);
        escape(out, text, valid);
        if (valid < n) tl_str_printf(out, "\\\\x%02x", (unsigned)(unsigned char)text[valid++]);
        text += valid;
        n -= valid;
    }
    tl_str_append(out, "\"");
}

static void line(struct tl_str *out, bool pretty, int depth)
{
    if (pretty) tl_str_printf(out, "\n%*s", 2 * depth, "");
}

static bool print_value(struct tl_str *out, const cJSON *value, bool pretty, int depth, struct tl_err *err)
{
    if (depth > TL_JSON_DEPTH) return tl_err_set(err, TL_FAIL, "JSON nested deeper than 64 levels");
    if (cJSON_IsNumber(value)) {
        if (!isfinite(value->valuedouble)) {
            return tl_err_set(err, TL_NUMERIC, "a number that is not finite cannot be written as JSON");
        }
        print_double(out, value->valuedouble);
        return true;
    }
    bool object = cJSON_IsObject(value);
    if (!object && !cJSON_IsArray(value)) {
        if (cJSON_IsString(value)) {
            tl_json_quote(out, value->valuestring);
        } else {
            tl_str_append(out, cJSON_IsTrue(value) ? "true" : cJSON_IsFalse(value) ? "false" : "null");
        }
        return true;
    }
    tl_str_append(out, object ? "{" : "[");
    for (const cJSON *item = value->child; item; item = item->next) {
        line(out, pretty, depth + 1);
        if (object) {
            tl_json_quote(out, item->string);
            tl_str_append(out, pretty ? ": " : ":");
        }
        if (!print_value(out, item, pretty, depth + 1, err)) {
            /* The name helps to find a loss that became NaN. */
            return object ? tl_err_add(err, "\"%s\"", item->string) : false;
        }
        if (item->next) tl_str_append(out, ",");
    }
    if (value->child) line(out, pretty, depth);
    tl_str_append(out, object ? "}" : "]");
    return true;
}

char *tl_json_print(const cJSON *value, bool pretty, struct tl_err *err)
{
    struct tl_str out = {0};
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), old = c ? uselocale(c) : (locale_t)0;
    bool ok = print_value(&out, value, pretty, 0, err);
    if (c) {
        uselocale(old);
        freelocale(c);
    }
    if (pretty) tl_str_append(&out, "\n");
    if (ok && out.failed) ok = tl_err_set(err, TL_FAIL, "out of memory writing JSON");
    if (!ok) tl_str_finish(&out);
    return out.data;
}

bool tl_json_write(const char *path, const cJSON *value, struct tl_err *err)
{
    char *text = tl_json_print(value, true, err);
    bool ok = text ? tl_file_write(path, text, strlen(text), err) : tl_err_add(err, "%s", path);
    free(text);
    return ok;
}
