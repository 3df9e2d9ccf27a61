#include "rewards/exec_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "io/file.h"
#include "io/utf8.h"

bool tl_exec_log_open(struct tl_exec_log *log, const char *path, struct tl_err *err)
{
    struct tl_str name = {0};
    const char *temp = getenv("TMPDIR");
    *log = (struct tl_exec_log){.fd = -1, .is_ours = !path, .stays = path != NULL};
    if (path)
        tl_str_append(&name, path);
    else
        tl_str_printf(&name, "%s/tiller-reward-%ld-XXXXXX.log", temp && *temp ? temp : "/tmp",
                      (long)getpid());
    if (!name.failed && path) log->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (!name.failed && !path) log->fd = mkostemps(name.data, 4, O_APPEND | O_CLOEXEC);
    int why = errno;
    log->path = name.data; /* moved */
    log->opened = log->fd >= 0;
    return log->opened || tl_err_set(err, TL_OUTPUT, "no log for what the program says: %s: %s%s",
                                     log->path ? log->path : "", strerror(why), tl_file_advice(why));
}

void tl_exec_log_close(struct tl_exec_log *log)
{
    if (log->opened) close(log->fd);
    if (log->opened && !log->stays) unlink(log->path);
    free(log->path);
    *log = (struct tl_exec_log){0};
}

void tl_exec_log_copy(char *out, size_t size, const char *text, size_t n)
{
    /* A character has four bytes at most: what is not whole further in front was broken before. */
    if (n >= size) {
        size_t whole = tl_utf8_prefix(text, size - 1);
        n = whole + 4 > size - 1 ? whole : size - 1;
    }
    memcpy(out, text, n);
    out[n] = 0;
}

/* "" where no line says anything. */
static void last_words(int log, char *out, size_t size)
{
    char text[4096];
    struct stat st;
    *out = 0;
    if (fstat(log, &st) != 0) return;
    off_t at = st.st_size > (off_t)sizeof text ? st.st_size - (off_t)sizeof text : 0;
    ssize_t end = pread(log, text, sizeof text, at), start;
    if (end <= 0) return;
    while (end > 0 && (!text[end - 1] || strchr(" \t\r\n", text[end - 1]))) end--;
    for (start = end; start > 0 && text[start - 1] != '\n';) start--;
    while (start == 0 && at > 0 && start < end && (text[start] & 0xc0) == 0x80) start++; /* cut through */
    tl_exec_log_copy(out, size, text + start, (size_t)(end - start));
}

void tl_exec_log_tell(struct tl_exec_log *log, const char *did, struct tl_err *out)
{
    char words[240];
    last_words(log->fd, words, sizeof words);
    if (!*words) {
        tl_err_set(out, TL_PLUGIN, "the program %.300s; it said nothing on standard error", did);
        return;
    }
    log->stays = true;
    tl_err_set(out, TL_PLUGIN, "the program %.200s; its last words on standard error: '%s' (all of them: %s)",
               did, words, log->path);
}
