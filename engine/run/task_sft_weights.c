/* What supervised fine-tuning trains: a LoRA or all weights, of the UNet and, on request, of the text
 * encoder; one store holds both. And how it leaves the run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/str.h"
#include "io/file.h"
#include "run/lora_output.h"
#include "run/lora_start_check.h"
#include "run/task_sft_parts.h"
#include "run/train_methods.h"

enum { DEFAULT_RANK = 8 };

static const char *const part_words[2] = {"UNet", "text encoder"};
static const int lora_parts[2] = {TL_LORA_UNET, TL_LORA_TEXT};

static struct tl_component *component(const struct tl_sft *s, int part)
{
    return part == TL_SFT_UNET ? s->pipeline->unet : s->pipeline->text[0];
}

static struct tl_lora_model lora_model(const struct tl_sft *s)
{
    return (struct tl_lora_model){
        .part = {[TL_LORA_UNET] = s->pipeline->unet->layout, [TL_LORA_TEXT] = s->pipeline->text[0]->layout}};
}

/* ---- deciding ---- */

static bool open_start(struct tl_sft *s, struct tl_err *err)
{
    struct tl_lora_model model = lora_model(s);
    unsigned parts = 1u << TL_LORA_UNET | (s->p.train_text ? 1u << TL_LORA_TEXT : 0);
    s->start = tl_lora_start_open(s->p.lora, &model, parts, err);
    if (!s->start) return false;
    for (int part = 0; part < 2; part++) {
        const struct tl_lora_spec *spec = tl_lora_start_spec(s->start, lora_parts[part]);
        if (!spec) continue;
        if (s->p.rank && s->p.rank != spec->rank)
            return tl_err_set(err, TL_USAGE, "--rank %d: %s has rank %d; leave --rank out", s->p.rank,
                              s->p.lora, spec->rank);
        tl_log(TL_LOG_INFO, "%s, %s: %s", s->p.lora, part_words[part],
               tl_lora_start_about(s->start, lora_parts[part]));
    }
    return true;
}

/* The file shapes the parts that it has; options shape a part that it lacks. */
static bool check_start(const struct tl_sft *s, struct tl_err *err)
{
    bool unet = tl_lora_start_spec(s->start, TL_LORA_UNET), text = tl_lora_start_spec(s->start, TL_LORA_TEXT);
    const struct tl_lora_shape shape = {.alpha = unet && (text || !s->p.train_text) ? s->p.alpha : 0,
                                        .targets = unet ? s->p.targets : NULL,
                                        .text_targets = text ? s->p.text_targets : NULL};
    return tl_lora_start_check(tl_sft_options, &shape, err);
}

static bool choose_specs(struct tl_sft *s, struct tl_err *err)
{
    const char *const targets[2] = {s->p.targets, s->p.text_targets};
    int rank = s->p.rank ? s->p.rank : DEFAULT_RANK;
    if (s->p.lora && (!open_start(s, err) || !check_start(s, err))) return false;
    for (int part = 0; part < (s->p.train_text ? 2 : 1); part++) {
        s->spec[part] = s->start ? tl_lora_start_spec(s->start, lora_parts[part]) : NULL;
        if (s->spec[part]) continue;
        if (!tl_lora_spec_parse(targets[part], rank, s->p.alpha > 0 ? s->p.alpha : rank, &s->own_spec[part],
                                err))
            return false;
        s->spec[part] = &s->own_spec[part];
    }
    return true;
}

double tl_sft_scale(const struct tl_sft *s, int part)
{
    return s->spec[part] ? s->spec[part]->alpha / s->spec[part]->rank : 0;
}

/* ---- layouts ---- */

/* The smallest graph that asks for a part's weights. */
static struct tl_graph *declare(const struct tl_sft *s, int part, struct tl_err *err)
{
    struct tl_component *c = component(s, part);
    struct tl_graph *g = tl_graph_create();
    if (!g) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    struct tl_nn nn = {
        .g = g, .set = TL_SET_BASE, .lora = s->spec[part], .lora_scale = TL_NONE, .dtype = c->dtype};
    c->cls->declare(&nn, &c->config);
    if (!tl_graph_ok(g, err)) tl_graph_destroy(&g);
    return g;
}

