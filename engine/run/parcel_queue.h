/* From a thread that reads files to the one that works on them: parcels of any kind, in order, no more than
 * some bytes at a time. */
#ifndef TL_RUN_PARCEL_QUEUE_H
#define TL_RUN_PARCEL_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct tl_parcel_node;

struct tl_parcel_queue {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct tl_parcel_node *head, **tail;
    size_t bytes, most_bytes;
    void (*drop)(void *parcel);
    bool is_ended, is_stopped;
};

/* drop frees a parcel that nobody takes. */
void tl_parcel_queue_init(struct tl_parcel_queue *q, size_t most_bytes, void (*drop)(void *parcel));
/* Frees what was not taken. No thread may be using it. */
void tl_parcel_queue_finish(struct tl_parcel_queue *q);

/* Takes the parcel over, also where it fails. Waits while the queue holds most_bytes or more; any parcel fits
 * into an empty one. False: the other side has stopped, or no memory. */
bool tl_parcel_queue_put(struct tl_parcel_queue *q, void *parcel, size_t bytes);
/* Nothing more will be put. */
void tl_parcel_queue_end(struct tl_parcel_queue *q);

enum tl_parcel_taken { TL_PARCEL_NOTHING, TL_PARCEL_TAKEN, TL_PARCEL_END };
/* Waits a tenth of a second at most, then NOTHING: the caller looks for Ctrl-C. The caller owns the parcel.
 */
enum tl_parcel_taken tl_parcel_queue_take(struct tl_parcel_queue *q, void **out);
/* Nothing more will be taken. */
void tl_parcel_queue_stop(struct tl_parcel_queue *q);

#endif
