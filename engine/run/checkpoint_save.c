#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tiller/log.h>

#include "base/str.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "run/checkpoint.h"
#include "run/checkpoint_folder.h"

struct saver {
    const struct tl_checkpoint_params *params;
    struct tl_checkpoint_id id;
    int64_t best; /* -1 for none */
    struct tl_arena arena;
    const char *run, *checkpoints, *temp, *final, *aside; /* paths */
    const char **files;                                   /* names within the checkpoint */
    size_t n_files;
    float *flat; /* owns; a store's block */
    size_t flat_size;
    int n_changes;
    struct tl_err *err;
};

/* Before each change of the disk. */
static bool change(struct saver *s, const char *what)
{
    int number = s->n_changes++;
    if (!s->params->fault || s->params->fault(s->params->fault_user, number, what)) return true;
    return tl_err_set(s->err, TL_OUTPUT, "%s: writing was made to fail", what);
}

static bool no_memory(struct saver *s)
{
    return tl_err_set(s->err, TL_OUTPUT, "out of memory");
}

/* NAME + ending as the next file; its path, or NULL. */
static const char *add_file(struct saver *s, const char *name, const char *ending)
{
    size_t len = strlen(name);
    if (!len || len > 64 || name[0] == '.' ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != len) {
        tl_err_set(s->err, TL_FAIL, "\"%.80s\" cannot name a file of a checkpoint", name);
        return NULL;
    }
    const char *file = tl_arena_printf(&s->arena, "%s%s", name, ending);
    for (size_t i = 0; file && i < s->n_files; i++) {
        if (strcmp(s->files[i], file) != 0) continue;
        tl_err_set(s->err, TL_FAIL, "%s is twice in a checkpoint", file);
        return NULL;
    }
    const char *path = file ? tl_path_join_in(&s->arena, s->temp, file) : NULL;
    if (!path) no_memory(s);
    if (path) s->files[s->n_files++] = file;
    return path;
}

static bool check_finite(struct saver *s, const char *store, const struct tl_store_layout *layout,
                         const float *flat)
{
    for (int32_t i = 0; i < layout->n_entries; i++) {
        const struct tl_store_entry *e = &layout->entries[i];
        size_t n = (size_t)tl_shape_count(&e->shape);
        for (size_t j = 0; j < n; j++) {
            float v = flat[e->offset + j];
            if (isfinite(v)) continue;
            return tl_err_set(s->err, TL_NUMERIC, "%s: %s: element %zu is %s; the last checkpoint stays",
                              store, e->name, j, isnan(v) ? "not a number" : "infinite");
        }
    }
    return true;
}

static bool write_flat(struct saver *s, const char *path, const struct tl_store_layout *layout,
                       const float *flat)
{
    static const struct tl_st_meta meta = {"order", "kernel"};
    const struct tl_st_write_params params = {.meta = &meta, .n_meta = 1, .no_format = true};
    struct tl_st_item *items = calloc((size_t)layout->n_entries + 1, sizeof *items);
    if (!items) return no_memory(s);
    for (int32_t i = 0; i < layout->n_entries; i++) {
        const struct tl_store_entry *e = &layout->entries[i];
        items[i] = (struct tl_st_item){
            .name = e->name, .dtype = TL_ST_F32, .rank = (unsigned)e->shape.rank, .data = flat + e->offset};
        for (int d = 0; d < e->shape.rank; d++) items[i].shape[d] = (uint64_t)e->shape.dim[d];
    }
    bool ok = tl_st_write(path, items, (size_t)layout->n_entries, &params, s->err);
    free(items);
    return ok;
}

static bool save_store(struct saver *s, const struct tl_checkpoint_store *in)
{
    const struct tl_store_layout *layout = in->store ? in->store->layout : in->layout;
    const float *flat = in->data;
    if (in->store) {
        if (layout->n_elements > s->flat_size || !s->flat) {
            free(s->flat);
            s->flat_size = layout->n_elements;
            s->flat = malloc((s->flat_size + 1) * sizeof *s->flat);
            if (!s->flat) return no_memory(s);
        }
        if (!tl_store_read_flat(in->store, s->flat, s->err)) return tl_err_add(s->err, "%s", in->name);
        flat = s->flat;
    }
    if (!check_finite(s, in->name, layout, flat)) return false;
    const char *path = add_file(s, in->name, ".safetensors");
    return path && change(s, in->name) && write_flat(s, path, layout, flat);
}

