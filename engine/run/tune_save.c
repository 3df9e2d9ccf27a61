#include "run/tune.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "run/checkpoint.h"
#include "run/lora_output.h"

/* Host bytes of a checkpoint; the same list saves and loads, so all of them are writable. */
struct blobs {
    struct tl_checkpoint_blob list[12];
    size_t n;
};

static void add_blob(struct blobs *b, const char *name, void *data, size_t n)
{
    b->list[b->n++] = (struct tl_checkpoint_blob){name, data, n};
}

/* Samples that learning goes on from: of an epoch under way, or stored ones that the next epoch takes. */
static bool holds_samples(const struct tl_tune *r)
{
    return r->in_epoch || !tl_tune_draws(r, r->epoch);
}

/* Readings of the untouched model, which the report compares with; the rewards that advantages go by; the
 * samples, where learning goes on from them. */
static void list_blobs(struct tl_tune *r, struct blobs *b)
{
    static const char *const names[2][2] = {{"trained_before", "trained_shown"},
                                            {"others_before", "others_shown"}};
    struct tl_tune_eval *const evals[2] = {&r->trained, &r->others};
    const struct tl_trajectory *paths = &r->trainer->paths;
    b->n = 0;
    for (int i = 0; i < 2; i++) {
        if (evals[i]->n == 0 || !r->untouched_read) continue;
        add_blob(b, names[i][0], evals[i]->start.rewards,
                 (size_t)evals[i]->n_rewards * evals[i]->n * sizeof(double));
        add_blob(b, names[i][1], evals[i]->start.shown, evals[i]->n_shown * r->bytes);
    }
    if (r->history.n_prompts) {
        add_blob(b, "history_values", r->history.values,
                 r->history.n_prompts * TL_ADVANTAGE_BUFFER * sizeof *r->history.values);
        add_blob(b, "history_counts", r->history.counts, r->history.n_prompts * sizeof *r->history.counts);
    }
    if (!holds_samples(r)) return;
    add_blob(b, "stored_paths", paths->x,
             (paths->n_steps + 1) * paths->n_samples * paths->dim * sizeof(float));
    add_blob(b, "stored_rewards", r->rewards, r->n_drawn * sizeof(double));
    add_blob(b, "stored_signal", r->signal, r->trainer->n * sizeof(double));
    if (!r->in_epoch) return;
    add_blob(b, "old_ratios", paths->old_ratio, paths->n_samples * paths->n_steps * sizeof(double));
    add_blob(b, "epoch_sums", &r->at, sizeof r->at);
}

/* `folder`: "lora", or "lora-best". */
static bool save_adapter(struct tl_tune *r, const char *folder, struct tl_err *err)
{
    const struct tl_lora_spec *lora = r->trainer->p.lora;
    const struct tl_lora_model model = {.part = {[TL_LORA_UNET] = r->pipeline->unet->layout}};
    const struct tl_lora_output_part part = {r->trainer->weights, TL_LORA_UNET, lora->alpha / lora->rank};
    return tl_lora_output_save(r->t.folder->path,
                               &(struct tl_lora_output){.parts = &part,
                                                        .n_parts = 1,
                                                        .model = &model,
                                                        .spec = lora,
                                                        .dtype = TL_ST_F32,
                                                        .xl = r->pipeline->xl,
                                                        .folder = folder},
                               err);
}

static bool save_adapters(struct tl_tune *r, bool best, struct tl_err *err)
{
    if (r->p->full || (r->epoch == 0 && !r->in_epoch)) return true;
    return save_adapter(r, "lora", err) && (!best || save_adapter(r, "lora-best", err));
}

/* What guards and the report go by until the next reading. */
static cJSON *readings_json(const struct tl_guard_readings *readings)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < TL_GUARD_METRICS; i++) {
        const struct tl_guard_value *v = &readings->of[i];
        const double row[] = {v->known, v->has_start, v->now, v->start, v->z, v->scale};
        cJSON_AddItemToArray(list, cJSON_CreateDoubleArray(row, sizeof row / sizeof *row));
    }
    return list;
}

