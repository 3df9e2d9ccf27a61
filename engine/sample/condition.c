#include "sample/condition.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

bool tl_condition_rows_init(struct tl_condition_rows *r, const struct tl_pipeline *p, size_t batch,
                            bool guided, int height, int width, struct tl_err *err)
{
    *r = (struct tl_condition_rows){.batch = batch, .guided = guided};
    r->n_context = (size_t)p->tokens * (size_t)p->width;
    r->n_pooled = (size_t)p->pooled_width;
    size_t rows, n;
    if (!tl_checked_mul(batch, guided ? 2 : 1, &rows) ||
        !tl_checked_mul(rows, r->n_context + r->n_pooled, &n))
        return tl_err_set(err, TL_USAGE, "a batch of %zu is too large", batch);
    r->context = calloc(rows * r->n_context + 1, sizeof(float));
    r->pooled = calloc(rows * r->n_pooled + 1, sizeof(float));
    r->time_ids = calloc(rows * 6 + 1, sizeof(float));
    if (!r->context || !r->pooled || !r->time_ids) {
        tl_condition_rows_finish(r);
        return tl_err_set(err, TL_FAIL, "out of memory for the prompts of %zu samples", batch);
    }
    for (size_t i = 0; i < rows; i++) { /* original size, crop's corner, target size */
        float *ids = r->time_ids + 6 * i;
        ids[0] = ids[4] = (float)height;
        ids[1] = ids[5] = (float)width;
    }
    r->condition.context = r->context;
    if (p->xl) {
        r->condition.text_embeds = r->pooled;
        r->condition.time_ids = r->time_ids;
    }
    return true;
}

void tl_condition_rows_finish(struct tl_condition_rows *r)
{
    free(r->context);
    free(r->pooled);
    free(r->time_ids);
    *r = (struct tl_condition_rows){0};
}

static void set_row(struct tl_condition_rows *r, size_t row, const struct tl_encoding *e, size_t i)
{
    memcpy(r->context + row * r->n_context, e->context + i * r->n_context, r->n_context * sizeof(float));
    if (r->n_pooled)
        memcpy(r->pooled + row * r->n_pooled, e->pooled + i * r->n_pooled, r->n_pooled * sizeof(float));
}

void tl_condition_rows_set(struct tl_condition_rows *r, const struct tl_encoding *prompts,
                           const size_t *prompt, size_t n, const struct tl_encoding *negative)
{
    for (size_t i = 0; i < r->batch; i++) {
        size_t from = i < n ? i : n - 1, at = prompt ? prompt[from] : from;
        set_row(r, r->guided ? r->batch + i : i, prompts, at);
        if (r->guided) set_row(r, i, negative, negative->n == 1 ? 0 : at);
    }
}
