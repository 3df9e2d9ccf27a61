#include <tiller/score.h>

#include "cli.h"

static struct tl_score_params params;

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    bool whole;
    params.metric = call->args[0];
    params.folders = call->args + 1;
    params.n_folders = call->n_args - 1;
    params.json = call->common->json;
    struct tl_job job = call->job;
    if (tl_option_source_of(call->sets[0], "seed") == TL_FROM_DEFAULT) job.seed = 0; /* the same every time */
    char *report = tl_score(&params, &job, &whole, err);
    cli_progress_end();
    if (!cli_print_owned(report, err) || err->code) return err->code;
    return whole ? TL_OK : TL_PARTIAL;
}

static const char *const tables[] = {"metrics", "flavours", "encoders", NULL};

const struct cli_verb cli_score = {
    .name = "score",
    .help = "measures folders of pictures or sounds: distances, diversity, rewards",
    .args = "METRIC FOLDER [FOLDER ...]",
    .required = "",
    .min_args = 2,
    .max_args = 64,
    .examples =
        "tiller score clip out/ --encoder assets/encoders/shapes-clip\n"
        "tiller score clip out/ --encoder clip-vit-large-patch14/ --flavour clipscore --csv scores.csv\n"
        "tiller score clip out/ photos/ --encoder clip-vit-base-patch32/     # pictures of the same name\n"
        "tiller score fid ref/ out/ --encoder inception:pt_inception-2015-12-05.pth\n"
        "tiller score fid ref.npz a/ b/ --encoder inception:pt_inception-2015-12-05.pth --json\n"
        "tiller score kid ref/ out/ --encoder inception:FILE.pth --flavour clean-fid\n"
        "tiller score cmmd ref/ out/ --encoder clip-vit-large-patch14-336/\n"
        "tiller score fad ref/ out/ --encoder vggish:vggish.pth --inf --indiv songs.csv\n"
        "tiller score kad ref.npy out.npy\n"
        "tiller score vendi out/ --encoder clip-vit-base-patch32/ --order inf\n"
        "tiller score scene out/ --json\n",
    .notes =
        "A FOLDER may be a folder (subfolders are read), a list of files (a path a line), one file, an .npy "
        "of\n"
        "embeddings (tiller embed), or, for fid and fad, an .npz of statistics (tiller stats, pytorch-fid). "
        "Of two\n"
        "sets the first is the reference; more sets behind it are measured one by one.\n"
        "METRIC and flavours are rows of the tables below, the default flavour first.\n"
        "Pictures: alpha dropped, grey repeated, 16 bits cut to 8, CMYK turned to RGB, EXIF rotation and "
        "colour\n"
        "profiles not applied. Sounds: mean of the channels, resampled as the encoder's settings say.\n"
        "What is drawn (bootstraps, groups of a jackknife, --inf, subsets) is drawn with --seed, here 0 "
        "unless it is "
        "given.\n"
        "Files that cannot be used are skipped and listed, and the exit code is 3.\n"
        "Embeddings of sets are kept in $XDG_CACHE_HOME/tiller or ~/.cache/tiller by the files' "
        "content;\n"
        "delete it freely. Means over the files of one folder (rewards) keep none and read none.\n",
    .tables = tables,
    .options = tl_score_options,
    .params = &params,
    .can_pause = true,
    .run = run,
};
