/* What a device can do at most, by two loops: independent multiply-adds in registers, and a triad a = b + s *
 * c over arrays that no cache holds. */
#ifndef TL_RUN_BENCH_PEAK_H
#define TL_RUN_BENCH_PEAK_H

#include "tensor/device.h"

struct tl_bench_peak {
    double flops;   /* a second; 0: not measured */
    double bytes_s; /* 12 bytes an element of the triad; 0: not measured */
};

/* `threads` as the cpu device was opened with. */
bool tl_bench_peak(const struct tl_device *device, int threads, struct tl_bench_peak *out,
                   struct tl_err *err);

#endif
