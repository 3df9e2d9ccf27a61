#include "tensor/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

/* Names live in an arena; params are found through a hash table, since large models ask for thousands. */
struct tl_graph_names {
    struct tl_arena arena;
    tl_val *slots; /* open addressing; -1 is empty */
    int32_t n_slots, n_used;
};

const char *tl_op_name(enum tl_op op)
{
    static const char *const names[TL_N_OPS] = {
#define TL_OP(NAME, name, min_in, max_in, n_out) #name,
#include "tensor/ops.def"
#undef TL_OP
    };
    return (unsigned)op < TL_N_OPS ? names[op] : "?";
}

static const char *const unary_names[TL_N_UNARY] = {
#define TL_UNARY(NAME, name, f, df) #name,
#include "tensor/unary.def"
#undef TL_UNARY
};

const char *tl_unary_name(enum tl_unary kind)
{
    return (unsigned)kind < TL_N_UNARY ? unary_names[kind] : "?";
}

int tl_unary_find(const char *name)
{
    for (int i = 0; i < TL_N_UNARY; i++)
        if (strcmp(unary_names[i], name) == 0) return i;
    return -1;
}

struct tl_graph *tl_graph_create(void)
{
    struct tl_graph *g = calloc(1, sizeof *g);
    if (g) g->names = calloc(1, sizeof *g->names);
    if (g && !g->names) {
        free(g);
        return NULL;
    }
    return g;
}

void tl_graph_destroy(struct tl_graph **g_ptr)
{
    struct tl_graph *g = *g_ptr;
    if (!g) return;
    tl_arena_finish(&g->names->arena);
    free(g->names->slots);
    free(g->names);
    free(g->nodes);
    free(g->values);
    free(g);
    *g_ptr = NULL;
}

bool tl_graph_ok(const struct tl_graph *g, struct tl_err *err)
{
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory for a graph");
    if (g->err.code == TL_OK) return true;
    return tl_err_set(err, g->err.code, "%s", g->err.text);
}

bool tl_graph_fail(struct tl_graph *g, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return tl_err_set(&g->err, TL_BAD_INPUT, "%s", text);
}

static bool grow(struct tl_graph *g, void **items, int32_t *cap, int32_t need, size_t size)
{
    if (need <= *cap) return true;
    int32_t n = *cap ? *cap : 64;
    while (n < need) n *= 2;
    void *p = realloc(*items, (size_t)n * size);
    if (!p) return tl_err_set(&g->err, TL_FAIL, "out of memory for a graph");
    *items = p;
    *cap = n;
    return true;
}

static tl_val value_new(struct tl_graph *g, struct tl_value v)
{
    char text[96];
    if (g->err.code != TL_OK) return TL_NONE;
    if (!tl_shape_valid(&v.shape)) {
        tl_graph_fail(g, "%s: impossible shape %s", v.name ? v.name : "value", tl_shape_text(&v.shape, text));
        return TL_NONE;
    }
    if (!grow(g, (void **)&g->values, &g->cap_values, g->n_values + 1, sizeof *g->values)) return TL_NONE;
    g->values[g->n_values] = v;
    return g->n_values++;
}

tl_val tl_input(struct tl_graph *g, const char *name, enum tl_dtype dtype, struct tl_shape shape)
{
    if (g->err.code != TL_OK) return TL_NONE;
    if (tl_graph_find_input(g, name) != TL_NONE) {
        tl_graph_fail(g, "input %s is declared twice", name);
        return TL_NONE;
    }
    return value_new(g, (struct tl_value){.shape = shape,
                                          .dtype = dtype,
                                          .role = TL_ROLE_INPUT,
                                          .node = -1,
                                          .alias = -1,
                                          .name = tl_arena_strdup(&g->names->arena, name)});
}

static uint32_t hash_name(int set, const char *name)
{
    uint32_t h = 2166136261u ^ (uint32_t)set;
    for (const char *p = name; *p; p++) h = (h ^ (uint8_t)*p) * 16777619u;
    return h;
}

