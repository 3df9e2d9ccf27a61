#include "models/lora_start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

struct part {
    struct tl_lora_spec spec;
    struct tl_lora_ranks ranks;
    size_t n; /* layers; 0: the file has none */
    const char *about;
};

struct tl_lora_start {
    struct tl_lora_file file;
    struct part part[TL_LORA_PARTS];
};

/* What a run cannot train, though it can be merged. */
static bool check_layer(const struct tl_lora_layer *l, unsigned parts, struct tl_err *err)
{
    int n = (int)tl_lora_layer_len(l->entry);
    if (!(parts & 1u << l->part))
        return tl_err_set(err, TL_BAD_INPUT,
                          "it has adapters of the %s, which this run does not train: keep the others with "
                          "tiller convert --part, and put these into the model with tiller merge",
                          tl_lora_part_names[l->part]);
    if (l->entry->layout != TL_LAYOUT_LINEAR && l->entry->layout != TL_LAYOUT_LINEAR4)
        return tl_err_set(err, TL_BAD_INPUT,
                          "%.*s is a convolution: its adapter can be put into the model (tiller merge), not "
                          "trained on",
                          n, l->entry->name);
    if (l->bias)
        return tl_err_set(
            err, TL_BAD_INPUT,
            "it has a bias for %.*s: that can be put into the model (tiller merge), not trained "
            "on",
            n, l->entry->name);
    return true;
}

/* One rank for messages, one scale for the network. */
static bool describe(struct tl_lora_start *s, int part, const struct tl_lora_model *model, struct tl_err *err)
{
    struct part *p = &s->part[part];
    const struct tl_lora_layer *first = NULL;
    int low = 0, high = 0;
    bool one_scale = true, zero = true;
    for (size_t i = 0; i < s->file.n; i++) {
        const struct tl_lora_layer *l = &s->file.layers[i];
        if (l->part != part) continue;
        if (!first) first = l;
        if (low == 0 || l->rank < low) low = l->rank;
        if (l->rank > high) high = l->rank;
        one_scale = one_scale && l->scale == first->scale;
        zero = zero && l->scale == 0;
        p->n++;
    }
    if (!first) return true;
    if (zero)
        return tl_err_set(err, TL_BAD_INPUT, "its scale (alpha / rank) is 0: there is nothing to go on from");
    p->ranks = (struct tl_lora_ranks){&s->file, part};
    p->spec = (struct tl_lora_spec){.rank = high,
                                    .alpha = one_scale ? first->scale * high : high,
                                    .rank_of = tl_lora_ranks_of,
                                    .user = &p->ranks};
    p->about = low == high ? tl_arena_printf(&s->file.arena, "%zu layers of rank %d, alpha %g", p->n, high,
                                             p->spec.alpha)
                           : tl_arena_printf(&s->file.arena, "%zu layers of ranks %d to %d, scale %g", p->n,
                                             low, high, p->spec.alpha / high);
    if (!p->about) return tl_err_set(err, TL_FAIL, "out of memory");
    return tl_lora_targets(&s->file, model, part, &s->file.arena, &p->spec.targets, &p->spec.n_targets, err);
}

struct tl_lora_start *tl_lora_start_open(const char *path, const struct tl_lora_model *model, unsigned parts,
                                         struct tl_err *err)
{
    struct tl_lora_start *s = calloc(1, sizeof *s);
    if (!s) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    if (!tl_file_exists(path)) {
        tl_err_set(err, TL_BAD_INPUT, "LoRA %s: there is no such file", path);
        goto fail;
    }
    if (!tl_lora_file_read_whole(path, model, &s->file, err)) goto fail;
    bool ok = true;
    for (size_t i = 0; ok && i < s->file.n; i++) ok = check_layer(&s->file.layers[i], parts, err);
    for (int part = 0; ok && part < TL_LORA_PARTS; part++)
        ok = !model->part[part] || describe(s, part, model, err);
    if (ok) return s;
    tl_err_add(err, "%s", path);
fail:
    tl_lora_start_close(&s);
    return NULL;
}

void tl_lora_start_close(struct tl_lora_start **s_ptr)
{
    struct tl_lora_start *s = *s_ptr;
    if (!s) return;
    tl_lora_file_finish(&s->file);
    free(s);
    *s_ptr = NULL;
}

const struct tl_lora_spec *tl_lora_start_spec(const struct tl_lora_start *s, int part)
{
    return s->part[part].n ? &s->part[part].spec : NULL;
}

const char *tl_lora_start_about(const struct tl_lora_start *s, int part)
{
    return s->part[part].n ? s->part[part].about : "";
}

bool tl_lora_start_fill(const struct tl_lora_start *s, int part, struct tl_store *lora, struct tl_err *err)
{
    const struct tl_lora_spec *spec = &s->part[part].spec;
    if (s->part[part].n == 0)
        return tl_err_set(err, TL_FAIL, "the LoRA has no adapters of the %s", tl_lora_part_names[part]);
    return tl_lora_file_load(&s->file, part, lora, spec->alpha / spec->rank, err);
}
