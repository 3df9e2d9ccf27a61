#include <tiller/config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "io/file.h"
#include "io/json.h"
#include "io/option_json.h"
#include "run/resume_check.h"

bool tl_config_read(struct tl_options *const *sets, size_t n_sets, const char *path, struct tl_err *err)
{
    return tl_options_read_json(sets, n_sets, path, TL_FROM_FILE, err);
}

/* {"seeds": {"seed": N}}; a seed beyond 2^53 is a string. */
static bool read_seed(struct tl_options *const *sets, size_t n_sets, const char *path, struct tl_err *err)
{
    cJSON *run = tl_json_read(path, err);
    const cJSON *seed = tl_json_get(tl_json_get(run, "seeds"), "seed");
    char pair[64] = "";
    bool ok = run != NULL;
    if (cJSON_IsNumber(seed)) snprintf(pair, sizeof pair, "seed=%.0f", seed->valuedouble);
    if (cJSON_IsString(seed)) snprintf(pair, sizeof pair, "seed=%s", seed->valuestring);
    if (ok && *pair)
        ok = tl_options_set_pair(sets, n_sets, pair, TL_FROM_FILE, err) || tl_err_add(err, "%s", path);
    cJSON_Delete(run);
    return ok;
}

bool tl_config_read_run(struct tl_options *const *sets, size_t n_sets, const char *folder, struct tl_err *err)
{
    struct tl_str path = {0};
    tl_path_join(&path, folder, "config.json");
    cJSON *config = path.data && !path.failed ? tl_json_read(path.data, err) : NULL;
    bool ok = config != NULL, has_seed = tl_json_get(config, "seed") != NULL;
    for (size_t i = 0; ok && i < n_sets; i++) ok = tl_resume_check(sets[i], config, true, err);
    if (config && !ok) tl_err_add(err, "%s", folder);
    if (ok && !tl_options_from_json(sets, n_sets, config, TL_FROM_FILE, err))
        ok = tl_err_add(err, "%s", path.data);
    if (ok && !has_seed) { /* it stood in run.json alone */
        tl_path_join(&path, folder, "run.json");
        ok = !path.failed && (!tl_file_exists(path.data) || read_seed(sets, n_sets, path.data, err));
    }
    if (!ok) tl_err_set(err, TL_FAIL, "out of memory");
    cJSON_Delete(config);
    tl_str_finish(&path);
    return ok;
}

char *tl_config_text(const char *path, const char *key, struct tl_err *err)
{
    cJSON *json = tl_json_read(path, err);
    const char *text = NULL;
    char *copy = NULL;
    if (json && !tl_json_string(json, key, NULL, &text, err)) tl_err_add(err, "%s", path);
    if (text && !(copy = strdup(text))) tl_err_set(err, TL_FAIL, "out of memory");
    cJSON_Delete(json);
    return copy;
}
