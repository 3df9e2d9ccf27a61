#include "models/forward.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "models/forward_made.h"
#include "tensor/exec.h"

enum { MAX_WRT = 512 };

struct run {
    const struct tl_forward_call *call;
    const struct tl_component_method *method;
    struct tl_forward_result *result;
    struct tl_graph *g;
    struct tl_exec *exec;
    tl_val in[TL_PORTS], out[TL_PORTS];
    int64_t batch;
    /* wrt: inputs are found by their place among the ports, weights by their entry */
    int input_of[MAX_WRT];
    const struct tl_store_entry *entry_of[MAX_WRT];
    struct tl_store_layout *grad_layout; /* of the wanted weights only */
    struct tl_store *grads;
};

/* NCHW <-> NHWC; `shape` is the picture's in kernel order. */
static void reorder_picture(const float *from, float *to, const struct tl_shape *s, bool to_kernel)
{
    int64_t n = s->dim[0], hw = s->dim[1] * s->dim[2], c = s->dim[3];
    for (int64_t i = 0; i < n; i++)
        for (int64_t p = 0; p < hw; p++)
            for (int64_t k = 0; k < c; k++) {
                int64_t here = (i * hw + p) * c + k, file = (i * c + k) * hw + p;
                if (to_kernel)
                    to[here] = from[file];
                else
                    to[file] = from[here];
            }
}

static bool by_table(const struct tl_component *c, const struct tl_port *port)
{
    return strcmp(c->cls->name, "UNet2DConditionModel") == 0 && strcmp(port->name, "class_labels") == 0 &&
           c->config.unet.class_embed == TL_CLASS_TABLE;
}

/* The tensor of a port, or the one that it is made from. */
static const struct tl_st_tensor *tensor_of(const struct run *r, const struct tl_port *port, bool *out_made)
{
    const struct tl_st_tensor *t = tl_st_find(r->call->input, port->name);
    const char *from = t ? NULL : tl_forward_made_from(port->name);
    *out_made = from != NULL;
    return from ? tl_st_find(r->call->input, from) : t;
}

static bool declare_input(struct run *r, int i, struct tl_err *err)
{
    const struct tl_port *port = &r->method->in[i];
    bool made;
    const struct tl_st_tensor *t = tensor_of(r, port, &made);
    r->in[i] = TL_NONE;
    if (!t)
        return port->optional ||
               tl_err_set(err, TL_BAD_INPUT, "the input file lacks the tensor %s", port->name);
    struct tl_shape s = {.rank = (int)t->rank ? (int)t->rank : 1, .dim = {1}};
    if (t->rank > 4) return tl_err_set(err, TL_BAD_INPUT, "input %s has %u axes", port->name, t->rank);
    for (unsigned k = 0; k < t->rank; k++) s.dim[k] = (int64_t)t->shape[k];
    if (made && !tl_forward_made_shape(r->call->component, port->name, t, &s)) return true;
    if (port->kind == TL_PORT_PICTURE) {
        if (s.rank != 4) return tl_err_set(err, TL_BAD_INPUT, "input %s must be [N,C,H,W]", port->name);
        s = tl_shape4(s.dim[0], s.dim[2], s.dim[3], s.dim[1]);
    }
    if (i == 0) r->batch = s.dim[0];
    if (strcmp(port->name, "timestep") == 0 && s.rank == 1 && s.dim[0] == 1)
        s.dim[0] = r->batch; /* one for all */
    bool ids = port->kind == TL_PORT_IDS || by_table(r->call->component, port);
    r->in[i] = tl_input(r->g, port->name, ids ? TL_I32 : TL_F32, s);
    return tl_graph_ok(r->g, err);
}

/* Values that are written as they are: ids, and what is made. */
static bool write_plain(struct run *r, int i, const struct tl_st_tensor *t, bool made, struct tl_err *err)
{
    const struct tl_port *port = &r->method->in[i];
    size_t n = (size_t)tl_shape_count(tl_shape_of(tl_exec_graph(r->exec), r->in[i]));
    void *values = malloc((n + 1) * sizeof(int32_t)); /* or floats of the same size */
    bool ok = values &&
              (made ? tl_forward_made_fill(r->call->component, port->name, t, values, err)
                    : tl_st_to_i32(t, values, err)) &&
              tl_exec_write(r->exec, port->name, values, err);
    free(values);
    return ok;
}

