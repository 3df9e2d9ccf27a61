#include "tensor/device_planning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char work_space[] = "work space of kernels";

struct planning {
    struct tl_device head;
    struct tl_device *like; /* borrowed */
    struct tl_planned_part parts[TL_PLANNED_PARTS];
    size_t n_parts, part; /* the present one */
    size_t sum, peak;     /* of all parts */
    size_t scratch;       /* where one block serves all programs */
    struct {
        size_t peak, scratch, at_peak[TL_PLANNED_PARTS];
    } mark;
};

struct tl_memory {
    size_t bytes, part;
};

struct tl_program {
    const struct tl_graph *g;
    size_t bytes, scratch, part;
};

static size_t find_part(struct planning *p, const char *name, bool host)
{
    for (size_t i = 0; i < p->n_parts; i++)
        if (strcmp(p->parts[i].name, name) == 0 && p->parts[i].host == host) return i;
    if (p->n_parts == TL_PLANNED_PARTS) return TL_PLANNED_PARTS - 1;
    p->parts[p->n_parts] = (struct tl_planned_part){.name = name, .host = host};
    return p->n_parts++;
}

static void take(struct planning *p, size_t part, size_t bytes)
{
    p->parts[part].now += bytes;
    p->sum += bytes;
    if (!p->parts[part].host) tl_device_count_taken(&p->head, bytes);
    if (p->sum <= p->peak) return;
    p->peak = p->sum;
    for (size_t i = 0; i < p->n_parts; i++) p->parts[i].at_peak = p->parts[i].now;
}

static void give(struct planning *p, size_t part, size_t bytes)
{
    p->parts[part].now -= bytes;
    p->sum -= bytes;
    if (!p->parts[part].host) tl_device_count_given(&p->head, bytes);
}

static struct tl_memory *memory_create(struct tl_device *d, size_t bytes, struct tl_err *err)
{
    struct planning *p = (struct planning *)d;
    struct tl_memory *m = calloc(1, sizeof *m);
    if (!m) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    *m = (struct tl_memory){bytes, p->part};
    take(p, m->part, bytes);
    return m;
}

static void memory_destroy(struct tl_device *d, struct tl_memory *m)
{
    give((struct planning *)d, m->part, m->bytes);
    free(m);
}

static bool memory_write(struct tl_device *d, struct tl_memory *m, size_t offset, const void *data,
                         size_t bytes, struct tl_err *err)
{
    (void)d, (void)m, (void)offset, (void)data, (void)bytes, (void)err;
    return true;
}

static bool memory_read(struct tl_device *d, struct tl_memory *m, size_t offset, void *data, size_t bytes,
                        struct tl_err *err)
{
    (void)d, (void)m, (void)offset, (void)err;
    memset(data, 0, bytes);
    return true;
}

static bool memory_fill_zero(struct tl_device *d, struct tl_memory *m, struct tl_err *err)
{
    (void)d, (void)m, (void)err;
    return true;
}

static bool memory_copy(struct tl_device *d, struct tl_memory *dst, struct tl_memory *src, size_t bytes,
                        struct tl_err *err)
{
    (void)d, (void)dst, (void)src, (void)bytes, (void)err;
    return true;
}

