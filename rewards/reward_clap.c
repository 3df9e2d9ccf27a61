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
#include "encoders/encoder_clap.h"
#include "encoders/encoder_rows.h"
#include "rewards/rewards.h"

struct clap {
    struct tl_reward base;
    bool is_logit;
    struct tl_encoder *encoder;
    struct tl_clap_texts *texts;
    float *audio, *text; /* [dim] */
};

/* ---- opening ---- */

static bool read_flavour(struct clap *c, const char *name, struct tl_err *err)
{
    c->is_logit = name && strcmp(name, "logit") == 0;
    return !name || c->is_logit || strcmp(name, "cosine") == 0 ||
           tl_err_set(err, TL_USAGE, "there is no flavour '%s'; there are cosine, logit", name);
}

/* The encoder's spec, without the flavour. */
static bool open_encoder(struct clap *c, const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    static const char *const keys[] = {"flavour", "crop", "resample", NULL};
    char *block = NULL;
    const char *folder = NULL, *values[3];
    struct tl_str spec = {0};
    bool ok =
        tl_encoder_arg_parse(arg, keys, &block, &folder, values, err) &&
        (folder || tl_err_set(err, TL_USAGE, "no folder was named; write clap:FOLDER[,flavour=NAME]")) &&
        read_flavour(c, values[0], err);
    if (ok) {
        tl_str_printf(&spec, "clap:%s", folder);
        for (int i = 1; i < 3; i++)
            if (values[i]) tl_str_printf(&spec, ",%s=%s", keys[i], values[i]);
        ok = !spec.failed || tl_err_set(err, TL_FAIL, "out of memory");
    }
    if (ok) {
        c->encoder = tl_encoder_open(&(struct tl_encoder_env){env->device, env->dtype}, spec.data, err);
        ok = c->encoder != NULL;
    }
    if (ok) c->texts = tl_clap_texts_open(folder, tl_encoder_clap_towers(c->encoder), err);
    tl_str_finish(&spec);
    free(block);
    return ok && c->texts;
}

static bool open_into(struct clap *c, const struct tl_reward_env *env, const char *arg, struct tl_err *err)
{
    if (!open_encoder(c, env, arg, err)) return false;
    size_t dim = tl_encoder_about(c->encoder)->dim;
    c->audio = calloc(dim, sizeof *c->audio);
    c->text = calloc(dim, sizeof *c->text);
    return (c->audio && c->text) || tl_err_set(err, TL_FAIL, "out of memory");
}

static void clap_close(struct tl_reward *reward)
{
    struct clap *c = (struct clap *)reward;
    tl_clap_texts_close(&c->texts);
    tl_encoder_close(&c->encoder);
    free(c->audio);
    free(c->text);
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
    return c->is_logit ? tl_clap_towers_scale(tl_encoder_clap_towers(c->encoder)) : 1;
}

static bool clap_about(const struct tl_reward *reward, struct tl_reward_about *out, struct tl_err *err)
{
    const struct clap *c = (const struct clap *)reward;
    const struct tl_encoder_about *a = tl_encoder_about(c->encoder);
    (void)err;
    out->variant = c->is_logit ? "logit" : "cosine";
    out->encoder = a->path;
    out->low = -factor(c);
    out->high = factor(c);
    memcpy(out->sha256, a->sha256, sizeof out->sha256);
    return true;
}

/* ---- scoring ---- */

/* The sound's one embedding into c->audio. */
static bool embed_sound(struct clap *c, const struct tl_reward_item *item, struct tl_err *err)
{
    struct tl_sound sound = tl_reward_item_sound(item);
    struct tl_encoder_windows w = {0};
    size_t dim = tl_encoder_about(c->encoder)->dim, n;
    if (!tl_encoder_prepare(c->encoder, &(struct tl_encoder_item){.sound = &sound}, &w, err)) return false;
    float *rows = tl_checked_mul(w.n, dim, &n) ? calloc(n, sizeof *rows) : NULL;
    bool ok = (rows || tl_err_set(err, TL_FAIL, "out of memory")) &&
              tl_encoder_run(c->encoder, w.x, w.n, w.floats, rows, err);
    if (ok) tl_encoder_clap_mean(rows, w.n, dim, c->audio);
    free(rows);
    tl_encoder_windows_finish(&w);
    return ok;
}

static bool clap_score(struct tl_reward *reward, const struct tl_reward_item *items, size_t n, double *out,
                       struct tl_err *err)
{
    struct clap *c = (struct clap *)reward;
    size_t dim = tl_encoder_about(c->encoder)->dim;
    for (size_t i = 0; i < n; i++) {
        if (!embed_sound(c, &items[i], err) ||
            !tl_clap_texts_embed(c->texts, &items[i].prompt, 1, c->text, err))
            return tl_reward_item_err(items, i, err);
        double dot = 0, norm = 0; /* in double: a float's cosine of near-equal vectors may pass 1 */
        for (size_t k = 0; k < dim; k++) {
            dot += (double)c->audio[k] * (double)c->text[k];
            norm += (double)c->audio[k] * (double)c->audio[k];
        }
        out[i] = factor(c) * dot / sqrt(norm);
    }
    return true;
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
};
