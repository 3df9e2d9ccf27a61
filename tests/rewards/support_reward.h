/* The pictures of tests/fixtures/clip_score with what transformers says of them. */
#ifndef TL_TESTS_SUPPORT_REWARD_H
#define TL_TESTS_SUPPORT_REWARD_H

#include <tiller/reward.h>

#include "io/image.h"
#include "io/json.h"

#define SUPPORT_REWARD_MODEL TL_SOURCE_DIR "/tests/fixtures/clip_score"
enum { SUPPORT_REWARD_MOST = 8 };

struct support_reward_case {
    cJSON *json;
    size_t n;
    struct tl_image image[SUPPORT_REWARD_MOST];
    struct tl_reward_item items[SUPPORT_REWARD_MOST]; /* borrow from json and image */
    double cosine[SUPPORT_REWARD_MOST];
    double scale; /* exp(logit_scale) */
};
void support_reward_case_open(struct support_reward_case *c);
void support_reward_case_close(struct support_reward_case *c);

/* A set of one on `device`, or on a cpu of its own where that is NULL. */
struct tl_reward_set *support_reward_open(const char *spec, struct tl_device *device);
/* Opening fails with this code and a message that has this part. */
void support_reward_refused(const char *spec, enum tl_code code, const char *part);

#endif
