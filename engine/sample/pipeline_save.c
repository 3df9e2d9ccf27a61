#include <string.h>

#include "base/str.h"
#include "io/file.h"
#include "io/json.h"
#include "sample/pipeline.h"

static bool save_component(struct tl_component *c, struct tl_store *store, const char *folder,
                           const char *name, enum tl_st_dtype dtype, struct tl_err *err)
{
    struct tl_str path = {0};
    tl_path_join(&path, folder, name);
    bool ok = tl_component_save(c, store, path.data, dtype, err) || tl_err_add(err, "saving %s", name);
    tl_str_finish(&path);
    return ok;
}

static bool save_tokenizer(const struct tl_clip_bpe *tok, const char *folder, const char *name,
                           struct tl_err *err)
{
    struct tl_str path = {0};
    tl_path_join(&path, folder, name);
    bool ok = tl_clip_bpe_save(tok, path.data, err);
    tl_str_finish(&path);
    return ok;
}

static bool save_scheduler(const struct tl_pipeline *p, const char *folder, struct tl_err *err)
{
    struct tl_str path = {0};
    tl_path_join(&path, folder, "scheduler");
    bool ok = tl_file_make_folder(path.data, err);
    tl_str_append(&path, "/scheduler_config.json");
    ok = ok && tl_json_write(path.data, p->scheduler_json, err);
    tl_str_finish(&path);
    return ok;
}

/* As it was read, but for what is not saved: those become [null, null]. */
static bool save_index(const struct tl_pipeline *p, const char *folder, struct tl_err *err)
{
    static const char *const dropped[] = {"feature_extractor", "safety_checker", "image_encoder"};
    cJSON *index = cJSON_Duplicate(p->index, true);
    bool ok = index != NULL;
    for (size_t i = 0; ok && i < sizeof dropped / sizeof *dropped; i++) {
        if (!cJSON_GetObjectItemCaseSensitive(index, dropped[i])) continue;
        cJSON *pair = cJSON_CreateArray();
        ok = pair && cJSON_AddItemToArray(pair, cJSON_CreateNull()) &&
             cJSON_AddItemToArray(pair, cJSON_CreateNull());
        if (!ok || !cJSON_ReplaceItemInObjectCaseSensitive(index, dropped[i], pair)) cJSON_Delete(pair);
    }
    if (ok && cJSON_GetObjectItemCaseSensitive(index, "requires_safety_checker"))
        ok = cJSON_ReplaceItemInObjectCaseSensitive(index, "requires_safety_checker", cJSON_CreateFalse());
    struct tl_str path = {0};
    tl_path_join(&path, folder, "model_index.json");
    ok = ok ? tl_json_write(path.data, index, err) : tl_err_set(err, TL_FAIL, "out of memory");
    tl_str_finish(&path);
    cJSON_Delete(index);
    return ok;
}

bool tl_pipeline_save(struct tl_pipeline *p, const char *folder, const struct tl_pipeline_save_params *params,
                      struct tl_err *err)
{
    static const char *const text[2] = {"text_encoder", "text_encoder_2"}, *const tokenizer[2] = {
                                                                               "tokenizer", "tokenizer_2"};
    enum tl_st_dtype dtype = params->dtype;
    if (dtype != TL_ST_F32 && dtype != TL_ST_F16 && dtype != TL_ST_BF16)
        return tl_err_set(err, TL_USAGE, "weights are saved as F32, F16 or BF16, not %s",
                          tl_st_dtype_name(dtype));
    bool ok = tl_file_make_folder(folder, err) &&
              save_component(p->unet, params->unet, folder, "unet", dtype, err) &&
              save_component(p->vae, params->vae, folder, "vae", dtype, err);
    for (int i = 0; ok && i < 2 && p->text[i]; i++)
        ok = save_component(p->text[i], params->text[i], folder, text[i], dtype, err) &&
             save_tokenizer(p->tokenizer[i], folder, tokenizer[i], err);
    return ok && save_scheduler(p, folder, err) && save_index(p, folder, err);
}
