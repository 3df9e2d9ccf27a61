#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "io/file.h"
#include "io/folder.h"
#include "models/clip_bpe.h"
#include "models/component.h"
#include "run/inspect_parts.h"
#include "run/inspect_run.h"
#include "sample/scheduler_config.h"

/* A path joined into memory that the job's arena holds; a job's folders are few. */
struct place {
    struct tl_arena arena;
    const char *folder;
};

static const char *in(struct place *p, const char *name)
{
    const char *path = tl_path_join_in(&p->arena, p->folder, name);
    return path ? path : "";
}

/* ---- one component ---- */

/* Parameters that the config asks for; the refusal as a note where the config is not supported. */
static bool add_expected(cJSON *out, const cJSON *config, const struct tl_component_class **out_cls)
{
    struct tl_err why = {0};
    const struct tl_component_class *cls = tl_component_class_of(config, &why);
    union tl_component_config parsed = {0};
    struct tl_store_layout *layout = NULL;
    *out_cls = cls;
    if (cls && cls->parse(config, &parsed, &why)) layout = tl_component_layout(cls, &parsed, &why);
    tl_listing_bool(out, "supported", layout != NULL);
    if (!layout) {
        tl_listing_text(out, "note", why.text);
        return false;
    }
    uint64_t n = 0;
    for (int32_t i = 0; i < layout->n_entries; i++) n += (uint64_t)tl_shape_count(&layout->entries[i].shape);
    tl_listing_count(out, "parameters", n);
    tl_store_layout_destroy(&layout);
    return true;
}

