#include "nn/lora.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool matches(const char *layer, const char *target)
{
    size_t n = strlen(layer), m = strlen(target);
    if (n < m || memcmp(layer + n - m, target, m) != 0) return false;
    return n == m || layer[n - m - 1] == '.';
}

int tl_lora_rank(const struct tl_lora_spec *spec, const char *layer)
{
    if (!spec) return 0;
    if (spec->rank_of) return spec->rank_of(spec->user, layer);
    for (int i = 0; i < spec->n_targets; i++)
        if (matches(layer, spec->targets[i])) return spec->rank;
    return 0;
}

bool tl_lora_spec_parse(const char *targets, int rank, double alpha, struct tl_lora_spec *out,
                        struct tl_err *err)
{
    *out = (struct tl_lora_spec){.rank = rank, .alpha = alpha};
    if (rank < 1 || rank > 4096)
        return tl_err_set(err, TL_USAGE, "rank %d of a LoRA: 1 to 4096 are possible", rank);
    char *copy = strdup(targets && *targets ? targets : "to_q,to_k,to_v,to_out.0");
    if (!copy) goto no_memory;
    char *save = NULL;
    for (char *t = strtok_r(copy, ", ", &save); t; t = strtok_r(NULL, ", ", &save)) {
        const char **p = realloc(out->targets, ((size_t)out->n_targets + 1) * sizeof *p);
        if (p) out->targets = p;
        char *own = p ? strdup(t) : NULL;
        if (!own) goto no_memory;
        out->targets[out->n_targets++] = own;
    }
    free(copy);
    if (out->n_targets > 0) return true;
    return tl_err_set(err, TL_USAGE, "no layer is named in the LoRA's targets '%s'", targets);
no_memory:
    free(copy);
    tl_lora_spec_finish(out);
    return tl_err_set(err, TL_FAIL, "out of memory");
}

void tl_lora_spec_finish(struct tl_lora_spec *spec)
{
    for (int i = 0; i < spec->n_targets; i++) free((char *)(uintptr_t)spec->targets[i]);
    free(spec->targets);
    *spec = (struct tl_lora_spec){0};
}
