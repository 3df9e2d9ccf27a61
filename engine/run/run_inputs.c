/* What a run was made from, as hashes: files, and folders of models. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <tiller/log.h>

#include "base/sha256.h"
#include "io/file.h"
#include "rewards/exec_spec.h"
#include "rewards/reward_ensemble.h"
#include "run/run_folder.h"
#include "run/run_folder_inner.h"

/* ---- the list ---- */

static bool no_memory(struct tl_err *err)
{
    return tl_err_set(err, TL_FAIL, "out of memory");
}

static size_t count_named(const struct tl_run_inputs *in, const char *name)
{
    size_t count = 0, len = strlen(name);
    for (size_t i = 0; i < in->n; i++)
        count +=
            !strncmp(in->list[i].name, name, len) && (!in->list[i].name[len] || in->list[i].name[len] == ' ');
    return count;
}

bool tl_run_inputs_add(struct tl_run_inputs *in, const char *name, const char *path, struct tl_err *err)
{
    if (!path || !*path) return true;
    if (in->n == in->size) {
        size_t size = in->size ? 2 * in->size : 8;
        struct tl_run_input *list = tl_arena_alloc(&in->arena, size, sizeof *list);
        if (!list) return no_memory(err);
        if (in->n) memcpy(list, in->list, in->n * sizeof *list);
        in->list = list;
        in->size = size;
    }
    size_t before = count_named(in, name);
    const char *own =
        before ? tl_arena_printf(&in->arena, "%s %zu", name, before + 1) : tl_arena_strdup(&in->arena, name);
    const char *where = tl_arena_strdup(&in->arena, path);
    if (!own || !where) return no_memory(err);
    in->list[in->n++] = (struct tl_run_input){.name = own, .path = where};
    return true;
}

/* What a word of a reward's spec names on the disk: "clip:FOLDER", "encoder=FOLDER", "FOLDER@2"; NULL:
 * nothing.
 */
static const char *place_of(struct tl_arena *arena, const char *word)
{
    char *copy = tl_arena_strdup(arena, word), *at = copy ? strrchr(copy, '@') : NULL;
    for (int round = 0; copy && round < 2; round++) {
        for (const char *start = copy; start; start = strpbrk(start, ":=") ? strpbrk(start, ":=") + 1 : NULL)
            if (*start && tl_file_exists(start)) return start;
        if (!at) break;
        *at = 0; /* a weight, then */
    }
    return NULL;
}

static bool is_plain_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* A program of the user's, and the files among its arguments. What decides is the program itself, or, where
 * that is an interpreter of the system, the first file that it is given; others may be what it writes to. */
static bool add_command(struct tl_run_inputs *in, const char *name, const char *arg, struct tl_err *err)
{
    struct tl_exec_spec spec;
    if (!tl_exec_spec_parse(arg, &spec, err)) return false;
    bool ok = true, decided = false;
    for (size_t i = 0; ok && i < spec.n_words; i++) {
        const char *word = spec.words[i], *value = strchr(word, '=');
        if (i == 0 && !strchr(word, '/')) continue; /* found by PATH: an update of the system is no change */
        const char *file = is_plain_file(word) ? word : value && is_plain_file(value + 1) ? value + 1 : NULL;
        if (!file) continue;
        ok = tl_run_inputs_add(in, name, file, err);
        if (ok) in->list[in->n - 1].harmless = decided;
        decided = true;
    }
    tl_exec_spec_finish(&spec);
    return ok;
}

static bool add_ensemble(struct tl_run_inputs *in, const char *name, const char *spec, struct tl_err *err)
{
    struct tl_reward_spec parts;
    struct tl_combination all = {0};
    bool ok = tl_reward_spec_parse(spec, &parts, err) &&
              tl_combination_parse(parts.arg, tl_reward_classes, &all, err);
    for (size_t i = 0; ok && i < all.n; i++) ok = tl_run_inputs_add_reward(in, name, all.members[i], err);
    tl_combination_finish(&all);
    tl_reward_spec_finish(&parts);
    return ok;
}

