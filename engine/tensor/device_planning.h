/* A device that plans: whatever is made on it is counted and takes no memory, so that the very code that
 * opens a model and plans its graphs says what they will take, before any of it is there.
 *
 * Weights and inputs are not kept, a run does nothing, graphs' outputs read as ones. Sizes are those of the
 * device it stands for. Everything belongs to a part (a name for people) that is set before it is made; the
 * table shows the parts as they are at the moment when the sum is largest. */
#ifndef TL_TENSOR_DEVICE_PLANNING_H
#define TL_TENSOR_DEVICE_PLANNING_H

#include "tensor/device.h"

enum { TL_PLANNED_PARTS = 24 };

struct tl_planned_part {
    const char *name; /* static */
    bool host;        /* memory of the program, not of the device */
    size_t now, at_peak;
};

/* `like` is borrowed until the planning device is closed (tl_device_close). */
struct tl_device *tl_device_planning_open(struct tl_device *like, struct tl_err *err);

/* What is made from now on belongs to `name` (static); returns the part so far, for setting it again. Beyond
 * TL_PLANNED_PARTS names all goes to the last. Does nothing on another device, and gives NULL. */
const char *tl_device_planning_part(struct tl_device *device, const char *name);
/* The program's own memory for `name` is so many bytes from now on. */
void tl_device_planning_host(struct tl_device *planning, const char *name, size_t bytes);

/* Trying several ways: mark remembers the peak so far; rewind forgets what came after it (and was given back
 * again). */
void tl_device_planning_mark(struct tl_device *planning);
void tl_device_planning_rewind(struct tl_device *planning);

/* The parts in the order in which they were named; borrowed. */
size_t tl_device_planning_parts(const struct tl_device *planning, const struct tl_planned_part **out);
/* Largest sum of all parts; *out_device: the device's share of it. */
size_t tl_device_planning_peak(const struct tl_device *planning, size_t *out_device);

#endif
