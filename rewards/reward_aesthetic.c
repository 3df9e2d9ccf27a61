/* Reward `aesthetic`: how much people like a picture's looks, by a head over the L2-normalised embedding of a
 * CLIP model (Schuhmann et al. 2022, LAION). aesthetic:HEAD,encoder=FOLDER: HEAD a safetensors file
 * (aesthetic_head.h), FOLDER the CLIP model that it was trained over, for LAION's heads
 * openai/clip-vit-large-patch14. Theirs give 1 to 10, 5.2 to 5.6 for usual samples of Stable Diffusion.
 *
 * Prompts are not read: trained on alone it makes any prompt's pictures one pretty picture. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "rewards/aesthetic_head.h"
#include "rewards/clip_encoder.h"
#include "rewards/rewards.h"

struct aesthetic {
    struct tl_reward base;
    char *path, *folder; /* own */
    struct tl_aesthetic_head head;
    struct tl_clip_encoder *encoder; /* one of its users */
};

/* Items whose embeddings are held at a time. */
enum { CHUNK = 16 };

/* ---- opening ---- */

static bool parse(struct aesthetic *a, const char *arg, struct tl_err *err)
{
    static const char key[] = ",encoder=";
    const char *at = strstr(arg, key);
    if (!at || at == arg || !at[sizeof key - 1])
        return tl_err_set(err, TL_USAGE,
                          "a head and the CLIP model that it was trained over are needed; write "
                          "aesthetic:HEAD,encoder=FOLDER, HEAD a safetensors file");
    a->path = strndup(arg, (size_t)(at - arg));
    a->folder = strdup(at + sizeof key - 1);
    return (a->path && a->folder) || tl_err_set(err, TL_FAIL, "out of memory");
}

static bool open_into(struct aesthetic *a, const struct tl_reward_env *env, const char *arg,
                      struct tl_err *err)
{
    if (!parse(a, arg, err) || !tl_aesthetic_head_read(a->path, &a->head, err)) return false;
    a->encoder = tl_clip_encoder_open(env, a->folder, false, err);
    if (!a->encoder) return false;
    size_t dim = tl_clip_encoder_dim(a->encoder);
    return dim == a->head.dim ||
           tl_err_set(
               err, TL_BAD_INPUT,
               "%s is a head over %zu numbers, and %s gives %zu: take the CLIP model that the head was "
               "trained over",
               a->path, a->head.dim, a->folder, dim);
}

static void aesthetic_close(struct tl_reward *reward)
{
    struct aesthetic *a = (struct aesthetic *)reward;
    tl_clip_encoder_close(&a->encoder);
    tl_aesthetic_head_finish(&a->head);
    free(a->path);
    free(a->folder);
    free(a);
}

static struct tl_reward *aesthetic_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    struct aesthetic *a = calloc(1, sizeof *a);
    if (!a) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    a->base.cls = &tl_reward_aesthetic;
    if (open_into(a, env, arg ? arg : "", err)) return &a->base;
    aesthetic_close(&a->base);
    return NULL;
}

/* On the unit sphere an affine map goes as far as its weights are long. */
static bool aesthetic_about(const struct tl_reward *reward, struct tl_reward_about *out, struct tl_err *err)
{
    const struct aesthetic *a = (const struct aesthetic *)reward;
    double sum = 0;
    for (size_t k = 0; k < a->head.dim; k++) sum += a->head.weight[k] * a->head.weight[k];
    out->variant = a->head.n_layers > 1 ? "mlp" : "linear";
    out->encoder = a->folder;
    out->settings = tl_clip_encoder_settings(a->encoder);
    out->low = a->head.bias - sqrt(sum);
    out->high = a->head.bias + sqrt(sum);
    return tl_clip_encoder_hash(a->encoder, out->sha256, err);
}

/* ---- scoring ---- */

static double apply(const struct tl_aesthetic_head *head, const float *embedding)
{
    double sum = head->bias;
    for (size_t k = 0; k < head->dim; k++) sum += head->weight[k] * (double)embedding[k];
    return sum;
}

