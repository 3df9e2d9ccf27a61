/* A pool of worker threads that run the same function over a range of indices.
 *
 * Work is cut by the caller into a number of pieces that does not depend on the number of threads, so results
 * do not either. The caller's thread works too. One job at a time; a pool is used from one thread. */
#ifndef TL_BASE_THREAD_H
#define TL_BASE_THREAD_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

struct tl_pool;

/* n_threads 0: as many as cores this process may use. */
struct tl_pool *tl_pool_create(int n_threads, struct tl_err *err);
void tl_pool_destroy(struct tl_pool **pool);
int tl_pool_threads(const struct tl_pool *pool);

/* Calls fn(arg, i, worker) for every i in [0, n), each once, in any order; worker < tl_pool_threads. Returns
 * when all are done. */
void tl_pool_run(struct tl_pool *pool, size_t n, void (*fn)(void *arg, size_t i, int worker), void *arg);

#endif