static bool write_input(struct run *r, int i, struct tl_err *err)
{
    const struct tl_port *port = &r->method->in[i];
    bool made;
    const struct tl_st_tensor *t = tensor_of(r, port, &made);
    if (r->in[i] < 0 || !t) return true;
    const struct tl_graph *g = tl_exec_graph(r->exec);
    if (made || g->values[r->in[i]].dtype == TL_I32) return write_plain(r, i, t, made, err);
    size_t n = (size_t)tl_shape_count(tl_shape_of(g, r->in[i]));
    float *file = malloc((n + 1) * sizeof *file), *kernel = malloc((n + 1) * sizeof *kernel);
    bool ok = file && kernel && tl_st_to_f32(t, file, err);
    if (ok) {
        for (size_t k = t->n; k < n; k++) file[k] = file[0];
        bool unet = strcmp(r->call->component->cls->library, "diffusers") == 0;
        if (port->kind == TL_PORT_MASK)
            for (size_t k = 0; k < n; k++) file[k] = (1.0f - file[k]) * (unet ? -10000.0f : -1e30f);
        if (port->kind == TL_PORT_PICTURE)
            reorder_picture(file, kernel, tl_shape_of(g, r->in[i]), true);
        else
            memcpy(kernel, file, n * sizeof *kernel);
        ok = tl_exec_write(r->exec, port->name, kernel, err);
    }
    free(file);
    free(kernel);
    return ok;
}

static bool find_wrt(struct run *r, struct tl_err *err)
{
    if (r->call->n_wrt > MAX_WRT) return tl_err_set(err, TL_USAGE, "more than %d names in --wrt", MAX_WRT);
    for (int w = 0; w < r->call->n_wrt; w++) {
        const char *name = r->call->wrt[w];
        r->input_of[w] = -1;
        for (int i = 0; i < TL_PORTS && r->method->in[i].name; i++)
            if (r->in[i] >= 0 && strcmp(name, r->method->in[i].name) == 0) r->input_of[w] = i;
        if (r->input_of[w] >= 0) continue;
        r->entry_of[w] = tl_weights_entry(r->call->component->layout, name);
        if (!r->entry_of[w])
            return tl_err_set(err, TL_USAGE, "--wrt %s is neither an input nor a weight of %s", name,
                              r->call->component->cls->name);
    }
    return true;
}

static bool wanted(void *user, const char *name)
{
    const struct run *r = user;
    for (int w = 0; w < r->call->n_wrt; w++)
        if (r->entry_of[w] && strcmp(r->entry_of[w]->name, name) == 0) return true;
    return false;
}

/* Cotangents are inputs "cot.NAME"; an output without one counts as zero. */
static bool build_backward(struct run *r, struct tl_err *err)
{
    tl_val outputs[TL_PORTS], cots[TL_PORTS], wrt[MAX_WRT], dwrt[MAX_WRT];
    int n = 0, n_wrt = 0;
    for (int i = 0; i < TL_PORTS && r->method->out[i].name; i++) {
        struct tl_str name = {0}, key = {0};
        tl_str_printf(&key, "%s%s", r->call->cotangent_prefix, r->method->out[i].name);
        tl_str_printf(&name, "cot.%s", r->method->out[i].name);
        if (r->out[i] >= 0 && tl_st_find(r->call->cotangent, key.data)) {
            outputs[n] = r->out[i];
            cots[n++] = tl_input(r->g, name.data, TL_F32, *tl_shape_of(r->g, r->out[i]));
        }
        tl_str_finish(&name);
        tl_str_finish(&key);
    }
    if (n == 0) return tl_err_set(err, TL_BAD_INPUT, "the cotangent file names no output of this method");
    for (int w = 0; w < r->call->n_wrt; w++)
        if (r->input_of[w] >= 0) wrt[n_wrt++] = r->in[r->input_of[w]];
    struct tl_backward_params p = {.outputs = outputs,
                                   .cotangents = cots,
                                   .n_outputs = n,
                                   .wrt = wrt,
                                   .out_wrt = dwrt,
                                   .n_wrt = n_wrt,
                                   .param_sets = 1u << TL_SET_BASE,
                                   .want = wanted,
                                   .user = r};
    if (!tl_graph_backward(r->g, &p)) return tl_graph_ok(r->g, err);
    for (int w = 0, k = 0; w < r->call->n_wrt; w++)
        if (r->input_of[w] >= 0) {
            struct tl_str name = {0};
            tl_str_printf(&name, "grad.%s", r->call->wrt[w]);
            tl_output(r->g, dwrt[k++], name.data);
            tl_str_finish(&name);
        }
    return tl_graph_ok(r->g, err);
}

