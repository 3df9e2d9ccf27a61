/* The parts of the job `score`: metrics over sets, rewards of single items. Each fills rows of the report. */
#ifndef TL_RUN_SCORE_PARTS_H
#define TL_RUN_SCORE_PARTS_H

#include <tiller/reward.h>
#include <tiller/score.h>

#include "io/folder.h"
#include "io/prompts.h"
#include "run/feature_keep.h"
#include "run/score_metrics.h"

/* ---- score_sets.c ---- */

/* One row for each evaluated set; rows [n_folders], zeroed. */
bool tl_score_sets(const struct tl_metric *metric, const struct tl_score_params *params,
                   const struct tl_job *job, struct tl_score_row *rows, size_t *out_n, struct tl_err *err);

/* ---- score_items.c: a reward ---- */

struct tl_score_entry {
    const char *path, *name, *prompt; /* prompt NULL: none was found */
    double score;                     /* where skipped is NULL */
    const double *parts;              /* [n_parts], of an ensemble's members; in the arena */
    const char *skipped;              /* why */
};

struct tl_score_work {
    const struct tl_score_params *params;
    const char *folder;
    const struct tl_job *job;
    enum tl_modality modality;
    struct tl_score_row *row; /* owns what is kept for the report */
    struct tl_folder folder_files;
    struct tl_prompts prompts;
    struct tl_score_entry *entries; /* [n], in byte order of their names */
    size_t n, n_scored;
    struct tl_decode_pool *pool;
    struct tl_reward_set *reward; /* of one; an ensemble has several parts */
    size_t n_parts;
    bool of_set; /* a part scores all files together */
    struct tl_feature_keep keep;       /* of embeddings */
    const struct tl_reward_set *known; /* the reward where its embeddings are kept; else NULL */
};

bool tl_score_items(const struct tl_score_params *params, const struct tl_job *job, struct tl_score_row *out,
                    struct tl_err *err);

/* Finds the files and their prompts. What the folder says cannot be used is skipped already; with --strict it
 * fails. score_pairs.c */
bool tl_score_pair(struct tl_score_work *work, struct tl_err *err);

/* Opens the reward that the params name; before that, what its table row says of it. score_reward.c */
const struct tl_reward_info *tl_score_reward_info(const char *reward);
bool tl_score_reward_check(const struct tl_score_params *params, struct tl_err *err);
/* work->modality. A program of the user's is opened for it: only it knows. One that takes both gets what the
 * folder has. */
bool tl_score_reward_modality(struct tl_score_work *work, struct tl_err *err);
bool tl_score_reward_open(struct tl_score_work *work, struct tl_err *err);

#endif
