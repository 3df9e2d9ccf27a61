#include "rewards/scene_read.h"

#include <math.h>
#include <string.h>

#include "rewards/scene_draw.h"

enum {
    SIDE = TL_SCENE_SIDE,
    PIXELS = SIDE * SIDE,
    ALIEN = TL_SCENE_COLOURS, /* label of pixels of no known colour */
    LEAST_AREA = 16,          /* pixels of an object's core */
    LEAST_INNER = 4,          /* of them surrounded by their like: not a thin rim */
    GROW = 3,                 /* px around a core where its rim may lie */
    MOST_CORES = PIXELS / LEAST_AREA,
};
static const float ground_near = 70; /* a border pixel farther from every ground is none of them */
static const float colour_near = 75; /* a pixel farther from every line background-colour is alien, */
static const float alien_far = 90;   /* if it is this far from the background, too */
static const float accept = 0.70f;   /* overlap below which a blob is no shape */

/* ---- background and labels ---- */

struct picture {
    float rgb[PIXELS][3];
    float back[3]; /* the background's colour as it is here */
    float axis[TL_SCENE_COLOURS][3], axis_sq[TL_SCENE_COLOURS];
    int8_t label[PIXELS]; /* colour, ALIEN, or -1 background */
    int16_t core[PIXELS]; /* object number or -1 */
};

static float dist_sq(const float *a, const float *b)
{
    float x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
    return x * x + y * y + z * z;
}

static void shrink(const uint8_t *rgb, int scale, struct picture *p)
{
    size_t row = (size_t)SIDE * (size_t)scale * 3;
    for (int i = 0; i < PIXELS; i++)
        for (int c = 0; c < 3; c++) {
            const uint8_t *at = rgb + (size_t)(i / SIDE * scale) * row + (size_t)(i % SIDE * scale * 3 + c);
            float sum = 0;
            for (int y = 0; y < scale; y++)
                for (int x = 0; x < scale; x++) sum += at[(size_t)y * row + (size_t)x * 3];
            p->rgb[i][c] = sum / (float)(scale * scale);
        }
}

/* Nearest ground of a colour, or -1. */
static int ground_of(const float *colour)
{
    int best = -1;
    float least = ground_near * ground_near;
    for (int g = 0; g < TL_SCENE_GROUNDS; g++) {
        const uint8_t *v = tl_scene_ground_rgb[g];
        float d = dist_sq(colour, (float[3]){v[0], v[1], v[2]});
        if (d >= least) continue;
        least = d;
        best = g;
    }
    return best;
}

/* The ground that most border pixels vote for (-1: most vote for none); its colour is the voters' mean, so
 * that a picture that is a little off is read all the same. */
static int find_ground(struct picture *p)
{
    int votes[TL_SCENE_GROUNDS + 1] = {0};
    float sum[TL_SCENE_GROUNDS + 1][3] = {{0}};
    for (int i = 0; i < PIXELS; i++) {
        if (i / SIDE % (SIDE - 1) != 0 && i % SIDE % (SIDE - 1) != 0) continue;
        int g = ground_of(p->rgb[i]) + 1;
        votes[g]++;
        for (int c = 0; c < 3; c++) sum[g][c] += p->rgb[i][c];
    }
    int best = 0;
    for (int g = 1; g <= TL_SCENE_GROUNDS; g++)
        if (votes[g] >= votes[best]) best = g;
    for (int c = 0; c < 3; c++) p->back[c] = sum[best][c] / (float)votes[best];
    for (int k = 0; k < TL_SCENE_COLOURS; k++) {
        p->axis_sq[k] = 0;
        for (int c = 0; c < 3; c++) {
            p->axis[k][c] = (float)tl_scene_colour_rgb[k][c] - p->back[c];
            p->axis_sq[k] += p->axis[k][c] * p->axis[k][c];
        }
        if (p->axis_sq[k] < 1) p->axis_sq[k] = 1; /* a background of this very colour */
    }
    return best - 1;
}

/* How far a pixel lies from the background (0) to a colour (1). */
static float coverage(const struct picture *p, int pixel, int colour)
{
    const float *v = p->rgb[pixel], *a = p->axis[colour];
    float t = (v[0] - p->back[0]) * a[0] + (v[1] - p->back[1]) * a[1] + (v[2] - p->back[2]) * a[2];
    t /= p->axis_sq[colour];
    return t < 0 ? 0 : t > 1 ? 1 : t;
}

