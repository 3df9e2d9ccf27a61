/* One table of cases drives every test of the operations: a case is an op with its attributes and shapes; its
 * numbers are drawn from the case's place in the table. The same case runs as a graph on any device, or
 * straight through a kernel table. */
#ifndef TL_TESTS_SUPPORT_OPS_H
#define TL_TESTS_SUPPORT_OPS_H

#include "tensor/cpu.h"
#include "tensor/exec.h"

/* What an operand holds. The first three are differentiated where the op has a gradient. */
enum op_data {
    OP_ABSENT,
    OP_NORMAL,
    OP_POSITIVE, /* 0.5 and more */
    OP_APART,    /* normal, but not within 0.05 of 0, 0.7 and 0.9: kinks of the piecewise functions */
    OP_COTANGENT,
    OP_DERIVED, /* what the forward op makes of the other operands: stats, y, o, lse */
    OP_MASK,    /* 0 or -10000, the first key always seen */
    OP_TIMES,   /* 0 .. 999 */
    OP_HYPER,   /* adamw's */
    OP_WEIGHT,  /* 0.1 */
    OP_IDS,     /* I32: -1 .. V, so that both ends fall outside */
    OP_KEYS,    /* I32: rows of random_normal */
};

struct op_operand {
    enum op_data data;
    struct tl_shape shape;
};

struct op_case {
    enum tl_op op;
    union tl_attr attr;
    struct op_operand in[TL_MAX_IN];
    struct tl_shape out[TL_MAX_OUT];
};

enum { OP_CASES_MAX = 1024 };

/* The whole table; n_out receives its length. Made once. */
const struct op_case *op_cases(size_t *n_out);
/* "gemm [3,5] [5,7]" into text; returns text. */
const char *op_case_text(const struct op_case *c, char text[256]);
int op_case_n_in(const struct op_case *c);
int op_case_n_out(const struct op_case *c);

/* Bits of the operands that the op changes in place; 0 for ordinary ops. Their results are those operands, in
 * order. */
unsigned op_in_place(enum tl_op op);
bool op_is_int(enum op_data data);
/* What an operand that is no integer, and a result, is stored as: F32 but for cast. */
enum tl_dtype op_in_dtype(const struct op_case *c);
enum tl_dtype op_out_dtype(const struct op_case *c);

/* The numbers of a case: representable in float, so that float and double runs start from the same. */
struct op_numbers {
    double *real[TL_MAX_IN];
    int32_t *ids[TL_MAX_IN];
};
void op_numbers_make(const struct op_case *c, size_t index, struct op_numbers *out);
void op_numbers_free(struct op_numbers *numbers);

/* Results: outputs, or the operands changed in place. */
struct op_results {
    int n;
    int64_t count[TL_MAX_OUT];
    double *value[TL_MAX_OUT];
};
void op_results_free(struct op_results *results);
/* The worst relative L2 distance of a result from its reference; infinite where a number is not finite but
 * should be. */
double op_results_distance(const struct op_results *got, const struct op_results *reference);

/* A case as a graph on a device. With gradients: outputs "grad0".. of the operands in `wanted`, for the
 * cotangent of output 0. */
struct op_graph {
    struct tl_device *device;
    struct tl_exec *exec;
    struct tl_store_layout *layout;
    struct tl_store *store; /* NULL: nothing is changed in place */
    const struct op_case *c;
};
bool op_graph_open(struct op_graph *out, struct tl_device *device, const struct op_case *c, unsigned wanted,
                   struct tl_err *err);
void op_graph_close(struct op_graph *graph);
bool op_graph_write(struct op_graph *graph, const struct op_numbers *numbers, struct tl_err *err);
bool op_graph_results(struct op_graph *graph, struct op_results *out, struct tl_err *err);
/* open, write, run, read, close */
bool op_graph_run(struct tl_device *device, const struct op_case *c, const struct op_numbers *numbers,
                  struct op_results *out, struct tl_err *err);

/* A case through one row of a kernel table, between guards. `f64` says what the table's reals are. With
 * accumulate the output holds 0.25 beforehand, otherwise NaN. Fails where the kernel fails, or where anything
 * but the outputs has changed. */
struct op_kernel_params {
    const tl_cpu_kernel *table;
    bool f64, accumulate;
    int threads;
};
bool op_kernel_run(const struct op_kernel_params *params, const struct op_case *c,
                   const struct op_numbers *numbers, struct op_results *out, struct tl_err *err);

#endif
