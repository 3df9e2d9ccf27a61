/* Options of every job that encodes files; their fields have these names in each job's params. */
#ifndef TL_RUN_ENCODE_OPTIONS_H
#define TL_RUN_ENCODE_OPTIONS_H

#include <tiller/option.h>

#include "run/memory_plan.h"

#define TL_ENCODE_OPTION_ENCODER(params)                                                                     \
    TL_OPTION_STRING(                                                                                        \
        params, encoder, 0, "encoder", NULL, "NAME:FILE|FOLDER",                                             \
        "what embeds: inception:FILE, vggish:FILE, panns:FILE, logmel, or a model's folder (CLIP, "          \
        "CLAP); see tiller list encoders")

#define TL_ENCODE_OPTIONS(params)                                                                            \
    TL_OPTION_ENUM(params, dtype, 0, "dtype", "f32", tl_dtype_choices,                                       \
                   "what an encoder's weights are kept in; everything is computed in f32"),                  \
        TL_OPTION_INT(params, workers, 0, "workers", "0", 0, 16, "N",                                        \
                      "processes that decode files; 0: one a core"),                                         \
        TL_OPTION_BOOL(params, no_cache, 0, "no-cache", "false",                                             \
                       "encodes every file anew, and keeps nothing"),                                        \
        TL_OPTION_BOOL(params, strict, 0, "strict", "false",                                                 \
                       "fails at the first file that cannot be used, instead of skipping it")

#endif
