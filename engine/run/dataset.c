#include "run/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "io/decode_pool.h"
#include "run/dataset_buckets.h"

enum { MOST_LINES = 20 }; /* of what is skipped, then a count */

/* A data set while it is opened. Arrays have an element per item of the folder. */
struct opening {
    struct tl_dataset *d;
    const struct tl_dataset_params *p;
    struct tl_bucket_rule rule;
    struct tl_size *size; /* what the picture is brought to; width 0: it is out, or not known yet */
    bool *usable;
    struct tl_decode_job *jobs; /* [n_jobs], the items in job_item */
    int *job_item, n_jobs;
    size_t used;  /* bytes of d->px */
    double told;  /* when the progress was told last */
    int n_told;   /* lines of what is skipped, the pictures and rows that are only counted too */
    bool refused; /* strict: an item was unusable, err says which */
    struct tl_err *err;
};

static bool no_memory(struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "out of memory for the list of pictures");
}

/* A picture or a row that is left out. False with `strict`. */
static bool skip(struct opening *o, const char *why)
{
    if (o->p->strict) {
        o->refused = true;
        return tl_err_set(o->err, TL_BAD_INPUT, "%s", why);
    }
    if (o->n_told++ < MOST_LINES) tl_log(TL_LOG_WARN, "skipped: %s", why);
    return true;
}

static bool skip_item(struct opening *o, int item, const char *why)
{
    o->usable[item] = false;
    o->d->n_skipped++;
    return skip(o, why);
}

/* What the folder alone says. */
static bool check_items(struct opening *o)
{
    const struct tl_folder *f = &o->d->folder;
    size_t n_never = 0;
    for (size_t i = 0; i < f->n_strays; i++)
        if (!skip(o, f->strays[i])) return false;
    for (size_t i = 0; i < f->n; i++) {
        const struct tl_folder_item *item = &f->items[i];
        char why[512];
        snprintf(why, sizeof why, "%.480s: no caption", item->path);
        o->usable[i] = item->repeats > 0;
        n_never += item->repeats == 0;
        if (!o->usable[i]) continue;
        if (item->trouble && !skip_item(o, (int)i, item->trouble)) return false;
        if (!item->trouble && !item->caption && o->p->need_captions && !skip_item(o, (int)i, why))
            return false;
    }
    if (n_never) tl_log(TL_LOG_INFO, "%zu pictures in folders called 0_NAME are left out", n_never);
    return true;
}

/* ---- decoding ---- */

static void list_jobs(struct opening *o, enum tl_decode_kind kind)
{
    const struct tl_folder *f = &o->d->folder;
    o->n_jobs = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (!o->usable[i]) continue;
        o->job_item[o->n_jobs] = (int)i;
        o->jobs[o->n_jobs++] = (struct tl_decode_job){
            .path = f->items[i].path, .kind = kind, .width = o->size[i].width, .height = o->size[i].height};
    }
}

static void report(struct opening *o, size_t done)
{
    const struct tl_job *job = o->p->job;
    double now = tl_clock_s();
    if (!job || !job->progress || now - o->told < 0.3) return;
    o->told = now;
    job->progress(job->user, &(struct tl_progress){.phase = "reading",
                                                   .done = (int64_t)done,
                                                   .total = o->n_jobs,
                                                   .unit = "pictures",
                                                   .seconds_left = -1,
                                                   .health = ""});
}

static bool run_jobs(struct opening *o, tl_decode_take *take)
{
    return tl_decode_pool_run(o->d->decoders, o->jobs, (size_t)o->n_jobs, take, o, o->err) && !o->refused;
}

/* Of the first picture that can be read; those before it are told later. */
static bool take_first(void *user, size_t i, struct tl_image *image, const struct tl_err *error)
{
    struct opening *o = user;
    (void)i;
    if (error) return true;
    o->d->width = image->width;
    o->d->height = image->height;
    return false;
}

static bool take_size(void *user, size_t i, struct tl_image *image, const struct tl_err *error)
{
    struct opening *o = user;
    int item = o->job_item[i];
    char why[512];
    if (error) return skip_item(o, item, error->text);
    o->size[item] = tl_bucket_rule_pick(&o->rule, image->width, image->height);
    if (o->size[item].width) return true;
    snprintf(why, sizeof why, "%.400s: %dx%d pixels are less than a bucket's step of %d",
             o->d->folder.items[item].path, image->width, image->height, o->rule.step);
    return skip_item(o, item, why);
}

