/* The weights of a component folder: one file, or shards behind an index. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

#include "base/arena.h"
#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"

enum { MOST_SHARDS = 4096 };

struct tl_st_set {
    struct tl_arena arena;     /* owns the names below */
    struct tl_st_file **files; /* owns */
    const char **names;        /* file names as the index has them */
    const char **paths;
    size_t n_files, size;
    const struct tl_st_tensor **tensors; /* owns the array; by name */
    size_t n_tensors;
};

void tl_st_set_close(struct tl_st_set **set)
{
    struct tl_st_set *s = *set;
    *set = NULL;
    if (!s) return;
    for (size_t i = 0; i < s->n_files; i++) tl_st_close(&s->files[i]);
    free(s->files);
    free((void *)s->names);
    free((void *)s->paths);
    free((void *)s->tensors);
    tl_arena_finish(&s->arena);
    free(s);
}

static bool no_memory(const char *path, struct tl_err *err)
{
    return tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", path);
}

/* Opens a file into the set; `name` is what the index calls it. */
static bool add_file(struct tl_st_set *s, const char *path, const char *name, struct tl_err *err)
{
    if (s->n_files == s->size) {
        size_t size = s->size ? 2 * s->size : 8;
        struct tl_st_file **files = realloc(s->files, size * sizeof *files);
        if (files) s->files = files;
        const char **names = realloc((void *)s->names, size * sizeof *names);
        if (names) s->names = names;
        const char **paths = realloc((void *)s->paths, size * sizeof *paths);
        if (paths) s->paths = paths;
        if (!files || !names || !paths) return no_memory(path, err);
        s->size = size;
    }
    const char *kept_name = tl_arena_strdup(&s->arena, name), *kept_path = tl_arena_strdup(&s->arena, path);
    if (!kept_name || !kept_path) return no_memory(path, err);
    struct tl_st_file *file = tl_st_open(path, err);
    if (!file) return false;
    s->files[s->n_files] = file;
    s->names[s->n_files] = kept_name;
    s->paths[s->n_files++] = kept_path;
    return true;
}

/* The file that holds this very tensor. */
static const char *owner(const struct tl_st_set *s, const struct tl_st_tensor *t)
{
    for (size_t i = 0; i < s->n_files; i++) {
        if (tl_st_find(s->files[i], t->name) == t) return s->names[i];
    }
    return "?";
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct tl_st_tensor *const *)a)->name,
                  (*(const struct tl_st_tensor *const *)b)->name);
}

/* One sorted list over all files; a name in two of them is an error. */
static bool gather(struct tl_st_set *s, const char *what, struct tl_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_files; i++) n += tl_st_count(s->files[i]);
    s->tensors = malloc((n ? n : 1) * sizeof *s->tensors);
    if (!s->tensors) return no_memory(what, err);
    for (size_t i = 0; i < s->n_files; i++) {
        for (size_t j = 0; j < tl_st_count(s->files[i]); j++) {
            s->tensors[s->n_tensors++] = tl_st_at(s->files[i], j);
        }
    }
    qsort(s->tensors, n, sizeof *s->tensors, by_name);
    for (size_t i = 1; i < n; i++) {
        if (by_name(&s->tensors[i - 1], &s->tensors[i]) == 0) {
            return tl_err_set(err, TL_BAD_INPUT, "%s: the tensor %.200s is in two shards, %s and %s", what,
                              s->tensors[i]->name, owner(s, s->tensors[i - 1]), owner(s, s->tensors[i]));
        }
    }
    return true;
}

/* Index of the shard in the set, opening it when it is named first. */
static bool shard_of(struct tl_st_set *s, const char *folder, const char *name, size_t *inout,
                     struct tl_err *err)
{
    if (*inout < s->n_files && !strcmp(s->names[*inout], name)) return true; /* mostly the last one again */
    for (size_t i = 0; i < s->n_files; i++) {
        if (strcmp(s->names[i], name)) continue;
        *inout = i;
        return true;
    }
    if (!tl_path_is_inside(name) || strchr(name, '/')) {
        return tl_err_set(err, TL_BAD_INPUT, "the shard \"%.200s\" is not a plain file name", name);
    }
    if (s->n_files == MOST_SHARDS) return tl_err_set(err, TL_BAD_INPUT, "more than %d shards", MOST_SHARDS);
    const char *path = tl_path_join_in(&s->arena, folder, name);
    if (!path) return no_memory(name, err);
    *inout = s->n_files;
    return add_file(s, path, name, err);
}

