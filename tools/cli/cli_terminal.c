#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <tiller/log.h>
#include <tiller/progress.h>

#include "cli.h"

static bool is_quiet, is_verbose, is_json;
static bool has_line; /* a progress line stands on the terminal, without its end */
static bool reader_gone;

void cli_progress_end(void)
{
    if (has_line) fputs("\r\033[K", stderr);
    has_line = false;
}

/* One line, without what a terminal would obey. */
static void put_line(const char *text, FILE *to)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool c1 = *p == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0; /* controls that UTF-8 can hide */
        if (*p == '\n' || *p == '\t')
            fputc(' ', to);
        else if (*p < 0x20 || *p == 0x7F || c1)
            fprintf(to, "\\x%02x", c1 ? *++p : *p);
        else
            fputc(*p, to);
    }
    fputc('\n', to);
}

/* What is asked for goes to standard output, as long as that holds no JSON. */
static void note(const char *text)
{
    FILE *to = is_json ? stderr : stdout;
    cli_progress_end();
    put_line(text, to);
    fflush(to); /* a failure comes out when the rest is printed */
}

void cli_complain(const char *kind, const char *text)
{
    bool colour = cli_terminal_colours(STDERR_FILENO);
    cli_progress_end();
    fputs(colour ? "\033[1mtiller:\033[0m " : "tiller: ", stderr);
    fputs(kind, stderr);
    put_line(text, stderr);
}

static void on_log(void *user, enum tl_log_level level, const char *text)
{
    (void)user;
    if (level == TL_LOG_ERROR)
        cli_complain("", text);
    else if (level == TL_LOG_WARN)
        cli_complain("warning: ", text);
    else if (level == TL_LOG_NOTE && !is_quiet)
        note(text);
    else if (level != TL_LOG_NOTE && is_verbose)
        cli_complain("", text);
}

void cli_terminal_start(void)
{
    /* a file that is opened later must not become standard output */
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0)
            break;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is then an error that is told */
    tl_log_set(on_log, NULL);
}

void cli_terminal_set(bool quiet, bool verbose, bool json)
{
    is_quiet = quiet;
    is_json = json;
    is_verbose = verbose;
}

bool cli_terminal_colours(int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return !(no && *no) && !(term && strcmp(term, "dumb") == 0) && isatty(fd);
}

static bool after_write(bool ok, struct tl_err *err)
{
    if (ok) return true;
    if (errno == EPIPE) {
        reader_gone = true;
        return true;
    }
    return tl_err_set(err, TL_OUTPUT, "standard output: %s", strerror(errno));
}

bool cli_print(const char *text, struct tl_err *err)
{
    return reader_gone || after_write(fputs(text, stdout) >= 0, err);
}

bool cli_print_owned(char *text, struct tl_err *err)
{
    bool ok = text && cli_print(text, err);
    free(text);
    return ok;
}

bool cli_flush(struct tl_err *err)
{
    return reader_gone || after_write(fflush(stdout) == 0, err);
}

void cli_progress(void *user, const struct tl_progress *progress)
{
    (void)user;
    char line[512];
    struct winsize size = {0};
    if (is_quiet || !isatty(STDERR_FILENO)) return;
    size_t room = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 8 ? size.ws_col : 80;
    if (room > sizeof line) room = sizeof line;
    tl_progress_line(progress, line, room); /* one column stays free, so that the terminal does not wrap */
    fprintf(stderr, "\r%s\033[K", line);
    has_line = true;
}
