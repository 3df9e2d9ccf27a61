/* A program is asked what a run would ask it, and what a run hopes it never has to. */
#include <tiller/reward_check.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "io/image.h"
#include "io/sound.h"
#include "run/listing.h"
#include "run/reward_check_parts.h"

enum { SIZE = 64, RATE = 16000, FRAMES = RATE, FEW = 4, MOST = 64, END_S = 2 };

struct check {
    struct tl_check_talk talk;
    cJSON *rows;
    int n_failed;
    const char *word; /* "picture", "sound": what is being asked about */
    struct tl_reward_item items[MOST + 1];
    uint8_t *rgb;   /* [MOST + 1][SIZE][SIZE][3] */
    float *samples; /* [MOST + 1][FRAMES] */
};

/* ---- samples ---- */

/* No two alike, some flat, some busy. Prompts with what JSON must escape. */
static void draw(struct check *c, bool sounds)
{
    static const char *const prompts[] = {"a red circle", "\"quoted\" \\ {\"i\":0}", "two\nlines\tand a tab",
                                          "\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xb5"};
    for (size_t k = 0; k <= MOST; k++) {
        uint8_t *px = c->rgb + k * SIZE * SIZE * 3;
        float *x = c->samples + k * FRAMES;
        for (size_t i = 0; i < SIZE * SIZE * 3; i++)
            px[i] = (uint8_t)(i % 3 == k / 2 % 3 ? 200 + k : k % 2 ? i * (2 * k + 1) / 7 % 128 : k);
        for (size_t i = 0; i < FRAMES; i++) x[i] = 0.5f * sinf(0.02f * (float)(k + 1) * (float)i);
        c->items[k] = (struct tl_reward_item){.prompt = prompts[k % 4]};
        if (sounds) {
            c->items[k].samples = x;
            c->items[k].frames = FRAMES;
            c->items[k].channels = 1;
            c->items[k].rate = RATE;
        } else {
            c->items[k].rgb = px;
            c->items[k].width = c->items[k].height = SIZE;
        }
    }
}

/* ---- rows ---- */

