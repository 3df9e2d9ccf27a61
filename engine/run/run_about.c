/* run.json: what a run was made of, so that it can be made again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tiller/log.h>
#include <tiller/version.h>

#include "base/sha256.h"
#include "io/file.h"
#include "run/run_folder.h"

/* Adds a member and takes it over; false, with nothing leaked, where either is missing. */
static bool add(cJSON *object, const char *key, cJSON *value)
{
    if (value && cJSON_AddItemToObject(object, key, value)) return true;
    cJSON_Delete(value);
    return false;
}

static bool add_text(cJSON *object, const char *key, const char *text)
{
    return add(object, key, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static bool add_now(cJSON *object, const char *key)
{
    char text[32];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return add_text(object, key, text);
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
        ok = add(object, about->seeds[i].name, tl_run_seed_json(about->seeds[i].value));
    if (ok) return object;
    cJSON_Delete(object);
    return NULL;
}

static cJSON *inputs_json(const struct tl_run_about *about, struct tl_err *err)
{
    cJSON *list = cJSON_CreateArray();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < about->n_inputs; i++) {
        const struct tl_run_input *in = &about->inputs[i];
        char hex[65] = "";
        if (in->sha256) strncat(hex, in->sha256, sizeof hex - 1);
        cJSON *item = cJSON_CreateObject();
        ok = (in->sha256 || tl_sha256_file(in->path, hex, err)) && item && add_text(item, "name", in->name) &&
             add_text(item, "path", in->path) && add_text(item, "sha256", hex) &&
             cJSON_AddItemToArray(list, item);
        if (!ok) cJSON_Delete(item);
    }
    if (ok) return list;
    cJSON_Delete(list);
    return NULL;
}

static bool add_session(cJSON *object, const struct tl_run_about *about)
{
    cJSON *device = cJSON_CreateObject();
    bool ok = device && add_text(device, "name", about->device_name) &&
              add_text(device, "description", about->device_description);
    if (!ok) {
        cJSON_Delete(device);
        return false;
    }
    return add_text(object, "version", TL_VERSION) && add_text(object, "command", about->command) &&
           add(object, "device", device) && add_now(object, "started");
}

static const char *hash_of(const cJSON *inputs, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, inputs)
    {
        const char *its = NULL, *hash = NULL;
        if (tl_json_string(item, "name", "", &its, NULL) && !strcmp(its, name)) {
            return tl_json_string(item, "sha256", NULL, &hash, NULL) ? hash : NULL;
        }
    }
    return NULL;
}

/* `now` is the list that inputs_json made of about->inputs. */
static bool check_inputs(const char *folder, const struct tl_run_about *about, const cJSON *before,
                         const cJSON *now, struct tl_err *err)
{
    for (size_t i = 0; i < about->n_inputs; i++) {
        const struct tl_run_input *in = &about->inputs[i];
        const char *hash = hash_of(now, in->name), *old = hash_of(before, in->name);
        if (!old || !hash || strcmp(old, hash) == 0) continue;
        if (!in->harmless)
            return tl_err_set(err, TL_BAD_INPUT,
                              "%s (%s) is no longer the file that the run in %s began with; put it back, or "
                              "begin another run",
                              in->path, in->name, folder);
        tl_log(TL_LOG_WARN, "%s: %s (%s) is no longer the file that the run began with", folder, in->name,
               in->path);
    }
    return true;
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

static bool write_about(const struct tl_run_folder *f, const cJSON *value, struct tl_err *err)
{
    struct tl_str path = {0};
    bool ok = tl_run_folder_path(f, "run.json", &path, err) && tl_json_write(path.data, value, err);
    tl_str_finish(&path);
    return ok;
}

/* One entry of "resumes" in what was read. */
static bool add_resume(cJSON *object, const struct tl_run_about *about)
{
    cJSON *list = cJSON_GetObjectItemCaseSensitive(object, "resumes"), *entry = cJSON_CreateObject();
    if (!list && add(object, "resumes", cJSON_CreateArray()))
        list = cJSON_GetObjectItemCaseSensitive(object, "resumes");
    bool ok = cJSON_IsArray(list) && entry && add(entry, "step", cJSON_CreateNumber((double)about->step)) &&
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
    cJSON *inputs = object ? inputs_json(about, err) : NULL;
    bool ok = object && inputs;
    if (ok && again) {
        ok = check_inputs(f->path, about, tl_json_get(object, "inputs"), inputs, err) &&
             add_resume(object, about);
        if (ok) warn_of_machine(f->path, about, object);
    } else if (ok) {
        ok = add_session(object, about) && add(object, "seeds", seeds_json(about)) &&
             cJSON_AddItemToObject(object, "inputs", inputs);
        if (ok) inputs = NULL; /* taken over */
    }
    if (!ok) tl_err_set(err, TL_OUTPUT, "%s: run.json cannot be made", f->path);
    ok = ok && write_about(f, object, err);
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
        ok = add(object, key, value) || tl_err_set(err, TL_OUTPUT, "%s: out of memory", f->path);
        value = NULL;
    }
    ok = ok && write_about(f, object, err);
    cJSON_Delete(value);
    cJSON_Delete(object);
    return ok;
}
