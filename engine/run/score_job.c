#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"
#include "run/encode_options.h"
#include "run/score_parts.h"

const struct tl_option tl_score_options[] = {
    TL_ENCODE_OPTION_ENCODER(struct tl_score_params),
    TL_OPTION_STRING(struct tl_score_params, flavour, 0, "flavour", NULL, "NAME",
                     "whose numbers, where tools differ; see tiller list flavours"),
    TL_OPTION_BOOL(struct tl_score_params, inf, 0, "inf", "false",
                   "fid, fad: extrapolated to infinitely many rows, which takes the bias of small sets away"),
    TL_OPTION_STRING(struct tl_score_params, indiv, 0, "indiv", NULL, "FILE",
                     "fad: writes each file's own distance to the reference"),
    TL_OPTION_REAL(struct tl_score_params, order, 0, "order", "1", 0.01, INFINITY, "Q",
                   "vendi: order of the entropy; small ones count rare kinds, inf the largest share alone"),
    TL_OPTION_REAL(struct tl_score_params, bandwidth, 0, "bandwidth", "0", 0, 1e30, "X",
                   "kad: width of the kernel; 0: the median distance within the reference"),
    TL_OPTION_BOOL(
        struct tl_score_params, no_interval, 0, "no-interval", "false",
        "the value alone: at 2048 dimensions a distance's interval takes 20 times as long as itself"),
    TL_OPTION_STRING(struct tl_score_params, prompts, 0, "prompts", NULL, "FILE",
                     "prompts in the order of the files' names, instead of the folder's own captions"),
    TL_OPTION_STRING(struct tl_score_params, csv, 0, "csv", NULL, "FILE",
                     "writes a table: of means over files a row a file, of the others a row a value"),
    TL_ENCODE_OPTIONS(struct tl_score_params),
    {0},
};

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* One file by two names: the same inode, or, of files that are not there yet, the same name in one folder. */
static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    struct tl_arena arena = {0};
    bool has_a = stat(a, &x) == 0, has_b = stat(b, &y) == 0, same = false;
    if (has_a && has_b) return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    const char *in_a = tl_path_folder_in(&arena, a), *in_b = tl_path_folder_in(&arena, b);
    if (!has_a && !has_b && in_a && in_b && strcmp(base_of(a), base_of(b)) == 0)
        same = stat(in_a, &x) == 0 && stat(in_b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    tl_arena_finish(&arena);
    return same;
}

/* Nothing that is read is overwritten, and no table by another. */
static bool check_apart(const struct tl_score_params *p, const char *option, const char *path,
                        struct tl_err *err)
{
    struct tl_arena arena = {0};
    bool ok = true;
    for (size_t i = 0; ok && path && i < p->n_folders; i++) {
        const char *about = tl_arena_printf(&arena, "%s.json", p->folders[i]); /* of an .npy */
        if (is_same_file(path, p->folders[i]) || (about && is_same_file(path, about)))
            ok = tl_err_set(err, TL_USAGE, "%s %s would overwrite what is measured", option, path);
    }
    const char *colon = p->encoder ? strchr(p->encoder, ':') : NULL,
               *weights = colon ? colon + 1 : p->encoder;
    const char *file = weights ? tl_arena_printf(&arena, "%.*s", (int)strcspn(weights, ","), weights) : NULL;
    if (ok && path && ((p->prompts && is_same_file(path, p->prompts)) || (file && is_same_file(path, file))))
        ok = tl_err_set(err, TL_USAGE, "%s %s would overwrite what is read", option, path);
    tl_arena_finish(&arena);
    return ok;
}

static bool check_paths(const struct tl_score_params *p, struct tl_err *err)
{
    if (!check_apart(p, "--csv", p->csv, err) || !check_apart(p, "--indiv", p->indiv, err)) return false;
    return !p->csv || !p->indiv || !is_same_file(p->csv, p->indiv) ||
           tl_err_set(err, TL_USAGE, "--csv and --indiv are both %s: give two files", p->csv);
}

/* What can be refused before the work is refused before the work. */
static bool check_output(const char *option, const char *path, struct tl_err *err)
{
    struct tl_arena arena = {0};
    const char *folder = path ? tl_path_folder_in(&arena, path) : NULL;
    bool ok = true;
    if (path && !folder)
        ok = tl_err_set(err, TL_FAIL, "out of memory");
    else if (path && (!*path || tl_file_is_folder(path)))
        ok = tl_err_set(err, TL_OUTPUT, "%s '%s' is no file", option, path);
    else if (path && !tl_file_is_folder(folder))
        ok = tl_err_set(err, TL_OUTPUT, "%s: there is no folder %s", path, folder);
    tl_arena_finish(&arena);
    return ok;
}

static bool measure(const struct tl_score_params *p, const struct tl_job *job, struct tl_score_row *rows,
                    size_t *out_n, struct tl_err *err)
{
    const struct tl_metric *metric = tl_metric_find(p->metric, p->n_folders);
    if (p->n_folders == 0) return tl_err_set(err, TL_USAGE, "score needs a folder");
    if (metric) return tl_score_sets(metric, p, job, rows, out_n, err);
    *out_n = 1;
    return tl_score_items(p, job, &rows[0], err);
}

char *tl_score(const struct tl_score_params *params, const struct tl_job *job, bool *out_whole,
               struct tl_err *err)
{
    const struct tl_score_params p = *params;
    struct tl_err own = {0};
    size_t n = 0;
    char *text = NULL;
    if (!err) err = &own; /* skipping reads it */
    struct tl_score_row *rows = calloc(p.n_folders + 1, sizeof *rows);
    bool ok = (rows || tl_err_set(err, TL_FAIL, "out of memory")) && check_output("--csv", p.csv, err) &&
              check_output("--indiv", p.indiv, err) && check_paths(&p, err) &&
              measure(&p, job, rows, &n, err);
    struct tl_err csv = {0};
    bool written = ok && p.csv && tl_score_write_csv(rows, n, p.csv, &csv);
    if (ok) text = tl_score_report(rows, n, written ? p.csv : NULL, p.json, err);
    if (text) *err = csv; /* hours of work are told all the same */
    *out_whole = true;
    for (size_t i = 0; rows && i <= p.n_folders; i++) {
        if (rows[i].n_skipped || rows[i].failed) *out_whole = false;
        tl_score_row_finish(&rows[i]);
    }
    free(rows);
    return text;
}
