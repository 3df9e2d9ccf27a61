/* What programs that are rewards answer: nothing of it is to be trusted. */
#include <math.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "rewards/exec_protocol.h"

static void seed_welcome(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    (void)target;
    fuzz_pool_add_text(pool, "{\"version\":1,\"name\":\"redness\"}");
    fuzz_pool_add_text(pool, "{\"version\":1,\"name\":\"n\",\"modalities\":[\"image\",\"audio\"],"
                             "\"kinds\":[\"score\",\"score_set\"],\"transport\":[\"file\"],\"max_batch\":16,"
                             "\"range\":[-1,null],\"deterministic\":true,\"needs_prompt\":false}");
    fuzz_pool_add_text(pool, "{\"error\":\"no GPU\"}");
}

static void seed_reply(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    (void)target;
    fuzz_pool_add_text(pool, "{\"id\":7,\"scores\":[0.5,-2e3,1]}");
    fuzz_pool_add_text(pool, "{\"id\":7,\"scores\":[{\"i\":0,\"score\":1},2,{\"i\":2,\"score\":3}]}");
    fuzz_pool_add_text(pool, "{\"id\":7,\"error\":{\"item\":1,\"retry\":true,\"text\":\"busy\"}}");
    fuzz_pool_add_text(pool, "{\"id\":7,\"error\":\"no\"}");
}

/* TL_PLUGIN is the one code here. */
static void check(bool ok, struct tl_err *err)
{
    fuzz_require(ok || err->code == TL_PLUGIN);
    if (!ok) err->code = TL_BAD_INPUT;
    fuzz_check_err(ok, err);
}

/* As the link gives it, ended by a NUL. */
static char *line_of(const uint8_t *data, size_t n)
{
    char *line = malloc(n + 1);
    fuzz_require(line);
    memcpy(line, data, n);
    line[n] = 0;
    return line;
}

static void run_welcome(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    (void)target;
    struct tl_err err = {0};
    struct tl_exec_about about;
    char *line = line_of(data, n);
    bool ok = tl_exec_read_welcome(line, n, &about, &err);
    check(ok, &err);
    if (ok)
        fuzz_require(about.name[0] && (about.image || about.audio) && about.max_batch >= 1 &&
                     about.max_batch <= TL_EXEC_MOST_BATCH && about.low <= about.high);
    free(line);
}

static void run_reply(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    (void)target;
    struct tl_err err = {0};
    struct tl_exec_reply reply;
    double scores[3] = {NAN, NAN, NAN};
    char *line = line_of(data, n);
    bool ok = tl_exec_read_reply(line, n, 7, 3, scores, &reply, &err);
    check(ok, &err);
    for (int i = 0; ok && !reply.is_error && i < 3; i++) fuzz_require(isfinite(scores[i]));
    if (ok && reply.is_error) fuzz_require(reply.item >= -1 && reply.item < 3);
    free(line);
}

static const char *const words[] = {"null",  "NaN",     "1e999",   "-1",           "[]", "{}",
                                    "\"\"",  "true",    "7",       "[1]",          "{",  "\"id\":7",
                                    "1e300", "\"i\":0", "\\u0000", "\"error\":{}", NULL};

const struct fuzz_target fuzz_replies[] = {
    {"welcome", "what a reward's program says first", seed_welcome, run_welcome, NULL, words, NULL},
    {"reply", "its answers", seed_reply, run_reply, NULL, words, NULL},
    {0},
};
