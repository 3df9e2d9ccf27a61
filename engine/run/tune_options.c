/* Options of the methods that train on rewards. */
#include <math.h>

#include "run/memory_plan.h"
#include "run/train_methods.h"

static const char *const
    prdp_reduces[] = {"sum", "mean", "mean-steps", NULL},
    *const ddpo_reduces[] = {"sum", "mean", NULL}, *const last_steps[] = {"zero", "diffusers", "clamp", NULL},
    *const estimators[] = {"importance", "plain", NULL},
    *const advantages[] = {"prompt", "group", "epoch", NULL},
    *const schedules[] = {"cosine", "constant", "linear",
                          NULL}; /* of train_rate.c those without settings of their own */

#define P struct tl_tune_params
#define WHAT_OPTIONS                                                                                         \
    TL_OPTION_STRING(P, model, 0, "model", NULL, "FOLDER", "diffusers pipeline folder", TL_OPTION_PLACE),    \
        TL_OPTION_STRING(P, prompts, 0, "prompts", NULL, "FILE", "one a line, or JSONL", TL_OPTION_PLACE),   \
        TL_OPTION_STRINGS(P, reward, 0, "reward", NULL, "NAME[:ARG][@WEIGHT]",                               \
                          "what is trained on; repeat it for a sum (tiller list rewards)"),                  \
        TL_OPTION_STRINGS(P, eval_reward, 0, "eval-reward", NULL, "NAME[:ARG][@WEIGHT]",                     \
                          "what is watched and not trained on"),                                             \
        TL_OPTION_STRING(P, eval_prompts, 0, "eval-prompts", NULL, "FILE",                                   \
                         "prompts that are read before and after and not trained on", TL_OPTION_PLACE),      \
        TL_OPTION_STRING(P, out, 'o', "out", NULL, "FOLDER", "the run", TL_OPTION_FREE)

#define DRAW_OPTIONS                                                                                         \
    TL_OPTION_INT(P, epochs, 0, "epochs", "100", 1, 1000000, "N", "rounds of drawing and learning",          \
                  TL_OPTION_FREE),                                                                           \
        TL_OPTION_INT(P, prompts_per_epoch, 0, "prompts-per-epoch", "8", 1, 65536, "N",                      \
                      "drawn without repetition"),                                                           \
        TL_OPTION_INT(P, samples_per_prompt, 0, "samples-per-prompt", "8", 2, 4096, "N",                     \
                      "compared with each other"),                                                           \
        TL_OPTION_INT(P, learn_samples, 0, "learn-samples", "0", 0, 4096, "N",                               \
                      "of each prompt's samples, learn from the N/2 best and N/2 worst; 0: from all"),       \
        TL_OPTION_INT(P, steps, 0, "steps", "20", 1, 1000, "N", "of the sampler"),                           \
        TL_OPTION_INT(P, learn_steps, 0, "learn-steps", "0", 0, 1000, "N",                                   \
                      "learn from the first, noisiest N of them only (KL is of these, too); 0: all"),        \
        TL_OPTION_STRING(P, sampler, 0, "sampler", "ddim", "NAME", "ddim or ddpm"),                          \
        TL_OPTION_REAL(P, eta, 0, "eta", "1", 0, 1, "X",                                                     \
                       "share of fresh noise in a DDIM step; a policy needs it above 0"),                    \
        TL_OPTION_REAL(P, guidance, 0, "guidance", "5", 0, 100, "X",                                         \
                       "classifier-free guidance, in training too; 1: none"),                                \
        TL_OPTION_STRING(P, negative_prompt, 0, "negative-prompt", NULL, "TEXT",                             \
                         "of the unconditional branch"),                                                     \
        TL_OPTION_STRING(P, size, 0, "size", NULL, "WxH",                                                    \
                         "of the pictures; the model's own where it is not given"),                          \
        TL_OPTION_ENUM(P, last_step, 0, "last-step", "zero", last_steps,                                     \
                       "variance of the last step: none, the scheduler's, or alpha_bar clamped"),            \
        TL_OPTION_INT(P, resample_every, 0, "resample-every", "1", 0, 1000000, "EPOCHS",                     \
                      "new trajectories; 0: learn from the first epoch's stored samples alone")

