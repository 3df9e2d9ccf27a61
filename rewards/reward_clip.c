/* Reward `clip`: how well a picture fits its prompt, as the cosine of a CLIP model's two embeddings.
 *
 * clip:FOLDER[,flavour=NAME]. Flavours that are found under the name "CLIP score", which are not comparable:
 *   cosine        cos, -1 to 1 (OpenAI's use; the default)
 *   clipscore     2.5 max(cos, 0), prompts begin with "A photo depicts " (Hessel et al. 2021)
 *   torchmetrics  100 max(cos, 0)
 *   logit         exp(logit_scale) cos (PickScore's scale) */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "nn/nn.h"
#include "rewards/clip_pixels.h"
#include "rewards/clip_texts.h"
#include "rewards/rewards.h"

struct flavour {
    const char *name, *prefix;
    double factor; /* 0: exp(logit_scale) */
    bool positive; /* negative cosines count as 0 */
    double low, high;
};

static const struct flavour flavours[] = {
    {"cosine", "", 1, false, -1, 1},
    {"clipscore", "A photo depicts ", 2.5, true, 0, 2.5},
    {"torchmetrics", "", 100, true, 0, 100},
    {"logit", "", 0, false, -INFINITY, INFINITY},
};
enum { N_FLAVOURS = sizeof flavours / sizeof *flavours };

struct clip {
    struct tl_reward base;
    char *folder; /* owns */
    const struct flavour *flavour;
    double factor;
    struct tl_clip_towers *towers;
    struct tl_clip_texts *texts;
    struct tl_clip_pixels how;
    float *pixels, *image, *text; /* of one batch: [rows][side][side][3], [rows][projection] twice */
};

/* ---- opening ---- */

static const struct flavour *find_flavour(const char *name, struct tl_err *err)
{
    const char *names[N_FLAVOURS];
    for (size_t i = 0; i < N_FLAVOURS; i++) {
        names[i] = flavours[i].name;
        if (strcmp(name, names[i]) == 0) return &flavours[i];
    }
    const char *near = tl_str_nearest(name, names, N_FLAVOURS);
    tl_err_set(err, TL_USAGE, "there is no flavour '%s'; %s%s%s", name, near ? "did you mean " : "there are ",
               near ? near : "cosine, clipscore, torchmetrics, logit", near ? "?" : "");
    return NULL;
}

/* FOLDER[,flavour=NAME]: a last ",word=value" is a setting. Fills folder and flavour. */
static bool parse(struct clip *c, const char *arg, struct tl_err *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_-", key[] = "flavour";
    const char *comma = strrchr(arg, ','), *end = arg + strlen(arg);
    size_t word = comma ? strspn(comma + 1, letters) : 0;
    c->flavour = &flavours[0];
    if (word && comma[1 + word] == '=') {
        if (word != sizeof key - 1 || strncmp(comma + 1, key, word) != 0)
            return tl_err_set(err, TL_USAGE, "there is no setting '%.*s'; there is flavour", (int)word,
                              comma + 1);
        end = comma;
        c->flavour = find_flavour(comma + word + 2, err);
        if (!c->flavour) return false;
    }
    if (end == arg) return tl_err_set(err, TL_USAGE, "no folder was named; write clip:FOLDER[,flavour=NAME]");
    c->folder = strndup(arg, (size_t)(end - arg));
    return c->folder || tl_err_set(err, TL_FAIL, "out of memory");
}

static bool open_into(struct clip *c, struct tl_device *device, const char *arg, struct tl_err *err)
{
    if (!parse(c, arg, err)) return false;
    c->towers = tl_clip_towers_open(device, c->folder, err);
    if (!c->towers) return false;
    const struct tl_clip_config *config = tl_clip_towers_config(c->towers);
    size_t side = (size_t)config->vision.image_size, rows = tl_clip_towers_batch(c->towers);
    size_t width = (size_t)config->projection;
    c->texts = tl_clip_texts_open(c->folder, c->towers, err);
    if (!c->texts || !tl_clip_pixels_read(c->folder, config->vision.image_size, &c->how, err)) return false;
    c->factor = c->flavour->factor != 0 ? c->flavour->factor : tl_clip_towers_scale(c->towers);
    c->pixels = calloc(rows * side * side * 3, sizeof *c->pixels);
    c->image = calloc(rows * width, sizeof *c->image);
    c->text = calloc(rows * width, sizeof *c->text);
    return (c->pixels && c->image && c->text) || tl_err_set(err, TL_FAIL, "out of memory");
}

static void clip_close(struct tl_reward *reward)
{
    struct clip *c = (struct clip *)reward;
    tl_clip_texts_close(&c->texts);
    tl_clip_towers_close(&c->towers);
    free(c->folder);
    free(c->pixels);
    free(c->image);
    free(c->text);
    free(c);
}

static struct tl_reward *clip_open(struct tl_device *device, const char *arg, struct tl_err *err)
{
    struct clip *c = calloc(1, sizeof *c);
    if (!c) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    c->base.cls = &tl_reward_clip;
    if (open_into(c, device, arg ? arg : "", err)) return &c->base;
    clip_close(&c->base);
    return NULL;
}

static bool clip_about(const struct tl_reward *reward, struct tl_reward_about *out, struct tl_err *err)
{
    const struct clip *c = (const struct clip *)reward;
    out->variant = c->flavour->name;
    out->encoder = c->folder;
    out->low = c->flavour->low == -INFINITY ? -c->factor : c->flavour->low;
    out->high = c->flavour->high == INFINITY ? c->factor : c->flavour->high;
    return tl_clip_towers_hash(c->folder, out->sha256, err);
}