static bool save_state(struct saver *s)
{
    const char *path = add_file(s, "state", ".json");
    if (!path || !change(s, "state.json")) return false;
    return s->params->state ? tl_json_write(path, s->params->state, s->err) : no_memory(s);
}

static bool write_files(struct saver *s)
{
    const struct tl_checkpoint_params *p = s->params;
    for (size_t i = 0; i < p->n_stores; i++) {
        if (!save_store(s, &p->stores[i])) return false;
    }
    for (size_t i = 0; i < p->n_blobs; i++) {
        const char *path = add_file(s, p->blobs[i].name, ".bin");
        if (!path || !change(s, p->blobs[i].name) ||
            !tl_file_write(path, p->blobs[i].data, p->blobs[i].n, s->err))
            return false;
    }
    return save_state(s) && change(s, "manifest.json") &&
           tl_checkpoint_write_manifest(s->temp, s->id, s->best, s->files, s->n_files, s->err);
}

static bool make_temp(struct saver *s)
{
    if (!change(s, "folder") || !tl_file_make_folder(s->checkpoints, s->err)) return false;
    tl_checkpoint_remove_unfinished(s->checkpoints);
    if (mkdir(s->temp, 0777) == 0) return true;
    int reason = errno;
    return tl_err_set(s->err, TL_OUTPUT, "%s: cannot make the folder: %s%s", s->temp, strerror(reason),
                      tl_file_advice(reason));
}

static bool can_exchange(struct saver *s)
{
    const struct tl_checkpoint_params *p = s->params;
    return !p->fault || p->fault(p->fault_user, s->n_changes++, "exchange");
}

/* The new folder takes the name of one of the same step (a resume came by again). They change places where
 * the system can do that at once, so that the name never lacks; else the old one steps aside, and whoever
 * opens the run next puts it back where the new one did not come. */
static bool replace(struct saver *s)
{
    if (can_exchange(s) && renameat2(AT_FDCWD, s->temp, AT_FDCWD, s->final, RENAME_EXCHANGE) == 0)
        return true;
    if (!change(s, "aside") || rename(s->final, s->aside) != 0) return false;
    if (change(s, "rename") && rename(s->temp, s->final) == 0) return true;
    int reason = errno;
    if (rename(s->aside, s->final) != 0)
        tl_log(TL_LOG_WARN, "%s: cannot rename to %s: %s", s->aside, s->final, strerror(errno));
    errno = reason;
    return false;
}

static bool publish(struct saver *s)
{
    bool ok = tl_file_exists(s->final) ? replace(s) : change(s, "rename") && rename(s->temp, s->final) == 0;
    int reason = errno;
    if (!ok)
        return tl_err_set(s->err, TL_OUTPUT, "%s: cannot rename to %s: %s%s", s->temp, s->final,
                          strerror(reason), tl_file_advice(reason));
    return change(s, "sync") && tl_checkpoint_sync_folder(s->checkpoints, s->err) &&
           tl_checkpoint_sync_folder(s->run, s->err);
}

/* Renamed first, so that one that is half removed never looks like a checkpoint. */
static bool prune_one(struct saver *s, struct tl_checkpoint_id id)
{
    char name[32];
    const char *path = tl_path_join_in(&s->arena, s->checkpoints, tl_checkpoint_name(id, name));
    const char *temp = path ? tl_arena_printf(&s->arena, "%s.tmp", path) : NULL;
    if (!temp) return false;
    if (!change(s, "prune")) return false;
    if (rename(path, temp) == 0) return change(s, "remove") && tl_checkpoint_remove(temp);
    tl_log(TL_LOG_WARN, "%s: cannot remove: %s", path, strerror(errno));
    return true;
}

static const char *path_of(struct saver *s, struct tl_checkpoint_id id)
{
    char name[32];
    const char *path = tl_path_join_in(&s->arena, s->checkpoints, tl_checkpoint_name(id, name));
    return path ? path : "";
}

