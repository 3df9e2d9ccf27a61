/* What is said to a program: the hello, and requests with their samples as files. */
#ifndef TL_REWARDS_EXEC_TALK_H
#define TL_REWARDS_EXEC_TALK_H

#include "rewards/exec_link.h"
#include "rewards/exec_media.h"
#include "rewards/exec_protocol.h"

/* Starts the program and sends the hello. */
bool tl_exec_talk_start(struct tl_exec_link *link, const struct tl_exec_spec *spec,
                        const struct tl_exec_log *log, const struct tl_exec_media *media, struct tl_err *err);
/* Writes the samples of request `id` and sends it. The files stay, also where it fails, until
 * tl_exec_media_remove. */
bool tl_exec_talk_ask(struct tl_exec_link *link, const struct tl_exec_media *media, int64_t id,
                      const char *kind, const struct tl_reward_item *items, size_t n, struct tl_err *err);

#endif
