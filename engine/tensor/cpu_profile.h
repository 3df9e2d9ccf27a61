/* Where a program of the cpu device spends its time, for whoever asks by the environment: TILLER_PROFILE=1
 * logs a table by op after every run (level info), TILLER_PROFILE=2 one by op and shapes. */
#ifndef TL_TENSOR_CPU_PROFILE_H
#define TL_TENSOR_CPU_PROFILE_H

#include "tensor/graph.h"

struct tl_cpu_profile;

/* NULL where nobody asks (or memory is short): all calls below then do nothing. */
struct tl_cpu_profile *tl_cpu_profile_create(void);
void tl_cpu_profile_destroy(struct tl_cpu_profile **profile);

/* Brackets the kernel of one node. */
void tl_cpu_profile_begin(struct tl_cpu_profile *profile);
void tl_cpu_profile_end(struct tl_cpu_profile *profile, const struct tl_graph *g, const struct tl_node *n);

/* Logs what was gathered and starts anew. */
void tl_cpu_profile_report(struct tl_cpu_profile *profile);

#endif
