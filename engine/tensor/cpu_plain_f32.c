/* The plain kernels in float: the cpu device's own where cpu_fast_*.c has nothing better. */
#include "tensor/cpu_plain_math.h"

#define REAL        float
#define LANES       16
#define TO_FLOAT(x) (x)
#define EXP(x)      tl_cpu_expf(x)
#define LOG(x)      tl_cpu_logf(x)
#define SQRT(x)     sqrtf(x)
#define TANH(x)     tl_cpu_tanhf(x)
#define ERF(x)      tl_cpu_erff(x)
#define SIN(x)      tl_cpu_sinf(x)
#define COS(x)      tl_cpu_cosf(x)
#define FABS(x)     fabsf(x)
#define SIGMOID(x)  tl_cpu_sigmoidf(x)
#define PLAIN_TABLE tl_cpu_plain_f32

#include "tensor/cpu_plain_all.inc"
