/* Scoring: each part's scores, at once or in two steps, checked and summed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "rewards/reward_set.h"

/* A batch under way: a part's scores are there already, or its ticket is. */
struct tl_reward_batch {
    struct tl_reward_set *set;
    const struct tl_reward_item *items; /* borrowed until collected */
    size_t n;
    double *scores; /* [n_parts][n] */
    void **tickets; /* [n_parts]; NULL where the scores are there */
};

/* Every score is finite, or an error that names its item. */
static bool check_scores(const struct tl_reward_batch *b, size_t k, struct tl_err *err)
{
    const double *x = b->scores + k * b->n;
    for (size_t i = 0; i < b->n; i++) {
        if (isfinite(x[i])) continue;
        tl_err_set(err, TL_NUMERIC, "the score is %g", x[i]);
        if (b->set->parts[k].reward->cls->info.kind != TL_REWARD_OF_SET) tl_reward_item_err(b->items, i, err);
        return tl_err_add(err, "reward %s", b->set->parts[k].text);
    }
    return true;
}

/* A whole set's one number stands for each of its samples. */
static void spread(const struct tl_reward_batch *b, size_t k)
{
    double *x = b->scores + k * b->n;
    if (b->set->parts[k].reward->cls->info.kind != TL_REWARD_OF_SET) return;
    for (size_t i = 1; i < b->n; i++) x[i] = x[0];
}

static bool submit_part(struct tl_reward_batch *b, size_t k, struct tl_err *err)
{
    struct tl_reward *r = b->set->parts[k].reward;
    double *out = b->scores + k * b->n;
    if (!tl_reward_check_modality(r, b->items, b->n, err))
        return tl_err_add(err, "reward %s", b->set->parts[k].text);
    if (r->cls->submit) {
        b->tickets[k] = r->cls->submit(r, b->items, b->n, err);
        return b->tickets[k] || tl_err_add(err, "reward %s", b->set->parts[k].text);
    }
    if (!r->cls->score(r, b->items, b->n, out, err))
        return tl_err_add(err, "reward %s", b->set->parts[k].text);
    return true;
}

struct tl_reward_batch *tl_reward_set_submit(struct tl_reward_set *set, const struct tl_reward_item *items,
                                             size_t n, struct tl_err *err)
{
    size_t n_scores = 0;
    if (n == 0) {
        tl_err_set(err, TL_USAGE, "no samples to score");
        return NULL;
    }
    struct tl_reward_batch *b = calloc(1, sizeof *b);
    if (b && tl_checked_mul(n, set->n, &n_scores)) {
        *b = (struct tl_reward_batch){.set = set, .items = items, .n = n};
        b->scores = calloc(n_scores, sizeof *b->scores);
        b->tickets = calloc(set->n, sizeof *b->tickets);
    }
    bool ok = b && b->scores && b->tickets;
    if (!ok) tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t k = 0; ok && k < set->n; k++) ok = submit_part(b, k, err);
    if (!ok) tl_reward_batch_drop(&b);
    return b;
}

void tl_reward_batch_drop(struct tl_reward_batch **batch)
{
    struct tl_reward_batch *b = *batch;
    if (!b) return;
    for (size_t k = 0; b->tickets && k < b->set->n; k++) {
        struct tl_reward *r = b->set->parts[k].reward;
        if (b->tickets[k]) r->cls->collect(r, b->tickets[k], NULL, NULL);
    }
    free(b->scores);
    free(b->tickets);
    free(b);
    *batch = NULL;
}

static bool write_results(const struct tl_reward_batch *b, double *out_total, double *out_parts,
                          struct tl_err *err)
{
    const struct tl_reward_set *s = b->set;
    double *row = calloc(s->n, sizeof *row);
    if (!row) return tl_err_set(err, TL_FAIL, "out of memory");
    for (size_t i = 0; i < b->n; i++) {
        for (size_t k = 0; k < s->n; k++) row[k] = b->scores[k * b->n + i];
        if (out_parts) memcpy(out_parts + i * s->n, row, s->n * sizeof *row);
        if (out_total) out_total[i] = tl_reward_set_total(s, row);
    }
    free(row);
    return true;
}

bool tl_reward_batch_collect(struct tl_reward_batch **batch, double *out_total, double *out_parts,
                             struct tl_err *err)
{
    struct tl_reward_batch *b = *batch;
    bool ok = !out_total || !tl_reward_set_needs_standard(b->set) ||
              tl_err_set(err, TL_FAIL, "several rewards are summed, but were not standardised yet");
    for (size_t k = 0; ok && k < b->set->n; k++) {
        struct tl_reward *r = b->set->parts[k].reward;
        void *ticket = b->tickets[k];
        b->tickets[k] = NULL;
        if (ticket)
            ok = r->cls->collect(r, ticket, b->scores + k * b->n, err) ||
                 tl_err_add(err, "reward %s", b->set->parts[k].text);
        if (ok) spread(b, k);
        ok = ok && check_scores(b, k, err);
    }
    ok = ok && write_results(b, out_total, out_parts, err);
    tl_reward_batch_drop(batch);
    return ok;
}

bool tl_reward_set_score(struct tl_reward_set *set, const struct tl_reward_item *items, size_t n,
                         double *out_total, double *out_parts, struct tl_err *err)
{
    struct tl_reward_batch *b = tl_reward_set_submit(set, items, n, err);
    return b && tl_reward_batch_collect(&b, out_total, out_parts, err);
}
