#include "encoders/clip_towers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "tensor/exec.h"

/* Rows of one run. Large towers gain nothing from many, and a short batch costs as much as a full one. */
enum { ROWS = 16, ROWS_LARGE = 4 };
static const double large_flop = 2e9; /* of one picture */

struct tower {
    struct tl_exec *exec;
    size_t rows;
    size_t n_in; /* elements of one row's input */
    void *in;    /* [rows][n_in] of float or int32_t */
    float *out;  /* [rows][projection] */
};

struct tl_clip_towers {
    struct tl_component *clip;
    struct tl_clip_config config; /* of a vision model alone: text stays zero */
    bool has_text;
    struct tower image, text; /* text is planned when it is first needed */
    double scale;
};

static double flop(const struct tl_clip_tower *t, double tokens)
{
    return 2 * tokens * t->layers * (4.0 * t->width * t->width + 2.0 * t->width * t->mlp);
}

/* Takes over the graph. */
static bool plan(struct tl_clip_towers *t, struct tower *w, struct tl_graph **g, size_t bytes,
                 struct tl_err *err)
{
    if (!tl_graph_ok(*g, err)) {
        tl_graph_destroy(g);
        return false;
    }
    w->exec = tl_exec_create(t->clip->store->device, g, err);
    w->in = calloc(w->rows * w->n_in, bytes);
    w->out = calloc(w->rows * (size_t)t->config.projection, sizeof *w->out);
    if (!w->exec) return false;
    if (!w->in || !w->out) return tl_err_set(err, TL_FAIL, "out of memory");
    return tl_exec_bind(w->exec, TL_SET_BASE, t->clip->store, err);
}

static bool plan_image(struct tl_clip_towers *t, struct tl_err *err)
{
    const struct tl_clip_vision_config *c = &t->config.vision;
    double side = c->image_size / c->patch;
    struct tower *w = &t->image;
    struct tl_clip_vision_out out;
    struct tl_graph *g = tl_graph_create();
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = t->clip->dtype};
    w->rows = flop(&c->tower, side * side + 1) > large_flop ? ROWS_LARGE : ROWS;
    w->n_in = (size_t)c->image_size * (size_t)c->image_size * 3;
    tl_clip_vision_build(
        &nn, c, tl_input(g, "in", TL_F32, tl_shape4((int64_t)w->rows, c->image_size, c->image_size, 3)), true,
        &out);
    tl_output(g, out.embeds, "out");
    return plan(t, w, &g, sizeof(float), err);
}

static bool plan_text(struct tl_clip_towers *t, struct tl_err *err)
{
    const struct tl_clip_text_config *c = &t->config.text;
    struct tower *w = &t->text;
    struct tl_clip_text_out out;
    struct tl_graph *g = tl_graph_create();
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = t->clip->dtype};
    w->rows = flop(&c->tower, c->positions) > large_flop ? ROWS_LARGE : ROWS;
    w->n_in = (size_t)c->positions;
    tl_clip_text_build(&nn, c, tl_input(g, "in", TL_I32, tl_shape2((int64_t)w->rows, c->positions)), TL_NONE,
                       tl_input(g, "eos_rows", TL_I32, tl_shape1((int64_t)w->rows)), true, 0, &out);
    tl_output(g, out.embeds, "out");
    return plan(t, w, &g, sizeof(int32_t), err);
}

/* From the file, not from the store: in half precision exp() would make a thousandth of its rounding. */
static bool read_scale(struct tl_clip_towers *t, const char *folder, struct tl_err *err)
{
    struct tl_st_set *set = tl_st_set_open(folder, t->clip->cls->weights, NULL, err);
    const struct tl_st_tensor *tensor = set ? tl_st_set_find(set, "logit_scale") : NULL;
    float log_scale = 0;
    bool ok = set && ((tensor && tensor->n == 1) ||
                      tl_err_set(err, TL_BAD_INPUT, "logit_scale is missing or no single number"));
    ok = ok && tl_st_to_f32(tensor, &log_scale, err);
    t->scale = exp((double)log_scale);
    tl_st_set_close(&set);
    return ok;
}

static bool take_config(struct tl_clip_towers *t, const char *folder, struct tl_err *err)
{
    t->has_text = strcmp(t->clip->cls->name, "CLIPModel") == 0;
    if (t->has_text) {
        t->config = t->clip->config.clip;
    } else if (strcmp(t->clip->cls->name, "CLIPVisionModelWithProjection") == 0) {
        t->config.vision = t->clip->config.clip_vision;
        t->config.projection = t->config.vision.projection;
    } else {
        return tl_err_set(err, TL_BAD_INPUT, "%s holds a %s, a CLIPModel is needed", folder,
                          t->clip->cls->name);
    }
    return t->config.vision.channels == 3 ||
           tl_err_set(err, TL_BAD_INPUT, "%s: num_channels %d is not supported: it must be 3", folder,
                      t->config.vision.channels);
}

