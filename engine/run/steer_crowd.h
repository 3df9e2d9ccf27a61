/* Groups of particles on their way together: what steer_walk, steer_weigh and steer_line share. */
#ifndef TL_RUN_STEER_CROWD_H
#define TL_RUN_STEER_CROWD_H

#include "run/steer_parts.h"
#include "sample/walk.h"

struct tl_steer_group {
    struct tl_smc smc;
    cJSON *events; /* owns; moves into the line */
};

struct tl_steer_crowd {
    struct tl_steer *s;
    size_t first, n_groups, n; /* first group; groups; samples */
    struct tl_sample_batch batch;
    struct tl_walk walk;
    struct tl_steer_group *groups;     /* [n_groups] */
    struct tl_lineage *lineages, *old; /* [n]; old: scratch */
    size_t *ancestors;                 /* [n] of the walk */
    double *rewards, *log_g;           /* [n] */
    double *parts;                     /* [n][parts], at the end */
    uint8_t *rgb;                      /* [n][height][width][3], at the end */
    /* guided runs: */
    const char **prompts; /* [n] */
    float *shift;         /* [n][dim]: gradients, then what moves the means */
    double *ratios;       /* [n]: log p - log tau since the group's last event */
};

/* ---- steer_weigh.c ---- */
/* A scored step after its prediction: rewards, weights, who takes whose place. has_rewards: they stand in
 * c->rewards already. */
bool tl_steer_score_step(struct tl_steer_crowd *c, bool has_rewards, struct tl_err *err);
/* Final rewards, in c->rewards, into the weights of group g. */
bool tl_steer_weigh_end(struct tl_steer_crowd *c, size_t g, struct tl_err *err);
/* log p - log tau [n] of a guided step into the weights of all. */
bool tl_steer_weigh_ratios(struct tl_steer_crowd *c, const double *ratios, struct tl_err *err);

/* ---- steer_line.c ---- */
/* Ancestors are those of c->ancestors. */
struct tl_steer_event {
    const double *rewards, *log_weights; /* [k] */
    double ess;
    bool resampled;
};

bool tl_steer_note_event(struct tl_steer_crowd *crowd, size_t g, const struct tl_steer_event *event,
                         struct tl_err *err);
/* Group g's line of steer.jsonl, with the weights as they stand; the caller ends it. */
cJSON *tl_steer_line(struct tl_steer_crowd *crowd, size_t g, struct tl_err *err);

#endif
