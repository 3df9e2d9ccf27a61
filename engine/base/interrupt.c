#include <tiller/interrupt.h>

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
enum { N_NUMBERS = sizeof numbers / sizeof *numbers };

static atomic_int asked;                           /* lock-free, so that a handler may touch it */
static volatile sig_atomic_t is_caught[N_NUMBERS]; /* not those that were ignored already */

/* The second signal ends the process whichever of them it is, so all get their default back. */
static void on_signal(int number)
{
    atomic_store(&asked, number);
    for (int i = 0; i < N_NUMBERS; i++) {
        if (is_caught[i]) signal(numbers[i], SIG_DFL);
    }
}

void tl_interrupt_install(void)
{
    for (int i = 0; i < N_NUMBERS; i++) {
        struct sigaction old, now;
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN) continue;
        memset(&now, 0, sizeof now);
        now.sa_handler = on_signal;
        now.sa_flags = SA_RESTART;
        sigemptyset(&now.sa_mask);
        is_caught[i] = 1;
        sigaction(numbers[i], &now, NULL);
    }
}

bool tl_interrupted(void)
{
    return atomic_load(&asked) != 0;
}

bool tl_interrupt_check(const char *doing, struct tl_err *err)
{
    return !tl_interrupted() || tl_err_set(err, TL_INTERRUPTED, "%s was interrupted", doing);
}

int tl_interrupt_signal(void)
{
    return atomic_load(&asked);
}

void tl_interrupt_request(void)
{
    atomic_store(&asked, SIGINT);
}

void tl_interrupt_clear(void)
{
    atomic_store(&asked, 0);
}
