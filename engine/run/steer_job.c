/* `steer`: the groups of a run, a few at a time, from the first to the last that is not finished. */
#include <tiller/report.h>
#include <tiller/steer.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/file.h"
#include "run/steer_parts.h"

static bool is_finished(const struct tl_steer *s, size_t first, size_t n)
{
    for (size_t g = first; g < first + n; g++)
        if (!s->lines[g]) return false;
    return true;
}

/* Groups walk together as in a run that was never stopped, so that they meet the same rows of the network. */
static bool walk_all(struct tl_steer *s, struct tl_err *err)
{
    int64_t each = (int64_t)s->k * s->p->sample.steps;
    s->meter = (struct tl_progress_meter){.fn = s->job->progress,
                                          .user = s->job->user,
                                          .phase = "steering",
                                          .unit = "steps",
                                          .total = (int64_t)s->n_groups * each};
    memset(s->seconds, 0, sizeof s->seconds);
    s->work = TL_STEER_PARTICLES;
    s->since = tl_clock_s();
    tl_progress_begin(&s->meter, (int64_t)s->n_finished * each);
    bool ok = true;
    for (size_t first = 0, n; ok && first < s->n_groups; first += n) {
        n = s->n_groups - first < s->together ? s->n_groups - first : s->together;
        ok = is_finished(s, first, n) || tl_steer_walk(s, first, n, err);
    }
    return ok;
}

/* A run that failed before it had anything to keep is none: the same command works once the cause is gone. */
static void forget(struct tl_steer *s)
{
    static const char *const names[] = {"steer.jsonl", "best"};
    struct tl_str path = {0};
    if (s->t.folder->begun || s->n_finished) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tl_path_join(&path, s->p->sample.out, names[i]);
        if (!path.failed && unlink(path.data) != 0) rmdir(path.data);
    }
    tl_str_finish(&path);
    tl_training_forget(&s->t);
}

/* What is finished stays, with its metadata, whatever came after it. */
static bool draw(struct tl_steer *s, struct tl_err *err)
{
    struct tl_err why = {0}, more = {0};
    bool ok = tl_steer_standardise(s, &why) && walk_all(s, &why);
    if (!ok && why.code != TL_INTERRUPTED && s->n_finished == 0) {
        forget(s);
        return tl_err_set(err, why.code, "%s", why.text);
    }
    bool written = tl_steer_write_metadata(s, &more) && tl_steer_note_seconds(s, &more);
    if (!ok) return tl_err_set(err, why.code, "%s", why.text);
    return written || tl_err_set(err, more.code, "%s", more.text);
}

/* The numbers stand before the plain samples are drawn, which takes as long again. */
static char *finish(struct tl_steer *s, struct tl_err *err)
{
    char *text = tl_steer_finish(s, err);
    if (!text || !s->p->report) return text;
    free(text);
    if (!tl_steer_draw_plain(s, err)) return NULL;
    text = tl_steer_finish(s, err);
    if (text && tl_report_write(s->p->sample.out, err)) return text;
    free(text);
    return NULL;
}

char *tl_steer(const struct tl_steer_params *params, const struct tl_options *options,
               const struct tl_job *job, bool *out_whole, struct tl_err *err)
{
    struct tl_steer s = {.own = *params, .job = job};
    s.p = &s.own; /* the guidance may become the model's */
    bool ok = tl_steer_open(&s, options, err) && draw(&s, err) && tl_sample_grid_from_files(&s.settings, err);
    char *text = ok ? finish(&s, err) : NULL;
    *out_whole = s.model.left_out == 0;
    tl_steer_close(&s);
    return text;
}
