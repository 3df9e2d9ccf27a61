#include "run/feature_pipe.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "base/checked.h"
#include "run/file_content.h"
#include "run/parcel_queue.h"

/* Files that are looked up in the cache before the missing ones are decoded together. */
enum { CHUNK = 64, QUEUE_BYTES = 64 << 20 };

void tl_feature_files_finish(struct tl_feature_file *files, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(files[i].skipped);
        free(files[i].rows);
        files[i].skipped = NULL;
        files[i].rows = NULL;
    }
}

struct tl_decode_pool *tl_feature_pool_open(enum tl_modality modality, int n_workers, struct tl_err *err)
{
    struct tl_decode_params params = {.n_workers = n_workers};
    if (modality == TL_MODALITY_AUDIO) params.most_samples = TL_SOUND_USUAL_SAMPLES;
    return tl_decode_pool_open(&params, err);
}

/* ---- the reader's thread ---- */

/* What goes to the device's thread: the windows of one file. */
struct parcel {
    size_t file;
    struct tl_encoder_windows windows; /* owns */
};

static void drop(void *user)
{
    struct parcel *p = user;
    tl_encoder_windows_finish(&p->windows);
    free(p);
}

struct reader {
    const struct tl_feature_pipe *pipe;
    struct tl_feature_file *files;
    size_t n;
    struct tl_parcel_queue queue;
    struct tl_file_content *contents; /* [n] */
    atomic_size_t n_done;             /* files that need nothing more, of both threads */
    size_t jobs[CHUNK];               /* files that are being decoded */
    bool stopped;
    struct tl_err err;
};

/* Notes why; with --strict the reason stays the reader's error. */
static bool skip(struct reader *r, size_t i, const struct tl_err *why)
{
    if (r->pipe->strict) {
        r->err = *why;
        return false;
    }
    r->files[i].skipped = strdup(why->text);
    r->n_done++;
    return r->files[i].skipped || tl_err_set(&r->err, TL_FAIL, "out of memory");
}

/* Takes the windows over. */
static bool post(struct reader *r, size_t i, struct tl_encoder_windows *w)
{
    size_t bytes = w->n * w->floats * sizeof *w->x;
    struct parcel *p = malloc(sizeof *p);
    if (p)
        *p = (struct parcel){i, *w};
    else
        tl_encoder_windows_finish(w);
    return (p && tl_parcel_queue_put(&r->queue, p, bytes)) ||
           tl_err_set(&r->err, TL_FAIL, "out of memory"); /* or the other side has its own error */
}

/* Takes one decoded file's windows to the queue. */
static bool prepare(struct reader *r, size_t i, const struct tl_encoder_item *item)
{
    struct tl_err why = {0};
    struct tl_encoder_windows windows;
    tl_file_content_check(&r->contents[i], r->files[i].path);
    if (!tl_encoder_prepare(r->pipe->encoder, item, &windows, &why)) {
        if (why.code == TL_BAD_INPUT) return skip(r, i, &why);
        r->err = why;
        return false;
    }
    return post(r, i, &windows);
}

static bool take_image(void *user, size_t k, struct tl_image *image, const struct tl_err *error)
{
    struct reader *r = user;
    size_t i = r->jobs[k];
    struct tl_encoder_item item = {.name = r->files[i].path, .image = image};
    bool ok = image ? prepare(r, i, &item) : skip(r, i, error);
    r->stopped |= !ok;
    return ok;
}

static bool take_sound(void *user, size_t k, struct tl_sound *sound, const struct tl_err *error)
{
    struct reader *r = user;
    size_t i = r->jobs[k];
    struct tl_encoder_item item = {.name = r->files[i].path, .sound = sound};
    bool ok = sound ? prepare(r, i, &item) : skip(r, i, error);
    r->stopped |= !ok;
    return ok;
}

