/* Pictures of a report. They go in as the files are, so their number and bytes are bounded. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/html.h"
#include "run/report_parts.h"

enum {
    MOST_PAIRS = 24,
    MOST_ENDS = 6, /* best, and worst */
    MOST_GRIDS = 4,
    MOST_FILE = 8 << 20,
    MOST_PAIR_BYTES = 10 << 20, /* base64 makes 4/3 of it */
    MOST_END_BYTES = 3 << 20,
    MOST_GRID_BYTES = 5 << 20,
    PIXELATED = 96, /* smaller pictures are shown enlarged, with hard edges */
};

struct album {
    struct tl_str *out;
    struct tl_report_run *run;
    size_t bytes, most_bytes; /* of pictures so far; of the section that is written */
    size_t n_pairs;
};

/* Whether it went in: absent and foreign files do not, nor what no longer fits. */
static bool put_png(struct album *a, const char *path, const char *alt)
{
    size_t n;
    int width, height;
    uint8_t *png = path ? tl_file_read(path, MOST_FILE, &n, NULL) : NULL;
    bool ok = png && tl_html_png_size(png, n, &width, &height) && n <= a->most_bytes &&
              a->bytes <= a->most_bytes - n;
    if (ok) {
        tl_str_printf(a->out, "<span class=\"pic%s\">", width < PIXELATED ? " px" : "");
        tl_html_png(a->out, png, n, width, height, alt);
        tl_str_append(a->out, "</span>");
        a->bytes += n;
    }
    free(png);
    return ok;
}

static const char *path_of(struct tl_report_run *r, const struct tl_report_reading *reading,
                           const struct tl_report_sample *s)
{
    return *s->file ? tl_path_join_in(&r->arena, reading->folder, s->file) : NULL;
}

static void put_score(struct tl_str *out, const struct tl_report_sample *s)
{
    if (!isfinite(s->reward)) return;
    tl_str_printf(out, "<span class=\"score\">%.3g", s->reward);
    if (isfinite(s->held_out)) tl_str_printf(out, " <span class=\"dim\">(%.3g)</span>", s->held_out);
    tl_str_append(out, "</span>");
}

static bool put_picture(struct album *a, const struct tl_report_reading *reading,
                        const struct tl_report_sample *s)
{
    size_t length = a->out->len;
    tl_str_append(a->out, "<figure>");
    if (!put_png(a, path_of(a->run, reading, s), s->prompt)) {
        if (!a->out->failed) a->out->len = length;
        return false;
    }
    tl_str_append(a->out, "<figcaption>");
    put_score(a->out, s);
    tl_str_append(a->out, "</figcaption></figure>");
    return true;
}

static void put_change(struct tl_str *out, const struct tl_report_sample *a, const struct tl_report_sample *b)
{
    double change = b->reward - a->reward, shown = fabs(change) < 0.0005 ? 0 : change;
    if (!isfinite(change)) return;
    tl_str_printf(out, "<b class=\"delta %s\">%+.3f</b>",
                  shown > 0   ? "up"
                  : shown < 0 ? "down"
                              : "same",
                  shown);
}

/* ---- before and after ---- */

static bool is_kept(const struct tl_report_reading *first, const struct tl_report_sample *b)
{
    const struct tl_report_sample *a = *b->file ? tl_report_pair(first, b) : NULL;
    return a && *a->file;
}

static bool put_pair(struct album *album, const struct tl_report_sample *a, const struct tl_report_sample *b)
{
    struct tl_str *out = album->out;
    size_t length = out->len, bytes = album->bytes;
    tl_str_append(out, "<div class=\"pair\">");
    if (!put_picture(album, tl_report_first(album->run), a) ||
        !put_picture(album, tl_report_last(album->run), b)) {
        if (!out->failed) out->len = length;
        album->bytes = bytes;
        return false;
    }
    put_change(out, a, b);
    tl_str_append(out, "</div>");
    return true;
}

/* The end of the run of samples from `i` that are of one set, or of one prompt of it. */
static size_t end_of(const struct tl_report_reading *reading, size_t i, bool prompt)
{
    const struct tl_report_sample *from = &reading->samples[i];
    for (; i < reading->n; i++) {
        const struct tl_report_sample *s = &reading->samples[i];
        if (strcmp(s->set, from->set) != 0 || (prompt && s->prompt_index != from->prompt_index)) break;
    }
    return i;
}

