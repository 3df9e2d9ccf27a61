/* A program and the lines that go to and fro: bytes are moved without waiting, so that one thread can hold
 * several links. What is wrong with the program's side is an error of TL_PLUGIN whose text follows "the
 * program ...". */
#ifndef TL_REWARDS_EXEC_LINK_H
#define TL_REWARDS_EXEC_LINK_H

#include <poll.h>

#include "base/str.h"
#include "rewards/exec_log.h"
#include "rewards/exec_process.h"
#include "rewards/exec_spec.h"

/* A zeroed struct is a closed one. */
struct tl_exec_link {
    struct tl_exec_process process;
    struct tl_str out; /* what is to be written */
    size_t sent;
    char *in; /* [TL_EXEC_MOST_LINE + 1] of what was read; owns */
    size_t n_in, taken;
    bool is_over; /* its standard output has ended */
};

/* folder: removed should this process die. */
bool tl_exec_link_start(struct tl_exec_link *link, const struct tl_exec_spec *spec,
                        const struct tl_exec_log *log, const char *folder, struct tl_err *err);
/* Ends the program (tl_exec_process_end) and closes the link; or in steps that do not wait. */
void tl_exec_link_end(struct tl_exec_link *link, double seconds);
void tl_exec_link_end_begin(struct tl_exec_link *link, double seconds);
bool tl_exec_link_end_step(struct tl_exec_link *link); /* true once it is closed */
bool tl_exec_link_is_open(const struct tl_exec_link *link);

/* Puts lines behind what is to be written. */
bool tl_exec_link_send(struct tl_exec_link *link, const char *text, size_t n, struct tl_err *err);

/* What to wait for: three descriptors, -1 where there is nothing. Of a link that ends only its end counts. */
enum { TL_EXEC_LINK_FDS = 3 };
void tl_exec_link_fds(const struct tl_exec_link *link, struct pollfd out[TL_EXEC_LINK_FDS]);
/* Moves what can be moved. Fails where a line is too long, the program has closed a stream or has ended;
 * whole lines that came before can still be taken. */
bool tl_exec_link_move(struct tl_exec_link *link, struct tl_err *err);
/* The next whole line without its newline, NUL-terminated, valid until the next move; NULL: none. */
const char *tl_exec_link_take(struct tl_exec_link *link, size_t *out_n);

#endif
