/* Samples as files that any program can read: 8-bit PNG of three channels, WAV of 32-bit floats. They lie in
 * a folder of this process alone, in memory (/dev/shm) where there is room, else where temporary files are
 * (TMPDIR, /tmp). Their names never come from prompts or file names. */
#ifndef TL_REWARDS_EXEC_MEDIA_H
#define TL_REWARDS_EXEC_MEDIA_H

#include <stdint.h>

#include "rewards/rewards.h"

struct tl_exec_media {
    char *folder; /* absolute; owns */
};

bool tl_exec_media_open(struct tl_exec_media *media, struct tl_err *err);
/* Removes the folder with all that is in it, the program's too. */
void tl_exec_media_close(struct tl_exec_media *media);

/* The file of item i of batch number `batch`. */
void tl_exec_media_name(int64_t batch, size_t i, const struct tl_reward_item *item, char out[48]);

/* Writes the batch's files; errors name the item. What was written stays until remove. */
bool tl_exec_media_write(const struct tl_exec_media *media, int64_t batch, const struct tl_reward_item *items,
                         size_t n, struct tl_err *err);
void tl_exec_media_remove(const struct tl_exec_media *media, int64_t batch, size_t n);

#endif
