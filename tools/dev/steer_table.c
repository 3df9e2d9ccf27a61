/* Steered runs beside best-of-k: steer_table POOL ... --NAME RUN ... [--NAME RUN ...]
 *
 * A RUN is the folder of `tiller steer`, with RUN/held-out.csv beside its pictures (`tiller score METRIC RUN
 * --csv RUN/held-out.csv`). POOL runs have plain samples (--potential none): best-of-k is read off them for
 * every k that divides their number of particles, as the mean over the disjoint blocks of k. Of a steered run
 * the best particle counts. Runs of one name differ by seed and have the same prompts.
 *
 * A row: k, network evaluations of one picture that is kept, the steered reward and the held-out score with
 * errors over prompts, and the difference to best-of-k at the same k, paired by prompt over the seeds' means.
 * Rows in Markdown. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/file.h"
#include "io/folder_csv.h"
#include "metrics/stats.h"

enum { MOST_GROUPS = 4096, MOST_K = 64, MOST_ROWS = 64, MOST_RUNS = 16 };

static struct tl_err err;

static void die(const char *path)
{
    fprintf(stderr, "steer_table: %s: %s\n", path, err.text);
    exit(1);
}

struct run {
    size_t n, k;                      /* groups, particles */
    double (*reward)[MOST_K];         /* [n] */
    double (*held_out)[MOST_K];       /* [n] */
    double evaluations, seconds_each; /* of the network, a group; wall time a group */
};

/* One row of the table: per prompt the mean over seeds. */
struct row {
    const char *name;
    size_t n, k, n_runs;
    double *reward, *held_out; /* [n] */
    double evaluations, seconds_each;
};

static double number(const cJSON *object, const char *key, const char *path)
{
    double x = NAN;
    if (!tl_json_double(object, key, NAN, &x, &err)) die(path);
    return x;
}

static void read_groups(struct run *run, const char *folder)
{
    struct tl_arena arena = {0};
    const char *path = tl_arena_printf(&arena, "%s/steer.jsonl", folder), *line;
    size_t n = 0, length;
    uint8_t *text = path ? tl_file_read(path, 256u << 20, &n, &err) : NULL;
    struct tl_text_lines lines;
    if (!text || !tl_text_lines_begin(&lines, (const char *)text, n, path, &err)) die(folder);
    while (tl_text_lines_next(&lines, &line, &length)) {
        cJSON *row = tl_text_lines_object(&lines, line, length, &err);
        const cJSON *rewards = row ? tl_json_get(row, "rewards") : NULL;
        size_t group = row ? (size_t)number(row, "group", path) : 0;
        if (!cJSON_IsArray(rewards) || group >= MOST_GROUPS || cJSON_GetArraySize(rewards) > MOST_K) {
            tl_err_set(&err, TL_BAD_INPUT, "a group without rewards, or too many");
            die(path);
        }
        run->k = (size_t)cJSON_GetArraySize(rewards);
        for (size_t j = 0; j < run->k; j++)
            run->reward[group][j] = cJSON_GetArrayItem(rewards, (int)j)->valuedouble;
        run->evaluations += number(row, "network_evaluations", path);
        if (group + 1 > run->n) run->n = group + 1;
        cJSON_Delete(row);
    }
    run->evaluations /= (double)run->n;
    free(text);
    tl_arena_finish(&arena);
}

/* Pictures are numbered group * k + particle. */
static void read_held_out(struct run *run, const char *folder)
{
    struct tl_arena arena = {0};
    const char *path = tl_arena_printf(&arena, "%s/held-out.csv", folder), *const * fields;
    size_t n = 0, n_fields, found = 0;
    uint8_t *text = path ? tl_file_read(path, 64u << 20, &n, &err) : NULL;
    struct tl_csv csv;
    if (!text || !tl_csv_begin(&csv, (const char *)text, n, path, &err)) die(folder);
    while (tl_csv_next(&csv, &arena, &fields, &n_fields, &err) && n_fields) {
        char *end;
        unsigned long number = strtoul(fields[0], &end, 10);
        if (strcmp(end, ".png") != 0 || number >= run->n * run->k) continue; /* the heading */
        run->held_out[number / run->k][number % run->k] = strtod(fields[n_fields - 1], NULL);
        found++;
    }
    if (err.code == TL_OK && found != run->n * run->k)
        tl_err_set(&err, TL_BAD_INPUT, "%zu scores of %zu pictures", found, run->n * run->k);
    if (err.code != TL_OK) die(path);
    free(text);
    tl_arena_finish(&arena);
}

static void read_seconds(struct run *run, const char *folder)
{
    struct tl_arena arena = {0};
    const char *path = tl_arena_printf(&arena, "%s/steer.json", folder);
    cJSON *json = path ? tl_json_read(path, &err) : NULL;
    if (!json) die(folder);
    const cJSON *totals = tl_json_get(json, "totals"),
                *seconds = totals ? tl_json_get(totals, "seconds") : NULL;
    if (!seconds) {
        tl_err_set(&err, TL_BAD_INPUT, "no totals.seconds");
        die(path);
    }
    run->seconds_each = number(seconds, "total", path) / (double)run->n;
    cJSON_Delete(json);
    tl_arena_finish(&arena);
}

