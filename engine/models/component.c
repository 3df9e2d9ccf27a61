#include "models/component.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "io/file.h"
#include "io/json.h"

static const double batch_norm_eps = 1e-5; /* torch's default: no config of these classes says another */

/* Configs of transformers name their class in `architectures`, nested ones only by model_type. */
static const struct {
    const char *model_type, *name;
} model_types[] = {{"clip_text_model", "CLIPTextModel"},
                   {"clip_vision_model", "CLIPVisionModel"},
                   {"clip", "CLIPModel"},
                   {"clap_text_model", "ClapTextModelWithProjection"},
                   {"clap_audio_model", "ClapAudioModelWithProjection"},
                   {"clap", "ClapModel"}};

const struct tl_component_class *tl_component_class_of(const cJSON *json, struct tl_err *err)
{
    const char *name = NULL, *type = NULL;
    if (!tl_json_string(json, "_class_name", NULL, &name, err) ||
        !tl_json_string(json, "model_type", NULL, &type, err))
        return NULL;
    const cJSON *first = cJSON_GetArrayItem(tl_json_get(json, "architectures"), 0);
    if (!name && cJSON_IsString(first)) name = first->valuestring;
    for (size_t i = 0; !name && type && i < sizeof model_types / sizeof *model_types; i++)
        if (strcmp(type, model_types[i].model_type) == 0) name = model_types[i].name;
    if (!name) {
        tl_err_set(err, TL_BAD_INPUT, "the config names no class (_class_name or architectures)");
        return NULL;
    }
    const struct tl_component_class *cls = tl_component_class_find(name);
    if (!cls) tl_err_set(err, TL_BAD_INPUT, "class %s is not supported; see tiller list models", name);
    return cls;
}

static struct tl_store_layout *layout_as(const struct tl_component_class *cls,
                                         const union tl_component_config *config, enum tl_dtype dtype,
                                         struct tl_err *err)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = dtype};
    cls->declare(&nn, config);
    const struct tl_graph *const graphs[1] = {g};
    struct tl_store_layout *layout =
        tl_graph_ok(g, err) ? tl_store_layout_create(graphs, 1, TL_SET_BASE, NULL, NULL, err) : NULL;
    tl_graph_destroy(&g);
    return layout;
}

struct tl_store_layout *tl_component_layout(const struct tl_component_class *cls,
                                            const union tl_component_config *config, struct tl_err *err)
{
    return layout_as(cls, config, TL_F32, err);
}

static struct tl_component *create(struct tl_device *device, const cJSON *json, enum tl_dtype dtype,
                                   struct tl_err *err)
{
    struct tl_component *c = calloc(1, sizeof *c);
    if (!c) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    c->cls = tl_component_class_of(json, err);
    if (!c->cls || !c->cls->parse(json, &c->config, err)) goto fail;
    c->json = cJSON_Duplicate(json, true);
    c->dtype = dtype;
    c->layout = layout_as(c->cls, &c->config, dtype, err);
    if (!c->json || !c->layout) goto fail;
    c->store = tl_store_create(device, c->layout, err);
    if (c->store) return c;
fail:
    tl_component_close(&c);
    return NULL;
}

struct tl_component *tl_component_create(struct tl_device *device, const cJSON *json, uint64_t seed,
                                         struct tl_err *err)
{
    struct tl_component *c = create(device, json, TL_F32, err);
    if (c && !tl_weights_init(c->store, seed, err)) tl_component_close(&c);
    return c;
}

struct tl_component *tl_component_open(struct tl_device *device, const char *folder, struct tl_err *err)
{
    return tl_component_open_as(device, folder, TL_F32, err);
}

struct tl_component *tl_component_open_as(struct tl_device *device, const char *folder, enum tl_dtype dtype,
                                          struct tl_err *err)
{
    struct tl_component *c = NULL;
    struct tl_st_set *set = NULL;
    struct tl_str path = {0};
    tl_str_printf(&path, "%s/config.json", folder);
    cJSON *json = path.data ? tl_json_read(path.data, err) : NULL;
    if (!json) goto end;
    c = create(device, json, dtype, err);
    if (!c) {
        tl_err_add(err, "%s", path.data);
        goto end;
    }
    c->folder = strdup(folder);
    set = tl_st_set_open(folder, c->cls->weights, NULL, err);
    if (!c->folder || !set || !tl_weights_load(c->store, set, NULL, err) ||
        !tl_weights_settle_norms(c->store, set, batch_norm_eps, err)) {
        tl_err_set(err, TL_FAIL, "out of memory");
        tl_component_close(&c);
    }
end:
    tl_st_set_close(&set);
    cJSON_Delete(json);
    tl_str_finish(&path);
    return c;
}

void tl_component_close(struct tl_component **c_ptr)
{
    struct tl_component *c = *c_ptr;
    if (!c) return;
    tl_store_destroy(&c->store);
    tl_store_layout_destroy(&c->layout);
    cJSON_Delete(c->json);
    free(c->folder);
    free(c);
    *c_ptr = NULL;
}

bool tl_component_save(struct tl_component *c, struct tl_store *store, const char *folder,
                       enum tl_st_dtype dtype, struct tl_err *err)
{
    struct tl_str path = {0};
    bool ok = tl_file_make_folder(folder, err);
    tl_str_printf(&path, "%s/%s.safetensors", folder, c->cls->weights);
    ok = ok && tl_weights_save(store ? store : c->store, path.data, dtype, "", NULL, 0, err);
    tl_str_clear(&path);
    tl_str_printf(&path, "%s/config.json", folder);
    ok = ok && tl_json_write(path.data, c->json, err);
    tl_str_finish(&path);
    return ok;
}
