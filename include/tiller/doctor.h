/* What this machine offers: the cpu device, every Vulkan device with its limits and features, and which
 * device `auto` takes and why. */
#ifndef TILLER_DOCTOR_H
#define TILLER_DOCTOR_H

#include <tiller/job.h>

struct tl_doctor_params {
    bool json; /* JSON (schema "tiller.doctor/1") instead of text */
};

/* Text that the caller frees. A machine without Vulkan is a fact, not a failure. *out_usable: whether
 * job->device can be opened; the report says why not. */
char *tl_doctor(const struct tl_doctor_params *params, const struct tl_job *job, bool *out_usable,
                struct tl_err *err);

#endif
