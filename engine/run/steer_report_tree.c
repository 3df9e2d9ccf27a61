/* Pictures over time: a row a scored step, a column a particle, and between the rows who descends from whom.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/html.h"
#include "io/resize.h"
#include "run/steer_parts.h"
#include "run/steer_report.h"

enum {
    MOST_STEPS = 10,
    MOST_EDGE = 128, /* pixels of a picture */
    LEAST_EDGE = 16,
    MOST_BYTES = 12 << 20, /* of all pixels of a page: PNG takes hardly more, base64 4/3 of that */
    PIXELATED = 96,
    MOST_FILE = 64 << 20,
    UNIT = 100, /* a column in a drawing of links */
};

/* A prompt's particles, and what became of them. Points are scored steps, then the end. */
struct tree {
    struct tl_str *out;
    const struct tl_steer_report *r;
    const struct tl_steer_report_row *row;
    size_t k, columns; /* particles; those that are shown */
    int edge;
    size_t shown[MOST_STEPS + 1], n_shown; /* points, the end the last */
    bool *alive;                           /* [n_events + 1][k]: particles that have descendants at the end */
    size_t *winner;                        /* [n_events + 1]: the one that the best descends from */
};

/* ---- descent ---- */

static bool trace(struct tree *t)
{
    struct tl_arena *a = &t->r->run->arena;
    size_t n = t->row->n_events, k = t->k;
    size_t *at = tl_arena_alloc(a, k, sizeof *at);
    t->alive = tl_arena_alloc(a, (n + 1) * k, sizeof *t->alive);
    t->winner = tl_arena_alloc(a, n + 1, sizeof *t->winner);
    if (!at || !t->alive || !t->winner) return false;
    for (size_t j = 0; j < k; j++) {
        at[j] = j;
        t->alive[n * k + j] = true;
    }
    t->winner[n] = t->row->best;
    for (size_t e = n; e-- > 0;) {
        for (size_t j = 0; j < k; j++) {
            at[j] = t->row->events[e].ancestors[at[j]];
            t->alive[e * k + at[j]] = true;
        }
        t->winner[e] = at[t->row->best];
    }
    return true;
}

/* Of point `to`'s particle j: its ancestor at point `from`. */
static size_t ancestor(const struct tree *t, size_t from, size_t to, size_t j)
{
    for (size_t e = to; e-- > from;) j = t->row->events[e].ancestors[j];
    return j;
}

/* Evenly spaced, the first and the last among them; then the end. */
static void choose(struct tree *t)
{
    size_t n = t->row->n_events, shown = n < MOST_STEPS ? n : MOST_STEPS;
    for (size_t i = 0; i < shown; i++) t->shown[i] = shown > 1 ? i * (n - 1) / (shown - 1) : 0;
    t->shown[shown] = n;
    t->n_shown = shown + 1;
}

static const char *class_of(const struct tree *t, size_t point, size_t j)
{
    return t->winner[point] == j ? "win" : t->alive[point * t->k + j] ? "" : "gone";
}

/* ---- pictures ---- */

/* A picture of at most edge pixels, into column j of the strip; the first one makes the strip. */
static bool paste(struct tl_image *strip, const struct tl_image *from, int left, int width, size_t j,
                  size_t n, int edge)
{
    struct tl_image cut = {0}, small = {0};
    int h = from->height, longest = width > h ? width : h;
    double scale = longest > edge ? (double)edge / longest : 1;
    int w2 = (int)fmax(1, floor(width * scale + 0.5)), h2 = (int)fmax(1, floor(h * scale + 0.5));
    bool ok = tl_resize_crop(from, left, 0, width, h, &cut, NULL) &&
              (scale == 1 || tl_resize_image(&cut, w2, h2, TL_RESIZE_BICUBIC, &small, NULL)) &&
              (strip->px || tl_image_init(strip, (int)n * w2, h2, 3, NULL));
    const struct tl_image *p = scale == 1 ? &cut : &small;
    ok = ok && strip->width == (int)n * p->width && strip->height == p->height;
    size_t row = (size_t)p->width * 3;
    for (size_t y = 0; ok && y < (size_t)p->height; y++)
        memcpy(strip->px + (y * n + j) * row, p->px + y * row, row);
    tl_image_finish(&cut);
    tl_image_finish(&small);
    return ok;
}

