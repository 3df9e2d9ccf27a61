#include "models/lora_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <tiller/log.h>

#include "base/checked.h"
#include "io/file.h"
#include "io/json.h"
#include "models/lora_config.h"

/* The tensors of one layer while a file is read. */
struct slot {
    const struct tl_st_tensor *down, *up, *alpha, *bias;
};

struct reader {
    const char *path;
    const struct tl_lora_model *model;
    struct tl_lora_names names;
    struct tl_st_file *st;
    struct tl_arena scratch;
    struct slot *slots[TL_LORA_PARTS]; /* by the entry's number in the layout */
    cJSON *config;                     /* adapter_config.json or lora_adapter_metadata; NULL: neither */
    bool prefixed;                     /* its keys begin with the component */
    bool has_alpha;
    bool other_model;
    bool whole; /* every key must fit */
    int bare;   /* the component that keys mean which name none; -1: none fits */
    const struct tl_st_tensor *first_unmatched;
    struct tl_lora_file *out;
};

/* The file that a path means, and where PEFT's config would be. */
static bool locate(struct reader *r, const char *path, char **out_file, char **out_config, struct tl_err *err)
{
    static const char *const names[] = {"adapter_model.safetensors", "pytorch_lora_weights.safetensors"};
    bool folder = tl_file_is_folder(path);
    const char *where = folder ? path : tl_path_folder_in(&r->scratch, path);
    *out_config = tl_path_join_in(&r->scratch, where ? where : "", "adapter_config.json");
    *out_file = tl_arena_strdup(&r->scratch, path);
    for (size_t i = 0; folder && i < 2; i++) {
        *out_file = tl_path_join_in(&r->scratch, path, names[i]);
        if (*out_file && tl_file_exists(*out_file)) break;
        if (i == 1)
            return tl_err_set(err, TL_BAD_INPUT, "%s holds neither %s nor %s", path, names[0], names[1]);
    }
    if (!*out_file || !*out_config) return tl_err_set(err, TL_FAIL, "out of memory");
    bool peft = strcmp(tl_path_base(*out_file), names[0]) == 0;
    if (!peft || !tl_file_exists(*out_config)) *out_config = NULL;
    return true;
}

static bool read_config(struct reader *r, const char *config, struct tl_err *err)
{
    const char *meta = tl_st_meta_find(r->st, "lora_adapter_metadata");
    if (config) {
        r->config = tl_json_read(config, err);
        if (!r->config) return false;
        return tl_lora_config_check(r->config, "", err) || tl_err_add(err, "%s", config);
    }
    if (!meta) return true;
    r->config = tl_json_parse(meta, strlen(meta), "lora_adapter_metadata", err);
    r->prefixed = true;
    return r->config != NULL;
}

static bool add_unmatched(struct reader *r, const struct tl_st_tensor *t)
{
    struct tl_lora_file *f = r->out;
    bool better = !r->first_unmatched || (r->first_unmatched->rank < 2 && t->rank >= 2); /* shows a shape */
    if (better) r->first_unmatched = t;
    f->unmatched[f->n_unmatched] = tl_arena_strdup(&f->arena, t->name);
    return f->unmatched[f->n_unmatched++] != NULL;
}

/* Names of PEFT's folders and of old files do not say which component they are of, and two text encoders
 * have layers of the same names: the component whose layers most of the matrices fit. */
static int component_of_bare(const struct reader *r)
{
    size_t best = 0;
    int bare = -1;
    for (int part = 0; part < TL_LORA_PARTS; part++) {
        size_t fits = 0;
        for (size_t i = 0; r->model->part[part] && i < tl_st_count(r->st); i++) {
            const struct tl_st_tensor *t = tl_st_at(r->st, i);
            struct tl_lora_key key;
            int found;
            tl_lora_key_parse(t->name, &key);
            bool down = key.kind == TL_LORA_DOWN;
            if (key.part >= 0 || (!down && key.kind != TL_LORA_UP) || t->rank < 2) continue;
            key.part = part;
            const struct tl_store_entry *e = tl_lora_names_find(&r->names, &key, &found);
            struct tl_shape file = e ? tl_layout_file_shape(e->layout, &e->shape) : (struct tl_shape){0};
            fits += e && t->shape[down ? 1 : 0] == (uint64_t)file.dim[down ? 1 : 0];
        }
        if (fits <= best) continue;
        best = fits;
        bare = part;
    }
    return bare;
}