static void load_readings(const cJSON *list, struct tl_guard_readings *out)
{
    for (int i = 0; i < TL_GUARD_METRICS && cJSON_GetArraySize(list) == TL_GUARD_METRICS; i++) {
        const cJSON *row = cJSON_GetArrayItem(list, i);
        double v[6];
        for (int k = 0; k < 6; k++) v[k] = cJSON_GetNumberValue(cJSON_GetArrayItem(row, k)); /* else NaN */
        out->of[i] = (struct tl_guard_value){
            .known = v[0] == 1, .has_start = v[1] == 1, .now = v[2], .start = v[3], .z = v[4], .scale = v[5]};
    }
}

static cJSON *state_of(const struct tl_tune *r)
{
    cJSON *state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "epoch", r->epoch);
    /* without its samples a draw that was begun leaves no trace */
    cJSON_AddNumberToObject(state, "drawn_epoch", holds_samples(r) ? r->drawn_epoch : r->epoch);
    cJSON_AddNumberToObject(state, "updates", (double)r->trainer->optimizer->step);
    cJSON_AddBoolToObject(state, "in_epoch", r->in_epoch);
    cJSON_AddBoolToObject(state, "untouched_read", r->untouched_read);
    cJSON_AddNumberToObject(state, "read_epoch", r->read_epoch);
    cJSON_AddNumberToObject(state, "trained_diversity", r->trained.start.diversity);
    cJSON_AddNumberToObject(state, "others_diversity", r->others.start.diversity);
    cJSON_AddNumberToObject(state, "best_epoch", r->best_epoch);
    cJSON_AddNumberToObject(state, "best_value", r->best_value);
    cJSON_AddNumberToObject(state, "queries", (double)r->queries);
    cJSON_AddNumberToObject(state, "evaluations", (double)r->evaluations);
    cJSON_AddNumberToObject(state, "metric_rows", (double)tl_run_metrics_rows(r->metrics));
    cJSON_AddStringToObject(state, "stopped", r->stopped);
    cJSON_AddItemToObject(state, "readings", readings_json(&r->readings));
    cJSON_AddItemToObject(state, "warnings", cJSON_Duplicate(r->warnings, true));
    return state;
}

bool tl_tune_save(struct tl_tune *r, bool best, struct tl_err *err)
{
    const struct tl_checkpoint_store stores[] = {{.name = "weights", .store = r->trainer->weights},
                                                 {.name = "adam_m", .store = r->trainer->optimizer->m},
                                                 {.name = "adam_v", .store = r->trainer->optimizer->v}};
    struct blobs blobs;
    list_blobs(r, &blobs);
    cJSON *state = state_of(r);
    if (!state) return tl_err_set(err, TL_FAIL, "out of memory");
    struct tl_checkpoint_params p = {.stores = stores,
                                     .n_stores = 3,
                                     .blobs = blobs.list,
                                     .n_blobs = blobs.n,
                                     .state = state,
                                     .keep = r->p->keep,
                                     .within = r->in_epoch,
                                     .best = best};
    bool ok =
        tl_run_metrics_sync(r->metrics, err) && tl_checkpoint_save(r->t.folder->path, r->epoch, &p, err);
    cJSON_Delete(state);
    return ok && save_adapters(r, best, err);
}

static bool load_blobs(struct tl_tune *r, const struct tl_checkpoint *c, struct tl_err *err)
{
    struct blobs blobs;
    list_blobs(r, &blobs);
    for (size_t i = 0; i < blobs.n; i++) {
        const struct tl_checkpoint_blob *b = &blobs.list[i];
        if (!tl_checkpoint_has_blob(c, b->name))
            return tl_err_set(
                err, TL_BAD_INPUT,
                "no %s: resume with the --eval-* and --resample-every that the run was begun with", b->name);
        size_t n = 0;
        uint8_t *data = tl_checkpoint_read_blob(c, b->name, &n, err);
        if (!data) return false;
        bool fits = n == b->n;
        if (fits) memcpy((void *)(uintptr_t)b->data, data, n);
        free(data);
        if (!fits)
            return tl_err_set(
                err, TL_BAD_INPUT,
                "%s was saved with other sizes: resume with the options that the run was begun with",
                b->name);
    }
    return true;
}

