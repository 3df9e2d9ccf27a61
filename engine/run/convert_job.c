#include <tiller/convert.h>

#include <string.h>

#include "base/str.h"
#include "io/file.h"
#include "models/lora_known.h"
#include "run/listing.h"
#include "run/lora_arg.h"

static const char *const forms[] = {"diffusers", "peft", "kohya", NULL};

const struct tl_option tl_convert_options[] = {
    TL_OPTION_ENUM(struct tl_convert_params, form, 'f', "format", "diffusers", forms, "the form to write"),
    TL_OPTION_STRING(struct tl_convert_params, model, 'm', "model", NULL, "FOLDER",
                     "the model that the LoRA is for; without it SD 1, SD 2 or SDXL, by the file's shapes"),
    TL_OPTION_STRING(struct tl_convert_params, part, 0, "part", NULL, "NAME",
                     "keep one component's adapters: unet, text_encoder, text_encoder_2"),
    TL_OPTION_ENUM(struct tl_convert_params, dtype, 0, "dtype", "as-is", tl_lora_dtype_choices,
                   "numbers in the file"),
    TL_OPTION_STRING(struct tl_convert_params, out, 'o', "out", NULL, "FILE_OR_FOLDER",
                     "a .safetensors file; for peft, and if you like for diffusers, a folder"),
    {0},
};

struct convert {
    const struct tl_convert_params *params;
    struct tl_arena arena;
    struct tl_lora_layouts layouts;
    struct tl_lora_file file;
    struct tl_lora_write_params write;
    const char *path; /* what is written */
};

static bool check_options(const struct tl_convert_params *p, struct tl_err *err)
{
    if (!p->out || !*p->out)
        return tl_err_set(err, TL_USAGE, "convert needs -o %s", p->form == TL_LORA_PEFT ? "FOLDER" : "FILE");
    if (!p->part) return true;
    for (int i = 0; i < TL_LORA_PARTS; i++)
        if (strcmp(p->part, tl_lora_part_names[i]) == 0) return true;
    return tl_err_set(err, TL_USAGE, "--part %.40s: unet, text_encoder and text_encoder_2 are possible",
                      p->part);
}

/* Everything that can be refused before the work is refused before the work. */
static bool choose_path(struct convert *c, struct tl_err *err)
{
    const char *out = c->params->out;
    bool named = strcmp(tl_path_extension(out), "safetensors") == 0;
    bool folder = tl_file_is_folder(out) || out[strlen(out) - 1] == '/' ||
                  (c->params->form == TL_LORA_DIFFUSERS && !named && !tl_file_exists(out));
    c->path = out;
    if (c->params->form == TL_LORA_PEFT)
        return folder || !tl_file_exists(out) ||
               tl_err_set(err, TL_OUTPUT, "%s is a file; peft's form is a folder", out);
    if (folder && c->params->form == TL_LORA_KOHYA)
        return tl_err_set(err, TL_OUTPUT, "%s is a folder; kohya's form is a file: FOLDER/NAME.safetensors",
                          out);
    if (folder) {
        c->path = tl_path_join_in(&c->arena, out, "pytorch_lora_weights.safetensors");
        if (!c->path) return tl_err_set(err, TL_FAIL, "out of memory");
    } else if (!named) {
        return tl_err_set(err, TL_USAGE, "-o %s: the file's name must end in .safetensors", out);
    }
    const char *parent = tl_path_folder_in(&c->arena, c->path);
    if (!parent) return tl_err_set(err, TL_FAIL, "out of memory");
    return tl_file_make_folder(parent, err);
}

