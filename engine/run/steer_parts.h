/* The parts of the `steer` job.
 *
 *     steer_options   the table, and what is refused without the model
 *     steer_open      folder, model, rewards, and what is refused with them
 *     steer_lens      which steps are guided; rewards on the device
 *     steer_guide     the gradient that guides (its own header)
 *     steer_plan      --memory: the batch that fits
 *     steer_standard  the scale of several rewards, from plain samples
 *     steer_job       the door: groups, a few at a time
 *     steer_walk      groups that walk the sampler together; steer_weigh: scored steps, weights, resampling;
 *                     steer_line: what is told of a group; steer_crowd.h is what the three share
 *     steer_score     samples to rewards
 *     steer_keep      a finished group's files, its line of steer.jsonl
 *     steer_recall    what a resume finds there, and what is refused or removed
 *     steer_output    what is made from the lines of all groups: metadata, steer.json
 *     steer_summary   totals, and the report for people
 *     steer_plain     with a report: plain samples of equal cost; steer_compare: what both come to
 *     steer_report_*  the page, from the folder alone (steer_report.h) */
#ifndef TL_RUN_STEER_PARTS_H
#define TL_RUN_STEER_PARTS_H

#include <tiller/reward.h>
#include <tiller/steer.h>

#include "algo/potential.h"
#include "algo/smc.h"
#include "io/json.h"
#include "run/memory_plan.h"
#include "run/progress.h"
#include "run/reward_lens.h"
#include "run/sample_model.h"
#include "run/train_methods.h"

enum {
    TL_STEER_SHOWN = 8,  /* groups whose pictures are kept for the report */
    TL_STEER_STRIP = 32, /* pictures side by side in one file, at most */
};

/* Where time goes. Overhead is all but the first two. */
enum tl_steer_work {
    TL_STEER_NETWORK,
    TL_STEER_REWARDS,   /* decoding and scoring */
    TL_STEER_SAMPLER,   /* noise, steps, encoding of prompts: what a plain sampler does, too */
    TL_STEER_PARTICLES, /* weighing, resampling, copying, what is noted of it */
    TL_STEER_FILES,
    TL_STEER_WORKS,
};

struct tl_steer {
    const struct tl_job *job;
    const struct tl_steer_params *p; /* own */
    struct tl_steer_params own;
    struct tl_training t; /* device and folder */
    struct tl_sample_inputs inputs;
    struct tl_sample_settings settings;
    struct tl_sample_model model;
    struct tl_reward_set *reward;
    const struct tl_potential *potential;
    const struct tl_resampler *resampler;
    struct tl_memory_plan plan;  /* of --memory */
    size_t k, n_groups;          /* particles of a group; prompts */
    size_t together;             /* groups that walk at a time, at most */
    bool *scored;                /* [steps] */
    size_t n_scored;             /* steps */
    struct tl_reward_lens *lens; /* NULL where nothing needs it */
    bool by_lens;                /* intermediate rewards come from it, not from bytes */
    bool *guided;                /* [steps] whose mean is moved */
    size_t n_guided;             /* steps */
    char *command;               /* that the pictures tell: of the run's beginning; owned, may be NULL */
    cJSON **lines;               /* [n_groups] of steer.jsonl, NULL where a group is not finished; owned */
    size_t n_finished, n_kept;   /* groups: in all; that a resume found finished */
    size_t n_drawn;              /* samples of this call */
    int log;                     /* file descriptor of steer.jsonl, or -1 */
    size_t next_line;            /* of the file: one more than the largest group in it */
    bool out_of_order;           /* its lines are not those of `lines`, by group */
    cJSON **plain;               /* [n_groups] of plain.jsonl, as `lines`; NULL: nothing is compared */
    int plain_log;
    enum tl_steer_work work; /* what is going on, since: */
    double since;
    double seconds[TL_STEER_WORKS];
    struct tl_progress_meter meter;
    double last_reward, last_ess; /* of the last scored step, means; for the progress line */
    bool has_last;
};

/* From now on the time is this work's. */
void tl_steer_begin_work(struct tl_steer *s, enum tl_steer_work work);

/* ---- steer_options.c ---- */
/* Finds potential and resampler. */
bool tl_steer_check(struct tl_steer *s, struct tl_err *err);

/* ---- steer_open.c ---- */
bool tl_steer_open(struct tl_steer *s, const struct tl_options *options, struct tl_err *err);
void tl_steer_close(struct tl_steer *s);
/* Whether intermediate rewards change anything. */
bool tl_steer_looks(const struct tl_steer *s);

/* Its pieces, which planning goes through with a device that only counts: the pipeline; rewards; steps,
 * network, decoder, lens, and the rewards where they are not open yet. Closing takes back all of them. */
bool tl_steer_open_model(struct tl_steer *s, struct tl_err *err);
bool tl_steer_open_rewards(struct tl_steer *s, struct tl_err *err);
bool tl_steer_plan_model(struct tl_steer *s, struct tl_err *err);
void tl_steer_unplan_model(struct tl_steer *s);
void tl_steer_close_model(struct tl_steer *s);

/* ---- steer_plan.c ---- */
/* With --memory: the largest batch that fits, or the one that the run began with, becomes s->own's. */
bool tl_steer_choose_batch(struct tl_steer *s, struct tl_err *err);
/* Keeps it in run.json for resumes. */
bool tl_steer_note_batch(struct tl_steer *s, struct tl_err *err);

/* ---- steer_lens.c ---- */
/* Whether the options ask for guidance that does something. */
bool tl_steer_guides(const struct tl_steer *s);
/* First and last step of the window from .. to; false where there is none. */
bool tl_steer_window(const struct tl_steer *s, size_t *out_first, size_t *out_last);
/* Sets guided steps, and plans the lens where the rewards go through it. */
bool tl_steer_open_lens(struct tl_steer *s, struct tl_err *err);
/* Prompts of pictures first .. first + n - 1; the caller frees the list. NULL: out of memory. */
const char **tl_steer_prompts(const struct tl_steer *s, size_t first, size_t n);

