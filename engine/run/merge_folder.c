/* The folder of a merged model: copied beside its place, then renamed into it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tiller/interrupt.h>
#include <tiller/log.h>

#include "io/file.h"
#include "run/merge_parts.h"

enum { PIECE = 1 << 20, DEEPEST = 6 };

bool tl_merge_is_weights(const char *name)
{
    static const char *const ends[] = {"safetensors", "bin",  "ckpt", "pt",       "pth",
                                       "msgpack",     "onnx", "h5",   "onnx_data"};
    if (tl_str_ends(name, ".safetensors.index.json") || tl_str_ends(name, ".bin.index.json") ||
        strstr(name, ".safetensors.index."))
        return true;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(tl_path_extension(name), ends[i]) == 0) return true;
    return false;
}

bool tl_merge_copy_file(const char *from, const char *to, struct tl_err *err)
{
    struct tl_file_out out = {0};
    char *piece = malloc(PIECE);
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    bool ok = piece || tl_err_set(err, TL_FAIL, "out of memory");
    if (ok && fd < 0) ok = tl_err_set(err, TL_BAD_INPUT, "%s: %s", from, strerror(errno));
    ok = ok && tl_file_begin(&out, to, err);
    for (ssize_t n = 1; ok && n > 0;) {
        n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            ok = tl_err_set(err, TL_BAD_INPUT, "%s: %s", from, strerror(errno));
        else
            ok = tl_interrupt_check("merging", err) && tl_file_put(&out, piece, (size_t)n, err);
    }
    ok = ok && tl_file_commit(&out, err);
    tl_file_abort(&out);
    if (fd >= 0) close(fd);
    free(piece);
    return ok;
}

static bool copy_folder(const char *from, const char *to, bool no_weights, int depth, struct tl_err *err)
{
    struct tl_arena arena = {0};
    const char *const *names;
    size_t n = 0;
    bool ok = tl_file_make_folder(to, err) && tl_file_list(from, &arena, &names, &n, err);
    for (size_t i = 0; ok && i < n; i++) {
        if (names[i][0] == '.' || (no_weights && tl_merge_is_weights(names[i]))) continue;
        const char *a = tl_path_join_in(&arena, from, names[i]), *b = tl_path_join_in(&arena, to, names[i]);
        if (!a || !b)
            ok = tl_err_set(err, TL_FAIL, "out of memory");
        else if (!tl_file_is_folder(a))
            ok = tl_merge_copy_file(a, b, err);
        else if (depth < DEEPEST)
            ok = copy_folder(a, b, no_weights, depth + 1, err);
        else
            ok = tl_err_set(err, TL_BAD_INPUT, "%s: folders are nested too deep", a);
    }
    tl_arena_finish(&arena);
    return ok;
}

bool tl_merge_copy_folder(const char *from, const char *to, bool no_weights, struct tl_err *err)
{
    return copy_folder(from, to, no_weights, 0, err);
}

char *tl_merge_begin_folder(const char *out, struct tl_arena *arena, struct tl_err *err)
{
    const char *const *names;
    size_t n = 0, len = strlen(out);
    while (len > 1 && out[len - 1] == '/') len--;
    char *place = tl_arena_printf(arena, "%.*s", (int)len, out);
    char *temp = tl_arena_printf(arena, "%.*s.tiller-%ld.tmp", (int)len, out, (long)getpid());
    char *parent = place ? tl_path_folder_in(arena, place) : NULL;
    if (!temp || !parent) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    if (tl_file_exists(place) && !tl_file_is_folder(place)) {
        tl_err_set(err, TL_OUTPUT, "%s is a file; a folder is to be written", out);
        return NULL;
    }
    if (tl_file_is_folder(place)) {
        if (!tl_file_list(place, arena, &names, &n, err)) return NULL;
        if (n > 0) {
            tl_err_set(err, TL_OUTPUT, "%s is not empty: name a new folder", out);
            return NULL;
        }
    }
    if (!tl_file_make_folder(parent, err)) return NULL;
    if (mkdir(temp, 0777) == 0) return temp;
    tl_err_set(err, TL_OUTPUT, "%s: cannot make the folder: %s", temp, strerror(errno));
    return NULL;
}

static bool sync_folder(const char *path, struct tl_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP);
    if (!ok) tl_err_set(err, TL_OUTPUT, "%s: cannot sync: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return ok;
}

bool tl_merge_commit_folder(const char *temp, const char *out, struct tl_err *err)
{
    struct tl_arena arena = {0};
    size_t len = strlen(out);
    while (len > 1 && out[len - 1] == '/') len--;
    char *place = tl_arena_printf(&arena, "%.*s", (int)len, out);
    char *parent = place ? tl_path_folder_in(&arena, place) : NULL;
    bool ok = parent || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && sync_folder(temp, err);
    if (ok && rename(temp, place) != 0)
        ok = tl_err_set(err, TL_OUTPUT, "%s: cannot rename to %s: %s", temp, place, strerror(errno));
    ok = ok && sync_folder(parent, err);
    tl_arena_finish(&arena);
    return ok;
}

static bool remove_tree(const char *folder, int depth)
{
    struct tl_arena arena = {0};
    const char *const *names;
    size_t n = 0;
    bool ok = depth <= DEEPEST + 1 && tl_file_list(folder, &arena, &names, &n, NULL);
    for (size_t i = 0; ok && i < n; i++) {
        const char *path = tl_path_join_in(&arena, folder, names[i]);
        struct stat st;
        ok = path && lstat(path, &st) == 0 &&
             (S_ISDIR(st.st_mode) ? remove_tree(path, depth + 1) : unlink(path) == 0);
    }
    tl_arena_finish(&arena);
    return ok && rmdir(folder) == 0;
}

void tl_merge_abort_folder(const char *temp)
{
    if (!remove_tree(temp, 0)) tl_log(TL_LOG_WARN, "%s: cannot remove: %s", temp, strerror(errno));
}
