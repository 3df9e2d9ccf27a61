/* `steer`: the groups of a run, a few at a time, from the first to the last that is not finished. */
#include <tiller/report.h>
#include <tiller/steer.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
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

/* Says how the run can go on. */
static bool advise(const struct tl_steer *s, struct tl_err *err)
{
    const struct tl_err why = *err;
    tl_err_clear(err);
    if (s->n_finished == 0)
        return tl_err_set(err, why.code,
                          "%s; no prompt is finished yet; begin again with: tiller steer --resume %s",
                          why.text, s->p->sample.out);
    return tl_err_set(err, why.code,
                      "%s; %zu of %zu prompts are finished and kept; go on with: tiller steer --resume %s",
                      why.text, s->n_finished, s->n_groups, s->p->sample.out);
}

/* What is finished stays, with its metadata, whatever came after it. */
static bool draw(struct tl_steer *s, struct tl_err *err)
{
    struct tl_err why = {0}, more = {0};
    bool ok = tl_steer_standardise(s, &why) && walk_all(s, &why) && tl_steer_order_lines(s, &why);
    if (!ok && why.code != TL_INTERRUPTED && s->n_finished == 0 && !s->t.folder->begun) {
        /* it is no run: the same command works once the cause is gone */
        tl_steer_discard(s);
        tl_training_forget(&s->t);
        return tl_err_set(err, why.code, "%s", why.text);
    }
    bool written = tl_steer_write_metadata(s, &more) && tl_steer_note_seconds(s, &more);
    if (ok && written) return true;
    if (ok) why = more;
    advise(s, &why);
    return tl_err_set(err, why.code, "%s", why.text);
}

/* The numbers stand before the plain samples are drawn, which takes as long again. */
static char *finish(struct tl_steer *s, struct tl_err *err)
{
    char *text = tl_steer_finish(s, err);
    if (text && s->p->report) {
        free(text);
        text = tl_steer_draw_plain(s, err) ? tl_steer_finish(s, err) : NULL;
        if (text && !tl_report_write(s->p->sample.out, err)) {
            free(text);
            text = NULL;
        }
    }
    return text;
}

/* All that comes after the pictures. */
static char *close_run(struct tl_steer *s, struct tl_err *err)
{
    struct tl_err why = {0};
    char *text = tl_sample_grid_from_files(&s->settings, &why) ? finish(s, &why) : NULL;
    if (text) return text;
    advise(s, &why);
    tl_err_set(err, why.code, "%s", why.text);
    return NULL;
}

char *tl_steer(const struct tl_steer_params *params, const struct tl_options *options,
               const struct tl_job *job, bool *out_whole, struct tl_err *err)
{
    struct tl_steer s = {.own = *params, .job = job};
    s.p = &s.own; /* the guidance may become the model's */
    bool ok = tl_steer_open(&s, options, err) && draw(&s, err);
    char *text = ok ? close_run(&s, err) : NULL;
    *out_whole = s.model.left_out == 0;
    tl_steer_close(&s);
    return text;
}
