/* model_tools: small jobs on model folders that only the recipes of shipped models need.
 *
 *   model_tools text-tower CLIP_FOLDER OUT    the text tower of a CLIPModel as a CLIPTextModel, with its
 * tokenizer in OUT/../tokenizer model_tools half FOLDER OUT               a pipeline or CLIPModel folder
 * again, its weights in half precision model_tools peek RUN PIPELINE OUT         OUT/unet: the averaged UNet
 * of the newest checkpoint of an sft run from PIPELINE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "models/clip_bpe.h"
#include "run/checkpoint.h"
#include "sample/pipeline.h"

/* The text tower's config as CLIPTextModel has it. */
static cJSON *text_config(const cJSON *clip)
{
    cJSON *text = cJSON_Duplicate(tl_json_get(clip, "text_config"), true), *names = cJSON_CreateArray();
    cJSON_AddItemToArray(names, cJSON_CreateString("CLIPTextModel"));
    cJSON_AddItemToObject(text, "architectures", names);
    return text;
}

static bool copy_weights(struct tl_component *from, struct tl_component *to, struct tl_err *err)
{
    for (int32_t i = 0; i < to->layout->n_entries; i++) {
        const struct tl_store_entry *e = &to->layout->entries[i],
                                    *source = tl_store_layout_find(from->layout, e->name);
        if (!source) return tl_err_set(err, TL_BAD_INPUT, "the CLIP model lacks %s", e->name);
        float *data = malloc((size_t)tl_shape_count(&e->shape) * sizeof *data);
        bool ok =
            data && tl_store_read(from->store, source, data, err) && tl_store_write(to->store, e, data, err);
        free(data);
        if (!ok) return tl_err_set(err, TL_FAIL, "out of memory");
    }
    return true;
}

static bool text_tower(struct tl_device *d, const char *folder, const char *out, struct tl_err *err)
{
    struct tl_component *clip = tl_component_open(d, folder, err), *text = NULL;
    struct tl_clip_bpe *tok = clip ? tl_clip_bpe_open(folder, err) : NULL;
    cJSON *config = clip ? text_config(clip->json) : NULL;
    if (config) text = tl_component_create(d, config, 0, err);
    char path[4096];
    snprintf(path, sizeof path, "%s/../tokenizer", out);
    bool ok = tok && text && copy_weights(clip, text, err) &&
              tl_component_save(text, NULL, out, TL_ST_F32, err) && tl_clip_bpe_save(tok, path, err);
    cJSON_Delete(config);
    tl_clip_bpe_destroy(&tok);
    tl_component_close(&text);
    tl_component_close(&clip);
    return ok;
}

static bool copy_file(const char *folder, const char *out, const char *name, struct tl_err *err)
{
    char from[4096], to[4096];
    size_t n;
    snprintf(from, sizeof from, "%s/%s", folder, name);
    snprintf(to, sizeof to, "%s/%s", out, name);
    uint8_t *data = tl_file_read(from, 1 << 24, &n, err);
    bool ok = data && tl_file_write(to, data, n, err);
    free(data);
    return ok;
}

static bool half(struct tl_device *d, const char *folder, const char *out, struct tl_err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/model_index.json", folder);
    if (tl_file_exists(path)) {
        struct tl_pipeline *p = tl_pipeline_open(d, folder, err);
        bool ok = p && tl_pipeline_save(p, out, &(struct tl_pipeline_save_params){.dtype = TL_ST_F16}, err);
        tl_pipeline_close(&p);
        return ok;
    }
    struct tl_component *c = tl_component_open(d, folder, err);
    struct tl_clip_bpe *tok = c ? tl_clip_bpe_open(folder, err) : NULL;
    bool ok = tok && tl_component_save(c, NULL, out, TL_ST_F16, err) && tl_clip_bpe_save(tok, out, err) &&
              copy_file(folder, out, "preprocessor_config.json", err);
    tl_clip_bpe_destroy(&tok);
    tl_component_close(&c);
    return ok;
}

/* PIPELINE/unet may have a config alone. */
static bool peek(struct tl_device *d, const char *run, const char *folder, const char *out,
                 struct tl_err *err)
{
    char path[4096];
    struct tl_checkpoint *c = tl_checkpoint_open_newest(run, err);
    snprintf(path, sizeof path, "%s/unet/config.json", folder);
    cJSON *json = c ? tl_json_read(path, err) : NULL;
    struct tl_component *unet = json ? tl_component_create(d, json, 0, err) : NULL;
    snprintf(path, sizeof path, "%s/unet", out);
    bool ok = unet &&
              tl_checkpoint_read_store(c, tl_checkpoint_has_store(c, "ema") ? "ema" : "weights", unet->store,
                                       err) &&
              tl_component_save(unet, NULL, path, TL_ST_F32, err);
    if (ok) printf("step %lld\n", (long long)tl_checkpoint_step(c));
    tl_component_close(&unet);
    cJSON_Delete(json);
    tl_checkpoint_close(&c);
    return ok;
}

int main(int argc, char **argv)
{
    struct tl_err err = {0};
    if (argc < 4 || argc > 5) {
        fprintf(stderr,
                "usage: model_tools text-tower CLIP_FOLDER OUT | half FOLDER OUT | peek RUN PIPELINE OUT\n");
        return TL_USAGE;
    }
    struct tl_device *d = tl_device_open(&(struct tl_device_params){.name = "cpu"}, &err);
    bool ok = d != NULL;
    if (ok && argc == 5 && strcmp(argv[1], "peek") == 0)
        ok = peek(d, argv[2], argv[3], argv[4], &err);
    else if (ok && strcmp(argv[1], "text-tower") == 0)
        ok = text_tower(d, argv[2], argv[3], &err);
    else if (ok && strcmp(argv[1], "half") == 0)
        ok = half(d, argv[2], argv[3], &err);
    else
        ok = tl_err_set(&err, TL_USAGE, "'%s' is no job", argv[1]);
    tl_device_close(&d);
    if (!ok) fprintf(stderr, "model_tools: %s\n", err.text);
    return ok ? 0 : (int)err.code;
}
