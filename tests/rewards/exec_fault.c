/* A reward that goes wrong on purpose: exec_fault FAULT WHERE [STARTS COUNTER] [MARK].
 *
 * WHERE is hello, batch (in place of the answer to the second request of the first process, to the first one
 * of those that follow), idle (after its first answer) or relapse (in place of the first process's first
 * answer, and of the hello of those behind the first STARTS); the fault shows in the first STARTS processes,
 * which count themselves in the file COUNTER by a byte each, and not in those that follow. MARK makes its
 * processes findable. Else it answers each sample with its width (a set with the sum). What it leaves running
 * would go by itself after a minute. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *fault = "none", *where = "none";
static bool is_due;   /* in this process */
static long n_starts; /* this one counted */
static char line[1 << 20];

static void out(const char *text)
{
    for (size_t n = strlen(text); n;) {
        ssize_t done = write(1, text, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) _exit(3);
        text += done;
        n -= (size_t)done;
    }
}

static bool is(const char *name)
{
    return strcmp(fault, name) == 0;
}

static void hang(void)
{
    for (int i = 0; i < 60; i++) sleep(1);
    _exit(9);
}

/* Forked processes that outlive their parent, some out of its group. */
static void breed(int n)
{
    for (int i = 0; i < n; i++) {
        if (fork() != 0) continue;
        if (i % 2) setsid();
        signal(SIGTERM, SIG_IGN);
        if (i % 3 == 0 && fork() == 0) hang();
        hang();
    }
}

static void flood(int fd, size_t n, bool ends)
{
    static char bytes[1 << 16];
    memset(bytes, 'x', sizeof bytes);
    for (size_t done = 0; done < n; done += sizeof bytes)
        if (write(fd, bytes, sizeof bytes) < 0) break;
    if (ends) dprintf(fd, "\nthe flood is over\n");
}

/* True where a right answer follows all the same. */
static bool go_wrong(const char *right, long id, int n)
{
    char text[256];
    fprintf(stderr, "fault %s\n", fault);
    fflush(stderr);
    if (is("exit")) _exit(3);
    if (is("segv")) raise(SIGSEGV);
    if (is("hang")) hang();
    if (is("slow")) {
        for (; *right; right++) {
            out((const char[]){*right, 0});
            usleep(2000);
        }
        return false;
    }
    if (is("partial")) {
        out("{\"id\":");
        hang();
    }
    if (is("garbage")) out("\x01\xff\xfe{{{]\n");
    if (is("nan")) {
        snprintf(text, sizeof text, "{\"id\":%ld,\"scores\":[NaN", id);
        out(text);
        for (int i = 1; i < n; i++) out(",1");
        out("]}\n");
    }
    if (is("count")) {
        snprintf(text, sizeof text, "{\"id\":%ld,\"scores\":[1,2,3,4,5,6,7,8,9,10,11]}\n", id);
        out(text);
    }
    if (is("order")) {
        snprintf(text, sizeof text, "{\"id\":%ld,\"scores\":[", id);
        out(text);
        for (int i = n; i-- > 0;) {
            snprintf(text, sizeof text, "{\"i\":%d,\"score\":1}%s", i, i ? "," : "]}\n");
            out(text);
        }
    }
    if (is("id") || is("late")) {
        snprintf(text, sizeof text, "{\"id\":%ld,\"scores\":[", is("late") ? id - 1 : id + 1);
        out(text);
        for (int i = 0; i < n; i++) out(i ? ",1" : "1");
        out("]}\n");
        return is("late");
    }
    if (is("gigabyte")) flood(1, (size_t)1 << 30, false);
    if (is("noise")) {
        out("loading the model ...\n");
        return true;
    }
    if (is("flood")) {
        flood(2, 8 << 20, true);
        return true;
    }
    if (is("stdin")) {
        close(0);
        hang();
    }
    if (is("grandchild")) {
        breed(2);
        _exit(0);
    }
    if (is("sigterm")) {
        signal(SIGTERM, SIG_IGN);
        hang();
    }
    if (is("hog"))
        for (;;) {
            char *more = malloc(1 << 20);
            if (!more) abort();
            memset(more, 1, 1 << 20);
        }
    if (is("bomb")) {
        breed(24);
        hang();
    }
    if (is("version")) out("{\"version\":2,\"name\":\"new\"}\n");
    return false;
}

static bool is_first_starts(const char *starts, const char *counter)
{
    struct stat st;
    int fd = open(counter, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || fstat(fd, &st) != 0) _exit(4);
    close(fd);
    n_starts = (long)st.st_size;
    return n_starts <= atol(starts);
}

/* The number behind the next KEY, and where it stands; NULL: none. */
static const char *number(const char *at, const char *key, long *value)
{
    at = strstr(at, key);
    if (!at) return NULL;
    at += strlen(key);
    *value = strtol(at, NULL, 10);
    return at;
}

static void answer(bool goes_wrong)
{
    static char text[1 << 20];
    long id = 0, width = 0, sum = 0;
    int n = 0;
    bool set = strstr(line, "\"score_set\"") != NULL;
    number(line, "\"id\":", &id);
    size_t used = (size_t)snprintf(text, sizeof text, "{\"id\":%ld,\"scores\":[", id);
    for (const char *at = line; (at = number(at, "\"width\":", &width)) != NULL; n++) {
        sum += width;
        if (!set) used += (size_t)snprintf(text + used, sizeof text - used, "%s%ld", n ? "," : "", width);
    }
    if (set) used += (size_t)snprintf(text + used, sizeof text - used, "%ld", sum);
    snprintf(text + used, sizeof text - used, "]}\n");
    if (strstr(line, "\"refuse me\""))
        snprintf(text, sizeof text, "{\"id\":%ld,\"error\":{\"item\":%d,\"text\":\"I do not like it\"}}\n",
                 id, n - 1);
    if (strstr(line, "\"later\""))
        snprintf(text, sizeof text, "{\"id\":%ld,\"error\":{\"retry\":true,\"text\":\"busy\"}}\n", id);
    if (!goes_wrong || go_wrong(text, id, n)) out(text);
}

int main(int argc, char **argv)
{
    static const char welcome[] = "{\"version\":1,\"name\":\"width\",\"deterministic\":true,\"max_batch\":4,"
                                  "\"kinds\":[\"score\",\"score_set\"],\"range\":[0,null]}\n";
    if (argc > 2) {
        fault = argv[1];
        where = argv[2];
        is_due = argc < 5 || is_first_starts(argv[3], argv[4]);
    }
    if (!fgets(line, sizeof line, stdin)) return 5;
    bool relapses = strcmp(where, "relapse") == 0,
         at_hello = relapses ? !is_due : is_due && strcmp(where, "hello") == 0;
    if (!at_hello || go_wrong(welcome, 0, 1)) out(welcome);
    for (int k = 1; fgets(line, sizeof line, stdin); k++) {
        answer(relapses ? n_starts == 1
                        : is_due && k == (n_starts > 1 ? 1 : 2) && strcmp(where, "batch") == 0);
        if (is_due && k == 1 && strcmp(where, "idle") == 0) go_wrong("{}\n", 7, 1);
    }
    return 0;
}
