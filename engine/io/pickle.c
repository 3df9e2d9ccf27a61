/* What is made of a pickle, and how it is looked at. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/pickle.h"
#include "io/utf8.h"

void tl_pickle_finish(struct tl_pickle *p)
{
    free(p->values);
    free(p->cells);
    *p = (struct tl_pickle){0};
}

const struct tl_pickle_value *tl_pickle_at(const struct tl_pickle *p, uint32_t value)
{
    return &p->values[value];
}

const struct tl_pickle_value *tl_pickle_item(const struct tl_pickle *p, const struct tl_pickle_value *v,
                                             uint32_t i)
{
    uint32_t cell = v->items.first;
    while (i--) cell = p->cells[cell].next;
    return &p->values[p->cells[cell].value];
}

bool tl_pickle_is_text(const struct tl_pickle_value *v, const char *text)
{
    return v->kind == TL_PICKLE_TEXT && v->text.len == strlen(text) &&
           memcmp(v->text.data, text, v->text.len) == 0;
}

bool tl_pickle_is_name(const struct tl_pickle *p, const struct tl_pickle_value *v, const char *module,
                       const char *name)
{
    return v->kind == TL_PICKLE_NAME && tl_pickle_is_text(&p->values[v->pair[0]], module) &&
           tl_pickle_is_text(&p->values[v->pair[1]], name);
}

const struct tl_pickle_value *tl_pickle_get(const struct tl_pickle *p, const struct tl_pickle_value *dict,
                                            const char *key)
{
    const struct tl_pickle_value *found = NULL;
    if (dict->kind != TL_PICKLE_DICT) return NULL;
    uint32_t cell = dict->items.first;
    for (uint32_t i = 0; i < dict->items.n; i += 2) {
        const struct tl_pickle_cell *k = &p->cells[cell], *v = &p->cells[k->next];
        if (tl_pickle_is_text(&p->values[k->value], key)) found = &p->values[v->value];
        cell = v->next;
    }
    return found;
}

static int shown(const struct tl_pickle_value *text)
{
    uint32_t n = text->text.len < 100 ? text->text.len : 100;
    return (int)tl_utf8_prefix(text->text.data, n);
}

char *tl_pickle_describe(const struct tl_pickle *p, const struct tl_pickle_value *v, char *out, size_t size)
{
    static const char *const kinds[] = {"None",     "a bool", "an int",  "an int",   "a float",
                                        "a string", "bytes",  "a tuple", "a list",   "a set",
                                        "a dict",   "a name", "a call",  "a storage"};
    for (int depth = 0; v->kind == TL_PICKLE_CALL && depth < 8; depth++) v = &p->values[v->pair[0]];
    if (v->kind != TL_PICKLE_NAME) {
        snprintf(out, size, "%s", kinds[v->kind]);
    } else {
        const struct tl_pickle_value *module = &p->values[v->pair[0]], *name = &p->values[v->pair[1]];
        snprintf(out, size, "%.*s.%.*s", shown(module), module->text.data, shown(name), name->text.data);
    }
    return out;
}
