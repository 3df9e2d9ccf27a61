/* The noise levels that samplers of sigmas visit, and the timesteps that the network is told there, as
 * diffusers' Euler and DPM-Solver classes choose them. sigma = sqrt((1 - alpha_bar) / alpha_bar). */
#ifndef TL_SAMPLE_SIGMAS_H
#define TL_SAMPLE_SIGMAS_H

#include "sample/scheduler.h"

struct tl_sigma_plan {
    int n;         /* steps */
    double *t;     /* [n]; may lie between whole timesteps */
    double *sigma; /* [n + 1], falling; where the last step leads is the last */
    double start;  /* what unit noise is multiplied with to begin */
};

/* sampler: of the Euler or DPM family. False: more steps than the schedule has. A plan that failed may be
 * finished. */
bool tl_sigma_plan_init(struct tl_sigma_plan *plan, const struct tl_scheduler *s,
                        const struct tl_sampler *sampler, bool karras, int n, struct tl_err *err);
void tl_sigma_plan_finish(struct tl_sigma_plan *plan);

#endif
