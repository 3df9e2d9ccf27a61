/* A reward's graph fragment over two pictures: scores, gradients, and finite differences in double. */
#ifndef TL_TESTS_SUPPORT_GRADIENT_H
#define TL_TESTS_SUPPORT_GRADIENT_H

#include "rewards/rewards.h"
#include "rewards/support_reward.h"

/* Twice the kit's wide picture, with the prompts of itself and of another. */
enum { SUPPORT_HEIGHT = 40, SUPPORT_WIDTH = 64, SUPPORT_PICTURES = 2 };
enum { SUPPORT_PIXELS = SUPPORT_HEIGHT * SUPPORT_WIDTH * 3 };

struct support_gradient {
    struct tl_exec *exec;
    struct tl_device *device;
    struct tl_reward_set *set;
    double pictures[SUPPORT_PICTURES * SUPPORT_PIXELS]; /* 0 to 1 */
    double gradient[SUPPORT_PICTURES * SUPPORT_PIXELS]; /* of scores[0] - 2 scores[1] */
};

/* "cpu"; "f64", the oracle, where differences are exact enough; "vulkan", where there is one: else false. */
bool support_gradient_open(struct support_gradient *q, const struct support_reward_case *kit,
                           const char *spec, const char *device);
void support_gradient_close(struct support_gradient *q);
void support_gradient_run(struct support_gradient *q, double scores[SUPPORT_PICTURES]);

/* The gradient at some pixels of both pictures is the slope of the scores, to 1e-6. */
void support_gradient_check(const struct support_reward_case *kit, const char *spec);

/* The same scores and gradient on a Vulkan device, if there is one. */
void support_gradient_check_vulkan(const struct support_reward_case *kit, const char *spec);

#endif
