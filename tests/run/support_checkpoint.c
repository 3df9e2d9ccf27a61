#include "support_checkpoint.h"

#include "support/check.h"

#include "io/file.h"
#include "support_folder.h"

/* Two tensors with a gap between them, as stores have it. */
static struct tl_store_entry entries[] = {
    {"z.weight", {4, {3, 3, 2, 5}}, TL_LAYOUT_CONV2D, 0},
    {"a.bias", {1, {7}}, TL_LAYOUT_PLAIN, 128},
};
static int32_t by_name[] = {1, 0};
const struct tl_store_layout support_checkpoint_layout = {entries, 2, 192, by_name, NULL, TL_F32};

static bool is_gap(size_t i)
{
    return (i >= 90 && i < 128) || i >= 135;
}

/* A checkpoint's content follows from its step alone. */
void support_checkpoint_fill(float *flat, int64_t step)
{
    for (size_t i = 0; i < 192; i++) flat[i] = is_gap(i) ? 0 : (float)sin((double)i + 0.1 * (double)step);
    flat[3] = -0.0f;
    flat[4] = 1e-42f; /* a denormal */
}

bool support_checkpoint_save_with(const char *run, int64_t step, const struct support_saving *how,
                                  struct tl_err *err)
{
    float flat[192], moments[192];
    char blob[300];
    support_checkpoint_fill(flat, step);
    support_checkpoint_fill(moments, -step);
    for (size_t i = 0; i < sizeof blob; i++) blob[i] = (char)(i * 7 + (size_t)step);
    cJSON *state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "step", (double)step);
    const struct tl_checkpoint_store stores[] = {
        {.name = "lora", .layout = &support_checkpoint_layout, .data = how->flat ? how->flat : flat},
        {.name = "lora_m", .layout = &support_checkpoint_layout, .data = moments},
    };
    const struct tl_checkpoint_blob blobs[] = {{"order", blob, sizeof blob}, {"empty", NULL, 0}};
    const struct tl_checkpoint_params params = {.stores = stores,
                                                .n_stores = 2,
                                                .blobs = blobs,
                                                .n_blobs = 2,
                                                .state = state,
                                                .keep = how->keep,
                                                .best = how->best,
                                                .within = how->within,
                                                .fault = how->fault,
                                                .fault_user = how->user};
    bool ok = tl_checkpoint_save(run, step, &params, err);
    cJSON_Delete(state);
    return ok;
}

void support_checkpoint_save(const char *run, int64_t step)
{
    struct tl_err err = {0};
    check_ok(support_checkpoint_save_with(run, step, &(struct support_saving){0}, &err), &err);
}

/* Opens the newest and checks every byte of it against its step; returns the step, or -1 where there is none.
 */
int64_t support_checkpoint_newest(const char *run)
{
    struct tl_err err = {0};
    struct tl_checkpoint *c = tl_checkpoint_open_newest(run, &err);
    if (!c) {
        assert_int_equal(err.code, TL_BAD_INPUT);
        return -1;
    }
    int64_t step = tl_checkpoint_step(c);
    float want[192], got[192];
    memset(got, 0xff, sizeof got);
    support_checkpoint_fill(want, step);
    check_ok(tl_checkpoint_read_flat(c, "lora", &support_checkpoint_layout, got, &err), &err);
    assert_memory_equal(got, want, sizeof want);
    support_checkpoint_fill(want, -step);
    check_ok(tl_checkpoint_read_flat(c, "lora_m", &support_checkpoint_layout, got, &err), &err);
    assert_memory_equal(got, want, sizeof want);
    size_t n = 0;
    uint8_t *blob = tl_checkpoint_read_blob(c, "order", &n, &err);
    check_ok(blob != NULL, &err);
    assert_int_equal(n, 300);
    for (size_t i = 0; i < n; i++) assert_int_equal(blob[i], (uint8_t)(i * 7 + (size_t)step));
    free(blob);
    blob = tl_checkpoint_read_blob(c, "empty", &n, &err);
    assert_int_equal(n, 0);
    free(blob);
    assert_true(tl_json_get(tl_checkpoint_state(c), "step")->valuedouble == (double)step);
    tl_checkpoint_close(&c);
    return step;
}

/* Names in RUN/checkpoints, joined. */
const char *support_checkpoint_names(const char *run)
{
    static char text[512];
    struct tl_arena arena = {0};
    const char *const *names;
    size_t n = 0;
    text[0] = 0;
    if (tl_file_list(support_path(run, "checkpoints"), &arena, &names, &n, NULL)) {
        for (size_t i = 0; i < n; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", names[i]);
    }
    tl_arena_finish(&arena);
    return text;
}

const char *support_checkpoint_run(const char *folder, const char *name)
{
    struct tl_err err = {0};
    const char *run = support_path(folder, "%s", name);
    check_ok(tl_file_make_folder(run, &err), &err);
    return run;
}
