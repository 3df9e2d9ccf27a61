/* Several rewards combined into one by more than a sum: HOW:REWARD+REWARD[+...].
 *
 * mean, min and median of the members' scores, and mean-std or mean-Kstd, which is lower where the members
 * disagree (K times the deviation over the members, that of numpy.std, below their mean). The set opens the
 * members as parts and standardises their scores before they are combined. */
#ifndef TL_REWARDS_REWARD_ENSEMBLE_H
#define TL_REWARDS_REWARD_ENSEMBLE_H

#include "rewards/rewards.h"

struct tl_combination {
    enum { TL_COMBINE_MEAN, TL_COMBINE_MIN, TL_COMBINE_MEDIAN, TL_COMBINE_MEAN_STD } how;
    double k;       /* of mean-std */
    char *name;     /* HOW as it was written; owns, as all here */
    char **members; /* NAME[:ARG] each */
    size_t n;
};

/* Members are told apart at a '+' that a name of `classes` follows, so folders may have '+' in their names.
 */
bool tl_combination_parse(const char *arg, const struct tl_reward_class *const *classes,
                          struct tl_combination *out, struct tl_err *err);
void tl_combination_finish(struct tl_combination *c);

/* Of n scores, at most TL_COMBINE_MOST. */
enum { TL_COMBINE_MOST = 64 };
double tl_combination_of(const struct tl_combination *c, const double *x, size_t n);
/* out [n]: d tl_combination_of / d x[i]. Of equal members the earlier counts as the lower. */
void tl_combination_slopes(const struct tl_combination *c, const double *x, size_t n, double *out);
/* Limits of the combination from the members'. */
void tl_combination_range(const struct tl_combination *c, const double *low, const double *high, size_t n,
                          double *out_low, double *out_high);

#endif
