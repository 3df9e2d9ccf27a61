/* Checkpoints of the training loop. */
#include <limits.h>

#include <tiller/log.h>

#include "run/checkpoint.h"
#include "run/train_loop_inner.h"

enum { KEEP = 2 };

/* Stores of a checkpoint; the same list saves and loads. */
static size_t list_stores(const struct tl_loop *l, struct tl_checkpoint_store out[8])
{
    size_t n = 0;
    out[n++] = (struct tl_checkpoint_store){.name = "weights", .store = l->task->weights};
    out[n++] = (struct tl_checkpoint_store){.name = "adam_m", .store = l->main->m};
    out[n++] = (struct tl_checkpoint_store){.name = "adam_v", .store = l->main->v};
    if (l->ema) out[n++] = (struct tl_checkpoint_store){.name = "ema", .store = l->ema};
    if (l->aux) {
        out[n++] = (struct tl_checkpoint_store){.name = "aux_weights", .store = l->task->aux_weights};
        out[n++] = (struct tl_checkpoint_store){.name = "aux_adam_m", .store = l->aux->m};
        out[n++] = (struct tl_checkpoint_store){.name = "aux_adam_v", .store = l->aux->v};
    }
    return n;
}

/* Takes the member over; false, with nothing leaked, where either is missing. */
static bool add(cJSON *object, const char *key, cJSON *value)
{
    if (value && cJSON_AddItemToObject(object, key, value)) return true;
    cJSON_Delete(value);
    return false;
}

static bool add_validation(cJSON *state, const struct tl_loop *l)
{
    const double values[] = {l->best_step, l->best_loss, l->last_step, l->last_loss, l->first_loss};
    return l->best_step < 0 || add(state, "validation", cJSON_CreateDoubleArray(values, 5));
}

static cJSON *state_of(const struct tl_loop *l)
{
    cJSON *state = cJSON_CreateObject();
    if (state && cJSON_AddNumberToObject(state, "step", l->step) &&
        cJSON_AddNumberToObject(state, "updates", (double)l->main->step) &&
        (!l->aux || cJSON_AddNumberToObject(state, "aux_updates", (double)l->aux->step)) &&
        cJSON_AddNumberToObject(state, "n_skipped", l->n_skipped) &&
        cJSON_AddNumberToObject(state, "n_sums", l->n_sums) &&
        (!l->looks || cJSON_AddNumberToObject(state, "looks", l->looks)) &&
        cJSON_AddNumberToObject(state, "metric_rows", (double)tl_run_metrics_rows(l->metrics)) &&
        add(state, "sums", cJSON_CreateDoubleArray(l->sums, tl_loop_count(l->task->metrics) + 1)) &&
        add_validation(state, l))
        return state;
    cJSON_Delete(state);
    return NULL;
}

bool tl_loop_save(struct tl_loop *l, struct tl_err *err)
{
    struct tl_checkpoint_store stores[8];
    size_t n = list_stores(l, stores);
    if (l->saved_step == l->step) return true;
    cJSON *state = state_of(l);
    bool ok = tl_run_metrics_sync(l->metrics, err) &&
              tl_checkpoint_save(l->folder->path, l->step,
                                 &(struct tl_checkpoint_params){.stores = stores,
                                                                .n_stores = n,
                                                                .state = state,
                                                                .keep = KEEP,
                                                                .best = l->best_step == l->step},
                                 err);
    cJSON_Delete(state);
    if (ok) l->saved_step = l->step;
    return ok && (!l->task->saves_often || l->step == 0 ||
                  l->task->save(l->task->self, tl_loop_weights(l), l->folder->path, err));
}

static bool load_validation(struct tl_loop *l, const cJSON *state, struct tl_err *err)
{
    const cJSON *values = tl_json_get(state, "validation");
    double v[5];
    if (!values) return true;
    if (cJSON_GetArraySize(values) != 5)
        return tl_err_set(err, TL_BAD_INPUT, "state.json is of another version");
    for (int i = 0; i < 5; i++) v[i] = cJSON_GetArrayItem(values, i)->valuedouble;
    if (!(v[0] >= 0 && v[0] <= l->step && v[2] >= v[0] && v[2] <= l->step))
        return tl_err_set(err, TL_BAD_INPUT, "state.json: validation at a step that was not taken");
    l->best_step = (int)v[0];
    l->best_loss = v[1];
    l->last_step = (int)v[2];
    l->last_loss = v[3];
    l->first_loss = v[4];
    return true;
}

/* What state_of wrote. */
static bool load_state(struct tl_loop *l, const cJSON *state, struct tl_err *err)
{
    int64_t step = 0, updates = 0, aux_updates = 0, n_sums = 0, n_skipped = 0, looks = 0;
    if (!tl_json_int(state, "step", 0, &step, err) || !tl_json_int(state, "updates", 0, &updates, err) ||
        !tl_json_int(state, "aux_updates", updates, &aux_updates, err) ||
        !tl_json_int(state, "n_sums", 0, &n_sums, err) ||
        !tl_json_int(state, "n_skipped", 0, &n_skipped, err) ||
        !tl_json_int(state, "looks", 0, &looks, err) ||
        !tl_json_int(state, "metric_rows", -1, &l->resumed_rows, err))
        return false;
    const cJSON *sums = tl_json_get(state, "sums");
    int n = tl_loop_count(l->task->metrics) + 1;
    if (step < 0 || step > INT_MAX || updates < 0 || n_sums < 0 || n_sums > step ||
        cJSON_GetArraySize(sums) != n)
        return tl_err_set(err, TL_BAD_INPUT, "state.json is of another method or version");
    for (int i = 0; i < n; i++) l->sums[i] = cJSON_GetArrayItem(sums, i)->valuedouble;
    l->step = (int)step;
    l->looks = (unsigned)looks & tl_loop_looks_due(l);
    l->saved_step = l->looks ? -1 : l->step; /* saved again when they are made */
    l->n_sums = (int)n_sums;
    l->n_skipped = n_skipped > 0 && n_skipped < TL_LOOP_MOST_SKIPPED ? (int)n_skipped : 0;
    l->main->step = (uint64_t)updates;
    if (l->aux) l->aux->step = (uint64_t)aux_updates;
    return load_validation(l, state, err);
}

bool tl_loop_load(struct tl_loop *l, struct tl_err *err)
{
    struct tl_checkpoint *c = tl_checkpoint_open_newest(l->folder->path, err);
    if (!c) return false;
    struct tl_checkpoint_store stores[8];
    size_t n = list_stores(l, stores);
    bool ok = load_state(l, tl_checkpoint_state(c), err);
    for (size_t i = 0; ok && i < n; i++)
        ok = tl_checkpoint_read_store(c, stores[i].name, stores[i].store, err);
    if (ok)
        tl_log(TL_LOG_INFO, "going on from step %d", l->step);
    else
        tl_err_add(err, "%s", tl_checkpoint_path(c));
    tl_checkpoint_close(&c);
    return ok;
}
