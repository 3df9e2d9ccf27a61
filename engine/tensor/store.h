/* Persistent tensors on a device: a model's weights, their gradients, an optimiser's moments, an EMA copy.
 *
 * One flat block of one dtype; every tensor begins at a multiple of 128 elements (so of 256 bytes) in it,
 * gaps are zero, so that an optimiser runs over the block as one vector. Stores made from the same layout are
 * interchangeable: binding another one is free. A store may be F16 or BF16: half the room for weights that
 * are read only. Optimisers and gradients are F32. */
#ifndef TL_TENSOR_STORE_H
#define TL_TENSOR_STORE_H

#include "tensor/device.h"

struct tl_store_entry {
    const char *name;
    struct tl_shape shape; /* kernel order */
    enum tl_layout layout;
    size_t offset; /* in elements */
};

/* Names in the order in which the graph asked for them. Immutable once made; share it between stores. */
struct tl_store_layout {
    struct tl_store_entry *entries;
    int32_t n_entries;
    size_t n_elements; /* of the flat block, gaps included; a multiple of 128 */
    int32_t *by_name;  /* entry numbers sorted by name */
    struct tl_store_names *names;
    enum tl_dtype dtype; /* of all entries: F32, F16 or BF16 */
};

/* The params of one set of one or more graphs, which must agree in dtype. want NULL takes all. */
struct tl_store_layout *tl_store_layout_create(const struct tl_graph *const *graphs, int n_graphs, int set,
                                               bool (*want)(void *user, const char *name), void *user,
                                               struct tl_err *err);
void tl_store_layout_destroy(struct tl_store_layout **layout);
const struct tl_store_entry *tl_store_layout_find(const struct tl_store_layout *layout, const char *name);

/* A graph that runs over a whole store as one vector (an optimiser) asks for this param and is bound by
 * tl_exec_bind_flat. */
#define TL_STORE_FLAT "(flat)"

struct tl_store {
    struct tl_device *device;
    const struct tl_store_layout *layout; /* borrowed: outlives the store */
    struct tl_memory *memory;
};

/* Zeroed. */
struct tl_store *tl_store_create(struct tl_device *device, const struct tl_store_layout *layout,
                                 struct tl_err *err);
void tl_store_destroy(struct tl_store **store);

/* Whole tensors as f32 in kernel order, count elements; conversion to the store's type is done here, rounded
 * to nearest even. */
bool tl_store_write(struct tl_store *store, const struct tl_store_entry *entry, const float *data,
                    struct tl_err *err);
bool tl_store_read(struct tl_store *store, const struct tl_store_entry *entry, float *data,
                   struct tl_err *err);
/* The flat block as f32, layout->n_elements long. */
bool tl_store_write_flat(struct tl_store *store, const float *data, struct tl_err *err);
bool tl_store_read_flat(struct tl_store *store, float *data, struct tl_err *err);
bool tl_store_zero(struct tl_store *store, struct tl_err *err);
bool tl_store_copy(struct tl_store *dst, const struct tl_store *src,
                   struct tl_err *err); /* same layout, same device */

/* Conversions between file (PyTorch) order and kernel order; f32 both. dim/rank of the file's tensor come
 * from the entry. */
void tl_layout_from_file(enum tl_layout layout, const struct tl_shape *kernel_shape, const float *file,
                         float *kernel);
void tl_layout_to_file(enum tl_layout layout, const struct tl_shape *kernel_shape, const float *kernel,
                       float *file);
/* The shape that the tensor has in a file. */
struct tl_shape tl_layout_file_shape(enum tl_layout layout, const struct tl_shape *kernel_shape);

#endif