/* ---- steer_standard.c ---- */
/* Gives the rewards their scale where they need one: measured, or what run.json keeps. */
bool tl_steer_standardise(struct tl_steer *s, struct tl_err *err);

/* ---- steer_score.c ---- */
/* Samples of the run on their way, or at its end. */
struct tl_steer_look {
    const float *x0;         /* [n][h,w,c] the clean samples, predicted or final */
    size_t first, n;         /* pictures first .. first + n - 1 of the run */
    size_t step;             /* that predicted them; the number of steps: they are final */
    const uint32_t *numbers; /* [n] */
};
/* out_total [n]; out_parts [n][parts], out_rgb [n][height][width][3] (either may be NULL). Each intermediate
 * reward is that of `draws` draws where more than one is asked for: parts then are their means, rgb the last.
 * Errors name particle, prompt and step. */
bool tl_steer_score(struct tl_steer *s, const struct tl_steer_look *look, double *out_total,
                    double *out_parts, uint8_t *out_rgb, struct tl_err *err);
/* Whether the gradient of a guided step brings the rewards that a scored one needs. */
bool tl_steer_has_rewards(const struct tl_steer *s, size_t step);
/* What one sample costs on its whole way; a gradient counts as three evaluations. */
size_t tl_steer_network_evaluations(const struct tl_steer *s);
size_t tl_steer_reward_evaluations(const struct tl_steer *s);

/* ---- steer_walk.c ---- */
/* Groups first .. first + n - 1 from noise to files; those that have a line already are not written again. */
bool tl_steer_walk(struct tl_steer *s, size_t first, size_t n, struct tl_err *err);

/* ---- steer_recall.c ---- */
/* A folder of numbered pictures that is no run is TL_USAGE. */
bool tl_steer_refuse_others(const struct tl_steer *s, struct tl_err *err);
/* What is finished in the folder: opens steer.jsonl, cuts off what is no whole line, and takes out prompts
 * whose pictures are not all there. */
bool tl_steer_recall(struct tl_steer *s, struct tl_err *err);
/* Group's line is in the file; takes it over. */
void tl_steer_take(struct tl_steer *s, size_t group, cJSON *line);
/* Writes the file anew where its lines are not in the order of the groups. */
bool tl_steer_order_lines(struct tl_steer *s, struct tl_err *err);
/* What steer.jsonl and plain.jsonl share. Whole lines of a run that was begun go to `take`, which takes them
 * over; the rest is cut off and the file stays open for more. */
bool tl_steer_take_lines(struct tl_steer *s, const char *name,
                         bool (*take)(struct tl_steer *s, cJSON *line, struct tl_err *err), int *out_log,
                         struct tl_err *err);
/* Whether an array of n finite numbers is there. */
bool tl_steer_has_list(const cJSON *line, const char *key, size_t n);
/* Removes what a run with no finished group has left. */
void tl_steer_discard(const struct tl_steer *s);

/* ---- steer_keep.c ---- */
/* FOLDER/name, valid until out changes. */
bool tl_steer_path(const struct tl_steer *s, const char *name, struct tl_str *out, struct tl_err *err);
/* Pictures of a group, then its line, which is taken over. rgb [k][height][width][3]. */
bool tl_steer_keep(struct tl_steer *s, size_t group, cJSON *line, const uint8_t *rgb, struct tl_err *err);
/* The line at the end of the file, on the disk. */
bool tl_steer_append(const struct tl_steer *s, int log, const char *name, const cJSON *line,
                     struct tl_err *err);
/* FOLDER/folder/name: n pictures [height][width][3] side by side, the first TL_STEER_STRIP of them. */
bool tl_steer_save_strip(const struct tl_steer *s, const char *folder, const char *name, const uint8_t *rgb,
                         size_t n, struct tl_err *err);
/* steps/GGGG-III.png. x0 [k][h,w,c]; nothing where no report is asked for, or not of this group. */
bool tl_steer_keep_step(struct tl_steer *s, size_t group, size_t step, const float *x0, struct tl_err *err);

/* ---- steer_output.c ---- */
/* What the particles compete by, into a picture's or the run's settings. */
void tl_steer_add_strength(const struct tl_steer *s, cJSON *out);
/* metadata.jsonl of the folder and of best/, from the lines. */
bool tl_steer_write_metadata(const struct tl_steer *s, struct tl_err *err);
/* Adds this call's times to run.json's. */
bool tl_steer_note_seconds(struct tl_steer *s, struct tl_err *err);
/* steer.json and the report. */
char *tl_steer_finish(struct tl_steer *s, struct tl_err *err);

/* ---- steer_summary.c ---- */
struct tl_steer_totals {
    size_t prompts, pictures;
    double reward_mean, reward_weighted, reward_best; /* means over prompts */
    double log_z;                                     /* mean over prompts */
    size_t events, resampled;
    double ess, unique,
        survivors; /* means: over events; over resamplings; starts that are left of a prompt */
    double network_evaluations, reward_evaluations;
};
void tl_steer_sum_up(const struct tl_steer *s, struct tl_steer_totals *out);

/* ---- steer_plain.c ---- */
/* Draws the plain samples that the report compares with, where it is asked for and differs from the run
 * itself; what a stopped run has of them is kept. */
bool tl_steer_draw_plain(struct tl_steer *s, struct tl_err *err);
/* Of each prompt. */
size_t tl_steer_plain_samples(const struct tl_steer *s);

#endif
