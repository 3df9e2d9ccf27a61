/* From the thread that decodes and prepares files to the one that runs the network: windows of whole files,
 * in order, no more than some bytes at a time. */
#ifndef TL_RUN_FEATURE_QUEUE_H
#define TL_RUN_FEATURE_QUEUE_H

#include <pthread.h>

#include "encoders/encoder.h"

struct tl_feature_node {
    struct tl_encoder_windows windows; /* owns */
    size_t file;
    struct tl_feature_node *next;
};

struct tl_feature_queue {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct tl_feature_node *head, **tail;
    size_t bytes, most_bytes;
    bool is_ended, is_stopped;
};

void tl_feature_queue_init(struct tl_feature_queue *q, size_t most_bytes);
/* Frees what was not taken. No thread may be using it. */
void tl_feature_queue_finish(struct tl_feature_queue *q);

/* Takes the windows over (leaves *windows empty). Waits while the queue holds most_bytes or more; one file's
 * windows always fit into an empty one. False: the other side has stopped, or no memory. */
bool tl_feature_queue_put(struct tl_feature_queue *q, size_t file, struct tl_encoder_windows *windows);
/* Nothing more will be put. */
void tl_feature_queue_end(struct tl_feature_queue *q);

enum tl_feature_taken { TL_FEATURE_NOTHING, TL_FEATURE_WINDOWS, TL_FEATURE_END };
/* Waits a tenth of a second at most, then NOTHING: the caller looks for Ctrl-C. The caller owns the windows.
 */
enum tl_feature_taken tl_feature_queue_take(struct tl_feature_queue *q, size_t *out_file,
                                            struct tl_encoder_windows *out);
/* Nothing more will be taken. */
void tl_feature_queue_stop(struct tl_feature_queue *q);

#endif
