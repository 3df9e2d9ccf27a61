/* Training: methods are rows of one table; each has its own options, that the command line, config files and
 * `tiller list methods` walk. A run is a folder (config.json, run.json, metrics.jsonl, checkpoints/,
 * samples/).
 *
 * Methods that train from data: vae, contrastive, sft. Methods that train on rewards: prdp, ddpo. */
#ifndef TILLER_TRAIN_H
#define TILLER_TRAIN_H

#include <tiller/job.h>
#include <tiller/option.h>

struct tl_method {
    const char *name, *help;
    const char *trains;              /* component */
    const char *from;                /* kind of data: "pictures", "captioned pictures", "rewards" */
    const struct tl_option *options; /* ends at name NULL */
    size_t params_size;              /* bytes of the struct that the options fill */
    /* Runs to the end, to an error, or to an interrupt (TL_INTERRUPTED, a checkpoint is then written).
     * `options` is bound to params: it is what config.json records. */
    bool (*run)(const struct tl_job *job, struct tl_options *options, const void *params, struct tl_err *err);
};

extern const struct tl_method tl_methods[]; /* ends at name NULL */
const struct tl_method *tl_method_find(const char *name);

/* Of a run's folder: whether a run was begun there; the step of its newest checkpoint by name, and of the
 * newest that verifies, which a resume would go on from; -1: none. *out_within: it stands between that step
 * and the next. */
bool tl_train_is_begun(const char *folder);
int64_t tl_train_saved_step(const char *folder);
int64_t tl_train_whole_step(const char *folder, bool *out_within);

/* Methods that train from data share these; each leaves out the rows that it does not use. */
struct tl_supervised_params {
    const char *model, *data, *out, *vae;
    int steps, batch, size, crop, warmup, log_every, save_every;
    int accumulate; /* batches whose mean gradient makes an update; 0 and 1 are the same */
    double lr, beta1, beta2, adam_eps, weight_decay, clip_norm, ema;
    int schedule; /* tl_train_schedules: 0 cosine, 1 constant, 2 linear, 3 restarts, 4 polynomial */
    int cycles;   /* of restarts */
    double power; /* of polynomial */
    double kl_weight, noise, patch_weight, caption_dropout, snr_gamma, noise_offset;
    bool resume, strict;
    /* sft: the data */
    int fit; /* 0 crop, 1 bucket */
    int bucket_step, keep_tokens;
    bool no_upscale, flip, shuffle_caption;
    double tag_dropout, val_share;
    const char *latent_cache;
    /* sft: what is trained */
    bool full, train_text;
    int rank; /* 0: 8, or that of `lora` */
    double alpha;
    const char *lora, *targets, *text_targets;
    /* sft: looking at it */
    int val_every, sample_every, sample_steps;
    int dtype; /* weights that are not trained are kept in: 0 f32, 1 f16, 2 bf16 */
    bool dry_run;
    double sample_guidance; /* below 0: the model's */
    const char *sample_prompts;
};

/* Methods that train on rewards share these; each leaves out the rows that it does not use. */
struct tl_tune_params {
    const char *model, *prompts, *out, *eval_prompts, *negative_prompt, *size, *targets, *sampler, *lora;
    struct tl_strings reward, eval_reward, stop_when;
    const char *memory; /* "6G": the most that a run may take; NULL: as much as it likes */
    int dtype;          /* frozen weights are kept in: 0 f32, 1 f16, 2 bf16 */
    bool raw_rewards, full, resume, checkpoint, ties_drop, shuffle_rewards, dry_run;
    int epochs, prompts_per_epoch, samples_per_prompt, learn_samples, steps, learn_steps, passes, minibatches,
        rank, checkpoint_every, keep, eval_every, resample_every, batch;
    int eval_samples;      /* per prompt */
    int eval_trained_most; /* prompts, at most */
    int eval_others_most;
    double eta, guidance, beta, clip, lr, beta1, beta2, adam_eps, weight_decay, clip_norm, alpha;
    int reduce;     /* 0 sum, 1 mean over dims, 2 mean over dims and steps */
    int last_step;  /* 0 zero, 1 diffusers, 2 clamp */
    int estimator;  /* ddpo: 0 importance-weighted, 1 plain */
    int advantages; /* ddpo: enum tl_advantage_over */
    int schedule;   /* 0 cosine, 1 constant, 2 linear */
};

#endif