static size_t count_kept(const struct tl_report_run *r, size_t from, size_t to, bool prompts)
{
    const struct tl_report_reading *first = tl_report_first(r), *last = tl_report_last(r);
    size_t n = 0;
    for (size_t i = from; i < to; i++) {
        if (!is_kept(first, &last->samples[i])) continue;
        n++;
        if (prompts) i = end_of(last, i, true) - 1;
    }
    return n;
}

static void one_prompt(struct album *a, size_t from, size_t to, size_t most)
{
    const struct tl_report_reading *first = tl_report_first(a->run), *last = tl_report_last(a->run);
    tl_str_append(a->out, "<article class=\"card\"><p class=\"prompt\"><bdi>");
    tl_html_text_cut(a->out, last->samples[from].prompt, 300);
    tl_str_append(a->out, "</bdi></p><div class=\"pairs\"><div class=\"pair dim\"><small>before</small>"
                          "<small>after</small></div>");
    for (size_t i = from; i < to && most > 0; i++) {
        const struct tl_report_sample *b = &last->samples[i];
        if (is_kept(first, b) && put_pair(a, tl_report_pair(first, b), b)) {
            a->n_pairs++;
            most--;
        }
    }
    tl_str_append(a->out, "</div></article>\n");
}

/* `most` pairs, as many of each prompt. */
static void one_set(struct album *a, size_t from, size_t to, size_t most)
{
    const struct tl_report_reading *last = tl_report_last(a->run);
    size_t prompts = count_kept(a->run, from, to, true), each = prompts < most ? most / prompts : 1;
    tl_str_append(a->out, "<h3>");
    tl_html_text_cut(a->out, tl_report_set_name(last->samples[from].set), 60);
    tl_str_append(a->out, "</h3><div class=\"album\">\n");
    for (size_t i = from, end, shown = 0; i < to && shown < most; i = end) {
        end = end_of(last, i, true);
        if (count_kept(a->run, i, end, false) == 0) continue;
        one_prompt(a, i, end, each);
        shown += each;
    }
    tl_str_append(a->out, "</div>\n");
}

/* Prompts not trained on come first: their set's name sorts before "trained". */
static void before_after(struct album *a)
{
    struct tl_report_run *r = a->run;
    const struct tl_report_reading *last = tl_report_first(r) ? tl_report_last(r) : NULL;
    size_t kept = last ? count_kept(r, 0, last->n, false) : 0, sets = 0;
    if (kept == 0) return;
    tl_str_printf(
        a->out,
        "<section><h2>Pictures, before and after</h2><p class=\"dim\">The same prompt, seed and "
        "noise: the untouched model on the left, %s %lld on the right; under each its reward%s, and "
        "the change.</p>\n",
        tl_report_unit(r), (long long)last->step,
        isfinite(last->samples[0].held_out) ? ", in brackets the held-out one" : "");
    for (size_t i = 0; i < last->n; i = end_of(last, i, false))
        sets += count_kept(r, i, end_of(last, i, false), false) > 0;
    for (size_t i = 0, end; i < last->n && sets <= MOST_PAIRS; i = end) {
        end = end_of(last, i, false);
        if (count_kept(r, i, end, false) == 0) continue;
        a->most_bytes += MOST_PAIR_BYTES / sets;
        one_set(a, i, end, MOST_PAIRS / sets);
    }
    if (kept > a->n_pairs)
        tl_str_printf(a->out, "<p class=\"dim\">%zu more in samples/.</p>", kept - a->n_pairs);
    tl_str_append(a->out, "</section>\n");
}

/* ---- best and worst ---- */

