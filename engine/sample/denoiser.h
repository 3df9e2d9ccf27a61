/* The denoiser as samplers and trajectory losses see it: a UNet planned for a number of samples and a latent
 * size, with classifier-free guidance, an optional LoRA, and the gradient of its output.
 *
 * Rows of the network are the samples, or with guidance twice as many: all unconditional ones, then all
 * conditional ones. One planned graph serves every weight set of the same layout: theta, old, reference (LoRA
 * scale 0), EMA; equal weights and inputs give equal bytes, so log-ratios of an unchanged model are exactly
 * zero. Not thread-safe. */
#ifndef TL_SAMPLE_DENOISER_H
#define TL_SAMPLE_DENOISER_H

#include "models/component.h"
#include "nn/lora.h"
#include "tensor/exec.h"

struct tl_denoiser_params {
    struct tl_component *unet;       /* borrowed */
    int64_t batch;                   /* samples of one run */
    int64_t height, width;           /* of the latents */
    int64_t tokens;                  /* of the context */
    bool guided;                     /* plan for two branches */
    const struct tl_lora_spec *lora; /* borrowed while creating; NULL: none */
    bool gradient; /* plan the backward pass too: into the LoRA if there is one, else into all weights */
    bool input_gradient; /* plan the pullback to x too */
    bool checkpoint;     /* recompute block activations in these passes */
};

/* What the network is told about its rows, in row order; [rows = batch, or 2 * batch when guided]. Absent
 * parts are NULL. */
struct tl_condition {
    const float *context;     /* [rows, tokens, D] */
    const float *text_embeds; /* [rows, P] (SDXL) */
    const float *time_ids;    /* [rows, 6] (SDXL) */
};

struct tl_denoiser;

struct tl_denoiser *tl_denoiser_create(const struct tl_denoiser_params *params, struct tl_err *err);
void tl_denoiser_destroy(struct tl_denoiser **denoiser);

/* The LoRA's layout (NULL without one), owned by the denoiser. Denoisers of the same UNet and spec have equal
 * layouts, so a store made from one's layout binds to the others. */
const struct tl_store_layout *tl_denoiser_lora_layout(const struct tl_denoiser *denoiser);
size_t tl_denoiser_bytes(const struct tl_denoiser *denoiser);

/* Which weights the next runs use: base (NULL: the component's own) and LoRA, and where gradients are added.
 * Borrowed. */
struct tl_denoiser_weights {
    struct tl_store *base, *lora, *grads;
    double lora_scale; /* alpha / r times the user's scale; 0: the reference */
};

/* x [batch,h,w,C], t [batch], out [batch,h,w,C_out]; m = u + guidance (c - u) when guided. */
bool tl_denoiser_run(struct tl_denoiser *denoiser, const struct tl_denoiser_weights *weights, const float *x,
                     const float *t, const struct tl_condition *condition, double guidance, float *out,
                     struct tl_err *err);

/* Adds the gradient of sum(d_m * m) to weights->grads. d_m [batch,h,w,C_out]. */
bool tl_denoiser_backward(struct tl_denoiser *denoiser, const struct tl_denoiser_weights *weights,
                          const float *x, const float *t, const struct tl_condition *condition,
                          double guidance, const float *d_m, struct tl_err *err);

/* The gradient of sum(d_m * m) by x, through both branches of guidance; out_d_x [batch,h,w,C], may be d_m
 * where C is C_out. It runs the network anew; weights->grads are not looked at. */
bool tl_denoiser_pullback(struct tl_denoiser *denoiser, const struct tl_denoiser_weights *weights,
                          const float *x, const float *t, const struct tl_condition *condition,
                          double guidance, const float *d_m, float *out_d_x, struct tl_err *err);

#endif
