#include "run/prdp_run.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "io/file.h"
#include "models/lora_file.h"
#include "run/checkpoint.h"

/* Host bytes of a checkpoint; the same list saves and loads, so all of them are writable. */
struct blobs {
    struct tl_checkpoint_blob list[8];
    size_t n;
};

static void add_blob(struct blobs *b, const char *name, void *data, size_t n)
{
    b->list[b->n++] = (struct tl_checkpoint_blob){name, data, n};
}

/* Readings before training, which the report compares with: rewards and shown pictures of both sets. Where
 * the next epoch learns from stored samples: their trajectories and rewards, too. */
static void list_blobs(struct tl_prdp_run *r, struct blobs *b)
{
    static const char *const names[2][2] = {{"trained_before", "trained_shown"},
                                            {"others_before", "others_shown"}};
    struct tl_prdp_eval *const evals[2] = {&r->trained, &r->others};
    const struct tl_trajectory *paths = &r->trainer->paths;
    b->n = 0;
    for (int i = 0; i < 2; i++) {
        if (evals[i]->n == 0 || !r->untouched_read) continue;
        add_blob(b, names[i][0], evals[i]->before,
                 (size_t)evals[i]->n_rewards * evals[i]->n * sizeof(double));
        add_blob(b, names[i][1], evals[i]->shown_before, evals[i]->n_shown * r->bytes);
    }
    if (tl_prdp_draws(r, r->epoch)) return;
    add_blob(b, "stored_paths", paths->x,
             (paths->n_steps + 1) * paths->n_samples * paths->dim * sizeof(float));
    add_blob(b, "stored_rewards", r->rewards, r->trainer->n * sizeof(double));
}

/* The run's own name, for people who gather adapters in one folder. */
static void kohya_name(const char *run, struct tl_str *out)
{
    size_t n = strlen(run);
    while (n > 0 && run[n - 1] == '/') n--;
    size_t first = n;
    while (first > 0 && run[first - 1] != '/') first--;
    bool named = n > first && run[first] != '.';
    tl_str_printf(out, "lora/%.*s.kohya.safetensors", named ? (int)(n - first) : 6,
                  named ? run + first : "tiller");
}

static bool save_adapter(struct tl_prdp_run *r, struct tl_err *err)
{
    struct tl_str path = {0}, name = {0};
    struct tl_lora_file file = {0};
    struct tl_lora_model model = {.part = {[TL_LORA_UNET] = r->pipeline->unet->layout}};
    bool ok = tl_run_folder_path(r->t.folder, "lora", &path, err) && tl_file_make_folder(path.data, err) &&
              tl_lora_file_from_store(r->trainer->weights, &model, TL_LORA_UNET, r->lora.alpha / r->lora.rank,
                                      &file, err);
    struct tl_lora_write_params wp = {.dtype = TL_ST_F32,
                                      .targets = r->lora.targets,
                                      .n_targets = (size_t)r->lora.n_targets,
                                      .xl = r->pipeline->xl};
    if (ok) {
        tl_str_append(&path, "/pytorch_lora_weights.safetensors");
        ok = tl_lora_write_diffusers(&file, path.data, &wp, err);
    }
    if (ok) {
        kohya_name(r->t.folder->path, &name);
        ok = !name.failed && tl_run_folder_path(r->t.folder, name.data, &path, err) &&
             tl_lora_write_kohya(&file, &model, path.data, &wp, err);
    }
    tl_lora_file_finish(&file);
    tl_str_finish(&path);
    tl_str_finish(&name);
    return ok || tl_err_set(err, TL_FAIL, "out of memory");
}

bool tl_prdp_save(struct tl_prdp_run *r, struct tl_err *err)
{
    const struct tl_checkpoint_store stores[] = {{.name = "weights", .store = r->trainer->weights},
                                                 {.name = "adam_m", .store = r->trainer->optimizer->m},
                                                 {.name = "adam_v", .store = r->trainer->optimizer->v}};
    struct blobs blobs;
    list_blobs(r, &blobs);
    cJSON *state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "epoch", r->epoch);
    cJSON_AddNumberToObject(state, "drawn_epoch", r->drawn_epoch);
    cJSON_AddNumberToObject(state, "updates", (double)r->trainer->optimizer->step);
    cJSON_AddBoolToObject(state, "untouched_read", r->untouched_read);
    struct tl_checkpoint_params p = {
        .stores = stores, .n_stores = 3, .blobs = blobs.list, .n_blobs = blobs.n, .state = state};
    bool ok =
        tl_run_metrics_sync(r->metrics, err) && tl_checkpoint_save(r->t.folder->path, r->epoch, &p, err);
    cJSON_Delete(state);
    return ok && (r->p->full || r->epoch == 0 || save_adapter(r, err));
}

static bool load_blobs(struct tl_prdp_run *r, const struct tl_checkpoint *c, struct tl_err *err)
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

static bool load_state(struct tl_prdp_run *r, const cJSON *state, struct tl_err *err)
{
    int64_t epoch = 0, drawn = 0, updates = 0;
    if (!tl_json_int(state, "epoch", -1, &epoch, err) || !tl_json_int(state, "drawn_epoch", 0, &drawn, err) ||
        !tl_json_int(state, "updates", 0, &updates, err) ||
        !tl_json_bool(state, "untouched_read", true, &r->untouched_read, err))
        return false;
    if (epoch < 0 || epoch > INT_MAX || drawn < 0 || drawn > epoch || updates < 0)
        return tl_err_set(err, TL_BAD_INPUT, "state.json is of another method or version");
    r->epoch = (int)epoch;
    r->trainer->optimizer->step = (uint64_t)updates;
    return tl_prdp_draw_prompts(r, (int)drawn, err);
}

static bool load_all(struct tl_prdp_run *r, const struct tl_checkpoint *c, struct tl_err *err)
{
    struct tl_prdp_trainer *t = r->trainer;
    if (!load_state(r, tl_checkpoint_state(c), err) ||
        !tl_checkpoint_read_store(c, "weights", t->weights, err) ||
        !tl_checkpoint_read_store(c, "adam_m", t->optimizer->m, err) ||
        !tl_checkpoint_read_store(c, "adam_v", t->optimizer->v, err) || !load_blobs(r, c, err))
        return false;
    const struct tl_prdp_conditions conditions = tl_prdp_conditions(r);
    return tl_prdp_draws(r, r->epoch) || tl_prdp_trainer_reference(t, &conditions, err);
}

bool tl_prdp_load(struct tl_prdp_run *r, struct tl_err *err)
{
    struct tl_checkpoint *c = tl_checkpoint_open_newest(r->t.folder->path, err);
    if (!c) return false;
    bool ok = load_all(r, c, err) || tl_err_add(err, "%s", tl_checkpoint_path(c));
    if (ok) tl_log(TL_LOG_INFO, "going on from epoch %d", r->epoch);
    tl_checkpoint_close(&c);
    return ok;
}
