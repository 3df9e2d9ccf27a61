/* Runs against their controls: control_test --NAME RUN ... --control RUN ... [--OTHER RUN ...]
 *
 * Reads samples/step-N/rewards.jsonl of the untouched model and of the last reading of every run, pairs them
 * by prompt and sample (set "others": prompts that no run was trained on), and prints a table in Markdown:
 * each run's changes with errors clustered by prompt, its KL and diversity; what best-of-4 of the untouched
 * model gains; and for every group the test: the mean change of its runs minus that of the controls, in
 * standard errors that count prompts and the spread between runs.
 *
 * The error: runs and prompts are crossed, every run is read on the same prompts (each seed with noise of its
 * own). With d_rp the mean change of run r on prompt p, Var(mean) = s2_runs / R + s2_prompts / P: s2_runs the
 * variance of run means within the group and within the controls, pooled, s2_prompts that over prompts of
 * (mean of runs - mean of controls). Both are estimated as they are, so noise is counted in each: the sum is
 * on the safe side. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "io/file.h"
#include "io/text_lines.h"
#include "metrics/stats.h"

enum { MOST_RUNS = 64, MOST = 65536, BEST_OF = 4 };

static struct tl_err err;

static void die(void)
{
    fprintf(stderr, "control_test: %s\n", err.text);
    exit(1);
}

struct reading {
    size_t n, n_prompts;
    uint32_t prompt[MOST];
    int sample[MOST];
    double reward[MOST], held_out[MOST];
};

struct run {
    const char *folder, *group;
    struct reading *before, *after;
    double change[2], clustered[2]; /* trained reward, held out */
    double kl, diversity[2];
    int epochs;
};

static struct reading *read_rewards(const char *folder, const char *step)
{
    struct reading *r = calloc(1, sizeof *r);
    struct tl_arena arena = {0};
    const char *path = tl_arena_printf(&arena, "%s/samples/%s/rewards.jsonl", folder, step), *line;
    size_t n = 0, length;
    uint8_t *text = path ? tl_file_read(path, 64u << 20, &n, &err) : NULL;
    struct tl_text_lines lines;
    if (!r || !text || !tl_text_lines_begin(&lines, (const char *)text, n, path, &err)) die();
    while (tl_text_lines_next(&lines, &line, &length) && r->n < MOST) {
        cJSON *row = tl_text_lines_object(&lines, line, length, &err);
        const char *set = NULL;
        int64_t prompt = 0, sample = 0;
        size_t k = r->n;
        if (!row || !tl_json_string(row, "set", "", &set, &err) ||
            !tl_json_int(row, "prompt_index", 0, &prompt, &err) ||
            !tl_json_int(row, "sample", 0, &sample, &err) ||
            !tl_json_double(row, "reward", NAN, &r->reward[k], &err) ||
            !tl_json_double(row, "held_out", NAN, &r->held_out[k], &err))
            die();
        if (strcmp(set, "others") == 0) {
            r->prompt[k] = (uint32_t)prompt;
            r->sample[k] = (int)sample;
            if ((size_t)prompt + 1 > r->n_prompts) r->n_prompts = (size_t)prompt + 1;
            r->n++;
        }
        cJSON_Delete(row);
    }
    free(text);
    tl_arena_finish(&arena);
    return r;
}

static int is_step(const struct dirent *e)
{
    return strncmp(e->d_name, "step-", 5) == 0;
}

/* The last value of a column of metrics.jsonl. */
static void read_metrics(struct run *run)
{
    struct tl_arena arena = {0};
    const char *path = tl_arena_printf(&arena, "%s/metrics.jsonl", run->folder), *line;
    size_t n = 0, length;
    uint8_t *text = path ? tl_file_read(path, 64u << 20, &n, &err) : NULL;
    struct tl_text_lines lines;
    if (!text || !tl_text_lines_begin(&lines, (const char *)text, n, path, &err)) die();
    bool first = true;
    while (tl_text_lines_next(&lines, &line, &length)) {
        cJSON *row = tl_text_lines_object(&lines, line, length, &err);
        const char *phase = NULL;
        int64_t step = 0;
        if (!row || !tl_json_string(row, "phase", "", &phase, &err) ||
            !tl_json_int(row, "step", 0, &step, &err) ||
            !tl_json_double(row, "kl_nats", run->kl, &run->kl, &err))
            die();
        if (strcmp(phase, "eval_others") == 0) {
            if (!tl_json_double(row, "diversity", 0, &run->diversity[first ? 0 : 1], &err)) die();
            first = false;
        }
        run->epochs = (int)step;
        cJSON_Delete(row);
    }
    free(text);
    tl_arena_finish(&arena);
}

static void paired(struct run *run, int k)
{
    const struct reading *a = run->before, *b = run->after;
    struct tl_stats_paired d;
    if (a->n != b->n || a->n == 0) {
        fprintf(stderr, "control_test: %s: its readings do not pair up\n", run->folder);
        exit(1);
    }
    if (!tl_stats_paired_difference(k ? b->held_out : b->reward, k ? a->held_out : a->reward, a->prompt, a->n,
                                    &d, &err))
        die();
    run->change[k] = d.mean;
    run->clustered[k] = d.clustered_se;
}

static void open_run(struct run *run, const char *folder, const char *group)
{
    struct dirent **list;
    char path[4096];
    snprintf(path, sizeof path, "%s/samples", folder);
    int n = scandir(path, &list, is_step, alphasort);
    if (n < 2) {
        fprintf(stderr, "control_test: %s: there are no two readings\n", path);
        exit(1);
    }
    *run = (struct run){.folder = folder, .group = group};
    run->before = read_rewards(folder, list[0]->d_name);
    run->after = read_rewards(folder, list[n - 1]->d_name);
    for (int i = 0; i < n; i++) free(list[i]);
    free(list);
    read_metrics(run);
    paired(run, 0);
    paired(run, 1);
}

