#include "support/check.h"

#include <pthread.h>
#include <unistd.h>

#include "base/rng.h"
#include "io/file.h"
#include "io/json.h"
#include "io/utf8.h"
#include "models/clip_bpe.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures/tokenizer/"
#define MERGES   TL_SOURCE_DIR "/../shared/data/tokenizers/clip_bpe_merges.txt"

/* A fresh folder under the system's temporary one. */
static void make_temp(char out[64])
{
    strcpy(out, "/tmp/tiller-bpe-XXXXXX");
    assert_non_null(mkdtemp(out));
}

static void remove_temp(const char *folder)
{
    static const char *const NAMES[] = {
        "vocab.json",        "merges.txt",    "special_tokens_map.json", "tokenizer_config.json",
        "added_tokens.json", "tokenizer.json"};
    char path[128];
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, NAMES[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void put(const char *folder, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb"); /* not tl_file_write: hundreds of syncs */
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* ---- vectors ---- */

static void compare(const char *text, const char *what, const int32_t *got, size_t n, const cJSON *want)
{
    if ((int)n != cJSON_GetArraySize(want))
        fail_msg("'%s': %zu %s, expected %d", text, n, what, cJSON_GetArraySize(want));
    const cJSON *item = want->child;
    for (size_t i = 0; i < n; i++, item = item->next)
        if (got[i] != item->valueint)
            fail_msg("'%s': %s[%zu] = %d, expected %d", text, what, i, (int)got[i], item->valueint);
}

static void check_vector(const struct tl_clip_bpe *tok, const cJSON *row)
{
    struct tl_err err = {0};
    struct tl_bpe_ids ids = {0};
    const char *text = tl_json_get(row, "text")->valuestring;
    check_ok(tl_clip_bpe_tokenize(tok, text, &ids, &err), &err);
    compare(text, "ids", ids.ids, ids.n, tl_json_get(row, "ids"));
    const cJSON *padded = tl_json_get(row, "padded");
    if (padded) {
        int32_t out[77], mask[77];
        size_t max_len = tl_clip_bpe_info(tok).max_len, used, cut;
        assert_true(max_len <= 77);
        check_ok(tl_clip_bpe_encode(tok, text, max_len, out, &used, &cut, NULL, &err), &err);
        compare(text, "padded", out, max_len, padded);
        for (size_t i = 0; i < max_len; i++) mask[i] = i < used;
        compare(text, "mask", mask, max_len, tl_json_get(row, "mask"));
        assert_int_equal(cut, ids.n + 2 > max_len ? ids.n + 2 - max_len : 0);
    }
    tl_bpe_ids_finish(&ids);
}

static void check_vectors(const struct tl_clip_bpe *tok, const char *path, int at_least)
{
    struct tl_err err = {0};
    cJSON *rows = tl_json_read(path, &err);
    check_ok(rows, &err);
    assert_true(cJSON_GetArraySize(rows) >= at_least);
    const cJSON *row;
    cJSON_ArrayForEach(row, rows) check_vector(tok, row);
    cJSON_Delete(rows);
}

/* Reads the folder, checks its vectors, saves it, checks what was saved. */
static void check_folder(const char *folder, const char *vectors, int at_least)
{
    struct tl_err err = {0};
    char temp[64];
    struct tl_clip_bpe *tok = tl_clip_bpe_open(folder, &err);
    check_ok(tok, &err);
    check_vectors(tok, vectors, at_least);
    make_temp(temp);
    check_ok(tl_clip_bpe_save(tok, temp, &err), &err);
    struct tl_clip_bpe *again = tl_clip_bpe_open(temp, &err);
    check_ok(again, &err);
    check_vectors(again, vectors, at_least);
    struct tl_bpe_info a = tl_clip_bpe_info(tok), b = tl_clip_bpe_info(again);
    assert_memory_equal(&a, &b, sizeof a);
    tl_clip_bpe_destroy(&tok);
    tl_clip_bpe_destroy(&again);
    assert_null(again);
    remove_temp(temp);
}

static void test_fixtures(void **state)
{
    (void)state;
    check_folder(FIXTURES "toy23", FIXTURES "toy23/vectors.json", 6);
    check_folder(FIXTURES "byte_old", FIXTURES "byte_old/vectors.json", 29);
    check_folder(FIXTURES "byte_json", FIXTURES "byte_json/vectors.json", 29);
}

/* The new form, saved in the old one, is what the old one holds. */
static void test_forms_agree(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_clip_bpe *old = tl_clip_bpe_open(FIXTURES "byte_old", &err);
    check_ok(old, &err);
    struct tl_clip_bpe *new = tl_clip_bpe_open(FIXTURES "byte_json", &err);
    check_ok(new, &err);
    struct tl_bpe_info a = tl_clip_bpe_info(old), b = tl_clip_bpe_info(new);
    assert_memory_equal(&a, &b, sizeof a);
    char temp[64], path[128];
    make_temp(temp);
    check_ok(tl_clip_bpe_save(new, temp, &err), &err);
    size_t n, m;
    snprintf(path, sizeof path, "%s/merges.txt", temp);
    char *got = (char *)tl_file_read(path, 1 << 20, &n, &err);
    char *want = (char *)tl_file_read(FIXTURES "byte_old/merges.txt", 1 << 20, &m, &err);
    assert_non_null(got);
    assert_non_null(want);
    assert_string_equal(got, want);
    assert_int_equal(strncmp(got, "#version: 0.2\n", 14), 0);
    free(got);
    free(want);
    remove_temp(temp);
    tl_clip_bpe_destroy(&old);
    tl_clip_bpe_destroy(&new);
}

/* ---- CLIP's own vocabulary ---- */

/* The full one, or NULL with a printed reason. Made once. */
static struct tl_clip_bpe *full_clip(void)
{
    static struct tl_clip_bpe *tok;
    struct tl_err err = {0};
    if (!tl_file_exists(MERGES)) {
        print_message("skipped: ../shared/data/tokenizers/clip_bpe_merges.txt is not there\n");
        return NULL;
    }
    if (!tok) {
        tok = tl_clip_bpe_from_merges(MERGES, 77, &err);
        check_ok(tok, &err);
    }
    return tok;
}

static void test_full_vectors(void **state)
{
    (void)state;
    struct tl_clip_bpe *tok = full_clip();
    if (!tok) skip();
    struct tl_bpe_info info = tl_clip_bpe_info(tok);
    assert_int_equal(info.n_vocab, 49408);
    assert_int_equal(info.bos, 49406);
    assert_int_equal(info.eos, 49407);
    check_vectors(tok, FIXTURES "clip_vectors.json", 30);
}

/* The table of the format's description, word for word. */
static void test_full_table(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t ids[16];
    } ROWS[] = {
        {"a photo of a cat", {320, 1125, 539, 320, 2368}},
        {"A painting of a squirrel eating a burger", {320, 3086, 539, 320, 14004, 4371, 320, 6548}},
        {"Hello, World!!", {3306, 267, 1002, 748}},
        {"it's 2024: 3.14%", {585, 568, 273, 271, 273, 275, 281, 274, 269, 272, 275, 260}},
        {"  multiple   spaces\tand\nnewlines ", {6470, 9006, 537, 1218, 3418}},
        {"caf\u00e9 \u00dcn\u00efc\u00f6d\u00e9", {15304, 6522, 77, 35689, 66, 7255, 67, 4166}},
        {"cafe\u0301 U\u0308ni\u0308co\u0308de\u0301", {15304, 6522, 77, 35689, 66, 7255, 67, 4166}},
        {"\u65e5\u672c\u8a9e text", {39121, 44353, 34002, 508, 4160}},
        {"don't 'LL we'Re", {847, 713, 1342, 649, 982}},
        {"\"quoted\" (text) & <b>", {257, 27706, 257, 263, 4160, 264, 261, 283, 321, 285}},
        {"emoji \U0001f600 ok", {16327, 7334, 2481}},
        {"can't stop\u2014won't stop\u2026 e.g. UPPER_case",
         {753, 713, 1691, 2005, 1749, 713, 1691, 959, 324, 269, 326, 269, 7067, 318, 2068}},
        {"", {0}},
    };
    struct tl_clip_bpe *tok = full_clip();
    if (!tok) skip();
    for (size_t r = 0; r < sizeof ROWS / sizeof *ROWS; r++) {
        struct tl_err err = {0};
        struct tl_bpe_ids ids = {0};
        check_ok(tl_clip_bpe_tokenize(tok, ROWS[r].text, &ids, &err), &err);
        for (size_t i = 0; i < 16; i++) assert_int_equal(i < ids.n ? ids.ids[i] : 0, ROWS[r].ids[i]);
        tl_bpe_ids_finish(&ids);
    }
}

/* ---- encode ---- */

static void test_cut(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_clip_bpe *tok = tl_clip_bpe_open(FIXTURES "byte_old", &err);
    check_ok(tok, &err);
    struct tl_bpe_info info = tl_clip_bpe_info(tok);
    int32_t ids[8];
    size_t used, cut;
    struct tl_str text = {0};
    check_ok(tl_clip_bpe_encode(tok, "a Red circle above it's CAF\u00c9 zoo, ok", 5, ids, &used, &cut, &text,
                                &err),
             &err);
    assert_int_equal(used, 5);
    assert_int_equal(ids[0], info.bos);
    assert_int_equal(ids[4], info.eos);
    assert_string_equal(text.data, "above it 's caf\u00e9 zoo , ok");
    struct tl_str kept = {0};
    tl_clip_bpe_decode(tok, ids, 5, &kept);
    assert_string_equal(kept.data, "<|startoftext|> a red circle <|endoftext|>");

    /* exactly full: nothing cut; one free place: padded */
    tl_str_clear(&text);
    check_ok(tl_clip_bpe_encode(tok, "a red circle", 5, ids, &used, &cut, &text, &err), &err);
    assert_int_equal(used, 5);
    assert_int_equal(cut, 0);
    assert_int_equal(text.len, 0);
    check_ok(tl_clip_bpe_encode(tok, "a red", 8, ids, &used, &cut, NULL, &err), &err);
    assert_int_equal(used, 4);
    for (int i = 4; i < 8; i++) assert_int_equal(ids[i], info.pad);
    check_ok(tl_clip_bpe_encode(tok, "a red", 2, ids, &used, &cut, NULL, &err), &err);
    assert_int_equal(cut, 2);
    assert_false(tl_clip_bpe_encode(tok, "a", 1, ids, NULL, NULL, NULL, &err));
    assert_int_equal(err.code, TL_USAGE);
    tl_str_finish(&text);
    tl_str_finish(&kept);
    tl_clip_bpe_destroy(&tok);
}

static void test_bad_utf8(void **state)
{
    (void)state;
    static const char *const BAD[] = {"\xff",         "abc\x80",          "\xc0\xaf",         "\xed\xa0\x80",
                                      "cut \xe2\x82", "\xf4\x90\x80\x80", "<|endoftext|>\xc3"};
    struct tl_err err = {0};
    struct tl_clip_bpe *tok = tl_clip_bpe_open(FIXTURES "byte_old", &err);
    check_ok(tok, &err);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        int32_t ids[8];
        tl_err_clear(&err);
        assert_false(tl_clip_bpe_encode(tok, BAD[i], 8, ids, NULL, NULL, NULL, &err));
        assert_int_equal(err.code, TL_BAD_INPUT);
        assert_non_null(strstr(err.text, "UTF-8"));
    }
    tl_clip_bpe_destroy(&tok);
}

/* Half a character at the cut, an id without an entry. */
static void test_decode_broken(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_clip_bpe *tok = tl_clip_bpe_open(FIXTURES "byte_old", &err);
    check_ok(tok, &err);
    struct tl_bpe_ids ids = {0};
    check_ok(tl_clip_bpe_tokenize(tok, "\u00e9", &ids, &err), &err);
    assert_int_equal(ids.n, 2);
    struct tl_str out = {0};
    tl_clip_bpe_decode(tok, ids.ids, 1, &out);
    assert_string_equal(out.data, "\ufffd");
    tl_str_clear(&out);
    tl_clip_bpe_decode(tok, (int32_t[]){-1, 1 << 20}, 2, &out);
    assert_string_equal(out.data, "<id -1> <id 1048576>");
    tl_str_finish(&out);
    tl_bpe_ids_finish(&ids);
    tl_clip_bpe_destroy(&tok);
}

/* ---- folders ---- */

#define TOY_VOCAB                                                                                            \
    "{\"a\":0,\"b\":1,\"a</w>\":2,\"b</w>\":3,\"ab</"                                                        \
    "w>\":4,\"!\":5,\"<|startoftext|>\":6,\"<|endoftext|>\":7}"
#define TOY_MERGES "#version: 0.2\na b</w>\n"

static struct tl_clip_bpe *open_toy(const char *vocab, const char *merges, const char *map,
                                    const char *config, const char *added, struct tl_err *err)
{
    char temp[64];
    make_temp(temp);
    if (vocab) put(temp, "vocab.json", vocab);
    if (merges) put(temp, "merges.txt", merges);
    if (map) put(temp, "special_tokens_map.json", map);
    if (config) put(temp, "tokenizer_config.json", config);
    if (added) put(temp, "added_tokens.json", added);
    struct tl_clip_bpe *tok = tl_clip_bpe_open(temp, err);
    remove_temp(temp);
    return tok;
}

static void check_text(const struct tl_clip_bpe *tok, const char *text, size_t n, const int32_t *want)
{
    struct tl_err err = {0};
    struct tl_bpe_ids ids = {0};
    check_ok(tl_clip_bpe_tokenize(tok, text, &ids, &err), &err);
    if (ids.n != n) fail_msg("'%s': %zu ids, expected %zu", text, ids.n, n);
    for (size_t i = 0; i < n; i++) assert_int_equal(ids.ids[i], want[i]);
    tl_bpe_ids_finish(&ids);
}
#define check_ids(tok, text, ...)                                                                            \
    check_text(tok, text, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (int32_t[]){__VA_ARGS__})

static void test_pad_rules(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const char *bang = "{\"pad_token\":\"!\"}",
               *end = "{\"pad_token\":\"<|endoftext|>\",\"model_max_length\":20}";
    struct tl_clip_bpe *tok = open_toy(TOY_VOCAB, TOY_MERGES, NULL, NULL, NULL, &err);
    check_ok(tok, &err);
    struct tl_bpe_info info = tl_clip_bpe_info(tok);
    assert_int_equal(info.pad, 7);
    assert_int_equal(info.unk, 7);
    assert_int_equal(info.max_len, 77);
    check_ids(tok, "ab! ba", 4, 7, 1, 2); /* "!</w>" is unknown: the end's id */
    tl_clip_bpe_destroy(&tok);

    tok = open_toy(TOY_VOCAB, TOY_MERGES, bang, end, NULL, &err); /* the map stands above the config */
    check_ok(tok, &err);
    assert_int_equal(tl_clip_bpe_info(tok).pad, 5);
    assert_int_equal(tl_clip_bpe_info(tok).max_len, 20);
    check_ids(tok, "ab! ba", 4, 5, 1, 2); /* now special, as SDXL's second tokenizer has it */
    tl_clip_bpe_destroy(&tok);

    tok =
        open_toy(TOY_VOCAB, TOY_MERGES, NULL, "{\"pad_token\":\"!\",\"model_max_length\":1e30}", NULL, &err);
    check_ok(tok, &err);
    assert_int_equal(tl_clip_bpe_info(tok).pad, 5);
    assert_int_equal(tl_clip_bpe_info(tok).max_len, 77);
    tl_clip_bpe_destroy(&tok);
}

static void test_special_case(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_clip_bpe *tok = open_toy(TOY_VOCAB, TOY_MERGES, NULL, NULL, "{\"<ab>\":8}", &err);
    check_ok(tok, &err);
    assert_int_equal(tl_clip_bpe_info(tok).n_vocab, 9);
    check_ids(tok, "a<|endoftext|>b<|startoftext|>", 2, 7, 3, 6);
    check_ids(tok, "a <AB>b <ab>", 2, 8, 3, 8); /* added tokens are looked for in cleaned text */
    char temp[64];
    make_temp(temp);
    check_ok(tl_clip_bpe_save(tok, temp, &err), &err);
    tl_clip_bpe_destroy(&tok);
    tok = tl_clip_bpe_open(temp, &err);
    check_ok(tok, &err);
    check_ids(tok, "a <AB>b <ab>", 2, 8, 3, 8);
    tl_clip_bpe_destroy(&tok);
    remove_temp(temp);

    /* "normalized": true, as in SD 1.x's folders: any case is special; kept by saving */
    tok = open_toy(TOY_VOCAB, TOY_MERGES,
                   "{\"eos_token\":{\"content\":\"<|endoftext|>\",\"normalized\":true}}", NULL, NULL, &err);
    check_ok(tok, &err);
    check_ids(tok, "A<|EndOfText|>b", 2, 7, 3);
    make_temp(temp);
    check_ok(tl_clip_bpe_save(tok, temp, &err), &err);
    tl_clip_bpe_destroy(&tok);
    tok = tl_clip_bpe_open(temp, &err);
    check_ok(tok, &err);
    check_ids(tok, "A<|EndOfText|>b", 2, 7, 3);
    tl_clip_bpe_destroy(&tok);
    remove_temp(temp);
}

static void expect_refused(const char *word, const char *vocab, const char *merges, const char *config)
{
    struct tl_err err = {0};
    struct tl_clip_bpe *tok = open_toy(vocab, merges, NULL, config, NULL, &err);
    assert_null(tok);
    assert_int_equal(err.code, TL_BAD_INPUT);
    if (!strstr(err.text, word)) fail_msg("'%s' does not name '%s'", err.text, word);
}

static void test_refused(void **state)
{
    (void)state;
    expect_refused("needed:", NULL, NULL, NULL);
    expect_refused("needed:", TOY_VOCAB, NULL, NULL);
    expect_refused("line 2", TOY_VOCAB, "#version: 0.2\nab\n", NULL);
    expect_refused("line 3", TOY_VOCAB, "#version: 0.2\na b</w>\na b c\n", NULL);
    expect_refused("'bb</w>'", TOY_VOCAB, "#version: 0.2\nb b</w>\n", NULL);
    expect_refused("'c'", TOY_VOCAB, "#version: 0.2\nc b</w>\n", NULL);
    expect_refused("same id", "{\"a\":0,\"b\":0}", TOY_MERGES, NULL);
    expect_refused("whole number", "{\"a\":-1}", TOY_MERGES, NULL);
    expect_refused("whole number", "{\"a\":1.5}", TOY_MERGES, NULL);
    expect_refused("whole number", "{\"a\":1e9}", TOY_MERGES, NULL);
    expect_refused("whole number", "{\"a\":\"0\"}", TOY_MERGES, NULL);
    expect_refused("empty", "{}", TOY_MERGES, NULL);
    expect_refused("empty", "[1]", TOY_MERGES, NULL);
    expect_refused("bos_token", "{\"a\":0,\"b</w>\":1,\"ab</w>\":2}", TOY_MERGES, NULL);
    expect_refused("pad_token", TOY_VOCAB, TOY_MERGES, "{\"pad_token\":\"<pad>\"}");
    expect_refused("do_lower_case", TOY_VOCAB, TOY_MERGES, "{\"do_lower_case\":false}");
    expect_refused("T5Tokenizer", TOY_VOCAB, TOY_MERGES, "{\"tokenizer_class\":\"T5Tokenizer\"}");
    expect_refused("single_word", TOY_VOCAB, TOY_MERGES,
                   "{\"added_tokens_decoder\":{\"8\":{\"content\":\"<x>\",\"single_word\":true}}}");
    expect_refused("added_tokens_decoder", TOY_VOCAB, TOY_MERGES,
                   "{\"added_tokens_decoder\":{\"x\":{\"content\":\"y\"}}}");
}

/* tokenizer.json as older releases wrote it ("left right" strings), and what is refused in it. */
static void test_whole_file(void **state)
{
    (void)state;
    static const char FORM[] =
        "{\"added_tokens\":[{\"id\":6,\"content\":\"<|startoftext|>\"},{\"id\":7,\"content\":"
        "\"<|endoftext|>\",\"normalized\":%s}],\"normalizer\":{\"type\":\"%s\"},\"pre_tokenizer\":{"
        "\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"%s\","
        "\"vocab\":" TOY_VOCAB ",\"merges\":[%s]}}";
    static const struct {
        const char *normalized, *normalizer, *suffix, *merge, *refused;
    } ROWS[] = {{"true", "Lowercase", "</w>", "\"a b</w>\"", NULL},
                {"false", "Lowercase", "</w>", "[\"a\",\"b</w>\"]", NULL},
                {"false", "NFC", "</w>", "\"a b</w>\"", "normalizer"},
                {"false", "Lowercase", "", "\"a b</w>\"", "end_of_word_suffix"},
                {"false", "Lowercase", "</w>", "\"ab</w>\"", "merges[0]"},
                {"false", "Lowercase", "</w>", "[\"a\",1]", "merges[0]"},
                {"3", "Lowercase", "</w>", "\"a b</w>\"", "normalized"}};
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        char temp[64], text[1024];
        struct tl_err err = {0};
        make_temp(temp);
        snprintf(text, sizeof text, FORM, ROWS[i].normalized, ROWS[i].normalizer, ROWS[i].suffix,
                 ROWS[i].merge);
        put(temp, "tokenizer.json", text);
        struct tl_clip_bpe *tok = tl_clip_bpe_open(temp, &err);
        if (ROWS[i].refused) {
            assert_null(tok);
            if (!strstr(err.text, ROWS[i].refused))
                fail_msg("'%s' does not name '%s'", err.text, ROWS[i].refused);
        } else {
            check_ok(tok, &err);
            check_ids(tok, "ab a<|endoftext|>", 4, 2, 7);
        }
        tl_clip_bpe_destroy(&tok);
        remove_temp(temp);
    }
}

