#include "run/encoded_set.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/encoded_set_parts.h"
#include "run/latent_cache.h"

bool tl_encoded_set_open(struct tl_dataset *d, struct tl_pipeline *pipeline,
                         const struct tl_encoded_params *params, struct tl_encoded_set *s, struct tl_err *err)
{
    *s = (struct tl_encoded_set){.n = d->n};
    bool ok = (params->no_captions || tl_encoded_set_texts(d, pipeline, s, err)) &&
              tl_encoded_set_pictures(d, pipeline->vae, params, s, err);
    if (!ok) tl_encoded_set_finish(s);
    return ok;
}

void tl_encoded_set_finish(struct tl_encoded_set *s)
{
    free(s->moments);
    free(s->made);
    tl_latent_cache_close(&s->cache);
    free(s->contexts);
    free(s->caption);
    *s = (struct tl_encoded_set){0};
}

void tl_encoded_set_latent_of(const struct tl_encoded_set *s, const struct tl_vae_config *vae, int i,
                              bool flip, const float *noise, float *out)
{
    const struct tl_moments *mo = &s->moments[i];
    const uint8_t *data = flip ? mo->flipped : mo->data;
    size_t c = (size_t)s->channels, pixels = (size_t)mo->height * (size_t)mo->width;
    float m[2 * TL_ENCODE_CHANNELS];
    for (size_t p = 0; p < pixels; p++) {
        memcpy(m, data + p * 2 * c * sizeof *m, 2 * c * sizeof *m);
        for (size_t k = 0; k < c; k++) {
            float z = m[k] + expf(0.5f * m[c + k]) * noise[p * c + k];
            out[p * c + k] = (z - vae->shift_factor) * vae->scaling_factor;
        }
    }
}

void tl_encoded_set_latent(const struct tl_encoded_set *s, const struct tl_vae_config *vae, int i,
                           const float *noise, float *out)
{
    tl_encoded_set_latent_of(s, vae, i, false, noise, out);
}
