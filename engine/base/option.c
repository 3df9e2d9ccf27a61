#include <errno.h>
#include <float.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/option_inner.h"
#include "base/str.h"

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        char x = *a == '_' ? '-' : *a, y = *b == '_' ? '-' : *b;
        if (x != y) return false;
    }
    return *a == *b;
}

const struct tl_option *tl_option_find(const struct tl_option *table, const char *name)
{
    for (const struct tl_option *row = table; row->name; row++) {
        if (same_name(row->name, name)) return row;
    }
    return NULL;
}

/* strtod with '.' whatever the locale. *end is `text` where no number begins. */
static double read_real(const char *text, char **end)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), old = c ? uselocale(c) : (locale_t)0;
    double v = strtod(text, end);
    if (c) {
        uselocale(old);
        freelocale(c);
    }
    return v;
}

void tl_option_real_text(double v, char out[32])
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), old = c ? uselocale(c) : (locale_t)0;
    bool is_whole = fabs(v) < 1e15 && v == floor(v);
    if (is_whole) snprintf(out, 32, "%.0f", v); /* 1000, not 1e+03 */
    for (int digits = 1; !is_whole && digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, v);
        if (strtod(out, NULL) == v) break;
    }
    if (c) {
        uselocale(old);
        freelocale(c);
    }
}

static bool is_unlimited(const struct tl_option *row)
{
    return row->min == 0 && row->max == 0;
}

char *tl_option_limits(const struct tl_option *row, char *out, size_t size)
{
    char low[32], high[32];
    bool real = row->type == TL_OPTION_TYPE_REAL;
    bool has_low = real ? row->min > -DBL_MAX : row->min > INT_MIN;
    bool has_high = real ? row->max < DBL_MAX : row->max < INT_MAX;
    tl_option_real_text(row->min, low);
    tl_option_real_text(row->max, high);
    bool above = real && row->min == DBL_MIN;
    out[0] = 0;
    if (is_unlimited(row) || (!has_low && !has_high)) return out;
    if (above && has_high) {
        snprintf(out, size, "above 0, at most %s", high);
    } else if (has_low && has_high) {
        snprintf(out, size, "%s to %s", low, high);
    } else if (above) {
        snprintf(out, size, "above 0");
    } else {
        snprintf(out, size, has_low ? "at least %s" : "at most %s", has_low ? low : high);
    }
    return out;
}

static bool check_limits(const struct tl_option *row, double v, const char *text, struct tl_err *err)
{
    char limits[80];
    if (is_unlimited(row) || (v >= row->min && v <= row->max)) return true;
    return tl_err_set(err, TL_USAGE, "%s: %.80s is out of range: %s", row->name, text,
                      tl_option_limits(row, limits, sizeof limits));
}

static bool set_int(const struct tl_option *row, int *out, const char *text, struct tl_err *err)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || text[0] == ' ') {
        return tl_err_set(err, TL_USAGE, "%s: \"%.80s\" is not a whole number", row->name, text);
    }
    if (errno || v < INT_MIN || v > INT_MAX) {
        if (!is_unlimited(row)) return check_limits(row, v < 0 ? -INFINITY : INFINITY, text, err);
        return tl_err_set(err, TL_USAGE, "%s: %.80s is out of range: %d to %d", row->name, text, INT_MIN,
                          INT_MAX);
    }
    if (!check_limits(row, (double)v, text, err)) return false;
    *out = (int)v;
    return true;
}

static bool set_real(const struct tl_option *row, double *out, const char *text, struct tl_err *err)
{
    char *end;
    double v = read_real(text, &end);
    if (end == text || *end || text[0] == ' ' || isnan(v)) {
        return tl_err_set(err, TL_USAGE, "%s: \"%.80s\" is not a number", row->name, text);
    }
    if (isinf(v) && v != row->min && v != row->max) {
        return tl_err_set(err, TL_USAGE, "%s: %.80s is too large for a number here", row->name, text);
    }
    if (!check_limits(row, v, text, err)) return false;
    *out = v;
    return true;
}

static bool set_bool(const struct tl_option *row, bool *out, const char *text, struct tl_err *err)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (!strcmp(text, yes[i])) return *out = true;
        if (!strcmp(text, no[i])) {
            *out = false;
            return true;
        }
    }
    return tl_err_set(err, TL_USAGE, "%s: \"%.80s\" is neither true nor false", row->name, text);
}

static bool set_enum(const struct tl_option *row, int *out, const char *text, struct tl_err *err)
{
    size_t n = 0;
    for (; row->names[n]; n++) {
        if (!same_name(row->names[n], text)) continue;
        *out = (int)n;
        return true;
    }
    struct tl_str list = {0};
    for (size_t i = 0; i < n; i++) tl_str_printf(&list, "%s%s", i ? ", " : "", row->names[i]);
    const char *near = tl_str_nearest(text, row->names, n);
    tl_err_set(err, TL_USAGE, "%s: \"%.80s\" is none of %s%s%s%s", row->name, text,
               list.data ? list.data : "its names", near ? "; did you mean \"" : "", near ? near : "",
               near ? "\"?" : "");
    tl_str_finish(&list);
    return false;
}