static const struct tl_store_entry *find_layer(const struct reader *r, struct tl_lora_key *key, int *out_part)
{
    if (key->kind == TL_LORA_UNKNOWN) return NULL;
    bool bare = key->part < 0 && r->bare >= 0;
    if (bare) key->part = r->bare;
    const struct tl_store_entry *e = tl_lora_names_find(&r->names, key, out_part);
    if (e || !bare) return e;
    key->part = -1;
    return tl_lora_names_find(&r->names, key, out_part);
}

static bool sort_key(struct reader *r, const struct tl_st_tensor *t, struct tl_err *err)
{
    struct tl_lora_key key;
    int part = 0;
    tl_lora_key_parse(t->name, &key);
    if (key.kind == TL_LORA_REFUSED)
        return tl_err_set(err, TL_BAD_INPUT, "%s: adapters of this kind (DoRA, Tucker) are not supported",
                          t->name);
    const struct tl_store_entry *e = find_layer(r, &key, &part);
    if (!e) return add_unmatched(r, t) || tl_err_set(err, TL_FAIL, "out of memory");
    struct slot *s = &r->slots[part][e - r->model->part[part]->entries];
    const struct tl_st_tensor **place = key.kind == TL_LORA_DOWN    ? &s->down
                                        : key.kind == TL_LORA_UP    ? &s->up
                                        : key.kind == TL_LORA_ALPHA ? &s->alpha
                                                                    : &s->bias;
    if (*place)
        return tl_err_set(err, TL_BAD_INPUT, "%s and %s are the same matrix", (*place)->name, t->name);
    *place = t;
    r->has_alpha |= key.kind == TL_LORA_ALPHA;
    return true;
}

/* What fits nothing is an error where all of it does, or where every key must fit. */
static bool check_matched(struct reader *r, size_t n_keys, struct tl_err *err)
{
    char shape[96] = "";
    size_t n = r->out->n_unmatched;
    if (n_keys == 0) return tl_err_set(err, TL_BAD_INPUT, "it holds no tensors");
    if (n == 0 || (n < n_keys && !r->whole)) return true;
    r->other_model = true;
    tl_st_shape_text(r->first_unmatched, shape, sizeof shape);
    if (n == n_keys)
        return tl_err_set(err, TL_BAD_INPUT,
                          "none of its %zu tensors is a LoRA for this model; the first is %s %s", n_keys,
                          r->first_unmatched->name, shape);
    return tl_err_set(
        err, TL_BAD_INPUT,
        "%s %s fits no layer of this model (%zu of %zu tensors do not): the LoRA is for another",
        r->first_unmatched->name, shape, n, n_keys);
}

/* Equal from axis `first` of t on, up to axes of 1 at the end. */
static bool axes_fit(const struct tl_st_tensor *t, unsigned first, const struct tl_shape *want,
                     int want_first)
{
    for (int i = 0; i < TL_ST_MAX_RANK; i++) {
        unsigned a = first + (unsigned)i;
        int b = want_first + i;
        uint64_t have = a < t->rank ? t->shape[a] : 1,
                 need = b < want->rank && b < TL_RANK_MAX ? (uint64_t)want->dim[b] : 1;
        if (have != need) return false;
    }
    return true;
}

