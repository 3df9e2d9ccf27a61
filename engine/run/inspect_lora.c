/* LoRA adapters by their tensors' names alone: diffusers, PEFT and kohya write the same matrices under other
 * names. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "run/inspect_parts.h"

/* What ends the name of a down matrix, and who writes it so. */
static const struct {
    const char *end, *format;
} downs[] = {
    {".lora_down.weight", "kohya"},
    {".lora.down.weight", "diffusers"},
    {"_lora.down.weight", "diffusers, oldest names"},
    {".lora_linear_layer.down.weight", "diffusers"},
    {".lora_A.weight", "peft"},
    {".lora_A.default.weight", "peft"},
};
enum { N_DOWNS = sizeof downs / sizeof *downs, MOST_KINDS = 64 };

/* Kinds of layers: what their names end in, in dotted and flattened spelling and in SDXL's original names.
 * Longer ends first. */
static const char *const ends[] = {
    "to_out.0",      "to_out_0",     "ff.net.0.proj", "ff_net_0_proj", "ff.net.2",     "ff_net_2",
    "time_emb_proj", "emb_layers_1", "conv_shortcut", "in_layers_2",   "out_layers_3", "skip_connection",
    "conv1",         "conv2",        "conv_in",       "conv_out",      "to_q",         "to_k",
    "to_v",          "q_proj",       "k_proj",        "v_proj",        "out_proj",     "proj_in",
    "proj_out",      "fc1",          "fc2",           "conv",
};

struct kind {
    const char *name;
    uint64_t n;
};

struct tally {
    struct tl_arena arena;
    struct kind layers[MOST_KINDS], parts[MOST_KINDS], ranks[MOST_KINDS], alphas[MOST_KINDS];
    int n_layers, n_parts, n_ranks, n_alphas;
};

static void count(struct tally *t, struct kind *kinds, int *n, const char *name)
{
    for (int i = 0; i < *n; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            kinds[i].n++;
            return;
        }
    char *own = *n < MOST_KINDS ? tl_arena_strdup(&t->arena, name) : NULL;
    if (own) kinds[(*n)++] = (struct kind){own, 1};
}

/* The kind of layer that a name ends in: "to_q", "ff.net.2", or the last component. */
static const char *layer_kind(const char *layer)
{
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (tl_str_ends(layer, ends[i])) return ends[i];
    const char *dot = strrchr(layer, '.');
    return dot ? dot + 1 : layer;
}

/* The model that a layer belongs to: "unet", "text_encoder", "lora_unet", "lora_te1". */
static const char *part_of(struct tally *t, const char *layer)
{
    static const char *const kohya[] = {"lora_unet_", "lora_te1_", "lora_te2_", "lora_te_"};
    for (size_t i = 0; i < sizeof kohya / sizeof *kohya; i++)
        if (strncmp(layer, kohya[i], strlen(kohya[i])) == 0)
            return tl_arena_printf(&t->arena, "%.*s", (int)strlen(kohya[i]) - 1, kohya[i]);
    if (strncmp(layer, "base_model.model.", 17) == 0) return "base_model.model";
    return tl_arena_printf(&t->arena, "%.*s", (int)strcspn(layer, "."), layer);
}

static void add_down(struct tally *t, const struct tl_st_set *set, const struct tl_st_tensor *down,
                     size_t end)
{
    char *layer = tl_arena_printf(&t->arena, "%.*s", (int)(strlen(down->name) - end), down->name);
    if (!layer) return;
    const char *part = part_of(t, layer);
    count(t, t->layers, &t->n_layers, layer_kind(layer));
    if (part) count(t, t->parts, &t->n_parts, part);
    char rank[32];
    snprintf(rank, sizeof rank, "%llu", down->rank ? (unsigned long long)down->shape[0] : 0ull);
    count(t, t->ranks, &t->n_ranks, rank);
    char *name = tl_arena_printf(&t->arena, "%s.alpha", layer);
    const struct tl_st_tensor *alpha = name ? tl_st_set_find(set, name) : NULL;
    float value;
    struct tl_err ignored = {0};
    if (alpha && alpha->n == 1 && tl_st_to_f32(alpha, &value, &ignored)) {
        char text[32];
        snprintf(text, sizeof text, "%g", (double)value);
        count(t, t->alphas, &t->n_alphas, text);
    }
}

/* A component in front of the module: diffusers' file, whatever it calls the matrices. */
static bool is_diffusers(const char *key)
{
    static const char *const starts[] = {"unet.", "text_encoder.", "text_encoder_2.", "transformer."};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(key, starts[i], strlen(starts[i])) == 0) return true;
    return false;
}

/* The alphas that diffusers' metadata has, one for each component. */
static void add_metadata_alphas(struct tally *t, const struct tl_st_set *set)
{
    const char *text = tl_st_set_meta_find(set, "lora_adapter_metadata");
    cJSON *json = text ? tl_json_parse(text, strlen(text), "lora_adapter_metadata", NULL) : NULL;
    for (const cJSON *v = json ? json->child : NULL; v; v = v->next) {
        char alpha[32];
        if (!tl_str_ends(v->string, ".lora_alpha") || !cJSON_IsNumber(v)) continue;
        snprintf(alpha, sizeof alpha, "%g", v->valuedouble);
        count(t, t->alphas, &t->n_alphas, alpha);
    }
    cJSON_Delete(json);
}

static void add_kinds(cJSON *out, const char *key, const struct kind *kinds, int n)
{
    struct tl_str text = {0};
    for (int i = 0; i < n; i++)
        if (n == 1)
            tl_str_append(&text, kinds[i].name);
        else
            tl_str_printf(&text, "%s%s (%llu)", i ? ", " : "", kinds[i].name, (unsigned long long)kinds[i].n);
    tl_listing_text(out, key, text.data);
    tl_str_finish(&text);
}

void tl_inspect_lora(cJSON *out, const struct tl_st_set *set)
{
    struct tally t = {0};
    const char *format = NULL;
    uint64_t modules = 0;
    bool dora = false;
    for (size_t i = 0; i < tl_st_set_count(set); i++) {
        const struct tl_st_tensor *w = tl_st_set_at(set, i);
        dora |= tl_str_ends(w->name, ".dora_scale") || tl_str_ends(w->name, ".lora_magnitude_vector");
        for (int k = 0; k < N_DOWNS; k++) {
            if (!tl_str_ends(w->name, downs[k].end)) continue;
            /* diffusers renames only the attention projections: a mixed file is its own */
            if (!format || strcmp(format, "peft") == 0)
                format = k >= 4 && is_diffusers(w->name) ? "diffusers" : downs[k].format;
            modules++;
            add_down(&t, set, w, strlen(downs[k].end));
            break;
        }
    }
    if (modules && t.n_alphas == 0) add_metadata_alphas(&t, set);
    cJSON *lora = modules ? tl_listing_object(out, "lora") : NULL;
    tl_listing_text(lora, "format", format);
    tl_listing_count(lora, "modules", modules);
    add_kinds(lora, "parts", t.parts, t.n_parts);
    add_kinds(lora, "rank", t.ranks, t.n_ranks);
    add_kinds(lora, "alpha", t.alphas, t.n_alphas);
    if (t.n_alphas == 0 && format && strcmp(format, "peft") != 0)
        tl_listing_text(lora, "alpha", "none: scale 1");
    add_kinds(lora, "layers", t.layers, t.n_layers);
    if (dora) tl_listing_text(lora, "note", "DoRA: has magnitude vectors, which tiller does not apply");
    tl_arena_finish(&t.arena);
}
