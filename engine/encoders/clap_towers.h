/* A ClapModel folder opened for scoring: its two towers, planned for a fixed number of rows, so that an
 * embedding does not depend on its company. Short batches are padded. Not thread-safe. */
#ifndef TL_ENCODERS_CLAP_TOWERS_H
#define TL_ENCODERS_CLAP_TOWERS_H

#include "models/component.h"

struct tl_clap_towers;

/* A ClapModel, or a ClapAudioModelWithProjection, which has sounds only. Device borrowed; dtype: what the
 * weights are kept in. */
struct tl_clap_towers *tl_clap_towers_open(struct tl_device *device, const char *folder, enum tl_dtype dtype,
                                           struct tl_err *err);
void tl_clap_towers_close(struct tl_clap_towers **towers);

/* Of a sound model alone: text stays zero. */
const struct tl_clap_config *tl_clap_towers_config(const struct tl_clap_towers *towers);
double tl_clap_towers_scale(const struct tl_clap_towers *towers); /* exp(logit_scale_a); 0 without */
size_t tl_clap_towers_batch(const struct tl_clap_towers *towers); /* clips of one run */
bool tl_clap_towers_has_text(const struct tl_clap_towers *towers);

/* Any n. x [n][frames][bands][channels], is_longer behind each where fused, all of one length; out
 * [n][projection], not normalised. */
bool tl_clap_towers_sounds(struct tl_clap_towers *towers, const float *x, size_t n, size_t frames, float *out,
                           struct tl_err *err);
/* One text of `used` ids, no padding. Its number of ids alone says which plan serves it. */
bool tl_clap_towers_text(struct tl_clap_towers *towers, const int32_t *ids, size_t used, float *out,
                         struct tl_err *err);

#endif
