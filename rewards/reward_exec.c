/* Rewards `exec` and `exec-set`: a program of the user's, in any language, that speaks JSON lines.
 *
 * exec:COMMAND[,KEY=VALUE...] (exec_spec.h) gives a score for each sample, exec-set: one for all samples of a
 * call together. tools/rewards/README.md tells the protocol. Scores are not kept: a sample that is scored
 * twice is asked twice. */
#include "rewards/reward_exec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "base/sha256.h"

struct exec {
    struct tl_reward base;
    struct tl_reward_info info; /* the class's, with what the program says of itself */
    struct tl_exec_crew *crew;  /* NULL where memory is planned: nothing is started, and all scores are 0 */
    char settings[256];
};

/* ---- opening ---- */

static bool check_kind(const struct exec *e, struct tl_err *err)
{
    const struct tl_exec_about *about = tl_exec_crew_about(e->crew);
    bool of_set = e->info.kind == TL_REWARD_OF_SET;
    if (of_set ? about->score_set : about->score) return true;
    return tl_err_set(err, TL_PLUGIN,
                      "the program %s does not answer requests of kind \"%s\" (its \"kinds\")%s", about->name,
                      of_set ? "score_set" : "score",
                      of_set             ? "; exec:COMMAND asks for a score a sample"
                      : about->score_set ? "; exec-set:COMMAND asks for a set's score"
                                         : "");
}

static void take_about(struct exec *e)
{
    const struct tl_exec_about *about = tl_exec_crew_about(e->crew);
    const struct tl_exec_spec *spec = tl_exec_crew_spec(e->crew);
    e->info.modality = about->image && about->audio ? "any" : about->audio ? "audio" : "image";
    e->info.needs_prompt = about->needs_prompt;
    e->info.deterministic = about->deterministic;
    e->info.low = about->low;
    e->info.high = about->high;
    snprintf(e->settings, sizeof e->settings,
             "rewardproc/%d, %s, at most %zu samples a request, %d process%s", TL_EXEC_VERSION,
             about->deterministic ? "deterministic" : "not deterministic", about->max_batch, spec->workers,
             spec->workers == 1 ? "" : "es");
}

/* The program is there, as far as can be seen without running it. */
static bool look_for(const char *arg, struct tl_err *err)
{
    struct tl_exec_spec spec;
    bool ok = tl_exec_spec_parse(arg, &spec, err) && tl_exec_spec_find(&spec, err);
    tl_exec_spec_finish(&spec);
    return ok;
}

static struct tl_reward *open_as(const struct tl_reward_class *cls, const struct tl_reward_env *env,
                                 const char *arg, struct tl_err *err)
{
    struct tl_exec_spec spec;
    struct exec *e = calloc(1, sizeof *e);
    if (!e) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    *e = (struct exec){.base = {cls}, .info = cls->info};
    if (env->plans_only) {
        if (look_for(arg, err)) return &e->base;
        free(e);
        return NULL;
    }
    if (tl_exec_spec_parse(arg, &spec, err)) e->crew = tl_exec_crew_open(&spec, err);
    if (!e->crew || !check_kind(e, err)) {
        cls->close(&e->base);
        return NULL;
    }
    take_about(e);
    return &e->base;
}

static struct tl_reward *exec_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    return open_as(&tl_reward_exec, env, arg, err);
}

static struct tl_reward *exec_set_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    return open_as(&tl_reward_exec_set, env, arg, err);
}

static void exec_hang_up(struct tl_reward *reward)
{
    struct exec *e = (struct exec *)reward;
    if (e->crew) tl_exec_crew_hang_up(e->crew);
}

static void exec_close(struct tl_reward *reward)
{
    struct exec *e = (struct exec *)reward;
    tl_exec_crew_close(&e->crew);
    free(e);
}

/* ---- scoring ---- */

struct ticket {
    struct tl_exec_task *tasks; /* [n_tasks] */
    size_t n_tasks;
    double *scores;
    size_t n_scores;
};

static void drop(struct exec *e, struct ticket *t)
{
    for (size_t k = 0; k < t->n_tasks; k++) tl_exec_crew_remove(e->crew, &t->tasks[k]);
    free(t->tasks);
    free(t->scores);
    free(t);
}

/* How many of the n items fit into a request; 0: the first does not. */
static size_t fitting(const struct exec *e, const struct tl_reward_item *items, size_t n)
{
    enum { FRAME = 128 };
    size_t bytes = FRAME, most = tl_exec_crew_about(e->crew)->max_batch, i = 0;
    bool of_set = e->info.kind == TL_REWARD_OF_SET;
    for (; i < n && (of_set || i < most); i++) {
        bytes += tl_exec_item_bytes(tl_exec_crew_folder(e->crew), &items[i]);
        if (bytes > TL_EXEC_MOST_LINE) break;
    }
    return i;
}

