/* What a run was told, what it cost, what it left. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tiller/steer.h>
#include <tiller/train.h>

#include "io/file.h"
#include "io/html.h"
#include "io/svg_axis.h"
#include "run/report_parts.h"

/* ---- time ---- */

const char *tl_report_duration(struct tl_arena *arena, double s)
{
    const char *text;
    if (s < 10)
        text = tl_arena_printf(arena, "%.2g s", s);
    else if (s < 90)
        text = tl_arena_printf(arena, "%.0f s", s);
    else if (s < 5400)
        text = tl_arena_printf(arena, "%.0f min", s / 60);
    else if (s < 48 * 3600)
        text = tl_arena_printf(arena, "%d h %02d min", (int)(s / 3600), (int)(s / 60) % 60);
    else
        text = tl_arena_printf(arena, "%.1f days", s / 86400);
    return text ? text : "";
}

const char *tl_report_date(struct tl_arena *arena, double t)
{
    char text[64];
    struct tm tm;
    time_t seconds = (time_t)t;
    if (!(t > 0 && t < 253402300800.0) || !gmtime_r(&seconds, &tm)) return "";
    strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &tm);
    const char *kept = tl_arena_strdup(arena, text);
    return kept ? kept : "";
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Median, so that pauses between sessions and the readings' own time do not count. */
double tl_report_seconds_each(const struct tl_report_run *r)
{
    const struct tl_report_column *time = tl_report_column(r, "train", "time");
    size_t n = 0;
    double *each = time && time->n > 1 ? malloc(time->n * sizeof *each) : NULL, median = NAN;
    for (size_t i = 1; each && i < time->n; i++)
        if (time->x[i] > time->x[i - 1])
            each[n++] = (time->y[i] - time->y[i - 1]) / (time->x[i] - time->x[i - 1]);
    if (n) {
        qsort(each, n, sizeof *each, ascending);
        median = each[n / 2];
    }
    free(each);
    return median;
}

double tl_report_seconds(const struct tl_report_run *r)
{
    const cJSON *const from[] = {r->result, r->about};
    for (int i = 0; i < 2; i++) {
        const cJSON *seconds = tl_json_get(from[i], "seconds");
        if (cJSON_IsNumber(seconds)) return seconds->valuedouble;
    }
    return r->n_rows > 1 ? r->last_time - r->first_time : NAN;
}

const char *tl_report_state(struct tl_report_run *r)
{
    int64_t total = 0;
    const char *unit = tl_report_unit(r), *text, *model = tl_path_join_in(&r->arena, r->path, "model"),
               *lora = tl_path_join_in(&r->arena, r->path, "lora");
    if (!tl_json_int(r->config, strcmp(unit, "epoch") == 0 ? "epochs" : "steps", 0, &total, NULL)) total = 0;
    bool through = total > 0 && r->last_step >= total;
    const char *stopped = tl_report_value_text(&r->arena, tl_json_get(r->result, "stopped"));
    if (*stopped)
        text = tl_arena_printf(&r->arena, "stopped at %s %lld: %s", unit, (long long)r->last_step, stopped);
    else if (r->result || (through && model && lora && (tl_file_is_folder(model) || tl_file_is_folder(lora))))
        text = tl_arena_printf(&r->arena, "finished at %s %lld", unit, (long long)r->last_step);
    else if (r->last_step < 0)
        text = "begun, no metrics yet";
    else if (total > 0)
        text = tl_arena_printf(&r->arena, "not finished: %s %lld of %lld", unit, (long long)r->last_step,
                               (long long)total);
    else
        text = tl_arena_printf(&r->arena, "not finished: %s %lld", unit, (long long)r->last_step);
    return text ? text : "";
}

/* ---- rows of a table ---- */

static void fact(struct tl_str *out, const char *name, const char *value)
{
    if (!value || !*value) return;
    tl_str_append(out, "<tr><th>");
    tl_html_text(out, name);
    tl_str_append(out, "</th><td>");
    tl_html_text_cut(out, value, 2000);
    tl_str_append(out, "</td></tr>\n");
}