bool tl_run_inputs_add_reward(struct tl_run_inputs *in, const char *name, const char *spec,
                              struct tl_err *err)
{
    struct tl_reward_spec parts;
    if (strncmp(spec, "ensemble:", 9) == 0) return add_ensemble(in, name, spec, err);
    if (strncmp(spec, "exec:", 5) == 0 || strncmp(spec, "exec-set:", 9) == 0) {
        bool ok = tl_reward_spec_parse(spec, &parts, err) && add_command(in, name, parts.arg, err);
        tl_reward_spec_finish(&parts);
        return ok;
    }
    const char *arg = strchr(spec, ':');
    char *words = tl_arena_strdup(&in->arena, arg ? arg + 1 : ""), *rest = NULL;
    if (!words) return no_memory(err);
    for (char *word = strtok_r(words, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
        if (!tl_run_inputs_add(in, name, place_of(&in->arena, word), err)) return false;
    return true;
}

void tl_run_inputs_finish(struct tl_run_inputs *in)
{
    tl_arena_finish(&in->arena);
    *in = (struct tl_run_inputs){0};
}

/* ---- folders ---- */

struct walk {
    struct tl_arena arena;
    const char *root;
    const cJSON *known; /* "files" of the beginning, or NULL */
    cJSON *files;       /* owns until it is handed over */
    struct tl_sha256 all;
    bool pipeline; /* root is one: its components are folders */
};

static const cJSON *find_named(const cJSON *list, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const char *its = NULL;
        if (tl_json_string(item, "name", "", &its, NULL) && !strcmp(its, name)) return item;
    }
    return NULL;
}

static const char *text_of(const cJSON *item, const char *key)
{
    const char *text = NULL;
    return item && tl_json_string(item, key, NULL, &text, NULL) && text ? text : "";
}

/* The hash that is known of a file with this size and time, or one that is made now. */
static bool hash_file(const cJSON *known, const char *path, double bytes, const char *time, char out[65],
                      struct tl_err *err)
{
    const char *hash = text_of(known, "sha256");
    const cJSON *size = tl_json_get(known, "bytes");
    bool same = cJSON_IsNumber(size) && size->valuedouble == bytes && !strcmp(text_of(known, "mtime"), time);
    if (!same || strlen(hash) != 64) return tl_sha256_file(path, out, err);
    memcpy(out, hash, 65);
    return true;
}

/* `name` within root. */
static bool add_file(struct walk *w, const char *name, struct tl_err *err)
{
    struct stat st;
    char hex[65], time[64];
    const char *path = tl_path_join_in(&w->arena, w->root, name);
    if (!path) return no_memory(err);
    if (stat(path, &st) != 0) return tl_err_set(err, TL_BAD_INPUT, "%s: cannot be read", path);
    snprintf(time, sizeof time, "%lld.%09ld", (long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec);
    if (!hash_file(find_named(w->known, name), path, (double)st.st_size, time, hex, err)) return false;
    tl_sha256_add(&w->all, hex, 64);
    tl_sha256_add(&w->all, "  ", 2);
    tl_sha256_add(&w->all, name, strlen(name));
    tl_sha256_add(&w->all, "\n", 1);
    cJSON *item = cJSON_CreateObject();
    bool ok = item && tl_run_json_add_text(item, "name", name) &&
              cJSON_AddNumberToObject(item, "bytes", (double)st.st_size) &&
              tl_run_json_add_text(item, "mtime", time) && tl_run_json_add_text(item, "sha256", hex) &&
              cJSON_AddItemToArray(w->files, item);
    if (!ok) cJSON_Delete(item);
    return ok || no_memory(err);
}

/* X.VARIANT.safetensors beside X.safetensors: nobody reads it here. */
static bool is_variant(struct walk *w, const char *folder, const char *name)
{
    static const char ending[] = ".safetensors";
    size_t len = strlen(name) - (sizeof ending - 1);
    const char *stem = tl_arena_printf(&w->arena, "%.*s", (int)len, name),
               *dot = stem ? strrchr(stem, '.') : NULL;
    if (!dot) return false;
    const char *plain = tl_arena_printf(&w->arena, "%s/%.*s%s", folder, (int)(dot - stem), stem, ending);
    return plain && tl_file_exists(plain);
}

/* Weights, configs and vocabularies; of a pipeline those of its components that are used here. */
static bool is_read(struct walk *w, const char *folder, const char *name, bool top)
{
    if (name[0] == '.') return false;
    if (tl_str_ends(name, ".safetensors")) return !(top && w->pipeline) && !is_variant(w, folder, name);
    return tl_str_ends(name, ".json") || tl_str_ends(name, ".txt");
}

static bool is_component(const char *name)
{
    return name[0] != '.' && strcmp(name, "safety_checker") != 0 && strcmp(name, "feature_extractor") != 0;
}

/* `sub`: "" or a component. */
static bool walk_folder(struct walk *w, const char *sub, struct tl_err *err)
{
    const char *const *names;
    size_t n;
    bool top = !*sub;
    const char *folder = top ? w->root : tl_path_join_in(&w->arena, w->root, sub);
    if (!folder) return no_memory(err);
    if (!tl_file_list(folder, &w->arena, &names, &n, err)) return false;
    for (size_t i = 0; i < n; i++) {
        const char *path = tl_path_join_in(&w->arena, folder, names[i]);
        const char *name = tl_path_join_in(&w->arena, sub, names[i]);
        if (!path || !name) return no_memory(err);
        bool ok = true;
        if (tl_file_is_folder(path))
            ok = !top || !w->pipeline || !is_component(names[i]) || walk_folder(w, name, err);
        else if (is_read(w, folder, names[i], top))
            ok = add_file(w, name, err);
        if (!ok) return false;
    }
    return true;
}

/* Hash of what `sha256sum` would print of the folder's files, and the files into *out_files. */
static bool hash_folder(const char *path, const cJSON *known, char out[65], cJSON **out_files,
                        struct tl_err *err)
{
    struct walk w = {.root = path, .known = known, .files = cJSON_CreateArray()};
    tl_sha256_init(&w.all);
    const char *index = tl_path_join_in(&w.arena, path, "model_index.json");
    w.pipeline = index && tl_file_exists(index);
    bool ok = ((w.files && index) || no_memory(err)) && walk_folder(&w, "", err);
    tl_sha256_hex(&w.all, out);
    tl_arena_finish(&w.arena);
    *out_files = ok ? w.files : NULL;
    if (!ok) cJSON_Delete(w.files);
    return ok;
}

/* ---- run.json ---- */

static cJSON *input_json(const struct tl_run_input *in, const cJSON *before, struct tl_err *err)
{
    char hex[65] = "";
    cJSON *item = cJSON_CreateObject(), *files = NULL;
    bool ok = item || no_memory(err);
    if (in->sha256)
        strncat(hex, in->sha256, sizeof hex - 1);
    else if (ok && tl_file_is_folder(in->path))
        ok = hash_folder(in->path, tl_json_get(find_named(before, in->name), "files"), hex, &files, err);
    else
        ok = ok && tl_sha256_file(in->path, hex, err);
    if (ok && tl_run_json_add_text(item, "name", in->name) && tl_run_json_add_text(item, "path", in->path) &&
        tl_run_json_add_text(item, "sha256", hex)) {
        if (!files || tl_run_json_add(item, "files", files)) return item;
        files = NULL; /* taken over, and gone */
    }
    if (ok) no_memory(err);
    cJSON_Delete(files);
    cJSON_Delete(item);
    return NULL;
}

cJSON *tl_run_inputs_json(const struct tl_run_about *about, const cJSON *before, struct tl_err *err)
{
    cJSON *list = cJSON_CreateArray();
    bool ok = list || no_memory(err);
    for (size_t i = 0; ok && i < about->n_inputs; i++) {
        cJSON *item = input_json(&about->inputs[i], before, err);
        ok = item && cJSON_AddItemToArray(list, item);
        if (!ok) cJSON_Delete(item);
    }
    if (ok) return list;
    cJSON_Delete(list);
    return NULL;
}

/* The first file of a folder that is another one, gone, or new; NULL: not known. */
static const char *first_other(const cJSON *before, const cJSON *now)
{
    const cJSON *const sides[2] = {tl_json_get(before, "files"), tl_json_get(now, "files")};
    const cJSON *item;
    if (!sides[0] || !sides[1]) return NULL;
    for (int side = 0; side < 2; side++) {
        cJSON_ArrayForEach(item, sides[side])
        {
            const cJSON *other = find_named(sides[1 - side], text_of(item, "name"));
            if (strcmp(text_of(item, "sha256"), text_of(other, "sha256")) != 0) return text_of(item, "name");
        }
    }
    return NULL;
}

bool tl_run_inputs_check(const char *folder, const struct tl_run_about *about, const cJSON *before,
                         const cJSON *now, struct tl_err *err)
{
    for (size_t i = 0; i < about->n_inputs; i++) {
        const struct tl_run_input *in = &about->inputs[i];
        const cJSON *is = find_named(now, in->name), *was = find_named(before, in->name);
        const char *hash = text_of(is, "sha256"), *old = text_of(was, "sha256");
        if (!*old || !*hash || strcmp(old, hash) == 0) continue;
        const char *kind = tl_json_get(is, "files") ? "folder" : "file", *file = first_other(was, is);
        if (!in->harmless)
            return tl_err_set(
                err, TL_BAD_INPUT,
                "%s (%s) is no longer the %s that the run in %s began with%s%s%s; put it back, or "
                "begin another run",
                in->path, in->name, kind, folder, file ? " (" : "", file ? file : "",
                file ? " differs)" : "");
        tl_log(TL_LOG_WARN, "%s: %s (%s) is no longer the %s that the run began with", folder, in->name,
               in->path, kind);
    }
    return true;
}

bool tl_run_inputs_renew(cJSON *before, const cJSON *now)
{
    const cJSON *is;
    cJSON_ArrayForEach(is, now)
    {
        cJSON *was = (cJSON *)(uintptr_t)find_named(before, text_of(is, "name"));
        const cJSON *files = tl_json_get(is, "files");
        if (was && (!files || strcmp(text_of(was, "sha256"), text_of(is, "sha256")) != 0)) continue;
        cJSON *copy = cJSON_Duplicate(was ? files : is, true);
        if (was) cJSON_DeleteItemFromObjectCaseSensitive(was, "files");
        if (was ? !tl_run_json_add(was, "files", copy) : !copy || !cJSON_AddItemToArray(before, copy)) {
            if (!was) cJSON_Delete(copy);
            return false;
        }
    }
    return true;
}
