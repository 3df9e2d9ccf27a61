/* A reward of single items: files come from the reader's thread, are scored in batches on the caller's, and
 * told as their mean. Of a reward of a whole set all files are one batch. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "metrics/intervals.h"
#include "metrics/stats.h"
#include "run/memory_plan.h"
#include "run/progress.h"
#include "run/score_parts.h"
#include "run/score_reader.h"

/* Files in memory at a time: a multiple of what encoders take in one run, and not too many bytes. */
enum { BATCH = 16, BATCH_VALUES = 32 * 1024 * 1024, SET_VALUES = 512 * 1024 * 1024 };

struct batch {
    struct tl_score_parcel **parcel; /* [most]; owns, as all here */
    struct tl_score_entry **entry;
    struct tl_reward_item *item;
    size_t n, most, values;
};

struct scoring {
    struct tl_score_work *work;
    struct batch fresh, known; /* apart, so that runs of an encoder are full of what it must run */
    struct tl_progress_meter meter;
    size_t n_done;
    struct tl_score_entry **entries; /* those that are read */
};

/* Notes why the entry has no score; with --strict the reason stays an error. Clears the error otherwise. */
static bool skip(struct tl_score_work *w, struct tl_score_entry *e, struct tl_err *why)
{
    if (w->params->strict) return false;
    e->skipped = tl_arena_strdup(&w->row->arena, why->text);
    if (!e->skipped) e->skipped = "out of memory";
    tl_err_clear(why);
    return true;
}

/* n entries of the batch from the first-th on. */
static bool score_some(struct tl_score_work *w, struct batch *b, size_t first, size_t n, struct tl_err *err)
{
    double *parts = tl_arena_alloc(&w->row->arena, n * w->n_parts, sizeof *parts);
    double *scores = tl_arena_alloc(&w->row->arena, n, sizeof *scores);
    if (!parts || !scores) return tl_err_set(err, TL_FAIL, "out of memory");
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

static void drop_batch(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) tl_score_parcel_free(b->parcel[i]);
    b->n = b->values = 0;
}

static bool make_batch(struct batch *b, size_t most)
{
    b->most = most;
    b->parcel = calloc(most, sizeof *b->parcel);
    b->entry = calloc(most, sizeof *b->entry);
    b->item = calloc(most, sizeof *b->item);
    return b->parcel && b->entry && b->item;
}

static void free_batch(struct batch *b)
{
    drop_batch(b);
    free(b->parcel);
    free(b->entry);
    free(b->item);
}

/* One bad file fails a batch's scoring, so then each is asked alone. */
static bool score_batch(struct scoring *s, struct batch *b, struct tl_err *err)
{
    struct tl_score_work *w = s->work;
    if (b->n == 0) return true;
    bool ok = score_some(w, b, 0, b->n, err);
    if (!ok && err->code == TL_BAD_INPUT && !w->params->strict && !w->of_set) {
        tl_err_clear(err);
        ok = score_singly(w, b, err);
    }
    s->n_done += b->n;
    drop_batch(b);
    if (ok) tl_progress_advance(&s->meter, (int64_t)s->n_done, NULL);
    return ok;
}

/* ---- what comes from the reader ---- */

/* With --strict those before it are scored first: one of them may be the first that cannot be. */
static bool refuse(struct scoring *s, const struct tl_score_parcel *p, struct tl_err *err)
{
    struct tl_err why = p->why;
    s->n_done++;
    if (skip(s->work, s->entries[p->i], &why)) return true;
    if (score_batch(s, &s->fresh, err)) *err = why;
    return false;
}

/* The parcel is the batch's from here on, and the item borrows from it. */
static void add(struct scoring *s, struct batch *b, struct tl_score_parcel *p)
{
    struct tl_score_entry *e = s->entries[p->i];
    b->entry[b->n] = e;
    b->parcel[b->n] = p;
    b->item[b->n++] = (struct tl_reward_item){.name = e->name,
                                              .prompt = e->prompt,
                                              .sha256 = *p->hash ? p->hash : NULL,
                                              .rgb = p->image.px,
                                              .width = p->image.width,
                                              .height = p->image.height,
                                              .samples = p->sound.samples,
                                              .frames = p->sound.frames,
                                              .channels = p->sound.channels,
                                              .rate = p->sound.rate};
    b->values +=
        (size_t)p->image.width * (size_t)p->image.height + p->sound.frames * (size_t)p->sound.channels;
}

/* Takes the parcel over. */
static bool receive(struct scoring *s, struct tl_score_parcel *p, struct tl_err *err)
{
    if (p->why.code) {
        bool ok = refuse(s, p, err);
        tl_score_parcel_free(p);
        return ok;
    }
    struct batch *b = p->is_known && !s->work->params->strict ? &s->known : &s->fresh;
    add(s, b, p);
    if (!s->work->of_set) return (b->n < b->most && b->values < BATCH_VALUES) || score_batch(s, b, err);
    return b->values < SET_VALUES ||
           tl_err_set(err, TL_BAD_INPUT,
                      "the files of %s are too many for a score of them all together: %d Mi "
                      "pixels or sound samples are the most",
                      s->work->folder, SET_VALUES >> 20);
}

