#include "run/parcel_queue.h"

#include <stdlib.h>
#include <time.h>

enum { WAIT_NS = 100 * 1000 * 1000, SECOND_NS = 1000 * 1000 * 1000 };

struct tl_parcel_node {
    void *parcel; /* owns */
    size_t bytes;
    struct tl_parcel_node *next;
};

void tl_parcel_queue_init(struct tl_parcel_queue *q, size_t most_bytes, void (*drop)(void *parcel))
{
    pthread_condattr_t monotonic;
    *q = (struct tl_parcel_queue){.most_bytes = most_bytes, .drop = drop};
    q->tail = &q->head;
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->moved, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void tl_parcel_queue_finish(struct tl_parcel_queue *q)
{
    for (struct tl_parcel_node *node = q->head, *next; node; node = next) {
        next = node->next;
        q->drop(node->parcel);
        free(node);
    }
    pthread_cond_destroy(&q->moved);
    pthread_mutex_destroy(&q->lock);
}

bool tl_parcel_queue_put(struct tl_parcel_queue *q, void *parcel, size_t bytes)
{
    struct tl_parcel_node *node = malloc(sizeof *node);
    if (!node) {
        q->drop(parcel);
        return false;
    }
    *node = (struct tl_parcel_node){.parcel = parcel, .bytes = bytes};
    pthread_mutex_lock(&q->lock);
    while (!q->is_stopped && q->bytes >= q->most_bytes) pthread_cond_wait(&q->moved, &q->lock);
    bool ok = !q->is_stopped;
    if (ok) {
        *q->tail = node;
        q->tail = &node->next;
        q->bytes += bytes;
        pthread_cond_broadcast(&q->moved);
    }
    pthread_mutex_unlock(&q->lock);
    if (ok) return true;
    q->drop(parcel);
    free(node);
    return false;
}

static void mark(struct tl_parcel_queue *q, bool *flag)
{
    pthread_mutex_lock(&q->lock);
    *flag = true;
    pthread_cond_broadcast(&q->moved);
    pthread_mutex_unlock(&q->lock);
}

void tl_parcel_queue_end(struct tl_parcel_queue *q)
{
    mark(q, &q->is_ended);
}

void tl_parcel_queue_stop(struct tl_parcel_queue *q)
{
    mark(q, &q->is_stopped);
}

static struct timespec soon(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += WAIT_NS;
    if (t.tv_nsec >= SECOND_NS) {
        t.tv_nsec -= SECOND_NS;
        t.tv_sec++;
    }
    return t;
}

enum tl_parcel_taken tl_parcel_queue_take(struct tl_parcel_queue *q, void **out)
{
    struct timespec until = soon();
    pthread_mutex_lock(&q->lock);
    while (!q->head && !q->is_ended && pthread_cond_timedwait(&q->moved, &q->lock, &until) == 0) {
    }
    struct tl_parcel_node *node = q->head;
    enum tl_parcel_taken taken = node ? TL_PARCEL_TAKEN : q->is_ended ? TL_PARCEL_END : TL_PARCEL_NOTHING;
    if (node) {
        q->head = node->next;
        if (!q->head) q->tail = &q->head;
        q->bytes -= node->bytes;
        *out = node->parcel;
        pthread_cond_broadcast(&q->moved);
    }
    pthread_mutex_unlock(&q->lock);
    free(node);
    return taken;
}
