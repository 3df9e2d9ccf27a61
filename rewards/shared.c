#include "rewards/shared.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* What is open, and what guards the list: held while something is opened, so that nobody opens it twice. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tl_shared *all;

/* NULL without memory. A path that is none stands as it is: opening says what is wrong with it. */
static char *make_key(const char *folder, const char *settings)
{
    struct tl_str key = {0};
    char *real = realpath(folder, NULL);
    tl_str_printf(&key, "%s\n%s", real ? real : folder, settings);
    free(real);
    char *out = key.failed ? NULL : strdup(key.data);
    tl_str_finish(&key);
    return out;
}

static struct tl_shared *find(const struct tl_shared_class *cls, const struct tl_reward_env *env,
                              const char *key)
{
    for (struct tl_shared *s = all; s; s = s->next)
        if (s->cls == cls && s->env.device == env->device && s->env.dtype == env->dtype &&
            s->env.keep == env->keep && strcmp(s->key, key) == 0)
            return s;
    return NULL;
}

struct tl_shared *tl_shared_open(const struct tl_shared_class *cls, const struct tl_reward_env *env,
                                 const char *folder, const char *settings, struct tl_err *err)
{
    char *key = make_key(folder, settings);
    if (!key) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    pthread_mutex_lock(&lock);
    struct tl_shared *s = find(cls, env, key);
    if (s) {
        s->n_users++;
        free(key);
    } else if ((s = cls->open(env, folder, settings, err)) != NULL) {
        *s = (struct tl_shared){.cls = cls, .next = all, .n_users = 1, .env = *env, .key = key};
        all = s;
    } else {
        free(key);
    }
    pthread_mutex_unlock(&lock);
    return s;
}

void tl_shared_close(struct tl_shared *s)
{
    struct tl_shared **at = &all;
    if (!s) return;
    pthread_mutex_lock(&lock);
    if (--s->n_users == 0) {
        while (*at != s) at = &(*at)->next;
        *at = s->next;
        free(s->key);
        s->cls->close(s);
    }
    pthread_mutex_unlock(&lock);
}
