/* Silence for work that is done twice, such as planning a run before it is opened: its warnings come the
 * second time. */
#ifndef TL_BASE_LOG_MUTE_H
#define TL_BASE_LOG_MUTE_H

#include <stdbool.h>

/* On this thread; calls with true and with false come in pairs, which may nest. */
void tl_log_mute(bool on);

#endif
