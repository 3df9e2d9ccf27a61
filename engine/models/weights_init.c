/* Starting weights, by the layer's kind and name. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/str.h"
#include "models/weights.h"

enum kind { ZERO, ONE, VALUE, NORMAL, UNIFORM };

struct rule {
    enum kind kind;
    double scale; /* of NORMAL its deviation, of UNIFORM its bound, VALUE itself */
};

/* transformers' CLIP: deviations by part; widths are read from the tensor itself. */
static const struct {
    const char *part; /* of the name */
    enum { FIXED, WIDTH } how;
    double value;
} clip_rules[] = {
    {"token_embedding.weight", FIXED, 0.02},   {"position_embedding.weight", FIXED, 0.01},
    {"patch_embedding.weight", FIXED, 0.02},   {"class_embedding", WIDTH, 1},
    {"text_projection.weight", WIDTH, 1},      {"visual_projection.weight", WIDTH, 1},
    {"self_attn.out_proj.weight", WIDTH, 0.5}, {"self_attn.q_proj.weight", WIDTH, 0.5},
    {"self_attn.k_proj.weight", WIDTH, 0.5},   {"self_attn.v_proj.weight", WIDTH, 0.5},
    {"mlp.fc1.weight", WIDTH, 0.7071},         {"mlp.fc2.weight", WIDTH, 0.5},
};

static double fan_in(const struct tl_store_entry *e)
{
    double n = 1;
    for (int i = 0; i + 1 < e->shape.rank; i++) n *= (double)e->shape.dim[i];
    return n;
}

static const struct tl_store_entry *weight_of(const struct tl_store_layout *l, const char *bias)
{
    char name[TL_ST_MAX_NAME];
    size_t n = strlen(bias);
    if (n < 5 || n + 3 > sizeof name) return NULL;
    memcpy(name, bias, n - 4);
    memcpy(name + n - 4, "weight", 7);
    return tl_store_layout_find(l, name);
}

static struct rule rule_of(const struct tl_store_layout *l, const struct tl_store_entry *e)
{
    const char *name = e->name;
    if (strncmp(name, "logit_scale", 11) == 0) return (struct rule){VALUE, 2.6592};
    if (tl_str_ends(name, ".relative_position_bias_table")) return (struct rule){NORMAL, 0.02};
    if (tl_str_ends(name, ".lora_B.weight") || tl_str_ends(name, ".running_mean"))
        return (struct rule){ZERO, 0};
    if (tl_str_ends(name, ".lora_A.weight")) return (struct rule){NORMAL, 1.0 / (double)e->shape.dim[1]};
    for (size_t i = 0; i < sizeof clip_rules / sizeof *clip_rules; i++)
        if (strstr(name, clip_rules[i].part)) {
            double width = e->shape.rank == 1 ? (double)e->shape.dim[0] : fan_in(e);
            return (struct rule){NORMAL, clip_rules[i].how == FIXED ? clip_rules[i].value
                                                                    : clip_rules[i].value / sqrt(width)};
        }
    if (tl_str_ends(name, ".bias")) {
        const struct tl_store_entry *w = weight_of(l, name);
        bool clip = strncmp(name, "text_model.", 11) == 0 || strncmp(name, "vision_model.", 13) == 0;
        return !w || w->shape.rank == 1 || clip ? (struct rule){ZERO, 0}
                                                : (struct rule){UNIFORM, 1.0 / sqrt(fan_in(w))};
    }
    if (e->shape.rank == 1) return (struct rule){ONE, 1};
    if (e->layout == TL_LAYOUT_PLAIN) return (struct rule){NORMAL, 1}; /* nn.Embedding */
    return (struct rule){UNIFORM, 1.0 / sqrt(fan_in(e))};
}

static void draw(struct rule rule, struct tl_rng_key key, size_t n, float *out)
{
    if (rule.kind == NORMAL) tl_rng_normal(key, 0, n, out);
    for (size_t i = 0; i < n; i++) switch (rule.kind) {
        case ZERO:
            out[i] = 0;
            break;
        case ONE:
            out[i] = 1;
            break;
        case VALUE:
            out[i] = (float)rule.scale;
            break;
        case NORMAL:
            out[i] = (float)(out[i] * rule.scale);
            break;
        case UNIFORM:
            out[i] = (float)((2.0 * (double)tl_rng_uniform(key, (uint32_t)i) - 1.0) * rule.scale);
            break;
        }
}

bool tl_weights_init(struct tl_store *store, uint64_t seed, struct tl_err *err)
{
    const struct tl_store_layout *l = store->layout;
    for (int32_t i = 0; i < l->n_entries && !store->device->plans_only; i++) {
        const struct tl_store_entry *e = &l->entries[i];
        size_t n = (size_t)tl_shape_count(&e->shape);
        float *values = malloc(n * sizeof *values);
        if (!values) return tl_err_set(err, TL_FAIL, "out of memory while drawing weights");
        draw(rule_of(l, e),
             (struct tl_rng_key){.seed = seed, .stream = TL_RNG_WEIGHT_INIT, .sample = (uint32_t)i}, n,
             values);
        bool ok = tl_store_write(store, e, values, err);
        free(values);
        if (!ok) return false;
    }
    return true;
}
