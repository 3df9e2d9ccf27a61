/* Checkpoints: everything that a run needs to go on as if it had never stopped.
 *
 *     RUN/checkpoints/step-00001000/          or step-00001000-within/
 *         NAME.safetensors   a store each, F32 in kernel order, bit for bit
 *         NAME.bin           host bytes
 *         state.json         the caller's object
 *         manifest.json      {"format":1, "version", "step", "within", "best",
 *                             "files":[{"name","bytes","sha256"}]}
 *
 * A checkpoint is written as step-N.tmp, every file and the folder synced, renamed, the parent synced; only
 * then older ones are pruned. So at every moment, a crash or a full disk included, the newest finished one is
 * whole. "best" is the step that the caller called the best so far; it stands in each manifest, so that it
 * changes together with the checkpoint that says so. One with a number that is not finite is refused and
 * nothing is pruned. The caller holds the run's lock (run_folder.h); one writer at a time.
 *
 * "within" is a state between step N and the next, of a stop in the middle: newer than step N, older than
 * N + 1, beside step N and not in its place. It is never the best, does not count among those that are kept,
 * and goes with the next save: what a stop leaves is gone once the run has passed it.
 *
 * Errors: TL_NUMERIC for a value that is not finite, TL_OUTPUT for writing, TL_BAD_INPUT for reading. */
#ifndef TL_RUN_CHECKPOINT_H
#define TL_RUN_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "io/json.h"
#include "tensor/store.h"

/* ---- saving ---- */

/* Names become file names: letters, digits, '_', '-', '.', at most 64, each once. All pointers are borrowed.
 */
struct tl_checkpoint_store {
    const char *name;
    struct tl_store *store; /* read when its turn comes, so host memory holds one store at a time; or */
    const struct tl_store_layout *layout;
    const float *data; /* a flat block on the host, layout->n_elements long */
};
struct tl_checkpoint_blob {
    const char *name;
    const void *data;
    size_t n;
};
struct tl_checkpoint_params {
    const struct tl_checkpoint_store *stores;
    size_t n_stores;
    const struct tl_checkpoint_blob *blobs;
    size_t n_blobs;
    const cJSON *state; /* an object; NULL, as after one that could not be made, fails */
    int keep;           /* so many whole checkpoints stay, this one included; 0: 2 */
    bool within;        /* the state is between `step` and the next */
    bool best; /* the best so far: it stays, besides those, until another step is saved as the best; not with
                  `within` */
    /* For tests: called before each change of the disk with the number of the change (from 0) and its name.
     * false: the change fails, as on a full disk; of "exchange": the system cannot do it. NULL: none. */
    bool (*fault)(void *user, int change, const char *what);
    void *fault_user;
};

/* Checkpoints beyond `step` are of a course that was left (a resume from an older one): they go with the
 * pruned. */
bool tl_checkpoint_save(const char *run_folder, int64_t step, const struct tl_checkpoint_params *params,
                        struct tl_err *err);

/* ---- loading ---- */

struct tl_checkpoint;

/* The newest whose manifest verifies. Skipped ones are told to tl_log with the reason. Fails where none is
 * left. */
struct tl_checkpoint *tl_checkpoint_open_newest(const char *run_folder, struct tl_err *err);
/* The best one of those that can be used: what the newest whole manifest calls the best, else an older one's.
 * TL_BAD_INPUT where none was called so, or it is damaged. */
struct tl_checkpoint *tl_checkpoint_open_best(const char *run_folder, struct tl_err *err);
/* Its step by the newest whole manifest, without a look at its bytes; -1: none. */
int64_t tl_checkpoint_best_step(const char *run_folder);
/* That one, verified. */
struct tl_checkpoint *tl_checkpoint_open(const char *checkpoint_folder, struct tl_err *err);
void tl_checkpoint_close(struct tl_checkpoint **checkpoint);

int64_t tl_checkpoint_step(const struct tl_checkpoint *checkpoint);
bool tl_checkpoint_is_within(const struct tl_checkpoint *checkpoint);
const char *tl_checkpoint_path(const struct tl_checkpoint *checkpoint);
const cJSON *tl_checkpoint_state(const struct tl_checkpoint *checkpoint);
bool tl_checkpoint_has_store(const struct tl_checkpoint *checkpoint, const char *name);
bool tl_checkpoint_has_blob(const struct tl_checkpoint *checkpoint, const char *name);

/* Into a store, or a flat block on the host (gaps become zero). Names and shapes must be those of the layout.
 */
bool tl_checkpoint_read_store(const struct tl_checkpoint *checkpoint, const char *name,
                              struct tl_store *store, struct tl_err *err);
bool tl_checkpoint_read_flat(const struct tl_checkpoint *checkpoint, const char *name,
                             const struct tl_store_layout *layout, float *out, struct tl_err *err);
/* The caller frees; a NUL stands behind the bytes. */
uint8_t *tl_checkpoint_read_blob(const struct tl_checkpoint *checkpoint, const char *name, size_t *out_n,
                                 struct tl_err *err);

#endif