static void label_pixels(struct picture *p)
{
    for (int i = 0; i < PIXELS; i++) {
        float least = INFINITY, far = 0;
        int best = 0;
        for (int k = 0; k < TL_SCENE_COLOURS; k++) {
            float t = coverage(p, i, k), on_line[3];
            for (int c = 0; c < 3; c++) on_line[c] = p->back[c] + t * p->axis[k][c];
            float d = dist_sq(p->rgb[i], on_line);
            if (d >= least) continue;
            least = d;
            far = t;
            best = k;
        }
        if (least > colour_near * colour_near && dist_sq(p->rgb[i], p->back) > alien_far * alien_far)
            best = ALIEN;
        else if (far <= 0.5f)
            best = -1;
        p->label[i] = (int8_t)best;
    }
}

/* ---- objects ---- */

/* Pixels of the same label connected to `start` get core number `id`; returns how many, listed in `list`. */
static int flood(struct picture *p, int start, int id, int16_t *list)
{
    int n = 0;
    list[n++] = (int16_t)start;
    p->core[start] = (int16_t)id;
    for (int done = 0; done < n; done++) {
        int i = list[done], x = i % SIDE, y = i / SIDE;
        const int next[4] = {x > 0 ? i - 1 : i, x < SIDE - 1 ? i + 1 : i, y > 0 ? i - SIDE : i,
                             y < SIDE - 1 ? i + SIDE : i};
        for (int k = 0; k < 4; k++) {
            int j = next[k];
            if (p->core[j] != -1 || p->label[j] != p->label[i]) continue;
            p->core[j] = (int16_t)id;
            list[n++] = (int16_t)j;
        }
    }
    return n;
}

static bool is_solid(const struct picture *p, const int16_t *list, int n)
{
    int inner = 0;
    for (int k = 0; k < n && n >= LEAST_AREA; k++) {
        int i = list[k], x = i % SIDE, y = i / SIDE, id = p->core[i];
        inner += (x == 0 || p->core[i - 1] == id) && (x == SIDE - 1 || p->core[i + 1] == id) &&
                 (y == 0 || p->core[i - SIDE] == id) && (y == SIDE - 1 || p->core[i + SIDE] == id);
    }
    return inner >= LEAST_INNER;
}

/* Numbers the cores 0 .. n-1; returns n. start[k] is a pixel of core k. */
static int find_cores(struct picture *p, int16_t *start)
{
    int16_t list[PIXELS];
    int n = 0;
    memset(p->core, -1, sizeof p->core);
    for (int i = 0; i < PIXELS; i++) {
        if (p->label[i] < 0 || p->core[i] != -1) continue;
        int size = flood(p, i, n, list);
        if (is_solid(p, list, size))
            start[n++] = (int16_t)i;
        else
            for (int k = 0; k < size; k++) p->core[list[k]] = -2; /* seen, and nothing */
    }
    return n;
}

struct box {
    int x0, y0, x1, y1; /* x1, y1 exclusive */
};

static struct box core_box(const struct picture *p, int id)
{
    struct box b = {SIDE, SIDE, 0, 0};
    for (int i = 0; i < PIXELS; i++) {
        if (p->core[i] != id) continue;
        int x = i % SIDE, y = i / SIDE;
        b.x0 = x < b.x0 ? x : b.x0;
        b.y0 = y < b.y0 ? y : b.y0;
        b.x1 = x + 1 > b.x1 ? x + 1 : b.x1;
        b.y1 = y + 1 > b.y1 ? y + 1 : b.y1;
    }
    b.x0 = b.x0 > GROW ? b.x0 - GROW : 0;
    b.y0 = b.y0 > GROW ? b.y0 - GROW : 0;
    b.x1 = b.x1 < SIDE - GROW ? b.x1 + GROW : SIDE;
    b.y1 = b.y1 < SIDE - GROW ? b.y1 + GROW : SIDE;
    return b;
}

/* Whether a pixel outside all cores is a rim of core `id`: within GROW of it (in steps), and not nearer to
 * another. */
static bool is_rim(const struct picture *p, int pixel, int id)
{
    int x = pixel % SIDE, y = pixel / SIDE, own = GROW + 1, others = GROW + 1;
    for (int dy = -GROW; dy <= GROW; dy++)
        for (int dx = -GROW; dx <= GROW; dx++) {
            int d = (dx < 0 ? -dx : dx) + (dy < 0 ? -dy : dy);
            if (d > GROW || x + dx < 0 || x + dx >= SIDE || y + dy < 0 || y + dy >= SIDE) continue;
            int core = p->core[(y + dy) * SIDE + x + dx];
            if (core == id)
                own = d < own ? d : own;
            else if (core >= 0)
                others = d < others ? d : others;
        }
    return own <= GROW && own <= others;
}

