#include "sample/latents.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "tensor/device_planning.h"
#include "tensor/exec.h"

enum { PLANS = 4, MOST_BATCH = 16, BATCH_PIXELS = 1 << 18 };

/* One planned direction and shape. */
struct plan {
    struct tl_exec *exec;
    bool decode;
    int batch, h, w; /* of the input */
    unsigned used;   /* when, for replacing the oldest */
};

struct tl_latent_codec {
    struct tl_component *vae;
    struct tl_store *store;
    struct plan plans[PLANS];
    unsigned clock;
    int fixed; /* pictures of every batch that is decoded; 0: chosen by how many there are */
};

void tl_latents_from_nchw(const float *in, size_t n, int h, int w, int c, float *out)
{
    size_t hw = (size_t)h * (size_t)w, nc = (size_t)c;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < nc; k++)
            for (size_t p = 0; p < hw; p++) out[(i * hw + p) * nc + k] = in[(i * nc + k) * hw + p];
}

void tl_latents_to_nchw(const float *in, size_t n, int h, int w, int c, float *out)
{
    size_t hw = (size_t)h * (size_t)w, nc = (size_t)c;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < nc; k++)
            for (size_t p = 0; p < hw; p++) out[(i * nc + k) * hw + p] = in[(i * hw + p) * nc + k];
}

struct tl_latent_codec *tl_latent_codec_create(struct tl_component *vae, struct tl_err *err)
{
    struct tl_latent_codec *c = calloc(1, sizeof *c);
    if (!c) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    c->vae = vae;
    c->store = vae->store;
    return c;
}

void tl_latent_codec_destroy(struct tl_latent_codec **c_ptr)
{
    struct tl_latent_codec *c = *c_ptr;
    if (!c) return;
    for (int i = 0; i < PLANS; i++) tl_exec_destroy(&c->plans[i].exec);
    free(c);
    *c_ptr = NULL;
}

void tl_latent_codec_use(struct tl_latent_codec *c, struct tl_store *store)
{
    c->store = store ? store : c->vae->store;
}

/* Pictures of one run: a power of two that covers n, bounded so that a plan stays small. */
static int batch_for(size_t n, int64_t pixels)
{
    int64_t most = BATCH_PIXELS / pixels;
    int batch = 1;
    while (batch < MOST_BATCH && (size_t)batch < n && 2 * batch <= most) batch *= 2;
    return batch;
}

static struct tl_exec *make_exec(struct tl_latent_codec *c, const struct plan *p, struct tl_err *err)
{
    const struct tl_vae_config *v = &c->vae->config.vae;
    struct tl_graph *g = tl_graph_create();
    if (!g) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = c->vae->dtype};
    tl_val in = tl_input(g, "in", TL_F32,
                         tl_shape4(p->batch, p->h, p->w, p->decode ? v->latent_channels : v->in_channels));
    if (p->decode) {
        tl_output(g, tl_vae_decode(&nn, v, in), "out");
    } else {
        tl_val mean, logvar;
        tl_vae_moments(&nn, tl_vae_encode(&nn, v, in), &mean, &logvar);
        tl_output(g, mean, "out");
        tl_output(g, logvar, "logvar");
    }
    if (!tl_graph_ok(g, err)) {
        tl_graph_destroy(&g);
        return NULL;
    }
    return tl_exec_create(c->vae->store->device, &g, err);
}

static struct plan *find_plan(struct tl_latent_codec *c, bool decode, int batch, int h, int w,
                              struct tl_err *err)
{
    struct plan *oldest = &c->plans[0], *found = NULL;
    for (int i = 0; i < PLANS && !found; i++) {
        struct plan *p = &c->plans[i];
        if (p->exec && p->decode == decode && p->batch == batch && p->h == h && p->w == w) found = p;
        if (p->used < oldest->used) oldest = p;
    }
    if (!found) {
        struct plan made = {.decode = decode, .batch = batch, .h = h, .w = w};
        tl_exec_destroy(&oldest->exec);
        struct tl_device *d = c->vae->store->device;
        const char *before =
            tl_device_planning_part(d, decode ? "decoder, activations" : "VAE encoder, activations");
        made.exec = make_exec(c, &made, err);
        tl_device_planning_part(d, before);
        *oldest = made;
        if (!made.exec) return NULL;
        found = oldest;
    }
    found->used = ++c->clock;
    return tl_exec_bind(found->exec, TL_SET_BASE, c->store, err) ? found : NULL;
}

/* y in [-1, 1] to [0, 1]; a NaN becomes 0, so that it never reaches a file. */
static float to_unit(float y)
{
    float v = y * 0.5f + 0.5f;
    return v > 0 ? v < 1 ? v : 1 : 0;
}

