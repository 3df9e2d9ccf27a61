#include "run/reward_standards.h"

#include <math.h>
#include <stdlib.h>

cJSON *tl_reward_standards_json(const struct tl_reward_set *set)
{
    const struct tl_reward_standard *s = tl_reward_set_standards(set);
    cJSON *list = cJSON_CreateArray();
    for (size_t k = 0; k < tl_reward_set_count(set); k++)
        cJSON_AddItemToArray(list, cJSON_CreateDoubleArray((const double[]){s[k].mean, s[k].deviation}, 2));
    return list;
}

bool tl_reward_standards_recall(struct tl_reward_set *set, const cJSON *list, struct tl_err *err)
{
    size_t parts = tl_reward_set_count(set);
    struct tl_reward_standard *s = calloc(parts, sizeof *s);
    bool ok = s && cJSON_GetArraySize(list) == (int)parts;
    for (size_t k = 0; ok && k < parts; k++) {
        const cJSON *pair = cJSON_GetArrayItem(list, (int)k), *mean = cJSON_GetArrayItem(pair, 0),
                    *deviation = cJSON_GetArrayItem(pair, 1);
        ok = cJSON_IsNumber(mean) && cJSON_IsNumber(deviation) && isfinite(mean->valuedouble) &&
             deviation->valuedouble > 0;
        if (ok) s[k] = (struct tl_reward_standard){mean->valuedouble, deviation->valuedouble};
    }
    ok = ok && tl_reward_set_standardise(set, s, err);
    free(s);
    return ok;
}
