/* The scale of a reward set as JSON, as run.json keeps it for resumes. */
#ifndef TL_RUN_REWARD_STANDARDS_H
#define TL_RUN_REWARD_STANDARDS_H

#include <tiller/reward.h>

#include "io/json.h"

/* [[mean, deviation], ...] of a set that has one; the caller ends it. NULL: out of memory. */
cJSON *tl_reward_standards_json(const struct tl_reward_set *set);
/* Sets what was kept; false where that does not fit the set. */
bool tl_reward_standards_recall(struct tl_reward_set *set, const cJSON *list, struct tl_err *err);

#endif
