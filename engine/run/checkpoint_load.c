#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/str.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "run/checkpoint.h"
#include "run/checkpoint_folder.h"

struct tl_checkpoint {
    char *path; /* owns */
    struct tl_checkpoint_id id;
    cJSON *manifest, *state; /* own */
};

/* Only what the manifest lists was verified. */
static bool has_file(const struct tl_checkpoint *c, const char *name, const char *ending)
{
    struct tl_str file = {0};
    bool found = false;
    tl_str_printf(&file, "%s%s", name, ending);
    const cJSON *item;
    cJSON_ArrayForEach(item, tl_json_get(c->manifest, "files"))
    {
        const char *its = NULL;
        found = found ||
                (!file.failed && tl_json_string(item, "name", "", &its, NULL) && !strcmp(its, file.data));
    }
    tl_str_finish(&file);
    return found;
}

static bool has_state(const struct tl_checkpoint *c, struct tl_err *err)
{
    return has_file(c, "state", ".json") ||
           tl_err_set(err, TL_BAD_INPUT, "%s: its manifest has no state.json", c->path);
}

struct tl_checkpoint *tl_checkpoint_open(const char *folder, struct tl_err *err)
{
    struct tl_str path = {0};
    struct tl_checkpoint *c = calloc(1, sizeof *c);
    if (c) c->path = strdup(folder);
    tl_path_join(&path, folder, "state.json");
    bool ok = (c && c->path && !path.failed) || tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", folder);
    if (ok && !tl_file_is_folder(folder))
        ok = tl_err_set(err, TL_BAD_INPUT, "%s: there is no such folder", folder);
    ok = ok && (c->manifest = tl_checkpoint_verify(folder, true, &c->id, err)) && has_state(c, err) &&
         (c->state = tl_json_read(path.data, err));
    tl_str_finish(&path);
    if (!ok) tl_checkpoint_close(&c);
    return c;
}

void tl_checkpoint_close(struct tl_checkpoint **c_ptr)
{
    struct tl_checkpoint *c = *c_ptr;
    if (!c) return;
    cJSON_Delete(c->manifest);
    cJSON_Delete(c->state);
    free(c->path);
    free(c);
    *c_ptr = NULL;
}

/* The folder's name and its manifest must say the same: a copy under another name would be resumed at the
 * wrong step. */
static struct tl_checkpoint *open_one(const char *path, struct tl_checkpoint_id id, struct tl_err *err)
{
    struct tl_checkpoint *c = tl_checkpoint_open(path, err);
    char name[32];
    if (!c || tl_checkpoint_compare(c->id, id) == 0) return c;
    tl_err_set(err, TL_BAD_INPUT, "%s: its manifest is of %s", path, tl_checkpoint_name(c->id, name));
    tl_checkpoint_close(&c);
    return NULL;
}

struct tl_checkpoint *tl_checkpoint_open_newest(const char *run_folder, struct tl_err *err)
{
    struct tl_arena arena = {0};
    struct tl_checkpoint *c = NULL;
    struct tl_err why = {0};
    struct tl_checkpoint_id *ids = NULL;
    size_t n = 0;
    const char *checkpoints = tl_path_join_in(&arena, run_folder, "checkpoints");
    bool ok = checkpoints ? tl_checkpoint_list(checkpoints, &arena, &ids, &n, err)
                          : tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", run_folder);
    for (size_t i = 0; ok && !c && i < n; i++) {
        char name[32];
        const char *path = tl_path_join_in(&arena, checkpoints, tl_checkpoint_name(ids[i], name));
        struct tl_err reason = {0};
        if (path) c = open_one(path, ids[i], &reason);
        if (c) break;
        tl_log(TL_LOG_WARN, "checkpoint %s skipped: %s", name, reason.text);
        if (!why.code) why = reason;
    }
    if (ok && !c && n) {
        tl_err_set(err, TL_BAD_INPUT, "%s: none of its %zu checkpoints can be used; the newest: %s",
                   run_folder, n, why.text);
    } else if (ok && !c) {
        tl_err_set(err, TL_BAD_INPUT, "%s: has no checkpoint to resume from; begin again in another folder",
                   run_folder);
    }
    if (c) tl_log(TL_LOG_INFO, "checkpoint %s verified", c->path);
    tl_arena_finish(&arena);
    return c;
}

/* Newest first, in the arena; false where there are none. */
static bool list_all(const char *run_folder, struct tl_arena *arena, const char **out_folder,
                     struct tl_checkpoint_id **out, size_t *out_n)
{
    *out_folder = tl_path_join_in(arena, run_folder, "checkpoints");
    return *out_folder && tl_checkpoint_list(*out_folder, arena, out, out_n, NULL) && *out_n;
}

int64_t tl_checkpoint_best_step(const char *run_folder)
{
    struct tl_arena arena = {0};
    const char *folder;
    struct tl_checkpoint_id *ids = NULL;
    int64_t best = -1;
    size_t n = 0;
    bool found = !list_all(run_folder, &arena, &folder, &ids, &n);
    for (size_t i = 0; !found && i < n; i++) {
        char name[32];
        const char *path = tl_path_join_in(&arena, folder, tl_checkpoint_name(ids[i], name));
        found = path && tl_checkpoint_says_best(path, &best);
    }
    tl_arena_finish(&arena);
    return best;
}

