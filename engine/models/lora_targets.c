/* target_modules of a LoRA that was not trained here: the kinds of its layers, where they say it all. */
#include <stdio.h>
#include <string.h>

#include "models/lora_file.h"

enum { MOST_TARGETS = 48 };

/* The end of a layer's name that is a kind of layer: "to_q", "to_out.0", "ff.net.2"'s "net.2". */
static const char *kind_of(const char *layer)
{
    const char *dot = strrchr(layer, '.');
    while (dot && dot > layer && dot[1] >= '0' && dot[1] <= '9') {
        do dot--;
        while (dot > layer && *dot != '.');
    }
    return !dot || *dot != '.' ? layer : dot + 1;
}

static bool has(const struct tl_lora_file *file, const struct tl_store_entry *e)
{
    for (size_t i = 0; i < file->n; i++)
        if (file->layers[i].entry == e) return true;
    return false;
}

/* Whether the ends mean the file's layers of a component and no other. */
static bool mean_these(const struct tl_lora_spec *ends, const struct tl_lora_file *file,
                       const struct tl_store_layout *layout)
{
    for (int32_t i = 0; i < layout->n_entries; i++) {
        char name[TL_ST_MAX_NAME];
        const struct tl_store_entry *e = &layout->entries[i];
        if (!tl_lora_is_layer(e)) continue;
        snprintf(name, sizeof name, "%.*s", (int)tl_lora_layer_len(e), e->name);
        if ((tl_lora_rank(ends, name) > 0) != has(file, e)) return false;
    }
    return true;
}

bool tl_lora_targets(const struct tl_lora_file *file, const struct tl_lora_model *model, int part,
                     struct tl_arena *arena, const char ***out_targets, int *out_n, struct tl_err *err)
{
    struct tl_lora_spec ends = {.rank = 1};
    bool seen[TL_LORA_PARTS] = {0}, exact = true;
    *out_targets = NULL;
    *out_n = 0;
    ends.targets = tl_arena_alloc(arena, MOST_TARGETS, sizeof *ends.targets);
    if (!ends.targets) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; exact && i < file->n; i++) {
        const struct tl_lora_layer *l = &file->layers[i];
        if (part >= 0 && l->part != part) continue;
        char *name = tl_arena_printf(arena, "%.*s", (int)tl_lora_layer_len(l->entry), l->entry->name);
        if (!name) return tl_err_set(err, TL_FAIL, "out of memory");
        seen[l->part] = true;
        if (tl_lora_rank(&ends, name)) continue;
        exact = ends.n_targets < MOST_TARGETS;
        if (exact) ends.targets[ends.n_targets++] = kind_of(name);
    }
    for (int p = 0; exact && p < TL_LORA_PARTS; p++)
        if (seen[p]) exact = mean_these(&ends, file, model->part[p]);
    if (!exact) return true;
    *out_targets = ends.targets;
    *out_n = ends.n_targets;
    return true;
}
