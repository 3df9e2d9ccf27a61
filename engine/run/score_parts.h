/* The parts of the job `score`: what is scored, and what is told of it. */
#ifndef TL_RUN_SCORE_PARTS_H
#define TL_RUN_SCORE_PARTS_H

#include <tiller/reward.h>
#include <tiller/score.h>

#include "io/folder.h"
#include "io/prompts.h"

struct tl_score_entry {
    const char *path, *name, *prompt; /* prompt NULL: none was found */
    double score;                     /* where skipped is NULL */
    const double *parts;              /* [n_parts], of an ensemble's members; in the arena */
    const char *skipped;              /* why */
};

struct tl_score_work {
    const struct tl_score_params *params;
    const struct tl_job *job;
    struct tl_arena arena;
    struct tl_folder folder;
    struct tl_prompts prompts;
    struct tl_score_entry *entries; /* [n], in byte order of their names */
    size_t n, n_scored;
    struct tl_reward_set *reward; /* of one; an ensemble has several parts */
    size_t n_parts;
};

/* ---- score_pairs.c ---- */

/* Finds the pictures and their prompts. What the folder says cannot be used is skipped already; with --strict
 * it fails. */
bool tl_score_pair(struct tl_score_work *work, struct tl_err *err);

/* ---- score_report.c ---- */

/* The report's text; the caller frees. */
char *tl_score_report(const struct tl_score_work *work, struct tl_err *err);
bool tl_score_write_csv(const struct tl_score_work *work, struct tl_err *err);

#endif
