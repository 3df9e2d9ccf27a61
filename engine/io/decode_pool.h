/* Decoding pictures and sounds in worker processes with limits, so that a hostile or broken file costs one
 * picture and not the run.
 *
 * What a picture gives is what tl_image_load gives, what a sound gives is what tl_sound_load gives. What is
 * said of pictures holds for sounds, where nothing else is. What can go wrong with one (no such file,
 * damaged, too many pixels, too much memory or time, a crash of the decoder) is an error of TL_BAD_INPUT for
 * that picture, which names the file and the reason; the worker is replaced and the run goes on. A picture on
 * which a worker died, or ran out of memory, is tried once more in a fresh one, so that no verdict depends on
 * the pictures before it or on the number of workers.
 *
 * Processes: opening forks one small process that does nothing but start, end and reap workers; workers are
 * its children. They have /dev/null for their standard streams, no other descriptor than their socket and the
 * picture's file, no core dumps, may not write files or start processes, gain no privileges, take no notice
 * of SIGINT, SIGTERM, SIGHUP and SIGQUIT (whether Ctrl-C ends a run is the caller's decision), and, where the
 * kernel has seccomp, can call nothing that reaches files, network or other processes. All end when the pool
 * is closed or the caller's process ends in any way. Files are opened by the caller's process and handed over
 * open: paths and working folder are its own, and no worker ever needs to open one.
 *
 * Forking: the caller may have threads, but no other thread may be decoding pictures while the pool is opened
 * (a lock inside a decoder's library would stay held in the child). What the process holds in memory at that
 * moment is shared with the children until it writes to it: open early, before weights are loaded, and close
 * when done.
 *
 * Linux only. A pool is used from one thread at a time. */
#ifndef TL_IO_DECODE_POOL_H
#define TL_IO_DECODE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

#include "io/image.h"
#include "io/sound.h"

struct tl_decode_params {
    int n_workers;       /* 0: the cores that this process may use; at most 16 */
    size_t most_pixels;  /* of a file and of a result; 0, or more than that: TL_IMAGE_MAX_PIXELS */
    size_t most_memory;  /* bytes that a worker may take beside the result and the file, and beside what it
                            inherits from this process. 0: 512 MiB in a pool that takes sounds, which need
                            little beside their samples, else 1 GiB: a progressive JPEG of
                            TL_IMAGE_MAX_PIXELS needs all its coefficients and its pixels at once */
    size_t most_held;    /* bytes of decoded results that wait for their turn, beside what comes next; 0:
                            1 GiB. No more is handed out than may come in below it */
    size_t most_samples; /* of a sound, all channels; more than that: TL_SOUND_MAX_SAMPLES. 0: the pool takes
                            no sounds. Address space of 4 bytes each for every worker, memory as it is used:
                            sounds beyond 16 Mi samples (64 MiB) are decoded one at a time, so that one of
                            them at most is in memory, once */
    double most_seconds; /* for one picture; 0: 30. A sound has one more for each MiB of its file. The clock
                            runs only while the pool waits for workers */

    /* For tests: runs in the worker before each picture. */
    void (*before)(void *user, const char *path);
    void *before_user;
};

struct tl_decode_pool;

/* Bytes of a file at most: larger ones are refused unread. */
int64_t tl_decode_pool_most_bytes(bool sounds);

/* Fails with TL_FAIL where the system gives no process or memory. params NULL: all chosen. */
struct tl_decode_pool *tl_decode_pool_open(const struct tl_decode_params *params, struct tl_err *err);
void tl_decode_pool_close(struct tl_decode_pool **pool);

enum tl_decode_kind {
    TL_DECODE_PIXELS, /* the picture; brought to width x height by tl_resize_cover unless both are 0 */
    TL_DECODE_SIZE,   /* width and height from the file's header, px stays NULL. The rest of the file is not
                         looked at: it may still turn out damaged */
};

struct tl_decode_job {
    const char *path; /* borrowed; a regular file */
    enum tl_decode_kind kind;
    int width, height;
};

/* Calls take(user, i, image, NULL) or take(user, i, NULL, error) for i = 0, 1, ... n - 1, in this order. The
 * image is freed behind the call; a taker that keeps it copies the struct and zeroes *image. A taker that
 * returns false ends the run, which then returns true all the same. At most 2 pictures per worker are held,
 * and no more than most_held bytes of them.
 *
 * Fails with TL_INTERRUPTED when the job was asked to stop (tiller/interrupt.h), with TL_FAIL when memory or
 * processes give out. A pool can be used again after any end, but one whose keeping process is gone fails
 * again. */
typedef bool tl_decode_take(void *user, size_t i, struct tl_image *image, const struct tl_err *error);
bool tl_decode_pool_run(struct tl_decode_pool *pool, const struct tl_decode_job *jobs, size_t n,
                        tl_decode_take *take, void *user, struct tl_err *err);

/* The same with sounds: files at paths[0..n), which are borrowed. Only in a pool opened with most_samples. */
typedef bool tl_decode_take_sound(void *user, size_t i, struct tl_sound *sound, const struct tl_err *error);
bool tl_decode_pool_run_sounds(struct tl_decode_pool *pool, const char *const *paths, size_t n,
                               tl_decode_take_sound *take, void *user, struct tl_err *err);

#endif
