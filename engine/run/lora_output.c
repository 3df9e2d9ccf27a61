#include "run/lora_output.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "io/file.h"

/* The run's own name, for people who gather adapters in one folder. */
static void kohya_path(const char *run, const char *folder, struct tl_str *out)
{
    size_t n = strlen(run);
    while (n > 0 && run[n - 1] == '/') n--;
    size_t first = n;
    while (first > 0 && run[first - 1] != '/') first--;
    bool named = n > first && run[first] != '.';
    tl_str_clear(out);
    tl_str_printf(out, "%s/%s/%.*s.kohya.safetensors", run, folder, named ? (int)(n - first) : 6,
                  named ? run + first : "tiller");
}

/* All parts as one file; layers and matrices stay the files' own. */
static bool gather(const struct tl_lora_output *what, struct tl_lora_file *files, struct tl_lora_file *out,
                   struct tl_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < what->n_parts; i++) {
        const struct tl_lora_output_part *p = &what->parts[i];
        if (!tl_lora_file_from_store(p->store, what->model, p->part, p->scale, &files[i], err)) return false;
        n += files[i].n;
    }
    out->layers = tl_arena_alloc(&out->arena, n + 1, sizeof *out->layers);
    if (!out->layers) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < what->n_parts; i++) {
        memcpy(out->layers + out->n, files[i].layers, files[i].n * sizeof *out->layers);
        out->n += files[i].n;
    }
    return true;
}

/* Name ends rather than full names wherever they say the same: transformers 5 calls the layers of its text
 * encoder by other full names, and diffusers compares them with the config's. */
static bool choose_targets(const struct tl_lora_output *what, struct tl_lora_file *file,
                           struct tl_lora_write_params *wp, struct tl_err *err)
{
    const char **ends;
    int n;
    if (what->spec && what->n_parts == 1 && what->spec->n_targets > 0) {
        wp->targets = what->spec->targets;
        wp->n_targets = (size_t)what->spec->n_targets;
        return true;
    }
    if (!tl_lora_targets(file, what->model, -1, &file->arena, &ends, &n, err)) return false;
    wp->targets = ends;
    wp->n_targets = (size_t)n;
    return true;
}

static bool write_both(const char *run, const struct tl_lora_output *what, struct tl_lora_file *file,
                       struct tl_err *err)
{
    struct tl_str path = {0};
    struct tl_lora_write_params wp = {.dtype = what->dtype, .xl = what->xl};
    const char *folder = what->folder ? what->folder : "lora";
    tl_str_printf(&path, "%s/%s", run, folder);
    bool ok = choose_targets(what, file, &wp, err) && !path.failed && tl_file_make_folder(path.data, err);
    tl_str_append(&path, "/pytorch_lora_weights.safetensors");
    ok = ok && !path.failed && tl_lora_write_diffusers(file, path.data, &wp, err);
    kohya_path(run, folder, &path);
    ok = ok && !path.failed && tl_lora_write_kohya(file, what->model, path.data, &wp, err);
    tl_str_finish(&path);
    return ok || tl_err_set(err, TL_FAIL, "out of memory");
}

bool tl_lora_output_save(const char *run, const struct tl_lora_output *what, struct tl_err *err)
{
    struct tl_lora_file files[TL_LORA_PARTS] = {0}, all = {0};
    bool ok = (what->n_parts > 0 && what->n_parts <= TL_LORA_PARTS) ||
              tl_err_set(err, TL_FAIL, "a LoRA of %zu components cannot be written", what->n_parts);
    ok = ok && gather(what, files, &all, err) && write_both(run, what, &all, err);
    tl_lora_file_finish(&all);
    for (size_t i = 0; i < what->n_parts && i < TL_LORA_PARTS; i++) tl_lora_file_finish(&files[i]);
    return ok;
}
