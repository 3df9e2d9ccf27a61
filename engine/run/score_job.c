#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "base/str.h"
#include "io/file.h"
#include "io/image.h"
#include "run/memory_plan.h"
#include "run/progress.h"
#include "run/score_parts.h"

/* Pictures in memory at a time: a multiple of what encoders take in one run, and not too many bytes. */
enum { BATCH = 16, BATCH_PIXELS = 32 * 1024 * 1024 };

const struct tl_option tl_score_options[] = {
    TL_OPTION_STRING(
        struct tl_score_params, encoder, 0, "encoder", NULL, "FOLDER",
        "model folder of a reward that needs one (clip: a CLIPModel with its tokenizer; aesthetic: the "
        "CLIP model of its head)"),
    TL_OPTION_STRING(struct tl_score_params, flavour, 0, "flavour", NULL, "NAME",
                     "clip: cosine (the default), clipscore, torchmetrics or logit"),
    TL_OPTION_STRING(struct tl_score_params, prompts, 0, "prompts", NULL, "FILE",
                     "prompts in the order of the pictures' names, instead of the folder's own captions"),
    TL_OPTION_STRING(struct tl_score_params, csv, 0, "csv", NULL, "FILE",
                     "writes file, prompt and score of each picture"),
    TL_OPTION_ENUM(struct tl_score_params, dtype, 0, "dtype", "f32", tl_dtype_choices,
                   "what an encoder's weights are kept in; everything is computed in f32"),
    TL_OPTION_BOOL(struct tl_score_params, strict, 0, "strict", NULL,
                   "fails at the first picture that cannot be scored, instead of skipping it"),
    {0},
};

/* ---- opening ---- */

static const struct tl_reward_info *info_of(const char *reward)
{
    size_t n = strcspn(reward, ":@");
    const struct tl_reward_info *info;
    for (size_t i = 0; (info = tl_reward_at(i)) != NULL; i++)
        if (strlen(info->name) == n && strncmp(info->name, reward, n) == 0) return info;
    return NULL;
}

/* Whether ARG says the encoder already. */
static bool names_encoder(const char *reward, const struct tl_reward_info *info)
{
    return strstr(reward, info->encoder_key ? ",encoder=" : ":") != NULL;
}

static bool check_usage(const struct tl_score_params *p, const struct tl_reward_info *info,
                        struct tl_err *err)
{
    if (!info) return true; /* opening it names what there is */
    bool named = names_encoder(p->reward, info);
    if (info->kind == TL_REWARD_OF_SET)
        return tl_err_set(err, TL_USAGE, "reward %s has no score for a single picture", info->name);
    if (p->encoder && !info->needs_encoder)
        return tl_err_set(err, TL_USAGE, "reward %s has no --encoder", info->name);
    if (p->flavour && !info->has_flavours)
        return tl_err_set(err, TL_USAGE, "reward %s has no --flavour", info->name);
    if (p->encoder && named)
        return tl_err_set(err, TL_USAGE, "'%s' names its encoder already: leave out --encoder", p->reward);
    if (p->encoder && info->encoder_key && !strchr(p->reward, ':'))
        return tl_err_set(err, TL_USAGE, "%s needs more than an encoder: write %s:%s", info->name, info->name,
                          info->argument);
    if (info->needs_encoder && !p->encoder && !named)
        return tl_err_set(err, TL_USAGE, "%s needs an encoder: give --encoder FOLDER, or write %s:%s",
                          info->name, info->name, info->argument);
    return true;
}

/* NAME[:ENCODER][,flavour=NAME], or NAME:ARG,encoder=ENCODER. The weight of 1 keeps an '@' of the folder's
 * name a part of the name. */
static const char *spec_of(struct tl_score_work *w, const struct tl_reward_info *info, struct tl_err *err)
{
    const struct tl_score_params *p = w->params;
    if (!p->encoder && !p->flavour) return p->reward;
    const char *before = info && info->encoder_key ? ",encoder=" : ":";
    const char *spec = tl_arena_printf(&w->arena, "%s%s%s%s%s@1", p->reward, p->encoder ? before : "",
                                       p->encoder ? p->encoder : "", p->flavour ? ",flavour=" : "",
                                       p->flavour ? p->flavour : "");
    if (!spec) tl_err_set(err, TL_FAIL, "out of memory");
    return spec;
}

static bool open_reward(struct tl_score_work *w, struct tl_err *err)
{
    const struct tl_reward_info *info = info_of(w->params->reward);
    if (!check_usage(w->params, info, err)) return false;
    const char *spec = spec_of(w, info, err);
    if (!spec) return false;
    struct tl_reward_set_params params = {.specs = &spec,
                                          .n_specs = 1,
                                          .raw = true,
                                          .device_name = w->job->device,
                                          .threads = w->job->threads,
                                          .dtype = tl_dtype_choices[w->params->dtype]};
    w->reward = tl_reward_set_open(&params, err);
    if (w->reward) w->n_parts = tl_reward_set_count(w->reward);
    return w->reward != NULL;
}

/* What can be refused before the work is refused before the work. */
static bool check_csv(struct tl_score_work *w, struct tl_err *err)
{
    const char *csv = w->params->csv, *folder = csv ? tl_path_folder_in(&w->arena, csv) : NULL;
    if (!csv) return true;
    if (!folder) return tl_err_set(err, TL_FAIL, "out of memory");
    if (!*csv || tl_file_is_folder(csv)) return tl_err_set(err, TL_OUTPUT, "--csv '%s' is no file", csv);
    return tl_file_is_folder(folder) || tl_err_set(err, TL_OUTPUT, "%s: there is no folder %s", csv, folder);
}