/* ---- own vocabularies ---- */

static const char *const CAPTIONS[] = {"a red circle above two blue squares on a white background",
                                       "three large green triangles",
                                       "a small yellow star left of a purple circle",
                                       "two cyan stars below a red triangle on a black background",
                                       "a blue square right of a large green circle and gray",
                                       "It's the Red Circle's square, isn't it? 3!!",
                                       "aaaa aaa aa ababab babababa",
                                       "caf\u00e9 \u65e5\u672c\u8a9e"};
enum { N_CAPTIONS = sizeof CAPTIONS / sizeof *CAPTIONS };

/* Ids of each word by itself: how many words of the captions take more than one. */
static size_t split_words(const struct tl_clip_bpe *tok)
{
    struct tl_err err = {0};
    size_t split = 0;
    for (size_t i = 0; i < N_CAPTIONS; i++) {
        char copy[128], *rest = copy, *word;
        snprintf(copy, sizeof copy, "%s", CAPTIONS[i]);
        while ((word = strsep(&rest, " ,?"))) {
            struct tl_bpe_ids ids = {0};
            check_ok(tl_clip_bpe_tokenize(tok, word, &ids, &err), &err);
            size_t expected = strchr(word, '\'') || strchr(word, '!') ? 2 : *word != 0; /* it + 's, 3 + !! */
            split += ids.n > expected;
            tl_bpe_ids_finish(&ids);
        }
    }
    return split;
}

