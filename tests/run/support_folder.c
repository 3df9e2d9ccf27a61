#include "support_folder.h"

#include "support/check.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tiller/log.h>

int support_folder_make(void **state)
{
    char *name = strdup("tiller-run-XXXXXX");
    *state = name;
    return name && mkdtemp(name) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    return remove(path);
}

int support_folder_remove(void **state)
{
    nftw(*state, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return 0;
}

const char *support_path(const char *folder, const char *fmt, ...)
{
    static char kept[16][512];
    static int next;
    char *out = kept[next++ % 16];
    va_list args;
    va_start(args, fmt);
    int n = snprintf(out, sizeof kept[0], "%s/", folder);
    vsnprintf(out + n, sizeof kept[0] - (size_t)n, fmt, args);
    va_end(args);
    return out;
}

char *support_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    text[n] = 0;
    return text;
}

void support_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

bool support_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static char log_text[1 << 16];

static void keep_log(void *user, enum tl_log_level level, const char *text)
{
    (void)user, (void)level;
    size_t used = strlen(log_text);
    snprintf(log_text + used, sizeof log_text - used, "%s\n", text);
}

void support_log_start(void)
{
    log_text[0] = 0;
    tl_log_set(keep_log, NULL);
}

const char *support_log(void)
{
    return log_text;
}
