#include "run/embedder.h"

const char *tl_embedder_device(const struct tl_embedder *e)
{
    return e->device ? e->device->name : "host";
}

static void open_cache(struct tl_embedder *e)
{
    struct tl_str folder = {0};
    const char *at = e->params.cache;
    if (!at && tl_feature_cache_folder(&folder)) at = folder.data;
    e->cache =
        tl_feature_cache_open(at, tl_encoder_about(e->encoder), e->params.dtype, tl_embedder_device(e));
    tl_str_finish(&folder);
}

bool tl_embedder_open(struct tl_embedder *e, const struct tl_embedder_params *params, struct tl_err *err)
{
    const char *arg;
    const struct tl_job *job = params->job;
    const struct tl_encoder_class *cls = tl_encoder_class_of(params->spec, &arg, err);
    *e = (struct tl_embedder){.params = *params};
    bool ok = cls != NULL;
    if (ok) e->pool = tl_feature_pool_open(cls->modality, params->n_workers, err);
    ok = ok && e->pool;
    if (ok && cls->needs_device) {
        e->device =
            tl_device_open(&(struct tl_device_params){.name = job->device, .threads = job->threads}, err);
        ok = e->device != NULL;
    }
    struct tl_encoder_env env = {.device = e->device, .dtype = params->dtype};
    if (ok) e->encoder = tl_encoder_open(&env, params->spec, err);
    if (e->encoder && !params->no_cache) open_cache(e);
    if (!e->encoder) tl_embedder_close(e);
    return e->encoder != NULL;
}

void tl_embedder_close(struct tl_embedder *e)
{
    tl_feature_cache_close(&e->cache);
    tl_encoder_close(&e->encoder);
    tl_device_close(&e->device);
    tl_decode_pool_close(&e->pool);
}
