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

enum { TL_PRDP_EVAL_PROMPTS = 16, TL_PRDP_SHOWN = 4, TL_PRDP_SHOWN_PROMPTS = 8 };

/* Samples of fixed prompts and fixed noise, read before and after training. */
struct tl_prdp_eval {
    const char *name;                 /* "trained", "others" */
    struct tl_encoding encoding;
    const char **prompts;             /* [n_prompts]; texts are borrowed from the prompt files */
    size_t n_prompts, n;              /* n = n_prompts * samples */
    uint32_t first;                   /* number of the first sample's noise */
    int n_rewards;                    /* the trained reward, then each held-out one */
    double *before, *after;           /* [n_rewards][n]; owns */
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
    int epoch;                             /* epochs finished */
    uint32_t *drawn;                       /* prompts of the epoch: [n_groups] */
    struct tl_prdp_eval trained, others;   /* others: n 0 where no --eval-prompts are given */
    double start;
};

/* Pictures of latents [n][h][w][c]: rgb [n][height][width][3]. */
bool tl_prdp_decode(struct tl_prdp_run *r, const float *latents, size_t n, uint8_t *rgb, struct tl_err *err);
/* The trained reward of pictures; prompt_of gives each one's text. */
bool tl_prdp_score(struct tl_prdp_run *r, struct tl_reward_set *set, const uint8_t *rgb, size_t n, const char *(*prompt_of)(void *user, size_t i), void *user,
                   double *out, struct tl_err *err);

/* ---- prdp_eval.c ---- */
bool tl_prdp_eval_init(struct tl_prdp_run *r, struct tl_prdp_eval *e, const char *name, const struct tl_prompts *prompts, uint32_t first, struct tl_err *err);
void tl_prdp_eval_finish(struct tl_prdp_eval *e);
/* Draws and scores; into before or after. */
bool tl_prdp_eval_read(struct tl_prdp_run *r, struct tl_prdp_eval *e, bool after, struct tl_err *err);

/* ---- prdp_report.c ---- */
/* result.json, summary.txt, before_after.png, curve.png in the run's folder, and the summary's lines to the log. */
bool tl_prdp_report(struct tl_prdp_run *r, struct tl_err *err);

/* ---- prdp_save.c ---- */
bool tl_prdp_save(struct tl_prdp_run *r, struct tl_err *err); /* checkpoint, and the adapter as files */
bool tl_prdp_load(struct tl_prdp_run *r, struct tl_err *err); /* newest checkpoint */

#endif