/* "12 345 678" of a count. */
static const char *count_text(struct tl_arena *arena, const cJSON *json)
{
    char digits[40], spaced[80];
    size_t n, k = 0;
    if (!cJSON_IsNumber(json) || !(fabs(json->valuedouble) < 1e15)) return NULL;
    n = (size_t)snprintf(digits, sizeof digits, "%.0f", json->valuedouble);
    for (size_t i = 0; i < n; i++) {
        spaced[k++] = digits[i];
        if (i + 1 < n && (n - i - 1) % 3 == 0 && digits[i] != '-')
            k += (size_t)snprintf(spaced + k, 3, "\xc2\xa0");
    }
    spaced[k] = 0;
    return tl_arena_strdup(arena, spaced);
}

void tl_report_cost(struct tl_str *out, struct tl_report_run *r)
{
    static const struct {
        const char *key, *name;
    } counts[] = {{"epochs", "epochs"},
                  {"steps", "steps"},
                  {"updates", "updates of the weights"},
                  {"reward_queries", "reward queries"},
                  {"network_evaluations", "network evaluations"}};
    const cJSON *device = tl_json_get(r->about, "device"), *resumes = tl_json_get(r->about, "resumes");
    const char *name = tl_report_value_text(&r->arena, tl_json_get(device, "name")),
               *description = tl_report_value_text(&r->arena, tl_json_get(device, "description"));
    double seconds = tl_report_seconds(r), each = tl_report_seconds_each(r);
    const char *unit = tl_report_unit(r);
    tl_str_append(out, "<section><h2>Cost</h2><table class=\"facts\">\n");
    if (isfinite(seconds)) fact(out, "time", tl_report_duration(&r->arena, seconds));
    if (isfinite(each))
        fact(out, strcmp(unit, "epoch") == 0 ? "an epoch" : "a step", tl_report_duration(&r->arena, each));
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        fact(out, counts[i].name, count_text(&r->arena, tl_json_get(r->result, counts[i].key)));
    fact(out, "device", *description ? tl_arena_printf(&r->arena, "%s (%s)", name, description) : name);
    fact(out, "begun", tl_report_value_text(&r->arena, tl_json_get(r->about, "started")));
    fact(out, "last row", tl_report_date(&r->arena, r->last_time));
    if (cJSON_GetArraySize(resumes) > 0)
        fact(out, "resumed", tl_arena_printf(&r->arena, "%d times", cJSON_GetArraySize(resumes)));
    fact(out, "tiller", tl_report_value_text(&r->arena, tl_json_get(r->about, "version")));
    if (r->n_bad_lines)
        fact(out, "passed over",
             tl_arena_printf(&r->arena, "%zu damaged lines or files of the run", r->n_bad_lines));
    tl_str_append(out, "</table></section>\n");
}

/* ---- settings ---- */

static const struct tl_option *row_of(struct tl_report_run *r, const char *key)
{
    const char *method = tl_report_config(r, "method");
    const struct tl_method *m = tl_method_find(method);
    if (strcmp(method, "steer") == 0) return tl_option_find(tl_steer_options, key);
    return m ? tl_option_find(m->options, key) : NULL;
}

static bool is_default(const struct tl_option *row, const cJSON *value, const char *text)
{
    const char *fallback = row && row->fallback ? row->fallback : "";
    if (!row) return false;
    if (row->type == TL_OPTION_TYPE_SEED) return false;
    if (row->type == TL_OPTION_TYPE_BOOL) return cJSON_IsTrue(value) == (strcmp(fallback, "true") == 0);
    if (cJSON_IsNumber(value)) return value->valuedouble == strtod(fallback, NULL);
    return strcmp(text, fallback) == 0;
}

static void setting(struct tl_str *out, struct tl_report_run *r, const cJSON *value)
{
    const struct tl_option *row = row_of(r, value->string);
    const char *text = tl_report_value_text(&r->arena, value);
    tl_str_printf(out, "<tr%s><th>", is_default(row, value, text) ? " class=\"default\"" : "");
    tl_html_text_cut(out, value->string, 80);
    tl_str_append(out, "</th><td>");
    if (*text)
        tl_html_text_cut(out, text, 2000);
    else
        tl_str_append(out, "\xe2\x80\x93");
    tl_str_append(out, "</td><td class=\"help\">");
    if (row) tl_html_text(out, row->help);
    tl_str_append(out, "</td></tr>\n");
}

