/* The order of work: pictures, or sounds, go out to whichever worker is free and come back through a ring
 * that gives them to the taker in the order of the jobs. */
#include "io/decode_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tiller/interrupt.h>

#include "base/clock.h"
#include "io/decode_slots.h"
#include "io/sound_inner.h"

enum { CHANNELS = 3, MOST_WAIT_MS = 250, GIVE_BACK = 8 << 20 };

struct result {
    bool is_done;
    struct tl_image image;
    struct tl_sound sound;
    struct tl_err err; /* code TL_OK: the image or the sound */
};

/* Pictures where take_image is set, else sounds. */

struct run {
    struct tl_decode_pool *pool;
    const struct tl_decode_job *jobs;
    const char *const *sounds;
    tl_decode_take *take_image;
    tl_decode_take_sound *take_sound;
    void *user;
    size_t n;
    size_t next_out, next_take; /* jobs [next_take, next_out) are with workers or in the ring */
    struct result *ring;
    size_t n_ring;
};

static struct result *result_of(struct run *run, size_t job)
{
    return &run->ring[job % run->n_ring];
}

static const char *path_of(const struct run *run, size_t job)
{
    return run->sounds ? run->sounds[job] : run->jobs[job].path;
}

static void fail_job(struct run *run, size_t job, const char *reason)
{
    struct result *result = result_of(run, job);
    tl_err_set(&result->err, TL_BAD_INPUT, "%s: %s", path_of(run, job), reason);
    result->is_done = true;
}

/* Not blocking on a pipe without a writer. */
static int open_file(struct run *run, size_t job, int64_t *out_bytes)
{
    const char *path = path_of(run, job);
    const int64_t most = run->sounds ? SOUND_MOST_FILE : DECODE_MOST_FILE;
    char reason[160] = "not a regular file";
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(reason, sizeof reason, "cannot open: %s", strerror(errno));
    } else if (S_ISREG(st.st_mode) && st.st_size > most) {
        snprintf(reason, sizeof reason, "more than the %lld bytes allowed here", (long long)most);
    } else if (S_ISREG(st.st_mode)) {
        *out_bytes = st.st_size;
        return fd;
    }
    fail_job(run, job, reason);
    if (fd >= 0) close(fd);
    return -1;
}

/* A worker that is gone already is no error here: its death is on the way. */
static bool send_job(struct run *run, int slot, size_t job, struct tl_err *err)
{
    struct decode_slot *s = &run->pool->slots[slot];
    struct decode_order order = {.kind = DECODE_SOUND};
    if (!run->sounds) {
        const struct tl_decode_job *j = &run->jobs[job];
        order = (struct decode_order){.kind = (int32_t)j->kind, .width = j->width, .height = j->height};
    }
    int fd = open_file(run, job, &order.n_bytes);
    s->is_busy = fd >= 0;
    if (fd < 0) return true;
    bool ok = s->socket >= 0 || decode_slot_start(run->pool, slot, err);
    if (ok) {
        /* No longer than the system's own limit, or open would have failed. */
        snprintf(order.path, sizeof order.path, "%s", path_of(run, job));
        s->job = job;
        s->spent_s = 0;
        s->most_s = run->pool->plan.params.most_seconds;
        if (run->sounds) s->most_s += (double)order.n_bytes / (1 << 20);
        decode_send(s->socket, &order, sizeof order, fd);
    }
    close(fd);
    return ok;
}

static bool hand_out(struct run *run, struct tl_err *err)
{
    for (int slot = 0; slot < run->pool->plan.params.n_workers; slot++) {
        struct decode_slot *s = &run->pool->slots[slot];
        while (!s->is_busy && run->next_out < run->n && run->next_out - run->next_take < run->n_ring) {
            s->is_second = false;
            if (!send_job(run, slot, run->next_out++, err)) return false;
        }
    }
    return true;
}