/* A target that names no layer is most likely a slip of the pen; the others train all the same. */
static bool check_targets(const struct tl_sft *s, int part, struct tl_err *err)
{
    static const char ending[] = ".lora_A.weight";
    const struct tl_lora_spec *spec = &s->own_spec[part];
    const struct tl_store_layout *l = s->part_layouts[part];
    if (s->spec[part] != spec) return true; /* a file's layers are checked by its reader */
    if (l->n_entries == 0)
        return tl_err_set(err, TL_USAGE, "no layer of the %s ends in one of the LoRA's targets (%s%s)",
                          part_words[part], spec->targets[0], spec->n_targets > 1 ? ", ..." : "");
    for (int k = 0; k < spec->n_targets; k++) {
        struct tl_lora_spec one = {.rank = 1, .targets = spec->targets + k, .n_targets = 1};
        bool found = false;
        for (int32_t i = 0; i < l->n_entries && !found; i++) {
            char layer[512];
            size_t n = strlen(l->entries[i].name);
            if (!tl_str_ends(l->entries[i].name, ending) || n >= sizeof layer) continue;
            snprintf(layer, sizeof layer, "%.*s", (int)(n - (sizeof ending - 1)), l->entries[i].name);
            found = tl_lora_rank(&one, layer) > 0;
        }
        if (!found)
            tl_log(TL_LOG_WARN, "%s: no layer of the %s ends in %s",
                   part == TL_SFT_UNET ? "--targets" : "--text-targets", part_words[part], spec->targets[k]);
    }
    return true;
}

static bool make_layouts(struct tl_sft *s, struct tl_err *err)
{
    int n = s->p.train_text ? 2 : 1, set = s->full ? TL_SET_BASE : TL_SET_LORA;
    struct tl_graph *graphs[2] = {declare(s, TL_SFT_UNET, err), NULL};
    bool ok = graphs[0] != NULL;
    if (ok && n == 2) {
        graphs[1] = declare(s, TL_SFT_TEXT, err);
        ok = graphs[1] != NULL;
    }
    const struct tl_graph *const both[2] = {graphs[0], graphs[1]};
    for (int i = 0; ok && i < n && !s->full; i++) {
        s->part_layouts[i] = tl_store_layout_create(both + i, 1, set, NULL, NULL, err);
        ok = s->part_layouts[i] && check_targets(s, i, err);
    }
    if (ok) s->joint = tl_store_layout_create(both, n, set, NULL, NULL, err);
    tl_graph_destroy(&graphs[0]);
    tl_graph_destroy(&graphs[1]);
    return ok && s->joint;
}

/* ---- stores ---- */

/* What `to` names, from a store that has it under the same names. */
static bool copy_entries(struct tl_store *from, struct tl_store *to, const struct tl_store_layout *names,
                         struct tl_err *err)
{
    for (int32_t i = 0; i < names->n_entries; i++) {
        const char *name = names->entries[i].name;
        const struct tl_store_entry *a = tl_store_layout_find(from->layout, name),
                                    *b = tl_store_layout_find(to->layout, name);
        float *data = a && b ? malloc((size_t)tl_shape_count(&a->shape) * sizeof *data) : NULL;
        bool ok = data && tl_store_read(from, a, data, err) && tl_store_write(to, b, data, err);
        free(data);
        if (!ok) return tl_err_set(err, TL_FAIL, "%s cannot be copied", name);
    }
    return true;
}

static bool fill_from_start(struct tl_sft *s, int part, struct tl_err *err)
{
    if (!s->start || !tl_lora_start_spec(s->start, lora_parts[part])) return true;
    struct tl_store *own = tl_store_create(s->pipeline->device, s->part_layouts[part], err);
    bool ok = own && tl_lora_start_fill(s->start, lora_parts[part], own, err) &&
              copy_entries(own, s->weights, s->part_layouts[part], err);
    tl_store_destroy(&own);
    return ok;
}