static bool decode(struct reader *r, size_t n)
{
    struct tl_decode_job jobs[CHUNK];
    const char *paths[CHUNK];
    for (size_t k = 0; k < n; k++) {
        paths[k] = r->files[r->jobs[k]].path;
        jobs[k] = (struct tl_decode_job){.path = paths[k], .kind = TL_DECODE_PIXELS};
    }
    if (n == 0) return true;
    bool ok = tl_encoder_about(r->pipe->encoder)->cls->modality == TL_MODALITY_IMAGE
                  ? tl_decode_pool_run(r->pipe->pool, jobs, n, take_image, r, &r->err)
                  : tl_decode_pool_run_sounds(r->pipe->pool, paths, n, take_sound, r, &r->err);
    return ok && !r->stopped;
}

/* True where there is nothing to decode; the reader's error where the job ends. */
static bool is_settled(struct reader *r, size_t i)
{
    struct tl_feature_file *f = &r->files[i];
    struct tl_err why = {0};
    if (f->trouble) {
        tl_err_set(&why, TL_BAD_INPUT, "%s", f->trouble);
        skip(r, i, &why);
        return true;
    }
    if (!r->pipe->cache) return false;
    struct tl_file_content *c = &r->contents[i];
    const bool sounds = tl_encoder_about(r->pipe->encoder)->cls->modality == TL_MODALITY_AUDIO;
    if (!tl_file_content_read(c, f->path, tl_decode_pool_most_bytes(sounds), r->pipe->phase, &r->err))
        return false; /* decoding will say why, or find it well */
    if (!tl_feature_cache_find(r->pipe->cache, c->hash, &f->rows, &f->n)) return false;
    r->n_done++;
    return true;
}

static bool read_all(struct reader *r)
{
    for (size_t i = 0; i < r->n;) {
        size_t n = 0;
        for (; i < r->n && n < CHUNK; i++) {
            if (!tl_interrupt_check(r->pipe->phase, &r->err)) return false;
            if (!is_settled(r, i)) r->jobs[n++] = i;
            if (r->err.code) return false;
        }
        if (!decode(r, n)) return false;
    }
    return true;
}

static void *reader_main(void *user)
{
    struct reader *r = user;
    read_all(r);
    tl_parcel_queue_end(&r->queue);
    return NULL;
}

/* ---- the device's thread ---- */

struct runner {
    struct reader *reader;
    size_t dim, batch;
    size_t n, floats; /* windows gathered, and their size */
    float *x, *out;   /* [batch][floats], [batch][dim] */
    struct owner {
        size_t file, window;
    } * owners;   /* [batch] */
    size_t *left; /* [files]: windows without rows */
    struct tl_progress_meter meter;
};

static bool no_memory(struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "out of memory for embeddings");
}

/* Names the file where the network gave something that is not finite. */
static bool name_culprit(const struct runner *r, struct tl_err *err)
{
    for (size_t b = 0; err->code == TL_NUMERIC && b < r->n; b++)
        for (size_t k = 0; k < r->dim; k++)
            if (!isfinite(r->out[b * r->dim + k]))
                return tl_err_add(err, "%s", r->reader->files[r->owners[b].file].path);
    return false;
}

/* Runs what was gathered and gives the rows to their files. */
static bool flush(struct runner *r, struct tl_err *err)
{
    struct tl_feature_file *files = r->reader->files;
    if (r->n == 0) return true;
    if (!tl_interrupt_check(r->reader->pipe->phase, err)) return false;
    if (!tl_encoder_run(r->reader->pipe->encoder, r->x, r->n, r->floats, r->out, err))
        return name_culprit(r, err);
    for (size_t b = 0; b < r->n; b++) {
        size_t i = r->owners[b].file;
        memcpy(files[i].rows + r->owners[b].window * r->dim, r->out + b * r->dim, r->dim * sizeof *r->out);
        if (--r->left[i]) continue;
        tl_feature_cache_add(r->reader->pipe->cache, r->reader->contents[i].hash, files[i].rows, files[i].n);
        r->reader->n_done++;
    }
    r->n = 0;
    tl_progress_advance(&r->meter, (int64_t)r->reader->n_done, NULL);
    return true;
}

/* Room for windows of another size. */
static bool resize(struct runner *r, size_t floats, struct tl_err *err)
{
    size_t n;
    free(r->x);
    r->floats = floats;
    r->x = tl_checked_mul(r->batch, floats, &n) ? calloc(n, sizeof *r->x) : NULL;
    return r->x || no_memory(err);
}

