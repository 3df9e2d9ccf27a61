#include "run/checkpoint_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tiller/log.h>

#include "io/file.h"

int tl_checkpoint_compare(struct tl_checkpoint_id a, struct tl_checkpoint_id b)
{
    return a.step != b.step ? (a.step > b.step) - (a.step < b.step) : a.within - b.within;
}

char *tl_checkpoint_name(struct tl_checkpoint_id id, char out[32])
{
    snprintf(out, 32, "step-%08lld%s", (long long)id.step, id.within ? "-within" : "");
    return out;
}

bool tl_checkpoint_read_name(const char *name, struct tl_checkpoint_id *out)
{
    char again[32], *end = NULL;
    if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9') return false;
    errno = 0;
    long long step = strtoll(name + 5, &end, 10);
    *out = (struct tl_checkpoint_id){step, *end == '-'};
    return !errno && !strcmp(tl_checkpoint_name(*out, again), name);
}

static int newest_first(const void *a, const void *b)
{
    return tl_checkpoint_compare(*(const struct tl_checkpoint_id *)b, *(const struct tl_checkpoint_id *)a);
}

bool tl_checkpoint_list(const char *checkpoints, struct tl_arena *arena, struct tl_checkpoint_id **out,
                        size_t *out_n, struct tl_err *err)
{
    const char *const *names;
    size_t n = 0, used = 0;
    *out = NULL;
    *out_n = 0;
    if (!tl_file_is_folder(checkpoints)) return true;
    if (!tl_file_list(checkpoints, arena, &names, &n, err)) return false;
    struct tl_checkpoint_id *ids = tl_arena_alloc(arena, n + 1, sizeof *ids);
    if (!ids) return tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", checkpoints);
    for (size_t i = 0; i < n; i++) used += tl_checkpoint_read_name(names[i], &ids[used]);
    qsort(ids, used, sizeof *ids, newest_first);
    *out = ids;
    *out_n = used;
    return true;
}

bool tl_checkpoint_remove(const char *folder)
{
    struct tl_arena arena = {0};
    const char *const *names;
    size_t n = 0;
    struct tl_err err = {0};
    bool ok = tl_file_list(folder, &arena, &names, &n, &err);
    for (size_t i = 0; ok && i < n; i++) {
        const char *path = tl_path_join_in(&arena, folder, names[i]);
        ok = path && unlink(path) == 0;
    }
    ok = ok && rmdir(folder) == 0;
    if (!ok) tl_log(TL_LOG_WARN, "%s: cannot remove: %s", folder, err.code ? err.text : strerror(errno));
    tl_arena_finish(&arena);
    return ok;
}

/* One that was put aside: its successor has the name, or never took it. */
static void put_back(const char *aside, const char *path)
{
    if (tl_file_exists(path))
        tl_checkpoint_remove(aside);
    else if (rename(aside, path) != 0)
        tl_log(TL_LOG_WARN, "%s: cannot rename to %s: %s", aside, path, strerror(errno));
}

void tl_checkpoint_remove_unfinished(const char *checkpoints)
{
    struct tl_arena arena = {0};
    const char *const *names;
    size_t n = 0;
    if (!tl_file_list(checkpoints, &arena, &names, &n, NULL)) n = 0;
    for (size_t i = 0; i < n; i++) {
        struct tl_checkpoint_id id;
        size_t len = strlen(names[i]);
        if (len < 5 || (strcmp(names[i] + len - 4, ".tmp") && strcmp(names[i] + len - 4, ".old"))) continue;
        const char *path = tl_path_join_in(&arena, checkpoints, names[i]);
        const char *name = tl_arena_printf(&arena, "%.*s", (int)(len - 4), names[i]);
        const char *whole = name ? tl_path_join_in(&arena, checkpoints, name) : NULL;
        if (!path || !whole || !tl_checkpoint_read_name(name, &id)) continue;
        if (!strcmp(names[i] + len - 4, ".old"))
            put_back(path, whole);
        else
            tl_checkpoint_remove(path);
    }
    tl_arena_finish(&arena);
}

/* Some file systems refuse to sync a folder: then there is nothing more to do. */
bool tl_checkpoint_sync_folder(const char *folder, struct tl_err *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP);
    int reason = errno;
    if (!ok)
        tl_err_set(err, TL_OUTPUT, "%s: cannot sync: %s%s", folder, strerror(reason), tl_file_advice(reason));
    if (fd >= 0) close(fd);
    return ok;
}