static int map_order(const void *a, const void *b)
{
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* Tensors of the shards that the map does not list are kept, with one warning: the file was written with
 * care, the index was not. Both lists are sorted. */
static bool warn_unlisted(const struct tl_st_set *s, const cJSON *map, const char *index, struct tl_err *err)
{
    size_t n = 0, unlisted = 0, j = 0, i = 0;
    const char *first = NULL;
    const cJSON *item;
    cJSON_ArrayForEach(item, map) n++;
    const cJSON **order = malloc((n ? n : 1) * sizeof *order);
    if (!order) return no_memory(index, err);
    cJSON_ArrayForEach(item, map) order[i++] = item;
    qsort(order, n, sizeof *order, map_order);
    for (i = 0; i < s->n_tensors; i++) {
        while (j < n && strcmp(order[j]->string, s->tensors[i]->name) < 0) j++;
        if (j < n && !strcmp(order[j]->string, s->tensors[i]->name)) continue;
        if (!unlisted++) first = s->tensors[i]->name;
    }
    if (unlisted) {
        tl_log(TL_LOG_WARN,
               "%s: %zu tensors of the shards are not listed, %s is the first; they are used all the same",
               index, unlisted, first);
    }
    free((void *)order);
    return true;
}

static bool read_index(struct tl_st_set *s, const char *folder, const char *index, struct tl_err *err)
{
    cJSON *json = tl_json_read(index, err);
    if (!json) return false;
    const cJSON *map = tl_json_get(json, "weight_map"), *item;
    size_t n = 0, shard = 0;
    bool ok = cJSON_IsObject(map) && map->child != NULL;
    if (!ok) tl_err_set(err, TL_BAD_INPUT, "%s: no \"weight_map\" object in it", index);
    cJSON_ArrayForEach(item, map)
    {
        if (!ok) break;
        if (++n > TL_ST_MAX_TENSORS) {
            ok = tl_err_set(err, TL_BAD_INPUT, "%s: more than the %d tensors allowed", index,
                            TL_ST_MAX_TENSORS);
        } else if (!cJSON_IsString(item)) {
            ok = tl_err_set(err, TL_BAD_INPUT, "%s: %.200s: a file name expected", index, item->string);
        } else if (!shard_of(s, folder, item->valuestring, &shard, err)) {
            ok = tl_err_add(err, "%s", index);
        } else if (!tl_st_find(s->files[shard], item->string)) {
            ok = tl_err_set(err, TL_BAD_INPUT, "%s: %.200s is not in %s, where the index has it", index,
                            item->string, item->valuestring);
        }
    }
    ok = ok && gather(s, index, err) && warn_unlisted(s, map, index, err);
    cJSON_Delete(json);
    return ok;
}

/* How files of weights are named; the first form that is there is taken. */
enum { NAME_SIZE = 256, N_FORMS = 2, N_NAMES = 3 };
static const char *const endings[N_FORMS] = {"safetensors", "bin"};

struct names {
    char index[NAME_SIZE], legacy[NAME_SIZE], single[NAME_SIZE];
};

static struct names names_of(const char *base, const char *ending, const char *variant)
{
    struct names n;
    /* transformers calls model.safetensors pytorch_model in the other form. */
    if (!strcmp(ending, "bin") && !strcmp(base, "model")) base = "pytorch_model";
    if (variant) {
        snprintf(n.index, NAME_SIZE, "%s.%s.index.%s.json", base, ending, variant);
        snprintf(n.legacy, NAME_SIZE, "%s.%s.%s.index.json", base, ending, variant);
        snprintf(n.single, NAME_SIZE, "%s.%s.%s", base, variant, ending);
    } else {
        snprintf(n.index, NAME_SIZE, "%s.%s.index.json", base, ending);
        *n.legacy = 0;
        snprintf(n.single, NAME_SIZE, "%s.%s", base, ending);
    }
    return n;
}

/* Nothing to open: says what was looked for, and what stands there instead. */
static bool not_found(struct tl_st_set *s, const char *folder, const struct names *wanted, struct tl_err *err)
{
    const char *const *names;
    const char *pickle = NULL, *other = NULL;
    size_t n;
    if (!tl_file_list(folder, &s->arena, &names, &n, err)) return false;
    for (size_t i = 0; i < n; i++) {
        if (tl_str_ends(names[i], ".bin") || tl_str_ends(names[i], ".pt") || tl_str_ends(names[i], ".pth") ||
            tl_str_ends(names[i], ".ckpt"))
            pickle = names[i];
        if (tl_str_ends(names[i], ".safetensors")) other = names[i];
    }
    if (other || pickle) {
        return tl_err_set(err, TL_BAD_INPUT,
                          "%s: neither %s nor %s nor %s is there, but %s is: is a variant wanted?", folder,
                          wanted[0].index, wanted[0].single, wanted[1].single, other ? other : pickle);
    }
    return tl_err_set(err, TL_BAD_INPUT, "%s: neither %s nor %s nor %s is there", folder, wanted[0].index,
                      wanted[0].single, wanted[1].single);
}

static bool open_folder(struct tl_st_set *s, const char *folder, const char *base, const char *variant,
                        struct tl_err *err)
{
    struct names names[N_FORMS];
    if (variant && (!tl_path_is_inside(variant) || strchr(variant, '/') || strlen(variant) > 64)) {
        return tl_err_set(err, TL_BAD_INPUT, "\"%.100s\" cannot be the name of a variant", variant);
    }
    for (int form = 0; form < N_FORMS; form++) {
        names[form] = names_of(base, endings[form], variant);
        const char *tries[N_NAMES] = {names[form].index, names[form].legacy, names[form].single};
        for (int i = 0; i < N_NAMES; i++) {
            if (!*tries[i]) continue;
            const char *path = tl_path_join_in(&s->arena, folder, tries[i]);
            if (!path) return no_memory(folder, err);
            if (!tl_file_exists(path)) continue;
            if (tries[i] != names[form].single) return read_index(s, folder, path, err);
            return add_file(s, path, tries[i], err) && gather(s, path, err);
        }
    }
    return not_found(s, folder, names, err);
}

struct tl_st_set *tl_st_set_open(const char *folder, const char *base, const char *variant,
                                 struct tl_err *err)
{
    struct tl_st_set *s = calloc(1, sizeof *s);
    if (!s) {
        no_memory(folder, err);
    } else if (!open_folder(s, folder, base, variant && *variant ? variant : NULL, err)) {
        tl_st_set_close(&s);
    }
    return s;
}

struct tl_st_set *tl_st_set_open_file(const char *path, struct tl_err *err)
{
    struct tl_st_set *s = calloc(1, sizeof *s);
    if (!s) {
        no_memory(path, err);
    } else if (!add_file(s, path, tl_path_base(path), err) || !gather(s, path, err)) {
        tl_st_set_close(&s);
    }
    return s;
}

void tl_st_set_let_go(const struct tl_st_set *set)
{
    for (size_t i = 0; i < set->n_files; i++) tl_st_let_go(set->files[i]);
}

size_t tl_st_set_count(const struct tl_st_set *set)
{
    return set->n_tensors;
}

const struct tl_st_tensor *tl_st_set_at(const struct tl_st_set *set, size_t i)
{
    return set->tensors[i];
}

static int name_order(const void *name, const void *tensor)
{
    return strcmp(name, (*(const struct tl_st_tensor *const *)tensor)->name);
}

const struct tl_st_tensor *tl_st_set_find(const struct tl_st_set *set, const char *name)
{
    const struct tl_st_tensor *const *found =
        bsearch(name, set->tensors, set->n_tensors, sizeof *set->tensors, name_order);
    return found ? *found : NULL;
}

const char *tl_st_set_meta_find(const struct tl_st_set *set, const char *key)
{
    for (size_t i = 0; i < set->n_files; i++) {
        const char *value = tl_st_meta_find(set->files[i], key);
        if (value) return value;
    }
    return NULL;
}

size_t tl_st_set_files(const struct tl_st_set *set)
{
    return set->n_files;
}

const char *tl_st_set_path(const struct tl_st_set *set, size_t i)
{
    return set->paths[i];
}

const struct tl_st_file *tl_st_set_file(const struct tl_st_set *set, size_t i)
{
    return set->files[i];
}
