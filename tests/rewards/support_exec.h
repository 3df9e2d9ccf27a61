/* Pictures for programs that score, and what such programs leave behind. */
#ifndef TL_TESTS_SUPPORT_EXEC_H
#define TL_TESTS_SUPPORT_EXEC_H

#include <tiller/reward.h>

/* Pictures of the widths 1, 2, ... n, one row each; borrowed from static memory. */
enum { SUPPORT_EXEC_MOST = 64 };
void support_exec_items(struct tl_reward_item *items, size_t n);

/* Processes whose command line has this word, other than this one. */
int support_exec_count(const char *mark);
/* Folders of samples that process `pid` has made and that are there. */
int support_exec_folders(long pid);
int support_exec_logs(long pid); /* and of temporary logs */
/* Waits until both are 0, five seconds at most. */
bool support_exec_is_gone(const char *mark, long pid);

#endif
