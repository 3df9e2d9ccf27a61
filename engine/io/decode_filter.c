/* The system calls that decoding needs; all others fail with EPERM, so that a decoder that was taken over
 * finds no files, no network and no other process. Failing and not killing: a library that asks for something
 * more gets an answer that it must be able to bear anyway. */
#include "io/decode_inner.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined __riscv && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#endif

#if defined ARCHITECTURE && !defined __SANITIZE_ADDRESS__

static const unsigned allowed[] = {
    SYS_recvmsg,      SYS_sendmsg,   SYS_close,      SYS_write,         SYS_brk,
    SYS_mmap,         SYS_munmap,    SYS_mremap,     SYS_mprotect,      SYS_madvise,
    SYS_futex,        SYS_getrandom, SYS_getpid,     SYS_gettid,        SYS_rt_sigprocmask,
    SYS_rt_sigreturn, SYS_exit,      SYS_exit_group, SYS_clock_gettime,
};

enum {
    N_ALLOWED = sizeof allowed / sizeof *allowed,
    HEAD = 4,
    OWN = 5,
    N_STEPS = HEAD + 2 * N_ALLOWED + OWN
};

#define LOAD(field)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define IF_EQUAL(v)  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (v), 0, 1) /* else passes over one step */
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, (what))

bool decode_filter_calls(void)
{
    struct sock_filter steps[N_STEPS] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        ANSWER(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
    };
    size_t n = HEAD;
    for (size_t i = 0; i < N_ALLOWED; i++) {
        steps[n++] = (struct sock_filter)IF_EQUAL(allowed[i]);
        steps[n++] = (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW);
    }
    /* abort() and raise(): signals to itself. The word's place in its 64 bits is that of little endian, as
     * all architectures above are. */
    const struct sock_filter own[OWN] = {
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 0, 3),
        LOAD(args[0]),
        IF_EQUAL((uint32_t)getpid()),
        ANSWER(SECCOMP_RET_ALLOW),
        ANSWER(SECCOMP_RET_ERRNO | EPERM),
    };
    for (int i = 0; i < OWN; i++) steps[n++] = own[i];
    struct sock_fprog program = {.len = (unsigned short)n, .filter = steps};
    /* EINVAL: a kernel without it. */
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0 || errno == EINVAL;
}

#else

bool decode_filter_calls(void)
{
    return true;
}

#endif
