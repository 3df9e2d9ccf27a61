/* Inside of a run that fine-tunes a generator on rewards (methods prdp, ddpo): what its files share.
 *
 * The way through: tune_open opens prompts, model, rewards, trainer; tune_eval reads the untouched model;
 * each epoch tune_draw draws and scores, tune_signal turns rewards into what the loss learns from, the
 * trainer (algo/policy_trainer.h) updates; tune_watch writes metrics and looks at the guards; tune_save makes
 * checkpoints and adapters; tune_report ends the run. train_tune.c has the options and the loop. */
#ifndef TL_RUN_TUNE_H
#define TL_RUN_TUNE_H

#include <tiller/reward.h>
#include <tiller/train.h>

#include "algo/advantage.h"
#include "algo/policy_trainer.h"
#include "io/image.h"
#include "io/prompts.h"
#include "metrics/stats.h"
#include "models/lora_start.h"
#include "run/guard.h"
#include "run/memory_plan.h"
#include "run/run_metrics.h"
#include "run/train_methods.h"
#include "sample/condition.h"
#include "sample/latents.h"
#include "sample/pipeline.h"

enum {
    TL_TUNE_SHOWN = 4,         /* pictures of a prompt that are kept of a reading, at most */
    TL_TUNE_SHOWN_PROMPTS = 8, /* of so many prompts */
    TL_TUNE_EXTREMES = 6,      /* best ones, and as many worst */
    TL_TUNE_RULES = 16,
    /* numbers of the readings' noise; an epoch's samples count from 0 */
    TL_TUNE_EVAL_FIRST = 1 << 28,
    TL_TUNE_OTHERS_FIRST = (1 << 28) + (1 << 27)
};

/* What differs between the methods. */
struct tl_tune_method {
    const char *name;
    tl_policy_loss *loss;
    bool advantages;      /* the loss learns from advantages, not rewards */
    bool one_update;      /* right for one update an epoch only */
    const char *headline; /* of the curve */
    const char *restrain; /* what keeps the policy near its reference, as advice */
};

/* The best or worst pictures of a reading so far, best (worst) first. */
struct tl_tune_extremes {
    size_t n;
    size_t sample[TL_TUNE_EXTREMES];
    uint8_t *rgb; /* [TL_TUNE_EXTREMES][height][width][3]; owns */
};

/* A reading: the same prompts and noise at the beginning, in between and at the end. */
struct tl_tune_reading {
    double *rewards;  /* [n_rewards][n]; owns */
    uint8_t *shown;   /* [n_shown][height][width][3]; owns */
    double diversity; /* mean over prompts of the mean pairwise cosine distance of embeddings */
};

struct tl_tune_eval {
    const char *name; /* "trained", "others" */
    struct tl_encoding encoding;
    const char **prompts;                /* [n_prompts]; texts are borrowed from the prompt files */
    size_t n_prompts, n;                 /* n = n_prompts * samples */
    uint32_t first;                      /* number of the first sample's noise */
    int n_rewards;                       /* the trained reward, then the held-out one */
    size_t n_shown;                      /* of the first prompts, the first samples */
    struct tl_tune_reading start, now;   /* start: the untouched model */
    struct tl_tune_extremes best, worst; /* of the last reading */
    struct tl_reward_set *embedder; /* the trained reward or the held-out one, whose encoder looks; or NULL */
    float *embeddings;              /* [n][dim] of the reading under way; NULL without an embedder; owns */
    size_t embed_dim;
};

/* How the network is run: what was asked for, or chosen for --memory. Of the first two the results' bytes
 * depend, so that a run that goes on takes those of its beginning. */
struct tl_tune_choice {
    int batch; /* samples per network run; 0: the trainer's choice */
    bool recompute;
    bool single; /* pictures are decoded one at a time */
};

struct tl_tune {
    const struct tl_job *job;
    const struct tl_tune_params *p;
    const struct tl_tune_method *method;
    struct tl_training t;
    struct tl_pipeline *pipeline;
    struct tl_latent_codec *codec;
    struct tl_reward_set *reward, *held_out; /* held_out may be NULL */
    struct tl_prompts prompts, eval_prompts;
    struct tl_encoding encoding, negative;
    struct tl_lora_spec lora;         /* by the options; unused with lora_start */
    struct tl_lora_start *lora_start; /* of --lora, or NULL */
    struct tl_policy_trainer *trainer;
    struct tl_run_metrics *metrics;
    struct tl_tune_choice choice;
    struct tl_memory_plan plan;
    int width, height, latent_w, latent_h; /* pictures, latents */
    size_t bytes;                          /* of one picture: width * height * 3 */