/* The first n of the pictures that a file has side by side. */
static bool read_strip(const struct tree *t, const char *path, size_t has, size_t n, struct tl_image *out)
{
    struct tl_image whole = {0};
    bool ok =
        path && tl_file_exists(path) && tl_image_load(path, &whole, NULL) && whole.width % (int)has == 0;
    int width = ok ? whole.width / (int)has : 0;
    for (size_t j = 0; ok && j < n; j++) ok = paste(out, &whole, (int)j * width, width, j, n, t->edge);
    tl_image_finish(&whole);
    return ok;
}

static bool read_step(const struct tree *t, size_t event, struct tl_image *out)
{
    char name[64];
    snprintf(name, sizeof name, "steps/%04zu-%03lld.png", t->row->group,
             (long long)t->row->events[event].step);
    return read_strip(t, tl_path_join_in(&t->r->run->arena, t->r->run->path, name), t->columns, t->columns,
                      out);
}

static bool read_end(const struct tree *t, struct tl_image *out)
{
    double first = tl_steer_report_setting(t->r, "first");
    size_t base = (first > 0 ? (size_t)first : 0) + t->row->group * t->k;
    bool ok = true;
    for (size_t j = 0; ok && j < t->columns; j++) {
        struct tl_image one = {0};
        char name[40];
        snprintf(name, sizeof name, "%05zu.png", base + j);
        const char *path = tl_path_join_in(&t->r->run->arena, t->r->run->path, name);
        ok = path && tl_file_exists(path) && tl_image_load(path, &one, NULL) &&
             paste(out, &one, 0, one.width, j, t->columns, t->edge);
        tl_image_finish(&one);
    }
    return ok;
}

/* Nothing where there is no picture. */
static void put_strip(const struct tree *t, const struct tl_image *strip, size_t n, const char *what)
{
    uint8_t *png = NULL;
    size_t bytes = 0;
    if (!strip->px || !tl_image_encode_png(strip, NULL, 0, &png, &bytes, NULL)) return;
    struct tl_str alt = {0};
    tl_str_printf(&alt, "%s, %zu side by side: ", what, n);
    tl_str_append(&alt, t->row->prompt);
    tl_str_printf(t->out, "<span class=\"pic%s\">", strip->width / (int)n < PIXELATED ? " px" : "");
    tl_html_png(t->out, png, bytes, strip->width, strip->height, alt.data);
    tl_str_append(t->out, "</span>");
    t->out->failed |= alt.failed;
    tl_str_finish(&alt);
    free(png);
}

/* ---- rows ---- */

static void begin_row(const struct tree *t, const char *name, const char *note)
{
    tl_str_printf(t->out,
                  "<div><div class=\"when\">%s<small class=\"dim\">%s</small></div><div class=\"strip\">",
                  name, note);
}

static void veil(const struct tree *t, size_t point)
{
    tl_str_append(t->out, "<div class=\"veil cells\">");
    for (size_t j = 0; j < t->columns; j++)
        tl_str_printf(t->out, "<i class=\"%s\"></i>", class_of(t, point, j));
    tl_str_append(t->out, "</div>");
}

static void shot(const struct tree *t, size_t point, const struct tl_image *strip, const char *what)
{
    if (!strip->px) return;
    tl_str_append(t->out, "<div class=\"shot\">");
    put_strip(t, strip, t->columns, what);
    veil(t, point);
    tl_str_append(t->out, "</div>");
}

static void values(const struct tree *t, size_t point, const double *rewards)
{
    tl_str_append(t->out, "<div class=\"vals cells\">");
    for (size_t j = 0; j < t->columns; j++)
        tl_str_printf(t->out, "<span class=\"%s\">%.3g</span>", class_of(t, point, j), rewards[j]);
    tl_str_append(t->out, "</div>");
}

