#include <tiller/report.h>

#include <stdlib.h>

#include "cli.h"

static struct tl_report_params params;

static const struct tl_option options[] = {
    TL_OPTION_STRING(struct tl_report_params, out, 'o', "out", NULL, "FILE",
                     "the page; else RUN/report.html, of several runs compare.html"),
    TL_OPTION_STRING(struct tl_report_params, names, 0, "names", NULL, "A,B",
                     "what the runs are called; else as their folders"),
    {0},
};

static enum tl_code run(const struct cli_call *call, struct tl_err *err)
{
    bool whole;
    params.runs = call->args;
    params.n_runs = call->n_args;
    params.json = call->common->json;
    char *text = tl_report(&params, &whole, err);
    bool ok = text && ((call->common->quiet && !params.json) || cli_print(text, err));
    free(text);
    if (!ok) return err->code;
    return whole ? TL_OK : TL_PARTIAL;
}

const struct cli_verb cli_report = {
    .name = "report",
    .help = "writes a run's report.html again, or a page that compares runs",
    .args = "RUN [RUN ...]",
    .required = "",
    .min_args = 1,
    .max_args = TL_REPORT_MOST_RUNS,
    .examples = "tiller report run/\n"
                "tiller report prdp/ ddpo/ control/ --names PRDP,DDPO,shuffled -o compare.html\n"
                "tiller report run/ --json\n"
                "tiller report steered/ none/           # folders of tiller steer\n",
    .options = options,
    .params = &params,
    .run = run,
};
