/* A component: one model class with its config and weights, as a folder of diffusers or transformers holds
 * it.
 *
 * The classes are one table; `tiller list models`, loading and `tiller forward` walk it. A component owns its
 * store; several graphs may use it. */
#ifndef TL_MODELS_COMPONENT_H
#define TL_MODELS_COMPONENT_H

#include "models/clap.h"
#include "models/clip.h"
#include "models/unet.h"
#include "models/vae.h"
#include "models/weights.h"

union tl_component_config {
    struct tl_unet_config unet;
    struct tl_vae_config vae;
    struct tl_clip_text_config clip_text;
    struct tl_clip_vision_config clip_vision;
    struct tl_clip_config clip;
    struct tl_clap_text_config clap_text;
    struct tl_clap_audio_config clap_audio;
    struct tl_clap_config clap;
};

/* A tensor of a call: a graph input or output under its name in Python. */
struct tl_port {
    const char *name;
    enum {
        TL_PORT_PICTURE,
        TL_PORT_TOKENS,
        TL_PORT_VECTOR,
        TL_PORT_IDS,
        TL_PORT_MASK
    } kind; /* PICTURE: NCHW in files, NHWC here */
    bool optional;
};

enum { TL_PORTS = 8 };

struct tl_component_method {
    const char *name; /* "forward", "encode", "decode" */
    struct tl_port in[TL_PORTS], out[TL_PORTS];
    /* in and out in the order of the ports; TL_NONE where an optional input is absent. */
    void (*build)(struct tl_nn *nn, const union tl_component_config *config, const tl_val *in, tl_val *out);
};

struct tl_component_class {
    const char *name;    /* "UNet2DConditionModel" */
    const char *library; /* "diffusers", "transformers" */
    const char *weights; /* base name of the weights' file */
    const char *help;
    bool (*parse)(const cJSON *json, union tl_component_config *config, struct tl_err *err);
    void (*declare)(
        struct tl_nn *nn,
        const union tl_component_config *config); /* a smallest graph that asks for every weight */
    struct tl_component_method methods[3];        /* ends at name NULL */
};

extern const struct tl_component_class tl_component_classes[]; /* ends at name NULL */
const struct tl_component_class *tl_component_class_find(const char *name);

struct tl_component {
    const struct tl_component_class *cls;
    union tl_component_config config;
    cJSON *json;         /* as read; owns */
    enum tl_dtype dtype; /* of the store: graphs over it are built with tl_nn.dtype = this */
    struct tl_store_layout *layout;
    struct tl_store *store;
    char *folder; /* where it was read from, or NULL */
};

/* The class of a folder's config: _class_name, or architectures[0], or told by model_type. */
const struct tl_component_class *tl_component_class_of(const cJSON *json, struct tl_err *err);

/* Reads FOLDER/config.json and the weights. */
struct tl_component *tl_component_open(struct tl_device *device, const char *folder, struct tl_err *err);
/* The same with the weights kept in F16 or BF16, whatever the file has: half the memory, for weights that are
 * only read. They are rounded to nearest even; a magnitude of 65520 or more is infinite in F16. */
struct tl_component *tl_component_open_as(struct tl_device *device, const char *folder, enum tl_dtype dtype,
                                          struct tl_err *err);
/* From a config (copied) with random weights. */
struct tl_component *tl_component_create(struct tl_device *device, const cJSON *json, uint64_t seed,
                                         struct tl_err *err);
void tl_component_close(struct tl_component **component);

/* Writes config.json and the weights (of `store`, which may be an EMA copy of the same layout; NULL: the
 * component's own). */
bool tl_component_save(struct tl_component *component, struct tl_store *store, const char *folder,
                       enum tl_st_dtype dtype, struct tl_err *err);

/* The layout of a class's weights alone, in F32, without a device. */
struct tl_store_layout *tl_component_layout(const struct tl_component_class *cls,
                                            const union tl_component_config *config, struct tl_err *err);

#endif