static void run_open(struct run *run, const char *folder)
{
    *run = (struct run){0};
    run->reward = calloc(MOST_GROUPS, sizeof *run->reward);
    run->held_out = calloc(MOST_GROUPS, sizeof *run->held_out);
    if (!run->reward || !run->held_out) abort();
    read_groups(run, folder);
    read_held_out(run, folder);
    read_seconds(run, folder);
}

static void run_close(struct run *run)
{
    free(run->reward);
    free(run->held_out);
}

/* Adds the best of every block of k particles; share: 1 / seeds. */
static void add_best(struct row *row, const struct run *run, size_t k, double share)
{
    if (row->n && row->n != run->n) {
        fprintf(stderr, "steer_table: %s: runs of other prompts\n", row->name);
        exit(1);
    }
    row->n = run->n;
    for (size_t g = 0; g < run->n; g++)
        for (size_t first = 0; first < run->k; first += k) {
            size_t best = first;
            for (size_t j = first; j < first + k; j++)
                if (run->reward[g][j] > run->reward[g][best]) best = j;
            double part = share * (double)k / (double)run->k;
            row->reward[g] += part * run->reward[g][best];
            row->held_out[g] += part * run->held_out[g][best];
        }
    double part = share * (double)k / (double)run->k;
    row->evaluations += part * run->evaluations;
    row->seconds_each += part * run->seconds_each;
}

static struct row row_of(const char *name, char **folders, size_t n, size_t k)
{
    struct row row = {.name = name, .k = k, .n_runs = n};
    row.reward = calloc(MOST_GROUPS, sizeof *row.reward);
    row.held_out = calloc(MOST_GROUPS, sizeof *row.held_out);
    if (!row.reward || !row.held_out) abort();
    for (size_t i = 0; i < n; i++) {
        struct run run;
        run_open(&run, folders[i]);
        if (!row.k) row.k = run.k;
        if (run.k % row.k == 0) add_best(&row, &run, row.k, 1 / (double)n);
        run_close(&run);
    }
    return row;
}

static void print_row(const struct row *row, const struct row *plain)
{
    printf("| %s | %zu | %.0f | %.4f (%.4f) | %.4f (%.4f) | ", row->name, row->k, row->evaluations,
           tl_stats_mean(row->reward, row->n), tl_stats_se(row->reward, row->n),
           tl_stats_mean(row->held_out, row->n), tl_stats_se(row->held_out, row->n));
    if (plain && plain != row && plain->n == row->n) {
        struct tl_stats_paired reward, held_out;
        if (!tl_stats_paired_difference(row->reward, plain->reward, NULL, row->n, &reward, &err) ||
            !tl_stats_paired_difference(row->held_out, plain->held_out, NULL, row->n, &held_out, &err))
            die(row->name);
        printf("%+.4f (%.1f se) | %+.4f (%.1f se) | ", reward.mean, reward.z, held_out.mean, held_out.z);
    } else {
        printf(" | | ");
    }
    printf("%.2f |\n", row->seconds_each);
}

int main(int argc, char **argv)
{
    static struct row rows[MOST_ROWS];
    static char names[MOST_ROWS][32];
    size_t n = 0, n_pool = 0;
    while ((int)n_pool + 1 < argc && strncmp(argv[n_pool + 1], "--", 2) != 0) n_pool++;
    if (!n_pool) {
        fprintf(stderr, "usage: steer_table POOL ... [--NAME RUN ...] ...\n");
        return 2;
    }
    struct row whole = row_of("pool", argv + 1, n_pool, 0);
    for (size_t k = 1; k <= whole.k; k *= 2)
        if (whole.k % k == 0) {
            snprintf(names[n], sizeof names[n], k == 1 ? "untouched" : "best of %zu", k);
            rows[n] = row_of(names[n], argv + 1, n_pool, k);
            n++;
        }
    size_t n_plain = n;
    for (int i = (int)n_pool + 1; i < argc && n < MOST_ROWS; n++) {
        const char *name = argv[i] + 2;
        int first = ++i;
        while (i < argc && strncmp(argv[i], "--", 2) != 0) i++;
        rows[n] = row_of(name, argv + first, (size_t)(i - first), 0);
    }
    printf(
        "| | k | network evaluations | steered reward (se) | held-out score (se) | reward beside best of k | "
        "held out beside best of k | seconds a prompt |\n|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < n; i++) {
        const struct row *plain = NULL;
        for (size_t p = 0; p < n_plain; p++)
            if (rows[p].k == rows[i].k) plain = &rows[p];
        print_row(&rows[i], plain);
    }
    return 0;
}
