/* Reward `clip`: how well a picture fits its prompt, as the cosine of a CLIP model's two embeddings.
 *
 * clip:FOLDER[,flavour=NAME]. Flavours that are found under the name "CLIP score", which are not comparable:
 *   cosine        cos, -1 to 1 (OpenAI's use; the default)
 *   clipscore     2.5 max(cos, 0), prompts begin with "A photo depicts " (Hessel et al. 2021)
 *   torchmetrics  100 cos; the tool's 0 for a negative one is of the mean, which `tiller score` has
 *   logit         exp(logit_scale) cos (PickScore's scale)
 *   clip-score    the same, as the tool of that name, whose centre crop is torchvision's */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "rewards/clip_encoder.h"
#include "rewards/rewards.h"
#include "rewards/spec.h"
#include "rewards/text_match.h"

struct flavour {
    const char *name, *prefix;
    double factor; /* 0: exp(logit_scale) */
    bool positive; /* negative cosines count as 0 */
    double low, high;
    bool torchvision_crop;
};

static const struct flavour flavours[] = {
    {"cosine", "", 1, false, -1, 1, false},
    {"clipscore", "A photo depicts ", 2.5, true, 0, 2.5, false},
    {"torchmetrics", "", 100, false, -100, 100, false},
    {"logit", "", 0, false, -INFINITY, INFINITY, false},
    {"clip-score", "", 0, false, -INFINITY, INFINITY, true},
};
enum { N_FLAVOURS = sizeof flavours / sizeof *flavours };

struct clip {
    struct tl_reward base;
    char *folder; /* owns */
    const struct flavour *flavour;
    double factor;
    struct tl_clip_encoder *encoder; /* one of its users */
};

/* Items whose embeddings are held at a time. */
enum { CHUNK = 16 };

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
               near ? near : "cosine, clipscore, torchmetrics, logit, clip-score", near ? "?" : "");
    return NULL;
}

/* FOLDER[,flavour=NAME]. Fills folder and flavour. */
static bool parse(struct clip *c, const char *arg, struct tl_err *err)
{
    struct tl_spec_setting flavour;
    c->flavour = &flavours[0];
    if (!tl_spec_setting(arg, "flavour", &flavour, err)) return false;
    if (flavour.value) c->flavour = find_flavour(flavour.value, err);
    if (!c->flavour) return false;
    if (!flavour.n_before)
        return tl_err_set(err, TL_USAGE, "no folder was named; write clip:FOLDER[,flavour=NAME]");
    c->folder = strndup(arg, flavour.n_before);
    return c->folder || tl_err_set(err, TL_FAIL, "out of memory");
}

static bool open_into(struct clip *c, const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    if (!parse(c, arg, err)) return false;
    c->encoder = tl_clip_encoder_open(env, c->folder, c->flavour->torchvision_crop, err);
    if (!c->encoder || !tl_clip_encoder_want_texts(c->encoder, err)) return false;
    c->factor = c->flavour->factor != 0 ? c->flavour->factor : tl_clip_encoder_scale(c->encoder);
    return true;
}

static void clip_close(struct tl_reward *reward)
{
    struct clip *c = (struct clip *)reward;
    tl_clip_encoder_close(&c->encoder);
    free(c->folder);
    free(c);
}

static struct tl_reward *clip_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    struct clip *c = calloc(1, sizeof *c);
    if (!c) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    c->base.cls = &tl_reward_clip;
    if (open_into(c, env, arg ? arg : "", err)) return &c->base;
    clip_close(&c->base);
    return NULL;
}

static bool clip_about(const struct tl_reward *reward, struct tl_reward_about *out, struct tl_err *err)
{
    const struct clip *c = (const struct clip *)reward;
    out->variant = c->flavour->name;
    out->encoder = c->folder;
    out->settings = tl_clip_encoder_settings(c->encoder);
    out->low = c->flavour->low == -INFINITY ? -c->factor : c->flavour->low;
    out->high = c->flavour->high == INFINITY ? c->factor : c->flavour->high;
    return tl_clip_encoder_hash(c->encoder, out->sha256, err);
}

/* ---- scoring ---- */

/* The flavour's prefix in front, in the arena. */
static bool embed_texts(void *user, const char *const *prompts, size_t n, float *out, struct tl_err *err)
{
    struct clip *c = user;
    struct tl_arena arena = {0};
    const char **whole = tl_arena_alloc(&arena, n, sizeof *whole);
    bool ok = whole != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        whole[i] = tl_arena_printf(&arena, "%s%s", c->flavour->prefix, prompts[i]);
        ok = whole[i] != NULL;
    }
    ok = ok ? tl_clip_encoder_texts(c->encoder, whole, n, out, err)
            : tl_err_set(err, TL_FAIL, "out of memory");
    tl_arena_finish(&arena);
    return ok;
}

