/* What saving and loading of checkpoints share: the folder's names, its manifest. */
#ifndef TL_RUN_CHECKPOINT_FOLDER_H
#define TL_RUN_CHECKPOINT_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "base/arena.h"
#include "io/json.h"

enum { TL_CHECKPOINT_FORMAT = 1 };

/* "step-00001000", and back: -1 where the name is none. */
char *tl_checkpoint_name(int64_t step, char out[32]);
int64_t tl_checkpoint_name_step(const char *name);

/* Steps of the finished-looking folders in RUN/checkpoints, newest first, in the arena. A missing folder
 * gives none. */
bool tl_checkpoint_list(const char *checkpoints, struct tl_arena *arena, int64_t **out_steps, size_t *out_n,
                        struct tl_err *err);

/* Removes a folder of plain files. What cannot be removed is told to tl_log. */
bool tl_checkpoint_remove(const char *folder);
/* What a crash left unfinished in RUN/checkpoints. */
void tl_checkpoint_remove_unfinished(const char *checkpoints);

/* Makes the names in a folder durable. */
bool tl_checkpoint_sync_folder(const char *folder, struct tl_err *err);

/* manifest.json over the files of the list (names in the folder), hashed as they lie on disk. `best`: -1 for
 * none. */
bool tl_checkpoint_write_manifest(const char *folder, int64_t step, int64_t best, const char *const *files,
                                  size_t n, struct tl_err *err);

/* What the manifest of a checkpoint calls the best step, files' sizes checked: -1 where it calls none; false
 * where it is not whole. */
bool tl_checkpoint_says_best(const char *folder, int64_t *out_best);

/* Reads the manifest and checks every file's size and, with `deep`, its hash. The caller ends the result with
 * cJSON_Delete. */
cJSON *tl_checkpoint_verify(const char *folder, bool deep, int64_t *out_step, struct tl_err *err);

#endif
