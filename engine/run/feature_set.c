#include "run/feature_set.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "io/file.h"
#include "run/memory_plan.h"

static bool no_memory(const struct tl_feature_set *set, struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "%s: out of memory", set->path);
}

enum tl_feature_source tl_feature_source_of(const char *path)
{
    const char *e = tl_path_extension(path);
    if (tl_file_is_folder(path)) return TL_FEATURES_OF_FILES;
    if (strcasecmp(e, "npy") == 0) return TL_FEATURES_OF_ROWS;
    if (strcasecmp(e, "npz") == 0) return TL_FEATURES_OF_STATISTICS;
    return TL_FEATURES_OF_FILES;
}

static bool find_files(struct tl_feature_set *set, enum tl_modality modality, bool strict, struct tl_err *err)
{
    if (!tl_folder_open_any(set->path, modality, TL_FOLDER_NO_CAPTIONS, &set->folder, err)) return false;
    const struct tl_folder *f = &set->folder;
    if (strict && f->n_strays) return tl_err_set(err, TL_BAD_INPUT, "%s", f->strays[0]);
    set->n_files = f->n;
    set->files = tl_arena_alloc(&set->arena, f->n, sizeof *set->files);
    if (!set->files) return no_memory(set, err);
    for (size_t i = 0; i < f->n; i++) {
        set->files[i] = (struct tl_feature_file){
            .path = f->items[i].path, .name = f->items[i].name, .trouble = f->items[i].trouble};
        if (strict && f->items[i].trouble) return tl_err_set(err, TL_BAD_INPUT, "%s", f->items[i].trouble);
    }
    return true;
}

bool tl_feature_set_open(struct tl_feature_set *set, const char *path, enum tl_modality modality, bool strict,
                         struct tl_err *err)
{
    *set = (struct tl_feature_set){.path = path, .source = tl_feature_source_of(path)};
    bool ok = set->source == TL_FEATURES_OF_FILES  ? find_files(set, modality, strict, err)
              : set->source == TL_FEATURES_OF_ROWS ? tl_feature_set_read_rows(set, err)
                                                   : tl_feature_set_read_statistics(set, err);
    if (!ok) tl_feature_set_finish(set);
    return ok;
}

/* ---- what was left out ---- */

/* A stray row's text is "FILE: line N: ...". */
static bool note_stray(struct tl_feature_set *set, const char *text, struct tl_feature_skip *out)
{
    const char *end = strstr(text, ": line ");
    char *file = tl_arena_strdup(&set->arena, text);
    if (!file) return false;
    if (end) file[end - text] = 0;
    *out = (struct tl_feature_skip){file, text};
    return true;
}

static bool gather_skipped(struct tl_feature_set *set, struct tl_err *err)
{
    size_t most = set->n_files + set->folder.n_strays;
    struct tl_feature_skip *out = tl_arena_alloc(&set->arena, most + 1, sizeof *out);
    if (!out) return no_memory(set, err);
    set->skipped = out;
    for (size_t i = 0; i < set->n_files; i++)
        if (set->files[i].skipped)
            out[set->n_skipped++] = (struct tl_feature_skip){set->files[i].name, set->files[i].skipped};
    for (size_t i = 0; i < set->folder.n_strays; i++)
        if (!note_stray(set, set->folder.strays[i], &out[set->n_skipped++])) return no_memory(set, err);
    return true;
}

/* ---- rows ---- */

static bool check_any(const struct tl_feature_set *set, struct tl_err *err)
{
    for (size_t i = 0; i < set->n_files; i++)
        if (!set->files[i].skipped) return true;
    return tl_err_set(err, TL_BAD_INPUT, "none of the %zu files of %s can be used; the first: %s",
                      set->n_files, set->path, set->n_files ? set->files[0].skipped : "there is none");
}

/* All rows in one block, in order of the names; the files' own are freed on the way. */
static bool join_rows(struct tl_feature_set *set, size_t dim, struct tl_err *err)
{
    size_t n = 0, n_items = 0, floats;
    for (size_t i = 0; i < set->n_files; i++) {
        n += set->files[i].skipped ? 0 : set->files[i].n;
        n_items += !set->files[i].skipped;
    }
    set->x = tl_checked_mul(n, dim, &floats) ? calloc(floats, sizeof *set->x) : NULL;
    set->first = calloc(n_items + 1, sizeof *set->first);
    set->names = tl_arena_alloc(&set->arena, n_items, sizeof *set->names);
    if (!set->x || !set->first || !set->names) return no_memory(set, err);
    size_t k = 0, row = 0;
    for (size_t i = 0; i < set->n_files; i++) {
        struct tl_feature_file *f = &set->files[i];
        if (f->skipped) continue;
        memcpy(set->x + row * dim, f->rows, f->n * dim * sizeof *set->x);
        free(f->rows);
        f->rows = NULL;
        set->names[k] = f->name;
        set->first[k++] = row;
        row += f->n;
    }
    set->first[k] = row;
    set->features =
        (struct tl_features){.x = set->x, .n = n, .dim = dim, .first = set->first, .n_items = n_items};
    return true;
}

bool tl_feature_set_encode(struct tl_feature_set *set, const struct tl_embedder *e, struct tl_err *err)
{
    if (set->source != TL_FEATURES_OF_FILES) return true;
    const char *phase = tl_arena_printf(&set->arena, "encoding %s", set->path);
    if (!phase) return no_memory(set, err);
    struct tl_feature_pipe pipe = {.pool = e->pool,
                                   .encoder = e->encoder,
                                   .cache = e->cache,
                                   .strict = e->params.strict,
                                   .batch = e->params.batch,
                                   .progress = e->params.job->progress,
                                   .user = e->params.job->user,
                                   .phase = phase};
    const struct tl_encoder_about *about = tl_encoder_about(e->encoder);
    set->origin = (struct tl_feature_origin){.encoder = about->spec,
                                             .sha256 = about->sha256,
                                             .settings = about->settings,
                                             .config = *about->config_sha256 ? about->config_sha256 : NULL,
                                             .dtype = e->device ? tl_dtype_choices[e->params.dtype] : NULL,
                                             .device = tl_embedder_device(e)};
    return tl_feature_pipe_run(&pipe, set->files, set->n_files, err) && check_any(set, err) &&
           gather_skipped(set, err) && join_rows(set, about->dim, err);
}

void tl_feature_set_finish(struct tl_feature_set *set)
{
    tl_feature_files_finish(set->files, set->n_files);
    tl_folder_finish(&set->folder);
    tl_gaussian_finish(&set->gaussian);
    free(set->x);
    free(set->first);
    tl_arena_finish(&set->arena);
    *set = (struct tl_feature_set){0};
}
