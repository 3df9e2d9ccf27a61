/* CLAP's part of the table of classes. */
#ifndef TL_MODELS_COMPONENT_CLAP_H
#define TL_MODELS_COMPONENT_CLAP_H

#include "models/component.h"

bool tl_component_clap_text_parse(const cJSON *json, union tl_component_config *c, struct tl_err *err);
void tl_component_clap_text_declare(struct tl_nn *nn, const union tl_component_config *c);
void tl_component_clap_text(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in,
                            tl_val *out);

bool tl_component_clap_audio_parse(const cJSON *json, union tl_component_config *c, struct tl_err *err);
void tl_component_clap_audio_declare(struct tl_nn *nn, const union tl_component_config *c);
void tl_component_clap_audio(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in,
                             tl_val *out);

bool tl_component_clap_parse(const cJSON *json, union tl_component_config *c, struct tl_err *err);
void tl_component_clap_declare(struct tl_nn *nn, const union tl_component_config *c);
void tl_component_clap(struct tl_nn *nn, const union tl_component_config *c, const tl_val *in, tl_val *out);

/* "position_ids" is made from input_ids where it is not given, "time_weights" from the length of
 * input_features; "attention_mask" becomes an additive mask. */
#define TL_CLAP_TEXT_PORTS                                                                                   \
    {"input_ids", TL_PORT_IDS, false}, {"attention_mask", TL_PORT_MASK, true},                               \
    {                                                                                                        \
        "position_ids", TL_PORT_IDS, true                                                                    \
    }
#define TL_CLAP_AUDIO_PORTS                                                                                  \
    {"input_features", TL_PORT_PICTURE, false}, {"is_longer", TL_PORT_VECTOR, true},                         \
    {                                                                                                        \
        "time_weights", TL_PORT_VECTOR, true                                                                 \
    }

#endif