/* Coverage of one object, 0 outside of it. */
static void cover_core(const struct picture *p, int id, int colour, struct box b, float *out)
{
    memset(out, 0, PIXELS * sizeof *out);
    for (int y = b.y0; y < b.y1; y++)
        for (int x = b.x0; x < b.x1; x++) {
            int i = y * SIDE + x;
            if (p->core[i] != id && (p->core[i] >= 0 || !is_rim(p, i, id))) continue;
            out[i] = colour == ALIEN ? (float)(p->core[i] == id) : coverage(p, i, colour);
        }
}

/* Sum of minima / sum of maxima inside the box. */
static float overlap(const float *a, const float *b, struct box box)
{
    float low = 0, high = 0;
    for (int y = box.y0; y < box.y1; y++)
        for (int x = box.x0; x < box.x1; x++) {
            float v = a[y * SIDE + x], t = b[y * SIDE + x];
            low += v < t ? v : t;
            high += v < t ? t : v;
        }
    return low / high;
}

/* Weights 1 2 1 in both directions; nothing comes from outside the box. */
static void blur(const float *in, struct box b, float *out)
{
    static const float weight[9] = {1, 2, 1, 2, 4, 2, 1, 2, 1};
    for (int y = b.y0; y < b.y1; y++)
        for (int x = b.x0; x < b.x1; x++) {
            float sum = 0;
            for (int i = 0; i < 9; i++) {
                int px = x + i % 3 - 1, py = y + i / 3 - 1;
                if (px < b.x0 || px >= b.x1 || py < b.y0 || py >= b.y1) continue;
                sum += in[py * SIDE + px] * weight[i];
            }
            out[y * SIDE + x] = sum / 16;
        }
}

/* Compares coverage with the three ideal shapes, sharp and blurred; fills everything but the colour. */
static void match(const float *cover, struct box b, struct tl_scene_seen *out)
{
    float area = 0, cx = 0, cy = 0, sharp[PIXELS], soft[PIXELS];
    for (int y = b.y0; y < b.y1; y++)
        for (int x = b.x0; x < b.x1; x++) {
            float v = cover[y * SIDE + x];
            area += v;
            cx += v * ((float)x + 0.5f);
            cy += v * ((float)y + 0.5f);
        }
    cx /= area;
    cy /= area;
    *out = (struct tl_scene_seen){.shape = -1, .area = area};
    for (int s = 0; s < TL_SCENE_SHAPES; s++) {
        float r = sqrtf(area / tl_scene_area(s)), top = cy - r * tl_scene_centroid(s);
        for (int y = b.y0; y < b.y1; y++)
            for (int x = b.x0; x < b.x1; x++) sharp[y * SIDE + x] = tl_scene_cover(s, cx, top, r, x, y);
        blur(sharp, b, soft);
        float v = fmaxf(overlap(cover, sharp, b), overlap(cover, soft, b));
        if (v <= out->overlap) continue;
        *out = (struct tl_scene_seen){.shape = s, .x = cx, .y = top, .r = r, .overlap = v, .area = area};
    }
    if (out->overlap < accept) out->shape = -1;
}

/* Keeps the list sorted by area; when full, the smallest falls off. */
static void keep(struct tl_scene_reading *r, const struct tl_scene_seen *seen)
{
    int at = r->n_objects;
    if (at == TL_SCENE_SEEN) {
        if (r->object[--at].area >= seen->area) return;
    } else {
        r->n_objects++;
    }
    for (; at > 0 && r->object[at - 1].area < seen->area; at--) r->object[at] = r->object[at - 1];
    r->object[at] = *seen;
}

bool tl_scene_read(const uint8_t *rgb, int width, int height, struct tl_scene_reading *out,
                   struct tl_err *err)
{
    if (width != height || width < SIDE || width % SIDE != 0)
        return tl_err_set(
            err, TL_BAD_INPUT,
            "scene reward: a picture of %d x %d px; it reads %d x %d and whole multiples of that", width,
            height, SIDE, SIDE);
    struct picture p;
    int16_t start[MOST_CORES];
    float cover[PIXELS];
    shrink(rgb, width / SIDE, &p);
    *out = (struct tl_scene_reading){.ground = find_ground(&p)};
    label_pixels(&p);
    int n = find_cores(&p, start);
    for (int k = 0; k < n; k++) {
        struct tl_scene_seen seen;
        struct box b = core_box(&p, k);
        int colour = p.label[start[k]];
        cover_core(&p, k, colour, b, cover);
        match(cover, b, &seen);
        seen.colour = colour == ALIEN ? -1 : colour;
        keep(out, &seen);
    }
    return true;
}
