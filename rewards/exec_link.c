#include "rewards/exec_link.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rewards/exec_protocol.h"

bool tl_exec_link_start(struct tl_exec_link *link, const struct tl_exec_spec *spec,
                        const struct tl_exec_log *log, const char *folder, struct tl_err *err)
{
    *link = (struct tl_exec_link){.in = malloc(TL_EXEC_MOST_LINE + 1)};
    if (!link->in) return tl_err_set(err, TL_FAIL, "out of memory");
    const struct tl_exec_process_params params = {.program = spec->program,
                                                  .argv = spec->words,
                                                  .log = log->fd,
                                                  .log_path = log->is_ours ? log->path : NULL,
                                                  .memory = spec->memory,
                                                  .folder = folder};
    if (tl_exec_process_start(&link->process, &params, err)) return true;
    tl_exec_link_end(link, 0);
    return false;
}

static void finish(struct tl_exec_link *link)
{
    tl_str_finish(&link->out);
    free(link->in);
    *link = (struct tl_exec_link){0};
}

void tl_exec_link_end(struct tl_exec_link *link, double seconds)
{
    tl_exec_process_end(&link->process, seconds);
    finish(link);
}

void tl_exec_link_end_begin(struct tl_exec_link *link, double seconds)
{
    tl_exec_process_end_begin(&link->process, seconds);
}

bool tl_exec_link_end_step(struct tl_exec_link *link)
{
    if (!tl_exec_process_end_step(&link->process)) return false;
    finish(link);
    return true;
}

bool tl_exec_link_is_open(const struct tl_exec_link *link)
{
    return link->in != NULL;
}

bool tl_exec_link_send(struct tl_exec_link *link, const char *text, size_t n, struct tl_err *err)
{
    if (link->sent == link->out.len) {
        tl_str_clear(&link->out);
        link->sent = 0;
    }
    tl_str_append_n(&link->out, text, n);
    return !link->out.failed || tl_err_set(err, TL_FAIL, "out of memory");
}

void tl_exec_link_fds(const struct tl_exec_link *link, struct pollfd out[TL_EXEC_LINK_FDS])
{
    const struct tl_exec_process *p = &link->process;
    bool is_open = tl_exec_link_is_open(link), has_more = link->sent < link->out.len,
         talks = is_open && p->ending == TL_EXEC_RUNS;
    out[0] = (struct pollfd){.fd = talks && has_more ? p->in : -1, .events = POLLOUT};
    out[1] = (struct pollfd){.fd = talks && !link->is_over ? p->out : -1, .events = POLLIN};
    out[2] = (struct pollfd){.fd = is_open && !p->has_ended ? p->control : -1, .events = POLLIN};
}

/* A pipe without a reader raises SIGPIPE, which is the caller's business in every other case. */
static ssize_t write_quietly(int fd, const char *bytes, size_t n)
{
    static const struct timespec now = {0};
    sigset_t pipe, pending, old;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &old);
    ssize_t written = write(fd, bytes, n);
    int why = errno;
    if (written < 0 && why == EPIPE && !sigismember(&pending, SIGPIPE)) sigtimedwait(&pipe, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = why;
    return written;
}

static bool move_out(struct tl_exec_link *link, struct tl_err *err)
{
    while (link->sent < link->out.len) {
        ssize_t n = write_quietly(link->process.in, link->out.data + link->sent, link->out.len - link->sent);
        if (n > 0) link->sent += (size_t)n;
        if (n > 0 || (n < 0 && errno == EINTR)) continue;
        if (errno == EAGAIN) return true;
        return tl_err_set(err, TL_PLUGIN, "has closed its standard input");
    }
    return true;
}

static bool move_in(struct tl_exec_link *link, struct tl_err *err)
{
    memmove(link->in, link->in + link->taken, link->n_in - link->taken);
    link->n_in -= link->taken;
    link->taken = 0;
    while (!link->is_over && link->n_in < TL_EXEC_MOST_LINE) {
        ssize_t n = read(link->process.out, link->in + link->n_in, TL_EXEC_MOST_LINE - link->n_in);
        if (n > 0) link->n_in += (size_t)n;
        if (n > 0 || (n < 0 && errno == EINTR)) continue;
        if (n < 0 && errno == EAGAIN) return true;
        link->is_over = true;
    }
    if (link->n_in < TL_EXEC_MOST_LINE || memchr(link->in, '\n', link->n_in)) return true;
    return tl_err_set(err, TL_PLUGIN, "sends a line of more than %d bytes", TL_EXEC_MOST_LINE);
}

bool tl_exec_link_move(struct tl_exec_link *link, struct tl_err *err)
{
    struct tl_err late = {0};
    bool has_ended = tl_exec_process_listen(&link->process); /* before its last words are read */
    bool ok = has_ended || move_out(link, &late);
    if (!move_in(link, err)) return false;
    if (has_ended || link->is_over) {
        char how[120] = "has closed its standard output";
        /* Its end is on the way, as a rule, and says more. */
        if (has_ended || tl_exec_process_wait(&link->process, 0.2))
            tl_exec_process_tell(&link->process, how, sizeof how);
        bool is_torn = link->n_in > link->taken && link->in[link->n_in - 1] != '\n';
        return tl_err_set(err, TL_PLUGIN, "%s%s", how, is_torn ? " in the middle of a line" : "");
    }
    if (!ok && tl_exec_process_wait(&link->process, 0.2)) {
        char how[120];
        tl_exec_process_tell(&link->process, how, sizeof how);
        return tl_err_set(err, TL_PLUGIN, "%s", how);
    }
    return ok || tl_err_set(err, TL_PLUGIN, "%s", late.text);
}

const char *tl_exec_link_take(struct tl_exec_link *link, size_t *out_n)
{
    char *line = link->in + link->taken;
    char *end = memchr(line, '\n', link->n_in - link->taken);
    if (!end) return NULL;
    *end = 0;
    *out_n = (size_t)(end - line);
    link->taken += *out_n + 1;
    return line;
}