/* Leaves one component's layers, or all. */
static bool keep_part(struct convert *c, struct tl_err *err)
{
    struct tl_lora_file *f = &c->file;
    bool seen[TL_LORA_PARTS] = {0};
    size_t kept = 0;
    for (size_t i = 0; i < f->n; i++) seen[f->layers[i].part] = true;
    if (c->params->part) {
        for (size_t i = 0; i < f->n; i++)
            if (strcmp(tl_lora_part_names[f->layers[i].part], c->params->part) == 0)
                f->layers[kept++] = f->layers[i];
        f->n = kept;
        return kept > 0 || tl_err_set(err, TL_BAD_INPUT, "%s has no adapters of the %s", c->params->lora,
                                      c->params->part);
    }
    bool several = seen[TL_LORA_UNET] + seen[TL_LORA_TEXT] + seen[TL_LORA_TEXT_2] > 1;
    if (c->params->form == TL_LORA_PEFT && several)
        return tl_err_set(err, TL_USAGE,
                          "%s has adapters of %s%s%s; a PEFT folder holds one component's: choose it with "
                          "--part, and convert once for each",
                          c->params->lora, seen[TL_LORA_UNET] ? "unet and " : "",
                          seen[TL_LORA_TEXT] ? "text_encoder" : "text_encoder_2",
                          seen[TL_LORA_TEXT] && seen[TL_LORA_TEXT_2] ? " and text_encoder_2" : "");
    return true;
}

static bool write_file(struct convert *c, struct tl_err *err)
{
    static const enum tl_st_dtype types[] = {TL_ST_F32, TL_ST_F32, TL_ST_F16, TL_ST_BF16};
    const struct tl_lora_layouts *l = &c->layouts;
    const char **targets;
    int n_targets;
    if (!tl_lora_targets(&c->file, &l->model, -1, &c->arena, &targets, &n_targets, err)) return false;
    c->write =
        (struct tl_lora_write_params){.dtype = c->params->dtype ? types[c->params->dtype] : c->file.dtype,
                                      .targets = targets,
                                      .n_targets = (size_t)n_targets,
                                      .xl = l->xl};
    switch (c->params->form) {
    case TL_LORA_DIFFUSERS:
        return tl_lora_write_diffusers(&c->file, c->path, &c->write, err);
    case TL_LORA_PEFT:
        return tl_lora_write_peft(&c->file, c->path, &c->write, err);
    default:
        return tl_lora_write_kohya(&c->file, &l->model, c->path, &c->write, err);
    }
}

static cJSON *report(const struct convert *c)
{
    cJSON *out = cJSON_CreateObject();
    size_t n[TL_LORA_PARTS] = {0};
    int low = 0, high = 0;
    double scale = c->file.layers[0].scale;
    bool one = true;
    for (size_t i = 0; i < c->file.n; i++) {
        const struct tl_lora_layer *l = &c->file.layers[i];
        n[l->part]++;
        if (low == 0 || l->rank < low) low = l->rank;
        if (l->rank > high) high = l->rank;
        one = one && l->scale == scale;
    }
    tl_listing_text(out, "out", c->path);
    tl_listing_text(out, "format", forms[c->params->form]);
    tl_listing_text(out, "for", c->layouts.name ? c->layouts.name : c->params->model);
    for (int i = 0; i < TL_LORA_PARTS; i++)
        if (n[i]) tl_listing_format(out, tl_lora_part_names[i], "%zu layers", n[i]);
    if (low == high)
        tl_listing_count(out, "rank", (uint64_t)low);
    else
        tl_listing_format(out, "rank", "%d to %d", low, high);
    if (one)
        tl_listing_number(out, "scale", scale);
    else
        tl_listing_text(out, "scale", "of each layer");
    tl_listing_text(out, "dtype", tl_st_dtype_name(c->write.dtype));
    return out;
}

char *tl_convert_lora(const struct tl_convert_params *params, struct tl_err *err)
{
    struct convert c = {.params = params};
    char *text = NULL;
    if (check_options(params, err) &&
        tl_lora_read_for(params->lora, params->model, &c.layouts, &c.file, err) && keep_part(&c, err) &&
        choose_path(&c, err) && write_file(&c, err))
        text = tl_listing_print(report(&c), "tiller.convert/1", params->json, err);
    tl_lora_file_finish(&c.file);
    tl_lora_layouts_finish(&c.layouts);
    tl_arena_finish(&c.arena);
    return text;
}