static bool aesthetic_score(struct tl_reward *reward, const struct tl_reward_item *items, size_t n,
                            double *out, struct tl_err *err)
{
    struct aesthetic *a = (struct aesthetic *)reward;
    float *image = calloc(CHUNK * a->head.dim, sizeof *image);
    bool ok = image || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; ok && i < n; i += CHUNK) {
        size_t m = n - i < CHUNK ? n - i : CHUNK;
        ok = tl_clip_encoder_images(a->encoder, items + i, m, image, err);
        for (size_t k = 0; ok && k < m; k++) out[i + k] = apply(&a->head, image + k * a->head.dim);
    }
    free(image);
    return ok;
}

static size_t aesthetic_embed_dim(const struct tl_reward *reward)
{
    return ((const struct aesthetic *)reward)->head.dim;
}

static bool aesthetic_embed(struct tl_reward *reward, const struct tl_reward_item *items, size_t n,
                            float *out, struct tl_err *err)
{
    return tl_clip_encoder_images(((struct aesthetic *)reward)->encoder, items, n, out, err);
}

static bool aesthetic_knows(const struct tl_reward *reward, const struct tl_reward_item *item)
{
    return tl_clip_encoder_knows(((const struct aesthetic *)reward)->encoder, item);
}

/* ---- the gradient ---- */

static tl_val aesthetic_build(struct tl_reward *reward, struct tl_graph *g,
                              const struct tl_reward_fragment *f)
{
    struct aesthetic *a = (struct aesthetic *)reward;
    struct tl_str name = {0};
    tl_val image = tl_clip_encoder_build(a->encoder, g, f);
    if (image < 0) return TL_NONE;
    int64_t n = tl_shape_of(g, image)->dim[0];
    tl_str_printf(&name, "%s.head", f->prefix);
    tl_val head = name.failed ? TL_NONE : tl_input(g, name.data, TL_F32, tl_shape2(1, (int64_t)a->head.dim));
    tl_str_finish(&name);
    if (head < 0) return TL_NONE;
    tl_val score = tl_reduce_sum(g, tl_mul(g, image, head), tl_shape2(n, 1));
    return tl_reshape(g, tl_unary(g, TL_UNARY_AFFINE, score, 1, (float)a->head.bias), tl_shape1(n));
}

static bool aesthetic_feed(struct tl_reward *reward, struct tl_exec *exec, const struct tl_reward_fragment *f,
                           const char *const *prompts, size_t n, struct tl_err *err)
{
    struct aesthetic *a = (struct aesthetic *)reward;
    struct tl_str name = {0};
    float *head = calloc(a->head.dim, sizeof *head);
    (void)prompts;
    (void)n;
    tl_str_printf(&name, "%s.head", f->prefix);
    bool ok = (head && !name.failed) || tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t k = 0; ok && k < a->head.dim; k++) head[k] = (float)a->head.weight[k];
    ok = ok && tl_clip_encoder_feed(a->encoder, exec, f, err) && tl_exec_write(exec, name.data, head, err);
    free(head);
    tl_str_finish(&name);
    return ok;
}

static struct tl_store *aesthetic_store(struct tl_reward *reward)
{
    return tl_clip_encoder_store(((struct aesthetic *)reward)->encoder);
}

const struct tl_reward_class tl_reward_aesthetic = {
    .info = {.name = "aesthetic",
             .help =
                 "liking of looks by a linear or MLP head (LAION's layouts) over a CLIP model's embedding",
             .argument = "HEAD,encoder=FOLDER",
             .modality = "image",
             .kind = TL_REWARD_PER_ITEM,
             .needs_encoder = true,
             .encoder_key = "encoder",
             .has_gradient = true,
             .deterministic = true,
             .low = -INFINITY,
             .high = INFINITY},
    .open = aesthetic_open,
    .close = aesthetic_close,
    .score = aesthetic_score,
    .about = aesthetic_about,
    .embed_dim = aesthetic_embed_dim,
    .embed = aesthetic_embed,
    .knows = aesthetic_knows,
    .build = aesthetic_build,
    .feed = aesthetic_feed,
    .store = aesthetic_store,
};