static void test_train(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_clip_bpe *tok = tl_clip_bpe_train(CAPTIONS, N_CAPTIONS, 0, 20, &err);
    check_ok(tok, &err);
    struct tl_bpe_info info = tl_clip_bpe_info(tok);
    assert_int_equal(split_words(tok), 0);
    assert_int_equal(info.bos, info.n_vocab - 2);
    assert_int_equal(info.eos, info.n_vocab - 1);
    assert_int_equal(info.pad, info.eos);
    assert_int_equal(info.max_len, 20);
    assert_true(info.n_vocab > 512 + 60 && info.n_vocab < 512 + 250);

    /* unknown words fall apart into bytes that read back */
    struct tl_str back = {0};
    int32_t ids[64];
    size_t used;
    check_ok(tl_clip_bpe_encode(tok, "zwei \U0001f600 Quadrate", 64, ids, &used, NULL, NULL, &err), &err);
    tl_clip_bpe_decode(tok, ids + 1, used - 2, &back);
    assert_string_equal(back.data, "zwei \U0001f600 quadrate");
    tl_str_finish(&back);

    /* the same ids after saving, and from the same captions again */
    char temp[64];
    make_temp(temp);
    check_ok(tl_clip_bpe_save(tok, temp, &err), &err);
    struct tl_clip_bpe *saved = tl_clip_bpe_open(temp, &err);
    check_ok(saved, &err);
    struct tl_clip_bpe *again = tl_clip_bpe_train(CAPTIONS, N_CAPTIONS, 0, 20, &err);
    check_ok(again, &err);
    for (size_t i = 0; i < N_CAPTIONS; i++) {
        struct tl_bpe_ids a = {0}, b = {0}, c = {0};
        check_ok(tl_clip_bpe_tokenize(tok, CAPTIONS[i], &a, &err), &err);
        check_ok(tl_clip_bpe_tokenize(saved, CAPTIONS[i], &b, &err), &err);
        check_ok(tl_clip_bpe_tokenize(again, CAPTIONS[i], &c, &err), &err);
        assert_int_equal(a.n, b.n);
        assert_int_equal(a.n, c.n);
        assert_memory_equal(a.ids, b.ids, a.n * sizeof *a.ids);
        assert_memory_equal(a.ids, c.ids, a.n * sizeof *a.ids);
        tl_bpe_ids_finish(&a);
        tl_bpe_ids_finish(&b);
        tl_bpe_ids_finish(&c);
    }
    remove_temp(temp);
    tl_clip_bpe_destroy(&tok);
    tl_clip_bpe_destroy(&saved);
    tl_clip_bpe_destroy(&again);
}

