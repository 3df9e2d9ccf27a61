#include "encoders/encoder_plan.h"

#include <stdlib.h>
#include <string.h>

static size_t row_size(const struct tl_graph *g, tl_val v, size_t *out_rows)
{
    const struct tl_shape *s = tl_shape_of(g, v);
    *out_rows = (size_t)s->dim[0];
    return (size_t)(tl_shape_count(s) / s->dim[0]);
}

bool tl_encoder_plan_init(struct tl_encoder_plan *plan, struct tl_graph **g, struct tl_store *store,
                          struct tl_err *err)
{
    *plan = (struct tl_encoder_plan){0};
    if (!tl_graph_ok(*g, err)) {
        tl_graph_destroy(g);
        return false;
    }
    size_t rows_out;
    plan->n_in = row_size(*g, tl_graph_find_input(*g, "in"), &plan->rows);
    plan->n_out = row_size(*g, tl_graph_find_output(*g, "out"), &rows_out);
    plan->exec = tl_exec_create(store->device, g, err);
    plan->in = calloc(plan->rows * plan->n_in, sizeof(float));
    plan->out = calloc(plan->rows * plan->n_out, sizeof *plan->out);
    bool ok = plan->exec != NULL;
    if (ok && (!plan->in || !plan->out)) ok = tl_err_set(err, TL_FAIL, "out of memory");
    ok = ok && tl_exec_bind(plan->exec, TL_SET_BASE, store, err);
    if (!ok) tl_encoder_plan_finish(plan);
    return ok;
}

void tl_encoder_plan_finish(struct tl_encoder_plan *plan)
{
    tl_exec_destroy(&plan->exec);
    free(plan->in);
    free(plan->out);
    *plan = (struct tl_encoder_plan){0};
}

bool tl_encoder_plan_run(struct tl_encoder_plan *plan, const void *x, size_t n, float *out,
                         struct tl_err *err)
{
    size_t row = plan->n_in * sizeof(float);
    for (size_t i = 0; i < n; i += plan->rows) {
        size_t m = n - i < plan->rows ? n - i : plan->rows;
        memcpy(plan->in, (const char *)x + i * row, m * row);
        memset((char *)plan->in + m * row, 0, (plan->rows - m) * row);
        if (!tl_exec_write(plan->exec, "in", plan->in, err) || !tl_exec_run(plan->exec, err) ||
            !tl_exec_read(plan->exec, "out", plan->out, err))
            return false;
        memcpy(out + i * plan->n_out, plan->out, m * plan->n_out * sizeof *out);
    }
    return true;
}