/* The slot of (set, name): where it stands, or the empty one where it would go. */
static int32_t param_slot(const struct tl_graph *g, int set, const char *name)
{
    const struct tl_graph_names *t = g->names;
    int32_t i = (int32_t)(hash_name(set, name) & (uint32_t)(t->n_slots - 1));
    for (;; i = (i + 1) & (t->n_slots - 1)) {
        tl_val v = t->slots[i];
        if (v < 0 || (g->values[v].set == set && strcmp(g->values[v].name, name) == 0)) return i;
    }
}

static bool param_table_grow(struct tl_graph *g)
{
    struct tl_graph_names *t = g->names;
    if (t->n_used * 2 < t->n_slots) return true;
    int32_t n = t->n_slots ? t->n_slots * 2 : 256;
    tl_val *slots = malloc((size_t)n * sizeof *slots), *old = t->slots;
    if (!slots) return tl_err_set(&g->err, TL_FAIL, "out of memory for a graph");
    for (int32_t i = 0; i < n; i++) slots[i] = -1;
    int32_t n_old = t->n_slots;
    t->slots = slots;
    t->n_slots = n;
    for (int32_t i = 0; i < n_old; i++)
        if (old[i] >= 0) slots[param_slot(g, g->values[old[i]].set, g->values[old[i]].name)] = old[i];
    free(old);
    return true;
}

/* p: the value as it shall be, without its name. */
static tl_val param(struct tl_graph *g, struct tl_value p, const char *name)
{
    if (g->err.code != TL_OK || !param_table_grow(g)) return TL_NONE;
    char text[2][96];
    int32_t slot = param_slot(g, p.set, name);
    tl_val v = g->names->slots[slot];
    if (v >= 0) {
        const struct tl_value *have = &g->values[v];
        if (tl_shape_equal(&have->shape, &p.shape) && have->dtype == p.dtype) return v;
        tl_graph_fail(g, "%s is asked for as %s %s and as %s %s", name, tl_dtype_name(have->dtype),
                      tl_shape_text(&have->shape, text[0]), tl_dtype_name(p.dtype),
                      tl_shape_text(&p.shape, text[1]));
        return TL_NONE;
    }
    p.name = tl_arena_strdup(&g->names->arena, name);
    v = value_new(g, p);
    if (v < 0) return TL_NONE;
    g->names->slots[slot] = v;
    g->names->n_used++;
    return v;
}

#define FORMAT_NAME(name, fmt)                                                                               \
    char name[512];                                                                                          \
    do {                                                                                                     \
        va_list args_;                                                                                       \
        va_start(args_, fmt);                                                                                \
        vsnprintf(name, sizeof name, fmt, args_);                                                            \
        va_end(args_);                                                                                       \
    } while (0)

tl_val tl_param(struct tl_graph *g, int set, enum tl_layout layout, struct tl_shape shape, const char *fmt,
                ...)
{
    FORMAT_NAME(name, fmt);
    return tl_param_typed(g, set, layout, TL_F32, shape, "%s", name);
}

tl_val tl_param_typed(struct tl_graph *g, int set, enum tl_layout layout, enum tl_dtype dtype,
                      struct tl_shape shape, const char *fmt, ...)
{
    FORMAT_NAME(name, fmt);
    return param(g,
                 (struct tl_value){.shape = shape,
                                   .dtype = dtype,
                                   .role = TL_ROLE_PARAM,
                                   .node = -1,
                                   .alias = -1,
                                   .set = set,
                                   .layout = (int32_t)layout},
                 name);
}

tl_val tl_graph_find_param(const struct tl_graph *g, int set, const char *name)
{
    return g->names->n_slots ? g->names->slots[param_slot(g, set, name)] : TL_NONE;
}

static tl_val find_named(const struct tl_graph *g, const char *name, bool output)
{
    for (tl_val v = 0; v < g->n_values; v++) {
        const struct tl_value *x = &g->values[v];
        if ((output ? x->output : x->role == TL_ROLE_INPUT) && x->name && strcmp(x->name, name) == 0)
            return v;
    }
    return TL_NONE;
}