static bool find_sizes(struct opening *o)
{
    struct tl_dataset *d = o->d;
    bool bucket = o->p->fit == TL_FIT_BUCKET;
    list_jobs(o, bucket ? TL_DECODE_SIZE : TL_DECODE_PIXELS);
    if (bucket) return run_jobs(o, take_size);
    if (d->width == 0 && !run_jobs(o, take_first)) return false;
    for (size_t i = 0; i < d->folder.n; i++) o->size[i] = (struct tl_size){d->width, d->height};
    return true;
}

/* The picture is good: it is the next of the set. */
static bool take_picture(void *user, size_t i, struct tl_image *image, const struct tl_err *error)
{
    struct opening *o = user;
    struct tl_dataset *d = o->d;
    int item = o->job_item[i];
    report(o, i);
    if (error) return skip_item(o, item, error->text);
    size_t bytes = (size_t)image->width * (size_t)image->height * 3;
    d->item[d->n] = item;
    d->start[d->n++] = o->used;
    if (d->px) memcpy(d->px + o->used, image->px, bytes);
    if (d->px) o->used += bytes;
    return true;
}

static bool decode(struct opening *o)
{
    struct tl_dataset *d = o->d;
    size_t all = 0;
    list_jobs(o, TL_DECODE_PIXELS);
    for (int i = 0; i < o->n_jobs && o->p->keep_pixels; i++) {
        size_t bytes = (size_t)o->jobs[i].width * (size_t)o->jobs[i].height * 3;
        if (!tl_checked_add(all, bytes, &all)) return no_memory(o->err);
    }
    if (all && !(d->px = malloc(all)))
        return tl_err_set(o->err, TL_FAIL, "out of memory for %d pictures, %.1f GB", o->n_jobs,
                          (double)all * 1e-9);
    return o->n_jobs == 0 || run_jobs(o, take_picture);
}

/* ---- what a set says of its pictures ---- */

static bool is_held_out(const char *name, double share)
{
    struct tl_sha256 s;
    char hex[65], head[14] = {0};
    if (share <= 0) return false;
    tl_sha256_init(&s);
    tl_sha256_add(&s, name, strlen(name));
    tl_sha256_hex(&s, hex);
    memcpy(head, hex, 13); /* 52 bits: a double holds them */
    return (double)strtoull(head, NULL, 16) < share * 4503599627370496.0;
}

static int by_size(const void *a, const void *b)
{
    const struct tl_bucket *x = a, *y = b;
    return x->width != y->width ? x->width - y->width : x->height - y->height;
}

/* Distinct sizes of the pictures, sorted, then who is in which. */
static bool fill_buckets(struct opening *o)
{
    struct tl_dataset *d = o->d;
    for (int i = 0; i < d->n; i++) {
        const struct tl_size *s = &o->size[d->item[i]];
        d->buckets[i] = (struct tl_bucket){.width = s->width, .height = s->height};
    }
    qsort(d->buckets, (size_t)d->n, sizeof *d->buckets, by_size);
    for (int i = 0; i < d->n; i++)
        if (i == 0 || by_size(&d->buckets[i], &d->buckets[d->n_buckets - 1]) != 0)
            d->buckets[d->n_buckets++] = d->buckets[i];
    for (int i = 0; i < d->n; i++) {
        const struct tl_size *s = &o->size[d->item[i]];
        struct tl_bucket key = {.width = s->width, .height = s->height},
                         *b = bsearch(&key, d->buckets, (size_t)d->n_buckets, sizeof key, by_size);
        d->bucket[i] = (int)(b - d->buckets);
        b->n++;
    }
    for (int k = 0; k < d->n_buckets; k++) {
        struct tl_bucket *b = &d->buckets[k];
        b->pictures = malloc((size_t)b->n * sizeof *b->pictures);
        if (!b->pictures) return no_memory(o->err);
        b->n = 0;
    }
    for (int i = 0; i < d->n; i++) {
        struct tl_bucket *b = &d->buckets[d->bucket[i]];
        b->pictures[b->n++] = i;
    }
    return true;
}

