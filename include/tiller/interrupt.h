/* Ctrl-C, kill, a terminal that is closed: the first SIGINT, SIGTERM or SIGHUP asks the running job to stop at the next good moment (it saves
 * and returns TL_INTERRUPTED); a second one ends the process at once, as if nobody had caught it.
 *
 * The program installs the handlers; library code only asks. The flag is one for the process. */
#ifndef TILLER_INTERRUPT_H
#define TILLER_INTERRUPT_H

#include <stdbool.h>

#include <tiller/err.h>

/* Catches SIGINT, SIGTERM and SIGHUP. Signals that are ignored already (nohup, a background job) stay ignored. */
void tl_interrupt_install(void);

/* Whether the job was asked to stop. Any thread, any time. */
bool tl_interrupted(void);

/* The same as an error: false with TL_INTERRUPTED recorded if the job was asked to stop, else true. `doing`
 * names what stops: "training". */
bool tl_interrupt_check(const char *doing, struct tl_err *err);

/* The signal that asked, or 0: the exit status is 128 + signal. */
int tl_interrupt_signal(void);

/* Asks, as a signal would (a job can be stopped from a program's own thread), and takes it back. */
void tl_interrupt_request(void);
void tl_interrupt_clear(void);

#endif
