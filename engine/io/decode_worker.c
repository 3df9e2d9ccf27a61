/* One worker: takes an order and an open file, decodes, leaves pixels or samples in the mapping and answers.
 */
#include "io/decode_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/checked.h"
#include "io/resize_cover.h"

enum { SOCKET = 3 };

static bool limit(unsigned what, size_t most)
{
    struct rlimit now;
    if (getrlimit(what, &now) != 0) return false;
    rlim_t value = now.rlim_max < most ? now.rlim_max : most;
    return setrlimit(what, &(struct rlimit){value, value}) == 0;
}

/* Private writable memory that came with the fork, in bytes: the kernel counts it too. Pages of
 * /proc/self/statm: size resident shared text lib data. */
static bool inherited_data(size_t *out)
{
    char text[256];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (n <= 0) return false;
    text[n] = 0;
    char *at = text;
    for (int field = 0; field < 5; field++) strtoull(at, &at, 10);
    return tl_checked_mul((size_t)strtoull(at, NULL, 10), (size_t)sysconf(_SC_PAGESIZE), out);
}

/* The limit on data and not on address space: shared mappings and a sanitizer's shadow take much of that. */
static bool lower_limits(const struct tl_decode_params *params)
{
    size_t data;
    return inherited_data(&data) && tl_checked_add(data, params->most_memory, &data) &&
           limit(RLIMIT_DATA, data) && limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) &&
           limit(RLIMIT_NOFILE, 8) && limit(RLIMIT_NPROC, 0) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

static bool too_large(size_t pixels, const struct decode_plan *plan, const char *path, struct tl_err *err)
{
    if (pixels <= plan->params.most_pixels) return false;
    tl_err_set(err, TL_BAD_INPUT, "%s: %zu pixels, more than the %zu allowed here", path, pixels,
               plan->params.most_pixels);
    return true;
}

/* The picture, or only its size with px NULL. */
static bool decode(const struct decode_plan *plan, const struct decode_order *order, const uint8_t *data,
                   size_t n, struct tl_image *out, struct tl_err *err)
{
    uint32_t width, height;
    if (decode_size(data, n, order->path, &width, &height)) {
        if (too_large((size_t)width * height, plan, order->path, err)) return false;
        if (order->kind == TL_DECODE_SIZE) {
            *out = (struct tl_image){.width = (int)width, .height = (int)height, .channels = 3};
            return true;
        }
    }
    struct tl_image file = {0};
    if (!tl_image_decode(data, n, order->path, &file, err)) return false;
    bool fits = order->kind == TL_DECODE_PIXELS && (order->width != 0 || order->height != 0);
    bool ok = !too_large((size_t)file.width * (size_t)file.height, plan, order->path, err) &&
              (!fits || tl_resize_cover(&file, order->width, order->height, out, err) ||
               tl_err_add(err, "%s", order->path)) &&
              (!fits || !too_large((size_t)order->width * (size_t)order->height, plan, order->path, err));
    if (ok && !fits) {
        *out = file;
        return true;
    }
    tl_image_finish(&file);
    return ok;
}

static bool work_on_picture(const struct decode_plan *plan, const struct decode_order *order,
                            const uint8_t *data, size_t n, void *shared, struct decode_reply *reply,
                            struct tl_err *err)
{
    struct tl_image image = {0};
    bool ok = decode(plan, order, data, n, &image, err);
    reply->width = image.width;
    reply->height = image.height;
    if (image.px) memcpy(shared, image.px, 3 * (size_t)image.width * (size_t)image.height);
    tl_image_finish(&image);
    return ok;
}

static bool work_on_sound(const struct decode_plan *plan, const struct decode_order *order,
                          const uint8_t *data, size_t n, void *shared, struct decode_reply *reply,
                          struct tl_err *err)
{
    struct tl_sound sound;
    size_t most = plan->params.most_samples;
    if (order->most_samples >= 0 && (size_t)order->most_samples < most) most = (size_t)order->most_samples;
    bool ok = tl_sound_decode_into(data, n, order->path, shared, most, &sound, err);
    reply->is_large = !ok && sound.frames > 0 && most < plan->params.most_samples;
    reply->rate = sound.rate;
    reply->channels = sound.channels;
    reply->frames = (int64_t)sound.frames;
    return ok;
}

static void work(const struct decode_plan *plan, const struct decode_order *order, int fd, void *shared,
                 struct decode_reply *reply)
{
    struct tl_err err = {0};
    void *data = NULL;
    size_t n = (size_t)order->n_bytes;
    bool ok = true;
    errno = 0; /* malloc sets it and nothing puts it back, whatever a library makes of the failure */
    if (n > 0) {
        /* A file that is cut while it is read ends the worker by SIGBUS, and only the worker. */
        data = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            ok = tl_err_set(&err, TL_BAD_INPUT, "%s: cannot read: %s", order->path, strerror(errno));
            data = NULL;
        }
    }
    ok = ok && (order->kind == DECODE_SOUND ? work_on_sound : work_on_picture)(
                   plan, order, data ? data : (const void *)"", n, shared, reply, &err);
    reply->is_ok = ok;
    reply->is_memory = !ok && errno == ENOMEM;
    memcpy(reply->text, err.text, sizeof reply->text);
    if (data) munmap(data, n);
}

void decode_worker(const struct decode_plan *plan, int slot, int socket, pid_t keeper)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != keeper || !decode_keep_only(socket) ||
        !lower_limits(&plan->params))
        _exit(DECODE_EXIT_LIMITS);
    for (int i = 0; i < plan->params.n_workers; i++) {
        if (i != slot) munmap(plan->shared[i], plan->shared_bytes);
    }
    for (bool is_filtered = false;;) {
        static struct decode_order order;
        static struct decode_reply reply;
        int fd;
        if (decode_receive(SOCKET, &order, sizeof order, 0, &fd) <= 0 || fd < 0) _exit(0);
        order.path[DECODE_MOST_PATH - 1] = 0;
        if (plan->params.before) plan->params.before(plan->params.before_user, order.path);
        if (!is_filtered && !decode_filter_calls()) _exit(DECODE_EXIT_LIMITS);
        is_filtered = true;
        memset(&reply, 0, sizeof reply);
        work(plan, &order, fd, plan->shared[slot], &reply);
        close(fd);
        if (!decode_send(SOCKET, &reply, sizeof reply, -1)) _exit(0);
    }
}
