/* What every job (sample, train, score, forward, ...) is told besides its own parameters. Jobs open their
 * device themselves, report through the callbacks, and never print. */
#ifndef TILLER_JOB_H
#define TILLER_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include <tiller/err.h>
#include <tiller/progress.h>

struct tl_job {
    const char *device; /* "auto", "cpu", "vulkan", "vulkan:N"; NULL: auto */
    int threads;        /* 0: as many as this process may use */
    uint64_t seed;
    const char *command;     /* the command line, for run.json and pictures' metadata; may be NULL */
    tl_progress_fn progress; /* may be NULL */
    void *user;
};

#endif