void tl_report_settings(struct tl_str *out, struct tl_report_run *r)
{
    const char *command = tl_report_value_text(&r->arena, tl_json_get(r->about, "command"));
    const cJSON *seeds = tl_json_get(r->about, "seeds"), *value;
    if (!r->config && !*command) return;
    tl_str_append(out, "<section><h2>Settings</h2>\n");
    if (*command) {
        tl_str_append(out, "<pre><code>");
        tl_html_text_cut(out, command, 4000);
        tl_str_append(out, "</code></pre>\n");
    }
    tl_str_append(out, "<p class=\"dim\">Greyed: as by default.</p><table class=\"facts settings\">\n");
    cJSON_ArrayForEach(value, seeds)
    {
        setting(out, r, value);
    }
    cJSON_ArrayForEach(value, r->config)
    {
        setting(out, r, value);
    }
    tl_str_append(out, "</table></section>\n");
}

/* Whether runs that have the key disagree about it; other methods have other settings. */
static bool differs(struct tl_report_run *runs, size_t n, const char *key)
{
    const char *first = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!cJSON_GetObjectItemCaseSensitive(runs[i].config, key)) continue;
        const char *text = tl_report_config(&runs[i], key);
        if (first && strcmp(first, text) != 0) return true;
        first = text;
    }
    return false;
}

static bool seen_before(struct tl_report_run *runs, size_t run, const char *key)
{
    for (size_t i = 0; i < run; i++)
        if (cJSON_GetObjectItemCaseSensitive(runs[i].config, key)) return true;
    return false;
}

void tl_report_setting_differences(struct tl_str *out, struct tl_report_run *runs, size_t n)
{
    size_t same = 0, different = 0;
    tl_str_append(
        out,
        "<section><h2>Settings that differ</h2><div class=\"wide\"><table class=\"differ\">\n<tr><th></th>");
    for (size_t i = 0; i < n; i++) {
        tl_str_append(out, "<th>");
        tl_html_text_cut(out, runs[i].name, 60);
        tl_str_append(out, "</th>");
    }
    tl_str_append(out, "</tr>\n");
    for (size_t run = 0; run < n; run++) {
        const cJSON *value;
        cJSON_ArrayForEach(value, runs[run].config)
        {
            if (strcmp(value->string, "out") == 0 || seen_before(runs, run, value->string)) continue;
            if (!differs(runs, n, value->string)) {
                same++;
                continue;
            }
            different++;
            tl_str_append(out, "<tr><th>");
            tl_html_text_cut(out, value->string, 80);
            tl_str_append(out, "</th>");
            for (size_t i = 0; i < n; i++) {
                tl_str_append(out, "<td>");
                if (cJSON_GetObjectItemCaseSensitive(runs[i].config, value->string))
                    tl_html_text_cut(out, tl_report_config(&runs[i], value->string), 300);
                else
                    tl_str_append(out, "<span class=\"dim\">\xe2\x80\x93</span>");
                tl_str_append(out, "</td>");
            }
            tl_str_append(out, "</tr>\n");
        }
    }
    tl_str_printf(
        out,
        "</table></div><p class=\"dim\">%zu differ, %zu are the same in all that have them.</p></section>\n",
        different, same);
}

/* ---- results ---- */

static void command(struct tl_str *out, const char *what, const char *line)
{
    if (!line) return;
    tl_str_append(out, "<p>");
    tl_html_text(out, what);
    tl_str_append(out, "</p><pre><code>");
    tl_html_text(out, line);
    tl_str_append(out, "</code></pre>\n");
}

