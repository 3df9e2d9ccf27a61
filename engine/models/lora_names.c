#include "models/lora_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "models/lora_sgm.h"
#include "models/weights.h"

const char *const tl_lora_part_names[TL_LORA_PARTS] = {"unet", "text_encoder", "text_encoder_2"};

/* The first that fits counts: longer ones stand in front of their ends. */
static const struct {
    const char *end;
    enum tl_lora_kind kind;
} suffixes[] = {
    {".lora_A.default.weight", TL_LORA_DOWN},
    {".lora_B.default.weight", TL_LORA_UP},
    {".lora_A.weight", TL_LORA_DOWN},
    {".lora_B.weight", TL_LORA_UP},
    {".lora_linear_layer.down.weight", TL_LORA_DOWN},
    {".lora_linear_layer.up.weight", TL_LORA_UP},
    {".lora.down.weight", TL_LORA_DOWN},
    {".lora.up.weight", TL_LORA_UP},
    {"_lora.down.weight", TL_LORA_DOWN},
    {"_lora.up.weight", TL_LORA_UP},
    {".lora_down.weight", TL_LORA_DOWN},
    {".lora_up.weight", TL_LORA_UP},
    {".lora_A", TL_LORA_DOWN},
    {".lora_B", TL_LORA_UP},
    {".alpha", TL_LORA_ALPHA},
    {".lora_B.bias", TL_LORA_BIAS},
    {".lora_up.bias", TL_LORA_BIAS},
    {".lora.up.bias", TL_LORA_BIAS},
    {".lora_magnitude_vector", TL_LORA_REFUSED},
    {".lora_magnitude_vector.weight", TL_LORA_REFUSED},
    {".lora_magnitude_vector.default.weight", TL_LORA_REFUSED},
    {".dora_scale", TL_LORA_REFUSED},
    {".lora_mid.weight", TL_LORA_REFUSED},
};

static const struct {
    const char *start;
    int part;
    bool flat;
} prefixes[] = {
    {"text_encoder_2.", TL_LORA_TEXT_2, false},
    {"text_encoder.", TL_LORA_TEXT, false},
    {"unet.", TL_LORA_UNET, false},
    {"lora_unet_", TL_LORA_UNET, true},
    {"lora_te1_", TL_LORA_TEXT, true},
    {"lora_te2_", TL_LORA_TEXT_2, true},
    {"lora_te_", TL_LORA_TEXT, true},
};

/* Layers of a text encoder under the names that the oldest files of diffusers gave them. */
static const struct {
    const char *old, *now;
} text_layers[] = {
    {"self_attn.to_q", "self_attn.q_proj"},
    {"self_attn.to_k", "self_attn.k_proj"},
    {"self_attn.to_v", "self_attn.v_proj"},
    {"self_attn.to_out", "self_attn.out_proj"},
};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static void replace_end(char *text, size_t size, const char *old, const char *now)
{
    if (!tl_str_ends(text, old)) return;
    size_t at = strlen(text) - strlen(old);
    snprintf(text + at, size - at, "%s", now);
}

/* Today's spelling of a dotted module. */
static void modernise(char *module, size_t size)
{
    static const char processor[] = ".processor";
    char *at = strstr(module, processor);
    if (at) memmove(at, at + sizeof processor - 1, strlen(at + sizeof processor - 1) + 1);
    for (size_t i = 0; i < LENGTH(text_layers); i++)
        replace_end(module, size, text_layers[i].old, text_layers[i].now);
    replace_end(module, size, ".to_out", ".to_out.0");
}

void tl_lora_key_parse(const char *key, struct tl_lora_key *out)
{
    static const char peft[] = "base_model.model.";
    *out = (struct tl_lora_key){.kind = TL_LORA_UNKNOWN, .part = -1};
    size_t n = strlen(key);
    for (size_t i = 0; i < LENGTH(suffixes) && out->kind == TL_LORA_UNKNOWN; i++)
        if (tl_str_ends(key, suffixes[i].end)) {
            out->kind = suffixes[i].kind;
            n -= strlen(suffixes[i].end);
        }
    if (n > sizeof peft - 1 && memcmp(key, peft, sizeof peft - 1) == 0) {
        key += sizeof peft - 1;
        n -= sizeof peft - 1;
    }
    for (size_t i = 0; i < LENGTH(prefixes) && out->part < 0; i++) {
        size_t m = strlen(prefixes[i].start);
        if (n <= m || memcmp(key, prefixes[i].start, m) != 0) continue;
        out->part = prefixes[i].part;
        out->flat = prefixes[i].flat;
        key += m;
        n -= m;
    }
    snprintf(out->module, sizeof out->module, "%.*s", (int)n, key);
    if (!out->flat) modernise(out->module, sizeof out->module);
}