/* Counts by hand: (a,b</w>) 3 times, (a,a) twice but one merge of it, ties in byte order. */
static void test_train_order(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"ab ab", "xab", "ca cb"};
    struct tl_err err = {0};
    struct tl_clip_bpe *tok = tl_clip_bpe_train(TEXTS, 3, 3, 20, &err);
    check_ok(tok, &err);
    assert_int_equal(tl_clip_bpe_info(tok).n_vocab, 512 + 3 + 2);
    struct tl_str out = {0};
    tl_clip_bpe_decode(tok, (int32_t[]){512, 513, 514}, 3,
                       &out); /* then c a</w>, c b</w>; x ab</w> is left out */
    assert_string_equal(out.data, "ab ca cb");
    tl_str_finish(&out);
    check_ids(tok, "xab", 87, 512);
    tl_clip_bpe_destroy(&tok);

    tok = tl_clip_bpe_train(NULL, 0, 0, 20, &err);
    check_ok(tok, &err);
    assert_int_equal(tl_clip_bpe_info(tok).n_vocab, 514);
    tl_clip_bpe_destroy(&tok);
    assert_null(tl_clip_bpe_train((const char *const[]){"ok", "\xff"}, 2, 0, 20, &err));
    assert_non_null(strstr(err.text, "caption 2"));
}