static double best_of(const struct reading *r)
{
    double sum = 0;
    for (size_t p = 0; p < r->n_prompts; p++) {
        double best = -INFINITY;
        for (size_t i = 0; i < r->n; i++)
            if (r->prompt[i] == p && r->sample[i] < BEST_OF) best = fmax(best, r->reward[i]);
        sum += best;
    }
    return sum / (double)r->n_prompts;
}

/* Mean change of a group's runs on each prompt, and the sum of squares of the runs' means about theirs. */
static double group_means(const struct run *runs, size_t n, const char *group, int k, double *out,
                          size_t n_prompts, double *out_squares, size_t *out_n)
{
    double means[MOST_RUNS];
    *out_n = 0;
    memset(out, 0, n_prompts * sizeof *out);
    for (size_t r = 0; r < n; r++) {
        if (strcmp(runs[r].group, group) != 0) continue;
        means[(*out_n)++] = runs[r].change[k];
        const struct reading *a = runs[r].before, *b = runs[r].after;
        for (size_t i = 0; i < a->n; i++)
            out[a->prompt[i]] += (k ? b->held_out[i] - a->held_out[i] : b->reward[i] - a->reward[i]) *
                                 (double)n_prompts / (double)a->n;
    }
    for (size_t p = 0; p < n_prompts; p++) out[p] /= (double)*out_n;
    double mean = tl_stats_mean(means, *out_n);
    for (size_t r = 0; r < *out_n; r++) *out_squares += (means[r] - mean) * (means[r] - mean);
    return mean;
}

static void test(const struct run *runs, size_t n, const char *group, int k)
{
    size_t n_prompts = runs[0].before->n_prompts, n_runs, n_controls;
    double *a = malloc(n_prompts * sizeof *a), *b = malloc(n_prompts * sizeof *b), squares = 0;
    double mean = group_means(runs, n, group, k, a, n_prompts, &squares, &n_runs),
           control = group_means(runs, n, "control", k, b, n_prompts, &squares, &n_controls);
    double dof = (double)(n_runs + n_controls) - 2, between = dof > 0 ? squares / dof : 0;
    for (size_t p = 0; p < n_prompts; p++) a[p] -= b[p];
    double over_prompts = tl_stats_se(a, n_prompts),
           over_runs = sqrt(between * (1 / (double)n_runs + 1 / (double)n_controls)),
           se = sqrt(over_prompts * over_prompts + over_runs * over_runs);
    printf("- %s, %s: mean change %+.4f, control %+.4f, difference %+.4f; standard error %.4f (over prompts "
           "%.4f, between "
           "runs %.4f): %.1f standard errors\n",
           group, k ? "held-out reward" : "trained reward", mean, control, mean - control, se, over_prompts,
           over_runs, (mean - control) / se);
    free(a);
    free(b);
}

int main(int argc, char **argv)
{
    static struct run runs[MOST_RUNS];
    const char *group = "run", *groups[8];
    size_t n = 0, n_groups = 0;
    bool controls = false;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            group = argv[i] + 2;
            continue;
        }
        if (n == MOST_RUNS) break;
        open_run(&runs[n++], argv[i], group);
        bool known = strcmp(group, "control") == 0;
        controls |= known;
        for (size_t g = 0; g < n_groups; g++) known |= strcmp(groups[g], group) == 0;
        if (!known && n_groups < 8) groups[n_groups++] = group;
    }
    if (n == 0 || n_groups == 0) {
        fprintf(stderr, "usage: control_test --NAME RUN ... --control RUN ... [--OTHER RUN ...]\n");
        return 2;
    }
    printf("| | epochs | trained reward: change (clustered se) | held-out: change (clustered se) | KL, nats "
           "| diversity |\n"
           "|---|---|---|---|---|---|\n");
    for (size_t r = 0; r < n; r++) {
        if (runs[r].before->n_prompts != runs[0].before->n_prompts) {
            fprintf(stderr, "control_test: %s was read on other prompts\n", runs[r].folder);
            return 1;
        }
        const char *name = strrchr(runs[r].folder, '/');
        printf("| %s `%s` | %d | %+.4f (%.4f) | %+.4f (%.4f) | %.2f | %.3f -> %.3f |\n", runs[r].group,
               name ? name + 1 : runs[r].folder, runs[r].epochs, runs[r].change[0], runs[r].clustered[0],
               runs[r].change[1], runs[r].clustered[1], runs[r].kl, runs[r].diversity[0],
               runs[r].diversity[1]);
    }
    const struct reading *base = runs[0].before;
    double mean = 0, best = 0, held_out = 0;
    for (size_t r = 0; r < n; r++) {
        mean += tl_stats_mean(runs[r].before->reward, base->n) / (double)n;
        held_out += tl_stats_mean(runs[r].before->held_out, base->n) / (double)n;
        best += best_of(runs[r].before) / (double)n;
    }
    printf("\n- untouched, mean over the seeds: %.4f (held out %.4f) over %zu pictures of %zu prompts; best "
           "of %d: %.4f, a gain "
           "of %+.4f, half of "
           "it %+.4f\n",
           mean, held_out, base->n, base->n_prompts, BEST_OF, best, best - mean, (best - mean) / 2);
    for (size_t g = 0; controls && g < n_groups; g++)
        for (int k = 0; k < 2; k++) test(runs, n, groups[g], k);
    return 0;
}