static bool open_into(struct tl_clip_towers *t, struct tl_device *device, const char *folder,
                      enum tl_dtype dtype, struct tl_err *err)
{
    t->clip = tl_component_open_as(device, folder, dtype, err);
    if (!t->clip || !take_config(t, folder, err)) return false;
    return ((!t->has_text || read_scale(t, folder, err)) && plan_image(t, err)) ||
           tl_err_add(err, "%s", folder);
}

struct tl_clip_towers *tl_clip_towers_open(struct tl_device *device, const char *folder, enum tl_dtype dtype,
                                           struct tl_err *err)
{
    struct tl_clip_towers *t = calloc(1, sizeof *t);
    if (!t) tl_err_set(err, TL_FAIL, "out of memory");
    if (t && !open_into(t, device, folder, dtype, err)) tl_clip_towers_close(&t);
    return t;
}

static void finish(struct tower *w)
{
    tl_exec_destroy(&w->exec);
    free(w->in);
    free(w->out);
    *w = (struct tower){0};
}

void tl_clip_towers_close(struct tl_clip_towers **towers)
{
    struct tl_clip_towers *t = *towers;
    if (!t) return;
    finish(&t->image);
    finish(&t->text);
    tl_component_close(&t->clip);
    free(t);
    *towers = NULL;
}

const struct tl_clip_config *tl_clip_towers_config(const struct tl_clip_towers *towers)
{
    return &towers->config;
}

bool tl_clip_towers_plan_texts(struct tl_clip_towers *t, struct tl_err *err)
{
    if (t->text.exec) return true;
    if (!t->has_text)
        return tl_err_set(err, TL_BAD_INPUT, "%s holds a %s without a text tower, a CLIPModel is needed",
                          t->clip->folder, t->clip->cls->name);
    finish(&t->text);
    return plan_text(t, err) || tl_err_add(err, "%s", t->clip->folder);
}

struct tl_store *tl_clip_towers_store(const struct tl_clip_towers *towers)
{
    return towers->clip->store;
}

double tl_clip_towers_scale(const struct tl_clip_towers *towers)
{
    return towers->scale;
}

size_t tl_clip_towers_batch(const struct tl_clip_towers *towers)
{
    return towers->image.rows;
}

/* Runs m <= rows of size `bytes` each; what is missing stays zero. */
static bool run(const struct tl_clip_towers *t, struct tower *w, const void *in, size_t m, size_t bytes,
                float *out, struct tl_err *err)
{
    size_t row = w->n_in * bytes, p = (size_t)t->config.projection;
    memcpy(w->in, in, m * row);
    memset((char *)w->in + m * row, 0, (w->rows - m) * row);
    if (!tl_exec_write(w->exec, "in", w->in, err)) return false;
    if (w == &t->text) {
        int32_t eos[ROWS];
        tl_clip_eos_rows(&t->config.text, w->in, (int64_t)w->rows, (int64_t)w->n_in, eos);
        if (!tl_exec_write(w->exec, "eos_rows", eos, err)) return false;
    }
    if (!tl_exec_run(w->exec, err) || !tl_exec_read(w->exec, "out", w->out, err)) return false;
    memcpy(out, w->out, m * p * sizeof *out);
    return true;
}

static bool run_all(const struct tl_clip_towers *t, struct tower *w, const void *in, size_t n, size_t bytes,
                    float *out, struct tl_err *err)
{
    size_t p = (size_t)t->config.projection;
    for (size_t i = 0; i < n; i += w->rows) {
        size_t m = n - i < w->rows ? n - i : w->rows;
        if (!run(t, w, (const char *)in + i * w->n_in * bytes, m, bytes, out + i * p, err)) return false;
    }
    return true;
}

bool tl_clip_towers_images(struct tl_clip_towers *towers, const float *pixels, size_t n, float *out,
                           struct tl_err *err)
{
    return run_all(towers, &towers->image, pixels, n, sizeof *pixels, out, err);
}

bool tl_clip_towers_texts(struct tl_clip_towers *towers, const int32_t *ids, size_t n, float *out,
                          struct tl_err *err)
{
    return tl_clip_towers_plan_texts(towers, err) &&
           run_all(towers, &towers->text, ids, n, sizeof *ids, out, err);
}

bool tl_clip_towers_hash(const char *folder, char out[65], struct tl_err *err)
{
    struct tl_sha256 all;
    const struct tl_component_class *cls = tl_component_class_find("CLIPModel");
    struct tl_st_set *set = tl_st_set_open(folder, cls->weights, NULL, err);
    bool ok = set != NULL;
    tl_sha256_init(&all);
    for (size_t i = 0; ok && i < tl_st_set_files(set); i++) {
        ok = tl_sha256_file(tl_st_set_path(set, i), out, err);
        if (ok) tl_sha256_add(&all, out, 64);
    }
    if (ok && tl_st_set_files(set) > 1) tl_sha256_hex(&all, out);
    tl_st_set_close(&set);
    return ok;
}