/* The measured recipe: 93 merges, 607 entries, and the same pieces as the full list's. */
static void test_reduce(void **state)
{
    (void)state;
    static const char *const WORDS[] = {
        "red green blue yellow purple cyan white black gray circle square triangle star",
        "circles squares triangles stars small large a two three above below left right of and on "
        "background"};
    struct tl_clip_bpe *full = full_clip();
    if (!full) skip();
    struct tl_err err = {0};
    struct tl_clip_bpe *tok = tl_clip_bpe_reduce(MERGES, WORDS, 2, 20, &err);
    check_ok(tok, &err);
    assert_int_equal(tl_clip_bpe_info(tok).n_vocab, 607);
    assert_int_equal(tl_clip_bpe_info(tok).bos, 605);
    for (int i = 0; i < 2; i++) {
        struct tl_bpe_ids a = {0}, b = {0};
        check_ok(tl_clip_bpe_tokenize(full, WORDS[i], &a, &err), &err);
        check_ok(tl_clip_bpe_tokenize(tok, WORDS[i], &b, &err), &err);
        assert_int_equal(a.n, b.n);
        for (size_t k = 0; k < a.n; k++) {
            struct tl_str x = {0}, y = {0};
            tl_clip_bpe_decode(full, a.ids + k, 1, &x);
            tl_clip_bpe_decode(tok, b.ids + k, 1, &y);
            assert_string_equal(x.data, y.data);
            tl_str_finish(&x);
            tl_str_finish(&y);
        }
        tl_bpe_ids_finish(&a);
        tl_bpe_ids_finish(&b);
    }
    tl_clip_bpe_destroy(&tok);
}

