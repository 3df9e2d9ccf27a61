#include <tiller/merge.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/file.h"
#include "io/json.h"
#include "run/listing.h"
#include "run/lora_arg.h"
#include "run/merge_parts.h"

const struct tl_option tl_merge_options[] = {
    TL_OPTION_STRING(struct tl_merge_params, model, 'm', "model", NULL, "FOLDER",
                     "a diffusers pipeline (model_index.json)"),
    TL_OPTION_STRINGS(struct tl_merge_params, lora, 'l', "lora", NULL, "FILE[@SCALE]",
                      "an adapter (diffusers, kohya or PEFT); repeat it for more"),
    TL_OPTION_STRING(struct tl_merge_params, out, 'o', "out", NULL, "FOLDER",
                     "the new pipeline; a folder that is new or empty"),
    TL_OPTION_ENUM(struct tl_merge_params, dtype, 0, "dtype", "as-is", tl_lora_dtype_choices,
                   "numbers in the files of weights; as-is: as each tensor is stored"),
    {0},
};

/* Components with weights that tiller knows; the first are those that carry adapters. */
static const struct {
    const char *folder, *base;
} components[] = {
    {"unet", "diffusion_pytorch_model"},
    {"text_encoder", "model"},
    {"text_encoder_2", "model"},
    {"vae", "diffusion_pytorch_model"},
};
enum { N_COMPONENTS = sizeof components / sizeof *components };

struct merge {
    const struct tl_merge_params *params;
    struct tl_arena arena;
    struct tl_lora_arg *args;
    struct tl_lora_file *files;
    double *scales;
    struct tl_lora_layouts layouts;
    struct tl_merge_loras loras;
    cJSON *index;
    const char *temp; /* the folder under way */
    size_t merged[N_COMPONENTS];
    double start;
};

static bool check_options(struct merge *m, struct tl_err *err)
{
    const struct tl_merge_params *p = m->params;
    if (!p->model) return tl_err_set(err, TL_USAGE, "merge needs --model FOLDER");
    if (p->lora.n == 0) return tl_err_set(err, TL_USAGE, "merge needs --lora FILE[@SCALE]");
    if (!p->out || !*p->out) return tl_err_set(err, TL_USAGE, "merge needs -o FOLDER");
    const char *index = tl_path_join_in(&m->arena, p->model, "model_index.json");
    m->args = tl_arena_alloc(&m->arena, p->lora.n, sizeof *m->args);
    m->files = tl_arena_alloc(&m->arena, p->lora.n, sizeof *m->files);
    m->scales = tl_arena_alloc(&m->arena, p->lora.n, sizeof *m->scales);
    if (!index || !m->args || !m->files || !m->scales) return tl_err_set(err, TL_FAIL, "out of memory");
    if (tl_file_is_folder(p->model) && !tl_file_exists(index))
        return tl_err_set(err, TL_BAD_INPUT, "%s holds no model_index.json: it is not a diffusers pipeline",
                          p->model);
    for (size_t i = 0; i < p->lora.n; i++) {
        if (!tl_lora_arg_parse(p->lora.items[i], &m->arena, &m->args[i], err)) return false;
        m->scales[i] = m->args[i].scale;
    }
    m->index = tl_json_read(index, err);
    return m->index != NULL;
}

static bool read_loras(struct merge *m, struct tl_err *err)
{
    if (!tl_lora_layouts_of(m->params->model, &m->layouts, err)) return false;
    for (size_t i = 0; i < m->params->lora.n; i++) {
        if (!tl_lora_file_read_whole(m->args[i].path, &m->layouts.model, &m->files[i], err)) return false;
        m->loras.n = i + 1;
    }
    m->loras.files = m->files;
    m->loras.scales = m->scales;
    return true;
}

static bool is_touched(const struct merge *m, int part)
{
    for (size_t k = 0; k < m->loras.n; k++)
        for (size_t i = 0; i < m->files[k].n; i++)
            if (m->files[k].layers[i].part == part) return true;
    return false;
}

/* Rewritten where a LoRA changes it or another type is asked for, else copied. */
static bool write_component(struct merge *m, const char *name, const char *from, const char *to,
                            struct tl_err *err)
{
    static const int types[] = {-1, TL_ST_F32, TL_ST_F16, TL_ST_BF16};
    int c = 0;
    while (c < N_COMPONENTS && strcmp(components[c].folder, name) != 0) c++;
    bool carries = c < TL_LORA_PARTS;
    if (c == N_COMPONENTS || (!(carries && is_touched(m, c)) && m->params->dtype == 0))
        return tl_merge_copy_folder(from, to, false, err);
    return tl_merge_copy_folder(from, to, true, err) &&
           (tl_merge_weights(from, components[c].base, to, &m->loras, carries ? m->layouts.own[c] : NULL,
                             carries ? c : -1, types[m->params->dtype], &m->merged[c], err) ||
            tl_err_add(err, "%s", name));
}

/* The components that model_index.json names, and the small files beside it. */
static bool write_all(struct merge *m, struct tl_err *err)
{
    const char *const *names;
    size_t n = 0;
    if (!tl_file_list(m->params->model, &m->arena, &names, &n, err)) return false;
    for (size_t i = 0; i < n; i++) {
        const char *from = tl_path_join_in(&m->arena, m->params->model, names[i]),
                   *to = tl_path_join_in(&m->arena, m->temp, names[i]);
        if (!from || !to) return tl_err_set(err, TL_FAIL, "out of memory");
        if (names[i][0] == '.') continue;
        bool named = cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(m->index, names[i]));
        if (tl_file_is_folder(from) ? named && !write_component(m, names[i], from, to, err)
                                    : !tl_merge_is_weights(names[i]) && !tl_merge_copy_file(from, to, err))
            return false;
    }
    return true;
}

static bool write_folder(struct merge *m, struct tl_err *err)
{
    char *temp = tl_merge_begin_folder(m->params->out, &m->arena, err);
    if (!temp) return false;
    m->temp = temp;
    bool ok = write_all(m, err) && tl_merge_commit_folder(temp, m->params->out, err);
    if (!ok && tl_file_is_folder(temp)) tl_merge_abort_folder(temp);
    return ok;
}

static cJSON *report(const struct merge *m)
{
    cJSON *out = cJSON_CreateObject();
    tl_listing_text(out, "out", m->params->out);
    cJSON *rows = tl_listing_array(out, "loras");
    for (size_t i = 0; i < m->loras.n; i++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "file", m->args[i].path);
        tl_listing_number(row, "scale", m->scales[i]);
        tl_listing_count(row, "layers", m->files[i].n);
    }
    for (int c = 0; c < TL_LORA_PARTS; c++)
        if (m->merged[c]) tl_listing_format(out, components[c].folder, "%zu weights changed", m->merged[c]);
    tl_listing_text(out, "dtype", tl_lora_dtype_choices[m->params->dtype]);
    tl_listing_number(out, "seconds", tl_clock_s() - m->start);
    return out;
}

char *tl_merge(const struct tl_merge_params *params, const struct tl_job *job, struct tl_err *err)
{
    struct merge m = {.params = params, .start = tl_clock_s()};
    (void)job; /* files to files: no device, no randomness */
    char *text = check_options(&m, err) && read_loras(&m, err) && write_folder(&m, err)
                     ? tl_listing_print(report(&m), "tiller.merge/1", params->json, err)
                     : NULL;
    for (size_t i = 0; i < m.loras.n; i++) tl_lora_file_finish(&m.files[i]);
    tl_lora_layouts_finish(&m.layouts);
    cJSON_Delete(m.index);
    tl_arena_finish(&m.arena);
    return text;
}
