#include "io/support_io.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[512];

int io_setup(void **state)
{
    (void)state;
    const char *where = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/tiller-io-XXXXXX", where && *where ? where : P_tmpdir);
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int io_teardown(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *io_path(const char *name)
{
    static char ring[16][1024];
    static unsigned turn;
    char *out = ring[turn++ % 16];
    snprintf(out, sizeof ring[0], "%s%s%s", folder, *name ? "/" : "", name);
    return out;
}

const char *io_put(const char *name, const void *data, size_t n)
{
    const char *path = io_path(name);
    char part[1024];
    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + strlen(folder) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = 0;
        mkdir(part, 0777);
        *p = '/';
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return path;
}

const char *io_put_text(const char *name, const char *text)
{
    return io_put(name, text, strlen(text));
}

size_t io_count(const char *part)
{
    size_t n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) n += strstr(e->d_name, part) != NULL;
    closedir(dir);
    return n;
}
