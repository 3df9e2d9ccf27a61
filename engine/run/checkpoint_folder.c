#include "run/checkpoint_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tiller/log.h>

#include "io/file.h"

char *tl_checkpoint_name(int64_t step, char out[32])
{
    snprintf(out, 32, "step-%08lld", (long long)step);
    return out;
}

int64_t tl_checkpoint_name_step(const char *name)
{
    char again[32];
    if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9') return -1;
    errno = 0;
    long long step = strtoll(name + 5, NULL, 10);
    return !errno && !strcmp(tl_checkpoint_name(step, again), name) ? step : -1;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

bool tl_checkpoint_list(const char *checkpoints, struct tl_arena *arena, int64_t **out_steps, size_t *out_n,
                        struct tl_err *err)
{
    const char *const *names;
    size_t n = 0, used = 0;
    *out_steps = NULL;
    *out_n = 0;
    if (!tl_file_is_folder(checkpoints)) return true;
    if (!tl_file_list(checkpoints, arena, &names, &n, err)) return false;
    int64_t *steps = tl_arena_alloc(arena, n + 1, sizeof *steps);
    if (!steps) return tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", checkpoints);
    for (size_t i = 0; i < n; i++) {
        int64_t step = tl_checkpoint_name_step(names[i]);
        if (step >= 0) steps[used++] = step;
    }
    qsort(steps, used, sizeof *steps, newest_first);
    *out_steps = steps;
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

void tl_checkpoint_remove_unfinished(const char *checkpoints)
{
    struct tl_arena arena = {0};
    const char *const *names;
    size_t n = 0;
    if (!tl_file_list(checkpoints, &arena, &names, &n, NULL)) n = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]);
        char name[32] = "";
        if (len < 5 || len - 4 >= sizeof name || strcmp(names[i] + len - 4, ".tmp") != 0) continue;
        memcpy(name, names[i], len - 4);
        const char *path =
            tl_checkpoint_name_step(name) < 0 ? NULL : tl_path_join_in(&arena, checkpoints, names[i]);
        if (path) tl_checkpoint_remove(path);
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