static bool take_pixels(struct run *run, int slot, const struct decode_reply *reply, struct tl_image *out,
                        struct tl_err *err)
{
    void *from = run->pool->plan.shared[slot];
    size_t n = CHANNELS * (size_t)reply->width * (size_t)reply->height;
    out->px = malloc(n);
    if (!out->px)
        return tl_err_set(err, TL_FAIL, "out of memory for a picture of %dx%d", reply->width, reply->height);
    memcpy(out->px, from, n);
    if (n >= GIVE_BACK) madvise(from, run->pool->plan.shared_bytes, MADV_REMOVE);
    return true;
}

/* *is_honest is false where values are not finite: tl_sound_decode refuses those. */
static bool take_samples(struct run *run, int slot, const struct decode_reply *reply, struct tl_sound *out,
                         bool *is_honest, struct tl_err *err)
{
    void *from = run->pool->plan.shared[slot];
    if (!tl_sound_init(out, reply->rate, reply->channels, (size_t)reply->frames, err)) return false;
    size_t n = out->frames * (size_t)out->channels, bytes = n * sizeof *out->samples;
    memcpy(out->samples, from, bytes);
    if (bytes >= GIVE_BACK) madvise(from, run->pool->plan.shared_bytes, MADV_REMOVE);
    *is_honest = true;
    for (size_t i = 0; i < n && *is_honest; i++) *is_honest = isfinite(out->samples[i]);
    if (!*is_honest) tl_sound_finish(out);
    return true;
}

static bool is_honest_sound(const struct run *run, const struct decode_reply *reply)
{
    return reply->rate >= TL_SOUND_MIN_RATE && reply->rate <= TL_SOUND_MAX_RATE && reply->channels >= 1 &&
           reply->channels <= TL_SOUND_MAX_CHANNELS && reply->frames >= 1 &&
           (uint64_t)reply->frames <= run->pool->plan.params.most_samples / (uint64_t)reply->channels;
}

/* Whether the answer is one that an honest worker may give. */
static bool is_honest_picture(const struct run *run, const struct tl_decode_job *job,
                              const struct decode_reply *reply)
{
    if (reply->width < 1 || reply->height < 1 ||
        (size_t)reply->width * (size_t)reply->height > run->pool->plan.params.most_pixels)
        return false;
    bool fits = job->kind == TL_DECODE_PIXELS && (job->width != 0 || job->height != 0);
    return !fits || (reply->width == job->width && reply->height == job->height);
}

static void refuse(struct run *run, size_t job, struct decode_reply *reply)
{
    struct result *result = result_of(run, job);
    reply->text[sizeof reply->text - 1] = 0;
    for (char *p = reply->text; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    }
    if (reply->is_memory) {
        char reason[80];
        snprintf(reason, sizeof reason, "decoding needs more memory than %zu MiB",
                 run->pool->plan.params.most_memory >> 20);
        fail_job(run, job, reason);
    } else {
        tl_err_set(&result->err, TL_BAD_INPUT, "%s", reply->text);
        result->is_done = true;
    }
}

static bool answered(struct run *run, int slot, struct decode_reply *reply, struct tl_err *err)
{
    struct decode_slot *s = &run->pool->slots[slot];
    struct result *result = result_of(run, s->job);
    if (!reply->is_ok && reply->is_memory && !s->is_fresh && !s->is_second)
        return decode_slot_kill(run->pool, slot, err); /* and again in a fresh one, on its death */
    s->is_busy = s->is_fresh = false;
    if (!reply->is_ok) {
        refuse(run, s->job, reply);
        return true;
    }
    const struct tl_decode_job *job = run->sounds ? NULL : &run->jobs[s->job];
    bool is_honest = job ? is_honest_picture(run, job, reply) : is_honest_sound(run, reply);
    if (is_honest && !job && !take_samples(run, slot, reply, &result->sound, &is_honest, err)) return false;
    if (!is_honest) {
        fail_job(run, s->job, "the decoder answered nonsense");
        return decode_slot_kill(run->pool, slot, err);
    }
    result->is_done = true;
    if (!job) return true;
    result->image = (struct tl_image){.width = reply->width, .height = reply->height, .channels = CHANNELS};
    return job->kind == TL_DECODE_SIZE || take_pixels(run, slot, reply, &result->image, err);
}