static int by_reward(const void *a_void, const void *b_void)
{
    const struct tl_report_sample *a = *(const struct tl_report_sample *const *)a_void,
                                  *b = *(const struct tl_report_sample *const *)b_void;
    if (a->reward != b->reward) return a->reward > b->reward ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Those of the role; where no row has it, all kept ones. Best first. */
static size_t choose(const struct tl_report_reading *reading, const char *role,
                     const struct tl_report_sample **out)
{
    size_t n = 0;
    for (int any = 0; any < 2 && n == 0; any++)
        for (size_t i = 0; i < reading->n; i++) {
            const struct tl_report_sample *s = &reading->samples[i];
            if (*s->file && isfinite(s->reward) && (any || strcmp(s->role, role) == 0)) out[n++] = s;
        }
    if (n > 1) qsort(out, n, sizeof *out, by_reward);
    return n;
}

static void row_of_ends(struct album *a, const struct tl_report_reading *reading, const char *role,
                        const struct tl_report_sample **list)
{
    size_t n = choose(reading, role, list);
    bool worst = strcmp(role, "worst") == 0;
    if (n == 0) return;
    tl_str_printf(a->out, "<h3>%s</h3><div class=\"ends\">\n", worst ? "Worst" : "Best");
    for (size_t i = 0; i < n && i < MOST_ENDS; i++) {
        const struct tl_report_sample *s = list[worst ? n - 1 - i : i];
        size_t length = a->out->len;
        tl_str_append(a->out, "<article class=\"card\">");
        if (put_picture(a, reading, s)) {
            tl_str_append(a->out, "<p class=\"prompt\"><bdi>");
            tl_html_text_cut(a->out, s->prompt, 160);
            tl_str_append(a->out, "</bdi></p></article>\n");
        } else if (!a->out->failed) {
            a->out->len = length;
        }
    }
    tl_str_append(a->out, "</div>\n");
}

static void best_and_worst(struct album *a)
{
    const struct tl_report_reading *last = tl_report_last(a->run);
    const struct tl_report_sample **list = last ? malloc((last->n + 1) * sizeof *list) : NULL;
    size_t n = list ? choose(last, "best", list) : 0;
    if (n) {
        tl_str_printf(a->out,
                      "<section><h2>Best and worst</h2><p class=\"dim\">By the trained reward, of the kept "
                      "pictures of %s %lld.</p>\n",
                      tl_report_unit(a->run), (long long)last->step);
        row_of_ends(a, last, "best", list);
        row_of_ends(a, last, "worst", list);
        tl_str_append(a->out, "</section>\n");
    }
    free(list);
}

/* ---- grids, and what runs of other kinds leave ---- */

static void put_grid(struct album *a, const char *path, const char *caption)
{
    size_t length = a->out->len;
    tl_str_append(a->out, "<figure class=\"card grid\"><figcaption>");
    tl_html_text(a->out, caption);
    tl_str_append(a->out, "</figcaption>");
    if (put_png(a, path, caption))
        tl_str_append(a->out, "</figure>\n");
    else if (!a->out->failed)
        a->out->len = length;
}

/* Evenly spaced readings, the first and the last among them. */
static void grids(struct album *a)
{
    static const char *const alone[] = {"before_after_others.png", "before_after.png"},
                             *const names[] = {"grid.png", "grid-trained.png"};
    struct tl_report_run *r = a->run;
    size_t n = 0, k = 0;
    for (size_t i = 0; i < r->n_readings; i++) n += r->readings[i].has_grid;
    for (size_t i = 0; i < r->n_readings; i++) {
        if (!r->readings[i].has_grid) continue;
        size_t shown = n < MOST_GRIDS ? n : MOST_GRIDS, at = k++;
        bool wanted = false;
        for (size_t j = 0; j < shown; j++) wanted |= at == (shown > 1 ? j * (n - 1) / (shown - 1) : 0);
        const char *caption =
            tl_arena_printf(&r->arena, "%s %lld", tl_report_unit(r), (long long)r->readings[i].step);
        for (size_t j = 0; wanted && caption && j < 2; j++)
            put_grid(a, tl_path_join_in(&r->arena, r->readings[i].folder, names[j]), caption);
    }
    for (size_t i = 0; i < 2 && !tl_report_last(r); i++) {
        const char *path = tl_path_join_in(&r->arena, r->path, alone[i]);
        if (path && tl_file_exists(path)) put_grid(a, path, alone[i]);
    }
}

void tl_report_pictures(struct tl_str *out, struct tl_report_run *r)
{
    struct album a = {.out = out, .run = r};
    struct tl_str list = {0};
    before_after(&a);
    a.most_bytes = a.bytes + MOST_END_BYTES;
    best_and_worst(&a);
    a.most_bytes = a.bytes + MOST_GRID_BYTES;
    a.out = &list;
    grids(&a);
    if (list.len) {
        bool folded = tl_report_last(r) != NULL;
        tl_str_append(out, folded ? "<details><summary>Sample grids</summary><div class=\"grids\">\n"
                                  : "<section><h2>Samples</h2><div class=\"grids\">\n");
        tl_str_append_n(out, list.data, list.len);
        tl_str_append(out, folded ? "</div></details>\n" : "</div></section>\n");
    }
    out->failed = out->failed || list.failed;
    tl_str_finish(&list);
}