static bool set_seed(const struct tl_option *row, uint64_t *out, const char *text, struct tl_err *err)
{
    if (!strcmp(text, "random")) {
        uint32_t drawn = 0;
        if (getrandom(&drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn) {
            return tl_err_set(err, TL_FAIL, "%s: the system gives no random number; name one", row->name);
        }
        *out = drawn;
        return true;
    }
    char *end;
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    errno = 0;
    unsigned long long v = strtoull(text, &end, hex ? 16 : 10);
    if (!(text[0] >= '0' && text[0] <= '9') || *end) {
        return tl_err_set(err, TL_USAGE,
                          "%s: \"%.80s\" is no seed: give a whole number from 0 on, or \"random\"", row->name,
                          text);
    }
    if (errno)
        return tl_err_set(err, TL_USAGE, "%s: %.80s is out of range: 0 to %llu", row->name, text, ULLONG_MAX);
    *out = v;
    return true;
}

static bool no_memory(const struct tl_option *row, struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "%s: out of memory", row->name);
}

/* `fresh` drops what the list held. */
static bool add_string(struct tl_options *o, const struct tl_option *row, struct tl_strings *list, bool fresh,
                       const char *text, struct tl_err *err)
{
    size_t n = fresh ? 0 : list->n;
    const char **items = tl_arena_alloc(&o->arena, n + 1, sizeof *items);
    char *copy = tl_arena_strdup(&o->arena, text);
    if (!items || !copy) return no_memory(row, err);
    if (n) memcpy((void *)items, (const void *)list->items, n * sizeof *items);
    items[n] = copy;
    *list = (struct tl_strings){items, n + 1};
    return true;
}

static bool set_row(struct tl_options *o, const struct tl_option *row, const char *text, bool fresh,
                    struct tl_err *err)
{
    void *field = (char *)o->params + row->offset;
    switch (row->type) {
    case TL_OPTION_TYPE_INT:
        return set_int(row, field, text, err);
    case TL_OPTION_TYPE_REAL:
        return set_real(row, field, text, err);
    case TL_OPTION_TYPE_BOOL:
        return set_bool(row, field, text, err);
    case TL_OPTION_TYPE_ENUM:
        return set_enum(row, field, text, err);
    case TL_OPTION_TYPE_SEED:
        return set_seed(row, field, text, err);
    case TL_OPTION_TYPE_STRINGS:
        return add_string(o, row, field, fresh, text, err);
    case TL_OPTION_TYPE_STRING:
        break;
    }
    const char *copy = tl_arena_strdup(&o->arena, text);
    if (!copy) return no_memory(row, err);
    *(const char **)field = copy;
    return true;
}

static void clear_row(const struct tl_options *o, const struct tl_option *row)
{
    void *field = (char *)o->params + row->offset;
    switch (row->type) {
    case TL_OPTION_TYPE_ENUM:
    case TL_OPTION_TYPE_INT:
        *(int *)field = 0;
        break;
    case TL_OPTION_TYPE_REAL:
        *(double *)field = 0;
        break;
    case TL_OPTION_TYPE_BOOL:
        *(bool *)field = false;
        break;
    case TL_OPTION_TYPE_STRING:
        *(const char **)field = NULL;
        break;
    case TL_OPTION_TYPE_STRINGS:
        *(struct tl_strings *)field = (struct tl_strings){0};
        break;
    case TL_OPTION_TYPE_SEED:
        *(uint64_t *)field = 0;
        break;
    }
}

struct tl_options *tl_options_create(const struct tl_option *table, void *params, struct tl_err *err)
{
    size_t n = 0;
    while (table[n].name) n++;
    struct tl_options *o = calloc(1, sizeof *o);
    if (o) *o = (struct tl_options){.table = table, .params = params, .source = calloc(n + 1, 1)};
    if (!o || !o->source) {
        tl_err_set(err, TL_FAIL, "out of memory for options");
        tl_options_destroy(&o);
        return NULL;
    }
    for (const struct tl_option *row = table; row->name; row++) {
        struct tl_err why = {0};
        clear_row(o, row);
        if (!row->fallback || set_row(o, row, row->fallback, true, &why)) continue;
        tl_err_set(err, TL_FAIL, "an option's own default does not fit: %s", why.text);
        tl_options_destroy(&o);
        return NULL;
    }
    return o;
}

void tl_options_destroy(struct tl_options **o_ptr)
{
    struct tl_options *o = *o_ptr;
    if (!o) return;
    tl_arena_finish(&o->arena);
    free(o->source);
    free(o);
    *o_ptr = NULL;
}

const struct tl_option *tl_options_table(const struct tl_options *o)
{
    return o->table;
}

bool tl_option_set(struct tl_options *o, const char *name, const char *text, enum tl_option_source source,
                   struct tl_err *err)
{
    struct tl_options *sets[] = {o};
    const struct tl_option *row = tl_option_find(o->table, name);
    if (!row) return tl_options_unknown(sets, 1, name, "", err);
    unsigned char *now = &o->source[tl_option_index(o, row)];
    if (source < *now) return true; /* a stronger word was spoken */
    if (!set_row(o, row, text, source != *now || source == TL_FROM_DEFAULT, err)) return false;
    *now = (unsigned char)source;
    return true;
}

void tl_option_clear_list(struct tl_options *o, const struct tl_option *row, enum tl_option_source source)
{
    unsigned char *now = &o->source[tl_option_index(o, row)];
    if (row->type != TL_OPTION_TYPE_STRINGS || source < *now) return;
    *now = (unsigned char)source;
    clear_row(o, row);
}

enum tl_option_source tl_option_source_of(const struct tl_options *o, const char *name)
{
    const struct tl_option *row = tl_option_find(o->table, name);
    return row ? (enum tl_option_source)o->source[tl_option_index(o, row)] : TL_FROM_DEFAULT;
}
