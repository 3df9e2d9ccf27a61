/* The thread that reads files for a reward while the caller scores: hashes them, decodes in workers, and
 * hands them over in order, no more than some bytes ahead. */
#ifndef TL_RUN_SCORE_READER_H
#define TL_RUN_SCORE_READER_H

#include <tiller/reward.h>

#include "io/decode_pool.h"
#include "io/modality.h"
#include "run/parcel_queue.h"

/* One file. What is not moved out is freed with it. */
struct tl_score_parcel {
    size_t i; /* of the paths */
    struct tl_image image;
    struct tl_sound sound;
    char hash[65];     /* "": not known */
    bool is_known;     /* the set needs no more than the hash: nothing was decoded */
    struct tl_err why; /* code set: it cannot be used */
};
void tl_score_parcel_free(struct tl_score_parcel *parcel);

struct tl_score_reader_params {
    struct tl_decode_pool *pool;
    enum tl_modality modality;
    const char *const *paths; /* [n] */
    size_t n;
    const struct tl_reward_set *known; /* asked what it knows; NULL: files are not hashed */
};

struct tl_score_reader;

/* All borrowed until it is ended; the pool is the thread's alone meanwhile. */
struct tl_score_reader *tl_score_reader_start(const struct tl_score_reader_params *params,
                                              struct tl_err *err);
/* As tl_parcel_queue_take. */
enum tl_parcel_taken tl_score_reader_take(struct tl_score_reader *reader, struct tl_score_parcel **out);
/* Stops the thread. False where it failed by itself (interrupted, no more workers or memory). reader may hold
 * NULL. */
bool tl_score_reader_end(struct tl_score_reader **reader, struct tl_err *err);

#endif