#define LEARN_OPTIONS                                                                                        \
    TL_OPTION_INT(P, passes, 0, "passes", "2", 1, 1000, "K", "over an epoch's samples"),                     \
        TL_OPTION_INT(P, minibatches, 0, "minibatches", "4", 1, 65536, "M",                                  \
                      "updates per pass; divides --prompts-per-epoch"),                                      \
        TL_OPTION_INT(P, batch, 0, "batch", "0", 0, 4096, "N", "samples per network run; 0: chosen"),        \
        TL_OPTION_REAL(P, lr, 0, "lr", "0.0003", 0, 10, "X", "learning rate"),                               \
        TL_OPTION_ENUM(P, schedule, 0, "schedule", "constant", schedules,                                    \
                       "of the learning rate: constant, or down to 0 over --epochs"),                        \
        TL_OPTION_REAL(P, beta1, 0, "beta1", "0.9", 0, 0.99999, "X", "AdamW"),                               \
        TL_OPTION_REAL(P, beta2, 0, "beta2", "0.99", 0, 0.99999, "X", "AdamW"),                              \
        TL_OPTION_REAL(P, adam_eps, 0, "adam-eps", "1e-8", 1e-30, 1, "X",                                    \
                       "AdamW; gradients are clipped to --clip-norm before: a value near their size keeps "  \
                       "weights that get little gradient from wandering"),                                   \
        TL_OPTION_REAL(P, weight_decay, 0, "weight-decay", "0.0001", 0, 10, "X", "AdamW"),                   \
        TL_OPTION_REAL(P, clip_norm, 0, "clip-norm", "1", 0, 1e12, "X",                                      \
                       "largest gradient norm; 0: no limit"),                                                \
        TL_OPTION_INT(P, rank, 0, "rank", "8", 1, 4096, "N", "of the LoRA"),                                 \
        TL_OPTION_REAL(P, alpha, 0, "alpha", "0", 0, 1e6, "X", "of the LoRA; 0: the rank"),                  \
        TL_OPTION_STRING(P, targets, 0, "targets", "to_q,to_k,to_v,to_out.0,ff.net.0.proj,ff.net.2",         \
                         "NAMES", "layers that carry the LoRA, by the end of their names"),                  \
        TL_OPTION_STRING(P, lora, 0, "lora", NULL, "FILE",                                                   \
                         "go on from this LoRA: its rank, alpha and layers; the reference is the model "     \
                         "without it",                                                                       \
                         TL_OPTION_PLACE),                                                                   \
        TL_OPTION_BOOL(P, full, 0, "full", "false", "train all weights instead of a LoRA"),                  \
        TL_OPTION_BOOL(P, checkpoint, 0, "recompute", "false",                                               \
                       "recompute activations in the backward pass: less memory, more time"),                \
        TL_OPTION_ENUM(P, dtype, 0, "dtype", "f32", tl_dtype_choices,                                        \
                       "what weights that are not trained are kept in, the rewards' encoders too, whatever " \
                       "the files have; everything is computed in f32"),                                     \
        TL_OPTION_STRING(P, memory, 0, "memory", NULL, "SIZE",                                               \
                         "the most that the run may take, such as 6G: chooses --batch and --recompute",      \
                         TL_OPTION_FREE),                                                                    \
        TL_OPTION_BOOL(P, raw_rewards, 0, "raw-rewards", "false",                                            \
                       "sum rewards as they are instead of standardised"),                                   \
        TL_OPTION_BOOL(P, shuffle_rewards, 0, "shuffle-rewards", "false",                                    \
                       "negative control: each prompt's rewards go to other samples of the same prompt, "    \
                       "so that nothing can be learnt")