static double flavoured(const struct clip *c, double cos)
{
    return c->factor * (c->flavour->positive && cos < 0 ? 0 : cos);
}

/* image, text: room for [n][dim]. */
static bool score_chunk(struct clip *c, const struct tl_reward_item *items, size_t n, float *image,
                        float *text, double *out, struct tl_err *err)
{
    size_t dim = tl_clip_encoder_dim(c->encoder);
    if (!tl_text_match_embed(items, n, dim, embed_texts, c, text, err)) return false;
    if (!tl_clip_encoder_images(c->encoder, items, n, image, err)) return false;
    for (size_t i = 0; i < n; i++)
        out[i] = flavoured(c, tl_text_match_cosine(image + i * dim, text + i * dim, dim));
    return true;
}

static bool clip_score(struct tl_reward *reward, const struct tl_reward_item *items, size_t n, double *out,
                       struct tl_err *err)
{
    struct clip *c = (struct clip *)reward;
    size_t dim = tl_clip_encoder_dim(c->encoder);
    float *image = calloc(2 * CHUNK * dim, sizeof *image);
    bool ok = image || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; ok && i < n; i += CHUNK) {
        size_t m = n - i < CHUNK ? n - i : CHUNK;
        ok = score_chunk(c, items + i, m, image, image + CHUNK * dim, out + i, err);
    }
    free(image);
    return ok;
}

static size_t clip_embed_dim(const struct tl_reward *reward)
{
    return tl_clip_encoder_dim(((const struct clip *)reward)->encoder);
}

static bool clip_embed(struct tl_reward *reward, const struct tl_reward_item *items, size_t n, float *out,
                       struct tl_err *err)
{
    return tl_clip_encoder_images(((struct clip *)reward)->encoder, items, n, out, err);
}

static bool clip_knows(const struct tl_reward *reward, const struct tl_reward_item *item)
{
    return tl_clip_encoder_knows(((const struct clip *)reward)->encoder, item);
}

/* ---- the gradient ---- */

static tl_val clip_build(struct tl_reward *reward, struct tl_graph *g, const struct tl_reward_fragment *f)
{
    struct clip *c = (struct clip *)reward;
    struct tl_str name = {0};
    tl_val image = tl_clip_encoder_build(c->encoder, g, f);
    if (image < 0) return TL_NONE;
    struct tl_shape shape = *tl_shape_of(g, image);
    tl_str_printf(&name, "%s.text", f->prefix);
    tl_val text = name.failed ? TL_NONE : tl_input(g, name.data, TL_F32, shape);
    tl_str_finish(&name);
    if (text < 0) return TL_NONE;
    tl_val cos = tl_reduce_sum(g, tl_mul(g, image, text), tl_shape2(shape.dim[0], 1));
    if (c->flavour->positive) cos = tl_unary(g, TL_UNARY_RELU, cos, 0, 0);
    return tl_reshape(g, tl_scale(g, cos, (float)c->factor), tl_shape1(shape.dim[0]));
}

static bool clip_feed(struct tl_reward *reward, struct tl_exec *exec, const struct tl_reward_fragment *f,
                      const char *const *prompts, size_t n, struct tl_err *err)
{
    struct clip *c = (struct clip *)reward;
    struct tl_str name = {0};
    float *text = calloc(n ? n : 1, tl_clip_encoder_dim(c->encoder) * sizeof *text);
    tl_str_printf(&name, "%s.text", f->prefix);
    bool ok = (text && !name.failed) || tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_clip_encoder_feed(c->encoder, exec, f, err) && embed_texts(c, prompts, n, text, err) &&
         tl_exec_write(exec, name.data, text, err);
    free(text);
    tl_str_finish(&name);
    return ok;
}

static struct tl_store *clip_store(struct tl_reward *reward)
{
    return tl_clip_encoder_store(((struct clip *)reward)->encoder);
}

const struct tl_reward_class tl_reward_clip = {
    .info = {.name = "clip",
             .help = "fit of picture and prompt by a CLIP model; flavours cosine, clipscore, torchmetrics, "
                     "logit, clip-score",
             .argument = "FOLDER[,flavour=NAME]",
             .modality = "image",
             .kind = TL_REWARD_PER_ITEM,
             .needs_encoder = true,
             .has_flavours = true,
             .needs_prompt = true,
             .has_gradient = true,
             .deterministic = true,
             .low = -1,
             .high = 1},
    .open = clip_open,
    .close = clip_close,
    .score = clip_score,
    .about = clip_about,
    .embed_dim = clip_embed_dim,
    .embed = clip_embed,
    .knows = clip_knows,
    .build = clip_build,
    .feed = clip_feed,
    .store = clip_store,
};