static bool cut(struct exec *e, struct ticket *t, const struct tl_reward_item *items, size_t n,
                struct tl_err *err)
{
    bool of_set = e->info.kind == TL_REWARD_OF_SET;
    for (size_t at = 0, take; at < n; at += take) {
        take = fitting(e, items + at, n - at);
        if (take == 0) {
            tl_err_set(err, TL_BAD_INPUT, "its prompt is too long for a message of %d bytes",
                       TL_EXEC_MOST_LINE);
            return tl_reward_item_err(items, at, err);
        }
        if (of_set && take < n)
            return tl_err_set(err, TL_USAGE, "a set of %zu samples is too large for a message of %d bytes", n,
                              TL_EXEC_MOST_LINE);
        t->tasks[t->n_tasks++] = (struct tl_exec_task){
            .items = items + at, .n = take, .of_set = of_set, .scores = t->scores + (of_set ? 0 : at)};
    }
    return true;
}

static void *exec_submit(struct tl_reward *reward, const struct tl_reward_item *items, size_t n,
                         struct tl_err *err)
{
    struct exec *e = (struct exec *)reward;
    struct ticket *t = calloc(1, sizeof *t);
    if (t) {
        t->n_scores = e->info.kind == TL_REWARD_OF_SET ? 1 : n;
        t->scores = calloc(t->n_scores, sizeof *t->scores);
        t->tasks = calloc(n, sizeof *t->tasks);
    }
    bool ok = (t && t->scores && t->tasks) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && (!e->crew || cut(e, t, items, n, err));
    if (!ok) {
        if (t) t->n_tasks = 0;
        if (t) drop(e, t);
        return NULL;
    }
    for (size_t k = 0; k < t->n_tasks; k++) tl_exec_crew_add(e->crew, &t->tasks[k]);
    if (e->crew) tl_exec_crew_step(e->crew, 0); /* the programs are at work from here on */
    return t;
}

static bool await(struct exec *e, struct tl_exec_task *task, struct tl_err *err)
{
    while (task->state != TL_EXEC_DONE) {
        if (task->state == TL_EXEC_FAILED) return tl_err_set(err, task->err.code, "%s", task->err.text);
        if (!tl_interrupt_check("scoring", err)) return false;
        tl_exec_crew_step(e->crew, 1);
    }
    return true;
}

static bool exec_collect(struct tl_reward *reward, void *ticket, double *out, struct tl_err *err)
{
    struct exec *e = (struct exec *)reward;
    struct ticket *t = ticket;
    bool ok = true;
    for (size_t k = 0; ok && out && k < t->n_tasks; k++) ok = await(e, &t->tasks[k], err);
    if (ok && out) memcpy(out, t->scores, t->n_scores * sizeof *out);
    drop(e, t);
    return ok;
}

/* ---- what it is ---- */

static const struct tl_reward_info *exec_info(const struct tl_reward *reward)
{
    return &((const struct exec *)reward)->info;
}

static bool exec_about(const struct tl_reward *reward, struct tl_reward_about *out, struct tl_err *err)
{
    const struct exec *e = (const struct exec *)reward;
    if (!e->crew) return true;
    const struct tl_exec_spec *spec = tl_exec_crew_spec(e->crew);
    out->variant = tl_exec_crew_about(e->crew)->name;
    out->settings = e->settings;
    out->encoder = spec->program;
    return tl_sha256_file(spec->program, out->sha256, err);
}

const struct tl_exec_crew *tl_reward_exec_crew(const struct tl_reward *reward)
{
    return ((const struct exec *)reward)->crew;
}

#define COMMAND "COMMAND[,KEY=VALUE...]"

const struct tl_reward_class tl_reward_exec = {
    .info = {.name = "exec",
             .help = "a program of yours, in any language, that speaks JSON lines; see tools/rewards",
             .argument = COMMAND,
             .modality = "any",
             .kind = TL_REWARD_PER_ITEM,
             .low = -INFINITY,
             .high = INFINITY},
    .open = exec_open,
    .close = exec_close,
    .hang_up = exec_hang_up,
    .submit = exec_submit,
    .collect = exec_collect,
    .info_of = exec_info,
    .about = exec_about,
};

const struct tl_reward_class tl_reward_exec_set = {
    .info = {.name = "exec-set",
             .help = "the same for a whole set: one score for all samples of a call together",
             .argument = COMMAND,
             .modality = "any",
             .kind = TL_REWARD_OF_SET,
             .low = -INFINITY,
             .high = INFINITY},
    .open = exec_set_open,
    .close = exec_close,
    .hang_up = exec_hang_up,
    .submit = exec_submit,
    .collect = exec_collect,
    .info_of = exec_info,
    .about = exec_about,
};
