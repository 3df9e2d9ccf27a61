#include "tensor/cpu_profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tiller/log.h>

#include "base/clock.h"

enum { MAX_ROWS = 512, SHOWN = 40, NAME_SIZE = 224 };

struct row {
    char name[NAME_SIZE];
    int64_t calls;
    double wall, cpu, flops;
};

struct tl_cpu_profile {
    bool shapes;
    double wall, cpu; /* at the beginning of the present node */
    int n_rows;
    struct row rows[MAX_ROWS];
};

/* Of all threads: on a machine that others use too, half of it is what two free cores would have taken. */
static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct tl_cpu_profile *tl_cpu_profile_create(void)
{
    const char *ask = getenv("TILLER_PROFILE");
    if (!ask || !*ask || strcmp(ask, "0") == 0) return NULL;
    struct tl_cpu_profile *p = calloc(1, sizeof *p);
    if (p) p->shapes = strcmp(ask, "2") == 0;
    return p;
}

void tl_cpu_profile_destroy(struct tl_cpu_profile **p)
{
    free(*p);
    *p = NULL;
}

void tl_cpu_profile_begin(struct tl_cpu_profile *p)
{
    if (!p) return;
    p->wall = tl_clock_s();
    p->cpu = cpu_s();
}

static double count(const struct tl_graph *g, tl_val v)
{
    return (double)tl_shape_count(tl_shape_of(g, v));
}

/* Of the products; the rest is bound by memory. */
static double flops(const struct tl_graph *g, const struct tl_node *n)
{
    const struct tl_shape *a = tl_shape_of(g, n->n_in > 0 ? n->in[0] : n->out[0]);
    switch (n->op) {
    case TL_OP_GEMM:
        return 2 * count(g, n->out[0]) * (double)a->dim[a->rank - (n->attr.gemm.ta ? 2 : 1)];
    case TL_OP_CONV2D:
        return 2 * count(g, n->out[0]) * count(g, n->in[1]) /
               (double)tl_shape_last(tl_shape_of(g, n->out[0]));
    case TL_OP_CONV2D_DX:
        return 2 * count(g, n->in[0]) * count(g, n->in[1]) / (double)tl_shape_last(a);
    case TL_OP_CONV2D_DW:
        return 2 * count(g, n->in[1]) * count(g, n->out[0]) / (double)tl_shape_last(tl_shape_of(g, n->in[1]));
    case TL_OP_ATTENTION:
        return 4 * count(g, n->in[0]) * (double)tl_shape_of(g, n->in[1])->dim[1];
    case TL_OP_ATTENTION_GRAD:
        return 10 * count(g, n->in[0]) * (double)tl_shape_of(g, n->in[1])->dim[1];
    default:
        return 0;
    }
}

static void name_of(const struct tl_cpu_profile *p, const struct tl_graph *g, const struct tl_node *n,
                    char name[NAME_SIZE])
{
    char text[3][96] = {"", "", ""};
    if (p->shapes && n->n_in > 0 && n->in[0] >= 0) tl_shape_text(tl_shape_of(g, n->in[0]), text[0]);
    if (p->shapes && n->n_in > 1 && n->in[1] >= 0) tl_shape_text(tl_shape_of(g, n->in[1]), text[1]);
    if (p->shapes) tl_shape_text(tl_shape_of(g, n->out[0]), text[2]);
    bool gemm = p->shapes && n->op == TL_OP_GEMM;
    snprintf(name, NAME_SIZE, "%s%s%s%s %.60s %.60s %.60s", tl_op_name(n->op),
             gemm && n->attr.gemm.ta ? " ta" : "", gemm && n->attr.gemm.tb ? " tb" : "",
             n->accumulate ? " +=" : "", text[0], text[1], text[2]);
}

void tl_cpu_profile_end(struct tl_cpu_profile *p, const struct tl_graph *g, const struct tl_node *n)
{
    if (!p) return;
    double wall = tl_clock_s() - p->wall, cpu = cpu_s() - p->cpu;
    char name[NAME_SIZE];
    name_of(p, g, n, name);
    int i = 0;
    while (i < p->n_rows && strcmp(p->rows[i].name, name) != 0) i++;
    if (i == MAX_ROWS) return;
    if (i == p->n_rows) {
        p->rows[p->n_rows++] = (struct row){0};
        memcpy(p->rows[i].name, name, sizeof name);
    }
    p->rows[i].calls++;
    p->rows[i].wall += wall;
    p->rows[i].cpu += cpu;
    p->rows[i].flops += flops(g, n);
}

static int by_cpu(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->cpu != y->cpu) return x->cpu < y->cpu ? 1 : -1;
    return strcmp(x->name, y->name);
}

void tl_cpu_profile_report(struct tl_cpu_profile *p)
{
    if (!p) return;
    double wall = 0, cpu = 0;
    for (int i = 0; i < p->n_rows; i++) {
        wall += p->rows[i].wall;
        cpu += p->rows[i].cpu;
    }
    qsort(p->rows, (size_t)p->n_rows, sizeof *p->rows, by_cpu);
    tl_log(TL_LOG_INFO, "profile: %.1f ms, %.1f ms of CPU time", wall * 1e3, cpu * 1e3);
    for (int i = 0; i < p->n_rows && i < SHOWN; i++) {
        const struct row *r = &p->rows[i];
        char rate[48] = "";
        if (r->flops > 0 && r->cpu > 0)
            snprintf(rate, sizeof rate, ", %.1f GFLOP/s a core", r->flops / r->cpu * 1e-9);
        tl_log(TL_LOG_INFO, "profile: %9.1f ms, CPU %9.1f ms, %5.1f %%, %5lld x %s%s", r->wall * 1e3,
               r->cpu * 1e3, cpu > 0 ? 100 * r->cpu / cpu : 0.0, (long long)r->calls, r->name, rate);
    }
    p->n_rows = 0;
}
