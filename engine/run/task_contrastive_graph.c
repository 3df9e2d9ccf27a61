/* The contrastive loss as a graph: pictures against captions both ways, and labels of patches beside it. */
#include <stdio.h>

#include "run/task_contrastive_parts.h"

/* -mean over rows of log_softmax(logits)[i, i]; `pick` [B, columns] holds 1/B on the diagonal. */
static tl_val cross_entropy(struct tl_graph *g, tl_val logits, tl_val pick)
{
    return tl_scale(g, tl_sum_all(g, tl_mul(g, tl_log_softmax(g, logits), pick)), -1);
}

static tl_val build_patch_loss(struct tl_nn *nn, const struct tl_contrastive *t, tl_val hidden)
{
    struct tl_graph *g = nn->g;
    struct tl_nn aux = *nn;
    aux.set = TL_SET_AUX;
    int64_t b = t->p.batch, patches = t->extras.n_patches;
    tl_val states = tl_slice(g, hidden, 1, 1, patches), loss = TL_NONE;
    for (int k = 0; k < t->extras.n_channels; k++) {
        char name[32];
        snprintf(name, sizeof name, "patch_targets.%d", k);
        int64_t classes = t->extras.n_classes[k];
        tl_val logits = tl_nn_linear(&aux, states, classes, true, "patch_head.%d", k);
        tl_val targets =
            tl_input(g, name, TL_F32, tl_shape3(b, patches, classes)); /* weights that sum to 1 */
        tl_val one = cross_entropy(g, logits, targets);
        loss = loss < 0 ? one : tl_add(g, loss, one);
    }
    return loss;
}

tl_val tl_contrastive_loss(struct tl_nn *nn, const struct tl_contrastive *t, bool patches)
{
    struct tl_graph *g = nn->g;
    const struct tl_clip_config *c = &t->clip->config.clip;
    int64_t b = t->p.batch, texts = t->extras.n_negatives ? 2 * b : b;
    struct tl_clip_text_out text;
    struct tl_clip_vision_out vision;
    tl_val ids = tl_input(g, "input_ids", TL_I32, tl_shape2(texts, t->tokens)),
           rows = tl_input(g, "eos_rows", TL_I32, tl_shape1(texts));
    tl_clip_text_build(nn, &c->text, ids, TL_NONE, rows, true, 0, &text);
    tl_clip_vision_build(nn, &c->vision,
                         tl_input(g, "pixel_values", TL_F32, tl_shape4(b, t->side, t->side, 3)), true,
                         &vision);
    tl_val logits = tl_clip_logits(nn, tl_nn_normalize(nn, vision.embeds),
                                   tl_nn_normalize(nn, text.embeds)); /* [B, texts] */
    tl_val to_text = tl_add(g, logits, tl_input(g, "mask", TL_F32, tl_shape2(b, texts)));
    tl_val square = tl_permute(g, tl_slice(g, logits, 1, 0, b), (const int32_t[]){1, 0});
    tl_val to_image = tl_add(g, square, tl_input(g, "mask_text", TL_F32, tl_shape2(b, b)));
    tl_val pick = tl_input(g, "pick", TL_F32, tl_shape2(b, texts));
    tl_val loss =
        tl_add(g, cross_entropy(g, to_text, pick), cross_entropy(g, to_image, tl_slice(g, pick, 1, 0, b)));
    loss = tl_scale(g, loss, 0.5f);
    tl_output(g, loss, "contrastive");
    tl_output(g, logits, "logits");
    if (!patches || vision.hidden < 0) return loss;
    tl_val patch = build_patch_loss(nn, t, vision.hidden);
    tl_output(g, patch, "patch");
    return tl_add(g, loss, tl_scale(g, patch, (float)t->p.patch_weight));
}