tl_val tl_graph_find_input(const struct tl_graph *g, const char *name)
{
    return find_named(g, name, false);
}

tl_val tl_graph_find_output(const struct tl_graph *g, const char *name)
{
    return find_named(g, name, true);
}

void tl_output(struct tl_graph *g, tl_val v, const char *name)
{
    if (g->err.code != TL_OK || v < 0) return;
    /* An input, a param or a value that is an output already is kept under another name by a copy. */
    if (g->values[v].role != TL_ROLE_TEMP || g->values[v].output || g->values[v].alias >= 0)
        v = tl_unary(g, TL_UNARY_AFFINE, v, 1, 0);
    if (v < 0) return;
    g->values[v].output = true;
    g->values[v].name = tl_arena_strdup(&g->names->arena, name);
}

void tl_segment_begin(struct tl_graph *g)
{
    if (g->segment) tl_graph_fail(g, "segments do not nest");
    g->segment = ++g->n_segments;
}

void tl_segment_end(struct tl_graph *g)
{
    g->segment = 0;
}

/* Half precision is storage: only cast reads it. */
static bool takes_dtypes(struct tl_graph *g, enum tl_op op, const tl_val *in, int n_in)
{
    for (int i = 0; i < n_in && op != TL_OP_CAST; i++) {
        if (in[i] < 0 || !tl_dtype_half(g->values[in[i]].dtype)) continue;
        const struct tl_value *x = &g->values[in[i]];
        char text[96];
        return tl_graph_fail(
            g, "%s: operand %d, %s%s%s, is %s, which is for storage; read it through tl_cast(.., TL_F32)",
            tl_op_name(op), i, x->name ? x->name : "", x->name ? " " : "", tl_shape_text(&x->shape, text),
            tl_dtype_name(x->dtype));
    }
    return true;
}

tl_val tl_node_any(struct tl_graph *g, enum tl_op op, const tl_val *in, int n_in,
                   const struct tl_shape *out_shapes, int n_out, union tl_attr attr)
{
    static const struct {
        int min_in, max_in, n_out;
    } rows[TL_N_OPS] = {
#define TL_OP(NAME, name, min_in_, max_in_, n_out_) {min_in_, max_in_, n_out_},
#include "tensor/ops.def"
#undef TL_OP
    };
    if (g->err.code != TL_OK) return TL_NONE;
    if (n_in < rows[op].min_in || n_in > rows[op].max_in || n_out != rows[op].n_out) {
        tl_graph_fail(g, "%s: %d operands, %d results", tl_op_name(op), n_in, n_out);
        return TL_NONE;
    }
    for (int i = 0; i < n_in; i++)
        if (in[i] >= g->n_values ||
            (i < rows[op].min_in && in[i] < 0 && op != TL_OP_LAYER_NORM_GRAD && op != TL_OP_ATTENTION_GRAD)) {
            tl_graph_fail(g, "%s: operand %d is missing", tl_op_name(op), i);
            return TL_NONE;
        }
    if (!takes_dtypes(g, op, in, n_in)) return TL_NONE;
    if (!grow(g, (void **)&g->nodes, &g->cap_nodes, g->n_nodes + 1, sizeof *g->nodes)) return TL_NONE;
    struct tl_node *n = &g->nodes[g->n_nodes];
    *n = (struct tl_node){.op = op, .n_in = n_in, .n_out = n_out, .attr = attr, .segment = g->segment};
    for (int i = 0; i < TL_MAX_IN; i++) n->in[i] = i < n_in ? in[i] : TL_NONE;
    for (int i = 0; i < TL_MAX_OUT; i++) n->out[i] = TL_NONE;
    for (int i = 0; i < n_out; i++) {
        n->out[i] = value_new(g, (struct tl_value){.shape = out_shapes[i],
                                                   .dtype = TL_F32,
                                                   .role = TL_ROLE_TEMP,
                                                   .node = g->n_nodes,
                                                   .slot = i,
                                                   .alias = -1});
        if (n->out[i] < 0) return TL_NONE;
    }
    g->n_nodes++;
    return n->out[0];
}