/* The best so far: this one, or what the newest whole checkpoint says that it comes after or replaces. */
static void find_best(struct saver *s)
{
    struct tl_checkpoint_id *ids;
    size_t n;
    s->best = s->params->best ? s->id.step : -1;
    if (s->params->best || !tl_checkpoint_list(s->checkpoints, &s->arena, &ids, &n, NULL)) return;
    for (size_t i = 0; i < n; i++)
        if (tl_checkpoint_compare(ids[i], s->id) <= 0 &&
            tl_checkpoint_says_best(path_of(s, ids[i]), &s->best))
            return;
}

/* Marks those that stay: this one; the newest `keep` whole ones after a step, those that do not verify in
 * between (sizes only: hashing all would take long); and what each of them calls the best. */
static void choose(struct saver *s, const struct tl_checkpoint_id *ids, size_t n, bool *stays)
{
    int kept = 0, keep = s->params->keep > 0 ? s->params->keep : 2;
    for (size_t i = 0; i < n && kept < keep; i++) {
        int64_t best = -1;
        int order = tl_checkpoint_compare(ids[i], s->id);
        if (order > 0 || (order < 0 && ids[i].within)) continue;
        stays[i] = true;
        kept += tl_checkpoint_says_best(path_of(s, ids[i]), &best) && !ids[i].within;
        for (size_t j = i; j < n && best >= 0; j++)
            stays[j] = stays[j] || (ids[j].step == best && !ids[j].within);
    }
}

static void prune(struct saver *s)
{
    struct tl_checkpoint_id *ids;
    size_t n;
    struct tl_err *caller = s->err, why = {0};
    s->err = &why; /* the new checkpoint is safe: whatever happens now is no failure of saving */
    bool ok = tl_checkpoint_list(s->checkpoints, &s->arena, &ids, &n, &why);
    bool *stays = ok ? tl_arena_alloc(&s->arena, n + 1, sizeof *stays) : NULL;
    ok = stays != NULL;
    if (ok) memset(stays, 0, n * sizeof *stays);
    if (ok) choose(s, ids, n, stays);
    for (size_t i = 0; ok && i < n; i++) {
        char name[32];
        if (stays[i]) continue;
        if (tl_checkpoint_compare(ids[i], s->id) > 0) {
            tl_log(TL_LOG_INFO, "%s/%s: removed, the run went on from an earlier checkpoint", s->checkpoints,
                   tl_checkpoint_name(ids[i], name));
        }
        ok = prune_one(s, ids[i]);
    }
    if (!ok)
        tl_log(TL_LOG_WARN, "%s: old checkpoints could not all be removed: %s", s->checkpoints, why.text);
    s->err = caller;
}

static bool begin(struct saver *s, const char *run_folder)
{
    char name[32];
    s->run = run_folder;
    s->checkpoints = tl_path_join_in(&s->arena, run_folder, "checkpoints");
    s->final =
        s->checkpoints ? tl_path_join_in(&s->arena, s->checkpoints, tl_checkpoint_name(s->id, name)) : NULL;
    s->temp = s->final ? tl_arena_printf(&s->arena, "%s.tmp", s->final) : NULL;
    s->aside = s->final ? tl_arena_printf(&s->arena, "%s.old", s->final) : NULL;
    s->files = tl_arena_alloc(&s->arena, s->params->n_stores + s->params->n_blobs + 1, sizeof *s->files);
    return (s->temp && s->aside && s->files) || no_memory(s);
}

bool tl_checkpoint_save(const char *run_folder, int64_t step, const struct tl_checkpoint_params *params,
                        struct tl_err *err)
{
    struct tl_err why = {0};
    struct saver s = {.params = params, .id = {step, params->within}, .err = &why};
    bool ok = (step >= 0 && !(params->within && params->best)) ||
              tl_err_set(&why, TL_FAIL, "such a checkpoint cannot be");
    ok = ok && begin(&s, run_folder);
    bool made = ok && make_temp(&s);
    if (made) find_best(&s);
    ok = made && write_files(&s) && publish(&s);
    if (made && tl_file_exists(s.temp)) tl_checkpoint_remove(s.temp); /* unfinished, or what was exchanged */
    if (ok && tl_file_exists(s.aside)) tl_checkpoint_remove(s.aside);
    if (ok) prune(&s);
    if (!ok)
        tl_err_set(err, why.code, "saving%s step %lld: %s", params->within ? " within" : "", (long long)step,
                   why.text);
    free(s.flat);
    tl_arena_finish(&s.arena);
    return ok;
}
