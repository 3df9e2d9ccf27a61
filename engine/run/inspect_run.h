/* A run's folder: its config, how far it came, what it left. */
#ifndef TL_RUN_INSPECT_RUN_H
#define TL_RUN_INSPECT_RUN_H

#include "run/listing.h"

/* Whether run.json, metrics.jsonl or checkpoints/ is there. */
bool tl_inspect_is_run(const char *folder);

bool tl_inspect_run(cJSON *out, const char *folder, struct tl_err *err);

#endif
