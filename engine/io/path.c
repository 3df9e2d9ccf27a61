#include "io/file.h"

#include <string.h>

void tl_path_join(struct tl_str *out, const char *a, const char *b)
{
    tl_str_clear(out);
    if (*a && *b != '/') {
        tl_str_append(out, a);
        if (!tl_str_ends(a, "/")) tl_str_append(out, "/");
    }
    tl_str_append(out, b);
}

char *tl_path_join_in(struct tl_arena *arena, const char *a, const char *b)
{
    if (!*a || *b == '/') return tl_arena_strdup(arena, b);
    return tl_arena_printf(arena, tl_str_ends(a, "/") ? "%s%s" : "%s/%s", a, b);
}

const char *tl_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *tl_path_extension(const char *path)
{
    const char *base = tl_path_base(path), *dot = strrchr(base, '.');
    return dot && dot != base ? dot + 1 : base + strlen(base);
}

char *tl_path_folder_in(struct tl_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return tl_arena_strdup(arena, ".");
    if (slash == path) return tl_arena_strdup(arena, "/");
    char *folder = tl_arena_strdup(arena, path);
    if (folder) folder[slash - path] = 0;
    return folder;
}

bool tl_path_is_inside(const char *path)
{
    if (!*path || *path == '/') return false;
    for (const char *p = path; *p; p++) {
        if (*p == '\\' || (unsigned char)*p < 0x20 || *p == 0x7f) return false;
    }
    for (const char *part = path; part;) {
        if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || !part[2])) return false;
        part = strchr(part, '/');
        if (part) part++;
    }
    return true;
}