/* ---- scoring ---- */

/* The flavour's prefix in front, in the arena. */
static bool embed_texts(struct clip *c, const char *const *prompts, size_t n, float *out, struct tl_err *err)
{
    struct tl_arena arena = {0};
    const char **whole = tl_arena_alloc(&arena, n, sizeof *whole);
    bool ok = whole != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        whole[i] = tl_arena_printf(&arena, "%s%s", c->flavour->prefix, prompts[i]);
        ok = whole[i] != NULL;
    }
    ok = ok ? tl_clip_texts_embed(c->texts, whole, n, out, err) : tl_err_set(err, TL_FAIL, "out of memory");
    tl_arena_finish(&arena);
    return ok;
}

/* text has unit length. In double: a float's cosine of near-equal vectors may pass 1. */
static double cosine(const float *image, const float *text, size_t n)
{
    double dot = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        dot += (double)image[i] * text[i];
        norm += (double)image[i] * image[i];
    }
    return dot / sqrt(norm);
}

static double flavoured(const struct clip *c, double cos)
{
    return c->factor * (c->flavour->positive && cos < 0 ? 0 : cos);
}

/* At most one run of the towers. */
static bool score_batch(struct clip *c, const struct tl_reward_item *items, size_t n, double *out,
                        struct tl_err *err)
{
    size_t width = (size_t)tl_clip_towers_config(c->towers)->projection;
    size_t picture = (size_t)c->how.side * (size_t)c->how.side * 3;
    for (size_t i = 0; i < n; i++) {
        const char *prompt = items[i].prompt;
        bool ok = prompt || tl_err_set(err, TL_BAD_INPUT, "there is no prompt to compare with");
        ok = ok && tl_clip_pixels_bytes(&c->how, items[i].rgb, items[i].width, items[i].height,
                                        c->pixels + i * picture, err);
        ok = ok && embed_texts(c, &prompt, 1, c->text + i * width, err);
        if (!ok) return tl_reward_item_err(items, i, err);
    }
    if (!tl_clip_towers_images(c->towers, c->pixels, n, c->image, err)) return false;
    for (size_t i = 0; i < n; i++)
        out[i] = flavoured(c, cosine(c->image + i * width, c->text + i * width, width));
    return true;
}

static bool clip_score(struct tl_reward *reward, const struct tl_reward_item *items, size_t n, double *out,
                       struct tl_err *err)
{
    struct clip *c = (struct clip *)reward;
    size_t rows = tl_clip_towers_batch(c->towers);
    for (size_t i = 0; i < n; i += rows) {
        size_t m = n - i < rows ? n - i : rows;
        if (!score_batch(c, items + i, m, out + i, err)) return false;
    }
    return true;
}

/* ---- the gradient ---- */

static tl_val clip_build(struct tl_reward *reward, struct tl_graph *g, const struct tl_reward_fragment *f)
{
    struct clip *c = (struct clip *)reward;
    const struct tl_clip_config *config = tl_clip_towers_config(c->towers);
    struct tl_nn nn = {.g = g, .set = f->set, .lora_scale = TL_NONE};
    struct tl_clip_vision_out vision;
    struct tl_str name = {0};
    tl_val pixels = tl_clip_pixels_build(&c->how, g, f->pictures, f->prefix);
    if (pixels < 0) return TL_NONE;
    int64_t n = tl_shape_of(g, pixels)->dim[0];
    tl_clip_vision_build(&nn, &config->vision, pixels, true, &vision);
    tl_str_printf(&name, "%s.text", f->prefix);
    tl_val text = name.failed ? TL_NONE : tl_input(g, name.data, TL_F32, tl_shape2(n, config->projection));
    tl_str_finish(&name);
    if (vision.embeds < 0 || text < 0) return TL_NONE;
    tl_val cos = tl_reduce_sum(g, tl_mul(g, tl_nn_normalize(&nn, vision.embeds), text), tl_shape2(n, 1));
    if (c->flavour->positive) cos = tl_unary(g, TL_UNARY_RELU, cos, 0, 0);
    return tl_reshape(g, tl_scale(g, cos, (float)c->factor), tl_shape1(n));
}

static bool clip_feed(struct tl_reward *reward, struct tl_exec *exec, const struct tl_reward_fragment *f,
                      const char *const *prompts, size_t n, struct tl_err *err)
{
    struct clip *c = (struct clip *)reward;
    struct tl_str name = {0};
    float *text = calloc(n ? n : 1, (size_t)tl_clip_towers_config(c->towers)->projection * sizeof *text);
    tl_str_printf(&name, "%s.text", f->prefix);
    bool ok = (text && !name.failed) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_clip_pixels_feed(&c->how, exec, f->prefix, err) && embed_texts(c, prompts, n, text, err) &&
         tl_exec_write(exec, name.data, text, err);
    free(text);
    tl_str_finish(&name);
    return ok;
}

static struct tl_store *clip_store(struct tl_reward *reward)
{
    return tl_clip_towers_store(((struct clip *)reward)->towers);
}

const struct tl_reward_class tl_reward_clip = {
    .info = {.name = "clip",
             .help =
                 "fit of picture and prompt by a CLIP model; flavours cosine, clipscore, torchmetrics, logit",
             .argument = "FOLDER[,flavour=NAME]",
             .modality = "image",
             .kind = TL_REWARD_PER_ITEM,
             .needs_encoder = true,
             .has_gradient = true,
             .deterministic = true,
             .low = -1,
             .high = 1},
    .open = clip_open,
    .close = clip_close,
    .score = clip_score,
    .about = clip_about,
    .build = clip_build,
    .feed = clip_feed,
    .store = clip_store,
};
