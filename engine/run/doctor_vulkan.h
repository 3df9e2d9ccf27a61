/* The Vulkan half of the doctor's report. */
#ifndef TL_RUN_DOCTOR_VULKAN_H
#define TL_RUN_DOCTOR_VULKAN_H

#include <stddef.h>

#include "run/listing.h"

/* Adds loader and devices. `why` gets one clause: what `auto` takes on this machine and for what reason. */
void tl_doctor_add_vulkan(cJSON *out, char *why, size_t size);

#endif
