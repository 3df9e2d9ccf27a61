#include "models/forward_made.h"

#include <stdlib.h>
#include <string.h>

/* eos_rows of CLIP's texts, position_ids of CLAP's, time_weights of CLAP's clips */
static const struct {
    const char *port, *from;
} rows[] = {{"eos_rows", "input_ids"}, {"position_ids", "input_ids"}, {"time_weights", "input_features"}};

const char *tl_forward_made_from(const char *port)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].port, port) == 0) return rows[i].from;
    return NULL;
}

static bool is_class(const struct tl_component *c, const char *name)
{
    return strcmp(c->cls->name, name) == 0;
}

static const struct tl_clap_audio_config *clap_audio(const struct tl_component *c)
{
    return is_class(c, "ClapModel") ? &c->config.clap.audio : &c->config.clap_audio;
}

bool tl_forward_made_shape(const struct tl_component *c, const char *port, const struct tl_st_tensor *source,
                           struct tl_shape *out)
{
    int64_t a = source->rank > 0 ? (int64_t)source->shape[0] : 1;
    if (strcmp(port, "eos_rows") == 0) {
        *out = tl_shape1(a);
    } else if (strcmp(port, "position_ids") == 0) {
        *out = tl_shape2(a, source->rank > 1 ? (int64_t)source->shape[1] : 1);
    } else {
        int64_t frames = source->rank > 2 ? (int64_t)source->shape[2] : 1,
                full = tl_clap_frames(clap_audio(c));
        *out = tl_shape2(frames, full);
        return frames < full;
    }
    return true;
}

static bool from_ids(const struct tl_component *c, const char *port, const struct tl_st_tensor *source,
                     int32_t *out, struct tl_err *err)
{
    int64_t n = (int64_t)source->shape[0], t = source->rank > 1 ? (int64_t)source->shape[1] : 1;
    int32_t *ids = malloc((source->n + 1) * sizeof *ids);
    bool ok = (ids || tl_err_set(err, TL_FAIL, "out of memory")) && tl_st_to_i32(source, ids, err);
    if (ok && strcmp(port, "eos_rows") == 0)
        tl_clip_eos_rows(is_class(c, "CLIPModel") ? &c->config.clip.text : &c->config.clip_text, ids, n, t,
                         out);
    else if (ok)
        tl_clap_positions(is_class(c, "ClapModel") ? &c->config.clap.text : &c->config.clap_text, ids, n, t,
                          out);
    free(ids);
    return ok;
}

bool tl_forward_made_fill(const struct tl_component *c, const char *port, const struct tl_st_tensor *source,
                          void *out, struct tl_err *err)
{
    if (strcmp(port, "time_weights") != 0) return from_ids(c, port, source, out, err);
    tl_clap_time_weights(clap_audio(c), (int64_t)source->shape[2], out);
    return true;
}
