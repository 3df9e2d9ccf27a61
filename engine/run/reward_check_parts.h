/* What the files of `tiller reward check` share: reward_check_job.c (the checks) and reward_check_talk.c (one
 * program, asked and waited for). */
#ifndef TL_RUN_REWARD_CHECK_PARTS_H
#define TL_RUN_REWARD_CHECK_PARTS_H

#include "rewards/exec_log.h"
#include "rewards/exec_talk.h"

/* A program under examination. Unlike a reward's, it is asked once and never again. */
struct tl_check_talk {
    struct tl_exec_spec spec;
    struct tl_exec_media media;
    struct tl_exec_log log;
    struct tl_exec_link link;
    struct tl_exec_about about; /* of the last welcome */
    int64_t last_id;
};

/* Finds the program and makes a place for samples; starts nothing. */
bool tl_check_talk_open(struct tl_check_talk *talk, const char *arg, struct tl_err *err);
void tl_check_talk_close(struct tl_check_talk *talk);

/* Starts the program, unless it runs and is welcomed. TL_PLUGIN where it misbehaves, as all here. */
bool tl_check_talk_start(struct tl_check_talk *talk, struct tl_err *err);
/* Sends a request and takes the answer: scores [n], or [1] of "score_set". A program that breaks the protocol
 * is ended. */
bool tl_check_talk_ask(struct tl_check_talk *talk, const char *kind, const struct tl_reward_item *items,
                       size_t n, double *scores, struct tl_exec_reply *out, struct tl_err *err);
/* Closes its input and waits for its end. */
bool tl_check_talk_hang_up(struct tl_check_talk *talk, double seconds, struct tl_err *err);

#endif
