/* The plain kernels in double, over libm: the oracle of the tests. */
#include <math.h>

#define TL_EACH     /* calls of libm: nothing to vectorise */
#define REAL        double
#define LANES       8
#define TO_FLOAT(x) tl_f64_to_f32_odd(x)
#define EXP(x)      exp(x)
#define LOG(x)      log(x)
#define SQRT(x)     sqrt(x)
#define TANH(x)     tanh(x)
#define ERF(x)      erf(x)
#define SIN(x)      sin(x)
#define COS(x)      cos(x)
#define FABS(x)     fabs(x)
#define SIGMOID(x)  (1.0 / (1.0 + exp(-(x))))
#define PLAIN_TABLE tl_cpu_plain_f64

#include "tensor/cpu_plain_all.inc"
