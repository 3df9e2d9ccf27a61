#include "encoders/clap_towers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/exec.h"

enum { ROWS = 4, SHORTEST = 32, LENGTHS = 16 /* 32, 64, ... ids */ };

struct tl_clap_towers {
    struct tl_component *clap;
    struct tl_clap_config config;
    bool has_text;
    double scale;
    struct tl_exec *audio; /* planned at the first sound */
    size_t frames, n_in;   /* of its plan; floats of a row, without is_longer */
    float *in, *out, *is_longer;
    struct tl_exec *text[LENGTHS]; /* one row each, planned when it is first needed */
};

/* Takes over the graph. */
static struct tl_exec *plan(struct tl_clap_towers *t, struct tl_graph **g, struct tl_err *err)
{
    struct tl_exec *exec = tl_graph_ok(*g, err) ? tl_exec_create(t->clap->store->device, g, err) : NULL;
    tl_graph_destroy(g);
    if (exec && !tl_exec_bind(exec, TL_SET_BASE, t->clap->store, err)) tl_exec_destroy(&exec);
    return exec;
}

static void finish_audio(struct tl_clap_towers *t)
{
    tl_exec_destroy(&t->audio);
    free(t->in);
    free(t->out);
    free(t->is_longer);
    t->in = t->out = t->is_longer = NULL;
}

static bool feed_time(struct tl_clap_towers *t, size_t frames, struct tl_err *err)
{
    size_t full = (size_t)tl_clap_frames(&t->config.audio);
    if (frames >= full) return true;
    float *weights = malloc(frames * full * sizeof *weights);
    if (!weights) return tl_err_set(err, TL_FAIL, "out of memory");
    tl_clap_time_weights(&t->config.audio, (int64_t)frames, weights);
    bool ok = tl_exec_write(t->audio, "time_weights", weights, err);
    free(weights);
    return ok;
}

static bool plan_audio(struct tl_clap_towers *t, size_t frames, struct tl_err *err)
{
    const struct tl_clap_audio_config *c = &t->config.audio;
    struct tl_clap_audio_out out;
    finish_audio(t);
    struct tl_graph *g = tl_graph_create();
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = t->clap->dtype};
    int64_t full = tl_clap_frames(c), channels = c->is_fused ? TL_CLAP_FUSED_CHANNELS : c->channels;
    tl_val in = tl_input(g, "in", TL_F32, tl_shape4(ROWS, (int64_t)frames, c->bands, channels));
    tl_val longer = c->is_fused ? tl_input(g, "is_longer", TL_F32, tl_shape2(ROWS, 1)) : TL_NONE;
    tl_val time = TL_NONE;
    if ((int64_t)frames < full) time = tl_input(g, "time_weights", TL_F32, tl_shape2((int64_t)frames, full));
    tl_clap_audio_build(&nn, c, in, longer, time, &out);
    tl_output(g, out.embeds, "out");
    t->frames = frames;
    t->n_in = frames * (size_t)c->bands * (size_t)channels;
    t->audio = plan(t, &g, err);
    t->in = calloc(ROWS * t->n_in, sizeof *t->in);
    t->out = calloc(ROWS * (size_t)t->config.projection, sizeof *t->out);
    t->is_longer = calloc(ROWS, sizeof *t->is_longer);
    bool ok = t->audio && ((t->in && t->out && t->is_longer) || tl_err_set(err, TL_FAIL, "out of memory")) &&
              feed_time(t, frames, err);
    if (!ok) finish_audio(t);
    return ok;
}

static bool plan_text(struct tl_clap_towers *t, int i, size_t length, struct tl_err *err)
{
    struct tl_clap_text_out out;
    struct tl_graph *g = tl_graph_create();
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = t->clap->dtype};
    struct tl_shape s = tl_shape2(1, (int64_t)length);
    tl_val ids = tl_input(g, "in", TL_I32, s), mask = tl_input(g, "mask", TL_F32, s);
    tl_clap_text_build(&nn, &t->config.text, ids, mask, tl_input(g, "positions", TL_I32, s), &out);
    tl_output(g, out.embeds, "out");
    t->text[i] = plan(t, &g, err);
    return t->text[i] != NULL;
}

/* ---- opening ---- */

/* From the file, not from the store: in half precision exp() would make a thousandth of its rounding. */
static bool read_scale(struct tl_clap_towers *t, const char *folder, struct tl_err *err)
{
    struct tl_st_set *set = tl_st_set_open(folder, t->clap->cls->weights, NULL, err);
    const struct tl_st_tensor *tensor = set ? tl_st_set_find(set, "logit_scale_a") : NULL;
    float log_scale = 0;
    bool ok = set && ((tensor && tensor->n == 1) ||
                      tl_err_set(err, TL_BAD_INPUT, "logit_scale_a is missing or no single number"));
    ok = ok && tl_st_to_f32(tensor, &log_scale, err);
    t->scale = exp((double)log_scale);
    tl_st_set_close(&set);
    return ok;
}

