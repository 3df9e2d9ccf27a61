/* Folders to files: embeddings, and their mean and covariance. */
#include <tiller/embed.h>

#include <stdlib.h>

#include "io/file.h"
#include "run/encode_options.h"
#include "run/feature_set.h"
#include "run/listing.h"

const struct tl_option tl_embed_options[] = {
    TL_ENCODE_OPTION_ENCODER(struct tl_embed_params),
    TL_OPTION_STRING(struct tl_embed_params, output, 'o', "output", NULL, "FILE", "the file to write"),
    TL_ENCODE_OPTIONS(struct tl_embed_params),
    {0},
};

struct embed {
    const struct tl_embed_params *params;
    const struct tl_job *job;
    struct tl_feature_set set;
    struct tl_embedder embedder;
};

static bool check(const struct tl_embed_params *p, const char *extension, struct tl_err *err)
{
    struct tl_arena arena = {0};
    if (!p->output || !*p->output) return tl_err_set(err, TL_USAGE, "where to? give -o FILE%s", extension);
    bool ok = tl_str_ends(p->output, extension) ||
              tl_err_set(err, TL_USAGE, "-o %s: the name must end in %s, by which `tiller score` knows it",
                         p->output, extension);
    const char *folder = tl_path_folder_in(&arena, p->output);
    ok = ok && (folder || tl_err_set(err, TL_FAIL, "out of memory"));
    if (ok && tl_file_is_folder(p->output))
        ok = tl_err_set(err, TL_OUTPUT, "-o %s is a folder", p->output);
    else if (ok && !tl_file_is_folder(folder))
        ok = tl_err_set(err, TL_OUTPUT, "%s: there is no folder %s", p->output, folder);
    tl_arena_finish(&arena);
    return ok;
}

static bool open_files(struct embed *e, struct tl_err *err)
{
    const struct tl_embed_params *p = e->params;
    const char *arg;
    if (!p->encoder)
        return tl_err_set(err, TL_USAGE, "which encoder? give --encoder; tiller list encoders names them");
    const struct tl_encoder_class *cls = tl_encoder_class_of(p->encoder, &arg, err);
    struct tl_embedder_params ep = {.job = e->job,
                                    .spec = p->encoder,
                                    .dtype = (enum tl_dtype)p->dtype,
                                    .n_workers = p->workers,
                                    .no_cache = p->no_cache,
                                    .cache = p->cache,
                                    .strict = p->strict};
    return cls && tl_feature_set_open(&e->set, p->folder, cls->modality, p->strict, err) &&
           tl_embedder_open(&e->embedder, &ep, err) && tl_feature_set_encode(&e->set, &e->embedder, err);
}

static char *report(const struct embed *e, struct tl_err *err)
{
    const struct tl_feature_set *s = &e->set;
    cJSON *out = cJSON_CreateObject();
    tl_listing_text(out, "output", e->params->output);
    tl_listing_text(out, "folder", s->path);
    tl_listing_count(out, "files", s->features.n_items);
    tl_listing_count(out, "rows", s->features.n);
    tl_listing_count(out, "dim", s->features.dim);
    tl_listing_text(out, "encoder", s->origin.encoder);
    tl_listing_text(out, "encoder_sha256", s->origin.sha256 && *s->origin.sha256 ? s->origin.sha256 : NULL);
    tl_listing_text(out, "settings", s->origin.settings);
    if (s->n_skipped || e->params->json) tl_feature_set_list_skipped(s, tl_listing_array(out, "skipped"));
    return tl_listing_print(out, "tiller.embedded/1", e->params->json, err);
}

static void finish(struct embed *e)
{
    tl_feature_set_finish(&e->set);
    tl_embedder_close(&e->embedder);
}

char *tl_embed(const struct tl_embed_params *params, const struct tl_job *job, bool *out_whole,
               struct tl_err *err)
{
    struct embed e = {.params = params, .job = job};
    char *text = NULL;
    if (check(params, ".npy", err) &&
        (tl_feature_source_of(params->folder) == TL_FEATURES_OF_FILES ||
         tl_err_set(err, TL_USAGE, "%s holds embeddings or statistics already", params->folder)) &&
        open_files(&e, err) && tl_feature_set_write_rows(&e.set, params->output, err))
        text = report(&e, err);
    *out_whole = e.set.n_skipped == 0;
    finish(&e);
    return text;
}

static bool write_statistics(struct embed *e, struct tl_err *err)
{
    struct tl_gaussian g = {0};
    struct tl_pool *pool = tl_pool_create(e->job->threads, err);
    bool ok = pool && tl_gaussian_from_features(&g, &e->set.features, pool, err) &&
              tl_feature_set_write_statistics(&g, &e->set.origin, e->params->output, err);
    tl_gaussian_finish(&g);
    tl_pool_destroy(&pool);
    return ok;
}

char *tl_stats(const struct tl_embed_params *params, const struct tl_job *job, bool *out_whole,
               struct tl_err *err)
{
    struct embed e = {.params = params, .job = job};
    enum tl_feature_source source = tl_feature_source_of(params->folder);
    char *text = NULL;
    bool ok = check(params, ".npz", err);
    if (ok && source == TL_FEATURES_OF_STATISTICS)
        ok = tl_err_set(err, TL_USAGE, "%s holds statistics already", params->folder);
    ok = ok && (source == TL_FEATURES_OF_ROWS
                    ? tl_feature_set_open(&e.set, params->folder, TL_MODALITY_IMAGE, params->strict, err)
                    : open_files(&e, err));
    if (ok && write_statistics(&e, err)) text = report(&e, err);
    *out_whole = e.set.n_skipped == 0;
    finish(&e);
    return text;
}
