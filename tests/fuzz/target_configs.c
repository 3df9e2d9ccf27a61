#include <string.h>

#include "fuzz/fuzz.h"
#include "io/json.h"
#include "models/component.h"

static void seed_configs(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    for (const char *const *name = target->names; *name; name++) {
        char path[128];
        snprintf(path, sizeof path, "%s/config.json", *name);
        fuzz_pool_add_fixture(pool, path);
    }
}

/* A config of any class, as far as the list of its weights: what a folder's weights are compared with. */
static void run_config(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    (void)target;
    struct tl_err err = {0};
    union tl_component_config config;
    struct tl_store_layout *layout = NULL;
    cJSON *json = tl_json_parse((const char *)data, n, "mutant", &err);
    const struct tl_component_class *cls = json ? tl_component_class_of(json, &err) : NULL;
    memset(&config, 0, sizeof config);
    if (cls && cls->parse(json, &config, &err)) layout = tl_component_layout(cls, &config, &err);
    fuzz_check_err(layout != NULL, &err);
    tl_store_layout_destroy(&layout);
    cJSON_Delete(json);
}

static const char *const words[] = {"null",     "0",     "1",  "-1",   "1e9",  "0.5",          "2147483647",
                                    "[]",       "[1]",   "{}", "\"\"", "true", "[1, 1, 1, 1]", "\"gelu\"",
                                    "\"silu\"", "65536", "8",  "1024", NULL};

#define NAMES(...)                                                                                           \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }

const struct fuzz_target fuzz_configs[] = {
    {"config", "configs of models", seed_configs, run_config, NULL, words,
     NAMES("unet_sd1", "unet_xl", "unet_class_concat", "unet_class_embed", "unet_class_projection",
           "unet_time_cond", "unet_layers_list", "vae_sd", "vae_3level_noquant", "clip_model", "clip_text_v5",
           "clip_vision_projection", "clap_model", "clap_model_fused", "clap_text_projection",
           "clap_audio_odd")},
    {0},
};
