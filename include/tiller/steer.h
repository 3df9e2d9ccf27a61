/* Steered samples: what `tiller steer` does. No training: k particles of a prompt walk the sampler together,
 * are scored on the way by a reward of the clean sample that the network predicts, and the promising ones
 * take the others' places (Feynman-Kac steering).
 *
 * A prompt is a group; particles of different prompts never mix. Particle j of prompt p is picture p k + j of
 * the run, and draws the noise that `tiller sample -n k` draws for it: with one particle, lambda 0 or the
 * potential "none" the pictures are those of `sample`. What a group becomes depends on neither the batch nor
 * the other groups (to the rounding of the device's products). A step i, from 0, is scored before the
 * network's prediction there is used.
 *
 * The folder:
 *     00000.png ...      all particles, none resampled at the end: picture and weight belong together
 *     metadata.jsonl     a row a picture: file_name, prompt, seed, number, group, particle, reward,
 *                        log_weight, weight, best, and the members of the prompt's own row
 *     best/              the particle with the largest reward of each prompt, where lambda is below 0 the
 *                        smallest, under the same names, with rows of its own
 *     steer.jsonl        a line a finished prompt: rewards, weights, log Z, what was resampled when
 *     steer.json         settings, totals and those lines (schema "tiller.steer/1")
 *     config.json run.json run.lock    as of any run
 *     report.html        with `report`: the run as a page (tiller/report.h), and what it is made from:
 *     steps/GGGG-III.png what the particles of the first prompts were predicted to become at scored step III,
 *                        side by side
 *     plain.jsonl plain/GGGG.png    with `compare`: a line a prompt of what plain samples earn, and those of
 *                        the first prompts side by side. The first k of a prompt are those of `sample`; a
 *                        guided run, whose particles cost more, has more of them. They are drawn last and
 *                        change nothing of the rest
 *
 * A prompt's line is written when its pictures are whole, so a run that was ended goes on (`resume`) with the
 * prompts that have none, or whose pictures are gone, and ends with the same bytes but for times. What a run
 * leaves that fails before its first prompt is finished is removed again. A folder that holds numbered
 * pictures and is no run is refused.
 *
 * How weights come about can be followed in a line, r_i being the rewards of event i on a particle's lineage:
 *     log_weights of event i:    those of event i - 1 (0 where it resampled) + log G_i + its log_ratios
 *     log_weights of the line:   the same, with log G of the end
 * log G is the potential's (algo/potential.h; "diff": lambda (r_i - r_(i-1)), first lambda r_0), at the end
 * lambda r(x_0) less what the lineage gained before. log_ratios, in guided runs only: the sum of
 * log p - log tau of the guided steps since the event before. */
#ifndef TILLER_STEER_H
#define TILLER_STEER_H

#include <tiller/sample.h>

/* Where intermediate rewards come from: the decoded 8-bit pictures, as the final ones, or the device's float
 * pictures, which need not leave it (auto: where all rewards have a gradient). */
enum tl_reward_path { TL_REWARD_PATH_AUTO, TL_REWARD_PATH_DEVICE, TL_REWARD_PATH_BYTES };

struct tl_steer_params {
    struct tl_sample_params sample; /* n: particles a prompt. save_latents is not looked at */
    const char *method;             /* "steer": what the folder's config.json is of */
    struct tl_strings reward;       /* NAME[:ARG][@WEIGHT] (tiller/reward.h) */
    bool raw_rewards;               /* sum several without standardising */
    int standardise;                /* plain samples that give several rewards their scale */
    double lambda;                  /* strength, in units of the (standardised) reward; below 0: less of it */
    const char *potential;          /* diff, max, sum, immediate, none */
    const char *resample;           /* systematic, stratified, residual, multinomial, ssp */
    double ess;                     /* resample where the effective sample size is below this share of k;
                                       0: never, and nothing is scored on the way */
    int every;                      /* score each so many steps, */
    double from, to;                /* from step ceil(from n) to floor(to n) of n */
    int draws;                      /* x_0 that are drawn for one intermediate reward; 1: the prediction */
    double guide;                   /* strength of the gradient in the proposal; 0: none. The steps of the
                                       window from .. to that add noise are guided, each one */
    int reward_path;                /* enum tl_reward_path */
    const char *memory;             /* "6G": the most that the run may take; NULL: as much as it likes */
    bool report;                    /* report.html, and what it shows */
    bool compare;                   /* with `report`: plain samples of as many network evaluations, too */
    bool resume;
    bool json; /* the report as JSON: steer.json */
};

extern const struct tl_option tl_steer_options[]; /* fills the params; not `json` */

/* `options` is bound to params: it is what config.json records, and what a resumed run is compared with. A
 * report that the caller frees. *out_whole as of tl_sample. What ends a run that has begun says how many
 * prompts are kept and how to go on. Codes: TL_USAGE, TL_BAD_INPUT, TL_OUTPUT,
 * TL_DEVICE, TL_NUMERIC, TL_PLUGIN, TL_BUSY; TL_INTERRUPTED with the finished prompts kept. */
char *tl_steer(const struct tl_steer_params *params, const struct tl_options *options,
               const struct tl_job *job, bool *out_whole, struct tl_err *err);

#endif
