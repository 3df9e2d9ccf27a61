/* What the files of a run's folder share. */
#ifndef TL_RUN_RUN_FOLDER_INNER_H
#define TL_RUN_RUN_FOLDER_INNER_H

#include "run/run_folder.h"

/* "2026-01-31T12:00:00Z" */
const char *tl_run_now_text(char out[32]);

/* FOLDER/name, atomically. */
bool tl_run_folder_write_json(const struct tl_run_folder *folder, const char *name, const cJSON *value,
                              struct tl_err *err);

/* Adds a member and takes it over; false, with nothing leaked, where either is missing. */
bool tl_run_json_add(cJSON *object, const char *key, cJSON *value);
bool tl_run_json_add_text(cJSON *object, const char *key, const char *text); /* NULL: null */

/* ---- run_inputs.c ---- */
/* run.json's "inputs"; `before`: what it had of a run that was begun, or NULL. Files of folders whose size
 * and time are those of `before` are not read again. The caller ends it with cJSON_Delete. */
cJSON *tl_run_inputs_json(const struct tl_run_about *about, const cJSON *before, struct tl_err *err);
/* Whether `now`, of the same inputs, is what the run began with. */
bool tl_run_inputs_check(const char *folder, const struct tl_run_about *about, const cJSON *before,
                         const cJSON *now, struct tl_err *err);
/* After that: into `before` what it lacks of `now`, and the files' present times. False: out of memory. */
bool tl_run_inputs_renew(cJSON *before, const cJSON *now);

#endif