static bool listen_to(struct run *run, int slot, struct tl_err *err)
{
    static const size_t whole = sizeof(struct decode_reply);
    struct decode_slot *s = &run->pool->slots[slot];
    struct decode_reply reply;
    if (!s->is_busy || s->socket < 0 || s->is_silent || s->is_late) return true;
    ssize_t n = decode_receive(s->socket, &reply, sizeof reply, MSG_DONTWAIT, NULL);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (n == (ssize_t)whole) return answered(run, slot, &reply, err);
    s->is_silent = true; /* dead, or as good as dead: a worker that only hangs up runs into its time */
    return true;
}

static void tell_death(struct run *run, const struct decode_slot *s, int status)
{
    char reason[120];
    if (s->is_late) {
        snprintf(reason, sizeof reason, "decoding took longer than %g s", s->most_s);
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        snprintf(reason, sizeof reason, "the decoder was killed (signal %d); is the machine out of memory?",
                 SIGKILL);
    } else if (WIFSIGNALED(status)) {
        snprintf(reason, sizeof reason, "the decoder crashed (signal %d)", WTERMSIG(status));
    } else {
        snprintf(reason, sizeof reason, "the decoder ended (exit status %d)", WEXITSTATUS(status));
    }
    fail_job(run, s->job, reason);
}

static bool buried(struct run *run, const struct decode_death *death, struct tl_err *err)
{
    struct decode_slot *s = &run->pool->slots[death->slot];
    if (!listen_to(run, death->slot, err)) return false; /* it may have answered before */
    if (s->socket >= 0) close(s->socket);
    s->socket = -1;
    if (death->start_failed)
        return tl_err_set(err, TL_FAIL, "cannot start a decoder: %s", strerror(death->start_failed));
    if (WIFEXITED(death->status) && WEXITSTATUS(death->status) == DECODE_EXIT_LIMITS)
        return tl_err_set(err, TL_FAIL, "the system does not let a decoder limit itself");
    if (!s->is_busy) return true;
    if (!s->is_late && !s->is_second) {
        s->is_second = true;
        return send_job(run, death->slot, s->job, err);
    }
    s->is_busy = false;
    tell_death(run, s, death->status);
    return true;
}

static bool bury(struct run *run, struct tl_err *err)
{
    struct decode_death death;
    struct tl_err why = {0};
    while (decode_slot_death(run->pool, MSG_DONTWAIT, &death, &why)) {
        if (!buried(run, &death, err)) return false;
    }
    return why.code == TL_OK || tl_err_set(err, why.code, "%s", why.text);
}

/* Ends those that have used up their time. A wait that took far longer than it was to (the process was
 * stopped, the machine is overloaded) is not held against the picture. */
static bool count_time(struct run *run, double waited_s, struct tl_err *err)
{
    const double most = 2e-3 * MOST_WAIT_MS;
    for (int slot = 0; slot < run->pool->plan.params.n_workers; slot++) {
        struct decode_slot *s = &run->pool->slots[slot];
        if (!s->is_busy || s->is_late) continue;
        s->spent_s += waited_s < most ? waited_s : most;
        if (s->spent_s < s->most_s) continue;
        s->is_late = true;
        if (!decode_slot_kill(run->pool, slot, err)) return false;
    }
    return true;
}

static int wait_ms(const struct run *run)
{
    double least = 1e-3 * MOST_WAIT_MS;
    for (int slot = 0; slot < run->pool->plan.params.n_workers; slot++) {
        const struct decode_slot *s = &run->pool->slots[slot];
        double left = s->most_s - s->spent_s;
        if (s->is_busy && !s->is_late && left < least) least = left;
    }
    return least > 0 ? (int)(1e3 * least) + 1 : 0;
}