static bool open_into(struct tl_clap_towers *t, struct tl_device *device, const char *folder,
                      enum tl_dtype dtype, struct tl_err *err)
{
    t->clap = tl_component_open_as(device, folder, dtype, err);
    if (!t->clap) return false;
    if (strcmp(t->clap->cls->name, "ClapModel") == 0) {
        t->has_text = true;
        t->config = t->clap->config.clap;
        return read_scale(t, folder, err) || tl_err_add(err, "%s", folder);
    }
    if (strcmp(t->clap->cls->name, "ClapAudioModelWithProjection") != 0)
        return tl_err_set(err, TL_BAD_INPUT, "%s holds a %s, a ClapModel is needed", folder,
                          t->clap->cls->name);
    t->config.audio = t->clap->config.clap_audio;
    t->config.projection = t->config.audio.projection;
    return true;
}

struct tl_clap_towers *tl_clap_towers_open(struct tl_device *device, const char *folder, enum tl_dtype dtype,
                                           struct tl_err *err)
{
    struct tl_clap_towers *t = calloc(1, sizeof *t);
    if (!t) tl_err_set(err, TL_FAIL, "out of memory");
    if (t && !open_into(t, device, folder, dtype, err)) tl_clap_towers_close(&t);
    return t;
}

void tl_clap_towers_close(struct tl_clap_towers **towers)
{
    struct tl_clap_towers *t = *towers;
    if (!t) return;
    finish_audio(t);
    for (int i = 0; i < LENGTHS; i++) tl_exec_destroy(&t->text[i]);
    tl_component_close(&t->clap);
    free(t);
    *towers = NULL;
}

const struct tl_clap_config *tl_clap_towers_config(const struct tl_clap_towers *towers)
{
    return &towers->config;
}

double tl_clap_towers_scale(const struct tl_clap_towers *towers)
{
    return towers->scale;
}

size_t tl_clap_towers_batch(const struct tl_clap_towers *towers)
{
    (void)towers;
    return ROWS;
}

bool tl_clap_towers_has_text(const struct tl_clap_towers *towers)
{
    return towers->has_text;
}

/* ---- running ---- */

bool tl_clap_towers_sounds(struct tl_clap_towers *t, const float *x, size_t n, size_t frames, float *out,
                           struct tl_err *err)
{
    bool is_fused = t->config.audio.is_fused;
    size_t p = (size_t)t->config.projection;
    if ((!t->audio || t->frames != frames) && !plan_audio(t, frames, err))
        return tl_err_add(err, "%s", t->clap->folder);
    for (size_t i = 0; i < n; i += ROWS) {
        size_t m = n - i < ROWS ? n - i : ROWS;
        memset(t->in, 0, ROWS * t->n_in * sizeof *t->in);
        for (size_t k = 0; k < ROWS; k++) {
            const float *row = x + (i + k) * (t->n_in + is_fused);
            if (k < m) memcpy(t->in + k * t->n_in, row, t->n_in * sizeof *row);
            t->is_longer[k] = k < m && is_fused ? row[t->n_in] : 0;
        }
        if (!tl_exec_write(t->audio, "in", t->in, err) ||
            (is_fused && !tl_exec_write(t->audio, "is_longer", t->is_longer, err)) ||
            !tl_exec_run(t->audio, err) || !tl_exec_read(t->audio, "out", t->out, err))
            return false;
        memcpy(out + i * p, t->out, m * p * sizeof *out);
    }
    return true;
}

/* ids, positions [length] and mask [length], one behind the other, made and written. */
static bool write_text(struct tl_clap_towers *t, struct tl_exec *exec, const int32_t *ids, size_t used,
                       size_t length, struct tl_err *err)
{
    int32_t *row = malloc(2 * length * sizeof *row);
    float *mask = malloc(length * sizeof *mask);
    bool ok = (row && mask) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t k = 0; ok && k < length; k++) {
        row[k] = k < used ? ids[k] : t->config.text.pad_id;
        mask[k] = k < used ? 0 : -1e30f;
    }
    if (ok) tl_clap_positions(&t->config.text, row, 1, (int64_t)length, row + length);
    ok = ok && tl_exec_write(exec, "in", row, err) && tl_exec_write(exec, "mask", mask, err) &&
         tl_exec_write(exec, "positions", row + length, err);
    free(row);
    free(mask);
    return ok;
}

bool tl_clap_towers_text(struct tl_clap_towers *t, const int32_t *ids, size_t used, float *out,
                         struct tl_err *err)
{
    if (!t->has_text)
        return tl_err_set(err, TL_BAD_INPUT, "%s holds a %s without a text tower, a ClapModel is needed",
                          t->clap->folder, t->clap->cls->name);
    size_t most = (size_t)tl_clap_text_most(&t->config.text), length = SHORTEST;
    int i = 0;
    for (; length < used && i + 1 < LENGTHS; i++) length *= 2;
    if (length > most) length = most;
    if (used > length)
        return tl_err_set(err, TL_USAGE, "a text of %zu ids; the model has %zu places", used, most);
    if (!t->text[i] && !plan_text(t, i, length, err)) return tl_err_add(err, "%s", t->clap->folder);
    return write_text(t, t->text[i], ids, used, length, err) && tl_exec_run(t->text[i], err) &&
           tl_exec_read(t->text[i], "out", out, err);
}