static void step_row(const struct tree *t, size_t point)
{
    const struct tl_steer_report_event *e = &t->row->events[point];
    struct tl_image strip = {0};
    char name[40], note[40] = "", what[60];
    snprintf(name, sizeof name, "step %lld", (long long)e->step);
    if (isfinite(e->t)) snprintf(note, sizeof note, "t %.4g", e->t);
    snprintf(what, sizeof what, "predictions at step %lld", (long long)e->step);
    begin_row(t, name, note);
    if (read_step(t, point, &strip)) shot(t, point, &strip, what);
    tl_image_finish(&strip);
    values(t, point, e->rewards);
    tl_str_printf(
        t->out,
        "</div><div class=\"health\">ESS %.2f<span class=\"bar\"><i%s style=\"width:%.0f%%\"></i></span>"
        "<small class=\"dim\">",
        e->ess, e->resampled ? " class=\"low\"" : "", 100 * fmin(1, fmax(0, e->ess / (double)t->k)));
    if (e->resampled)
        tl_str_printf(t->out, "resampled, %zu of %zu stay", e->unique, t->k);
    else
        tl_str_append(t->out, "kept");
    tl_str_append(t->out, "</small></div></div>\n");
}

static void end_row(const struct tree *t)
{
    const struct tl_steer_report_row *row = t->row;
    struct tl_image strip = {0};
    begin_row(t, "the end", "reward, weight");
    if (read_end(t, &strip)) shot(t, row->n_events, &strip, "the particles at the end");
    tl_image_finish(&strip);
    tl_str_append(t->out, "<div class=\"vals cells\">");
    for (size_t j = 0; j < t->columns; j++)
        tl_str_printf(t->out,
                      "<span class=\"%s\">%.4f<span class=\"bar\"><i style=\"width:%.0f%%\"></i></span>"
                      "<small>%.3f</small>%s</span>",
                      j == row->best ? "win" : "", row->rewards[j], 100 * fmin(1, fmax(0, row->weights[j])),
                      row->weights[j], j == row->best ? "<br>\xe2\x98\x85 best" : "");
    tl_str_append(t->out, "</div></div><div class=\"health\"></div></div>\n");
}

static void plain_row(const struct tree *t)
{
    const struct tl_steer_report_row *row = t->row;
    struct tl_image strip = {0};
    char name[40];
    size_t has = row->n_plain < TL_STEER_STRIP ? row->n_plain : TL_STEER_STRIP,
           n = has < t->columns ? has : t->columns;
    if (!row->plain || t->r->is_plain) return;
    snprintf(name, sizeof name, "plain/%04zu.png", row->group);
    begin_row(t, "plain", "not steered");
    if (read_strip(t, tl_path_join_in(&t->r->run->arena, t->r->run->path, name), has, n, &strip)) {
        tl_str_append(t->out, "<div class=\"shot\">");
        put_strip(t, &strip, n, "plain samples");
        tl_str_append(t->out, "<div class=\"veil cells\">");
        for (size_t j = 0; j < n; j++) tl_str_append(t->out, "<i></i>");
        tl_str_append(t->out, "</div></div>");
    }
    tl_image_finish(&strip);
    tl_str_append(t->out, "<div class=\"vals cells\">");
    for (size_t j = 0; j < n; j++)
        tl_str_printf(t->out, j == row->best_plain ? "<span><b>%.4f</b></span>" : "<span>%.4f</span>",
                      row->plain[j]);
    tl_str_append(t->out, "</div></div><div class=\"health\">");
    if (row->n_plain > n)
        tl_str_printf(t->out, "<small class=\"dim\">%zu of %zu; best of all %.4f</small>", n, row->n_plain,
                      row->pair.best_of);
    tl_str_append(t->out, "</div></div>\n");
}

/* ---- links ---- */

static void paths(const struct tree *t, size_t from, size_t to, const char *class)
{
    bool any = false;
    for (size_t j = 0; j < t->columns; j++) {
        size_t parent = ancestor(t, from, to, j);
        if (parent >= t->columns || strcmp(class_of(t, to, j), class) != 0) continue;
        if (!any) tl_str_printf(t->out, "<path class=\"%s\" d=\"", class);
        any = true;
        double up = (double)parent * UNIT + UNIT / 2.0, down = (double)j * UNIT + UNIT / 2.0;
        tl_str_printf(t->out, "M%.0f 0C%.0f 16 %.0f 8 %.0f 24", up, up, down, down);
    }
    if (any) tl_str_append(t->out, "\"/>");
}

