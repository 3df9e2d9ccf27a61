/* A mutant is a whole tokenizer folder: its files one behind the other with a byte 0xFF, which no text has,
 * between them, in the order of the target's names. An empty one is not there. So pieces travel between
 * files, too. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "io/file.h"
#include "models/clip_bpe.h"
#include "models/roberta_bpe.h"

enum { FENCE = 0xFF, MOST_IDS = 12 };

/* The files that a fixture has. */
static void add_folder(const struct fuzz_target *target, struct fuzz_pool *pool, const char *fixture)
{
    struct fuzz_bytes seed = {0};
    for (const char *const *name = target->names; *name; name++) {
        char path[1024];
        size_t n = 0;
        snprintf(path, sizeof path, "%s/tests/fixtures/%s/%s", TL_SOURCE_DIR, fixture, *name);
        uint8_t *data = tl_file_exists(path) ? tl_file_read(path, FUZZ_MOST_BYTES, &n, NULL) : NULL;
        if (name != target->names) fuzz_bytes_splice(&seed, seed.n, 0, "\xff", 1);
        fuzz_bytes_splice(&seed, seed.n, 0, data, n);
        free(data);
    }
    fuzz_pool_add(pool, seed.data, seed.n);
    fuzz_bytes_finish(&seed);
}

static void seed_clip(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    fuzz_scratch_folder("tokenizer");
    fuzz_scratch_folder("saved");
    if (strcmp(target->names[0], "tokenizer.json") == 0) {
        add_folder(target, pool, "tokenizer/byte_json");
        return;
    }
    add_folder(target, pool, "tokenizer/toy23");
    add_folder(target, pool, "tokenizer/byte_old");
}

static void seed_roberta(const struct fuzz_target *target, struct fuzz_pool *pool)
{
    fuzz_scratch_folder("tokenizer");
    if (strcmp(target->names[0], "tokenizer.json") == 0) {
        add_folder(target, pool, "roberta/json");
        return;
    }
    add_folder(target, pool, "roberta/old");
    add_folder(target, pool, "roberta/prefix");
}

static void put_folder(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    const uint8_t *end = data + n;
    for (const char *const *name = target->names; *name; name++) {
        char path[64];
        snprintf(path, sizeof path, "tokenizer/%s", *name);
        const uint8_t *fence = data < end && name[1] ? memchr(data, FENCE, (size_t)(end - data)) : NULL;
        size_t len = (size_t)((fence ? fence : end) - data);
        if (len)
            fuzz_scratch_put(path, data, len);
        else
            fuzz_scratch_remove(path);
        data = fence ? fence + 1 : end;
    }
}

static const char *const texts[] = {
    "", "a low lower  Lower!",
    "it's 2026 caf\xc3\xa9 \xe7\x8c\xab\xf0\x9f\x90\x88 <|endoftext|>x<mask> </s>\n\t."};

/* The two families have the same calls. */
struct family {
    bool (*tokenize)(const void *tok, const char *text, struct tl_bpe_ids *out, struct tl_err *err);
    bool (*encode)(const void *tok, const char *text, size_t max_len, int32_t *out_ids, size_t *out_used,
                   size_t *out_cut, struct tl_str *out_cut_text, struct tl_err *err);
    void (*decode)(const void *tok, const int32_t *ids, size_t n, struct tl_str *out);
};

static void check_text(const struct family *family, const void *tok, struct tl_bpe_info info,
                       const char *text)
{
    struct tl_bpe_ids ids = {0};
    struct tl_str out = {0};
    struct tl_err err = {0};
    bool ok = family->tokenize(tok, text, &ids, &err);
    fuzz_check_err(ok, &err);
    for (size_t i = 0; i < ids.n; i++) fuzz_require(ids.ids[i] >= 0 && (size_t)ids.ids[i] < info.n_vocab);
    family->decode(tok, ids.ids, ids.n, &out);
    tl_bpe_ids_finish(&ids);
    for (size_t len = 2; len <= MOST_IDS; len += 5) {
        int32_t *framed = malloc(len * sizeof *framed); /* of this length exactly */
        size_t used = 0, cut = 0;
        fuzz_require(framed);
        tl_err_clear(&err);
        ok = family->encode(tok, text, len, framed, &used, &cut, &out, &err);
        fuzz_check_err(ok, &err);
        fuzz_require(!ok || (used >= 2 && used <= len));
        if (ok) family->decode(tok, framed, len, &out);
        free(framed);
    }
    const int32_t odd[] = {-1, INT32_MIN, INT32_MAX, (int32_t)info.n_vocab, 0};
    family->decode(tok, odd, sizeof odd / sizeof *odd, &out);
    fuzz_require(!out.failed);
    tl_str_finish(&out);
}

