/* Networks whose weights are one file without a config: InceptionV3, VGGish, CNN14, as their authors gave
 * them out (.pth, or a safetensors of the same names).
 *
 * What a config would say is told from the file: widths from the tensors' shapes, the way the names are
 * written from the names. Use: open, tell which network it is (tl_weights_file_prefix), load with a graph
 * that asks for every weight, close_file; then build and run graphs over the store. */
#ifndef TL_MODELS_WEIGHTS_FILE_H
#define TL_MODELS_WEIGHTS_FILE_H

#include "io/safetensors.h"
#include "nn/nn.h"
#include "tensor/store.h"

struct tl_weights_file {
    struct tl_st_set *set;          /* until tl_weights_file_close_file; owns */
    struct tl_store_layout *layout; /* since tl_weights_file_load; owns */
    struct tl_store *store;         /* owns */
    enum tl_dtype dtype;            /* of the store */
};

/* The file, any container that tl_st_set_open_file takes. *file is made; it may hold nothing before. */
bool tl_weights_file_open(struct tl_weights_file *file, const char *path, struct tl_err *err);

/* The first of `prefixes` (ends at NULL) under which the file has PREFIX + name; TL_BAD_INPUT that says what
 * the network is called and which tensor it lacks. */
bool tl_weights_file_prefix(const struct tl_weights_file *file, const char *what, const char *const *prefixes,
                            const char *name, const char **out, struct tl_err *err);

/* Axis `axis` of a tensor; 0 and TL_BAD_INPUT where the tensor is missing or has fewer axes. A builder gives
 * its graph's err. */
int64_t tl_weights_file_dim(const struct tl_weights_file *file, unsigned axis, struct tl_err *err,
                            const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Makes the store and fills it with what `g` asks for of TL_SET_BASE, then folds the batch norms of
 * tl_weights_file_conv_norm into their convolutions, once, from the file's values: rounding to the store's
 * dtype comes last. Takes over the graph, also where it has failed, and closes the file. Device borrowed. */
bool tl_weights_file_load(struct tl_weights_file *file, struct tl_device *device, struct tl_graph **g,
                          float norm_eps, struct tl_err *err);

/* relu(batch_norm(conv(x))), convolution NAME.weight without a bias, norm NAME with its last "conv" written
 * "bn": "Mixed_5b.branch1x1.conv" and "Mixed_5b.branch1x1.bn". Runs as one convolution over a store that
 * tl_weights_file_load has made: there NAME.weight holds the norm's scale, the norm's bias its shift. */
tl_val tl_weights_file_conv_norm(struct tl_nn *nn, tl_val x, int64_t out, struct tl_nn_conv conv,
                                 const char *name);

/* A layer context over the file's store; dtype as tl_component_open_as has it. */
struct tl_nn tl_weights_file_nn(const struct tl_weights_file *file, struct tl_graph *g);

void tl_weights_file_close_file(struct tl_weights_file *file);
void tl_weights_file_finish(struct tl_weights_file *file);

#endif
