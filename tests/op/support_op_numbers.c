/* The numbers of a case, and what to do with results. */
#include "op/support_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

static bool near_kink(double x)
{
    static const double kinks[] = {0, -0.7, 0.9};
    for (size_t i = 0; i < sizeof kinks / sizeof *kinks; i++)
        if (fabs(x - kinks[i]) < 0.05) return true;
    return false;
}

static double draw(const struct op_operand *o, int64_t i, double normal, double uniform)
{
    static const double hyper[8] = {0.01f, 0.9f, 0.99f, 1e-6f, 0.1f, 2.5f, 4.0f, 0.7f};
    switch (o->data) {
    case OP_POSITIVE:
        return 0.5 + fabs(normal);
    case OP_APART: {
        double x = fmax(-2.5, fmin(2 * normal, 2.5)); /* gelu(-3) is mostly rounding in float */
        return near_kink(x) ? x + 0.11 : x;
    }
    case OP_MASK:
        return i % tl_shape_last(&o->shape) != 0 && uniform < 0.4 ? -10000 : 0;
    case OP_TIMES:
        return floor(uniform * 1000);
    case OP_HYPER:
        return hyper[i];
    case OP_WEIGHT:
        return 0.1f;
    default:
        return normal;
    }
}

static void make_ids(const struct op_case *c, int k, struct tl_rng_key key, int32_t *ids)
{
    int64_t n = tl_shape_count(&c->in[k].shape);
    int64_t rows = c->op == TL_OP_EMBEDDING ? c->in[1].shape.dim[0] : c->out[0].dim[0];
    for (int64_t i = 0; i < n; i++)
        ids[i] = c->in[k].data == OP_KEYS ? (int32_t)tl_rng_u32(key, (uint32_t)i)
                                          : (int32_t)tl_rng_below(key, (uint32_t)i, (uint32_t)rows + 2) - 1;
}

static void make_reals(const struct op_operand *o, struct tl_rng_key key, double *real)
{
    int64_t n = tl_shape_count(&o->shape);
    bool uniforms = o->data == OP_MASK || o->data == OP_TIMES;
    float normal[64];
    for (int64_t i = 0; i < n; i++) {
        if (i % 64 == 0) tl_rng_normal(key, (uint32_t)i, 64, normal);
        double uniform = uniforms ? tl_rng_uniform(key, (uint32_t)(i + n)) : 0;
        real[i] = (float)draw(o, i, normal[i % 64], uniform);
    }
}

/* The forward case behind a gradient op's derived operands: which result of it goes to which operand. */
struct derivation {
    struct op_case forward;
    int from[TL_MAX_IN]; /* per operand of the gradient op: which result, or -1 */
    int in[TL_MAX_IN];   /* per operand of the forward op: which operand of the gradient op, or -1 */
};

static bool derivation_of(const struct op_case *c, struct derivation *d)
{
    static const struct {
        enum tl_op grad, forward;
        int in[4], from[6];
    } table[] = {
        {TL_OP_GROUP_NORM_GRAD, TL_OP_GROUP_NORM, {0, 2, 3, -1}, {-1, 1, -1, -1, -1, -1}},
        {TL_OP_LAYER_NORM_GRAD, TL_OP_LAYER_NORM, {0, 2, 2, -1}, {-1, 1, -1, -1, -1, -1}},
        {TL_OP_SOFTMAX_GRAD, TL_OP_SOFTMAX, {0, -1, -1, -1}, {0, -1, -1, -1, -1, -1}},
        {TL_OP_LOG_SOFTMAX_GRAD, TL_OP_LOG_SOFTMAX, {0, -1, -1, -1}, {0, -1, -1, -1, -1, -1}},
        {TL_OP_ATTENTION_GRAD, TL_OP_ATTENTION, {0, 1, 2, 3}, {-1, -1, -1, -1, 0, 1}},
    };
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        if (table[t].grad != c->op) continue;
        *d = (struct derivation){.forward = {.op = table[t].forward, .attr = c->attr}};
        for (int k = 0; k < TL_MAX_IN; k++) {
            d->from[k] = k < 6 ? table[t].from[k] : -1;
            d->in[k] = k < 4 ? table[t].in[k] : -1;
            if (d->from[k] >= 0) d->forward.out[d->from[k]] = c->in[k].shape;
            if (d->in[k] >= 0) d->forward.in[k] = c->in[d->in[k]];
        }
        if (d->forward.out[0].rank == 0) d->forward.out[0] = c->in[0].shape;
        return true;
    }
    return false;
}

static void derive(const struct op_case *c, struct op_numbers *numbers)
{
    struct derivation d;
    if (!derivation_of(c, &d)) return;
    struct op_numbers inputs = {0};
    for (int k = 0; k < TL_MAX_IN; k++)
        if (d.in[k] >= 0) inputs.real[k] = numbers->real[d.in[k]];
    struct op_kernel_params plain = {.table = tl_cpu_plain_f64, .f64 = true, .threads = 1};
    struct op_results results;
    struct tl_err err = {0};
    if (!op_kernel_run(&plain, &d.forward, &inputs, &results, &err)) abort();
    for (int k = 0; k < TL_MAX_IN; k++)
        for (int64_t i = 0; d.from[k] >= 0 && i < results.count[d.from[k]]; i++)
            numbers->real[k][i] = (float)results.value[d.from[k]][i];
    op_results_free(&results);
}

void op_numbers_make(const struct op_case *c, size_t index, struct op_numbers *out)
{
    *out = (struct op_numbers){0};
    for (int k = 0; k < op_case_n_in(c); k++) {
        if (c->in[k].data == OP_ABSENT) continue;
        struct tl_rng_key key = {
            .seed = 20240229, .stream = TL_RNG_TEST, .sample = (uint32_t)index, .step = (uint32_t)k};
        size_t n = (size_t)tl_shape_count(&c->in[k].shape);
        if (op_is_int(c->in[k].data)) {
            out->ids[k] = calloc(n, sizeof *out->ids[k]);
            make_ids(c, k, key, out->ids[k]);
        } else {
            out->real[k] = calloc(n, sizeof *out->real[k]);
            make_reals(&c->in[k], key, out->real[k]);
        }
    }
    derive(c, out);
}

void op_numbers_free(struct op_numbers *numbers)
{
    for (int k = 0; k < TL_MAX_IN; k++) {
        free(numbers->real[k]);
        free(numbers->ids[k]);
    }
}

void op_results_free(struct op_results *results)
{
    for (int i = 0; i < TL_MAX_OUT; i++) free(results->value[i]);
    *results = (struct op_results){0};
}

double op_results_distance(const struct op_results *got, const struct op_results *reference)
{
    double worst = 0;
    for (int k = 0; k < reference->n; k++) {
        double d = 0, r = 0;
        for (int64_t i = 0; i < reference->count[k]; i++) {
            double a = got->value[k][i], b = reference->value[k][i];
            d += (a - b) * (a - b);
            r += b * b;
        }
        double distance = d == 0 ? 0 : sqrt(d / (r > 0 ? r : 1));
        if (!(distance <= worst)) worst = isfinite(distance) ? distance : INFINITY;
    }
    return worst;
}
