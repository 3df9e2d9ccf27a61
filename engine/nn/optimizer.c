#include "nn/optimizer.h"

#include <math.h>
#include <stdlib.h>

/* Flat stores are one param "flat" of n elements in a layout of their own that covers the block. */
static struct tl_exec *flat_exec(struct tl_device *d, const struct tl_store_layout *layout,
                                 void (*build)(struct tl_graph *, int64_t), struct tl_err *err)
{
    struct tl_graph *g = tl_graph_create();
    if (!g) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    build(g, (int64_t)(layout->n_elements ? layout->n_elements : 64));
    return tl_exec_create(d, &g, err);
}

static tl_val flat(struct tl_graph *g, int set, int64_t n)
{
    return tl_param(g, set, TL_LAYOUT_PLAIN, tl_shape1(n), "%s", TL_STORE_FLAT);
}

static void build_norm(struct tl_graph *g, int64_t n)
{
    tl_output(g, tl_sum_squares(g, flat(g, 0, n)), "sum_squares");
}

static void build_update(struct tl_graph *g, int64_t n)
{
    tl_val hyper = tl_input(g, "hyper", TL_F32, tl_shape1(8));
    tl_adamw(g, flat(g, 0, n), flat(g, 1, n), flat(g, 2, n), flat(g, 3, n), hyper);
}

static void build_average(struct tl_graph *g, int64_t n)
{
    tl_val w = tl_input(g, "weight", TL_F32, tl_shape1(1));
    tl_lerp(g, flat(g, 0, n), flat(g, 1, n), w);
}

struct tl_optimizer *tl_optimizer_create(struct tl_device *device, const struct tl_store_layout *layout,
                                         struct tl_err *err)
{
    struct tl_optimizer *o = calloc(1, sizeof *o);
    if (!o) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    o->device = device;
    o->m = tl_store_create(device, layout, err);
    o->v = o->m ? tl_store_create(device, layout, err) : NULL;
    o->norm = o->v ? flat_exec(device, layout, build_norm, err) : NULL;
    o->update = o->norm ? flat_exec(device, layout, build_update, err) : NULL;
    o->average = o->update ? flat_exec(device, layout, build_average, err) : NULL;
    if (!o->average || !tl_exec_bind_flat(o->update, 2, o->m, err) ||
        !tl_exec_bind_flat(o->update, 3, o->v, err))
        tl_optimizer_destroy(&o);
    return o;
}

void tl_optimizer_destroy(struct tl_optimizer **o_ptr)
{
    struct tl_optimizer *o = *o_ptr;
    if (!o) return;
    tl_exec_destroy(&o->norm);
    tl_exec_destroy(&o->update);
    tl_exec_destroy(&o->average);
    tl_store_destroy(&o->m);
    tl_store_destroy(&o->v);
    free(o);
    *o_ptr = NULL;
}

bool tl_optimizer_norm(struct tl_optimizer *o, struct tl_store *grads, double *out_norm, struct tl_err *err)
{
    float sum;
    if (!tl_exec_bind_flat(o->norm, 0, grads, err) || !tl_exec_run(o->norm, err) ||
        !tl_exec_read(o->norm, "sum_squares", &sum, err))
        return false;
    *out_norm = sqrt((double)sum);
    return true;
}

bool tl_optimizer_step(struct tl_optimizer *o, const struct tl_adamw_params *p, struct tl_store *weights,
                       struct tl_store *grads, double scale, double *out_norm, bool *out_skipped,
                       struct tl_err *err)
{
    double norm;
    if (!tl_optimizer_norm(o, grads, &norm, err)) return false;
    norm *= scale;
    *out_norm = norm;
    *out_skipped = !isfinite(norm);
    if (*out_skipped) return tl_store_zero(grads, err);
    double clip = p->clip_norm > 0 && norm > p->clip_norm ? p->clip_norm / norm : 1;
    uint64_t t = o->step + 1;
    float hyper[8] = {(float)p->lr,
                      (float)p->beta1,
                      (float)p->beta2,
                      (float)p->eps,
                      (float)p->weight_decay,
                      (float)(1.0 / (1.0 - pow(p->beta1, (double)t))),
                      (float)(1.0 / (1.0 - pow(p->beta2, (double)t))),
                      (float)(scale * clip)};
    if (!tl_exec_bind_flat(o->update, 0, weights, err) || !tl_exec_bind_flat(o->update, 1, grads, err) ||
        !tl_exec_write(o->update, "hyper", hyper, err) || !tl_exec_run(o->update, err))
        return false;
    o->step = t;
    return tl_store_zero(grads, err);
}

bool tl_optimizer_average(struct tl_optimizer *o, struct tl_store *ema, struct tl_store *weights,
                          double decay, struct tl_err *err)
{
    float w = (float)(1.0 - decay);
    return tl_exec_bind_flat(o->average, 0, ema, err) && tl_exec_bind_flat(o->average, 1, weights, err) &&
           tl_exec_write(o->average, "weight", &w, err) && tl_exec_run(o->average, err);
}
