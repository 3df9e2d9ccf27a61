/* rewardproc/1: the messages between us and a program that scores, one JSON object a line. No processes and
 * no files here; tools/rewards/README.md tells the protocol to those who write programs. */
#ifndef TL_REWARDS_EXEC_PROTOCOL_H
#define TL_REWARDS_EXEC_PROTOCOL_H

#include <stdint.h>

#include "base/str.h"
#include "rewards/rewards.h"

enum {
    TL_EXEC_VERSION = 1,
    TL_EXEC_MOST_LINE = 1 << 20, /* bytes of a message, either way, its newline counted */
    TL_EXEC_MOST_BATCH = 4096,
    TL_EXEC_USUAL_BATCH = 16, /* where the program names none */
};

/* What a program says of itself. */
struct tl_exec_about {
    char name[128];
    bool image, audio;     /* what it takes */
    bool score, score_set; /* what it can be asked */
    bool deterministic, needs_prompt;
    size_t max_batch;
    double low, high; /* infinite where there is no limit */
};

/* Appends the line that opens the talk, with its newline as all here. */
void tl_exec_hello(struct tl_str *out);
/* The program's answer. All that follows fails with TL_PLUGIN and a text that follows "the program ...". */
bool tl_exec_read_welcome(const char *line, size_t n, struct tl_exec_about *out, struct tl_err *err);

/* Bytes that an item may take in a request, at most. */
size_t tl_exec_item_bytes(const char *folder, const struct tl_reward_item *item);
/* kind: "score", "score_set". The items' files are those of batch `id` in `folder` (exec_media.h). */
void tl_exec_request(struct tl_str *out, int64_t id, const char *kind, const char *folder,
                     const struct tl_reward_item *items, size_t n);

/* A program may refuse: then is_error, and scores are left alone. */
struct tl_exec_reply {
    bool is_error, may_retry;
    int64_t item; /* that it refuses, of the request; -1: all */
    char text[512];
};
/* The answer to request `id`, with n finite scores in order, or an error of the program's. */
bool tl_exec_read_reply(const char *line, size_t n_line, int64_t id, size_t n, double *scores,
                        struct tl_exec_reply *out, struct tl_err *err);

#endif
