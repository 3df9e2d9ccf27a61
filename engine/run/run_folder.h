// clang-format off
/* The folder of a run, the same for every long job:
 *
 *     config.json      every option after merging, written once
 *     run.json         version, command line, device, start, seeds, SHA-256 of the inputs; each resume adds
 *                      to "resumes"
 *     metrics.jsonl    one object a line (run_metrics.h)
 *     checkpoints/     step-00001000/ ... (checkpoint.h)
 *     samples/         step-00001000/ ...
 *     run.lock         held with flock while a process works here; process id, host and start inside
 *
 * The lock frees itself when its holder and the children that have its descriptors die. Readers never need it.
 * Errors: TL_BUSY for a held lock, TL_USAGE for a folder that is not what was asked for, TL_OUTPUT for what
 * cannot be written, TL_BAD_INPUT for a run.json that cannot be read. */
// clang-format on
#ifndef TL_RUN_RUN_FOLDER_H
#define TL_RUN_RUN_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "base/arena.h"
#include "base/str.h"
#include "io/json.h"

enum tl_run_mode {
    TL_RUN_NEW,    /* a folder that holds another run is refused */
    TL_RUN_RESUME, /* a folder that holds no run is refused */
    TL_RUN_AUTO,   /* resumes where there is a run, else begins one */
};

struct tl_run_folder {
    char *path;   /* owns */
    int lock;     /* file descriptor of run.lock; owns */
    bool begun;   /* a run was begun here already */
    bool resumes; /* and it has a checkpoint to go on from; else it starts over */
};

/* Makes the folder where it is missing, locks it, removes what crashed processes left unfinished. */
struct tl_run_folder *tl_run_folder_open(const char *path, enum tl_run_mode mode, struct tl_err *err);
/* Frees the lock. Takes empty ones. */
void tl_run_folder_close(struct tl_run_folder **folder);

/* Whether a run was begun in this folder. */
bool tl_run_folder_is_run(const char *path);

/* PATH/name, valid until out changes; false if out of memory. */
bool tl_run_folder_path(const struct tl_run_folder *folder, const char *name, struct tl_str *out,
                        struct tl_err *err);

/* config.json, atomically. */
bool tl_run_folder_write_config(const struct tl_run_folder *folder, const cJSON *config, struct tl_err *err);
cJSON *tl_run_folder_read_config(const struct tl_run_folder *folder, struct tl_err *err);

struct tl_run_seed {
    const char *name;
    uint64_t value;
};
struct tl_run_input {
    const char *name;   /* "prompts": what it is to the run */
    const char *path;   /* of a file, or of a folder with a model: its weights, configs, vocabularies */
    const char *sha256; /* NULL: computed here */
    bool harmless;      /* a resumed run may have another one */
};

/* A list of them that grows; {0} is an empty one. Names that come again are numbered: "reward", "reward 2".
 */
struct tl_run_inputs {
    struct tl_arena arena;
    struct tl_run_input *list;
    size_t n, size;
};
/* Copies both; a path that is NULL or "" adds nothing. */
bool tl_run_inputs_add(struct tl_run_inputs *inputs, const char *name, const char *path, struct tl_err *err);
/* The files and folders that a reward's NAME:ARG names: encoders, heads. */
bool tl_run_inputs_add_reward(struct tl_run_inputs *inputs, const char *name, const char *spec,
                              struct tl_err *err);
void tl_run_inputs_finish(struct tl_run_inputs *inputs);

struct tl_run_about {
    const char *command; /* NULL: not known */
    const char *device_name, *device_description;
    const struct tl_run_seed *seeds;
    size_t n_seeds;
    const struct tl_run_input *inputs;
    size_t n_inputs;
    int64_t step; /* of the checkpoint that is resumed from */
};

/* run.json of a new run; in one that was begun, one more entry of "resumes", and a warning (tl_log) if the
 * program's version or the device is another. An input whose hash is no longer that of the beginning is
 * refused by name (TL_BAD_INPUT); where it is harmless, warned of. Of folders, size and time of each file are
 * kept beside its hash, so that a resume reads only those that were touched. */
bool tl_run_folder_write_about(const struct tl_run_folder *folder, const struct tl_run_about *about,
                               struct tl_err *err);

/* Sets one member of run.json (what was measured at the start and must be the same after a resume: reward
 * scales). Takes over `value`, also on failure. */
bool tl_run_folder_note(const struct tl_run_folder *folder, const char *key, cJSON *value,
                        struct tl_err *err);
/* The whole run.json; the caller ends it with cJSON_Delete. */
cJSON *tl_run_folder_read_about(const struct tl_run_folder *folder, struct tl_err *err);

/* A seed as config.json and run.json have it: beyond 2^53 a string. NULL if out of memory. */
cJSON *tl_run_seed_json(uint64_t seed);

/* Makes samples/step-00001000 and gives its path. */
bool tl_run_folder_samples(const struct tl_run_folder *folder, int64_t step, struct tl_str *out_path,
                           struct tl_err *err);

#endif
