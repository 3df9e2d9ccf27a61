/* Reads diffusers' scheduler_config.json into a scheduler.
 *
 * DDPM, DDIM, EulerDiscrete, EulerAncestralDiscrete and DPMSolverMultistep are read field by field. Any other
 * class that has betas (PNDM, UniPC ...), and the two last families with what their samplers here have not
 * (solver_type heun, solver_order 3, dpmsolver without ++, other sigmas than plain and karras), become DDIM
 * with their fields and that class's own defaults, and one warning is logged. What would change the numbers
 * of every sampler and is not supported is refused by name: thresholding, learned variances, other beta
 * schedules, prediction types and spacings, flow matching. */
#ifndef TL_SAMPLE_SCHEDULER_CONFIG_H
#define TL_SAMPLE_SCHEDULER_CONFIG_H

#include "base/arena.h"
#include "sample/scheduler.h"

struct cJSON;

/* trained_betas, if any, live in the arena: keep it until tl_scheduler_init is done. Logs the warning. */
bool tl_scheduler_config_from_json(const struct cJSON *json, struct tl_arena *arena,
                                   struct tl_scheduler_config *out, struct tl_err *err);

/* The file at path, parsed and initialised; the caller finishes s. Messages begin with the path. */
bool tl_scheduler_read(struct tl_scheduler *s, const char *path, struct tl_err *err);

#endif
