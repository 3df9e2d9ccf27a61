#include "io/support_decode.h"

#include <dirent.h>
#include <errno.h>
#include <sys/wait.h>

#include "support/check.h"

static int open_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir) return 0;
    while (readdir(dir)) n++;
    closedir(dir);
    return n;
}

struct decode_case *decode_case_new(size_t most)
{
    struct decode_case *c = calloc(1, sizeof *c);
    c->jobs = calloc(most, sizeof *c->jobs);
    c->got = calloc(most, sizeof *c->got);
    return c;
}

void decode_case_add(struct decode_case *c, const char *path, enum tl_decode_kind kind, int width, int height)
{
    c->jobs[c->n++] = (struct tl_decode_job){strdup(path), kind, width, height};
}

static bool keep(void *user, size_t i, struct tl_image *image, const struct tl_err *error)
{
    struct decode_case *c = user;
    assert_int_equal(i, c->n_got++);
    assert_true((image == NULL) == (error != NULL));
    if (error) c->got[i].err = *error;
    if (!image) return true;
    c->got[i].image = *image;
    *image = (struct tl_image){0};
    return true;
}

static void forget(struct decode_case *c)
{
    for (size_t i = 0; i < c->n; i++) {
        tl_image_finish(&c->got[i].image);
        tl_err_clear(&c->got[i].err);
    }
    c->n_got = 0;
}

void decode_case_run(struct decode_case *c, const struct tl_decode_params *params)
{
    forget(c);
    struct tl_err err = {0};
    int before = open_descriptors();
    struct tl_decode_pool *pool = tl_decode_pool_open(params, &err);
    check_ok(pool != NULL, &err);
    check_ok(tl_decode_pool_run(pool, c->jobs, c->n, keep, c, &err), &err);
    assert_int_equal(c->n_got, c->n);
    tl_decode_pool_close(&pool);
    assert_int_equal(open_descriptors(), before);
    assert_true(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

void decode_case_free(struct decode_case *c)
{
    forget(c);
    for (size_t i = 0; i < c->n; i++) free((char *)c->jobs[i].path);
    free(c->jobs);
    free(c->got);
    free(c);
}

void decode_case_is(const struct decode_case *c, size_t i, const struct tl_image *wanted)
{
    const struct tl_image *got = &c->got[i].image;
    if (c->got[i].err.code) fail_msg("job %zu: %s", i, c->got[i].err.text);
    if (got->width != wanted->width || got->height != wanted->height || got->channels != 3)
        fail_msg("job %zu, %s: %dx%d, not %dx%d", i, c->jobs[i].path, got->width, got->height, wanted->width,
                 wanted->height);
    assert_true((got->px == NULL) == (wanted->px == NULL));
    if (got->px) assert_memory_equal(got->px, wanted->px, 3 * (size_t)got->width * (size_t)got->height);
}

void decode_case_fails(const struct decode_case *c, size_t i, const char *part)
{
    const struct tl_err *err = &c->got[i].err;
    if (err->code != TL_BAD_INPUT || !strstr(err->text, part))
        fail_msg("job %zu: code %d, \"%s\"; expected \"%s\"", i, (int)err->code, err->text, part);
}
