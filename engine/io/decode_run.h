/* One run of the pool: what decode_run.c (the order of work) and decode_take.c (what came back) share. */
#ifndef TL_IO_DECODE_RUN_H
#define TL_IO_DECODE_RUN_H

#include "io/decode_slots.h"

/* Samples of a sound that any worker may decode beside the others: three minutes of stereo at 44.1 kHz. */
enum { DECODE_SMALL_SAMPLES = 1 << 24 };

struct decode_result {
    bool is_done;
    bool is_large;  /* a sound that a worker gave back, until it is decoded while nobody else holds one */
    bool is_out;    /* the large one is with a worker */
    size_t n_bytes; /* of the pixels or samples */
    struct tl_image image;
    struct tl_sound sound;
    struct tl_err err; /* code TL_OK: the image or the sound */
};

/* Pictures where take_image is set, else sounds. */
struct decode_run {
    struct tl_decode_pool *pool;
    const struct tl_decode_job *jobs;
    const char *const *sounds;
    tl_decode_take *take_image;
    tl_decode_take_sound *take_sound;
    void *user;
    size_t n;
    size_t next_out, next_take; /* jobs [next_take, next_out) are with workers or in the ring */
    struct decode_result *ring;
    size_t n_ring;
    size_t held; /* bytes of the results in the ring */
};

struct decode_result *decode_result_of(struct decode_run *run, size_t job);

/* The job's result is an error of TL_BAD_INPUT that names the file. */
void decode_fail_job(struct decode_run *run, size_t job, const char *reason);

/* Takes what the slot's worker has left in the mapping into the job's result. *is_honest is false for an
 * answer that an honest worker does not give. Fails with TL_FAIL for want of memory for a picture; a sound's
 * want of memory is that sound's own. */
bool decode_take_answer(struct decode_run *run, int slot, const struct decode_reply *reply, bool *is_honest,
                        struct tl_err *err);

/* Gives the pages of the slot's mapping back to the system. Its worker must not be writing. */
void decode_give_back(const struct decode_run *run, int slot);

#endif
