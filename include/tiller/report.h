/* Reports: what `tiller report` writes, from the folders of runs alone, finished or not.
 *
 * One run: RUN/report.html, one self-contained page: readings before and after, curves, pictures side by
 * side, best and worst, distributions of rewards, warnings, how to use the results, cost, settings. Several:
 * one page that lays their curves over each other, with a table of readings and the settings that differ.
 *
 * Steered runs (tiller/steer.h): pictures of the particles over time and who descends from whom, ESS, log Z,
 * weights, the best particle beside plain samples of equal cost, cost; several side by side, prompts paired.
 *
 * Pages load nothing from elsewhere, texts of the run (prompts, names) are escaped and no script but the
 * page's own may run. The same folder gives the same bytes. Pages are bounded: at most some 100 pictures and
 * 18 MiB of them. Files are written whole or not at all. */
#ifndef TILLER_REPORT_H
#define TILLER_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

enum { TL_REPORT_MOST_RUNS = 16 };

struct tl_report_params {
    const char *const *runs; /* folders */
    size_t n_runs;           /* 1 to TL_REPORT_MOST_RUNS */
    const char *out;         /* file; NULL: RUN/report.html of one run, compare.html here of several */
    const char *names;       /* what runs are called, joined by commas; NULL: their folders' names */
    bool json;               /* the summary as JSON */
};

/* Writes the page. Gives a summary that the caller frees: where the page is, and each run's state and
 * readings; JSON has schema "tiller.report/1": report, runs [{run, folder, method, state, step, warnings,
 * readings [{prompts, reward, before, after, change, se, significant}], damaged}]; of steered runs [{run,
 * folder, method, state, prompts, best, weighted, plain, best_of_plain, best_minus_best_of_plain, damaged}],
 * where means are {mean, se}.
 *
 * *out_whole: false where damaged lines or files of a run were passed over; each run's number goes to the
 * log. Codes: TL_USAGE, TL_BAD_INPUT (no run, unreadable), TL_OUTPUT. */
char *tl_report(const struct tl_report_params *params, bool *out_whole, struct tl_err *err);

/* RUN/report.html again, without a summary: the end of every training and, with --report, of steering. */
bool tl_report_write(const char *run_folder, struct tl_err *err);

#endif
