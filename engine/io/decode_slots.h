/* The caller's side of the workers: what decode_pool.c (life) and decode_run.c (the order of work) share. */
#ifndef TL_IO_DECODE_SLOTS_H
#define TL_IO_DECODE_SLOTS_H

#include "io/decode_inner.h"

struct decode_slot {
    int socket;     /* -1: no worker */
    bool is_busy;   /* has an order */
    bool is_silent; /* its socket has ended: its death is on the way */
    bool is_late;   /* ended by us for taking too long; what it still says is not heard */
    bool is_fresh;  /* has had no picture before this one */
    bool is_second; /* this is the picture's second try */
    size_t job;
    double spent_s, most_s;
};

struct tl_decode_pool {
    struct decode_plan plan;
    pid_t keeper;
    int control; /* -1: the keeper is gone */
    struct decode_slot slots[DECODE_MOST_WORKERS];
};

/* Starts a worker in an empty slot. */
bool decode_slot_start(struct tl_decode_pool *pool, int slot, struct tl_err *err);

/* Asks the keeper to end it; its death comes as any other. */
bool decode_slot_kill(struct tl_decode_pool *pool, int slot, struct tl_err *err);

/* The next death; waits unless flags has MSG_DONTWAIT. False without an error: none yet. */
bool decode_slot_death(struct tl_decode_pool *pool, int flags, struct decode_death *out, struct tl_err *err);

#endif