/* Lost lines first: the others cross over them. */
static void links(const struct tree *t, size_t from, size_t to)
{
    tl_str_printf(
        t->out,
        "<div><span></span><svg class=\"links\" viewBox=\"0 0 %zu 24\" preserveAspectRatio=\"none\" "
        "role=\"img\" aria-label=\"descent:",
        t->columns * UNIT);
    for (size_t j = 0; j < t->columns; j++)
        tl_str_printf(t->out, "%s %zu from %zu", j ? "," : "", j, ancestor(t, from, to, j));
    tl_str_append(t->out, "\">");
    paths(t, from, to, "gone");
    paths(t, from, to, "");
    paths(t, from, to, "win");
    tl_str_append(t->out, "</svg><span></span></div>\n");
}

static void put_tree(struct tree *t)
{
    const struct tl_steer_report_row *row = t->row;
    tl_str_printf(t->out, "<article class=\"card tree\" style=\"--n:%zu\"><p class=\"prompt\"><bdi>",
                  t->columns);
    tl_html_text_cut(t->out, row->prompt, 300);
    tl_str_printf(t->out, "</bdi> <span class=\"dim\">best %.4f", row->pair.best);
    if (row->has_pair && !t->r->is_plain)
        tl_str_printf(t->out, ", best plain sample %.4f, one plain sample %.4f", row->pair.best_of,
                      row->pair.base);
    tl_str_printf(t->out, "; log Z %.4g", row->log_z);
    if (t->k > t->columns) tl_str_printf(t->out, "; the first %zu of %zu particles", t->columns, t->k);
    if (row->n_events > MOST_STEPS)
        tl_str_printf(t->out, "; %d of %zu scored steps", MOST_STEPS, row->n_events);
    tl_str_append(t->out, "</span></p><div class=\"scroll\"><div class=\"rows\">\n");
    for (size_t i = 0; i < t->n_shown; i++) {
        if (i) links(t, t->shown[i - 1], t->shown[i]);
        if (t->shown[i] < row->n_events)
            step_row(t, t->shown[i]);
        else
            end_row(t);
    }
    plain_row(t);
    tl_str_append(t->out, "</div></div></article>\n");
}

/* Pictures of a page share its bytes. */
static int edge_of(size_t pictures)
{
    double edge = floor(sqrt((double)MOST_BYTES / 3 / (double)pictures));
    return (int)fmax(LEAST_EDGE, fmin(MOST_EDGE, edge));
}

void tl_steer_report_trees(struct tl_str *out, struct tl_steer_report *r)
{
    size_t n = r->n < TL_STEER_SHOWN ? r->n : TL_STEER_SHOWN,
           columns = r->k < TL_STEER_STRIP ? r->k : TL_STEER_STRIP;
    tl_str_printf(out,
                  "<section><h2>Particles over time</h2><p class=\"dim\">Columns are places of particles. A "
                  "row shows what the network predicts at a scored step, and the reward of it; lines lead "
                  "from a particle to those that took its state over. Orange: the way of the best one; "
                  "faded: what has no descendant at the end.</p><div class=\"trees\" "
                  "style=\"grid-template-columns:repeat(auto-fill,minmax(min(100%%,%zurem),1fr))\">\n",
                  11 + columns * 5);
    for (size_t i = 0; i < n; i++) {
        struct tree t = {.out = out, .r = r, .row = &r->rows[i], .k = r->k, .columns = columns};
        t.edge = edge_of(n * columns * (MOST_STEPS + 2));
        choose(&t);
        if (trace(&t))
            put_tree(&t);
        else
            out->failed = true;
    }
    tl_str_append(out, "</div>");
    if (r->n > n) tl_str_printf(out, "<p class=\"dim\">The first %zu of %zu prompts.</p>", n, r->n);
    tl_str_append(out, "</section>\n");
}
