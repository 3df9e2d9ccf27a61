/* Embeddings and statistics of folders as files: what `tiller embed` and `tiller stats` do. `tiller score`
 * takes either wherever a folder stands. */
#ifndef TILLER_EMBED_H
#define TILLER_EMBED_H

#include <tiller/job.h>
#include <tiller/option.h>

struct tl_embed_params {
    const char *folder;  /* a folder, a list file, one file; for statistics also an .npy */
    const char *encoder; /* NAME:ARG or a model's folder */
    const char *output;
    const char *cache; /* folder of embeddings; NULL: the user's */
    int dtype;         /* encoders' weights are kept in: 0 f32, 1 f16, 2 bf16 */
    int workers;       /* processes that decode; 0: one a core */
    bool no_cache;
    bool strict; /* a file that would be skipped is the job's failure, TL_BAD_INPUT */
    bool json;   /* the report as JSON */
};

extern const struct tl_option tl_embed_options[];

/* Writes output, an .npy of float32 [rows, dim], files in byte order of their names; and output.json:
 * encoder, encoder_sha256, config_sha256 (of a model folder's settings), settings, dtype and device (of
 * encoders that need one; else "host"), dim, npy_sha256, files [{file, rows}], skipped [{folder, file,
 * reason}]. */
char *tl_embed(const struct tl_embed_params *params, const struct tl_job *job, bool *out_whole,
               struct tl_err *err);

/* Writes output, an .npz with mu [dim] and sigma [dim, dim] in float64 (divisor n - 1) as pytorch-fid writes
 * it, n, the number of rows, and as texts what the .json above says of the encoder. */
char *tl_stats(const struct tl_embed_params *params, const struct tl_job *job, bool *out_whole,
               struct tl_err *err);

#endif
