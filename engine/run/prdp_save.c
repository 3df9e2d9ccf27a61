#include "run/prdp_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "models/lora_file.h"
#include "run/checkpoint.h"

/* Readings before training, which the report compares with: rewards and shown pictures of both sets. */
struct blobs {
    struct tl_checkpoint_blob list[4];
    size_t n;
};

static void list_blobs(struct tl_prdp_run *r, struct blobs *b)
{
    static const char *const names[2][2] = {{"trained_before", "trained_shown"}, {"others_before", "others_shown"}};
    struct tl_prdp_eval *const evals[2] = {&r->trained, &r->others};
    size_t bytes = (size_t)r->width * (size_t)r->height * 3;
    b->n = 0;
    for (int i = 0; i < 2; i++) {
        if (evals[i]->n == 0) continue;
        b->list[b->n++] = (struct tl_checkpoint_blob){names[i][0], evals[i]->before, (size_t)evals[i]->n_rewards * evals[i]->n * sizeof(double)};
        b->list[b->n++] = (struct tl_checkpoint_blob){names[i][1], evals[i]->shown_before, evals[i]->n_shown * bytes};
    }
}

static bool save_adapter(struct tl_prdp_run *r, struct tl_err *err)
{
    struct tl_str path = {0};
    struct tl_lora_file file = {0};
    struct tl_lora_model model = {.part = {[TL_LORA_UNET] = r->pipeline->unet->layout}};
    bool ok = tl_run_folder_path(r->t.folder, "lora", &path, err) && tl_file_make_folder(path.data, err) &&
              tl_lora_file_from_store(r->trainer->weights, &model, TL_LORA_UNET, r->lora.alpha / r->lora.rank, &file, err);
    struct tl_lora_write_params wp = {.dtype = TL_ST_F32, .targets = r->lora.targets, .n_targets = (size_t)r->lora.n_targets, .xl = r->pipeline->xl};
    if (ok) {
        tl_str_append(&path, "/pytorch_lora_weights.safetensors");
        ok = tl_lora_write_diffusers(&file, path.data, &wp, err);
    }
    if (ok) {
        char name[512];
        snprintf(name, sizeof name, "lora/%s.kohya.safetensors", tl_path_base(r->t.folder->path));
        ok = tl_run_folder_path(r->t.folder, name, &path, err) && tl_lora_write_kohya(&file, &model, path.data, &wp, err);
    }
    tl_lora_file_finish(&file);
    tl_str_finish(&path);
    return ok;
}

bool tl_prdp_save(struct tl_prdp_run *r, struct tl_err *err)
{
    const struct tl_checkpoint_store stores[] = {{.name = "weights", .store = r->trainer->weights}, {.name = "adam_m", .store = r->trainer->optimizer->m},
                                                 {.name = "adam_v", .store = r->trainer->optimizer->v}};
    struct blobs blobs;
    list_blobs(r, &blobs);
    cJSON *state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "epoch", r->epoch);
    cJSON_AddNumberToObject(state, "updates", (double)r->trainer->optimizer->step);
    struct tl_checkpoint_params p = {.stores = stores, .n_stores = 3, .blobs = blobs.list, .n_blobs = blobs.n, .state = state};
    bool ok = tl_run_metrics_sync(r->metrics, err) && tl_checkpoint_save(r->t.folder->path, r->epoch, &p, err);
    cJSON_Delete(state);
    return ok && (r->p->full || save_adapter(r, err));
}

static bool load_blobs(struct tl_prdp_run *r, const struct tl_checkpoint *c, struct tl_err *err)
{
    struct blobs blobs;
    list_blobs(r, &blobs);
    for (size_t i = 0; i < blobs.n; i++) {
        size_t n = 0;
        uint8_t *data = tl_checkpoint_read_blob(c, blobs.list[i].name, &n, err);
        if (!data) return false;
        bool fits = n == blobs.list[i].n;
        if (fits) memcpy((void *)(uintptr_t)blobs.list[i].data, data, n);
        free(data);
        if (!fits) return tl_err_set(err, TL_BAD_INPUT, "%s was saved with other --eval options", blobs.list[i].name);
    }
    return true;
}

bool tl_prdp_load(struct tl_prdp_run *r, struct tl_err *err)
{
    struct tl_checkpoint *c = tl_checkpoint_open_newest(r->t.folder->path, err);
    if (!c) return false;
    int64_t epoch = 0, updates = 0;
    bool ok = tl_checkpoint_read_store(c, "weights", r->trainer->weights, err) && tl_checkpoint_read_store(c, "adam_m", r->trainer->optimizer->m, err) &&
              tl_checkpoint_read_store(c, "adam_v", r->trainer->optimizer->v, err) && tl_json_int(tl_checkpoint_state(c), "epoch", 0, &epoch, err) &&
              tl_json_int(tl_checkpoint_state(c), "updates", 0, &updates, err) && load_blobs(r, c, err);
    r->epoch = (int)epoch;
    r->trainer->optimizer->step = (uint64_t)updates;
    tl_checkpoint_close(&c);
    return ok;
}
