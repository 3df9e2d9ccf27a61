/* For tests: what an exec reward's programs went through. */
#ifndef TL_REWARDS_REWARD_EXEC_H
#define TL_REWARDS_REWARD_EXEC_H

#include "rewards/exec_crew.h"

const struct tl_exec_crew *tl_reward_exec_crew(const struct tl_reward *reward);

#endif