/* ---- random texts ---- */

static const struct tl_rng_key KEY = {.seed = 7, .stream = TL_RNG_TEST};

/* Bytes, or characters with a liking for the troublesome ones. */
static void random_text(uint32_t number, char *out, size_t size)
{
    static const char *const BITS[] = {
        "<|endoftext|>", "<|startof", "text|>", "'ll", "'", " ",    "\t\u00a0", "\u0130",
        "e\u0301",       "9",         "\u00bd", "ab",  "A", "</w>", "\u180e",   "!"};
    struct tl_rng_key key = KEY;
    key.sample = number;
    size_t n = 0, len = tl_rng_below(key, 0, 120);
    for (uint32_t i = 1; i < len && n + 16 < size; i++) {
        uint32_t r = tl_rng_u32(key, i);
        if (number % 4 == 0) {
            out[n++] = (char)(1 + r % 255);
        } else if (r % 3 == 0) {
            uint32_t code = (r >> 8) % (number % 4 == 1 ? 0x800 : 0x110000);
            n += tl_utf8_encode(code == 0 || (code >= 0xd800 && code < 0xe000) ? 'x' : code, out + n);
        } else {
            const char *bit = BITS[(r >> 8) % (sizeof BITS / sizeof *BITS)];
            memcpy(out + n, bit, strlen(bit));
            n += strlen(bit);
        }
    }
    out[n] = 0;
}

