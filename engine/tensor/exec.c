#include "tensor/exec.h"

#include <stdlib.h>
#include <string.h>

#include "base/half.h"

struct tl_exec {
    struct tl_device *device;
    struct tl_graph *graph;
    struct tl_plan plan;
    struct tl_program *program;
    struct tl_memory *sets[TL_N_SETS];
    const struct tl_store_layout *layouts[TL_N_SETS];
    size_t *param_offset; /* per value, bytes */
    bool bound;           /* the program has seen the present sets */
};

struct tl_exec *tl_exec_create(struct tl_device *device, struct tl_graph **graph, struct tl_err *err)
{
    struct tl_exec *e = calloc(1, sizeof *e);
    if (!e) {
        tl_graph_destroy(graph);
        tl_err_set(err, TL_FAIL, "out of memory for an executor");
        return NULL;
    }
    e->device = device;
    e->graph = *graph;
    *graph = NULL;
    if (!tl_graph_ok(e->graph, err) || !tl_plan_make(e->graph, device->real_bytes, true, &e->plan, err))
        goto fail;
    e->param_offset = calloc((size_t)e->graph->n_values + 1, sizeof *e->param_offset);
    if (!e->param_offset) {
        tl_err_set(err, TL_FAIL, "out of memory for an executor");
        goto fail;
    }
    e->program = device->backend->program_create(device, e->graph, &e->plan, err);
    if (e->program) return e;
fail:
    tl_exec_destroy(&e);
    return NULL;
}

void tl_exec_destroy(struct tl_exec **e_ptr)
{
    struct tl_exec *e = *e_ptr;
    if (!e) return;
    if (e->program) e->device->backend->program_destroy(e->device, e->program);
    tl_plan_finish(&e->plan);
    tl_graph_destroy(&e->graph);
    free(e->param_offset);
    free(e);
    *e_ptr = NULL;
}

const struct tl_graph *tl_exec_graph(const struct tl_exec *e)
{
    return e->graph;
}

size_t tl_exec_bytes(const struct tl_exec *e)
{
    return e->plan.bytes;
}

static bool same_dtype(const struct tl_value *x, const struct tl_store *store, struct tl_err *err)
{
    enum tl_dtype have = store->layout->dtype;
    return x->dtype == have ||
           tl_err_set(err, TL_FAIL,
                      "%s is %s in the weights, the graph reads it as %s; bind a store of that type", x->name,
                      tl_dtype_name(have), tl_dtype_name(x->dtype));
}

bool tl_exec_bind(struct tl_exec *e, int set, struct tl_store *store, struct tl_err *err)
{
    if (set < 0 || set >= TL_N_SETS) return tl_err_set(err, TL_FAIL, "there is no weight set %d", set);
    if (store->device != e->device) return tl_err_set(err, TL_FAIL, "weights of another device");
    if (e->sets[set] == store->memory && e->layouts[set] == store->layout) return true;
    if (e->layouts[set] != store->layout) {
        for (tl_val v = 0; v < e->graph->n_values; v++) {
            const struct tl_value *x = &e->graph->values[v];
            if (x->role != TL_ROLE_PARAM || x->set != set) continue;
            const struct tl_store_entry *entry = tl_store_layout_find(store->layout, x->name);
            if (!entry) return tl_err_set(err, TL_FAIL, "the weights lack %s", x->name);
            if (!tl_shape_equal(&entry->shape, &x->shape))
                return tl_err_set(err, TL_FAIL, "%s has another shape in the weights", x->name);
            if (!same_dtype(x, store, err)) return false;
            e->param_offset[v] = entry->offset * tl_dtype_device_bytes(x->dtype, e->device->real_bytes);
        }
    }
    e->layouts[set] = store->layout;
    e->sets[set] = store->memory;
    e->bound = false;
    return true;
}

bool tl_exec_bind_flat(struct tl_exec *e, int set, struct tl_store *store, struct tl_err *err)
{
    tl_val v = set >= 0 && set < TL_N_SETS ? tl_graph_find_param(e->graph, set, TL_STORE_FLAT) : TL_NONE;
    if (v < 0) return tl_err_set(err, TL_FAIL, "set %d has no flat param", set);
    if ((size_t)tl_shape_count(tl_shape_of(e->graph, v)) != store->layout->n_elements &&
        store->layout->n_elements)
        return tl_err_set(err, TL_FAIL, "a flat param of %lld elements, the store has %zu",
                          (long long)tl_shape_count(tl_shape_of(e->graph, v)), store->layout->n_elements);
    if (!same_dtype(&e->graph->values[v], store, err)) return false;
    e->param_offset[v] = 0;
    e->bound &= e->sets[set] == store->memory;
    e->sets[set] = store->memory;
    return true;
}

