#include <string.h>

#include "fuzz/fuzz.h"
#include "io/folder.h"
#include "io/folder_csv.h"
#include "io/json.h"
#include "io/prompts.h"
#include "io/utf8.h"

static void seed_json(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    (void)target;
    fuzz_pool_add_text(pool,
                       "{\"a\": [1, -2.5e-3, 0, 1e308, true, false, null], \"b\": {\"c\": \"d\"}, \"\": {}}");
    fuzz_pool_add_text(
        pool, "\xef\xbb\xbf[\"\\u00e9\\ud83d\\ude00\\n\\t\\\"\\\\\\/\", \"caf\xc3\xa9 \xf0\x9f\x90\x88\"]");
    fuzz_pool_add_text(pool,
                       "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    fuzz_pool_add_text(pool, "-0.30000000000000004");
    fuzz_pool_add_fixture(pool, "clip_model/config.json");
    fuzz_pool_add_fixture(pool, "unet_sd1/config.json");
}

/* What was read is printed, and that reads back and prints the same. */
static void run_json(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    (void)target;
    struct tl_err err = {0};
    cJSON *value = tl_json_parse((const char *)data, n, "mutant", &err);
    fuzz_check_err(value != NULL, &err);
    if (!value) return;
    for (int pretty = 0; pretty < 2; pretty++) {
        char *text = tl_json_print(value, pretty, &err);
        fuzz_require(text);
        cJSON *again = tl_json_parse(text, strlen(text), "printed", &err);
        fuzz_require(again);
        char *twice = tl_json_print(again, pretty, &err);
        fuzz_require(twice && strcmp(text, twice) == 0);
        cJSON_Delete(again);
        free(twice);
        free(text);
    }
    int64_t whole, list[4];
    double real;
    bool truth;
    const char *string;
    size_t n_list;
    for (const cJSON *item = value->child; item && item->string; item = item->next) {
        fuzz_require(cJSON_IsNull(item) || tl_json_get(value, item->string) == item);
        tl_json_int(value, item->string, 1, &whole, NULL);
        tl_json_double(value, item->string, 1, &real, NULL);
        tl_json_bool(value, item->string, true, &truth, NULL);
        tl_json_string(value, item->string, "", &string, NULL);
        tl_json_ints(value, item->string, list, 4, &n_list, NULL);
    }
    cJSON_Delete(value);
}

static const char csv_seed[] =
    "file_name,text,seed\na.png,\"a red cube, \"\"shiny\"\"\",7\nsub/b.png,\"two\nlines\",\n";
static const char jsonl_seed[] =
    "{\"file_name\": \"a.png\", \"text\": \"a red cube\", \"seed\": 7}\n\n"
    "{\"file_name\": \"sub/b.png\", \"prompt\": \"caf\\u00e9\", \"tags\": [1, {}]}\r\n";
static const char list_seed[] = "# a comment\na.png\n./sub/b.png\ta caption\n/nowhere/c.jpg\n\n";

static void seed_csv(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    (void)target;
    fuzz_pool_add_text(pool, csv_seed);
    fuzz_pool_add_text(pool, "\xef\xbb\xbf"
                             "file_name,caption\r\na.png,caf\xc3\xa9\r\n\"sub/b.png\",\"\"\"\"\r\n");
}

static void run_csv(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    (void)target;
    struct tl_arena arena = {0};
    struct tl_err err = {0};
    struct tl_csv csv;
    const char *const *fields;
    size_t n_fields = 0;
    bool ok = tl_csv_begin(&csv, (const char *)data, n, "mutant", &err);
    while (ok && (ok = tl_csv_next(&csv, &arena, &fields, &n_fields, &err)) && n_fields) {
        for (size_t i = 0; i < n_fields; i++) {
            size_t len = strlen(fields[i]);
            fuzz_require(tl_utf8_prefix(fields[i], len) == len);
        }
    }
    fuzz_check_err(ok, &err);
    tl_arena_finish(&arena);
}

/* A folder with two pictures (empty files: only names count here), for metadata and lists to name. */
static void make_folder(void)
{
    fuzz_scratch_folder("data/sub");
    fuzz_scratch_put("data/a.png", "", 0);
    fuzz_scratch_put("data/sub/b.png", "", 0);
}

static void seed_metadata(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    make_folder();
    fuzz_pool_add_text(pool, strstr(target->names[0], "csv") ? csv_seed : jsonl_seed);
    if (strstr(target->names[0], "csv")) seed_csv(target, pool);
}

static void seed_list(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    (void)target;
    make_folder();
    fuzz_pool_add_text(pool, list_seed);
    fuzz_pool_add_text(pool, jsonl_seed);
    fuzz_pool_add_text(pool, csv_seed);
}

static bool is_text(const char *text)
{
    return !text || tl_utf8_prefix(text, strlen(text)) == strlen(text);
}

static void check_folder(struct tl_folder *folder)
{
    for (size_t i = 0; i < folder->n; i++) {
        const struct tl_folder_item *item = &folder->items[i];
        fuzz_require(item->path && item->name && item->repeats >= 0 && is_text(item->caption));
        fuzz_require(!item->trouble || !strchr(item->trouble, '\n'));
        if (!item->json) continue;
        struct tl_err err = {0};
        cJSON *row = tl_json_parse(item->json, strlen(item->json), "row", &err);
        fuzz_require(cJSON_IsObject(row));
        cJSON_Delete(row);
    }
    for (size_t i = 0; i < folder->n_strays; i++) fuzz_require(is_text(folder->strays[i]));
    tl_folder_finish(folder);
}

static void run_metadata(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    struct tl_folder folder = {0};
    struct tl_err err = {0};
    fuzz_scratch_put(target->names[0], data, n);
    bool ok = tl_folder_read(fuzz_scratch("data"), &folder, &err);
    fuzz_scratch_remove(target->names[0]);
    fuzz_check_err(ok, &err);
    if (ok) check_folder(&folder);
}

static void run_list(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    for (const char *const *name = target->names; *name; name++) {
        struct tl_folder folder = {0};
        struct tl_err err = {0};
        bool ok = tl_folder_open_any(fuzz_scratch_put(*name, data, n), TL_MODALITY_IMAGE, TL_FOLDER_CAPTIONS,
                                     &folder, &err);
        fuzz_scratch_remove(*name);
        fuzz_check_err(ok, &err);
        if (ok) check_folder(&folder);
    }
}

static void seed_prompts(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    (void)target;
    fuzz_pool_add_text(pool, "# prompts\n\na red cube\r\n  caf\xc3\xa9 \n");
    fuzz_pool_add_text(
        pool,
        "{\"prompt\": \"a red cube\", \"seed\": 1}\n{\"caption\": \"\", \"x\": [{}]}\n{\"text\": \"b\"}\n");
}

static void run_prompts(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    (void)target;
    for (int jsonl = 0; jsonl < 2; jsonl++) {
        struct tl_prompts prompts = {0};
        struct tl_err err = {0};
        bool ok = tl_prompts_parse((const char *)data, n, jsonl, "mutant", &prompts, &err);
        fuzz_check_err(ok, &err);
        for (size_t i = 0; ok && i < prompts.n; i++)
            fuzz_require(prompts.items[i].text && is_text(prompts.items[i].text));
        if (ok) tl_prompts_finish(&prompts);
    }
}

static const char *const json_words[] = {"{",
                                         "}",
                                         "[",
                                         "]",
                                         "\"",
                                         ",",
                                         ":",
                                         "null",
                                         "true",
                                         "false",
                                         "1e999",
                                         "-0",
                                         "\\u0000",
                                         "\\ud83d",
                                         "\\udc00",
                                         "\\u00e9",
                                         "\xef\xbb\xbf",
                                         "\xed\xa0\x80",
                                         "0.1e-400",
                                         "9007199254740993",
                                         "\"a\":",
                                         NULL};
static const char *const row_words[] = {"\"",
                                        "\"\"",
                                        ",",
                                        "\n",
                                        "\r\n",
                                        "\t",
                                        "file_name",
                                        "text",
                                        "a.png",
                                        "sub/b.png",
                                        "../a.png",
                                        "/etc/passwd",
                                        "\"file_name\":",
                                        "{",
                                        "}",
                                        "\xef\xbb\xbf",
                                        "\xff",
                                        "\\u0000",
                                        "#",
                                        ".",
                                        "/",
                                        NULL};

#define NAMES(...)                                                                                           \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }

const struct fuzz_target fuzz_texts[] = {
    {"json", "JSON, printed and read back", seed_json, run_json, NULL, json_words, NULL},
    {"csv", "comma-separated values", seed_csv, run_csv, NULL, row_words, NULL},
    {"folder_csv", "data folders with metadata.csv", seed_metadata, run_metadata, NULL, row_words,
     NAMES("data/metadata.csv")},
    {"folder_jsonl", "data folders with metadata.jsonl", seed_metadata, run_metadata, NULL, row_words,
     NAMES("data/metadata.jsonl")},
    {"list", "list files of all forms", seed_list, run_list, NULL, row_words,
     NAMES("data/list.txt", "data/list.jsonl", "data/list.csv")},
    {"prompts", "prompt files", seed_prompts, run_prompts, NULL, row_words, NULL},
    {0},
};