static size_t random_texts(const struct tl_clip_bpe *tok, uint32_t first, uint32_t n)
{
    struct tl_bpe_info info = tl_clip_bpe_info(tok);
    size_t good = 0;
    for (uint32_t i = first; i < first + n; i++) {
        char text[2048];
        int32_t ids[40];
        size_t used, cut, len = 2 + i % 39;
        struct tl_err err = {0};
        struct tl_str cut_text = {0};
        random_text(i, text, sizeof text);
        bool valid = tl_utf8_prefix(text, strlen(text)) == strlen(text);
        bool ok = tl_clip_bpe_encode(tok, text, len, ids, &used, &cut, &cut_text, &err);
        if (ok != valid) fail_msg("text %u: %s", i, err.text);
        if (ok) {
            good++;
            assert_true(used >= 2 && used <= len && (cut == 0 || used == len));
            assert_true(ids[0] == info.bos && ids[used - 1] == info.eos);
            for (size_t k = 0; k < len; k++) assert_true(ids[k] >= 0 && (size_t)ids[k] < info.n_vocab);
            assert_true(cut > 0 || cut_text.len == 0);
            assert_int_equal(tl_utf8_prefix(cut_text.data, cut_text.len), cut_text.len);
        }
        tl_str_finish(&cut_text);
    }
    return good;
}

