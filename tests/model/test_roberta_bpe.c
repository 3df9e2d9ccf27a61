/* RoBERTa's tokenizer against transformers' vectors: both file forms, with and without a space in front. */
#include "support/check.h"

#include "io/json.h"
#include "models/bpe.h"
#include "models/roberta_bpe.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures/roberta/"

static void compare(const char *text, const char *what, const int32_t *got, size_t n, const cJSON *want)
{
    if ((int)n != cJSON_GetArraySize(want))
        fail_msg("'%s': %zu %s, expected %d", text, n, what, cJSON_GetArraySize(want));
    const cJSON *item = want->child;
    for (size_t i = 0; i < n; i++, item = item->next)
        if (got[i] != item->valueint)
            fail_msg("'%s': %s[%zu] = %d, expected %d", text, what, i, (int)got[i], item->valueint);
}

static void check_vector(const struct tl_roberta_bpe *tok, const cJSON *row)
{
    enum { LEN = 24 };
    struct tl_err err = {0};
    struct tl_bpe_ids ids = {0};
    int32_t out[LEN], mask[LEN];
    size_t used, cut;
    const char *text = tl_json_get(row, "text")->valuestring;
    check_ok(tl_roberta_bpe_tokenize(tok, text, &ids, &err), &err);
    compare(text, "ids", ids.ids, ids.n, tl_json_get(row, "ids"));
    check_ok(tl_roberta_bpe_encode(tok, text, LEN, out, &used, &cut, NULL, &err), &err);
    compare(text, "padded", out, LEN, tl_json_get(row, "padded"));
    for (size_t i = 0; i < LEN; i++) mask[i] = i < used;
    compare(text, "mask", mask, LEN, tl_json_get(row, "mask"));
    assert_int_equal(cut, ids.n + 2 > LEN ? ids.n + 2 - LEN : 0);
    tl_bpe_ids_finish(&ids);
}

static void check_folder(const char *folder)
{
    struct tl_err err = {0};
    char path[512];
    struct tl_roberta_bpe *tok = tl_roberta_bpe_open(folder, &err);
    check_ok(tok, &err);
    struct tl_bpe_info info = tl_roberta_bpe_info(tok);
    assert_int_equal(info.max_len, 24);
    assert_int_equal(info.bos, 0);
    assert_int_equal(info.pad, 1);
    assert_int_equal(info.eos, 2);
    assert_int_equal(info.unk, 3);
    snprintf(path, sizeof path, "%s/vectors.json", folder);
    cJSON *rows = tl_json_read(path, &err);
    check_ok(rows, &err);
    assert_true(cJSON_GetArraySize(rows) >= 30);
    const cJSON *row;
    cJSON_ArrayForEach(row, rows) check_vector(tok, row);
    cJSON_Delete(rows);
    tl_roberta_bpe_destroy(&tok);
    assert_null(tok);
}

static void test_vectors(void **state)
{
    (void)state;
    check_folder(FIXTURES "old");
    check_folder(FIXTURES "json");
    check_folder(FIXTURES "prefix");
}

static void test_decode(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_bpe_ids ids = {0};
    struct tl_str s = {0};
    struct tl_roberta_bpe *tok = tl_roberta_bpe_open(FIXTURES "old", &err);
    check_ok(tok, &err);
    check_ok(tl_roberta_bpe_tokenize(tok, "Caf\xc3\xa9  music, LOUD", &ids, &err), &err);
    tl_roberta_bpe_decode(tok, ids.ids, ids.n, &s);
    assert_string_equal(s.data, "Caf\xc3\xa9  music, LOUD");
    tl_str_finish(&s);
    tl_bpe_ids_finish(&ids);
    tl_roberta_bpe_destroy(&tok);
}

static void test_refused(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_bpe_ids ids = {0};
    assert_null(tl_roberta_bpe_open(TL_SOURCE_DIR "/tests/fixtures/tokenizer/byte_json", &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "RoBERTa"));
    tl_err_clear(&err);
    assert_null(tl_roberta_bpe_open(TL_SOURCE_DIR "/tests/fixtures", &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    tl_err_clear(&err);
    struct tl_roberta_bpe *tok = tl_roberta_bpe_open(FIXTURES "old", &err);
    check_ok(tok, &err);
    assert_false(tl_roberta_bpe_tokenize(tok, "a \xff b", &ids, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    tl_bpe_ids_finish(&ids);
    tl_roberta_bpe_destroy(&tok);
}

static bool whole(struct tl_bpe_pieces *pieces, size_t *out_at, size_t *out_n)
{
    *out_at = pieces->at;
    *out_n = pieces->n - pieces->at;
    pieces->at = pieces->n;
    return *out_n > 0;
}

/* Thousands of special tokens with one beginning: the longest that is there is found, each by its id. */
static void test_many_specials(void **state)
{
    (void)state;
    enum { N = 3000 };
    struct tl_err err = {0};
    struct tl_bpe_ids ids = {0};
    struct tl_bpe tok = {.word_end = "", .next_piece = whole, .unk = -1};
    struct tl_bpe_flags flags = {0}, normalized = {.normalized = true};
    char text[32];
    check_ok(tl_bpe_add_text(&tok, "x", 5, &err) && tl_bpe_add_text(&tok, "<", 6, &err), &err);
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "<%d", i);
        check_ok(tl_bpe_add_text(&tok, text, 10 + 7 * i, &err), &err);
        check_ok(tl_bpe_add_special(&tok, text, i % 2 ? flags : normalized, &err), &err);
        check_ok(tl_bpe_add_special(&tok, text, flags, &err), &err);
    }
    tl_bpe_init(&tok, 77);
    assert_int_equal(tok.n_specials, N);
    for (int id = -1; id < 10 + 7 * N; id++) {
        const struct tl_bpe_special *s = tl_bpe_special_of(&tok, id);
        assert_true((s != NULL) == (id >= 10 && (id - 10) % 7 == 0));
        if (s) assert_int_equal(s->id, id);
    }
    assert_null(tl_bpe_special_of(&tok, 1 << 30));
    check_ok(tl_bpe_tokenize(&tok, "x<1234x<<2999<12x", &ids, &err), &err);
    static const int32_t wanted[] = {5, 10 + 7 * 123, -1, 5, 6, 10 + 7 * 2999, 10 + 7, -1, 5};
    assert_int_equal(ids.n, sizeof wanted / sizeof *wanted);
    assert_memory_equal(ids.ids, wanted, sizeof wanted);
    tl_bpe_ids_finish(&ids);
    tl_bpe_finish(&tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_decode),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_many_specials)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
