/* Looking at a training: validation on pictures that are held out, and samples of fixed prompts. Both see the
 * weights that would be saved. */
#include <math.h>
#include <unistd.h>

#include "base/str.h"
#include "io/file.h"
#include "run/train_loop_inner.h"

/* run.json says which step was best, at every moment. */
static bool note_best(const struct tl_loop *l, struct tl_err *err)
{
    cJSON *best = cJSON_CreateObject();
    bool ok = best && cJSON_AddNumberToObject(best, "step", l->best_step) &&
              cJSON_AddNumberToObject(best, "loss", l->best_loss);
    if (!ok) {
        cJSON_Delete(best);
        return tl_err_set(err, TL_FAIL, "out of memory");
    }
    return tl_run_folder_note(l->folder, "best_validation", best, err);
}

static bool validate(struct tl_loop *l, struct tl_err *err)
{
    double values[TL_TASK_METRICS] = {0};
    struct tl_run_metric row[TL_TASK_METRICS];
    int n = tl_loop_count(l->task->validation);
    if (!l->task->validate(l->task->self, tl_loop_weights(l), values, err)) return false;
    for (int i = 0; i < n; i++) row[i] = (struct tl_run_metric){l->task->validation[i], values[i]};
    if (!tl_run_metrics_append(l->metrics, "validation", l->step, row, (size_t)n, err)) return false;
    bool first = l->best_step < 0, best = first || values[0] < l->best_loss;
    if (first) l->first_loss = values[0];
    l->last_loss = values[0];
    l->last_step = l->step;
    if (!best) return true;
    l->best_loss = values[0];
    l->best_step = l->step;
    return note_best(l, err);
}

static bool sample(struct tl_loop *l, struct tl_err *err)
{
    struct tl_str path = {0};
    bool ok = tl_run_folder_samples(l->folder, l->step, &path, err) &&
              l->task->sample(l->task->self, tl_loop_weights(l), path.data, err);
    if (!ok && !path.failed && path.data) rmdir(path.data); /* nothing was drawn: no empty folder stays */
    tl_str_append(&path, "/grid.png");
    if (ok && !path.failed) tl_run_metrics_picture(l->metrics, "samples", l->step, path.data);
    tl_str_finish(&path);
    return ok;
}

static bool is_due(const struct tl_loop *l, int every)
{
    return every > 0 && (l->step % every == 0 || l->step == l->p->steps);
}

unsigned tl_loop_looks_due(const struct tl_loop *l)
{
    unsigned looks = 0;
    if (l->task->validate && is_due(l, l->p->val_every)) looks |= TL_LOOP_VALIDATION;
    if (l->task->sample && is_due(l, l->p->sample_every)) looks |= TL_LOOP_SAMPLES;
    return looks;
}

bool tl_loop_look(struct tl_loop *l, struct tl_err *err)
{
    if (l->looks & TL_LOOP_VALIDATION && !validate(l, err))
        return tl_err_add(err, "validation after step %d", l->step);
    l->looks &= ~(unsigned)TL_LOOP_VALIDATION;
    if (l->looks & TL_LOOP_SAMPLES && !sample(l, err))
        return tl_err_add(err, "samples after step %d", l->step);
    l->looks = 0;
    return true;
}

bool tl_loop_summary(const struct tl_loop *l, struct tl_err *err)
{
    struct tl_str text = {0}, path = {0};
    if (l->best_step < 0) return true;
    tl_str_printf(&text, "validation loss %.4f at step %d, the best", l->best_loss, l->best_step);
    if (l->best_step != l->last_step)
        tl_str_printf(&text, "; %.4f at the end, step %d", l->last_loss, l->last_step);
    if (l->best_step != 0) tl_str_printf(&text, "; %.4f before training", l->first_loss);
    tl_str_append(&text, "\n");
    bool ok = (!text.failed || tl_err_set(err, TL_FAIL, "out of memory")) &&
              tl_run_folder_path(l->folder, "summary.txt", &path, err) &&
              tl_file_write(path.data, text.data, text.len, err);
    tl_str_finish(&text);
    tl_str_finish(&path);
    return ok;
}
