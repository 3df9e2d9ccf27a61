/* The order of work: pictures, or sounds, go out to whichever worker is free and come back through a ring
 * that gives them to the taker in the order of the jobs. */
#include "io/decode_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tiller/interrupt.h>

#include "base/clock.h"
#include "io/decode_run.h"

enum { MOST_WAIT_MS = 250 };

struct decode_result *decode_result_of(struct decode_run *run, size_t job)
{
    return &run->ring[job % run->n_ring];
}

static const char *path_of(const struct decode_run *run, size_t job)
{
    return run->sounds ? run->sounds[job] : run->jobs[job].path;
}

void decode_fail_job(struct decode_run *run, size_t job, const char *reason)
{
    struct decode_result *result = decode_result_of(run, job);
    tl_err_set(&result->err, TL_BAD_INPUT, "%s: %s", path_of(run, job), reason);
    result->is_done = true;
}

/* Not blocking on a pipe without a writer. */
static int open_file(struct decode_run *run, size_t job, int64_t *out_bytes)
{
    const char *path = path_of(run, job);
    const int64_t most = tl_decode_pool_most_bytes(run->sounds);
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
    decode_fail_job(run, job, reason);
    if (fd >= 0) close(fd);
    return -1;
}

/* A worker that is gone already is no error here: its death is on the way. */
static bool send_job(struct decode_run *run, int slot, size_t job, struct tl_err *err)
{
    struct decode_slot *s = &run->pool->slots[slot];
    const size_t most = run->pool->plan.params.most_samples;
    struct decode_order order = {.kind = DECODE_SOUND, .most_samples = (int64_t)most};
    if (run->sounds && most > DECODE_SMALL_SAMPLES && !decode_result_of(run, job)->is_large) {
        order.most_samples = DECODE_SMALL_SAMPLES;
    } else if (!run->sounds) {
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

/* Whether one more may be decoded: what is held, and what those at work may yet add, keeps to its bound. The
 * next to be taken always may, or nothing would ever go on. */
static bool has_room(const struct decode_run *run)
{
    const struct tl_decode_params *params = &run->pool->plan.params;
    size_t each = params->most_samples < DECODE_SMALL_SAMPLES ? params->most_samples : DECODE_SMALL_SAMPLES;
    size_t coming = run->sounds ? each * sizeof(float) : 0;
    for (int slot = 0; slot < params->n_workers; slot++)
        if (run->pool->slots[slot].is_busy && run->sounds) coming += each * sizeof(float);
    return run->next_out == run->next_take || run->held + coming <= params->most_held;
}

/* Large sounds one by one, each when it is the next to be taken. */
static bool hand_out(struct decode_run *run, struct tl_err *err)
{
    for (int slot = 0; slot < run->pool->plan.params.n_workers; slot++) {
        struct decode_slot *s = &run->pool->slots[slot];
        while (!s->is_busy) {
            struct decode_result *next = decode_result_of(run, run->next_take);
            size_t job = run->next_take;
            if (next->is_large && !next->is_out && !next->is_done) {
                next->is_out = true;
            } else if (run->next_out < run->n && run->next_out - run->next_take < run->n_ring &&
                       has_room(run)) {
                job = run->next_out++;
            } else {
                break;
            }
            s->is_second = false;
            if (!send_job(run, slot, job, err)) return false;
        }
    }
    return true;
}

static void refuse(struct decode_run *run, size_t job, struct decode_reply *reply)
{
    struct decode_result *result = decode_result_of(run, job);
    reply->text[sizeof reply->text - 1] = 0;
    for (char *p = reply->text; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    }
    if (reply->is_memory) {
        char reason[80];
        snprintf(reason, sizeof reason, "decoding needs more memory than %zu MiB",
                 run->pool->plan.params.most_memory >> 20);
        decode_fail_job(run, job, reason);
    } else {
        tl_err_set(&result->err, TL_BAD_INPUT, "%s", reply->text);
        result->is_done = true;
    }
}

static bool answered(struct decode_run *run, int slot, struct decode_reply *reply, struct tl_err *err)
{
    struct decode_slot *s = &run->pool->slots[slot];
    struct decode_result *result = decode_result_of(run, s->job);
    bool is_honest;
    if (!reply->is_ok && reply->is_memory && !s->is_fresh && !s->is_second)
        return decode_slot_kill(run->pool, slot, err); /* and again in a fresh one, on its death */
    s->is_busy = s->is_fresh = false;
    if (!reply->is_ok) {
        if (run->sounds) decode_give_back(run, slot);
        if (reply->is_large && run->sounds && !result->is_large) {
            result->is_large = true;
        } else {
            refuse(run, s->job, reply);
        }
        return true;
    }
    if (!decode_take_answer(run, slot, reply, &is_honest, err)) return false;
    if (!is_honest) {
        decode_fail_job(run, s->job, "the decoder answered nonsense");
        return decode_slot_kill(run->pool, slot, err);
    }
    result->is_done = true;
    run->held += result->n_bytes;
    return true;
}

static bool listen_to(struct decode_run *run, int slot, struct tl_err *err)
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

static void tell_death(struct decode_run *run, const struct decode_slot *s, int status)
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
    decode_fail_job(run, s->job, reason);
}

static bool buried(struct decode_run *run, const struct decode_death *death, struct tl_err *err)
{
    struct decode_slot *s = &run->pool->slots[death->slot];
    if (!listen_to(run, death->slot, err)) return false; /* it may have answered before */
    if (s->socket >= 0) close(s->socket);
    s->socket = -1;
    if (run->sounds) decode_give_back(run, death->slot);
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

static bool bury(struct decode_run *run, struct tl_err *err)
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
static bool count_time(struct decode_run *run, double waited_s, struct tl_err *err)
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

static int wait_ms(const struct decode_run *run)
{
    double least = 1e-3 * MOST_WAIT_MS;
    for (int slot = 0; slot < run->pool->plan.params.n_workers; slot++) {
        const struct decode_slot *s = &run->pool->slots[slot];
        double left = s->most_s - s->spent_s;
        if (s->is_busy && !s->is_late && left < least) least = left;
    }
    return least > 0 ? (int)(1e3 * least) + 1 : 0;
}

static bool await(struct decode_run *run, struct tl_err *err)
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
static bool give(struct decode_run *run)
{
    struct decode_result *result = decode_result_of(run, run->next_take);
    bool is_good = result->err.code == TL_OK, more;
    const struct tl_err *why = is_good ? NULL : &result->err;
    if (run->sounds) {
        more = run->take_sound(run->user, run->next_take, is_good ? &result->sound : NULL, why);
    } else {
        more = run->take_image(run->user, run->next_take, is_good ? &result->image : NULL, why);
    }
    tl_image_finish(&result->image);
    tl_sound_finish(&result->sound);
    run->held -= result->n_bytes;
    *result = (struct decode_result){0};
    run->next_take++;
    return more;
}

/* Whoever still works on a picture that nobody wants is ended, so that the next run finds no late answers. */
static void call_off(struct decode_run *run)
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
        if (run->sounds) decode_give_back(run, death.slot);
    }
    for (size_t i = 0; i < run->n_ring; i++) {
        tl_image_finish(&run->ring[i].image);
        tl_sound_finish(&run->ring[i].sound);
    }
}

static bool work_off(struct decode_run *run, struct tl_err *err)
{
    const char *what = run->sounds ? "decoding sounds" : "decoding pictures";
    run->n_ring = 2 * (size_t)run->pool->plan.params.n_workers;
    run->ring = calloc(run->n_ring, sizeof *run->ring);
    if (!run->ring) return tl_err_set(err, TL_FAIL, "out of memory");
    bool ok = true, more = true;
    while (ok && more && run->next_take < run->n) {
        ok = tl_interrupt_check(what, err) && hand_out(run, err);
        if (!ok) break;
        if (decode_result_of(run, run->next_take)->is_done) {
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
    struct decode_run run = {.pool = pool, .jobs = jobs, .n = n, .take_image = take, .user = user};
    return work_off(&run, err);
}

bool tl_decode_pool_run_sounds(struct tl_decode_pool *pool, const char *const *paths, size_t n,
                               tl_decode_take_sound *take, void *user, struct tl_err *err)
{
    struct decode_run run = {.pool = pool, .sounds = paths, .n = n, .take_sound = take, .user = user};
    if (pool->plan.params.most_samples == 0)
        return tl_err_set(err, TL_FAIL, "these decoders were opened for pictures only");
    return n == 0 || work_off(&run, err);
}
