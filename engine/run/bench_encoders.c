/* Encoders of pictures with drawn weights: a batch forward. */
#include <stdlib.h>

#include "models/clip.h"
#include "models/inception.h"
#include "models/weights.h"
#include "run/bench_rows.h"

struct encoder {
    struct tl_exec *exec;
    struct tl_store_layout *layout;
    struct tl_store *store;
};

static void destroy(void *self)
{
    struct encoder *e = self;
    tl_exec_destroy(&e->exec);
    tl_store_destroy(&e->store);
    tl_store_layout_destroy(&e->layout);
    free(e);
}

static bool run(void *self, struct tl_err *err)
{
    struct encoder *e = self;
    return tl_exec_run(e->exec, err) && tl_bench_wait(e->exec, err);
}

/* Takes over the graph. */
static bool open_graph(struct encoder *e, struct tl_device *device, struct tl_graph *g, struct tl_err *err)
{
    tl_bench_mark(g);
    if (tl_graph_ok(g, err))
        e->layout =
            tl_store_layout_create((const struct tl_graph *const[]){g}, 1, TL_SET_BASE, NULL, NULL, err);
    if (!e->layout) {
        tl_graph_destroy(&g);
        return false;
    }
    e->exec = tl_exec_create(device, &g, err);
    e->store = e->exec ? tl_store_create(device, e->layout, err) : NULL;
    return e->store && tl_weights_init(e->store, 0, err) &&
           tl_exec_bind(e->exec, TL_SET_BASE, e->store, err) && tl_bench_fill(e->exec, err);
}

/* g may be NULL: out of memory. */
static bool open_encoder(struct tl_device *device, struct tl_graph *g, struct tl_bench_unit *out,
                         struct tl_err *err)
{
    struct encoder *e = calloc(1, sizeof *e);
    if (!e || !g) {
        free(e);
        tl_graph_destroy(&g);
        return tl_err_set(err, TL_FAIL, "out of memory");
    }
    *out = (struct tl_bench_unit){.self = e, .run = run, .destroy = destroy};
    if (!open_graph(e, device, g, err)) return false;
    tl_bench_work(tl_exec_graph(e->exec), &out->flops, &out->bytes);
    return true;
}

static struct tl_graph *clip_graph(const struct tl_clip_vision_config *c, int64_t batch)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) return NULL;
    struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE};
    struct tl_clip_vision_out y;
    tl_val x = tl_input(g, "pixels", TL_F32, tl_shape4(batch, c->image_size, c->image_size, 3));
    tl_clip_vision_build(&nn, c, x, true, &y);
    tl_output(g, y.embeds, "embeds");
    return g;
}

bool tl_bench_clip_b32(struct tl_device *device, struct tl_bench_unit *out, struct tl_err *err)
{
    const struct tl_clip_vision_config c = {.tower = {768, 3072, 12, 12, 1e-5f, "quick_gelu"},
                                            .image_size = 224,
                                            .patch = 32,
                                            .channels = 3,
                                            .projection = 512};
    return open_encoder(device, clip_graph(&c, 32), out, err);
}

bool tl_bench_clip_l14(struct tl_device *device, struct tl_bench_unit *out, struct tl_err *err)
{
    const struct tl_clip_vision_config c = {.tower = {1024, 4096, 24, 16, 1e-5f, "quick_gelu"},
                                            .image_size = 224,
                                            .patch = 14,
                                            .channels = 3,
                                            .projection = 768};
    return open_encoder(device, clip_graph(&c, 4), out, err);
}

bool tl_bench_inception(struct tl_device *device, struct tl_bench_unit *out, struct tl_err *err)
{
    struct tl_graph *g = tl_graph_create();
    if (g) {
        struct tl_nn nn = {.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE};
        tl_val x = tl_input(g, "in", TL_F32, tl_shape4(8, TL_INCEPTION_SIDE, TL_INCEPTION_SIDE, 3));
        tl_output(g, tl_inception_build(&nn, NULL, x, TL_INCEPTION_BLOCKS - 1), "out");
    }
    return open_encoder(device, g, out, err);
}