static bool write_cotangents(struct run *r, struct tl_err *err)
{
    bool ok = true;
    for (int i = 0; ok && r->call->cotangent && i < TL_PORTS && r->method->out[i].name; i++) {
        const struct tl_port *port = &r->method->out[i];
        struct tl_str name = {0}, key = {0};
        tl_str_printf(&key, "%s%s", r->call->cotangent_prefix, port->name);
        tl_str_printf(&name, "cot.%s", port->name);
        const struct tl_st_tensor *t = tl_st_find(r->call->cotangent, key.data);
        tl_val v = tl_graph_find_input(tl_exec_graph(r->exec), name.data);
        if (t && v >= 0) {
            const struct tl_shape *s = tl_shape_of(tl_exec_graph(r->exec), v);
            size_t n = (size_t)tl_shape_count(s);
            float *file = malloc((n + 1) * sizeof *file), *kernel = malloc((n + 1) * sizeof *kernel);
            ok = file && kernel &&
                 (t->n == n || tl_err_set(err, TL_BAD_INPUT, "cotangent %s has %llu values, the output %zu",
                                          port->name, (unsigned long long)t->n, n)) &&
                 tl_st_to_f32(t, file, err);
            if (ok && port->kind == TL_PORT_PICTURE)
                reorder_picture(file, kernel, s, true);
            else if (ok)
                memcpy(kernel, file, n * sizeof *kernel);
            ok = ok && tl_exec_write(r->exec, name.data, kernel, err);
            free(file);
            free(kernel);
        }
        tl_str_finish(&name);
        tl_str_finish(&key);
    }
    return ok;
}

static bool add_item(struct run *r, const char *name, const struct tl_shape *kernel_shape, bool picture,
                     float *data, struct tl_err *err)
{
    struct tl_forward_result *out = r->result;
    struct tl_shape s = *kernel_shape;
    size_t n = (size_t)tl_shape_count(&s);
    float *own = tl_arena_alloc(&out->arena, n, sizeof *own);
    char *text = tl_arena_strdup(&out->arena, name);
    if (!own || !text) return tl_err_set(err, TL_FAIL, "out of memory");
    if (picture) {
        reorder_picture(data, own, &s, false);
        s = tl_shape4(s.dim[0], s.dim[3], s.dim[1], s.dim[2]);
    } else {
        memcpy(own, data, n * sizeof *own);
    }
    struct tl_st_item item = {.name = text, .dtype = TL_ST_F32, .rank = (unsigned)s.rank, .data = own};
    for (int k = 0; k < s.rank; k++) item.shape[k] = (uint64_t)s.dim[k];
    out->items[out->n_items++] = item;
    return true;
}

static bool read_value(struct run *r, const char *name, const char *as, bool picture, struct tl_err *err)
{
    const struct tl_graph *g = tl_exec_graph(r->exec);
    tl_val v = tl_graph_find_output(g, name);
    if (v < 0) return tl_err_set(err, TL_FAIL, "output %s is missing", name);
    float *data = malloc((size_t)tl_shape_count(tl_shape_of(g, v)) * sizeof *data);
    bool ok = data && tl_exec_read(r->exec, name, data, err) &&
              add_item(r, as, tl_shape_of(g, v), picture, data, err);
    free(data);
    return ok;
}

static bool read_weight_grad(struct run *r, int w, struct tl_err *err)
{
    const struct tl_store_entry *e = r->entry_of[w];
    size_t n = (size_t)tl_shape_count(&e->shape);
    struct tl_shape shape = tl_layout_file_shape(e->layout, &e->shape);
    struct tl_str name = {0};
    tl_str_printf(&name, "grad.%s", r->call->wrt[w]);
    float *kernel = malloc(n * sizeof *kernel), *file = malloc(n * sizeof *file);
    bool ok =
        kernel && file && tl_store_read(r->grads, tl_store_layout_find(r->grad_layout, e->name), kernel, err);
    if (ok) tl_layout_to_file(e->layout, &e->shape, kernel, file);
    ok = ok && add_item(r, name.data, &shape, false, file, err);
    free(kernel);
    free(file);
    tl_str_finish(&name);
    return ok;
}

static bool read_results(struct run *r, struct tl_err *err)
{
    for (int i = 0; i < TL_PORTS && r->method->out[i].name; i++) {
        const struct tl_port *port = &r->method->out[i];
        struct tl_str name = {0};
        tl_str_printf(&name, "out.%s", port->name);
        bool ok = read_value(r, name.data, port->name, port->kind == TL_PORT_PICTURE, err);
        tl_str_finish(&name);
        if (!ok) return false;
    }
    for (int w = 0; w < r->call->n_wrt && r->call->cotangent; w++) {
        if (r->entry_of[w]) {
            if (!read_weight_grad(r, w, err)) return false;
            continue;
        }
        struct tl_str name = {0};
        tl_str_printf(&name, "grad.%s", r->call->wrt[w]);
        bool ok =
            read_value(r, name.data, name.data, r->method->in[r->input_of[w]].kind == TL_PORT_PICTURE, err);
        tl_str_finish(&name);
        if (!ok) return false;
    }
    return true;
}