struct tl_checkpoint *tl_checkpoint_open_best(const char *run_folder, struct tl_err *err)
{
    struct tl_arena arena = {0};
    const char *folder;
    struct tl_err why = {0};
    struct tl_checkpoint *c = NULL;
    struct tl_checkpoint_id *ids = NULL;
    int64_t last = -1;
    size_t n = 0;
    if (!list_all(run_folder, &arena, &folder, &ids, &n)) n = 0;
    for (size_t i = 0; !c && i < n; i++) {
        char name[32];
        int64_t best;
        const char *path = tl_path_join_in(&arena, folder, tl_checkpoint_name(ids[i], name));
        if (!path || !tl_checkpoint_says_best(path, &best) || best < 0 || best == last) continue;
        struct tl_err reason = {0};
        const struct tl_checkpoint_id id = {best, false};
        path = tl_path_join_in(&arena, folder, tl_checkpoint_name(id, name));
        c = path ? open_one(path, id, &reason) : NULL;
        if (!c) tl_log(TL_LOG_WARN, "checkpoint %s, the best, skipped: %s", name, reason.text);
        if (!c && !why.code) why = reason;
        last = best;
    }
    if (!c && why.code)
        tl_err_set(err, why.code, "%s: its best checkpoint cannot be used: %s", run_folder, why.text);
    else if (!c)
        tl_err_set(err, TL_BAD_INPUT, "%s: has no checkpoint that is marked as the best", run_folder);
    tl_arena_finish(&arena);
    return c;
}

int64_t tl_checkpoint_step(const struct tl_checkpoint *c)
{
    return c->id.step;
}

bool tl_checkpoint_is_within(const struct tl_checkpoint *c)
{
    return c->id.within;
}

const char *tl_checkpoint_path(const struct tl_checkpoint *c)
{
    return c->path;
}

const cJSON *tl_checkpoint_state(const struct tl_checkpoint *c)
{
    return c->state;
}

bool tl_checkpoint_has_store(const struct tl_checkpoint *c, const char *name)
{
    return has_file(c, name, ".safetensors");
}

bool tl_checkpoint_has_blob(const struct tl_checkpoint *c, const char *name)
{
    return has_file(c, name, ".bin");
}

/* PATH/NAME + ending into `out`. */
static bool find_file(const struct tl_checkpoint *c, const char *name, const char *ending, struct tl_str *out,
                      struct tl_err *err)
{
    if (!has_file(c, name, ending))
        return tl_err_set(err, TL_BAD_INPUT, "%s: has no %s%s", c->path, name, ending);
    tl_str_printf(out, "%s/%s%s", c->path, name, ending);
    return !out->failed || tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", c->path);
}

static bool same_shape(const struct tl_st_tensor *t, const struct tl_shape *shape)
{
    bool same = t->rank == (unsigned)shape->rank;
    for (unsigned d = 0; same && d < t->rank; d++) same = t->shape[d] == (uint64_t)shape->dim[d];
    return same;
}

static bool copy_entries(const struct tl_st_file *file, const struct tl_store_layout *layout, float *out,
                         struct tl_err *err)
{
    if (tl_st_count(file) != (size_t)layout->n_entries) {
        return tl_err_set(err, TL_BAD_INPUT,
                          "holds %zu tensors, this run has %d; was the model or the config changed?",
                          tl_st_count(file), (int)layout->n_entries);
    }
    memset(out, 0, layout->n_elements * sizeof *out);
    for (int32_t i = 0; i < layout->n_entries; i++) {
        const struct tl_store_entry *e = &layout->entries[i];
        const struct tl_st_tensor *t = tl_st_find(file, e->name);
        if (!t)
            return tl_err_set(err, TL_BAD_INPUT, "has no %s; was the model or the config changed?", e->name);
        if (t->dtype != TL_ST_F32 || !same_shape(t, &e->shape)) {
            char text[128];
            return tl_err_set(err, TL_BAD_INPUT,
                              "%s is %s there, this run needs another shape; was the config changed?",
                              e->name, tl_st_shape_text(t, text, sizeof text));
        }
        if (t->bytes) memcpy(out + e->offset, t->data, (size_t)t->bytes);
    }
    return true;
}

bool tl_checkpoint_read_flat(const struct tl_checkpoint *c, const char *name,
                             const struct tl_store_layout *layout, float *out, struct tl_err *err)
{
    struct tl_str path = {0};
    struct tl_st_file *file =
        find_file(c, name, ".safetensors", &path, err) ? tl_st_open(path.data, err) : NULL;
    bool ok = file != NULL;
    if (ok && !copy_entries(file, layout, out, err)) ok = tl_err_add(err, "%s", path.data);
    tl_st_close(&file);
    tl_str_finish(&path);
    return ok;
}

bool tl_checkpoint_read_store(const struct tl_checkpoint *c, const char *name, struct tl_store *store,
                              struct tl_err *err)
{
    float *flat = malloc((store->layout->n_elements + 1) * sizeof *flat);
    bool ok = flat != NULL || tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", c->path);
    ok = ok && tl_checkpoint_read_flat(c, name, store->layout, flat, err) &&
         tl_store_write_flat(store, flat, err);
    free(flat);
    return ok;
}

uint8_t *tl_checkpoint_read_blob(const struct tl_checkpoint *c, const char *name, size_t *out_n,
                                 struct tl_err *err)
{
    struct tl_str path = {0};
    uint8_t *data =
        find_file(c, name, ".bin", &path, err) ? tl_file_read(path.data, SIZE_MAX / 4, out_n, err) : NULL;
    tl_str_finish(&path);
    return data;
}
