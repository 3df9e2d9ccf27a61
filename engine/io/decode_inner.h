/* What the caller's process, the process that keeps the workers, and the workers say to each other.
 *
 *   caller --START slot + socket, KILL slot--> keeper --fork--> worker
 *   caller <-------------death-------------- keeper
 *   caller <---order + file, reply----------------------------> worker
 *
 * All sockets keep message boundaries (SOCK_SEQPACKET). Pixels and samples go through a mapping that the
 * worker shares with the caller. The caller trusts nothing that a worker says. */
#ifndef TL_IO_DECODE_INNER_H
#define TL_IO_DECODE_INNER_H

#include <stdint.h>
#include <sys/types.h>

#include "io/decode_pool.h"

enum { DECODE_MOST_WORKERS = 16, DECODE_MOST_PATH = 4096, DECODE_MOST_FILE = 256 << 20 };

/* Exit status of a worker that could not put its limits in force. */
enum { DECODE_EXIT_LIMITS = 71 };

/* Beside enum tl_decode_kind, in orders only. */
enum { DECODE_SOUND = 16 };

struct decode_order {
    int32_t kind, width, height;
    int64_t n_bytes;             /* of the file */
    int64_t most_samples;        /* of a sound */
    char path[DECODE_MOST_PATH]; /* for messages and TGA's extension; with its NUL */
};

struct decode_reply {
    int32_t is_ok, is_memory; /* is_memory: it failed for want of memory */
    int32_t is_large;         /* a sound that may be decoded with more than order.most_samples */
    int32_t width, height;    /* of a picture */
    int32_t rate, channels;   /* of a sound */
    int64_t frames;
    char text[sizeof((struct tl_err){0}.text)];
};

enum decode_verb { DECODE_START, DECODE_KILL };
struct decode_request {
    int32_t verb, slot;
};

struct decode_death {
    int32_t slot;
    int32_t status;       /* as waitpid gives it */
    int32_t start_failed; /* errno of the fork that made no worker, else 0 */
};

/* Everything that the children need, complete before the first fork. */
struct decode_plan {
    struct tl_decode_params params;    /* nothing is 0 any more */
    void *shared[DECODE_MOST_WORKERS]; /* pixels or samples */
    size_t shared_bytes;               /* of each */
};

_Noreturn void decode_keeper(const struct decode_plan *plan, int control);
_Noreturn void decode_worker(const struct decode_plan *plan, int slot, int socket, pid_t keeper);

/* From here on this process may call only what decoding needs. True too where the system cannot do that. */
bool decode_filter_calls(void);

/* Puts `keep` at descriptor 3 and closes all above; async-signal-safe. */
bool decode_keep_only(int keep);

/* One message, with a descriptor where fd >= 0. */
bool decode_send(int socket, const void *data, size_t n, int fd);
/* Length of the message, 0 at the end, -1 with errno. *out_fd is -1 where none came; out_fd NULL: none is
 * wanted. */
ssize_t decode_receive(int socket, void *data, size_t n, int flags, int *out_fd);

/* Width and height from the first bytes of any format that image.h reads. False where they cannot be told
 * this way; a decoder has the last word. */
bool decode_size(const uint8_t *data, size_t n, const char *path, uint32_t *out_width, uint32_t *out_height);

#endif