static bool build(struct run *r, struct tl_err *err)
{
    struct tl_component *c = r->call->component;
    struct tl_nn nn = {
        .g = r->g, .set = TL_SET_BASE, .lora_scale = TL_NONE, .dtype = r->call->component->dtype};
    for (int i = 0; i < TL_PORTS; i++) r->in[i] = r->out[i] = TL_NONE;
    for (int i = 0; i < TL_PORTS && r->method->in[i].name; i++)
        if (!declare_input(r, i, err)) return false;
    r->method->build(&nn, &c->config, r->in, r->out);
    if (!tl_graph_ok(r->g, err) || !find_wrt(r, err)) return false;
    if (r->call->cotangent && !build_backward(r, err)) return false;
    for (int i = 0; i < TL_PORTS && r->method->out[i].name; i++) {
        struct tl_str name = {0};
        tl_str_printf(&name, "out.%s", r->method->out[i].name);
        tl_output(r->g, r->out[i], name.data);
        tl_str_finish(&name);
    }
    return tl_graph_ok(r->g, err);
}

/* Gradients of weights that nobody asks for take no room. A weight that the method does not read has no place
 * in the graph, so the layout comes from a graph of its own. */
static bool make_grads(struct run *r, struct tl_err *err)
{
    struct tl_component *c = r->call->component;
    struct tl_graph *g = tl_graph_create();
    if (!g) return tl_err_set(err, TL_FAIL, "out of memory");
    c->cls->declare(&(struct tl_nn){.g = g, .set = TL_SET_BASE, .lora_scale = TL_NONE}, &c->config);
    const struct tl_graph *const graphs[1] = {g};
    if (tl_graph_ok(g, err)) r->grad_layout = tl_store_layout_create(graphs, 1, TL_SET_BASE, wanted, r, err);
    tl_graph_destroy(&g);
    if (r->grad_layout) r->grads = tl_store_create(c->store->device, r->grad_layout, err);
    return r->grads != NULL;
}

static bool run(struct run *r, struct tl_err *err)
{
    struct tl_component *c = r->call->component;
    struct tl_device *d = c->store->device;
    r->g = tl_graph_create();
    if (!r->g || !build(r, err)) return false;
    r->result->items =
        tl_arena_alloc(&r->result->arena, (size_t)(TL_PORTS + r->call->n_wrt), sizeof *r->result->items);
    if (!r->result->items) return tl_err_set(err, TL_FAIL, "out of memory");
    if (r->call->cotangent && !make_grads(r, err)) return false;
    r->exec = tl_exec_create(d, &r->g, err);
    if (!r->exec || !tl_exec_bind(r->exec, TL_SET_BASE, c->store, err)) return false;
    if (r->grads && !tl_exec_bind(r->exec, TL_SET_BASE + TL_SET_GRADS, r->grads, err)) return false;
    for (int i = 0; i < TL_PORTS && r->method->in[i].name; i++)
        if (!write_input(r, i, err)) return false;
    r->result->arena_bytes = tl_exec_bytes(r->exec);
    return write_cotangents(r, err) && tl_exec_run(r->exec, err) && read_results(r, err);
}

bool tl_forward(const struct tl_forward_call *call, struct tl_forward_result *out, struct tl_err *err)
{
    const struct tl_component_class *cls = call->component->cls;
    *out = (struct tl_forward_result){0};
    struct run r = {.call = call, .result = out};
    for (int i = 0; i < 3 && cls->methods[i].name; i++)
        if (!call->method || strcmp(call->method, cls->methods[i].name) == 0) {
            r.method = &cls->methods[i];
            break;
        }
    if (!r.method)
        return tl_err_set(err, TL_USAGE, "%s has no method '%s'; its first is %s", cls->name, call->method,
                          cls->methods[0].name);
    bool ok = run(&r, err);
    tl_exec_destroy(&r.exec);
    tl_graph_destroy(&r.g);
    tl_store_destroy(&r.grads);
    tl_store_layout_destroy(&r.grad_layout);
    if (!ok) {
        tl_err_set(err, TL_FAIL, "out of memory");
        tl_forward_result_finish(out);
    }
    return ok;
}

void tl_forward_result_finish(struct tl_forward_result *result)
{
    tl_arena_finish(&result->arena);
    *result = (struct tl_forward_result){0};
}