static void add(struct check *c, const char *result, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void add(struct check *c, const char *result, const char *name, const char *fmt, ...)
{
    char detail[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    cJSON *row = tl_listing_row(c->rows);
    tl_listing_text(row, "result", result);
    tl_listing_text(row, "check", name);
    tl_listing_text(row, "detail", detail);
    if (strcmp(result, "failed") == 0) c->n_failed++;
}

/* Of kind "score". False where a row says what went wrong. */
static bool ask(struct check *c, const char *name, const struct tl_reward_item *items, size_t n,
                double *scores)
{
    struct tl_err why = {0};
    struct tl_exec_reply reply;
    if (!tl_check_talk_ask(&c->talk, "score", items, n, scores, &reply, &why))
        add(c, "failed", name, "%s", why.text);
    else if (reply.is_error)
        add(c, "failed", name, "the program says: %s", reply.text);
    else
        return true;
    return false;
}

static bool is_near(double a, double b)
{
    return fabs(a - b) <= 1e-4 * (1e-3 + fabs(a) + fabs(b));
}

/* ---- checks, each a row ---- */

static void check_hello(struct check *c)
{
    struct tl_err why = {0};
    const struct tl_exec_about *a = &c->talk.about;
    if (!tl_check_talk_start(&c->talk, &why)) {
        add(c, "failed", "handshake", "%s", why.text);
        return;
    }
    add(c, "ok", "handshake", "%s: %s%s%s, %s%s%s, at most %zu samples a request, %s%s", a->name,
        a->image ? "pictures" : "", a->image && a->audio ? " and " : "", a->audio ? "sounds" : "",
        a->score ? "score" : "", a->score && a->score_set ? " and " : "", a->score_set ? "score_set" : "",
        a->max_batch, a->deterministic ? "deterministic" : "not deterministic",
        a->needs_prompt ? ", reads prompts" : "");
}

/* A batch, its range, the same once more, the other way round. */
static void check_batch(struct check *c)
{
    const struct tl_exec_about *a = &c->talk.about;
    size_t n = a->max_batch < FEW ? a->max_batch : FEW;
    struct tl_reward_item back[FEW];
    double x[FEW], y[FEW];
    char name[64];
    snprintf(name, sizeof name, "%zu %s%s", n, c->word, n == 1 ? "" : "s");
    if (!ask(c, name, c->items, n, x)) return;
    for (size_t i = 0; i < n; i++)
        if (x[i] < a->low || x[i] > a->high) {
            add(c, "failed", name, "score %g lies outside the range that the program says", x[i]);
            return;
        }
    add(c, "ok", name, "scores %g to %g", x[0], x[n - 1]);
    if (!a->deterministic) {
        add(c, "skipped", "the same again", "it is not deterministic");
        return;
    }
    for (size_t i = 0; i < n; i++) back[i] = c->items[n - 1 - i];
    if (!ask(c, "the same again", c->items, n, y)) return;
    bool same = memcmp(x, y, n * sizeof *x) == 0;
    add(c, same ? "ok" : "failed", "the same again",
        same ? "the same scores" : "other scores, though it says that it is deterministic");
    if (!ask(c, "in reverse order", back, n, y)) return;
    for (size_t i = 0; i < n; i++) same &= is_near(x[i], y[n - 1 - i]);
    add(c, same ? "ok" : "failed", "in reverse order",
        same ? "the scores go with their samples"
             : "the scores do not go with their samples, or depend on the others of the request");
}

static void check_sizes(struct check *c)
{
    size_t full = c->talk.about.max_batch < MOST ? c->talk.about.max_batch : MOST;
    struct tl_reward_item bare = c->items[0];
    double x[MOST];
    char name[64];
    if (!c->talk.about.needs_prompt) bare.prompt = NULL;
    snprintf(name, sizeof name, "one %s%s", c->word, bare.prompt ? "" : " without a prompt");
    if (ask(c, name, &bare, 1, x)) add(c, "ok", name, "score %g", x[0]);
    snprintf(name, sizeof name, "%zu %s%s, and one more", full, c->word, full == 1 ? "" : "s");
    if (ask(c, name, c->items, full, x) && ask(c, name, c->items + full, 1, x))
        add(c, "ok", name,
            full == MOST ? "it may be sent more at a time; this many were tried" : "as two requests");
}

static void check_set(struct check *c)
{
    struct tl_err why = {0};
    struct tl_exec_reply reply;
    double x;
    if (!tl_check_talk_ask(&c->talk, "score_set", c->items, FEW, &x, &reply, &why))
        add(c, "failed", "a set", "%s", why.text);
    else if (reply.is_error)
        add(c, "failed", "a set", "the program says: %s", reply.text);
    else
        add(c, "ok", "a set", "score %g of %d %ss", x, FEW, c->word);
}

/* A later version of ours may ask what this program does not know. */
static void check_unknown(struct check *c)
{
    static const char name[] = "unknown kind of request";
    struct tl_err why = {0};
    struct tl_exec_reply reply;
    double x[FEW];
    if (!tl_check_talk_ask(&c->talk, "sing", c->items, 1, x, &reply, &why))
        add(c, "failed", name, "an error is due as an answer: %s", why.text);
    else if (!reply.is_error)
        add(c, "failed", name, "it was answered with a score; an error is due");
    else
        add(c, "ok", name, "refused: %s", reply.text);
}

static void check_end(struct check *c)
{
    static const char name[] = "end of input";
    struct tl_err why = {0};
    if (!tl_check_talk_start(&c->talk, &why) || !tl_check_talk_hang_up(&c->talk, END_S, &why))
        add(c, "failed", name, "%s", why.text);
    else
        add(c, "ok", name, "it ends by itself");
}

static void check_all(struct check *c)
{
    const struct tl_exec_about *a = &c->talk.about;
    check_hello(c);
    if (c->n_failed) return; /* nothing else can be asked */
    for (int sounds = 0; sounds < 2; sounds++) {
        if (sounds ? !a->audio : !a->image) continue;
        c->word = sounds ? "sound" : "picture";
        draw(c, sounds);
        if (a->score && !tl_interrupted()) check_batch(c);
        if (a->score && !tl_interrupted()) check_sizes(c);
        if (a->score_set && !tl_interrupted()) check_set(c);
    }
    if (!tl_interrupted()) check_unknown(c);
    if (!tl_interrupted()) check_end(c);
}

/* ---- the job ---- */

static const char *command_of(const char *reward)
{
    static const char *const names[] = {"exec:", "exec-set:"};
    for (int i = 0; i < 2; i++)
        if (strncmp(reward, names[i], strlen(names[i])) == 0) return reward + strlen(names[i]);
    return reward;
}

char *tl_reward_check(const struct tl_reward_check_params *params, const struct tl_job *job, bool *out_passed,
                      struct tl_err *err)
{
    char *text = NULL;
    cJSON *tree = cJSON_CreateObject();
    struct check *c = calloc(1, sizeof *c);
    bool ok = c != NULL;
    (void)job;
    *out_passed = false;
    if (ok) {
        c->rgb = malloc((MOST + 1) * SIZE * SIZE * 3);
        c->samples = malloc((MOST + 1) * FRAMES * sizeof *c->samples);
        ok = c->rgb && c->samples;
    }
    if (!ok) tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_check_talk_open(&c->talk, command_of(params->reward), err);
    if (ok) {
        tl_listing_text(tree, "reward", params->reward);
        tl_listing_text(tree, "program", c->talk.spec.program);
        c->rows = tl_listing_array(tree, "checks");
        check_all(c);
        tl_listing_count(tree, "failed", (uint64_t)c->n_failed);
        *out_passed = c->n_failed == 0;
        ok = tl_interrupt_check("checking a reward", err);
    }
    if (ok)
        text = tl_listing_print(tree, "tiller.reward_check/1", params->json, err);
    else
        cJSON_Delete(tree);
    if (c) {
        tl_check_talk_close(&c->talk);
        free(c->rgb);
        free(c->samples);
    }
    free(c);
    return text;
}