#define WATCH_OPTIONS                                                                                        \
    TL_OPTION_INT(P, checkpoint_every, 0, "checkpoint-every", "10", 1, 1000000, "EPOCHS",                    \
                  "checkpoints, and the LoRA as files", TL_OPTION_FREE),                                     \
        TL_OPTION_INT(P, keep, 0, "keep", "2", 1, 1000000, "N",                                              \
                      "newest checkpoints that stay; the best one by held-out reward stays, too",            \
                      TL_OPTION_FREE),                                                                       \
        TL_OPTION_INT(P, eval_every, 0, "eval-every", "10", 0, 1000000, "EPOCHS",                            \
                      "readings in between, with pictures; 0: before and after only"),                       \
        TL_OPTION_INT(P, eval_samples, 0, "eval-samples", "8", 2, 4096, "N",                                 \
                      "per prompt, in every reading with the same noise"),                                   \
        TL_OPTION_INT(P, eval_trained_most, 0, "eval-trained-most", "16", 1, 65536, "N",                     \
                      "of the trained prompts, the first N are read"),                                       \
        TL_OPTION_INT(P, eval_others_most, 0, "eval-others-most", "256", 1, 65536, "N",                      \
                      "of --eval-prompts, the first N are read"),                                            \
        TL_OPTION_STRINGS(P, stop_when, 0, "stop-when", NULL, "RULE",                                        \
                          "end the run when METRIC<LIMIT or METRIC>LIMIT, such as 'kl>20', "                 \
                          "'held_out<95%' (of the untouched model), 'diversity<50%'; repeat it for more",    \
                          TL_OPTION_FREE),                                                                   \
        TL_OPTION_BOOL(P, dry_run, 'n', "dry-run", "false",                                                  \
                       "say what the run would take (memory, disk, evaluations, time), and end",             \
                       TL_OPTION_FREE),                                                                      \
        TL_OPTION_BOOL(P, resume, 0, "resume", "false",                                                      \
                       "go on with a run: --resume FOLDER, with all that it was begun with", TL_OPTION_FREE)

const struct tl_option tl_prdp_options[] = {
    WHAT_OPTIONS,
    DRAW_OPTIONS,
    LEARN_OPTIONS,
    TL_OPTION_REAL(P, beta, 0, "beta", "0.03", 1e-12, 1e12, "X", "reward per unit of log-ratio (sum: nats)"),
    TL_OPTION_REAL(P, clip, 0, "clip", "0.3", 0, INFINITY, "X",
                   "how far a step's log-ratio may move in an epoch; inf: no clip"),
    TL_OPTION_ENUM(P, reduce, 0, "logprob-reduce", "sum", prdp_reduces,
                   "log-ratios summed, or averaged over dimensions (and steps)"),
    TL_OPTION_BOOL(P, ties_drop, 0, "drop-ties", "false", "leave out pairs of equal rewards"),
    WATCH_OPTIONS,
    {0},
};

const struct tl_option tl_ddpo_options[] = {
    WHAT_OPTIONS,
    DRAW_OPTIONS,
    LEARN_OPTIONS,
    TL_OPTION_ENUM(P, estimator, 0, "estimator", "importance", estimators,
                   "importance-weighted and clipped, or the plain score function (one update an epoch)"),
    TL_OPTION_ENUM(P, advantages, 0, "advantages", "prompt", advantages,
                   "rewards standardised by the prompt's last 32 (the epoch's where it has under 16), by the "
                   "epoch's samples of the prompt, or by the whole epoch"),
    TL_OPTION_REAL(P, clip, 0, "clip", "0.2", 0, INFINITY, "X",
                   "half width of the ratio's band around 1; inf: no clip"),
    TL_OPTION_ENUM(P, reduce, 0, "logprob-reduce", "sum", ddpo_reduces,
                   "log-ratios summed over dimensions, or averaged (then a clip of 1e-4 is usual)"),
    WATCH_OPTIONS,
    {0},
};
#undef P
