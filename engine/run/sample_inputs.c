#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "run/sample_parts.h"

enum { MOST_PICTURES = 1000000, MOST_SIDE = 8192 };

static bool gather_prompts(const struct tl_sample_params *p, struct tl_sample_inputs *in, struct tl_err *err)
{
    if (p->prompts && !tl_prompts_read(p->prompts, &in->file, err)) return false;
    in->n_prompts = p->prompt.n + in->file.n;
    if (in->n_prompts == 0)
        return tl_err_set(err, TL_USAGE, "nothing to draw: give --prompt TEXT or --prompts FILE");
    in->prompts = tl_arena_alloc(&in->arena, in->n_prompts, sizeof *in->prompts);
    if (!in->prompts) return tl_err_set(err, TL_FAIL, "out of memory for %zu prompts", in->n_prompts);
    for (size_t i = 0; i < p->prompt.n; i++) in->prompts[i].text = p->prompt.items[i];
    for (size_t i = 0; i < in->file.n; i++) in->prompts[p->prompt.n + i] = in->file.items[i];
    if (!tl_checked_mul(in->n_prompts, (size_t)p->n, &in->n) || in->n > MOST_PICTURES)
        return tl_err_set(err, TL_USAGE, "%zu prompts with %d pictures each: at most %d pictures in a run",
                          in->n_prompts, p->n, MOST_PICTURES);
    return true;
}

static bool parse_size(const char *text, int *width, int *height, struct tl_err *err)
{
    if (!text) return true;
    char *end = NULL;
    long w = strtol(text, &end, 10), h = 0;
    if ((*end == 'x' || *end == 'X') && end[1] >= '0' && end[1] <= '9') h = strtol(end + 1, &end, 10);
    if (*end || w < 1 || h < 1 || w > MOST_SIDE || h > MOST_SIDE)
        return tl_err_set(err, TL_USAGE,
                          "--size %.40s: expected WIDTHxHEIGHT in pixels, 1 to %d each, such as 64x64", text,
                          MOST_SIDE);
    *width = (int)w;
    *height = (int)h;
    return true;
}

static bool read_latents(const char *path, struct tl_sample_inputs *in, struct tl_err *err)
{
    struct tl_st_file *st = path ? tl_st_open(path, err) : NULL;
    if (!path) return true;
    if (!st) return false;
    const struct tl_st_tensor *t = tl_st_count(st) == 1 ? tl_st_at(st, 0) : NULL;
    char shape[96];
    bool ok = t != NULL || tl_err_set(err, TL_BAD_INPUT, "%s holds %zu tensors, one is needed: [N,C,h,w]",
                                      path, tl_st_count(st));
    if (ok && (t->rank != 4 || t->n == 0 || t->shape[1] > 4096 || t->shape[2] > MOST_SIDE ||
               t->shape[3] > MOST_SIDE))
        ok = tl_err_set(err, TL_BAD_INPUT, "%s: tensor %s is %s, expected [N,C,h,w]", path, t->name,
                        tl_st_shape_text(t, shape, sizeof shape));
    if (ok && t->shape[0] != in->n)
        ok = tl_err_set(err, TL_BAD_INPUT, "%s holds the noise of %llu pictures, the run has %zu", path,
                        (unsigned long long)t->shape[0], in->n);
    if (ok) {
        in->latents = tl_arena_alloc(&in->arena, (size_t)t->n, sizeof *in->latents);
        ok = in->latents != NULL || tl_err_set(err, TL_FAIL, "out of memory for %s", path);
    }
    ok = ok && (tl_st_to_f32(t, in->latents, err) || tl_err_add(err, "%s", path));
    for (uint64_t i = 0; ok && i < t->n; i++)
        if (!isfinite(in->latents[i]))
            ok = tl_err_set(err, TL_BAD_INPUT, "%s has a value that is not finite", path);
    if (ok) {
        in->latent_channels = (int)t->shape[1];
        in->latent_h = (int)t->shape[2];
        in->latent_w = (int)t->shape[3];
    }
    tl_st_close(&st);
    return ok;
}

bool tl_sample_inputs_read(const struct tl_sample_params *p, struct tl_sample_inputs *in, struct tl_err *err)
{
    *in = (struct tl_sample_inputs){0};
    if (!gather_prompts(p, in, err) || !parse_size(p->size, &in->width, &in->height, err)) return false;
    in->n_loras = p->lora.n;
    in->loras = tl_arena_alloc(&in->arena, in->n_loras + 1, sizeof *in->loras);
    if (!in->loras) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < in->n_loras; i++)
        if (!tl_lora_arg_parse(p->lora.items[i], &in->arena, &in->loras[i], err)) return false;
    return read_latents(p->init_latents, in, err);
}

void tl_sample_inputs_finish(struct tl_sample_inputs *in)
{
    tl_prompts_finish(&in->file);
    tl_arena_finish(&in->arena);
    *in = (struct tl_sample_inputs){0};
}