static struct tl_program *program_create(struct tl_device *d, const struct tl_graph *g,
                                         const struct tl_plan *plan, struct tl_err *err)
{
    struct planning *p = (struct planning *)d;
    const struct tl_backend *like = p->like->backend;
    struct tl_program *program = calloc(1, sizeof *program);
    size_t scratch = 0;
    if (!program || !like->program_scratch(p->like, g, plan, &scratch, err)) {
        free(program);
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    *program = (struct tl_program){.g = g, .bytes = plan->bytes, .part = p->part};
    take(p, p->part, program->bytes);
    if (!like->shared_scratch) {
        program->scratch = scratch;
        take(p, find_part(p, work_space, false), scratch);
    } else if (scratch > p->scratch) {
        take(p, find_part(p, work_space, false), scratch - p->scratch);
        p->scratch = scratch;
    }
    return program;
}

static void program_destroy(struct tl_device *d, struct tl_program *program)
{
    struct planning *p = (struct planning *)d;
    give(p, program->part, program->bytes);
    if (program->scratch) give(p, find_part(p, work_space, false), program->scratch);
    free(program);
}

static bool program_bind(struct tl_device *d, struct tl_program *p, struct tl_memory *const sets[TL_N_SETS],
                         const size_t *param_offset, struct tl_err *err)
{
    (void)d, (void)p, (void)sets, (void)param_offset, (void)err;
    return true;
}

static bool program_write(struct tl_device *d, struct tl_program *p, tl_val v, const void *data,
                          struct tl_err *err)
{
    (void)d, (void)p, (void)v, (void)data, (void)err;
    return true;
}

static bool program_read(struct tl_device *d, struct tl_program *p, tl_val v, void *data, struct tl_err *err)
{
    (void)err;
    size_t bytes = tl_value_bytes(p->g, v, d->real_bytes);
    memset(data, 0, bytes);
    if (p->g->values[v].dtype == TL_F32 && d->real_bytes == sizeof(float))
        for (size_t i = 0; i < bytes / sizeof(float); i++) ((float *)data)[i] = 1;
    return true;
}

static bool program_run(struct tl_device *d, struct tl_program *p, struct tl_err *err)
{
    (void)d, (void)p, (void)err;
    return true;
}

static bool program_scratch(struct tl_device *d, const struct tl_graph *g, const struct tl_plan *plan,
                            size_t *out_bytes, struct tl_err *err)
{
    struct planning *p = (struct planning *)d;
    return p->like->backend->program_scratch(p->like, g, plan, out_bytes, err);
}

static void destroy(struct tl_device *d)
{
    free(d);
}

static const struct tl_backend backend = {
    .name = "planning",
    .memory_create = memory_create,
    .memory_destroy = memory_destroy,
    .memory_write = memory_write,
    .memory_read = memory_read,
    .memory_fill_zero = memory_fill_zero,
    .memory_copy = memory_copy,
    .program_create = program_create,
    .program_destroy = program_destroy,
    .program_bind = program_bind,
    .program_write = program_write,
    .program_read = program_read,
    .program_run = program_run,
    .program_scratch = program_scratch,
    .destroy = destroy,
};

struct tl_device *tl_device_planning_open(struct tl_device *like, struct tl_err *err)
{
    struct planning *p = calloc(1, sizeof *p);
    if (!p) {
        tl_err_set(err, TL_FAIL, "out of memory");
        return NULL;
    }
    p->like = like;
    p->head.backend = &backend;
    p->head.real_bytes = like->real_bytes;
    p->head.software = like->software;
    p->head.plans_only = true;
    snprintf(p->head.name, sizeof p->head.name, "%s", like->name);
    snprintf(p->head.description, sizeof p->head.description, "%s", like->description);
    p->part = find_part(p, "other", false);
    return &p->head;
}

const char *tl_device_planning_part(struct tl_device *d, const char *name)
{
    struct planning *p = (struct planning *)d;
    if (!d->plans_only || !name) return NULL;
    const char *before = p->parts[p->part].name;
    p->part = find_part(p, name, false);
    return before;
}

void tl_device_planning_mark(struct tl_device *d)
{
    struct planning *p = (struct planning *)d;
    p->mark.peak = p->peak;
    p->mark.scratch = p->scratch;
    for (size_t i = 0; i < TL_PLANNED_PARTS; i++) p->mark.at_peak[i] = p->parts[i].at_peak;
}

void tl_device_planning_rewind(struct tl_device *d)
{
    struct planning *p = (struct planning *)d;
    p->peak = p->mark.peak;
    for (size_t i = 0; i < TL_PLANNED_PARTS; i++) p->parts[i].at_peak = p->mark.at_peak[i];
    if (p->scratch > p->mark.scratch) give(p, find_part(p, work_space, false), p->scratch - p->mark.scratch);
    p->scratch = p->mark.scratch;
}

void tl_device_planning_host(struct tl_device *d, const char *name, size_t bytes)
{
    struct planning *p = (struct planning *)d;
    size_t part = find_part(p, name, true), had = p->parts[part].now;
    if (bytes > had)
        take(p, part, bytes - had);
    else
        give(p, part, had - bytes);
}

size_t tl_device_planning_parts(const struct tl_device *d, const struct tl_planned_part **out)
{
    const struct planning *p = (const struct planning *)d;
    *out = p->parts;
    return p->n_parts;
}

size_t tl_device_planning_peak(const struct tl_device *d, size_t *out_device)
{
    const struct planning *p = (const struct planning *)d;
    size_t device = 0;
    for (size_t i = 0; i < p->n_parts; i++) device += p->parts[i].host ? 0 : p->parts[i].at_peak;
    if (out_device) *out_device = device;
    return p->peak;
}
