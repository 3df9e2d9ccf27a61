#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "run/support_score.h"

struct tl_job support_score_job = {.device = "cpu", .threads = 1, .seed = 3};

struct tl_score_params support_score_of(const char *metric, const char *const *folders, const char *encoder)
{
    size_t n = 0;
    while (folders[n]) n++;
    return (struct tl_score_params){.metric = metric,
                                    .folders = folders,
                                    .n_folders = n,
                                    .encoder = encoder,
                                    .no_cache = true,
                                    .json = true};
}

cJSON *support_score_ask(struct tl_score_params p, bool whole)
{
    struct tl_err err = {0};
    bool is_whole = !whole;
    char *text = tl_score(&p, &support_score_job, &is_whole, &err);
    if (!text) fail_msg("%s", err.text);
    assert_true(is_whole == whole);
    cJSON *array = tl_json_parse(text, strlen(text), "report", &err);
    assert_true(cJSON_IsArray(array));
    free(text);
    return array;
}

double support_score_number(const cJSON *row, const char *key)
{
    const cJSON *x = tl_json_get(row, key);
    if (!cJSON_IsNumber(x)) fail_msg("no number '%s'", key);
    return x->valuedouble;
}

void support_score_refused(struct tl_score_params p, enum tl_code code, const char *says)
{
    struct tl_err err = {0};
    bool whole;
    char *text = tl_score(&p, &support_score_job, &whole, &err);
    if (text || err.code != code || !strstr(err.text, says))
        fail_msg("code %d, '%s'; expected %d, '%s'", err.code, err.text, code, says);
}
