#include "io/decode_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

bool decode_keep_only(int keep)
{
    enum { AT = 3, ABOVE = 64 };
    int high = fcntl(keep, F_DUPFD, ABOVE); /* out of the way of the numbers below */
    if (high < 0 || dup2(high, AT) != AT) return false;
#ifdef SYS_close_range
    if (syscall(SYS_close_range, AT + 1u, ~0u, 0) == 0) return true;
#endif
    long most = sysconf(_SC_OPEN_MAX);
    for (int fd = AT + 1; fd < (most < 0 ? 65536 : (int)most); fd++) close(fd);
    return true;
}

union control {
    struct cmsghdr head; /* aligns */
    char bytes[CMSG_SPACE(sizeof(int))];
};

bool decode_send(int socket, const void *data, size_t n, int fd)
{
    struct iovec part = {(void *)data, n};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    if (fd >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(head), &fd, sizeof fd);
    }
    ssize_t sent;
    do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)n;
}

ssize_t decode_receive(int socket, void *data, size_t n, int flags, int *out_fd)
{
    struct iovec part = {data, n};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    if (out_fd) {
        *out_fd = -1;
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
    }
    ssize_t got;
    do got = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 || !out_fd) return got;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
        head->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(out_fd, CMSG_DATA(head), sizeof *out_fd);
    }
    return got;
}
