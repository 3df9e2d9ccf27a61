/* manifest.json: which files a checkpoint has, and what they must hash to. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <tiller/version.h>

#include "base/sha256.h"
#include "io/file.h"
#include "run/checkpoint_folder.h"

static bool file_size(const char *path, int64_t *out, struct tl_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0) return tl_err_set(err, TL_BAD_INPUT, "%s: is missing", path);
    if (!S_ISREG(st.st_mode)) return tl_err_set(err, TL_BAD_INPUT, "%s: is not a plain file", path);
    *out = (int64_t)st.st_size;
    return true;
}

static cJSON *file_json(const char *folder, const char *name, struct tl_err *err)
{
    struct tl_str path = {0};
    char hex[65];
    int64_t bytes = 0;
    cJSON *item = cJSON_CreateObject();
    tl_path_join(&path, folder, name);
    bool ok = item && !path.failed && file_size(path.data, &bytes, err) &&
              tl_sha256_file(path.data, hex, err) && cJSON_AddStringToObject(item, "name", name) &&
              cJSON_AddNumberToObject(item, "bytes", (double)bytes) &&
              cJSON_AddStringToObject(item, "sha256", hex);
    tl_str_finish(&path);
    if (ok) return item;
    cJSON_Delete(item);
    tl_err_set(err, TL_OUTPUT, "%s: out of memory", name);
    return NULL;
}

bool tl_checkpoint_write_manifest(const char *folder, struct tl_checkpoint_id id, int64_t best,
                                  const char *const *files, size_t n, struct tl_err *err)
{
    struct tl_str path = {0};
    cJSON *manifest = cJSON_CreateObject(), *list = NULL;
    tl_path_join(&path, folder, "manifest.json");
    bool ok = manifest && !path.failed && cJSON_AddNumberToObject(manifest, "format", TL_CHECKPOINT_FORMAT) &&
              cJSON_AddStringToObject(manifest, "version", TL_VERSION) &&
              cJSON_AddNumberToObject(manifest, "step", (double)id.step) &&
              (!id.within || cJSON_AddTrueToObject(manifest, "within")) &&
              (best < 0 || cJSON_AddNumberToObject(manifest, "best", (double)best)) &&
              (list = cJSON_AddArrayToObject(manifest, "files"));
    for (size_t i = 0; ok && i < n; i++) {
        cJSON *item = file_json(folder, files[i], err);
        ok = item && cJSON_AddItemToArray(list, item);
        if (!ok) cJSON_Delete(item);
    }
    if (!ok) tl_err_set(err, TL_OUTPUT, "%s: out of memory for the manifest", folder);
    ok = ok && tl_json_write(path.data, manifest, err);
    cJSON_Delete(manifest);
    tl_str_finish(&path);
    return ok;
}

static bool check_file(const char *folder, const cJSON *item, bool deep, struct tl_err *err)
{
    const char *name = NULL, *wanted = NULL;
    int64_t bytes = 0, found = 0;
    if (!tl_json_string(item, "name", "", &name, err) || !tl_json_string(item, "sha256", "", &wanted, err) ||
        !tl_json_int(item, "bytes", -1, &bytes, err)) {
        return false;
    }
    if (!tl_path_is_inside(name) || strchr(name, '/')) {
        return tl_err_set(err, TL_BAD_INPUT, "its manifest names a file that cannot be its own");
    }
    struct tl_str path = {0};
    char hex[65] = "";
    tl_path_join(&path, folder, name);
    bool ok =
        (!path.failed || tl_err_set(err, TL_BAD_INPUT, "out of memory")) && file_size(path.data, &found, err);
    if (ok && found != bytes) {
        ok = tl_err_set(err, TL_BAD_INPUT, "%s: has %lld bytes, its manifest says %lld", path.data,
                        (long long)found, (long long)bytes);
    }
    ok = ok && (!deep || tl_sha256_file(path.data, hex, err));
    if (ok && deep && strcmp(hex, wanted) != 0) {
        ok = tl_err_set(err, TL_BAD_INPUT, "%s: its bytes are not those that were written (SHA-256 differs)",
                        path.data);
    }
    tl_str_finish(&path);
    return ok;
}

static bool check_manifest(const char *folder, const cJSON *manifest, bool deep,
                           struct tl_checkpoint_id *out_id, struct tl_err *err)
{
    int64_t format = 0;
    if (!tl_json_int(manifest, "format", 0, &format, err)) return false;
    if (format != TL_CHECKPOINT_FORMAT) {
        return tl_err_set(err, TL_BAD_INPUT, "manifest.json: format %lld is not known here",
                          (long long)format);
    }
    if (!tl_json_int(manifest, "step", -1, &out_id->step, err) ||
        !tl_json_bool(manifest, "within", false, &out_id->within, err))
        return false;
    const cJSON *files = tl_json_get(manifest, "files"), *item;
    if (out_id->step < 0 || !cJSON_IsArray(files)) {
        return tl_err_set(err, TL_BAD_INPUT, "manifest.json: no step or no list of files");
    }
    cJSON_ArrayForEach(item, files)
    {
        if (!check_file(folder, item, deep, err)) return false;
    }
    return true;
}

cJSON *tl_checkpoint_verify(const char *folder, bool deep, struct tl_checkpoint_id *out_id,
                            struct tl_err *err)
{
    struct tl_str path = {0};
    tl_path_join(&path, folder, "manifest.json");
    cJSON *manifest = path.failed ? NULL : tl_json_read(path.data, err);
    if (path.failed) tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", folder);
    tl_str_finish(&path);
    if (manifest && check_manifest(folder, manifest, deep, out_id, err)) return manifest;
    cJSON_Delete(manifest);
    return NULL;
}

bool tl_checkpoint_says_best(const char *folder, int64_t *out_best)
{
    struct tl_checkpoint_id id = {-1, false};
    cJSON *manifest = tl_checkpoint_verify(folder, false, &id, NULL);
    *out_best = -1;
    bool ok = manifest && tl_json_int(manifest, "best", -1, out_best, NULL) && *out_best <= id.step;
    if (!ok) *out_best = -1;
    cJSON_Delete(manifest);
    return ok;
}
