/* What a PEFT config says about scales: adapter_config.json, or the lora_adapter_metadata of a diffusers
 * file, where every key has the component in front ("unet.r"). */
#ifndef TL_MODELS_LORA_CONFIG_H
#define TL_MODELS_LORA_CONFIG_H

#include <cjson/cJSON.h>

#include "models/lora_file.h"

/* Fails on what changes the numbers and is not supported: use_dora, bias, fan_in_fan_out, modules_to_save,
 * another peft_type. prefix: "" or "unet." */
bool tl_lora_config_check(const cJSON *config, const char *prefix, struct tl_err *err);

/* Whether the config says anything with this prefix. */
bool tl_lora_config_has(const cJSON *config, const char *prefix);

/* The scale of a layer of that rank: alpha_pattern's alpha or lora_alpha, over rank, or over its root
 * (use_rslora). */
bool tl_lora_config_scale(const cJSON *config, const char *prefix, const char *layer, int rank,
                          double *out_scale, struct tl_err *err);

/* A config for the layers of one component, with scale 1 where unit_scale (the file's own is in its weights),
 * else with the layers' own. The caller owns it; NULL: out of memory. */
cJSON *tl_lora_config_make(const struct tl_lora_file *file, int part, const char *prefix, bool unit_scale,
                           const struct tl_lora_write_params *params);

#endif
