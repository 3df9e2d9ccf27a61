/* Low-rank adapters: which layers carry one, of what rank. W' = W + scale * A B with A [in,r], B [r,out] in
 * kernel order.
 *
 * Source: peft, diffusers' training scripts; A is drawn N(0, 1/r^2) ("gaussian"), B starts at zero. */
#ifndef TL_NN_LORA_H
#define TL_NN_LORA_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

struct tl_lora_spec {
    int rank;
    double alpha;         /* scale = alpha / rank */
    const char **targets; /* name ends: "to_q" matches "X.to_q" and "to_q"; "to_out.0"; "ff.net.2" */
    int n_targets;
    /* Ranks of single layers as a file has them (loaded adapters): NULL where all have `rank`. Returns 0: no
     * adapter here. */
    int (*rank_of)(void *user, const char *layer);
    void *user;
};

/* The rank of the adapter on a layer, 0 where it has none. */
int tl_lora_rank(const struct tl_lora_spec *spec, const char *layer);

/* "to_q,to_k" -> a spec that owns its strings; finish frees. An empty list gives diffusers' default: to_q
 * to_k to_v to_out.0 */
bool tl_lora_spec_parse(const char *targets, int rank, double alpha, struct tl_lora_spec *out,
                        struct tl_err *err);
void tl_lora_spec_finish(struct tl_lora_spec *spec);

#endif
