/* What the plan of an inference graph takes: the widest place of a network, not what a gradient would want
 * kept. */
#include "support/check.h"

#include "models/clip.h"
#include "tensor/plan.h"

enum { BATCH = 4, SIDE = 224, PATCH = 14, WIDTH = 1024, MLP = 4096, TOKENS = 257 };

static size_t planned(struct tl_graph *g)
{
    struct tl_plan plan;
    struct tl_err err = {0};
    check_ok(tl_plan_make(g, sizeof(float), true, &plan, &err), &err);
    size_t bytes = plan.bytes;
    tl_plan_finish(&plan);
    tl_graph_destroy(&g);
    return bytes;
}

/* ViT-L/14 of so many layers. */
static size_t vision_bytes(int layers)
{
    const struct tl_clip_vision_config c = {.tower = {WIDTH, MLP, layers, 16, 1e-5f, "quick_gelu"},
                                            .image_size = SIDE,
                                            .patch = PATCH,
                                            .channels = 3,
                                            .projection = 768};
    struct tl_graph *g = tl_graph_create();
    struct tl_nn nn = {.g = g, .lora_scale = TL_NONE};
    struct tl_clip_vision_out y;
    tl_clip_vision_build(&nn, &c, tl_input(g, "pixels", TL_F32, tl_shape4(BATCH, SIDE, SIDE, 3)), true, &y);
    tl_output(g, y.embeds, "embeds");
    return planned(g);
}

static void a_tower_takes_its_widest_place(void **state)
{
    (void)state;
    const size_t row = (size_t)BATCH * TOKENS * sizeof(float),
                 input = (size_t)BATCH * SIDE * SIDE * 3 * sizeof(float);
    /* Inside an MLP: the residual, the norm's or the layer's result, the hidden layer, activated in place. */
    const size_t least = input + row * (2 * WIDTH + MLP);
    const size_t two = vision_bytes(2), all = vision_bytes(24);
    print_message("ViT-L/14, batch %d: %.1f MB, at least %.1f\n", BATCH, (double)all * 1e-6,
                  (double)least * 1e-6);
    assert_int_equal(two, all); /* depth takes nothing */
    assert_true(all <= least + least / 100);
}

/* convolution, norm and relu one after another: two pictures, whatever the depth; weights with the norm in
 * them live for one layer. */
static size_t chain_bytes(int layers)
{
    struct tl_graph *g = tl_graph_create();
    struct tl_nn nn = {.g = g, .lora_scale = TL_NONE};
    tl_val x = tl_fill(g, tl_shape4(2, 64, 64, 32), 1);
    for (int i = 0; i < layers; i++) {
        char conv[32], norm[32];
        snprintf(conv, sizeof conv, "%d.conv", i);
        snprintf(norm, sizeof norm, "%d.bn", i);
        x = tl_nn_conv_norm(&nn, x, 32, tl_nn_conv3x3(), 1e-3f, conv, norm, true);
    }
    tl_output(g, tl_mean_all(g, x), "y");
    return planned(g);
}

static void a_chain_of_convolutions_takes_two_pictures(void **state)
{
    (void)state;
    const size_t picture = 2 * 64 * 64 * 32 * sizeof(float), weights = 9 * 32 * 32 * sizeof(float);
    const size_t three = chain_bytes(3), many = chain_bytes(20);
    assert_int_equal(three, many);
    assert_true(many <= 2 * picture + 2 * weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tower_takes_its_widest_place),
        cmocka_unit_test(a_chain_of_convolutions_takes_two_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
