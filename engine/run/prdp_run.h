/* Inside of the PRDP run: what its files share. */
#ifndef TL_RUN_PRDP_RUN_H
#define TL_RUN_PRDP_RUN_H

#include <tiller/reward.h>
#include <tiller/train.h>

#include "algo/prdp_trainer.h"
#include "io/prompts.h"
#include "run/run_metrics.h"
#include "run/train_methods.h"
#include "sample/condition.h"
#include "sample/latents.h"
#include "sample/pipeline.h"

enum { TL_PRDP_EVAL_PROMPTS = 16, TL_PRDP_EVAL_MOST = 4096, TL_PRDP_SHOWN = 4, TL_PRDP_SHOWN_PROMPTS = 8 };

/* Samples of fixed prompts and fixed noise, read before and after training. */
struct tl_prdp_eval {
    const char *name; /* "trained", "other" */
    struct tl_encoding encoding;
    const char **prompts;                /* [n_prompts]; texts are borrowed from the prompt files */
    size_t n_prompts, n;                 /* n = n_prompts * samples */
    uint32_t first;                      /* number of the first sample's noise */
    int n_rewards;                       /* the trained reward, then the held-out one */
    double *before, *after;              /* [n_rewards][n]; owns */
    uint8_t *shown_before, *shown_after; /* pictures of the first prompts: [shown][height][width][3]; owns */
    size_t n_shown;
};

struct tl_prdp_run {
    const struct tl_job *job;
    const struct tl_prdp_run_params *p;
    struct tl_training t;
    struct tl_pipeline *pipeline;
    struct tl_latent_codec *codec;
    struct tl_reward_set *reward, *held_out; /* held_out may be NULL */
    struct tl_prompts prompts, eval_prompts;
    struct tl_encoding encoding, negative;
    struct tl_lora_spec lora;
    struct tl_prdp_trainer *trainer;
    struct tl_run_metrics *metrics;
    int width, height, latent_w, latent_h; /* pictures, latents */
    size_t bytes;                          /* of one picture: width * height * 3 */
    int epoch;                             /* epochs finished */
    int drawn_epoch;                       /* the epoch whose samples stand in the trainer */
    uint32_t *drawn;                       /* its prompts: [n_groups] */
    double *rewards;                       /* [n]: of these samples */
    uint8_t *rgb;                          /* [n] pictures: scratch of an epoch */
    struct tl_prdp_eval trained, others;   /* others: n 0 where no --eval-prompts are given */
    bool untouched_read;                   /* the evals' `before` stands */
    double start;                          /* when this process began with epoch start_epoch */
    char label[128]; /* of the trained reward, for people */
    int start_epoch;
};

/* ---- prdp_open.c ---- */
/* Opens everything, begins the run or loads its newest checkpoint. Close it on failure, too. */
bool tl_prdp_open(struct tl_prdp_run *r, const struct tl_options *options, struct tl_err *err);
void tl_prdp_close(struct tl_prdp_run *r);

/* ---- prdp_draw.c ---- */
/* Whether `epoch` draws new samples; the others learn from those that are stored. */
bool tl_prdp_draws(const struct tl_prdp_run *r, int epoch);
/* The prompts of an epoch that draws, into r->drawn. */
bool tl_prdp_draw_prompts(struct tl_prdp_run *r, int epoch, struct tl_err *err);
/* What the trainer is told of the samples of r->drawn. */
struct tl_prdp_conditions tl_prdp_conditions(struct tl_prdp_run *r);
const char *tl_prdp_prompt(void *run, size_t sample);
/* Trajectories of the present policy, their pictures and rewards. */
bool tl_prdp_draw(struct tl_prdp_run *r, struct tl_err *err);
/* Pictures of latents [n][h][w][c]: rgb [n][height][width][3]. */
bool tl_prdp_decode(struct tl_prdp_run *r, const float *latents, size_t n, uint8_t *rgb, struct tl_err *err);
/* Scores of n pictures, numbered from `first` in messages; prompt_of gives each one's text. Either output may
 * be NULL (tl_reward_set_score). */
bool tl_prdp_score(struct tl_prdp_run *r, struct tl_reward_set *set, const uint8_t *rgb, size_t first,
                   size_t n, const char *(*prompt_of)(void *user, size_t i), void *user, double *out_total,
                   double *out_parts, struct tl_err *err);

/* ---- prdp_standard.c ---- */
/* Sums of several rewards are standardised by samples of the untouched model; the numbers are kept in
 * run.json under `key`, where a run that goes on finds them. May be interrupted. */
bool tl_prdp_standardise(struct tl_prdp_run *r, struct tl_reward_set *set, const char *key,
                         struct tl_err *err);

/* ---- prdp_eval.c ---- */
bool tl_prdp_eval_init(struct tl_prdp_run *r, struct tl_prdp_eval *e, const char *name,
                       const struct tl_prompts *prompts, uint32_t first, struct tl_err *err);
void tl_prdp_eval_finish(struct tl_prdp_eval *e);
/* Draws and scores; into before or after. A reading before training may be interrupted (TL_INTERRUPTED):
 * there is nothing to lose yet. */
bool tl_prdp_eval_read(struct tl_prdp_run *r, struct tl_prdp_eval *e, bool after, struct tl_err *err);

/* ---- prdp_report.c ---- */
/* result.json, summary.txt, before_after.png, curve.png in the run's folder, and the summary's lines to the
 * log. */
bool tl_prdp_report(struct tl_prdp_run *r, struct tl_err *err);

/* ---- prdp_save.c ---- */
bool tl_prdp_save(struct tl_prdp_run *r, struct tl_err *err); /* checkpoint, and the adapter as files */
bool tl_prdp_load(struct tl_prdp_run *r, struct tl_err *err); /* newest checkpoint */

#endif
