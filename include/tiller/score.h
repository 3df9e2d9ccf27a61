/* Scores of a folder of pictures: what `tiller score` does.
 *
 * Pictures are paired with prompts by the folder's metadata.jsonl (`file_name` with `text`, `prompt` or
 * `caption`) or a text file of the same stem; or by a file of prompts, in the order of the pictures' names: a
 * prompt a picture, or each prompt for the same number of pictures that follow one another, as `tiller
 * sample` numbers them. Pictures that cannot be read or scored are skipped and listed, and so are those
 * without a prompt where the reward reads prompts. */
#ifndef TILLER_SCORE_H
#define TILLER_SCORE_H

#include <tiller/job.h>
#include <tiller/option.h>

struct tl_score_params {
    const char *reward;  /* NAME[:ARG][@WEIGHT] of a per-item reward (tiller/reward.h) */
    const char *folder;  /* pictures, in subfolders too */
    const char *encoder; /* the model folder of a reward that needs one, instead of in ARG */
    const char *flavour; /* goes with encoder */
    const char *prompts; /* file: one a line, or JSONL; NULL: the folder's own */
    const char *csv;     /* file to write: file, prompt, score of each picture; NULL: none */
    int dtype;           /* encoders' weights are kept in: 0 f32, 1 f16, 2 bf16 */
    bool strict;         /* a picture that would be skipped is the job's failure, TL_BAD_INPUT */
    bool json;           /* the report as JSON */
};

extern const struct tl_option tl_score_options[]; /* encoder to strict */

/* A report that the caller frees: the mean with its number of pictures and 95 % interval (percentile
 * bootstrap over pictures, 2000 replicates from the job's seed), the encoder and the SHA-256 of its weights.
 * The JSON form is an array of one object: metric, value, n, interval [low, high], encoder (null without),
 * encoder_sha256 (null without), flavour (null where there is one only), weight, range [low, high], skipped
 * [{file, reason}]; of an ensemble also members [{reward, value, encoder, encoder_sha256, flavour, range}].
 * Their scores are combined as they are here, for there is no untouched model to standardise them by.
 *
 * *out_whole: false where pictures were skipped. Codes: TL_USAGE; TL_BAD_INPUT also where nothing could be
 * scored; TL_NUMERIC for a score that is not finite; TL_OUTPUT, TL_DEVICE, TL_INTERRUPTED. */
char *tl_score_folder(const struct tl_score_params *params, const struct tl_job *job, bool *out_whole,
                      struct tl_err *err);

#endif
