/* What a run takes: memory by its parts, before any of it is taken; and sizes as people write them. */
#ifndef TL_RUN_MEMORY_PLAN_H
#define TL_RUN_MEMORY_PLAN_H

#include <stdint.h>

#include "tensor/device_planning.h"

/* Of options --dtype; the number is the enum tl_dtype. */
extern const char *const tl_dtype_choices[];

struct tl_memory_row {
    const char *what;
    size_t bytes; /* at the moment when the sum is largest */
    bool host;
};

struct tl_memory_plan {
    struct tl_memory_row rows[TL_PLANNED_PARTS];
    size_t n;
    size_t device, host; /* sums */
    size_t
        budgeted; /* what a budget is for: all where device and program share one memory, else the device's */
    bool shared;
};

/* From the parts of a planning device, the largest first. */
void tl_memory_plan_take(const struct tl_device *planning, struct tl_memory_plan *out);

/* "4G", "6.5G", "800M", "900000000": bytes; K, M, G, T are powers of 1024. Empty and NULL are 0. TL_USAGE. */
bool tl_memory_parse(const char *text, uint64_t *out, struct tl_err *err);
/* "1.53 GiB", "12.0 MiB". */
const char *tl_memory_text(uint64_t bytes, char out[32]);

/* "1.53 GiB (UNet, weights 800.0 MiB, ...)": the sum and the three largest parts. */
void tl_memory_plan_line(const struct tl_memory_plan *plan, char *out, size_t size);
/* Every part, as lines of the log. */
void tl_memory_plan_log(const struct tl_memory_plan *plan);

/* What the machine (or the device, where it has its own memory) has left, as far as is known; else 0. */
uint64_t tl_memory_free(const struct tl_device *device);

#endif