static bool decode_batch(const struct tl_latent_codec *c, struct plan *p, const float *latents, size_t n,
                         size_t n_in, float *z, float *y, struct tl_err *err)
{
    const struct tl_vae_config *v = &c->vae->config.vae;
    float inverse = 1.0f / v->scaling_factor;
    for (size_t i = 0; i < n * n_in; i++) z[i] = latents[i] * inverse + v->shift_factor;
    for (size_t k = n; k < (size_t)p->batch; k++) memcpy(z + k * n_in, z, n_in * sizeof *z);
    return tl_exec_write(p->exec, "in", z, err) && tl_exec_run(p->exec, err) &&
           tl_exec_read(p->exec, "out", y, err);
}

bool tl_latent_codec_prepare(struct tl_latent_codec *c, size_t most, int h, int w, int *out_batch,
                             struct tl_err *err)
{
    int64_t factor = tl_vae_factor(&c->vae->config.vae);
    c->fixed = batch_for(most, (int64_t)h * w * factor * factor);
    if (out_batch) *out_batch = c->fixed;
    return find_plan(c, true, c->fixed, h, w, err) != NULL;
}

bool tl_latent_codec_prepare_encode(struct tl_latent_codec *c, size_t most, int height, int width,
                                    struct tl_err *err)
{
    return find_plan(c, false, batch_for(most, (int64_t)height * width), height, width, err) != NULL;
}

bool tl_latent_codec_decode(struct tl_latent_codec *c, const float *latents, size_t n, int h, int w,
                            float *out, uint8_t *out_u8, struct tl_err *err)
{
    const struct tl_vae_config *v = &c->vae->config.vae;
    int64_t factor = tl_vae_factor(v), pixels = (int64_t)h * w * factor * factor;
    size_t n_in = (size_t)h * (size_t)w * (size_t)v->latent_channels;
    size_t n_out = (size_t)pixels * (size_t)v->out_channels;
    if (h < 1 || w < 1 || pixels > 1 << 26)
        return tl_err_set(err, TL_USAGE, "latents of %dx%d cannot be decoded", w, h);
    struct plan *p = find_plan(c, true, c->fixed ? c->fixed : batch_for(n, pixels), h, w, err);
    if (!p) return false;
    size_t batch = (size_t)p->batch;
    float *z = malloc(batch * n_in * sizeof *z), *y = malloc(batch * n_out * sizeof *y);
    bool ok = (z && y) || tl_err_set(err, TL_FAIL, "out of memory for %zu pictures", batch);
    for (size_t i = 0; ok && i < n; i += batch) {
        size_t m = n - i < batch ? n - i : batch;
        ok = decode_batch(c, p, latents + i * n_in, m, n_in, z, y, err);
        for (size_t k = 0; ok && k < m * n_out; k++) {
            float unit = to_unit(y[k]);
            if (out) out[i * n_out + k] = unit;
            if (out_u8) out_u8[i * n_out + k] = (uint8_t)lrintf(unit * 255.0f);
        }
    }
    free(z);
    free(y);
    return ok;
}

bool tl_latent_codec_encode(struct tl_latent_codec *c, const float *pictures, size_t n, int height, int width,
                            float *out_mean, float *out_logvar, struct tl_err *err)
{
    const struct tl_vae_config *v = &c->vae->config.vae;
    int factor = tl_vae_factor(v);
    if (height < 1 || width < 1 || height % factor || width % factor || (int64_t)height * width > 1 << 26)
        return tl_err_set(err, TL_BAD_INPUT, "pictures of %dx%d: both must be multiples of %d", width, height,
                          factor);
    size_t n_in = (size_t)height * (size_t)width * (size_t)v->in_channels;
    size_t n_out = (size_t)(height / factor) * (size_t)(width / factor) * (size_t)v->latent_channels;
    struct plan *p = find_plan(c, false, batch_for(n, (int64_t)height * width), height, width, err);
    if (!p) return false;
    size_t batch = (size_t)p->batch;
    float *x = malloc(batch * n_in * sizeof *x), *y = malloc(batch * n_out * sizeof *y);
    bool ok = (x && y) || tl_err_set(err, TL_FAIL, "out of memory for %zu pictures", batch);
    for (size_t i = 0; ok && i < n; i += batch) {
        size_t m = n - i < batch ? n - i : batch;
        memcpy(x, pictures + i * n_in, m * n_in * sizeof *x);
        for (size_t k = m; k < batch; k++) memcpy(x + k * n_in, x, n_in * sizeof *x);
        ok = tl_exec_write(p->exec, "in", x, err) && tl_exec_run(p->exec, err) &&
             tl_exec_read(p->exec, "out", y, err);
        if (ok) memcpy(out_mean + i * n_out, y, m * n_out * sizeof *y);
        ok = ok && tl_exec_read(p->exec, "logvar", y, err);
        if (ok) memcpy(out_logvar + i * n_out, y, m * n_out * sizeof *y);
    }
    free(x);
    free(y);
    return ok;
}

void tl_latents_from_moments(const struct tl_vae_config *vae, const float *mean, const float *logvar,
                             const float *noise, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        float z = noise ? mean[i] + expf(0.5f * logvar[i]) * noise[i] : mean[i];
        out[i] = (z - vae->shift_factor) * vae->scaling_factor;
    }
}
