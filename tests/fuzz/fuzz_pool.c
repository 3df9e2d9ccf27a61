#include <ftw.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "io/file.h"
#include "io/utf8.h"

static void room(struct fuzz_bytes *bytes, size_t n)
{
    if (n <= bytes->size) return;
    bytes->size = n * 2;
    bytes->data = realloc(bytes->data, bytes->size);
    fuzz_require(bytes->data);
}

void fuzz_bytes_set(struct fuzz_bytes *bytes, const void *data, size_t n)
{
    bytes->n = 0;
    fuzz_bytes_splice(bytes, 0, 0, data, n);
}

void fuzz_bytes_splice(struct fuzz_bytes *bytes, size_t at, size_t gone, const void *data, size_t n)
{
    size_t left = bytes->n - gone;
    if (n > FUZZ_MOST_BYTES - left) n = FUZZ_MOST_BYTES - left;
    room(bytes, left + n + 1);
    memmove(bytes->data + at + n, bytes->data + at + gone, bytes->n - at - gone);
    if (n) memcpy(bytes->data + at, data, n);
    bytes->n = left + n;
}

void fuzz_bytes_finish(struct fuzz_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct fuzz_bytes){0};
}

void fuzz_pool_add(struct fuzz_pool *pool, const void *data, size_t n)
{
    pool->seeds = realloc(pool->seeds, (pool->n + 1) * sizeof *pool->seeds);
    fuzz_require(pool->seeds && n <= FUZZ_MOST_BYTES);
    pool->seeds[pool->n] = (struct fuzz_bytes){0};
    fuzz_bytes_set(&pool->seeds[pool->n++], data, n);
}

void fuzz_pool_add_text(struct fuzz_pool *pool, const char *text)
{
    fuzz_pool_add(pool, text, strlen(text));
}

void fuzz_pool_add_path(struct fuzz_pool *pool, const char *path)
{
    struct tl_err err = {0};
    size_t n = 0;
    uint8_t *data = tl_file_read(path, FUZZ_MOST_BYTES, &n, &err);
    if (!data) fprintf(stderr, "%s\n", err.text);
    fuzz_require(data);
    fuzz_pool_add(pool, data, n);
    free(data);
}

void fuzz_pool_add_fixture(struct fuzz_pool *pool, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/fixtures/%s", TL_SOURCE_DIR, name);
    fuzz_pool_add_path(pool, path);
}

void fuzz_pool_finish(struct fuzz_pool *pool)
{
    for (size_t i = 0; i < pool->n; i++) fuzz_bytes_finish(&pool->seeds[i]);
    free(pool->seeds);
    *pool = (struct fuzz_pool){0};
}

/* ---- scratch files ---- */

static char folder[512];

void fuzz_scratch_open(void)
{
    const char *wish = getenv("TMPDIR"), *memory = "/dev/shm";
    const char *where = access(memory, W_OK) == 0 ? memory : wish && *wish ? wish : P_tmpdir;
    snprintf(folder, sizeof folder, "%s/tiller-fuzz-XXXXXX", where);
    fuzz_require(mkdtemp(folder));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void fuzz_scratch_close(void)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_scratch(const char *name)
{
    static char ring[8][1024];
    static unsigned turn;
    char *out = ring[turn++ % 8];
    snprintf(out, sizeof ring[0], "%s/%s", folder, name);
    return out;
}

const char *fuzz_scratch_put(const char *name, const void *data, size_t n)
{
    const char *path = fuzz_scratch(name);
    FILE *f = fopen(path, "wb");
    fuzz_require(f && fwrite(data, 1, n, f) == n);
    fuzz_require(fclose(f) == 0);
    return path;
}

void fuzz_scratch_remove(const char *name)
{
    remove(fuzz_scratch(name));
}

void fuzz_scratch_folder(const char *name)
{
    struct tl_err err = {0};
    fuzz_require(tl_file_make_folder(fuzz_scratch(name), &err));
}

/* ---- what targets check ---- */

bool fuzz_talk;
enum fuzz_outcome fuzz_outcome;

void fuzz_check_err(bool ok, const struct tl_err *err)
{
    if (fuzz_talk) printf("%s\n", ok ? "taken" : err->text);
    if (fuzz_outcome == FUZZ_NOT_SAID) fuzz_outcome = ok ? FUZZ_TAKEN : FUZZ_REFUSED;
    if (ok) {
        fuzz_require(err->code == TL_OK);
        return;
    }
    size_t n = strlen(err->text);
    if (err->code != TL_BAD_INPUT) fprintf(stderr, "code %d: %s\n", (int)err->code, err->text);
    fuzz_require(err->code == TL_BAD_INPUT);
    fuzz_require(n > 0 && !strstr(err->text, "out of memory") && !strchr(err->text, '\n'));
}

void fuzz_touch(const void *data, size_t n)
{
    const uint8_t *p = data;
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++) sum += p[i];
    __asm__ volatile("" : : "r"(sum)); /* it is wanted */
}
