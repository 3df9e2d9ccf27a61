/* A planned graph on a device. Create once for its shapes, bind stores, then write inputs, run, read outputs,
 * again and again. Takes over the graph. Not thread-safe. */
#ifndef TL_TENSOR_EXEC_H
#define TL_TENSOR_EXEC_H

#include "tensor/device.h"
#include "tensor/store.h"

struct tl_exec;

/* Takes over *graph (set to NULL), also on failure. */
struct tl_exec *tl_exec_create(struct tl_device *device, struct tl_graph **graph, struct tl_err *err);
void tl_exec_destroy(struct tl_exec **exec);

const struct tl_graph *tl_exec_graph(const struct tl_exec *exec);
size_t tl_exec_bytes(const struct tl_exec *exec); /* of the arena */

/* Binds a store to a set; every param of the graph in that set must be in it, with its shape and dtype.
 * Borrowed until another is bound. */
bool tl_exec_bind(struct tl_exec *exec, int set, struct tl_store *store, struct tl_err *err);
/* Binds the flat block of a store to a set whose only param is TL_STORE_FLAT, of the layout's n_elements. */
bool tl_exec_bind_flat(struct tl_exec *exec, int set, struct tl_store *store, struct tl_err *err);

/* Whole tensors, dense, in kernel order. F32, F16 and BF16 values travel as float (rounded to nearest even
 * where they are stored in half), I32 as int32_t. Unknown names are TL_FAIL. */
bool tl_exec_write(struct tl_exec *exec, const char *input, const void *data, struct tl_err *err);
bool tl_exec_run(struct tl_exec *exec, struct tl_err *err);
bool tl_exec_read(struct tl_exec *exec, const char *output, void *data, struct tl_err *err);
/* The same in double, for the f64 oracle's finite differences. */
bool tl_exec_write_f64(struct tl_exec *exec, const char *input, const double *data, struct tl_err *err);
bool tl_exec_read_f64(struct tl_exec *exec, const char *output, double *data, struct tl_err *err);

#endif