size_t tl_lora_layer_len(const struct tl_store_entry *entry)
{
    return strlen(entry->name) - strlen(".weight");
}

bool tl_lora_is_layer(const struct tl_store_entry *e)
{
    return e->layout != TL_LAYOUT_PLAIN && tl_str_ends(e->name, ".weight");
}

static char *flatten(struct tl_arena *arena, const char *name, size_t n)
{
    char *flat = tl_arena_printf(arena, "%.*s", (int)n, name);
    for (char *c = flat; c && *c; c++)
        if (*c == '.') *c = '_';
    return flat;
}

static int by_flat(const void *a, const void *b)
{
    const struct tl_lora_module *x = a, *y = b;
    return strcmp(x->flat, y->flat);
}

static bool index_part(struct tl_lora_names *names, int part)
{
    const struct tl_store_layout *l = names->model->part[part];
    if (!l) return true;
    /* A layer of the UNet stands under both of its names. */
    struct tl_lora_module *m = tl_arena_alloc(&names->arena, 2 * (size_t)l->n_entries + 1, sizeof *m);
    size_t n = 0;
    if (!m) return false;
    int layers = tl_lora_sgm_layers(l);
    for (int32_t i = 0; i < l->n_entries; i++) {
        const struct tl_store_entry *e = &l->entries[i];
        char sgm[TL_ST_MAX_NAME];
        if (!tl_lora_is_layer(e)) continue;
        m[n++] = (struct tl_lora_module){flatten(&names->arena, e->name, tl_lora_layer_len(e)), e};
        if (part == TL_LORA_UNET && tl_lora_sgm_name(l, layers, e, sgm, sizeof sgm))
            m[n++] = (struct tl_lora_module){flatten(&names->arena, sgm, strlen(sgm)), e};
    }
    if (names->arena.failed) return false;
    qsort(m, n, sizeof *m, by_flat);
    names->modules[part] = m;
    names->n[part] = n;
    return true;
}

bool tl_lora_names_init(struct tl_lora_names *names, const struct tl_lora_model *model, struct tl_err *err)
{
    *names = (struct tl_lora_names){.model = model};
    for (int part = 0; part < TL_LORA_PARTS; part++)
        if (!index_part(names, part)) {
            tl_lora_names_finish(names);
            return tl_err_set(err, TL_FAIL, "out of memory");
        }
    return true;
}

void tl_lora_names_finish(struct tl_lora_names *names)
{
    tl_arena_finish(&names->arena);
    *names = (struct tl_lora_names){0};
}

static const struct tl_store_entry *find_flat(const struct tl_lora_names *names, int part, const char *flat)
{
    struct tl_lora_module key = {.flat = flat}, *found = NULL;
    if (names->n[part]) found = bsearch(&key, names->modules[part], names->n[part], sizeof key, by_flat);
    return found ? found->entry : NULL;
}

static const struct tl_store_entry *find_dotted(const struct tl_lora_names *names, int part,
                                                const char *module)
{
    const struct tl_store_layout *l = names->model->part[part];
    char name[TL_ST_MAX_NAME + 16];
    if (!l) return NULL;
    snprintf(name, sizeof name, "%s.weight", module);
    const struct tl_store_entry *e = tl_weights_entry(l, name);
    return e && tl_lora_is_layer(e) ? e : NULL;
}

const struct tl_store_entry *tl_lora_names_find(const struct tl_lora_names *names,
                                                const struct tl_lora_key *key, int *out_part)
{
    for (int part = 0; part < TL_LORA_PARTS; part++) {
        if (key->part >= 0 && key->part != part) continue;
        const struct tl_store_entry *e =
            key->flat ? find_flat(names, part, key->module) : find_dotted(names, part, key->module);
        if (!e) continue;
        *out_part = part;
        return e;
    }
    return NULL;
}

char *tl_lora_kohya_name(struct tl_arena *arena, int part, const struct tl_store_layout *layout,
                         const struct tl_store_entry *entry, bool xl)
{
    static const char *const tokens[TL_LORA_PARTS] = {"lora_unet_", "lora_te_", "lora_te2_"};
    char sgm[TL_ST_MAX_NAME];
    const char *token = part == TL_LORA_TEXT && xl ? "lora_te1_" : tokens[part];
    bool original = xl && part == TL_LORA_UNET &&
                    tl_lora_sgm_name(layout, tl_lora_sgm_layers(layout), entry, sgm, sizeof sgm);
    char *flat =
        original ? flatten(arena, sgm, strlen(sgm)) : flatten(arena, entry->name, tl_lora_layer_len(entry));
    return flat ? tl_arena_printf(arena, "%s%s", token, flat) : NULL;
}