static bool check_shapes(struct reader *r, const struct slot *s, const struct tl_store_entry *e,
                         struct tl_err *err)
{
    char down[96], up[96], base[96];
    struct tl_shape file = tl_layout_file_shape(e->layout, &e->shape);
    struct tl_shape want_up = tl_shape2(file.dim[0], 0);
    tl_st_shape_text(s->down, down, sizeof down);
    tl_st_shape_text(s->up, up, sizeof up);
    if (s->down->rank < 2 || s->up->rank < 2 || s->down->n == 0)
        return tl_err_set(err, TL_BAD_INPUT, "%s %s: a matrix is needed", s->down->name, down);
    if (s->down->shape[0] != s->up->shape[1] || s->down->shape[0] > 1 << 20)
        return tl_err_set(err, TL_BAD_INPUT, "%s %s and %s %s: their ranks differ", s->down->name, down,
                          s->up->name, up);
    want_up.dim[1] = (int64_t)s->up->shape[1];
    r->other_model = !axes_fit(s->down, 1, &file, 1) || !axes_fit(s->up, 0, &want_up, 0);
    if (!axes_fit(s->down, 1, &file, 1))
        return tl_err_set(err, TL_BAD_INPUT,
                          "%s %s does not fit the layer's weight %s: the LoRA is for another model",
                          s->down->name, down, tl_shape_text(&file, base));
    if (!axes_fit(s->up, 0, &want_up, 0))
        return tl_err_set(err, TL_BAD_INPUT,
                          "%s %s does not fit the layer's weight %s: the LoRA is for another model",
                          s->up->name, up, tl_shape_text(&file, base));
    if (s->bias && s->bias->n != (uint64_t)file.dim[0])
        return tl_err_set(err, TL_BAD_INPUT, "%s has %llu values, the layer %lld", s->bias->name,
                          (unsigned long long)s->bias->n, (long long)file.dim[0]);
    return true;
}

static const float *values(struct reader *r, const struct tl_st_tensor *t, struct tl_err *err)
{
    if (!t) return NULL;
    float *v = tl_arena_alloc(&r->out->arena, (size_t)t->n, sizeof *v);
    if (!v) {
        tl_err_set(err, TL_FAIL, "out of memory for %s", t->name);
        return NULL;
    }
    if (!tl_st_to_f32(t, v, err)) return NULL;
    for (uint64_t i = 0; i < t->n; i++)
        if (!isfinite(v[i])) {
            tl_err_set(err, TL_BAD_INPUT, "%s has a value that is not finite", t->name);
            return NULL;
        }
    return v;
}

static bool scale_of(struct reader *r, const struct slot *s, struct tl_lora_layer *l, struct tl_err *err)
{
    char layer[TL_ST_MAX_NAME], prefix[32] = "";
    l->scale = 1;
    if (s->alpha) {
        float alpha = 0;
        if (s->alpha->n != 1) return tl_err_set(err, TL_BAD_INPUT, "%s is not one number", s->alpha->name);
        if (!tl_st_to_f32(s->alpha, &alpha, err)) return false;
        if (!isfinite(alpha)) return tl_err_set(err, TL_BAD_INPUT, "%s is not finite", s->alpha->name);
        if (alpha != 0) l->scale = (double)alpha / l->rank; /* kohya: 0 stands for none */
        return true;
    }
    if (!r->config) return true;
    if (r->prefixed) snprintf(prefix, sizeof prefix, "%s.", tl_lora_part_names[l->part]);
    if (!tl_lora_config_has(r->config, prefix)) return true;
    snprintf(layer, sizeof layer, "%.*s", (int)tl_lora_layer_len(l->entry), l->entry->name);
    return tl_lora_config_check(r->config, prefix, err) &&
           tl_lora_config_scale(r->config, prefix, layer, l->rank, &l->scale, err);
}

static bool take_layer(struct reader *r, int part, int32_t i, struct tl_err *err)
{
    const struct tl_store_entry *e = &r->model->part[part]->entries[i];
    const struct slot *s = &r->slots[part][i];
    if (!s->down && !s->up && !s->alpha && !s->bias) return true;
    if (!s->down || !s->up) {
        const struct tl_st_tensor *have = s->down ? s->down : s->up ? s->up : s->alpha ? s->alpha : s->bias;
        return tl_err_set(err, TL_BAD_INPUT, "%s has no %s matrix beside it", have->name,
                          s->down ? "up" : "down");
    }
    struct tl_lora_layer *l = &r->out->layers[r->out->n];
    if (!check_shapes(r, s, e, err)) return false;
    *l = (struct tl_lora_layer){.entry = e, .part = part, .rank = (int)s->down->shape[0]};
    if (r->out->n == 0) r->out->dtype = s->down->dtype;
    if (s->down->dtype != r->out->dtype || s->up->dtype != r->out->dtype) r->out->dtype = TL_ST_F32;
    l->down = values(r, s->down, err);
    l->up = l->down ? values(r, s->up, err) : NULL;
    if (!l->up) return false;
    l->bias = values(r, s->bias, err);
    if (s->bias && !l->bias) return false;
    r->out->n++;
    return scale_of(r, s, l, err);
}

