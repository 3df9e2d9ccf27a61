#include <string.h>

#include "io/file.h"
#include "run/score_parts.h"

/* n files and m prompts: n / m files that follow one another have the same. */
static bool pair_in_order(struct tl_score_work *w, struct tl_err *err)
{
    size_t m = w->prompts.n;
    if (w->n % m)
        return tl_err_set(
            err, TL_USAGE,
            "%s has %zu prompts and %s %zu files: give a prompt a file, or the same number of files for each "
            "prompt",
            w->params->prompts, m, w->folder, w->n);
    for (size_t i = 0; i < w->n; i++) w->entries[i].prompt = w->prompts.items[i / (w->n / m)].text;
    return true;
}

bool tl_score_pair(struct tl_score_work *w, struct tl_err *err)
{
    const struct tl_folder *f = &w->folder_files;
    enum tl_folder_captions captions = w->params->prompts ? TL_FOLDER_NO_CAPTIONS : TL_FOLDER_CAPTIONS_FOUND;
    if (!tl_folder_open_any(w->folder, w->modality, captions, &w->folder_files, err)) return false;
    if (w->params->strict && f->n_strays) return tl_err_set(err, TL_BAD_INPUT, "%s", f->strays[0]);
    w->n = f->n;
    w->entries = tl_arena_alloc(&w->row->arena, w->n, sizeof *w->entries);
    if (!w->entries) return tl_err_set(err, TL_FAIL, "out of memory for %zu files", w->n);
    for (size_t i = 0; i < w->n; i++) {
        const struct tl_folder_item *item = &f->items[i];
        if (w->params->strict && item->trouble) return tl_err_set(err, TL_BAD_INPUT, "%s", item->trouble);
        w->entries[i] = (struct tl_score_entry){
            .path = item->path, .name = item->name, .prompt = item->caption, .skipped = item->trouble};
    }
    if (!w->params->prompts) return true;
    return tl_prompts_read(w->params->prompts, &w->prompts, err) && pair_in_order(w, err);
}
