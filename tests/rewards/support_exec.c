#include "rewards/support_exec.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void support_exec_items(struct tl_reward_item *items, size_t n)
{
    static uint8_t rgb[SUPPORT_EXEC_MOST * 3];
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(37 * i);
    for (size_t i = 0; i < n; i++)
        items[i] = (struct tl_reward_item){
            .prompt = "a \"red\" {circle}\n\xc3\xa9", .rgb = rgb, .width = (int)i + 1, .height = 1};
}

static int has_word(long pid, const char *mark)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%ld/cmdline", pid);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(text + at) + 1) {
        text[n] = 0;
        if (strcmp(text + at, mark) == 0) return 1;
    }
    return 0;
}

int support_exec_count(const char *mark)
{
    int count = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && (e = readdir(proc)) != NULL;)
        if (isdigit((unsigned char)e->d_name[0]) && atol(e->d_name) != (long)getpid())
            count += has_word(atol(e->d_name), mark);
    if (proc) closedir(proc);
    return count;
}

static int count_named(long pid, bool logs)
{
    const char *temp = getenv("TMPDIR"), *const places[] = {"/dev/shm", temp ? temp : "/tmp"};
    char start[64];
    int count = 0;
    snprintf(start, sizeof start, "tiller-reward-%ld-", pid);
    for (int i = 0; i < 2; i++) {
        DIR *folder = opendir(places[i]);
        for (struct dirent *e; folder && (e = readdir(folder)) != NULL;)
            count += strncmp(e->d_name, start, strlen(start)) == 0 && !strstr(e->d_name, ".log") == !logs;
        if (folder) closedir(folder);
    }
    return count;
}

int support_exec_folders(long pid)
{
    return count_named(pid, false);
}

int support_exec_logs(long pid)
{
    return count_named(pid, true);
}

bool support_exec_is_gone(const char *mark, long pid)
{
    for (int i = 0; i < 500; i++) {
        if (support_exec_count(mark) == 0 && support_exec_folders(pid) == 0) return true;
        usleep(10000);
    }
    return false;
}