/* ---- scoring ---- */

struct batch {
    struct tl_score_entry *entry[BATCH];
    struct tl_image image[BATCH];
    struct tl_reward_item item[BATCH];
    size_t n, pixels;
};

/* Notes why the entry has no score; with --strict the reason stays an error. Clears the error otherwise. */
static bool skip(struct tl_score_work *w, struct tl_score_entry *e, struct tl_err *why)
{
    if (w->params->strict) return false;
    e->skipped = tl_arena_strdup(&w->arena, why->text);
    if (!e->skipped) e->skipped = "out of memory";
    tl_err_clear(why);
    return true;
}

/* n entries of the batch from the first-th on. */
static bool score_some(struct tl_score_work *w, struct batch *b, size_t first, size_t n, struct tl_err *err)
{
    double scores[BATCH];
    double *parts = tl_arena_alloc(&w->arena, n * w->n_parts, sizeof *parts);
    if (!parts) return tl_err_set(err, TL_FAIL, "out of memory");
    if (!tl_reward_set_score(w->reward, &b->item[first], n, scores, parts, err)) return false;
    for (size_t i = 0; i < n; i++) {
        b->entry[first + i]->score = scores[i];
        b->entry[first + i]->parts = parts + i * w->n_parts;
    }
    return true;
}

static bool score_singly(struct tl_score_work *w, struct batch *b, struct tl_err *err)
{
    for (size_t i = 0; i < b->n; i++) {
        if (score_some(w, b, i, 1, err)) continue;
        if (err->code != TL_BAD_INPUT || !skip(w, b->entry[i], err)) return false;
    }
    return true;
}

/* One bad picture fails a batch's scoring, so then each is asked alone. */
static bool score_batch(struct tl_score_work *w, struct batch *b, struct tl_err *err)
{
    bool ok = b->n == 0 || score_some(w, b, 0, b->n, err);
    if (!ok && err->code == TL_BAD_INPUT && !w->params->strict) {
        tl_err_clear(err);
        ok = score_singly(w, b, err);
    }
    for (size_t i = 0; i < b->n; i++) tl_image_finish(&b->image[i]);
    b->n = b->pixels = 0;
    return ok;
}

/* Reads a picture into the batch, or skips it. */
static bool take(struct tl_score_work *w, struct batch *b, struct tl_score_entry *e, struct tl_err *err)
{
    struct tl_image *image = &b->image[b->n];
    if (e->skipped) return true;
    if (!e->prompt && tl_reward_set_needs_prompts(w->reward)) {
        tl_err_set(err, TL_BAD_INPUT, "%s: no prompt is paired with it", e->path);
        return skip(w, e, err);
    }
    if (!tl_image_load(e->path, image, err)) return skip(w, e, err);
    b->entry[b->n] = e;
    b->item[b->n++] = (struct tl_reward_item){.name = e->name,
                                              .prompt = e->prompt,
                                              .rgb = image->px,
                                              .width = image->width,
                                              .height = image->height};
    b->pixels += (size_t)image->width * (size_t)image->height;
    return true;
}

static bool score_all(struct tl_score_work *w, struct tl_err *err)
{
    struct batch b = {0};
    struct tl_progress_meter meter = {.fn = w->job->progress,
                                      .user = w->job->user,
                                      .phase = "scoring",
                                      .unit = "images",
                                      .total = (int64_t)w->n};
    bool ok = true;
    tl_progress_begin(&meter, 0);
    for (size_t i = 0; ok && i < w->n; i++) {
        ok = tl_interrupt_check("scoring", err) && take(w, &b, &w->entries[i], err);
        if (!ok || (b.n < BATCH && b.pixels < BATCH_PIXELS)) continue;
        ok = score_batch(w, &b, err);
        tl_progress_advance(&meter, (int64_t)i + 1, NULL);
    }
    if (ok) {
        ok = score_batch(w, &b, err);
        tl_progress_advance(&meter, (int64_t)w->n, NULL);
    }
    for (size_t i = 0; i < b.n; i++) tl_image_finish(&b.image[i]);
    return ok;
}

static bool check_any(struct tl_score_work *w, struct tl_err *err)
{
    const char *why = NULL;
    for (size_t i = 0; i < w->n; i++) {
        if (!w->entries[i].skipped)
            w->n_scored++;
        else if (!why)
            why = w->entries[i].skipped;
    }
    return w->n_scored ||
           tl_err_set(err, TL_BAD_INPUT, "none of the %zu pictures of %s could be scored; the first: %s",
                      w->n, w->params->folder, why ? why : "");
}

char *tl_score_folder(const struct tl_score_params *params, const struct tl_job *job, bool *out_whole,
                      struct tl_err *err)
{
    struct tl_score_work w = {.params = params, .job = job};
    struct tl_err own = {0};
    char *text = NULL;
    if (!err) err = &own; /* skipping reads it */
    bool ok = check_csv(&w, err) && tl_score_pair(&w, err) && open_reward(&w, err) && score_all(&w, err) &&
              check_any(&w, err);
    if (ok) text = tl_score_report(&w, err);
    if (text && params->csv && !tl_score_write_csv(&w, err)) {
        free(text);
        text = NULL;
    }
    *out_whole = w.n_scored == w.n && w.folder.n_strays == 0;
    tl_reward_set_close(&w.reward);
    tl_prompts_finish(&w.prompts);
    tl_folder_finish(&w.folder);
    tl_arena_finish(&w.arena);
    return text;
}