static bool await(struct run *run, struct tl_err *err)
{
    struct tl_decode_pool *pool = run->pool;
    struct pollfd on[1 + DECODE_MOST_WORKERS];
    for (int i = 0; i < pool->plan.params.n_workers; i++) {
        const struct decode_slot *s = &pool->slots[i];
        bool listens = s->is_busy && !s->is_silent && !s->is_late;
        on[i] = (struct pollfd){.fd = listens ? s->socket : -1, .events = POLLIN};
    }
    nfds_t n = (nfds_t)pool->plan.params.n_workers;
    on[n++] = (struct pollfd){.fd = pool->control, .events = POLLIN};
    double start = tl_clock_s();
    if (poll(on, n, wait_ms(run)) < 0 && errno != EINTR)
        return tl_err_set(err, TL_FAIL, "cannot wait for decoders: %s", strerror(errno));
    double waited = tl_clock_s() - start;
    for (int slot = 0; slot < pool->plan.params.n_workers; slot++) {
        if (!listen_to(run, slot, err)) return false;
    }
    return bury(run, err) && count_time(run, waited, err);
}

/* False where the taker has had enough. */
static bool give(struct run *run)
{
    struct result *result = result_of(run, run->next_take);
    bool is_good = result->err.code == TL_OK, more;
    const struct tl_err *why = is_good ? NULL : &result->err;
    if (run->sounds) {
        more = run->take_sound(run->user, run->next_take, is_good ? &result->sound : NULL, why);
    } else {
        more = run->take_image(run->user, run->next_take, is_good ? &result->image : NULL, why);
    }
    tl_image_finish(&result->image);
    tl_sound_finish(&result->sound);
    *result = (struct result){0};
    run->next_take++;
    return more;
}

/* Whoever still works on a picture that nobody wants is ended, so that the next run finds no late answers. */
static void call_off(struct run *run)
{
    struct tl_err ignored = {0};
    struct tl_decode_pool *pool = run->pool;
    int n_waiting = 0;
    for (int slot = 0; slot < pool->plan.params.n_workers; slot++) {
        struct decode_slot *s = &pool->slots[slot];
        s->is_busy = s->is_busy && s->socket >= 0;
        if (s->is_busy && decode_slot_kill(pool, slot, &ignored)) n_waiting++;
    }
    struct decode_death death;
    while (n_waiting > 0 && decode_slot_death(pool, 0, &death, &ignored)) {
        struct decode_slot *s = &pool->slots[death.slot];
        n_waiting -= s->is_busy;
        s->is_busy = false;
        if (s->socket >= 0) close(s->socket);
        s->socket = -1;
    }
    for (size_t i = 0; i < run->n_ring; i++) {
        tl_image_finish(&run->ring[i].image);
        tl_sound_finish(&run->ring[i].sound);
    }
}

static bool work_off(struct run *run, struct tl_err *err)
{
    const char *what = run->sounds ? "decoding sounds" : "decoding pictures";
    run->n_ring = 2 * (size_t)run->pool->plan.params.n_workers;
    run->ring = calloc(run->n_ring, sizeof *run->ring);
    if (!run->ring) return tl_err_set(err, TL_FAIL, "out of memory");
    bool ok = true, more = true;
    while (ok && more && run->next_take < run->n) {
        ok = tl_interrupt_check(what, err) && hand_out(run, err);
        if (!ok) break;
        if (result_of(run, run->next_take)->is_done) {
            more = give(run);
        } else {
            ok = await(run, err);
        }
    }
    call_off(run);
    free(run->ring);
    return ok;
}

bool tl_decode_pool_run(struct tl_decode_pool *pool, const struct tl_decode_job *jobs, size_t n,
                        tl_decode_take *take, void *user, struct tl_err *err)
{
    struct run run = {.pool = pool, .jobs = jobs, .n = n, .take_image = take, .user = user};
    return work_off(&run, err);
}

bool tl_decode_pool_run_sounds(struct tl_decode_pool *pool, const char *const *paths, size_t n,
                               tl_decode_take_sound *take, void *user, struct tl_err *err)
{
    struct run run = {.pool = pool, .sounds = paths, .n = n, .take_sound = take, .user = user};
    if (pool->plan.params.most_samples == 0)
        return tl_err_set(err, TL_FAIL, "these decoders were opened for pictures only");
    return n == 0 || work_off(&run, err);
}
