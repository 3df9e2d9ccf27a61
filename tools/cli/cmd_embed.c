#include <tiller/embed.h>

#include <stdlib.h>

#include "cli.h"

static struct tl_embed_params params;

typedef char *embed_fn(const struct tl_embed_params *params, const struct tl_job *job, bool *out_whole,
                       struct tl_err *err);

static enum tl_code run_as(embed_fn *fn, const struct cli_call *call, struct tl_err *err)
{
    bool whole;
    params.folder = call->args[0];
    params.json = call->common->json;
    char *report = fn(&params, &call->job, &whole, err);
    cli_progress_end();
    bool ok = report && ((call->common->quiet && !params.json) || cli_print(report, err));
    free(report);
    if (!ok) return err->code;
    return whole ? TL_OK : TL_PARTIAL;
}

static enum tl_code run_embed(const struct cli_call *call, struct tl_err *err)
{
    return run_as(tl_embed, call, err);
}

static enum tl_code run_stats(const struct cli_call *call, struct tl_err *err)
{
    return run_as(tl_stats, call, err);
}

static const char *const tables[] = {"encoders", NULL};

const struct cli_verb cli_embed = {
    .name = "embed",
    .help = "writes the embeddings of a folder's files",
    .args = "FOLDER",
    .required = "--encoder NAME:FILE|FOLDER -o FILE.npy",
    .min_args = 1,
    .max_args = 1,
    .examples = "tiller embed photos/ --encoder clip-vit-base-patch32/ -o photos.npy\n"
                "tiller embed songs/ --encoder logmel -o songs.npy\n",
    .notes =
        "FILE.npy is a float32 matrix [rows, dim], files in byte order of their names; FILE.npy.json says "
        "which\n"
        "rows are whose, and by what they were made. `tiller score` takes it wherever a folder stands.\n",
    .tables = tables,
    .options = tl_embed_options,
    .params = &params,
    .can_pause = true,
    .run = run_embed,
};

const struct cli_verb cli_stats = {
    .name = "stats",
    .help = "writes mean and covariance of a folder's embeddings, as pytorch-fid does",
    .args = "FOLDER",
    .required = "--encoder NAME:FILE|FOLDER -o FILE.npz",
    .min_args = 1,
    .max_args = 1,
    .examples = "tiller stats photos/ --encoder inception:pt_inception-2015-12-05.pth -o photos.npz\n"
                "tiller stats songs/ --encoder vggish:vggish.pth -o songs.npz\n"
                "tiller stats photos.npy -o photos.npz\n",
    .notes = "FILE.npz holds mu and sigma (float64, divisor n - 1), and beside them n and the encoder. "
             "`tiller score`\n"
             "takes it as the reference of fid and fad.\n",
    .tables = tables,
    .options = tl_embed_options,
    .params = &params,
    .can_pause = true,
    .run = run_stats,
};