static const char *weights_base(const struct tl_component_class *cls, struct place *p)
{
    if (cls) return cls->weights;
    static const char *const transformers[] = {"model.safetensors", "model.safetensors.index.json",
                                               "pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < sizeof transformers / sizeof *transformers; i++)
        if (tl_file_exists(in(p, transformers[i]))) return "model";
    return "diffusion_pytorch_model";
}

static const char *class_text(const cJSON *config)
{
    const cJSON *name = tl_json_get(config, "_class_name");
    if (!name) name = cJSON_GetArrayItem(tl_json_get(config, "architectures"), 0);
    if (!name) name = tl_json_get(config, "model_type");
    return cJSON_IsString(name) ? name->valuestring : NULL;
}

static bool add_component(cJSON *out, struct place *p, bool brief, struct tl_err *err)
{
    cJSON *config = tl_json_read(in(p, "config.json"), err);
    if (!config) return false;
    const struct tl_component_class *cls = NULL;
    tl_listing_text(out, "class", class_text(config));
    add_expected(out, config, &cls);
    struct tl_st_set *set = tl_st_set_open(p->folder, weights_base(cls, p), NULL, err);
    bool ok = set != NULL;
    if (set) tl_inspect_tensors(tl_listing_object(out, "weights"), set, brief);
    tl_st_set_close(&set);
    if (!out || !cJSON_AddItemToObject(out, "config", config)) cJSON_Delete(config);
    return ok;
}

/* ---- a pipeline ---- */

static void sum_bytes(cJSON *row, const struct tl_st_set *set)
{
    uint64_t bytes = 0;
    enum tl_st_dtype first = TL_ST_F32;
    bool mixed = false;
    for (size_t i = 0; i < tl_st_set_count(set); i++) {
        const struct tl_st_tensor *t = tl_st_set_at(set, i);
        bytes += t->bytes;
        if (i == 0) first = t->dtype;
        mixed |= t->dtype != first;
    }
    tl_listing_text(row, "dtype", mixed ? "mixed" : tl_st_dtype_name(first));
    tl_listing_count(row, "bytes", bytes);
}

static bool add_scheduler_row(cJSON *row, const char *path, struct tl_err *err)
{
    struct tl_scheduler s = {0};
    if (!tl_scheduler_read(&s, path, err)) return false;
    tl_listing_format(row, "note", "%s as sampler", s.config.sampler);
    tl_scheduler_finish(&s);
    return true;
}

static bool add_tokenizer_row(cJSON *row, const char *folder, struct tl_err *err)
{
    struct tl_clip_bpe *tok = tl_clip_bpe_open(folder, err);
    if (!tok) return false;
    struct tl_bpe_info info = tl_clip_bpe_info(tok);
    tl_listing_format(row, "note", "%zu entries, %zu tokens a prompt", info.n_vocab, info.max_len);
    tl_clip_bpe_destroy(&tok);
    return true;
}

/* What one member of model_index.json holds. */
static bool add_member(cJSON *row, const char *folder, struct tl_err *err)
{
    struct place p = {.folder = folder};
    bool ok = true;
    if (!tl_file_is_folder(folder)) {
        ok = tl_err_set(err, TL_BAD_INPUT, "the folder is missing");
    } else if (tl_file_exists(in(&p, "scheduler_config.json"))) {
        ok = add_scheduler_row(row, in(&p, "scheduler_config.json"), err);
    } else if (tl_file_exists(in(&p, "config.json"))) {
        const struct tl_component_class *cls = NULL;
        struct tl_err unread = {0};
        cJSON *config = tl_json_read(in(&p, "config.json"), err);
        bool supported = config && add_expected(row, config, &cls);
        struct tl_st_set *set = config ? tl_st_set_open(folder, weights_base(cls, &p), NULL, &unread) : NULL;
        if (set) sum_bytes(row, set);
        ok = config && (set || !supported || tl_err_set(err, unread.code, "%s", unread.text));
        tl_st_set_close(&set);
        cJSON_Delete(config);
    } else if (tl_file_exists(in(&p, "vocab.json")) || tl_file_exists(in(&p, "tokenizer.json"))) {
        ok = add_tokenizer_row(row, folder, err);
    }
    tl_arena_finish(&p.arena);
    return ok;
}

/* Damage becomes a member's note and a warning, so that the others are listed too. */
static bool add_pipeline(cJSON *out, struct place *p, bool *out_whole, struct tl_err *err)
{
    cJSON *index = tl_json_read(in(p, "model_index.json"), err);
    if (!index) return false;
    tl_listing_text(out, "class", class_text(index));
    cJSON *rows = tl_listing_array(out, "components");
    for (const cJSON *m = index->child; m; m = m->next) {
        const cJSON *library = cJSON_GetArrayItem(m, 0), *cls = cJSON_GetArrayItem(m, 1);
        if (!cJSON_IsArray(m) || !cJSON_IsString(library) || !cJSON_IsString(cls)) continue;
        struct tl_err why = {0};
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", m->string);
        tl_listing_text(row, "class", cls->valuestring);
        bool ok = tl_path_is_inside(m->string) ? add_member(row, in(p, m->string), &why)
                                               : tl_err_set(&why, TL_BAD_INPUT, "the name leaves the folder");
        if (ok) continue;
        tl_listing_text(row, "note", why.text);
        tl_log(TL_LOG_WARN, "%s: %s", m->string, why.text);
        *out_whole = false;
    }
    cJSON_Delete(index);
    return true;
}

/* ---- smaller things ---- */

static bool add_scheduler(cJSON *out, struct place *p, struct tl_err *err)
{
    cJSON *config = tl_json_read_python(in(p, "scheduler_config.json"), err);
    if (!config) return false;
    tl_listing_text(out, "class", class_text(config));
    bool ok = add_scheduler_row(out, in(p, "scheduler_config.json"), err);
    if (!out || !cJSON_AddItemToObject(out, "config", config)) cJSON_Delete(config);
    return ok;
}

/* PEFT's folder, or one with diffusers' file, which has no config beside it. */
static bool add_adapter(cJSON *out, struct place *p, bool brief, struct tl_err *err)
{
    bool peft = tl_file_exists(in(p, "adapter_config.json"));
    cJSON *config = peft ? tl_json_read(in(p, "adapter_config.json"), err) : NULL;
    if (peft && !config) return false;
    struct tl_st_set *set =
        tl_st_set_open(p->folder, peft ? "adapter_model" : "pytorch_lora_weights", NULL, err);
    if (set) tl_inspect_tensors(out, set, brief);
    bool ok = set != NULL;
    tl_st_set_close(&set);
    if (config && (!out || !cJSON_AddItemToObject(out, "config", config))) cJSON_Delete(config);
    return ok;
}

static bool add_pictures(cJSON *out, struct place *p, struct tl_err *err)
{
    struct tl_folder data = {0};
    if (!tl_folder_scan(p->folder, &data, err)) return false;
    tl_listing_count(out, "pictures", data.n);
    tl_listing_count(out, "captions", data.n_captions);
    cJSON *rows = tl_listing_array(out, "first");
    for (size_t i = 0; i < data.n && i < 8; i++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", data.items[i].name);
        tl_listing_text(row, "caption", data.items[i].caption);
    }
    tl_folder_finish(&data);
    return true;
}

bool tl_inspect_folder(cJSON *out, const char *folder, bool brief, bool *out_whole, struct tl_err *err)
{
    struct place p = {.folder = folder};
    bool ok;
    if (tl_file_exists(in(&p, "model_index.json"))) {
        tl_listing_text(out, "kind", "model");
        ok = add_pipeline(out, &p, out_whole, err);
    } else if (tl_inspect_is_run(folder)) {
        tl_listing_text(out, "kind", "run");
        ok = tl_inspect_run(out, folder, err);
    } else if (tl_file_exists(in(&p, "adapter_config.json")) ||
               tl_file_exists(in(&p, "pytorch_lora_weights.safetensors"))) {
        tl_listing_text(out, "kind", "adapter");
        ok = add_adapter(out, &p, brief, err);
    } else if (tl_file_exists(in(&p, "scheduler_config.json"))) {
        tl_listing_text(out, "kind", "scheduler");
        ok = add_scheduler(out, &p, err);
    } else if (tl_file_exists(in(&p, "config.json"))) {
        tl_listing_text(out, "kind", "component");
        ok = add_component(out, &p, brief, err);
    } else if (tl_file_exists(in(&p, "vocab.json")) || tl_file_exists(in(&p, "tokenizer.json"))) {
        tl_listing_text(out, "kind", "tokenizer");
        ok = add_tokenizer_row(out, folder, err);
    } else {
        tl_listing_text(out, "kind", "pictures");
        ok = add_pictures(out, &p, err);
        if (!ok)
            tl_err_add(err, "%s holds no model, component, adapter or run; as a folder of pictures", folder);
    }
    tl_arena_finish(&p.arena);
    return ok;
}