static void test_random(void **state)
{
    (void)state;
    struct tl_err err = {0};
    static const char *const FOLDERS[] = {FIXTURES "toy23", FIXTURES "byte_old"};
    for (int i = 0; i < 2; i++) {
        struct tl_clip_bpe *tok = tl_clip_bpe_open(FOLDERS[i], &err);
        check_ok(tok, &err);
        size_t good = random_texts(tok, 0, 2000);
        assert_true(good > 1500 && good < 2000); /* random bytes are rarely UTF-8 */
        tl_clip_bpe_destroy(&tok);
    }
}

/* Files with damaged bytes: an error with a text, or a tokenizer that works. */
static void test_damaged(void **state)
{
    (void)state;
    static const char MAP[] =
        "{\"pad_token\":\"!\",\"eos_token\":{\"content\":\"<|endoftext|>\",\"normalized\":true}}";
    static const char CONFIG[] =
        "{\"model_max_length\":20,\"added_tokens_decoder\":{\"8\":{\"content\":\"<x>\"}}}";
    static const char *const WHOLE[4] = {TOY_VOCAB, TOY_MERGES, MAP, CONFIG};
    size_t opened = 0;
    for (uint32_t i = 0; i < 600; i++) {
        struct tl_rng_key key = {.seed = 8, .stream = TL_RNG_TEST, .sample = i};
        char files[4][256];
        for (int f = 0; f < 4; f++) snprintf(files[f], sizeof files[f], "%s", WHOLE[f]);
        char *file = files[tl_rng_below(key, 0, 4)];
        size_t n = strlen(file), at = tl_rng_below(key, 1, (uint32_t)n);
        if (i % 3 == 0) file[at] = (char)(1 + tl_rng_below(key, 2, 255));
        if (i % 3 == 1) file[at] = 0;                              /* cut short */
        if (i % 3 == 2) memmove(file + at, file + at + 1, n - at); /* a byte lost */
        struct tl_err err = {0};
        struct tl_clip_bpe *tok = open_toy(files[0], files[1], files[2], files[3], NULL, &err);
        if (tok) {
            opened++;
            random_texts(tok, i, 2);
        } else {
            assert_true(err.code == TL_BAD_INPUT && err.text[0]);
        }
        tl_clip_bpe_destroy(&tok);
    }
    assert_true(opened > 30 && opened < 500);
}

/* One endless word costs n log n, not n squared. */
static void test_long_word(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    struct tl_err err = {0};
    struct tl_clip_bpe *tok = tl_clip_bpe_open(FIXTURES "byte_old", &err);
    check_ok(tok, &err);
    char *text = malloc(N + 1);
    for (size_t i = 0; i < N; i++) text[i] = "background"[i % 10];
    text[N] = 0;
    int32_t ids[77];
    size_t used, cut;
    check_ok(tl_clip_bpe_encode(tok, text, 77, ids, &used, &cut, NULL, &err), &err);
    assert_int_equal(used, 77);
    assert_true(cut > N / 10 && cut < N);
    free(text);
    tl_clip_bpe_destroy(&tok);
}

struct reader {
    const struct tl_clip_bpe *tok;
    uint32_t first;
    size_t good;
};

static void *read_texts(void *arg)
{
    struct reader *r = arg;
    r->good = random_texts(r->tok, r->first, 500);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_clip_bpe *tok = tl_clip_bpe_open(FIXTURES "byte_json", &err);
    check_ok(tok, &err);
    struct reader readers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        readers[i] = (struct reader){.tok = tok, .first = 100};
        assert_int_equal(pthread_create(&threads[i], NULL, read_texts, &readers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readers[i].good, readers[0].good);
    }
    tl_clip_bpe_destroy(&tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixtures),      cmocka_unit_test(test_forms_agree),
        cmocka_unit_test(test_full_vectors),  cmocka_unit_test(test_full_table),
        cmocka_unit_test(test_cut),           cmocka_unit_test(test_bad_utf8),
        cmocka_unit_test(test_decode_broken), cmocka_unit_test(test_pad_rules),
        cmocka_unit_test(test_special_case),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_whole_file),    cmocka_unit_test(test_train),
        cmocka_unit_test(test_train_order),   cmocka_unit_test(test_reduce),
        cmocka_unit_test(test_random),        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_long_word),     cmocka_unit_test(test_threads),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    struct tl_clip_bpe *full = tl_file_exists(MERGES) ? full_clip() : NULL;
    tl_clip_bpe_destroy(&full);
    return failed;
}