#define FAMILY(kind)                                                                                         \
    static bool kind##_tokenize(const void *tok, const char *text, struct tl_bpe_ids *out,                   \
                                struct tl_err *err)                                                          \
    {                                                                                                        \
        return tl_##kind##_bpe_tokenize(tok, text, out, err);                                                \
    }                                                                                                        \
    static bool kind##_encode(const void *tok, const char *text, size_t max_len, int32_t *out_ids,           \
                              size_t *out_used, size_t *out_cut, struct tl_str *out_cut_text,                \
                              struct tl_err *err)                                                            \
    {                                                                                                        \
        return tl_##kind##_bpe_encode(tok, text, max_len, out_ids, out_used, out_cut, out_cut_text, err);    \
    }                                                                                                        \
    static void kind##_decode(const void *tok, const int32_t *ids, size_t n, struct tl_str *out)             \
    {                                                                                                        \
        tl_##kind##_bpe_decode(tok, ids, n, out);                                                            \
    }                                                                                                        \
    static const struct family kind##_family = {kind##_tokenize, kind##_encode, kind##_decode};
FAMILY(clip)
FAMILY(roberta)

/* Saved and read back it splits text the same way. */
static void check_saved(const struct tl_clip_bpe *tok)
{
    struct tl_err err = {0};
    fuzz_scratch_remove("saved/added_tokens.json"); /* not every one writes it */
    fuzz_require(tl_clip_bpe_save(tok, fuzz_scratch("saved"), &err));
    struct tl_clip_bpe *again = tl_clip_bpe_open(fuzz_scratch("saved"), &err);
    if (!again) fprintf(stderr, "%s\n", err.text);
    fuzz_require(again);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tl_bpe_ids a = {0}, b = {0};
        bool ok = tl_clip_bpe_tokenize(tok, texts[i], &a, NULL);
        fuzz_require(ok == tl_clip_bpe_tokenize(again, texts[i], &b, NULL));
        fuzz_require(a.n == b.n && (a.n == 0 || memcmp(a.ids, b.ids, a.n * sizeof *a.ids) == 0));
        tl_bpe_ids_finish(&a);
        tl_bpe_ids_finish(&b);
    }
    tl_clip_bpe_destroy(&again);
}

static void run_clip(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    struct tl_err err = {0};
    put_folder(target, data, n);
    struct tl_clip_bpe *tok = tl_clip_bpe_open(fuzz_scratch("tokenizer"), &err);
    fuzz_check_err(tok != NULL, &err);
    if (!tok) return;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_text(&clip_family, tok, tl_clip_bpe_info(tok), texts[i]);
    if (n % 4 == 0) check_saved(tok);
    tl_clip_bpe_destroy(&tok);
}

static void run_roberta(const struct fuzz_target *target, const uint8_t *data, size_t n)
{
    struct tl_err err = {0};
    put_folder(target, data, n);
    struct tl_roberta_bpe *tok = tl_roberta_bpe_open(fuzz_scratch("tokenizer"), &err);
    fuzz_check_err(tok != NULL, &err);
    if (!tok) return;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_text(&roberta_family, tok, tl_roberta_bpe_info(tok), texts[i]);
    tl_roberta_bpe_destroy(&tok);
}

static const char *const words[] = {"\xff",
                                    "\"",
                                    "{",
                                    "}",
                                    "[",
                                    "]",
                                    ",",
                                    ":",
                                    " ",
                                    "\n",
                                    "</w>",
                                    "\xc4\xa0",
                                    "\xc4\x8a",
                                    "#version: 0.2\n",
                                    "\"added_tokens\":",
                                    "\"content\":",
                                    "\"special\": true",
                                    "\"lstrip\": true",
                                    "\"normalized\": true",
                                    "\"merges\":",
                                    "\"vocab\":",
                                    "\"model_max_length\":",
                                    "\"bos_token\":",
                                    "null",
                                    "\"id\":",
                                    "4194303",
                                    "<|endoftext|>",
                                    "\\u0120",
                                    NULL};

#define NAMES(...)                                                                                           \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }
#define OLD                                                                                                  \
    NAMES("vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json", "added_tokens.json")
#define NEW NAMES("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")

const struct fuzz_target fuzz_tokenizers[] = {
    {"clip_old", "CLIP's tokenizer folders with vocab.json", seed_clip, run_clip, NULL, words, OLD},
    {"clip_json", "CLIP's tokenizer folders with tokenizer.json", seed_clip, run_clip, NULL, words, NEW},
    {"roberta_old", "RoBERTa's tokenizer folders with vocab.json", seed_roberta, run_roberta, NULL, words,
     OLD},
    {"roberta_json", "RoBERTa's tokenizer folders with tokenizer.json", seed_roberta, run_roberta, NULL,
     words, NEW},
    {0},
};