/* The adapters of a folder of the run. */
static size_t list_adapters(struct tl_str *out, struct tl_report_run *r, const char *folder, const char *what)
{
    const char *const *names = NULL;
    size_t n = 0, shown = 0;
    const char *path = tl_path_join_in(&r->arena, r->path, folder);
    if (!path || !tl_file_is_folder(path) || !tl_file_list(path, &r->arena, &names, &n, NULL)) return 0;
    for (size_t i = 0; i < n; i++) {
        if (!tl_str_ends(names[i], ".safetensors")) continue;
        shown++;
        tl_str_append(out, "<li><code>");
        tl_html_text(out, path);
        tl_str_append(out, "/");
        tl_html_text(out, names[i]);
        tl_str_append(out, "</code> ");
        tl_html_text(out, what);
        tl_str_append(out, tl_str_ends(names[i], ".kohya.safetensors") ? ", for ComfyUI and A1111</li>\n"
                                                                       : ", for diffusers and tiller</li>\n");
    }
    return shown;
}

/* A word of a command line: quoted unless it is plain. */
static const char *quoted(struct tl_arena *arena, const char *word)
{
    struct tl_str s = {0};
    if (*word &&
        !word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+.,:/@%")])
        return word;
    tl_str_append(&s, "'");
    for (; *word; word++) {
        if (*word == '\'')
            tl_str_append(&s, "'\\''");
        else
            tl_str_append_n(&s, word, 1);
    }
    tl_str_append(&s, "'");
    const char *kept = s.failed ? NULL : tl_arena_strdup(arena, s.data);
    tl_str_finish(&s);
    return kept ? kept : "";
}

void tl_report_results(struct tl_str *out, struct tl_report_run *r)
{
    struct tl_str list = {0};
    struct tl_arena *a = &r->arena;
    const char *model = tl_path_join_in(a, r->path, "model"),
               *base = quoted(a, *tl_report_config(r, "model") ? tl_report_config(r, "model") : "MODEL");
    size_t adapters = list_adapters(&list, r, "lora", "the last LoRA"),
           best = list_adapters(&list, r, "lora-best", "the LoRA of the best reading");
    const char *folder = tl_path_join_in(a, r->path, best ? "lora-best" : "lora"),
               *lora = folder ? tl_path_join_in(a, folder, "pytorch_lora_weights.safetensors") : NULL,
               *clip = model ? tl_arena_printf(a, "clip:%s", model) : NULL;
    if (!lora || !clip) {
        out->failed = true;
        tl_str_finish(&list);
        return;
    }
    lora = quoted(a, lora);
    bool has_model = tl_file_is_folder(model);
    if (has_model) {
        tl_str_append(&list, "<li><code>");
        tl_html_text(&list, model);
        tl_str_append(&list, "</code> the model, a diffusers folder</li>\n");
    }
    if (list.len) {
        tl_str_append(out, "<section><h2>Use the results</h2><ul>\n");
        tl_str_append_n(out, list.data, list.len);
        tl_str_append(out, "</ul>\n");
        if (adapters + best) {
            command(out, "Draw with it:",
                    tl_arena_printf(a,
                                    "tiller sample --model %s --lora %s --prompt 'what to draw' -n 4 -o out/",
                                    base, lora));
            command(out, "In Python:",
                    tl_arena_printf(a,
                                    "pipe = diffusers.DiffusionPipeline.from_pretrained(\"%s\")\n"
                                    "pipe.load_lora_weights(\"%s\")",
                                    tl_report_config(r, "model"), folder));
            command(out, "Baked into the model, or in another form:",
                    tl_arena_printf(a,
                                    "tiller merge --model %s --lora %s -o merged/\n"
                                    "tiller convert %s --format kohya -o lora.safetensors",
                                    base, lora, lora));
        } else if (strcmp(tl_report_config(r, "method"), "contrastive") == 0) {
            command(out, "As a reward:", tl_arena_printf(a, "tiller score %s FOLDER", quoted(a, clip)));
        } else {
            command(out, "What is in it:", tl_arena_printf(a, "tiller inspect %s", quoted(a, model)));
        }
        tl_str_append(out, "</section>\n");
    }
    out->failed = out->failed || list.failed;
    tl_str_finish(&list);
}
