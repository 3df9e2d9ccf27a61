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

/* Which one: after `step`, or between it and the next. */
struct tl_checkpoint_id {
    int64_t step;
    bool within;
};
/* Below 0: a is older; 0: the same. */
int tl_checkpoint_compare(struct tl_checkpoint_id a, struct tl_checkpoint_id b);

/* "step-00001000", "step-00001000-within", and back: false where the name is none. */
char *tl_checkpoint_name(struct tl_checkpoint_id id, char out[32]);
bool tl_checkpoint_read_name(const char *name, struct tl_checkpoint_id *out);

/* The finished-looking folders in RUN/checkpoints, newest first, in the arena. A missing folder gives none.
 */
bool tl_checkpoint_list(const char *checkpoints, struct tl_arena *arena, struct tl_checkpoint_id **out,
                        size_t *out_n, struct tl_err *err);

/* Removes a folder of plain files. What cannot be removed is told to tl_log. */
bool tl_checkpoint_remove(const char *folder);
/* What a crash left unfinished in RUN/checkpoints: half written ones go; one that was put aside (NAME.old)
 * for another that never came takes its name again. */
void tl_checkpoint_remove_unfinished(const char *checkpoints);

/* Makes the names in a folder durable. */
bool tl_checkpoint_sync_folder(const char *folder, struct tl_err *err);

/* manifest.json over the files of the list (names in the folder), hashed as they lie on disk. `best`: -1 for
 * none. */
bool tl_checkpoint_write_manifest(const char *folder, struct tl_checkpoint_id id, int64_t best,
                                  const char *const *files, size_t n, struct tl_err *err);

/* What the manifest of a checkpoint calls the best step, files' sizes checked: -1 where it calls none; false
 * where it is not whole. */
bool tl_checkpoint_says_best(const char *folder, int64_t *out_best);

/* Reads the manifest and checks every file's size and, with `deep`, its hash. The caller ends the result with
 * cJSON_Delete. */
cJSON *tl_checkpoint_verify(const char *folder, bool deep, struct tl_checkpoint_id *out_id,
                            struct tl_err *err);

#endif
