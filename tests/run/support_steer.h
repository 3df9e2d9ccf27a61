/* Steered runs as the program starts them, on the small pipeline: a folder with two.txt and three.txt,
 * prompts of scenes. */
#ifndef TL_TESTS_RUN_SUPPORT_STEER_H
#define TL_TESTS_RUN_SUPPORT_STEER_H

#include <tiller/steer.h>

#include "io/json.h"

struct support_steer {
    const char *out;         /* in the folder of the tests */
    const char *const *more; /* "name=value", ended by NULL; later ones win */
    bool resume, json;
    uint64_t seed; /* 0: 5 */
    tl_progress_fn progress;
    void *user;
};

/* Group setup; *state is the folder's path. */
int support_steer_setup(void **state);

/* The code that the program would exit with. *out_text (NULL: dropped) is the caller's. 4 steps, 3 particles,
 * three.txt, the CLIP score with a large lambda, a step scored in each unless `more` says otherwise. */
enum tl_code support_steer(const struct support_steer *run, char **out_text, struct tl_err *err);
void support_steer_ok(const char *out, const char *const *more);
void support_steer_fails(const char *out, const char *const *more, enum tl_code code, const char *says);

/* FOLDER/out/name, valid for some calls. */
const char *support_steer_path(const char *out, const char *name);
/* steer.json of a run; the caller ends it. */
cJSON *support_steer_json(const char *out);
/* Its line of group g; a number of an object; number i of a list. */
const cJSON *support_steer_group(const cJSON *json, size_t g);
double support_steer_number(const cJSON *object, const char *key);
double support_steer_at(const cJSON *object, const char *key, size_t i);
/* Both runs left the same: steer.jsonl, metadata, and n pictures to the byte. */
void support_steer_same(const char *a, const char *b, size_t n);

#endif
