/* Encoders: pictures and sounds to embeddings, for metrics over folders and for rewards.
 *
 * An encoder is written NAME:ARG[,KEY=VALUE...], or as a folder alone, whose config.json says which one it
 * is: "inception:FILE.pth", "vggish:FILE,compat=fadtk", "clap-folder/", "logmel". One table (encoders.c);
 * help, `tiller list`, `tiller embed` and the metrics walk it.
 *
 * An embedding is made in two steps, so that they overlap: `prepare` turns a decoded file into one or more
 * windows (front end: resize, resample, mel; host only, any number of threads at once), `run` turns windows
 * into rows (the network, on the device's thread). A window's rows do not depend on the windows beside it, so
 * batch size, order and thread count never change a bit of a result. */
#ifndef TL_ENCODERS_ENCODER_H
#define TL_ENCODERS_ENCODER_H

#include "io/image.h"
#include "io/modality.h"
#include "io/sound.h"
#include "tensor/device.h"

struct tl_encoder;

/* One decoded file. The one that the encoder's modality asks for is set. Borrowed for the call. */
struct tl_encoder_item {
    const char *name; /* for messages */
    const struct tl_image *image;
    const struct tl_sound *sound;
};

/* The front end's result for one file: n windows of `floats` floats each. Windows of one file have one size;
 * encoders with `is_fixed` have the same for all files. Zeroed is empty. */
struct tl_encoder_windows {
    size_t n, floats;
    float *x; /* [n][floats]; owns */
};
void tl_encoder_windows_finish(struct tl_encoder_windows *w);

/* What reports and caches must know. Strings live as long as the encoder. */
struct tl_encoder_about {
    const struct tl_encoder_class *cls;
    const char *spec;       /* as it was named */
    const char *path;       /* weights' file or folder; NULL without */
    char sha256[65];        /* of the weights; "" without */
    char config_sha256[65]; /* of a model folder's settings: config.json and how files are prepared; ""
                               without */
    const char *settings;   /* front end and options in words, everything that changes a number: "16 kHz mono
                               (soxr VHQ), 64 mel bands, ..." Part of the cache's key: a change of the code's
                               numerics changes it ("v2") */
    size_t dim;             /* of a row */
    size_t batch;           /* windows of one run: the cheapest number to bring */
    bool is_fixed;          /* all windows have one size */
    bool has_many;          /* a file may give several rows (frames, windows) */
    bool is_unit;           /* rows are of unit length */
};

struct tl_encoder_env {
    struct tl_device *device; /* borrowed until close; may be NULL where class.needs_device is false */
    enum tl_dtype dtype;      /* what weights are kept in: F32, F16, BF16 */
    bool no_hash; /* clip: about.sha256 stays "", for reading a large model once more takes seconds */
};

struct tl_encoder_class {
    const char *name;     /* "inception" */
    const char *help;     /* one clause */
    const char *argument; /* "FILE[,resize=clean]"; "" without */
    enum tl_modality modality;
    bool needs_device;
    const char
        *folder_class; /* the transformers class ("CLIPModel") whose folder alone means this encoder; NULL */

    /* arg: what stands behind NAME:, NULL where nothing does. The instance begins with a struct tl_encoder
     * and has its about filled in, but for cls and spec. */
    struct tl_encoder *(*open)(const struct tl_encoder_env *env, const char *arg, struct tl_err *err);
    void (*close)(struct tl_encoder *encoder);
    bool (*prepare)(const struct tl_encoder *encoder, const struct tl_encoder_item *item,
                    struct tl_encoder_windows *out, struct tl_err *err);
    /* out [n][dim] */
    bool (*run)(struct tl_encoder *encoder, const float *x, size_t n, size_t floats, float *out,
                struct tl_err *err);
};

struct tl_encoder {
    struct tl_encoder_about about;
    char *spec; /* owns */
};

/* Ends at NULL. */
extern const struct tl_encoder_class *const tl_encoder_classes[];

/* The class that a spec means, without opening anything large; *out_arg borrowed from spec. TL_USAGE names
 * what there is. */
const struct tl_encoder_class *tl_encoder_class_of(const char *spec, const char **out_arg,
                                                   struct tl_err *err);

struct tl_encoder *tl_encoder_open(const struct tl_encoder_env *env, const char *spec, struct tl_err *err);
void tl_encoder_close(struct tl_encoder **encoder);
const struct tl_encoder_about *tl_encoder_about(const struct tl_encoder *encoder);

/* TL_BAD_INPUT that names the item: too short, too small, too loud for a float. Thread-safe. */
bool tl_encoder_prepare(const struct tl_encoder *encoder, const struct tl_encoder_item *item,
                        struct tl_encoder_windows *out, struct tl_err *err);
/* n windows of `floats` each; out [n][dim]. TL_NUMERIC for a row that is not finite. */
bool tl_encoder_run(struct tl_encoder *encoder, const float *x, size_t n, size_t floats, float *out,
                    struct tl_err *err);

/* ARG's parts: "PATH,key=value,key=value". keys ends at NULL; out_values [number of keys] gets each one's
 * value, NULL where it is not given. The path is what stands before the first ",KEY=" of a known key (NULL
 * where it is empty). All strings lie in *out_block, which the caller frees. TL_USAGE for an unknown key,
 * named with those that there are. */
bool tl_encoder_arg_parse(const char *arg, const char *const *keys, char **out_block, const char **out_path,
                          const char **out_values, struct tl_err *err);

#endif
