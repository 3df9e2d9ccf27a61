/* Reward `jpeg`: how well a picture compresses, minus the kilobytes (of 1000 bytes) of its JPEG file at
 * quality 95; `jpeg:incompressible`: plus. Black et al. 2023 (DDPO), whose code saves with Pillow: the sizes
 * are Pillow's, to the byte. It grows with the picture's area, so scores compare at one size only.
 *
 * No prompt and no model: a reward whose effect can be seen at once, and that is easily overdone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rewards/jpeg_size.h"
#include "rewards/rewards.h"

enum { QUALITY = 95 };

struct jpeg {
    struct tl_reward base;
    bool incompressible;
};

static struct tl_reward *jpeg_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    (void)env;
    bool incompressible = arg && strcmp(arg, "incompressible") == 0;
    if (arg && *arg && !incompressible && strcmp(arg, "compressible") != 0) {
        tl_err_set(err, TL_USAGE,
                   "'%s' is no variant; there are jpeg (or jpeg:compressible: small files are good) and "
                   "jpeg:incompressible",
                   arg);
        return NULL;
    }
    struct jpeg *j = calloc(1, sizeof *j);
    if (!j) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    *j = (struct jpeg){{&tl_reward_jpeg}, incompressible};
    return &j->base;
}

static void jpeg_close(struct tl_reward *reward)
{
    free(reward);
}

static bool jpeg_score(struct tl_reward *reward, const struct tl_reward_item *items, size_t n, double *out,
                       struct tl_err *err)
{
    double sign = ((const struct jpeg *)reward)->incompressible ? 1 : -1;
    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        if (!tl_jpeg_size(items[i].rgb, items[i].width, items[i].height, QUALITY, &bytes, err))
            return tl_reward_item_err(items, i, err);
        out[i] = sign * (double)bytes / 1000;
    }
    return true;
}

static bool jpeg_about(const struct tl_reward *reward, struct tl_reward_about *out, struct tl_err *err)
{
    bool incompressible = ((const struct jpeg *)reward)->incompressible;
    (void)err;
    out->variant = incompressible ? "incompressible" : "compressible";
    out->low = incompressible ? 0 : -INFINITY;
    out->high = incompressible ? INFINITY : 0;
    return true;
}

const struct tl_reward_class tl_reward_jpeg = {
    .info = {.name = "jpeg",
             .help =
                 "minus the kilobytes of the picture's JPEG file at quality 95; jpeg:incompressible: plus",
             .argument = "incompressible",
             .modality = "image",
             .kind = TL_REWARD_PER_ITEM,
             .deterministic = true,
             .low = -INFINITY,
             .high = 0},
    .open = jpeg_open,
    .close = jpeg_close,
    .score = jpeg_score,
    .about = jpeg_about,
};