static bool choose_held_out(struct opening *o)
{
    struct tl_dataset *d = o->d;
    for (int i = 0; i < d->n; i++) {
        d->held_out[i] = is_held_out(d->folder.items[d->item[i]].name, o->p->val_share);
        d->n_held_out += d->held_out[i];
    }
    if (o->p->val_share > 0 && d->n_held_out == 0)
        tl_log(TL_LOG_WARN, "a share of %g of %d pictures holds none out: there is no validation",
               o->p->val_share, d->n);
    return d->n > d->n_held_out ||
           tl_err_set(o->err, TL_USAGE,
                      "a share of %g of %d pictures holds all out: none is left to train on", o->p->val_share,
                      d->n);
}

/* ---- open ---- */

static bool allocate(struct opening *o)
{
    struct tl_dataset *d = o->d;
    size_t n = d->folder.n;
    o->size = calloc(n, sizeof *o->size);
    o->usable = calloc(n, sizeof *o->usable);
    o->jobs = calloc(n, sizeof *o->jobs);
    o->job_item = calloc(n, sizeof *o->job_item);
    d->item = calloc(n, sizeof *d->item);
    d->bucket = calloc(n, sizeof *d->bucket);
    d->held_out = calloc(n, sizeof *d->held_out);
    d->start = calloc(n, sizeof *d->start);
    d->buckets = calloc(n, sizeof *d->buckets);
    return (o->size && o->usable && o->jobs && o->job_item && d->item && d->bucket && d->held_out &&
            d->start && d->buckets) ||
           no_memory(o->err);
}

static bool open_set(struct opening *o)
{
    struct tl_dataset *d = o->d;
    if (o->p->fit == TL_FIT_BUCKET && !tl_bucket_rule_init(&o->rule, o->p, o->err)) return false;
    if (!tl_folder_read(o->p->folder, &d->folder, o->err) || !allocate(o) || !check_items(o)) return false;
    d->decoders = tl_decode_pool_open(NULL, o->err);
    if (!d->decoders || !find_sizes(o) || !decode(o)) return false;
    if (o->n_told > MOST_LINES)
        tl_log(TL_LOG_WARN, "skipped: %d more, %d in all", o->n_told - MOST_LINES, o->n_told);
    if (d->n == 0)
        return tl_err_set(
            o->err, TL_BAD_INPUT, "%s: none of %zu pictures can be used%s", o->p->folder, d->folder.n,
            o->p->need_captions && d->folder.n_captions == 0
                ? ": none has a caption (a .txt or .caption beside it, a row of metadata.jsonl or "
                  "metadata.csv, or a folder N_name round it, inside this one)"
                : "");
    if (d->px) tl_dataset_rest(d);
    return fill_buckets(o) && choose_held_out(o);
}

bool tl_dataset_open(const struct tl_dataset_params *params, struct tl_dataset *d, struct tl_err *err)
{
    *d = (struct tl_dataset){.params = *params};
    if (params->fit == TL_FIT_CROP) {
        d->width = params->width;
        d->height = params->height;
    }
    struct opening o = {.d = d, .p = params, .told = tl_clock_s(), .err = err};
    bool ok = open_set(&o);
    tl_bucket_rule_finish(&o.rule);
    free(o.size);
    free(o.usable);
    free(o.jobs);
    free(o.job_item);
    if (!ok) tl_dataset_finish(d);
    return ok;
}

bool tl_dataset_load(const char *folder, int width, int height, bool need_captions, bool strict,
                     struct tl_dataset *d, struct tl_err *err)
{
    return tl_dataset_open(&(struct tl_dataset_params){.folder = folder,
                                                       .width = width,
                                                       .height = height,
                                                       .need_captions = need_captions,
                                                       .strict = strict,
                                                       .keep_pixels = true},
                           d, err);
}

void tl_dataset_rest(struct tl_dataset *d)
{
    tl_decode_pool_close(&d->decoders);
}

void tl_dataset_finish(struct tl_dataset *d)
{
    tl_dataset_rest(d);
    tl_folder_finish(&d->folder);
    for (int k = 0; k < d->n_buckets; k++) free(d->buckets[k].pictures);
    free(d->buckets);
    free(d->item);
    free(d->bucket);
    free(d->held_out);
    free(d->px);
    free(d->start);
    *d = (struct tl_dataset){0};
}
