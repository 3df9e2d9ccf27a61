/* Learning rate schedules: one row each. */
#include <math.h>
#include <stddef.h>

#include "run/train_loop.h"

#define PI 3.14159265358979323846

/* The share of --lr after the share `done` of the steps. */
static double cosine(const struct tl_supervised_params *p, double done)
{
    (void)p;
    return 0.5 * (1 + cos(PI * done));
}

static double constant(const struct tl_supervised_params *p, double done)
{
    (void)p, (void)done;
    return 1;
}

static double linear(const struct tl_supervised_params *p, double done)
{
    (void)p;
    return 1 - done;
}

static double restarts(const struct tl_supervised_params *p, double done)
{
    double at = done * (p->cycles > 0 ? p->cycles : 1);
    return 0.5 * (1 + cos(PI * (at - floor(at))));
}

static double polynomial(const struct tl_supervised_params *p, double done)
{
    return pow(1 - done, p->power);
}

#define SCHEDULES(X) X(cosine) X(constant) X(linear) X(restarts) X(polynomial)
#define NAME(name)   #name,
#define SHARE(name)  name,

/* Numbers stand in the params: append only. */
const char *const tl_train_schedules[] = {SCHEDULES(NAME) NULL};
static double (*const shares[])(const struct tl_supervised_params *p, double done) = {SCHEDULES(SHARE)};

double tl_train_rate(const struct tl_supervised_params *p, int k)
{
    double warm = p->warmup > 0 && k < p->warmup ? (k + 1.0) / p->warmup : 1;
    return p->lr * warm * shares[p->schedule](p, (double)k / p->steps);
}
