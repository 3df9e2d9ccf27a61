#include <tiller/bench.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/interrupt.h>

#include "base/clock.h"
#include "base/str.h"
#include "run/bench_peak.h"
#include "run/bench_rows.h"
#include "run/listing.h"

enum { RUNS = 20, RUNS_SLOW = 5, WARM_UPS = 2, MOST_ROWS = 64 };
static const double slow_s = 0.5; /* of one run */

struct bench {
    const struct tl_bench_params *params;
    const struct tl_job *job;
    struct tl_device *device;
    struct tl_bench_peak peak;
    cJSON *rows;
};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool time_unit(struct tl_bench_unit *unit, double *out_s, struct tl_err *err)
{
    double s[RUNS];
    int runs = RUNS;
    for (int i = -WARM_UPS; i < runs; i++) {
        double start = tl_clock_s();
        if (!tl_interrupt_check("the benchmark", err) || !unit->run(unit->self, err)) return false;
        double took = tl_clock_s() - start;
        if (i >= 0) s[i] = took;
        if (i == -1 && took > slow_s) runs = RUNS_SLOW;
    }
    qsort(s, (size_t)runs, sizeof *s, by_size);
    *out_s = 0.5 * (s[(runs - 1) / 2] + s[runs / 2]);
    return true;
}

/* A peak that was not measured gives no fraction. */
static void add_row(struct bench *b, const char *name, double seconds, double flops, double bytes)
{
    const struct tl_bench_peak *p = &b->peak;
    cJSON *row = tl_listing_row(b->rows);
    double bound = 0;
    if (p->flops > 0) bound = flops / p->flops;
    if (p->bytes_s > 0 && bytes / p->bytes_s > bound) bound = bytes / p->bytes_s;
    tl_listing_text(row, "name", name);
    tl_listing_text(row, "device", b->device->name);
    tl_listing_number(row, "ms", seconds * 1e3);
    tl_listing_number(row, "gflops", flops / seconds * 1e-9);
    tl_listing_number(row, "gbytes_s", bytes / seconds * 1e-9);
    tl_listing_number(row, "peak_fraction", p->flops > 0 && p->bytes_s > 0 ? bound / seconds : NAN);
}

static bool run_row(struct bench *b, const struct tl_bench_row *row, struct tl_err *err)
{
    struct tl_bench_unit unit = {0};
    double seconds = 0;
    bool ok = tl_bench_open(row, b->device, &unit, err) && time_unit(&unit, &seconds, err);
    if (ok) add_row(b, row->name, seconds, unit.flops, unit.bytes);
    if (unit.self) unit.destroy(unit.self);
    return ok || tl_err_add(err, "%s", row->name);
}

static bool wanted(const struct tl_bench_params *p, const char *name)
{
    for (size_t i = 0; i < p->n_names; i++)
        if (strcmp(p->names[i], name) == 0) return true;
    return p->n_names == 0;
}

static bool check_names(const struct tl_bench_params *p, size_t *out_n, struct tl_err *err)
{
    const char *names[MOST_ROWS];
    size_t n = 0;
    *out_n = 0;
    for (; tl_bench_rows[n].name; n++) {
        names[n] = tl_bench_rows[n].name;
        *out_n += wanted(p, names[n]);
    }
    for (size_t i = 0; i < p->n_names; i++) {
        size_t k = 0;
        while (k < n && strcmp(names[k], p->names[i]) != 0) k++;
        if (k < n) continue;
        const char *near = tl_str_nearest(p->names[i], names, n);
        if (near)
            return tl_err_set(err, TL_USAGE, "there is no benchmark '%s'; did you mean %s?", p->names[i],
                              near);
        return tl_err_set(err, TL_USAGE, "there is no benchmark '%s'; --list names them", p->names[i]);
    }
    return true;
}

static void report(const struct bench *b, const char *phase, size_t done, size_t total)
{
    struct tl_progress p = {.phase = phase,
                            .done = (int64_t)done,
                            .total = (int64_t)total,
                            .unit = "rows",
                            .seconds_left = -1,
                            .health = ""};
    if (b->job->progress) b->job->progress(b->job->user, &p);
}

static bool run(struct bench *b, struct tl_err *err)
{
    size_t total, done = 0;
    if (!check_names(b->params, &total, err)) return false;
    b->device =
        tl_device_open(&(struct tl_device_params){.name = b->job->device, .threads = b->job->threads}, err);
    if (!b->device) return false;
    report(b, "measuring the peaks", 0, total);
    if (!tl_bench_peak(b->device, b->job->threads, &b->peak, err)) return false;
    for (const struct tl_bench_row *row = tl_bench_rows; row->name; row++) {
        if (!wanted(b->params, row->name)) continue;
        report(b, row->name, done++, total);
        if (!run_row(b, row, err)) return false;
    }
    return true;
}

static char *print(struct bench *b, struct tl_err *err)
{
    cJSON *out = cJSON_CreateObject();
    if (b->params->json) {
        char *text = b->rows ? tl_json_print(b->rows, true, err) : NULL;
        cJSON_Delete(out);
        return text;
    }
    tl_listing_format(out, "device", "%s (%s)", b->device->name, b->device->description);
    if (b->peak.flops > 0) tl_listing_format(out, "multiply-add loop", "%.1f GFLOP/s", b->peak.flops * 1e-9);
    if (b->peak.bytes_s > 0) tl_listing_format(out, "triad loop", "%.1f GB/s", b->peak.bytes_s * 1e-9);
    if (out && b->rows && cJSON_AddItemToObject(out, "rows", b->rows)) b->rows = NULL;
    return tl_listing_print(out, "", false, err);
}

char *tl_bench(const struct tl_bench_params *params, const struct tl_job *job, struct tl_err *err)
{
    struct bench b = {.params = params, .job = job, .rows = cJSON_CreateArray()};
    char *text = run(&b, err) ? print(&b, err) : NULL;
    cJSON_Delete(b.rows);
    tl_device_close(&b.device);
    return text;
}

char *tl_bench_list(bool json, struct tl_err *err)
{
    cJSON *out = cJSON_CreateObject(), *rows = tl_listing_array(out, "benchmarks");
    for (const struct tl_bench_row *r = tl_bench_rows; r->name; r++) {
        cJSON *row = tl_listing_row(rows);
        tl_listing_text(row, "name", r->name);
        tl_listing_text(row, "help", r->help);
    }
    return tl_listing_print(out, "tiller.bench-list/1", json, err);
}