static bool read_all(struct reader *r, struct tl_err *err)
{
    size_t n_keys = tl_st_count(r->st), n_layers = 0;
    for (int part = 0; part < TL_LORA_PARTS; part++) {
        const struct tl_store_layout *l = r->model->part[part];
        if (!l) continue;
        r->slots[part] = tl_arena_alloc(&r->scratch, (size_t)l->n_entries + 1, sizeof *r->slots[part]);
        if (!r->slots[part]) return tl_err_set(err, TL_FAIL, "out of memory");
        n_layers += (size_t)l->n_entries;
    }
    r->out->unmatched = tl_arena_alloc(&r->out->arena, n_keys + 1, sizeof *r->out->unmatched);
    r->out->layers = tl_arena_alloc(&r->out->arena, n_layers + 1, sizeof *r->out->layers);
    if (!r->out->unmatched || !r->out->layers) return tl_err_set(err, TL_FAIL, "out of memory");
    r->bare = component_of_bare(r);
    for (size_t i = 0; i < n_keys; i++)
        if (!sort_key(r, tl_st_at(r->st, i), err)) return false;
    if (!check_matched(r, n_keys, err)) return false;
    if (r->has_alpha && r->config && r->prefixed)
        return tl_err_set(err, TL_BAD_INPUT,
                          "alpha tensors beside lora_adapter_metadata: the scale is ambiguous");
    for (int part = 0; part < TL_LORA_PARTS; part++)
        for (int32_t i = 0; r->slots[part] && i < r->model->part[part]->n_entries; i++)
            if (!take_layer(r, part, i, err)) return false;
    if (r->out->dtype != TL_ST_F16 && r->out->dtype != TL_ST_BF16) r->out->dtype = TL_ST_F32;
    if (r->out->n_unmatched)
        tl_log(TL_LOG_WARN,
               "%s: %zu of its %zu tensors fit no layer of the model and are left out; the first is %s",
               r->path, r->out->n_unmatched, n_keys, r->first_unmatched->name);
    return true;
}

static bool read_file(const char *path, const struct tl_lora_model *model, bool whole,
                      struct tl_lora_file *out, struct tl_err *err)
{
    *out = (struct tl_lora_file){0};
    struct reader r = {.path = path, .model = model, .whole = whole, .out = out};
    char *file = NULL, *config = NULL;
    bool ok = tl_lora_names_init(&r.names, model, err) && locate(&r, path, &file, &config, err);
    if (ok) {
        r.st = tl_st_open(file, err);
        ok = r.st && ((read_config(&r, config, err) && read_all(&r, err)) || tl_err_add(err, "%s", file));
    }
    tl_st_close(&r.st);
    cJSON_Delete(r.config);
    tl_lora_names_finish(&r.names);
    tl_arena_finish(&r.scratch);
    if (!ok) {
        tl_lora_file_finish(out);
        out->other_model = r.other_model;
    }
    return ok;
}

bool tl_lora_file_read(const char *path, const struct tl_lora_model *model, struct tl_lora_file *out,
                       struct tl_err *err)
{
    return read_file(path, model, false, out, err);
}

bool tl_lora_file_read_whole(const char *path, const struct tl_lora_model *model, struct tl_lora_file *out,
                             struct tl_err *err)
{
    return read_file(path, model, true, out, err);
}

void tl_lora_file_finish(struct tl_lora_file *file)
{
    tl_arena_finish(&file->arena);
    *file = (struct tl_lora_file){0};
}
