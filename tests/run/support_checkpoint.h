/* Small checkpoints whose every byte follows from their step. */
#ifndef TL_TESTS_RUN_SUPPORT_CHECKPOINT_H
#define TL_TESTS_RUN_SUPPORT_CHECKPOINT_H

#include "run/checkpoint.h"

/* Two tensors, 192 elements with gaps: z.weight at 0, a.bias at 128. Stores "lora" and "lora_m", blobs
 * "order" (300 bytes) and "empty". */
extern const struct tl_store_layout support_checkpoint_layout;
/* "lora" of that step; "lora_m" is that of -step. */
void support_checkpoint_fill(float *flat, int64_t step);

struct support_saving {
    int keep;
    bool best, within;
    bool (*fault)(void *user, int change, const char *what);
    void *user;
    float *flat; /* NULL: as support_checkpoint_fill says */
};
bool support_checkpoint_save_with(const char *run, int64_t step, const struct support_saving *how,
                                  struct tl_err *err);
/* Must succeed. */
void support_checkpoint_save(const char *run, int64_t step);

/* Opens the newest and checks every byte of it against its step; returns the step, or -1 where there is none.
 */
int64_t support_checkpoint_newest(const char *run);
/* Names in RUN/checkpoints, joined; valid until the next call. */
const char *support_checkpoint_names(const char *run);
/* Makes folder/name. */
const char *support_checkpoint_run(const char *folder, const char *name);

#endif