bool tl_exec_run(struct tl_exec *e, struct tl_err *err)
{
    if (!e->bound) {
        for (tl_val v = 0; v < e->graph->n_values; v++) {
            const struct tl_value *x = &e->graph->values[v];
            if (x->role == TL_ROLE_PARAM && !e->sets[x->set])
                return tl_err_set(err, TL_FAIL, "no weights are bound for %s (set %d)", x->name, x->set);
        }
        if (!e->device->backend->program_bind(e->device, e->program, e->sets, e->param_offset, err))
            return false;
        e->bound = true;
    }
    return e->device->backend->program_run(e->device, e->program, err);
}

static tl_val find(const struct tl_exec *e, const char *name, bool input, struct tl_err *err)
{
    tl_val v = input ? tl_graph_find_input(e->graph, name) : tl_graph_find_output(e->graph, name);
    if (v < 0) tl_err_set(err, TL_FAIL, "the graph has no %s %s", input ? "input" : "output", name);
    return v;
}

/* An element of a real value: on the host a float or a double, on the device also a half. */
enum element { FLOAT, DOUBLE, HALF, BRAIN };

static double element_get(const void *from, enum element kind, size_t i)
{
    switch (kind) {
    case FLOAT:
        return (double)((const float *)from)[i];
    case DOUBLE:
        return ((const double *)from)[i];
    case HALF:
        return (double)tl_f16_to_f32(((const uint16_t *)from)[i]);
    case BRAIN:
        break;
    }
    return (double)tl_bf16_to_f32(((const uint16_t *)from)[i]);
}

static void element_put(void *to, enum element kind, size_t i, double x)
{
    switch (kind) {
    case FLOAT:
        ((float *)to)[i] = (float)x;
        break;
    case DOUBLE:
        ((double *)to)[i] = x;
        break;
    case HALF:
        ((uint16_t *)to)[i] = tl_f32_to_f16(tl_f64_to_f32_odd(x));
        break;
    case BRAIN:
        ((uint16_t *)to)[i] = tl_f32_to_bf16(tl_f64_to_f32_odd(x));
        break;
    }
}

static void convert(const void *from, enum element from_kind, void *to, enum element to_kind, size_t n)
{
    for (size_t i = 0; i < n; i++) element_put(to, to_kind, i, element_get(from, from_kind, i));
}

static bool transfer(struct tl_exec *e, const char *name, void *data, enum element host, bool write,
                     struct tl_err *err)
{
    const struct tl_backend *b = e->device->backend;
    tl_val v = find(e, name, write, err);
    if (v < 0) return false;
    if (e->plan.offset[v] == SIZE_MAX)
        return write ||
               tl_err_set(err, TL_FAIL, "output %s was dropped", name); /* an input that nobody reads */
    enum tl_dtype dtype = e->graph->values[v].dtype;
    enum element own = dtype == TL_F16                           ? HALF
                       : dtype == TL_BF16                        ? BRAIN
                       : e->device->real_bytes == sizeof(double) ? DOUBLE
                                                                 : FLOAT;
    if (dtype == TL_I32 || dtype == TL_U8 || own == host)
        return write ? b->program_write(e->device, e->program, v, data, err)
                     : b->program_read(e->device, e->program, v, data, err);
    size_t n = (size_t)tl_shape_count(tl_shape_of(e->graph, v));
    void *copy = malloc(tl_value_bytes(e->graph, v, e->device->real_bytes));
    if (!copy) return tl_err_set(err, TL_FAIL, "out of memory");
    if (write) convert(data, host, copy, own, n);
    bool ok = write ? b->program_write(e->device, e->program, v, copy, err)
                    : b->program_read(e->device, e->program, v, copy, err);
    if (ok && !write) convert(copy, own, data, host, n);
    free(copy);
    return ok;
}

bool tl_exec_write(struct tl_exec *e, const char *input, const void *data, struct tl_err *err)
{
    return transfer(e, input, (void *)(uintptr_t)data, FLOAT, true, err);
}

bool tl_exec_read(struct tl_exec *e, const char *output, void *data, struct tl_err *err)
{
    return transfer(e, output, data, FLOAT, false, err);
}

bool tl_exec_write_f64(struct tl_exec *e, const char *input, const double *data, struct tl_err *err)
{
    return transfer(e, input, (void *)(uintptr_t)data, DOUBLE, true, err);
}

bool tl_exec_read_f64(struct tl_exec *e, const char *output, double *data, struct tl_err *err)
{
    return transfer(e, output, data, DOUBLE, false, err);
}
