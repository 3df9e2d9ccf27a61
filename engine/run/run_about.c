/* run.json: what a run was made of, so that it can be made again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>
#include <tiller/version.h>

#include "io/file.h"
#include "run/run_folder.h"
#include "run/run_folder_inner.h"

bool tl_run_json_add(cJSON *object, const char *key, cJSON *value)
{
    if (value && cJSON_AddItemToObject(object, key, value)) return true;
    cJSON_Delete(value);
    return false;
}

bool tl_run_json_add_text(cJSON *object, const char *key, const char *text)
{
    return tl_run_json_add(object, key, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

cJSON *tl_run_seed_json(uint64_t v)
{
    char text[32];
    if (v <= 1ull << 53) return cJSON_CreateNumber((double)v);
    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    return cJSON_CreateString(text);
}

static cJSON *seeds_json(const struct tl_run_about *about)
{
    cJSON *object = cJSON_CreateObject();
    bool ok = object != NULL;
    for (size_t i = 0; ok && i < about->n_seeds; i++)
        ok = tl_run_json_add(object, about->seeds[i].name, tl_run_seed_json(about->seeds[i].value));
    if (ok) return object;
    cJSON_Delete(object);
    return NULL;
}

static bool add_session(cJSON *object, const struct tl_run_about *about)
{
    char now[32];
    cJSON *device = cJSON_CreateObject();
    bool ok = device && tl_run_json_add_text(device, "name", about->device_name) &&
              tl_run_json_add_text(device, "description", about->device_description);
    if (!ok) {
        cJSON_Delete(device);
        return false;
    }
    return tl_run_json_add_text(object, "version", TL_VERSION) &&
           tl_run_json_add_text(object, "command", about->command) &&
           tl_run_json_add(object, "device", device) &&
           tl_run_json_add_text(object, "started", tl_run_now_text(now));
}

/* Neither stops a run, but its numbers may part in the last digits from those of the beginning. */
static void warn_of_machine(const char *folder, const struct tl_run_about *about, const cJSON *object)
{
    const char *version = NULL, *device = NULL;
    if (tl_json_string(object, "version", NULL, &version, NULL) && version && strcmp(version, TL_VERSION))
        tl_log(TL_LOG_WARN, "%s: begun by version %s, goes on with %s: its numbers may differ a little",
               folder, version, TL_VERSION);
    if (tl_json_string(tl_json_get(object, "device"), "name", NULL, &device, NULL) && device &&
        about->device_name && strcmp(device, about->device_name))
        tl_log(TL_LOG_WARN, "%s: begun on %s, goes on with %s: its numbers will differ in the last digits",
               folder, device, about->device_name);
}

/* One entry of "resumes" in what was read. */
static bool add_resume(cJSON *object, const struct tl_run_about *about)
{
    cJSON *list = cJSON_GetObjectItemCaseSensitive(object, "resumes"), *entry = cJSON_CreateObject();
    if (!list && tl_run_json_add(object, "resumes", cJSON_CreateArray()))
        list = cJSON_GetObjectItemCaseSensitive(object, "resumes");
    bool ok = cJSON_IsArray(list) && entry &&
              tl_run_json_add(entry, "step", cJSON_CreateNumber((double)about->step)) &&
              add_session(entry, about) && cJSON_AddItemToArray(list, entry);
    if (!ok) cJSON_Delete(entry);
    return ok;
}

static bool has_about(const struct tl_run_folder *f)
{
    struct tl_str path = {0};
    bool has = tl_run_folder_path(f, "run.json", &path, NULL) && tl_file_exists(path.data);
    tl_str_finish(&path);
    return has;
}

bool tl_run_folder_write_about(const struct tl_run_folder *f, const struct tl_run_about *about,
                               struct tl_err *err)
{
    bool again = f->begun && has_about(f);
    cJSON *object = again ? tl_run_folder_read_about(f, err) : cJSON_CreateObject();
    cJSON *before = cJSON_GetObjectItemCaseSensitive(object, "inputs");
    cJSON *inputs = object ? tl_run_inputs_json(about, before, err) : NULL;
    bool ok = object && inputs;
    if (ok && again) {
        ok = tl_run_inputs_check(f->path, about, before, inputs, err) &&
             (!before || tl_run_inputs_renew(before, inputs)) && add_resume(object, about);
        if (ok) warn_of_machine(f->path, about, object);
    } else if (ok) {
        ok = add_session(object, about) && tl_run_json_add(object, "seeds", seeds_json(about)) &&
             cJSON_AddItemToObject(object, "inputs", inputs);
        if (ok) inputs = NULL; /* taken over */
    }
    if (!ok) tl_err_set(err, TL_OUTPUT, "%s: run.json cannot be made", f->path);
    ok = ok && tl_run_folder_write_json(f, "run.json", object, err);
    cJSON_Delete(inputs);
    cJSON_Delete(object);
    return ok;
}

bool tl_run_folder_note(const struct tl_run_folder *f, const char *key, cJSON *value, struct tl_err *err)
{
    cJSON *object = tl_run_folder_read_about(f, err);
    bool ok = object != NULL;
    if (ok) {
        cJSON_DeleteItemFromObjectCaseSensitive(object, key);
        ok = tl_run_json_add(object, key, value) || tl_err_set(err, TL_OUTPUT, "%s: out of memory", f->path);
        value = NULL;
    }
    ok = ok && tl_run_folder_write_json(f, "run.json", object, err);
    cJSON_Delete(value);
    cJSON_Delete(object);
    return ok;
}