    int read_epoch;            /* of the last reading, -1: none since the untouched model's */
    int epoch;                 /* epochs finished */
    int64_t resumed_rows;      /* of metrics, as the checkpoint has it; -1: not known */
    int drawn_epoch;           /* the epoch whose samples stand in the trainer */
    uint32_t *drawn;           /* its prompts: [n_groups] */
    size_t n_drawn;            /* samples of a draw */
    double *rewards;           /* [n_drawn]: their scores */
    double *signal;            /* [n_drawn]: what the loss learns from; of those that are kept, first [n] */
    uint8_t *rgb;              /* [n_drawn] pictures: scratch of an epoch */
    bool in_epoch;             /* an epoch is under way: its samples, signal and old ratios stand */
    struct tl_policy_epoch at; /* the updates of the epoch under way */
    struct tl_advantage_history history;
    uint64_t queries, evaluations; /* pictures scored for training; samples through the network */

    struct tl_tune_eval trained, others; /* others: n 0 where no --eval-prompts are given */
    bool untouched_read;                 /* the evals' `start` stands */
    struct tl_guard_rule rules[TL_TUNE_RULES];
    size_t n_rules;
    struct tl_guard_readings readings;
    cJSON *warnings;   /* array of {step, kind, text}; owns */
    char stopped[160]; /* why --stop-when ended the run; "" */
    int best_epoch;    /* of the best reading of the held-out reward, -1: none yet */
    double best_value;
    const char *phase; /* what the network runs are for */
    uint64_t runs;     /* network runs in this phase */
    double told;       /* when progress was last told within the phase */
    double start;      /* when this process began with epoch start_epoch */
    int start_epoch;
    char label[128]; /* of the trained reward, for people */
};

/* ---- train_tune.c ---- */
/* Asked before each network run: tells the progress within an epoch or a reading; false once the job is to
 * stop. */
bool tl_tune_go_on(void *run);

/* ---- tune_check.c ---- */
bool tl_tune_check(struct tl_tune *r, struct tl_err *err); /* options, before anything is opened */
bool tl_tune_read_prompts(struct tl_tune *r, struct tl_err *err);

/* ---- tune_open.c ---- */
/* Opens everything, begins the run or loads its newest checkpoint. Close it on failure, too. */
bool tl_tune_open(struct tl_tune *r, const struct tl_options *options, struct tl_err *err);
void tl_tune_close(struct tl_tune *r);

/* What the trainer is made with; the model's part of it where r->pipeline is open. */
struct tl_policy_trainer_params tl_tune_trainer_params(const struct tl_tune *r);
/* The pipeline's parts in the types of --dtype; sizes of pictures and latents. */
bool tl_tune_open_model(struct tl_tune *r, struct tl_device *device, struct tl_err *err);
bool tl_tune_open_rewards(struct tl_tune *r, struct tl_device *device, struct tl_err *err);
/* Which layers train: by the options, or those of the LoRA that the run goes on from. NULL: an error, or
 * --full. */
const struct tl_lora_spec *tl_tune_choose_lora(struct tl_tune *r, struct tl_err *err);
void tl_tune_close_model(struct tl_tune *r);
/* Pictures that are decoded at a time, at most. */
size_t tl_tune_decode_most(const struct tl_tune *r);

/* ---- tune_plan.c ---- */
/* Before anything large is opened: r->plan, and r->choice where --memory is given or the run began already.
 * TL_USAGE where nothing fits. Says it in one line; with --dry-run as a table. */
bool tl_tune_plan(struct tl_tune *r, struct tl_err *err);
/* Whether the machine has as much memory left, as far as is known. */
bool tl_tune_fits(const struct tl_tune *r);
/* Into run.json of a run that begins. */
bool tl_tune_plan_note(struct tl_tune *r, struct tl_err *err);

/* ---- tune_dry.c ---- */
/* Disk, evaluations and time of a run that is open, as lines of the log. */
bool tl_tune_dry_run(struct tl_tune *r, struct tl_err *err);

