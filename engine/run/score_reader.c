#include "run/score_reader.h"

#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "run/file_content.h"

/* Files that are hashed before those that must be are decoded together. */
enum { CHUNK = 64, QUEUE_BYTES = 64 << 20 };

struct tl_score_reader {
    struct tl_score_reader_params p;
    pthread_t thread;
    struct tl_parcel_queue queue;
    size_t first, at, n; /* of the chunk: its files, those that are handed over */
    struct tl_file_content contents[CHUNK];
    bool is_known[CHUNK];
    size_t jobs[CHUNK]; /* files of the chunk that are being decoded */
    struct tl_err err;
};

void tl_score_parcel_free(struct tl_score_parcel *parcel)
{
    if (!parcel) return;
    tl_image_finish(&parcel->image);
    tl_sound_finish(&parcel->sound);
    free(parcel);
}

static void drop(void *parcel)
{
    tl_score_parcel_free(parcel);
}

static struct tl_score_parcel *create(struct tl_score_reader *r, size_t k)
{
    struct tl_score_parcel *p = calloc(1, sizeof *p);
    if (!p) {
        tl_err_set(&r->err, TL_FAIL, "out of memory");
        return NULL;
    }
    p->i = r->first + k;
    p->is_known = r->is_known[k];
    memcpy(p->hash, r->contents[k].hash, sizeof p->hash);
    return p;
}

/* Takes the parcel over. */
static bool put(struct tl_score_reader *r, struct tl_score_parcel *p)
{
    size_t bytes = sizeof *p;
    if (p->image.px) bytes += (size_t)p->image.width * (size_t)p->image.height * 3;
    if (p->sound.samples) bytes += p->sound.frames * (size_t)p->sound.channels * sizeof(float);
    return tl_parcel_queue_put(&r->queue, p, bytes) || tl_err_set(&r->err, TL_FAIL, "out of memory");
}

/* Those that need no decoding, up to file k of the chunk, so that all come in order. */
static bool put_known(struct tl_score_reader *r, size_t k)
{
    for (; r->at < k; r->at++) {
        struct tl_score_parcel *p = create(r, r->at);
        if (!p || !put(r, p)) return false;
    }
    return true;
}

/* File j of those that are decoded, moved out of *image or *sound; with neither it has an error. */
static bool take(struct tl_score_reader *r, size_t j, struct tl_image *image, struct tl_sound *sound,
                 const struct tl_err *error)
{
    size_t k = r->jobs[j];
    if (!put_known(r, k)) return false;
    r->at = k + 1;
    tl_file_content_check(&r->contents[k], r->p.paths[r->first + k]);
    struct tl_score_parcel *p = create(r, k);
    if (!p) return false;
    if (image) {
        p->image = *image;
        *image = (struct tl_image){0};
    } else if (sound) {
        p->sound = *sound;
        *sound = (struct tl_sound){0};
    } else {
        p->why = *error;
    }
    return put(r, p);
}

static bool take_image(void *user, size_t j, struct tl_image *image, const struct tl_err *error)
{
    return take(user, j, image, NULL, error);
}

static bool take_sound(void *user, size_t j, struct tl_sound *sound, const struct tl_err *error)
{
    return take(user, j, NULL, sound, error);
}

static bool decode(struct tl_score_reader *r, size_t n)
{
    struct tl_decode_job jobs[CHUNK];
    const char *paths[CHUNK];
    for (size_t j = 0; j < n; j++) {
        paths[j] = r->p.paths[r->first + r->jobs[j]];
        jobs[j] = (struct tl_decode_job){.path = paths[j], .kind = TL_DECODE_PIXELS};
    }
    bool ok = n == 0 || (r->p.modality == TL_MODALITY_IMAGE
                             ? tl_decode_pool_run(r->p.pool, jobs, n, take_image, r, &r->err)
                             : tl_decode_pool_run_sounds(r->p.pool, paths, n, take_sound, r, &r->err));
    /* a taker that fails ends the run, which is true all the same */
    return ok && (n == 0 || r->at > r->jobs[n - 1]) && put_known(r, r->n);
}

static bool read_chunk(struct tl_score_reader *r)
{
    size_t n = 0;
    int64_t most = tl_decode_pool_most_bytes(r->p.modality == TL_MODALITY_AUDIO);
    memset(r->contents, 0, sizeof r->contents);
    memset(r->is_known, 0, sizeof r->is_known);
    r->at = 0;
    for (size_t k = 0; k < r->n; k++) {
        struct tl_file_content *c = &r->contents[k];
        if (!tl_interrupt_check("scoring", &r->err)) return false;
        if (r->p.known && tl_file_content_read(c, r->p.paths[r->first + k], most, "scoring", &r->err))
            r->is_known[k] = tl_reward_set_knows(r->p.known, c->hash);
        if (r->err.code) return false;
        if (!r->is_known[k]) r->jobs[n++] = k;
    }
    return decode(r, n);
}

static void *reader_main(void *user)
{
    struct tl_score_reader *r = user;
    for (bool ok = true; ok && r->first < r->p.n; r->first += r->n) {
        r->n = r->p.n - r->first < CHUNK ? r->p.n - r->first : CHUNK;
        ok = read_chunk(r);
    }
    tl_parcel_queue_end(&r->queue);
    return NULL;
}

struct tl_score_reader *tl_score_reader_start(const struct tl_score_reader_params *params, struct tl_err *err)
{
    struct tl_score_reader *r = calloc(1, sizeof *r);
    if (!r) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    r->p = *params;
    tl_parcel_queue_init(&r->queue, QUEUE_BYTES, drop);
    if (pthread_create(&r->thread, NULL, reader_main, r) == 0) return r;
    tl_parcel_queue_finish(&r->queue);
    free(r);
    tl_err_set(err, TL_FAIL, "cannot start a thread that reads files");
    return NULL;
}

enum tl_parcel_taken tl_score_reader_take(struct tl_score_reader *r, struct tl_score_parcel **out)
{
    void *parcel = NULL;
    enum tl_parcel_taken taken = tl_parcel_queue_take(&r->queue, &parcel);
    *out = parcel;
    return taken;
}

bool tl_score_reader_end(struct tl_score_reader **reader, struct tl_err *err)
{
    struct tl_score_reader *r = *reader;
    *reader = NULL;
    if (!r) return true;
    tl_parcel_queue_stop(&r->queue);
    pthread_join(r->thread, NULL);
    bool ok = !r->err.code;
    if (!ok && err) *err = r->err;
    tl_parcel_queue_finish(&r->queue);
    free(r);
    return ok;
}