static bool gather(struct runner *r, size_t file, const struct tl_encoder_windows *w, struct tl_err *err)
{
    struct tl_feature_file *f = &r->reader->files[file];
    size_t n;
    if (w->n == 0 || w->floats == 0) return tl_err_set(err, TL_FAIL, "%s: no window was prepared", f->path);
    f->rows = tl_checked_mul(w->n, r->dim, &n) ? calloc(n, sizeof *f->rows) : NULL;
    if (!f->rows) return no_memory(err);
    f->n = r->left[file] = w->n;
    if (w->floats != r->floats && !(flush(r, err) && resize(r, w->floats, err))) return false;
    for (size_t k = 0; k < w->n; k++) {
        memcpy(r->x + r->n * r->floats, w->x + k * w->floats, w->floats * sizeof *w->x);
        r->owners[r->n++] = (struct owner){file, k};
        if (r->n == r->batch && !flush(r, err)) return false;
    }
    return true;
}

static bool run_all(struct runner *r, struct tl_err *err)
{
    for (;;) {
        void *taken = NULL;
        if (!tl_interrupt_check(r->reader->pipe->phase, err)) return false;
        enum tl_parcel_taken what = tl_parcel_queue_take(&r->reader->queue, &taken);
        if (what == TL_PARCEL_END) return flush(r, err);
        if (what == TL_PARCEL_NOTHING) {
            tl_progress_advance(&r->meter, (int64_t)r->reader->n_done, NULL);
            continue;
        }
        struct parcel *p = taken;
        bool ok = gather(r, p->file, &p->windows, err);
        drop(p);
        if (!ok) return false;
    }
}

static bool start(struct runner *r, struct tl_err *err)
{
    struct reader *reader = r->reader;
    reader->contents = calloc(reader->n + 1, sizeof *reader->contents);
    r->out = calloc(r->batch * r->dim, sizeof *r->out);
    r->owners = calloc(r->batch, sizeof *r->owners);
    r->left = calloc(reader->n + 1, sizeof *r->left);
    return (reader->contents && r->out && r->owners && r->left) || no_memory(err);
}

static bool run_both(struct runner *r, struct tl_err *err)
{
    struct reader *reader = r->reader;
    pthread_t thread;
    if (pthread_create(&thread, NULL, reader_main, reader) != 0)
        return tl_err_set(err, TL_FAIL, "cannot start a thread that reads files");
    bool ok = run_all(r, err);
    tl_parcel_queue_stop(&reader->queue);
    pthread_join(thread, NULL);
    if (ok && reader->err.code) {
        if (err) *err = reader->err;
        return false;
    }
    if (ok) tl_progress_advance(&r->meter, (int64_t)reader->n, NULL);
    return ok;
}

bool tl_feature_pipe_run(const struct tl_feature_pipe *pipe, struct tl_feature_file *files, size_t n,
                         struct tl_err *err)
{
    const struct tl_encoder_about *about = tl_encoder_about(pipe->encoder);
    struct tl_err own = {0};
    struct reader reader = {.pipe = pipe, .files = files, .n = n};
    struct runner r = {.reader = &reader,
                       .dim = about->dim,
                       .batch = pipe->batch    ? pipe->batch
                                : about->batch ? about->batch
                                               : 1,
                       .meter = {.fn = pipe->progress,
                                 .user = pipe->user,
                                 .phase = pipe->phase,
                                 .unit = about->cls->modality == TL_MODALITY_IMAGE ? "images" : "sounds",
                                 .total = (int64_t)n}};
    if (!err) err = &own;
    tl_parcel_queue_init(&reader.queue, QUEUE_BYTES, drop);
    tl_progress_begin(&r.meter, 0);
    bool ok = start(&r, err) && run_both(&r, err);
    tl_parcel_queue_finish(&reader.queue);
    free(reader.contents);
    free(r.x);
    free(r.out);
    free(r.owners);
    free(r.left);
    return ok;
}
