#include <string.h>

#include "io/file.h"
#include "run/score_parts.h"

/* n pictures and m prompts: n / m pictures that follow one another have the same. */
static bool pair_in_order(struct tl_score_work *w, struct tl_err *err)
{
    size_t m = w->prompts.n;
    if (w->n % m)
        return tl_err_set(
            err, TL_USAGE,
            "%s has %zu prompts and %s %zu pictures: give a prompt a picture, or the same number "
            "of pictures for each prompt",
            w->params->prompts, m, w->params->folder, w->n);
    for (size_t i = 0; i < w->n; i++) w->entries[i].prompt = w->prompts.items[i / (w->n / m)].text;
    return true;
}

bool tl_score_pair(struct tl_score_work *w, struct tl_err *err)
{
    if (!tl_file_is_folder(w->params->folder))
        return tl_err_set(err, TL_BAD_INPUT, "%s is no folder", w->params->folder);
    bool strict = w->params->strict;
    if (!(strict ? tl_folder_scan : tl_folder_read)(w->params->folder, &w->folder, err)) return false;
    w->n = w->folder.n;
    w->entries = tl_arena_alloc(&w->arena, w->n, sizeof *w->entries);
    if (!w->entries) return tl_err_set(err, TL_FAIL, "out of memory for %zu pictures", w->n);
    for (size_t i = 0; i < w->n; i++) {
        const struct tl_folder_item *item = &w->folder.items[i];
        w->entries[i] = (struct tl_score_entry){
            .path = item->path, .name = item->name, .prompt = item->caption, .skipped = item->trouble};
    }
    if (!w->params->prompts) return true;
    return tl_prompts_read(w->params->prompts, &w->prompts, err) && pair_in_order(w, err);
}
