#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

struct worker {
    struct tl_pool *pool;
    pthread_t thread;
    int index;
};

struct tl_pool {
    int n_threads;
    struct worker *workers; /* n_threads - 1: the caller is worker 0 */
    int n_started;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    bool quit;
    atomic_ulong job; /* counts jobs; a change wakes the workers */
    bool open; /* the job still takes workers: one that wakes late finds it closed, and nobody waits for it */
    atomic_int n_inside;
    void (*fn)(void *arg, size_t i, int worker);
    void *arg;
    size_t n;
    atomic_size_t next;
};

static void work(struct tl_pool *pool, int index)
{
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (i >= pool->n) return;
        pool->fn(pool->arg, i, index);
    }
}

/* A sleeping thread takes as long to wake as a small kernel runs: look a while before going to sleep. */
enum { LOOKS = 200 };

static inline void look_away(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#endif
}

static void await_job(struct tl_pool *pool, unsigned long seen)
{
    for (int i = 0; i < LOOKS; i++, look_away())
        if (atomic_load_explicit(&pool->job, memory_order_relaxed) != seen) return;
}

static void await_done(struct tl_pool *pool)
{
    for (int i = 0; i < LOOKS; i++, look_away())
        if (atomic_load_explicit(&pool->n_inside, memory_order_relaxed) == 0) return;
}

static void *worker_main(void *arg)
{
    struct worker *self = arg;
    struct tl_pool *pool = self->pool;
    unsigned long seen = 0;
    for (;;) {
        await_job(pool, seen);
        pthread_mutex_lock(&pool->lock);
        while (!pool->quit && (!pool->open || pool->job == seen)) pthread_cond_wait(&pool->wake, &pool->lock);
        if (pool->quit) break;
        seen = pool->job;
        pool->n_inside++;
        pthread_mutex_unlock(&pool->lock);
        work(pool, self->index);
        pthread_mutex_lock(&pool->lock);
        if (--pool->n_inside == 0 && !pool->open) pthread_cond_signal(&pool->done);
        pthread_mutex_unlock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int cores_allowed(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int n = CPU_COUNT(&set);
    return n < 1 ? 1 : n;
}

struct tl_pool *tl_pool_create(int n_threads, struct tl_err *err)
{
    struct tl_pool *pool = calloc(1, sizeof *pool);
    if (!pool) goto no_memory;
    pool->n_threads = n_threads > 0 ? n_threads : cores_allowed();
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->workers = calloc((size_t)pool->n_threads, sizeof *pool->workers);
    if (!pool->workers) goto no_memory;
    for (int i = 1; i < pool->n_threads; i++) {
        struct worker *w = &pool->workers[i - 1];
        *w = (struct worker){.pool = pool, .index = i};
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
            tl_err_set(err, TL_FAIL, "cannot start thread %d of %d; try --threads 1", i, pool->n_threads);
            goto fail;
        }
        pool->n_started++;
    }
    return pool;
no_memory:
    tl_err_set(err, TL_FAIL, "out of memory for the thread pool");
fail:
    tl_pool_destroy(&pool);
    return NULL;
}

void tl_pool_destroy(struct tl_pool **pool_ptr)
{
    struct tl_pool *pool = *pool_ptr;
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    pool->quit = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->n_started; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
    *pool_ptr = NULL;
}

int tl_pool_threads(const struct tl_pool *pool)
{
    return pool->n_threads;
}

void tl_pool_run(struct tl_pool *pool, size_t n, void (*fn)(void *arg, size_t i, int worker), void *arg)
{
    if (n == 0) return;
    if (n == 1 || pool->n_threads == 1) {
        for (size_t i = 0; i < n; i++) fn(arg, i, 0);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->fn = fn;
    pool->arg = arg;
    pool->n = n;
    atomic_store(&pool->next, 0);
    pool->open = true;
    pool->job++;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    work(pool, 0);
    pthread_mutex_lock(&pool->lock);
    pool->open = false;
    pthread_mutex_unlock(&pool->lock);
    await_done(pool);
    pthread_mutex_lock(&pool->lock);
    while (pool->n_inside > 0) pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}