bool tl_sft_make_weights(struct tl_sft *s, struct tl_err *err)
{
    struct tl_device *d = s->pipeline->device;
    if (s->full && !s->p.train_text) {
        s->weights = s->pipeline->unet->store;
        s->grads = tl_store_create(d, s->pipeline->unet->layout, err);
        return s->grads != NULL;
    }
    if ((!s->full && !choose_specs(s, err)) || !make_layouts(s, err)) return false;
    s->weights = tl_store_create(d, s->joint, err);
    s->grads = s->weights ? tl_store_create(d, s->joint, err) : NULL;
    if (!s->grads || (!s->full && !tl_weights_init(s->weights, s->job->seed, err))) return false;
    for (int part = 0; part < (s->p.train_text ? 2 : 1); part++) {
        struct tl_component *c = component(s, part);
        if (!(s->full ? copy_entries(c->store, s->weights, c->layout, err) : fill_from_start(s, part, err)))
            return false;
    }
    return true;
}

void tl_sft_free_weights(struct tl_sft *s)
{
    if (s->joint) tl_store_destroy(&s->weights);
    tl_store_destroy(&s->grads);
    tl_store_layout_destroy(&s->joint);
    for (int i = 0; i < 2; i++) {
        tl_store_layout_destroy(&s->part_layouts[i]);
        tl_lora_spec_finish(&s->own_spec[i]);
    }
    tl_lora_start_close(&s->start);
}

bool tl_sft_bind(struct tl_sft *s, struct tl_exec *e, int part, struct tl_store *weights, bool gradient,
                 struct tl_err *err)
{
    bool trained = part == TL_SFT_UNET || s->p.train_text;
    int set = s->full ? TL_SET_BASE : TL_SET_LORA;
    if (!weights) weights = s->weights;
    if (!tl_exec_bind(e, TL_SET_BASE, s->full && trained ? weights : component(s, part)->store, err))
        return false;
    if (!trained) return true;
    if (!s->full) {
        float scale = (float)tl_sft_scale(s, part);
        if (!tl_exec_bind(e, TL_SET_LORA, weights, err) || !tl_exec_write(e, "lora_scale", &scale, err))
            return false;
    }
    return !gradient || tl_exec_bind(e, set + TL_SET_GRADS, s->grads, err);
}

/* ---- saving ---- */

static bool save_model(struct tl_sft *s, struct tl_store *weights, const char *folder, struct tl_err *err)
{
    struct tl_pipeline_save_params how = {.dtype = TL_ST_F32};
    if (!s->joint) {
        how.unet = weights;
    } else { /* the components' own stores stand unused beside the joint one */
        for (int part = 0; part < 2; part++)
            if (!copy_entries(weights, component(s, part)->store, component(s, part)->layout, err))
                return false;
    }
    return tl_pipeline_save(s->pipeline, folder, &how, err);
}

static bool save_lora(struct tl_sft *s, struct tl_store *weights, const char *run_folder, struct tl_err *err)
{
    struct tl_lora_output_part parts[2] = {0};
    struct tl_lora_model model = lora_model(s);
    struct tl_lora_output what = {
        .parts = parts, .model = &model, .spec = s->spec[TL_SFT_UNET], .dtype = TL_ST_F32};
    bool ok = true;
    for (int i = 0; ok && i < (s->p.train_text ? 2 : 1); i++) {
        struct tl_store *own = tl_store_create(s->pipeline->device, s->part_layouts[i], err);
        parts[what.n_parts++] = (struct tl_lora_output_part){own, lora_parts[i], tl_sft_scale(s, i)};
        ok = own && copy_entries(weights, own, s->part_layouts[i], err);
    }
    ok = ok && tl_lora_output_save(run_folder, &what, err);
    for (size_t i = 0; i < what.n_parts; i++) tl_store_destroy(&parts[i].store);
    return ok;
}

bool tl_sft_save(void *self, struct tl_store *weights, const char *run_folder, struct tl_err *err)
{
    struct tl_sft *s = self;
    if (!s->full) return save_lora(s, weights, run_folder, err);
    struct tl_str path = {0};
    tl_path_join(&path, run_folder, "model");
    bool ok =
        (!path.failed || tl_err_set(err, TL_FAIL, "out of memory")) && save_model(s, weights, path.data, err);
    tl_str_finish(&path);
    return ok;
}