static bool receive_all(struct scoring *s, struct tl_score_reader *reader, struct tl_err *err)
{
    for (;;) {
        struct tl_score_parcel *p;
        if (!tl_interrupt_check("scoring", err)) return false;
        enum tl_parcel_taken taken = tl_score_reader_take(reader, &p);
        if (taken == TL_PARCEL_END) return score_batch(s, &s->known, err) && score_batch(s, &s->fresh, err);
        if (taken == TL_PARCEL_TAKEN && !receive(s, p, err)) return false;
    }
}

/* Whether the entry is worth reading. With --strict the reason stays in err. */
static bool is_wanted(struct tl_score_work *w, struct tl_score_entry *e, struct tl_err *err)
{
    if (e->skipped) return false;
    if (e->prompt || !tl_reward_set_needs_prompts(w->reward)) return true;
    tl_err_set(err, TL_BAD_INPUT, "%s: no prompt is paired with it", e->path);
    skip(w, e, err);
    return false;
}

/* Reads and scores the entries, at the same time. */
static bool read_and_score(struct scoring *s, const char **paths, size_t n, struct tl_err *err)
{
    struct tl_score_work *w = s->work;
    const struct tl_score_reader_params params = {
        .pool = w->pool, .modality = w->modality, .paths = paths, .n = n, .known = w->known};
    for (size_t k = 0; k < n; k++) paths[k] = s->entries[k]->path;
    struct tl_score_reader *reader = tl_score_reader_start(&params, err);
    bool ok = reader && receive_all(s, reader, err);
    return tl_score_reader_end(&reader, ok ? err : NULL) && ok;
}

static bool score_wanted(struct scoring *s, size_t n, struct tl_err *err)
{
    struct tl_score_work *w = s->work;
    s->meter = (struct tl_progress_meter){.fn = w->job->progress,
                                          .user = w->job->user,
                                          .phase = "scoring",
                                          .unit = w->modality == TL_MODALITY_IMAGE ? "images" : "sounds",
                                          .total = (int64_t)n};
    const char **paths = calloc(n + 1, sizeof *paths);
    tl_progress_begin(&s->meter, 0);
    bool ok = (paths || tl_err_set(err, TL_FAIL, "out of memory")) && tl_interrupt_check("scoring", err) &&
              read_and_score(s, paths, n, err);
    free((void *)paths);
    if (ok) tl_progress_advance(&s->meter, (int64_t)n, NULL);
    return ok;
}

/* With --strict the first file in order that cannot be scored is the one that is told. */
static bool score_all(struct tl_score_work *w, struct tl_err *err)
{
    struct scoring *s = calloc(1, sizeof *s);
    struct tl_score_entry **entries = calloc(w->n + 1, sizeof *entries);
    struct tl_err unpaired = {0};
    bool ok = (s && entries) || tl_err_set(err, TL_FAIL, "out of memory");
    size_t n = 0;
    for (size_t i = 0; ok && !unpaired.code && i < w->n; i++)
        if (is_wanted(w, &w->entries[i], &unpaired)) entries[n++] = &w->entries[i];
    if (ok) {
        size_t most = w->of_set && n > BATCH ? n : BATCH;
        *s = (struct scoring){.work = w, .entries = entries};
        ok = (make_batch(&s->fresh, most) && make_batch(&s->known, most)) ||
             tl_err_set(err, TL_FAIL, "out of memory");
        ok = ok && score_wanted(s, n, err);
    }
    if (s) {
        free_batch(&s->fresh);
        free_batch(&s->known);
    }
    free(entries);
    free(s);
    return ok && (!unpaired.code || tl_err_set(err, unpaired.code, "%s", unpaired.text));
}

/* ---- what is told ---- */

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
           tl_err_set(err, TL_BAD_INPUT, "none of the %zu %s of %s could be scored; the first: %s", w->n,
                      w->modality == TL_MODALITY_IMAGE ? "pictures" : "sounds", w->folder, why ? why : "");
}

/* Copies what the report needs, for the folder's own memory ends with the job. A stray row's text is "FILE:
 * line N: ...". */
static bool keep_files(struct tl_score_work *w, struct tl_score_row *row)
{
    const struct tl_folder *f = &w->folder_files;
    row->items = tl_arena_alloc(&row->arena, w->n_scored, sizeof *row->items);
    if (!row->items) return false;
    for (size_t i = 0; i < w->n; i++) {
        const struct tl_score_entry *e = &w->entries[i];
        const char *name = tl_arena_strdup(&row->arena, e->name);
        const char *other = tl_arena_strdup(&row->arena, e->skipped  ? e->skipped
                                                         : e->prompt ? e->prompt
                                                                     : "");
        if (!name || !other) return false;
        if (!e->skipped)
            row->items[row->n_items++] =
                (struct tl_score_item){.file = name, .other = other, .score = e->score, .parts = e->parts};
        else if (!tl_score_row_skip(row, w->folder, name, other))
            return false;
    }
    for (size_t i = 0; i < f->n_strays; i++) {
        const char *end = strstr(f->strays[i], ": line ");
        char *file = tl_arena_strdup(&row->arena, f->strays[i]);
        const char *why = tl_arena_strdup(&row->arena, f->strays[i]);
        if (!file || !why) return false;
        if (end) file[end - f->strays[i]] = 0;
        if (!tl_score_row_skip(row, w->folder, file, why)) return false;
    }
    return true;
}

