#include <tiller/config.h>
#include <tiller/steer.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static struct tl_steer_params params;

/* `--resume OUT` leaves OUT as the one argument; `--resume -o OUT` is the same. */
static bool read_args(const struct cli_call *call, struct tl_err *err)
{
    const char *out = params.sample.out;
    if (call->n_args == 0) return true;
    if (!params.resume)
        return tl_err_set(err, TL_USAGE, "steer: '%.80s' is one argument too many; see tiller steer -h",
                          call->args[0]);
    if (out && strcmp(out, call->args[0]) != 0)
        return tl_err_set(err, TL_USAGE, "--resume %.200s goes on in that folder; leave out -o %.200s",
                          call->args[0], out);
    return tl_option_set(call->sets[1], "out", call->args[0], TL_FROM_COMMAND, err);
}

/* What the run was begun with, weaker than the command line. */
static bool read_run(const struct cli_call *call, struct tl_err *err)
{
    char path[4096];
    const char *out = params.sample.out;
    if (!params.resume) return true;
    if (!out) return tl_err_set(err, TL_USAGE, "which run goes on? tiller steer --resume FOLDER");
    if (snprintf(path, sizeof path, "%s/config.json", out) >= (int)sizeof path)
        return tl_err_set(err, TL_USAGE, "the folder's name is too long");
    char *method = tl_config_text(path, "method", err);
    bool ours = method && strcmp(method, "steer") == 0;
    free(method);
    if (err->code) return tl_err_add(err, "%s holds no run that could go on", out);
    if (!ours)
        return tl_err_set(err, TL_USAGE, "%s: holds another kind of run, not one of tiller steer", out);
    return tl_config_read_run(call->sets, call->n_sets, out, err);
}

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    if (!read_args(call, err) || !read_run(call, err)) return err->code;
    struct tl_job job = call->job;
    job.seed = call->common->seed; /* the run may have said otherwise */
    job.device = call->common->device;
    job.threads = call->common->threads;
    params.json = call->common->json;
    bool whole;
    char *report = tl_steer(&params, call->sets[1], &job, &whole, err);
    cli_progress_end();
    if (!report) return err->code;
    bool ok = (call->common->quiet && !params.json) || cli_print(report, err);
    free(report);
    if (!ok) return err->code;
    return whole ? TL_OK : TL_PARTIAL;
}

static const char *const tables[] = {"potentials", "resamplers", "samplers", NULL};

const struct cli_verb cli_steer = {
    .name = "steer",
    .help = "draws pictures that a reward prefers, without training: particles that compete",
    .args = "",
    .required = "--model FOLDER --prompts FILE --reward NAME[:ARG] -o FOLDER | --resume FOLDER",
    .max_args = 1, /* of --resume */
    .examples =
        "tiller steer --model assets/models/shapes --prompts assets/prompts/shapes-8.txt "
        "--reward clip:assets/encoders/shapes-clip -o out/\n"
        "tiller steer --model sd15/ --prompt \"a cat\" --reward clip:clip-vit-base-patch32/ --particles 8 "
        "--lambda 20 -o out/\n"
        "tiller steer --model sd15/ --prompts p.txt --reward aesthetic:HEAD --potential none -o best-of-4/\n"
        "tiller steer --model assets/models/shapes --prompts assets/prompts/shapes-8.txt "
        "--reward clip:assets/encoders/shapes-clip --guide 0.1 -o guided/\n"
        "tiller steer --resume out/             # after Ctrl-C or a crash, with what is not finished\n",
    .notes =
        "K particles of a prompt walk the sampler together. At scored steps (each --every steps from step\n"
        "ceil(from n) to floor(to n) of n) the reward of the picture that the network predicts weighs them, "
        "and where\n"
        "the weights have become uneven (--ess) the good ones take the others' places. All particles are "
        "kept, K\n"
        "pictures for each prompt, with their weights; the best of each prompt stands in FOLDER/best, so "
        "that "
        "tiller\n"
        "score NAME FOLDER/best works. With --lambda below 0 the smallest reward is the best.\n"
        "FOLDER/steer.json tells of every prompt and step (--json prints it). One particle, --lambda 0 and\n"
        "--potential none give the pictures of tiller sample -n K with the same seed, sampler and --eta.\n"
        "--guide S follows the gradient of rewards that have one, for three times the network's work; its "
        "weights\n"
        "grow uneven where S times lambda is much above 1 or steps are early (a smaller S, a later "
        "--from).\n"
        "--report leaves FOLDER/report.html (tiller report FOLDER makes it again): the particles on their "
        "way, "
        "and\n"
        "plain samples of as many network evaluations beside them, which takes as long again (--no-compare: "
        "none).\n",
    .tables = tables,
    .options = tl_steer_options,
    .params = &params,
    .can_pause = true,
    .run = run,
};
