#include "run/feature_queue.h"

#include <stdlib.h>
#include <time.h>

enum { WAIT_NS = 100 * 1000 * 1000, SECOND_NS = 1000 * 1000 * 1000 };

void tl_feature_queue_init(struct tl_feature_queue *q, size_t most_bytes)
{
    pthread_condattr_t monotonic;
    *q = (struct tl_feature_queue){.most_bytes = most_bytes};
    q->tail = &q->head;
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->moved, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void tl_feature_queue_finish(struct tl_feature_queue *q)
{
    for (struct tl_feature_node *node = q->head, *next; node; node = next) {
        next = node->next;
        tl_encoder_windows_finish(&node->windows);
        free(node);
    }
    pthread_cond_destroy(&q->moved);
    pthread_mutex_destroy(&q->lock);
}

static size_t bytes_of(const struct tl_encoder_windows *w)
{
    return w->n * w->floats * sizeof *w->x;
}

bool tl_feature_queue_put(struct tl_feature_queue *q, size_t file, struct tl_encoder_windows *windows)
{
    struct tl_feature_node *node = malloc(sizeof *node);
    if (!node) return false;
    pthread_mutex_lock(&q->lock);
    while (!q->is_stopped && q->bytes >= q->most_bytes) pthread_cond_wait(&q->moved, &q->lock);
    bool ok = !q->is_stopped;
    if (ok) {
        *node = (struct tl_feature_node){.windows = *windows, .file = file};
        *windows = (struct tl_encoder_windows){0};
        *q->tail = node;
        q->tail = &node->next;
        q->bytes += bytes_of(&node->windows);
        pthread_cond_broadcast(&q->moved);
    } else {
        free(node);
    }
    pthread_mutex_unlock(&q->lock);
    return ok;
}

static void mark(struct tl_feature_queue *q, bool *flag)
{
    pthread_mutex_lock(&q->lock);
    *flag = true;
    pthread_cond_broadcast(&q->moved);
    pthread_mutex_unlock(&q->lock);
}

void tl_feature_queue_end(struct tl_feature_queue *q)
{
    mark(q, &q->is_ended);
}

void tl_feature_queue_stop(struct tl_feature_queue *q)
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

enum tl_feature_taken tl_feature_queue_take(struct tl_feature_queue *q, size_t *out_file,
                                            struct tl_encoder_windows *out)
{
    struct timespec until = soon();
    pthread_mutex_lock(&q->lock);
    while (!q->head && !q->is_ended && pthread_cond_timedwait(&q->moved, &q->lock, &until) == 0) {
    }
    struct tl_feature_node *node = q->head;
    enum tl_feature_taken taken = node          ? TL_FEATURE_WINDOWS
                                  : q->is_ended ? TL_FEATURE_END
                                                : TL_FEATURE_NOTHING;
    if (node) {
        q->head = node->next;
        if (!q->head) q->tail = &q->head;
        q->bytes -= bytes_of(&node->windows);
        *out_file = node->file;
        *out = node->windows;
        pthread_cond_broadcast(&q->moved);
    }
    pthread_mutex_unlock(&q->lock);
    free(node);
    return taken;
}
