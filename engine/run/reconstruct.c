#include "run/reconstruct.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/component.h"
#include "tensor/exec.h"

enum { BATCH = 16 };

static struct tl_exec *plan(struct tl_component *vae, int h, int w, struct tl_err *err)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) return NULL;
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE};
    tl_val x = tl_input(g, "pixels", TL_F32, tl_shape4(BATCH, h, w, 3)), mean, logvar;
    tl_vae_moments(&nn, tl_vae_encode(&nn, &vae->config.vae, x), &mean, &logvar);
    tl_output(g, tl_vae_decode(&nn, &vae->config.vae, mean), "pixels_out");
    return tl_exec_create(vae->store->device, &g, err);
}

static uint8_t to_byte(float x)
{
    float v = (x * 0.5f + 0.5f) * 255.0f;
    return (uint8_t)lrintf(v < 0 ? 0 : v > 255 ? 255 : v);
}

bool tl_reconstruct(struct tl_device *device, const char *folder, const struct tl_dataset *data,
                    uint8_t **out, struct tl_err *err)
{
    size_t n_px = (size_t)data->width * (size_t)data->height * 3;
    struct tl_component *vae = tl_component_open(device, folder, err);
    if (!vae) return false;
    bool is_vae = strcmp(vae->cls->name, "AutoencoderKL") == 0;
    if (!is_vae) tl_err_set(err, TL_BAD_INPUT, "%s: %s is no AutoencoderKL", folder, vae->cls->name);
    struct tl_exec *e = is_vae ? plan(vae, data->height, data->width, err) : NULL;
    float *px = malloc(BATCH * n_px * sizeof *px);
    *out = malloc((size_t)data->n * n_px);
    bool ok = e && px && *out && tl_exec_bind(e, TL_SET_BASE, vae->store, err);
    for (int i = 0; ok && i < data->n; i += BATCH) {
        int n = data->n - i < BATCH ? data->n - i : BATCH;
        for (int j = 0; j < BATCH; j++)
            tl_dataset_pixels(data, j < n ? i + j : i, 0, 0, data->height, data->width,
                              px + (size_t)j * n_px);
        ok = tl_exec_write(e, "pixels", px, err) && tl_exec_run(e, err) &&
             tl_exec_read(e, "pixels_out", px, err);
        for (size_t k = 0; ok && k < (size_t)n * n_px; k++) (*out)[(size_t)i * n_px + k] = to_byte(px[k]);
    }
    tl_exec_destroy(&e);
    tl_component_close(&vae);
    free(px);
    if (ok) return true;
    free(*out);
    *out = NULL;
    return tl_err_set(err, TL_FAIL, "out of memory");
}
