/* The parts of report.html. Each appends its section to `out`, or nothing where the run lacks what it tells.
 */
#ifndef TL_RUN_REPORT_PARTS_H
#define TL_RUN_REPORT_PARTS_H

#include "base/str.h"
#include "run/report_data.h"

/* ---- report_charts.c ---- */
/* Curves that everybody wants, then in a fold every other column of metrics.jsonl. */
void tl_report_charts(struct tl_str *out, struct tl_report_run *run);
/* The same curves, one chart a column, one line a run. */
void tl_report_overlays(struct tl_str *out, struct tl_report_run *runs, size_t n);

/* "epoch" or "step": what the x axes count. */
const char *tl_report_unit(struct tl_report_run *run);

/* ---- report_readings.c ---- */
/* One comparison of before and after. */
struct tl_report_change {
    const char *set, *reward;         /* "trained" or "others"; "trained" or "held_out" */
    double before, after, change, se; /* se by prompt where it is known, else plain; NaN: unknown */
    bool tested, significant;         /* significance is known; the change is more than chance */
    bool final;                       /* of a finished run */
};
enum { TL_REPORT_CHANGES = 8 };
/* Of result.json, else of the readings so far. Returns their number. */
size_t tl_report_changes(struct tl_report_run *run, struct tl_report_change out[TL_REPORT_CHANGES]);
/* "prompts not trained on", "trained prompts". */
const char *tl_report_set_name(const char *set);
/* "clip:shapes-clip" of the trained reward, or of the held-out one; no folders of this machine. */
const char *tl_report_reward_name(struct tl_report_run *run, bool held_out);

/* The best reading, or the best validation: its step, -1 where there is none; its value (NaN: none), what it
 * is of. */
int64_t tl_report_best(struct tl_report_run *run, double *out_value, const char **out_metric);

/* Tiles of the changes; of a run without readings, its summary.txt. */
void tl_report_tiles(struct tl_str *out, struct tl_report_run *run);
void tl_report_warnings(struct tl_str *out, struct tl_report_run *run);
void tl_report_histograms(struct tl_str *out, struct tl_report_run *run);

/* ---- report_pictures.c ---- */
/* Before and after, best and worst, grids; bounded in number and bytes. */
void tl_report_pictures(struct tl_str *out, struct tl_report_run *run);

/* ---- report_facts.c ---- */
void tl_report_results(struct tl_str *out, struct tl_report_run *run); /* how to use what the run left */
void tl_report_cost(struct tl_str *out, struct tl_report_run *run);
void tl_report_settings(struct tl_str *out, struct tl_report_run *run);
void tl_report_setting_differences(struct tl_str *out, struct tl_report_run *runs, size_t n);

/* Seconds that the run took; NaN: unknown. Median seconds between rows of training, a step or an epoch. */
double tl_report_seconds(const struct tl_report_run *run);
double tl_report_seconds_each(const struct tl_report_run *run);
/* "1 h 12 min", "48 s". */
const char *tl_report_duration(struct tl_arena *arena, double seconds);
/* "2026-11-24 12:55 UTC" of seconds since 1970. */
const char *tl_report_date(struct tl_arena *arena, double time);
/* "finished", or how far it came: "epoch 12 of 60". */
const char *tl_report_state(struct tl_report_run *run);

/* ---- report_style.c ---- */
void tl_report_style(struct tl_str *out); /* the charts' too */
extern const char tl_report_script[];

/* ---- report_page.c, report_compare.c: whole pages ---- */
void tl_report_page(struct tl_str *out, struct tl_report_run *run);
void tl_report_compare(struct tl_str *out, struct tl_report_run *runs, size_t n);

#endif