static bool load_progress(struct tl_tune *r, const cJSON *state, struct tl_err *err)
{
    int64_t epoch = 0, drawn = 0, updates = 0, read = -1, best = -1;
    if (!tl_json_int(state, "epoch", -1, &epoch, err) || !tl_json_int(state, "drawn_epoch", 0, &drawn, err) ||
        !tl_json_int(state, "updates", 0, &updates, err) ||
        !tl_json_bool(state, "in_epoch", false, &r->in_epoch, err) ||
        !tl_json_int(state, "read_epoch", -1, &read, err) ||
        !tl_json_int(state, "best_epoch", -1, &best, err) ||
        !tl_json_int(state, "metric_rows", -1, &r->resumed_rows, err) ||
        !tl_json_bool(state, "untouched_read", true, &r->untouched_read, err))
        return false;
    if (epoch < 0 || epoch > INT_MAX || drawn < 0 || drawn > epoch || updates < 0 || read > epoch ||
        best > epoch)
        return tl_err_set(err, TL_BAD_INPUT, "state.json is of another method or version");
    r->epoch = (int)epoch;
    r->read_epoch = (int)read;
    r->best_epoch = (int)best;
    r->trainer->optimizer->step = (uint64_t)updates;
    return tl_tune_draw_prompts(r, (int)drawn, err);
}

static bool load_state(struct tl_tune *r, const cJSON *state, struct tl_err *err)
{
    int64_t queries = 0, evaluations = 0;
    const char *stopped = "";
    const cJSON *warnings = tl_json_get(state, "warnings");
    if (!load_progress(r, state, err) ||
        !tl_json_double(state, "trained_diversity", 0, &r->trained.start.diversity, err) ||
        !tl_json_double(state, "others_diversity", 0, &r->others.start.diversity, err) ||
        !tl_json_double(state, "best_value", 0, &r->best_value, err) ||
        !tl_json_int(state, "queries", 0, &queries, err) ||
        !tl_json_int(state, "evaluations", 0, &evaluations, err) ||
        !tl_json_string(state, "stopped", "", &stopped, err))
        return false;
    load_readings(tl_json_get(state, "readings"), &r->readings);
    r->queries = (uint64_t)queries;
    r->evaluations = (uint64_t)evaluations;
    for (size_t i = 0; i < r->n_rules; i++) { /* a rule that was taken back stops nothing any more */
        size_t n = strlen(r->p->stop_when.items[i]);
        if (strncmp(stopped, r->p->stop_when.items[i], n) == 0 && stopped[n] == ' ')
            snprintf(r->stopped, sizeof r->stopped, "%s", stopped);
    }
    if (!cJSON_IsArray(warnings)) return true;
    cJSON_Delete(r->warnings);
    r->warnings = cJSON_Duplicate(warnings, true);
    return r->warnings || tl_err_set(err, TL_FAIL, "out of memory");
}

static bool load_all(struct tl_tune *r, const struct tl_checkpoint *c, struct tl_err *err)
{
    struct tl_policy_trainer *t = r->trainer;
    if (!load_state(r, tl_checkpoint_state(c), err) ||
        !tl_checkpoint_read_store(c, "weights", t->weights, err) ||
        !tl_checkpoint_read_store(c, "adam_m", t->optimizer->m, err) ||
        !tl_checkpoint_read_store(c, "adam_v", t->optimizer->v, err) || !load_blobs(r, c, err))
        return false;
    const struct tl_policy_conditions conditions = tl_tune_conditions(r);
    return !holds_samples(r) || tl_policy_trainer_reference(t, &conditions, err);
}

bool tl_tune_load(struct tl_tune *r, struct tl_err *err)
{
    struct tl_checkpoint *c = tl_checkpoint_open_newest(r->t.folder->path, err);
    if (!c) return false;
    bool ok = load_all(r, c, err) || tl_err_add(err, "%s", tl_checkpoint_path(c));
    /* the files of a checkpoint come after it: a crash in between has left those of the one before */
    ok = ok && save_adapters(r, r->best_epoch == r->epoch && r->at.updates == 0, err);
    if (ok) tl_log(TL_LOG_INFO, "going on from epoch %d", r->epoch);
    tl_checkpoint_close(&c);
    return ok;
}