static const char *keep(struct tl_score_row *row, const char *text)
{
    return text && *text ? tl_arena_strdup(&row->arena, text) : NULL;
}

/* An ensemble's members: their own scores, unweighted. */
static bool keep_members(struct tl_score_work *w, struct tl_score_row *row, struct tl_err *err)
{
    struct tl_reward_about about;
    row->n_parts = w->n_parts;
    if (w->n_parts == 1) return true;
    row->members = tl_arena_alloc(&row->arena, w->n_parts, sizeof *row->members);
    if (!row->members) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t k = 0; k < w->n_parts; k++) {
        double sum = 0;
        if (!tl_reward_set_about(w->reward, k, &about, err)) return false;
        for (size_t i = 0; i < row->n_items; i++) sum += row->items[i].parts[k];
        row->members[k] = (struct tl_score_member){.spec = keep(row, about.spec),
                                                   .encoder = keep(row, about.encoder),
                                                   .sha256 = keep(row, about.sha256),
                                                   .flavour = keep(row, about.variant),
                                                   .value = sum / (double)row->n_items,
                                                   .low = about.low,
                                                   .high = about.high};
    }
    return true;
}

static bool keep_about(struct tl_score_work *w, struct tl_score_row *row, struct tl_err *err)
{
    struct tl_reward_about about;
    if (!tl_reward_set_about_term(w->reward, 0, &about, err)) return false;
    double low = about.low * about.weight, high = about.high * about.weight;
    row->is_reward = true;
    row->metric = about.info->name;
    row->weight = about.weight;
    row->range_low = fmin(low, high);
    row->range_high = fmax(low, high);
    row->spec = keep(row, about.spec);
    row->encoder = keep(row, about.encoder);
    row->sha256 = keep(row, about.sha256);
    row->flavour = keep(row, about.variant);
    /* torchmetrics' own: its 0 for what is negative is of the mean */
    if (row->flavour && strcmp(row->flavour, "torchmetrics") == 0) tl_score_row_clamp(row);
    if (about.settings || w->params->dtype)
        row->encoder_settings = tl_arena_printf(&row->arena, "%s%s%s%s", about.settings ? about.settings : "",
                                                about.settings && w->params->dtype ? "; " : "",
                                                w->params->dtype ? "weights in " : "",
                                                w->params->dtype ? tl_dtype_choices[w->params->dtype] : "");
    return keep_members(w, row, err);
}

static bool summarise(struct tl_score_work *w, struct tl_score_row *row, struct tl_err *err)
{
    struct tl_interval interval;
    struct tl_interval_params p = {.seed = w->job->seed, .none = w->params->no_interval || w->of_set};
    if (!keep_files(w, row)) return tl_err_set(err, TL_FAIL, "out of memory");
    double *x = calloc(row->n_items, sizeof *x);
    for (size_t i = 0; x && i < row->n_items; i++) {
        x[i] = row->items[i].score;
        row->value += x[i];
    }
    row->value /= (double)row->n_items;
    if (x && isinf(row->value)) row->value = tl_stats_mean(x, row->n_items); /* the sum overflows */
    bool ok = (x || tl_err_set(err, TL_FAIL, "out of memory")) &&
              tl_interval_mean(x, row->n_items, &p, &interval, err);
    free(x);
    if (!ok) return false;
    row->low = interval.low;
    row->high = interval.high;
    row->interval = interval.method;
    tl_score_row_draws(row, w->job->seed, interval.method);
    row->n = row->n_items;
    row->sides[row->n_sides++] = (struct tl_score_side){.path = w->folder, .n = row->n};
    return keep_about(w, row, err);
}

bool tl_score_items(const struct tl_score_params *params, const struct tl_job *job, struct tl_score_row *out,
                    struct tl_err *err)
{
    struct tl_score_work w = {.params = params, .job = job, .row = out};
    bool ok = tl_score_reward_check(params, err);
    if (ok) {
        w.folder = params->folders[0];
        ok = tl_score_reward_modality(&w, err) && tl_score_pair(&w, err);
    }
    if (ok) w.pool = tl_feature_pool_open(w.modality, params->workers, err);
    ok = ok && w.pool && (w.reward || tl_score_reward_open(&w, err)) && score_all(&w, err) &&
         check_any(&w, err) && summarise(&w, out, err);
    tl_reward_set_close(&w.reward);
    tl_feature_keep_finish(&w.keep);
    tl_decode_pool_close(&w.pool);
    tl_prompts_finish(&w.prompts);
    tl_folder_finish(&w.folder_files);
    return ok;
}
