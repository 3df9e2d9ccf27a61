/* Guards of a run that learns from a reward: when it should stop, and what it should be warned of.
 *
 * A rule is written METRIC<LIMIT or METRIC>LIMIT; a limit that ends in % is of the reading as the run began:
 * "kl>20", "held_out<95%", "diversity<50%", "clip_fraction>0.8". Pure functions on readings; nothing is drawn
 * or written here. Thread-safe. */
#ifndef TL_RUN_GUARD_H
#define TL_RUN_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include <tiller/err.h>

enum tl_guard_metric {
    TL_GUARD_REWARD,        /* mean reward of the eval pictures */
    TL_GUARD_HELD_OUT,      /* mean held-out reward of the eval pictures */
    TL_GUARD_DIVERSITY,     /* mean pairwise distance of picture embeddings within a prompt */
    TL_GUARD_KL,            /* nats from the untouched model, of the last epoch */
    TL_GUARD_CLIP_FRACTION, /* of the last epoch */
    TL_GUARD_REWARD_SPREAD, /* mean deviation of rewards within a prompt, of the last epoch */
    TL_GUARD_GRAD_NORM,     /* of the last epoch */
    TL_GUARD_METRICS
};

struct tl_guard_value {
    double now, start; /* start: as the run began (the untouched model, or the LoRA that it goes on from) */
    double z;     /* paired change in standard errors over prompts; +-infinity where all changed alike; 0: not
                     known */
    double scale; /* deviation of single readings at the start: changes under a tenth of it are not worth a
                     word */
    bool known, has_start;
};

struct tl_guard_readings {
    struct tl_guard_value of[TL_GUARD_METRICS];
};

/* "reward", "held_out", ... */
const char *tl_guard_metric_name(enum tl_guard_metric metric);

struct tl_guard_rule {
    enum tl_guard_metric metric;
    bool above, percent;
    double limit;
};
/* TL_USAGE names what can be written. */
bool tl_guard_parse(const char *text, struct tl_guard_rule *out, struct tl_err *err);
/* Whether the metric is known and beyond its limit. */
bool tl_guard_fires(const struct tl_guard_rule *rule, const struct tl_guard_readings *readings);

/* What is wrong with a run, with what to try. */
struct tl_guard_warning {
    const char *kind; /* "reward hacking", "collapse", "divergence", "clipping", "no signal" */
    char text[320];
};
enum { TL_GUARD_WARNINGS = 5 };
/* Those that hold now; returns how many. restrain: the method's own option that keeps a policy near its
 * reference: "a larger --beta". */
size_t tl_guard_warnings(const struct tl_guard_readings *readings, const char *restrain,
                         struct tl_guard_warning out[TL_GUARD_WARNINGS]);

#endif
