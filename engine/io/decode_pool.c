#include "io/decode_pool.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/decode_slots.h"
#include "io/sound_inner.h"

enum {
    CHANNELS = 3,
    DEFAULT_SECONDS = 30,
    DEFAULT_MEMORY = 1 << 30,
    SOUND_MEMORY = 512 << 20,
    DEFAULT_HELD = 1 << 30
};

static int cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static void settle_params(const struct tl_decode_params *in, struct tl_decode_params *out)
{
    if (in) *out = *in;
    if (out->n_workers < 1) out->n_workers = cores();
    if (out->n_workers > DECODE_MOST_WORKERS) out->n_workers = DECODE_MOST_WORKERS;
    if (out->most_pixels == 0 || out->most_pixels > TL_IMAGE_MAX_PIXELS)
        out->most_pixels = TL_IMAGE_MAX_PIXELS;
    if (out->most_samples > TL_SOUND_MAX_SAMPLES) out->most_samples = TL_SOUND_MAX_SAMPLES;
    if (out->most_memory == 0) out->most_memory = out->most_samples ? SOUND_MEMORY : DEFAULT_MEMORY;
    if (out->most_held == 0) out->most_held = DEFAULT_HELD;
    if (!(out->most_seconds > 0)) out->most_seconds = DEFAULT_SECONDS;
}

int64_t tl_decode_pool_most_bytes(bool sounds)
{
    return sounds ? SOUND_MOST_FILE : DECODE_MOST_FILE;
}

/* Address space only: pages appear as they are written, and go back after large files. */
static bool map_shared(struct decode_plan *plan, struct tl_err *err)
{
    size_t pixels = CHANNELS * plan->params.most_pixels, samples = sizeof(float) * plan->params.most_samples;
    plan->shared_bytes = pixels > samples ? pixels : samples;
    for (int i = 0; i < plan->params.n_workers; i++) {
        void *shared = mmap(NULL, plan->shared_bytes, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (shared == MAP_FAILED)
            return tl_err_set(err, TL_FAIL, "no memory to share with %d decoders: %s", plan->params.n_workers,
                              strerror(errno));
        plan->shared[i] = shared;
    }
    return true;
}

/* No signal may find the child before it has put the caller's handlers away. */
static bool fork_keeper(struct tl_decode_pool *pool, struct tl_err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return tl_err_set(err, TL_FAIL, "cannot start decoders: %s", strerror(errno));
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pool->keeper = fork();
    if (pool->keeper == 0) decode_keeper(&pool->plan, ends[1]);
    int why = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(ends[1]);
    pool->control = ends[0];
    return pool->keeper > 0 || tl_err_set(err, TL_FAIL, "cannot start decoders: %s", strerror(why));
}

struct tl_decode_pool *tl_decode_pool_open(const struct tl_decode_params *params, struct tl_err *err)
{
    struct tl_decode_pool *pool = calloc(1, sizeof *pool);
    if (!pool) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    pool->control = -1;
    for (int i = 0; i < DECODE_MOST_WORKERS; i++) pool->slots[i].socket = -1;
    settle_params(params, &pool->plan.params);
    if (!map_shared(&pool->plan, err) || !fork_keeper(pool, err)) tl_decode_pool_close(&pool);
    return pool;
}

void tl_decode_pool_close(struct tl_decode_pool **at)
{
    struct tl_decode_pool *pool = *at;
    *at = NULL;
    if (!pool) return;
    if (pool->control >= 0) close(pool->control); /* the keeper ends its workers and itself */
    while (pool->keeper > 0 && waitpid(pool->keeper, NULL, 0) < 0 && errno == EINTR) {
    }
    for (int i = 0; i < pool->plan.params.n_workers; i++) {
        if (pool->slots[i].socket >= 0) close(pool->slots[i].socket);
        if (pool->plan.shared[i]) munmap(pool->plan.shared[i], pool->plan.shared_bytes);
    }
    free(pool);
}

static bool keeper_gone(struct tl_decode_pool *pool, struct tl_err *err)
{
    if (pool->control >= 0) close(pool->control);
    pool->control = -1;
    return tl_err_set(err, TL_FAIL,
                      "the process that keeps the decoders has ended; is the machine out "
                      "of memory?");
}

static bool ask(struct tl_decode_pool *pool, enum decode_verb verb, int slot, int fd, struct tl_err *err)
{
    struct decode_request request = {.verb = (int32_t)verb, .slot = slot};
    return (pool->control >= 0 && decode_send(pool->control, &request, sizeof request, fd)) ||
           keeper_gone(pool, err);
}

bool decode_slot_start(struct tl_decode_pool *pool, int slot, struct tl_err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return tl_err_set(err, TL_FAIL, "cannot start a decoder: %s", strerror(errno));
    bool ok = ask(pool, DECODE_START, slot, ends[1], err);
    close(ends[1]);
    if (!ok) {
        close(ends[0]);
        return false;
    }
    struct decode_slot *s = &pool->slots[slot];
    s->socket = ends[0];
    s->is_silent = s->is_late = false;
    s->is_fresh = true;
    return true;
}

bool decode_slot_kill(struct tl_decode_pool *pool, int slot, struct tl_err *err)
{
    return ask(pool, DECODE_KILL, slot, -1, err);
}

bool decode_slot_death(struct tl_decode_pool *pool, int flags, struct decode_death *out, struct tl_err *err)
{
    if (pool->control < 0) return keeper_gone(pool, err);
    ssize_t n = decode_receive(pool->control, out, sizeof *out, flags, NULL);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (n != sizeof *out || out->slot < 0 || out->slot >= pool->plan.params.n_workers)
        return keeper_gone(pool, err);
    return true;
}