/* ---- tune_draw.c ---- */
/* Whether `epoch` draws new samples; the others learn from those that are stored. */
bool tl_tune_draws(const struct tl_tune *r, int epoch);
/* The prompts of an epoch that draws, into r->drawn. */
bool tl_tune_draw_prompts(struct tl_tune *r, int epoch, struct tl_err *err);
/* What the trainer is told of the samples that it learns from. */
struct tl_policy_conditions tl_tune_conditions(struct tl_tune *r);
/* Of a sample of the draw. */
const char *tl_tune_prompt(void *run, size_t sample);
struct tl_policy_conditions tl_tune_draw_conditions(struct tl_tune *r);
/* Trajectories of the present policy, their pictures and rewards, and the signal. */
bool tl_tune_draw(struct tl_tune *r, struct tl_err *err);
/* Pictures of latents [n][h][w][c]: rgb [n][height][width][3]. */
bool tl_tune_decode(struct tl_tune *r, const float *latents, size_t n, uint8_t *rgb, struct tl_err *err);
/* n pictures, numbered from `first` in messages, as samples; prompt_of gives each one's text. */
struct tl_tune_pictures {
    const uint8_t *rgb;
    size_t first, n;
    const char *(*prompt_of)(void *user, size_t i);
    void *user;
};
/* Either output may be NULL (tl_reward_set_score). */
bool tl_tune_score(struct tl_tune *r, struct tl_reward_set *set, const struct tl_tune_pictures *pictures,
                   double *out_total, double *out_parts, struct tl_err *err);
/* [n][dim]: unit vectors of the reward's first encoder of pictures. */
bool tl_tune_embed(struct tl_tune *r, struct tl_reward_set *set, const struct tl_tune_pictures *pictures,
                   float *out, struct tl_err *err);

/* ---- tune_signal.c ---- */
/* From r->rewards of the epoch that was drawn: shuffled within each prompt where that is asked for, and as
 * advantages where the method learns from them. Once per draw: it moves the history. */
void tl_tune_signal(struct tl_tune *r);
/* Of each prompt's samples those of the highest and the lowest signal, as many of each: their numbers in the
 * draw, [n]; their signal moves to the front of r->signal. */
void tl_tune_select(struct tl_tune *r, size_t *out_which);

/* ---- tune_standard.c ---- */
/* Sums of several rewards are standardised by samples of the untouched model on prompts from all of the file;
 * the numbers are kept in run.json, where a run that goes on finds them. May be interrupted. */
bool tl_tune_standardise(struct tl_tune *r, struct tl_err *err);

/* ---- tune_eval.c ---- */
bool tl_tune_eval_init(struct tl_tune *r, struct tl_tune_eval *e, const char *name,
                       const struct tl_prompts *prompts, size_t most, uint32_t first, struct tl_err *err);
void tl_tune_eval_finish(struct tl_tune_eval *e);
/* How many pictures of a prompt are shown, and which sample is the k-th that is. */
size_t tl_tune_shown_each(const struct tl_tune *r);
size_t tl_tune_shown_sample(const struct tl_tune *r, size_t k);
/* Draws and scores, into start or now. May be interrupted (TL_INTERRUPTED). */
bool tl_tune_eval_read(struct tl_tune *r, struct tl_tune_eval *e, bool start, struct tl_err *err);

/* ---- tune_samples.c ---- */
/* samples/step-N/ of the last reading: pictures that were kept, rewards.jsonl, grid.png. */
bool tl_tune_write_samples(struct tl_tune *r, bool start, struct tl_err *err);
/* The grid of pictures before and after as a picture. */
bool tl_tune_before_after(const struct tl_tune *r, const struct tl_tune_eval *e, struct tl_image *out,
                          struct tl_err *err);

/* ---- tune_watch.c ---- */
/* The epoch's row of metrics. */
bool tl_tune_watch_epoch(struct tl_tune *r, struct tl_err *err);
/* Readings of the present policy, a row of metrics each, pictures; *out_best: better than ever. */
bool tl_tune_watch_evals(struct tl_tune *r, bool start, bool *out_best, struct tl_err *err);
/* Warnings that are new, and whether a rule of --stop-when ends the run (r->stopped says why). */
bool tl_tune_watch_guards(struct tl_tune *r, bool may_stop, bool *out_stop, struct tl_err *err);
/* Errors of a mean and of a paired difference of n readings, over prompts where there are two or more. */
double tl_tune_se(const struct tl_tune *r, const struct tl_tune_eval *e, const double *rewards);
bool tl_tune_paired(const struct tl_tune *r, const struct tl_tune_eval *e, int reward,
                    struct tl_stats_paired *out, struct tl_err *err);

/* ---- tune_report.c ---- */
/* result.json, summary.txt, before_after.png, curve.png, report.html in the run's folder, and the summary's
 * lines to the log. */
bool tl_tune_report(struct tl_tune *r, struct tl_err *err);

/* ---- tune_save.c ---- */
/* Checkpoint, and the adapter as files; `best`: of the best reading so far. */
bool tl_tune_save(struct tl_tune *r, bool best, struct tl_err *err);
bool tl_tune_load(struct tl_tune *r, struct tl_err *err); /* newest checkpoint */

#endif
