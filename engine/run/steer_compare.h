/* Steered particles beside plain samples of the same prompts: means over prompts, paired differences. */
#ifndef TL_RUN_STEER_COMPARE_H
#define TL_RUN_STEER_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "io/json.h"

struct tl_steer_pair { /* rewards of a prompt */
    double base;       /* mean of the plain samples: what one of them earns */
    double best_of;    /* the best of them */
    double weighted;   /* mean of the particles by their weights: what one draw of them earns */
    double best;       /* the best particle */
};

struct tl_steer_mean {
    double mean, se; /* se is NaN below two prompts */
};

struct tl_steer_comparison {
    size_t n; /* prompts */
    struct tl_steer_mean base, best_of, weighted, best;
    struct tl_steer_mean best_of_base, weighted_base, best_base,
        best_best_of; /* paired: the first less the second */
};

/* Whether a reward is what lambda wants more: the larger one; below 0 the smaller one. */
bool tl_steer_is_better(double lambda, double reward, double than);

/* Of a line of steer.jsonl and one of plain.jsonl (NULL: no pair); lines that are not such give false. */
bool tl_steer_pair_of(const cJSON *line, const cJSON *plain, double lambda, struct tl_steer_pair *out);
/* n > 0. TL_FAIL: out of memory. */
bool tl_steer_compare(const struct tl_steer_pair *pairs, size_t n, struct tl_steer_comparison *out,
                      struct tl_err *err);

#endif
