#include "run/train_partners.h"

#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

typedef struct tl_supervised_params params;

/* tl_train_schedules */
enum { RESTARTS = 3, POLYNOMIAL = 4, BUCKET = 1 };

static bool restarts(const params *p)
{
    return p->schedule == RESTARTS;
}

static bool polynomial(const params *p)
{
    return p->schedule == POLYNOMIAL;
}

static bool buckets(const params *p)
{
    return p->fit == BUCKET;
}

static bool changes_tags(const params *p)
{
    return p->shuffle_caption || p->tag_dropout > 0;
}

static bool samples(const params *p)
{
    return p->sample_prompts != NULL;
}

static bool holds_out(const params *p)
{
    return p->val_share > 0;
}

static bool trains_text(const params *p)
{
    return p->train_text;
}

static const struct {
    const char *option;
    bool (*acts)(const params *p);
    const char *without;
} partners[] = {
    {"cycles", restarts, "--schedule restarts"},
    {"power", polynomial, "--schedule polynomial"},
    {"no-upscale", buckets, "--fit bucket"},
    {"bucket-step", buckets, "--fit bucket"},
    {"keep-tokens", changes_tags, "--shuffle-caption or --tag-dropout"},
    {"text-targets", trains_text, "--train-text-encoder"},
    {"val-every", holds_out, "--val-share"},
    {"sample-every", samples, "--sample-prompts"},
    {"sample-steps", samples, "--sample-prompts"},
    {"sample-guidance", samples, "--sample-prompts"},
};
static const char *const of_a_lora[] = {"alpha", "targets", "text-targets"};

static bool is_given(const struct tl_options *options, const char *name)
{
    const struct tl_option *row = tl_option_find(tl_options_table(options), name);
    enum tl_option_source source = row ? tl_option_source_of(options, name) : TL_FROM_DEFAULT;
    if (source != TL_FROM_FILE) return source == TL_FROM_COMMAND;
    char *text = tl_option_text(options, row);
    bool other = text && strcmp(text, row->fallback ? row->fallback : "") != 0;
    free(text);
    return other;
}

bool tl_train_partners_check(const struct tl_options *options, const params *p, struct tl_err *err)
{
    for (size_t i = 0; p->full && i < sizeof of_a_lora / sizeof *of_a_lora; i++)
        if (is_given(options, of_a_lora[i]))
            return tl_err_set(err, TL_USAGE,
                              "--full trains all weights, --%s shapes a LoRA: leave one of them out",
                              of_a_lora[i]);
    for (size_t i = 0; i < sizeof partners / sizeof *partners; i++)
        if (!partners[i].acts(p) && is_given(options, partners[i].option))
            tl_log(TL_LOG_WARN, "--%s does nothing without %s", partners[i].option, partners[i].without);
    return true;
}
