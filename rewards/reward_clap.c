/* Reward `clap`: how well a sound fits its prompt, as the cosine of a CLAP model's two embeddings.
 *
 * clap:FOLDER[,flavour=NAME][,crop=NAME]. Flavours:
 *   cosine   cos, -1 to 1 (the default)
 *   logit    exp(logit_scale_a) cos, what transformers calls logits_per_audio
 * A sound's embedding is the mean over its windows, at unit length again; `crop` says which windows
 * (encoders/clap_sound.h). Papers name other numbers "CLAP score", too: by other checkpoints and by windows
 * drawn at random. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/str.h"
#include "rewards/clap_encoder.h"
#include "rewards/rewards.h"
#include "rewards/text_match.h"

struct clap {
    struct tl_reward base;
    bool is_logit;
    char *block; /* owns the argument's parts */
    const char *folder;
    struct tl_clap_encoder *encoder; /* one of its users */
};

/* ---- opening ---- */

static bool read_flavour(struct clap *c, const char *name, struct tl_err *err)
{
    c->is_logit = name && strcmp(name, "logit") == 0;
    return !name || c->is_logit || strcmp(name, "cosine") == 0 ||
           tl_err_set(err, TL_USAGE, "there is no flavour '%s'; there are cosine, logit", name);
}

static bool open_into(struct clap *c, const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    static const char *const keys[] = {"flavour", "crop", "resample", NULL};
    const char *values[3];
    struct tl_str settings = {0}; /* the encoder's: without the flavour */
    if (!tl_encoder_arg_parse(arg, keys, &c->block, &c->folder, values, err)) return false;
    if (!c->folder) return tl_err_set(err, TL_USAGE, "no folder was named; write clap:FOLDER[,flavour=NAME]");
    if (!read_flavour(c, values[0], err)) return false;
    tl_str_append(&settings, "");
    for (int i = 1; i < 3; i++)
        if (values[i]) tl_str_printf(&settings, ",%s=%s", keys[i], values[i]);
    if (settings.failed)
        tl_err_set(err, TL_FAIL, "out of memory");
    else
        c->encoder = tl_clap_encoder_open(env, c->folder, settings.data, err);
    tl_str_finish(&settings);
    return c->encoder != NULL;
}

static void clap_close(struct tl_reward *reward)
{
    struct clap *c = (struct clap *)reward;
    tl_clap_encoder_close(&c->encoder);
    free(c->block);
    free(c);
}

static struct tl_reward *clap_open(const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    struct clap *c = calloc(1, sizeof *c);
    if (!c) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    c->base.cls = &tl_reward_clap;
    if (open_into(c, env, arg ? arg : "", err)) return &c->base;
    clap_close(&c->base);
    return NULL;
}

static double factor(const struct clap *c)
{
    return c->is_logit ? tl_clap_encoder_scale(c->encoder) : 1;
}

static bool clap_about(const struct tl_reward *reward, struct tl_reward_about *out, struct tl_err *err)
{
    const struct clap *c = (const struct clap *)reward;
    (void)err;
    out->variant = c->is_logit ? "logit" : "cosine";
    out->encoder = c->folder;
    out->settings = tl_clap_encoder_about(c->encoder)->settings;
    out->low = -factor(c);
    out->high = factor(c);
    memcpy(out->sha256, tl_clap_encoder_about(c->encoder)->sha256, sizeof out->sha256);
    return true;
}

/* ---- scoring ---- */

static size_t clap_embed_dim(const struct tl_reward *reward)
{
    return tl_clap_encoder_about(((const struct clap *)reward)->encoder)->dim;
}

static bool clap_embed(struct tl_reward *reward, const struct tl_reward_item *items, size_t n, float *out,
                       struct tl_err *err)
{
    return tl_clap_encoder_sounds(((struct clap *)reward)->encoder, items, n, out, err);
}

static bool clap_knows(const struct tl_reward *reward, const struct tl_reward_item *item)
{
    return tl_clap_encoder_knows(((const struct clap *)reward)->encoder, item);
}

static bool embed_texts(void *user, const char *const *prompts, size_t n, float *out, struct tl_err *err)
{
    return tl_clap_encoder_texts(((struct clap *)user)->encoder, prompts, n, out, err);
}

static bool clap_score(struct tl_reward *reward, const struct tl_reward_item *items, size_t n, double *out,
                       struct tl_err *err)
{
    struct clap *c = (struct clap *)reward;
    size_t dim = clap_embed_dim(reward), size;
    float *audio = tl_checked_mul(n, 2 * dim, &size) ? calloc(size + 1, sizeof *audio) : NULL;
    if (!audio) return tl_err_set(err, TL_FAIL, "out of memory");
    float *text = audio + n * dim;
    bool ok = tl_text_match_embed(items, n, dim, embed_texts, c, text, err);
    ok = ok && tl_clap_encoder_sounds(c->encoder, items, n, audio, err);
    for (size_t i = 0; ok && i < n; i++)
        out[i] = factor(c) * tl_text_match_cosine(audio + i * dim, text + i * dim, dim);
    free(audio);
    return ok;
}

const struct tl_reward_class tl_reward_clap = {
    .info = {.name = "clap",
             .help = "cosine of a CLAP model's embeddings of sound and prompt",
             .argument = "FOLDER[,flavour=cosine|logit][,crop=NAME]",
             .modality = "audio",
             .kind = TL_REWARD_PER_ITEM,
             .needs_encoder = true,
             .has_flavours = true,
             .needs_prompt = true,
             .deterministic = true,
             .low = -1,
             .high = 1},
    .open = clap_open,
    .close = clap_close,
    .score = clap_score,
    .about = clap_about,
    .embed_dim = clap_embed_dim,
    .embed = clap_embed,
    .knows = clap_knows,
};
