/* Progress of a long job: the library calls back, the program prints. */
#ifndef TILLER_PROGRESS_H
#define TILLER_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

struct tl_progress {
    const char *phase;   /* "sampling"; never NULL */
    int64_t done, total; /* total 0: not known */
    const char *unit;    /* plural of what is counted: "images"; "" where it needs no name */
    double rate;         /* units a second, smoothed; 0: not known yet */
    double seconds_left; /* < 0: not known */
    const char *health;  /* "reward 0.312, clip 4 %"; "" where there is nothing to say */
};

/* Called on the job's own thread, some times a second at most; strings are valid during the call only. */
typedef void (*tl_progress_fn)(void *user, const struct tl_progress *progress);

/* "sampling 12/64 images, 3.1 images/s, 0:17 left, reward 0.312": one line without its end, cut to size.
 * Returns out. */
char *tl_progress_line(const struct tl_progress *progress, char *out, size_t size);

#endif
