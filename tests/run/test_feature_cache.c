/* Embeddings on disk: what is found again, what damage costs, two writers at once. */
#include "support/check.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/file.h"
#include "run/feature_cache.h"
#include "run/support_folder.h"

enum { DIM = 5 };

static const struct tl_encoder_class cls = {.name = "made"};
static const struct tl_encoder_about about = {
    .cls = &cls, .sha256 = "ab", .settings = "v1", .dim = DIM, .batch = 1};

static const char *hash_of(int k)
{
    static char text[4][65];
    static int at;
    char *out = text[at++ % 4];
    for (int i = 0; i < 64; i++) out[i] = "0123456789abcdef"[(k * 7 + i * (k + 3)) % 16];
    out[64] = 0;
    return out;
}

static void rows_of(int k, size_t n, float *out)
{
    for (size_t i = 0; i < n * DIM; i++) out[i] = (float)k + 0.25f * (float)i;
}

static void add(struct tl_feature_cache *c, int k, size_t n)
{
    float rows[64 * DIM];
    rows_of(k, n, rows);
    tl_feature_cache_add(c, hash_of(k), rows, n);
}

static bool has(struct tl_feature_cache *c, int k, size_t n)
{
    float want[64 * DIM], *rows;
    size_t have;
    if (!tl_feature_cache_find(c, hash_of(k), &rows, &have)) return false;
    rows_of(k, n, want);
    assert_int_equal(have, n);
    assert_memory_equal(rows, want, n * DIM * sizeof *rows);
    free(rows);
    return true;
}

static struct tl_feature_cache *open_cache(const char *folder)
{
    struct tl_feature_cache *c = tl_feature_cache_open(folder, &about, TL_F32, "cpu");
    assert_non_null(c);
    return c;
}

static const char *pack_of(const char *folder)
{
    struct tl_arena arena = {0};
    const char *const *names;
    size_t n;
    assert_true(tl_file_list(folder, &arena, &names, &n, NULL));
    assert_int_equal(n, 1);
    const char *path = support_path(folder, "%s", names[0]);
    tl_arena_finish(&arena);
    return path;
}

static void test_found_again(void **state)
{
    const char *folder = support_path(*state, "deep/cache");
    struct tl_feature_cache *c = open_cache(folder);
    assert_false(has(c, 1, 1));
    add(c, 1, 1);
    add(c, 2, 37);
    assert_true(has(c, 1, 1) && has(c, 2, 37)); /* at once */
    tl_feature_cache_close(&c);
    c = open_cache(folder);
    assert_true(has(c, 1, 1) && has(c, 2, 37));
    add(c, 2, 11); /* the later one counts */
    assert_true(has(c, 2, 11));
    tl_feature_cache_close(&c);
    c = open_cache(folder);
    assert_true(has(c, 1, 1) && has(c, 2, 11));
    assert_false(has(c, 3, 1));
    tl_feature_cache_close(&c);

    /* another width, weights, configuration, settings, dtype or device is another pack */
    struct tl_encoder_about other = about;
    other.settings = "v2";
    c = tl_feature_cache_open(folder, &other, TL_F32, "cpu");
    assert_false(has(c, 1, 1));
    tl_feature_cache_close(&c);
    other = about;
    other.config_sha256[0] = 'c';
    c = tl_feature_cache_open(folder, &other, TL_F32, "cpu");
    assert_false(has(c, 1, 1));
    tl_feature_cache_close(&c);
    c = tl_feature_cache_open(folder, &about, TL_F16, "cpu");
    assert_false(has(c, 1, 1));
    tl_feature_cache_close(&c);
    c = tl_feature_cache_open(folder, &about, TL_F32, "vulkan:0");
    assert_false(has(c, 1, 1));
    tl_feature_cache_close(&c);
    assert_null(tl_feature_cache_open(NULL, &about, TL_F32, "cpu"));
}

/* Any byte changed costs its own record at most; a cut file its last one; both are written again. */
static void test_damage(void **state)
{
    const char *folder = support_path(*state, "cache");
    struct tl_err err = {0};
    struct tl_feature_cache *c = open_cache(folder);
    for (int k = 0; k < 3; k++) add(c, k, 3);
    tl_feature_cache_close(&c);
    char path[512];
    snprintf(path, sizeof path, "%s", pack_of(folder));
    size_t n;
    uint8_t *whole = tl_file_read(path, 1 << 20, &n, &err);
    assert_non_null(whole);
    size_t record = n / 3;
    for (size_t at = 0; at < n; at += 5) {
        whole[at] ^= 0x40;
        check_ok(tl_file_write(path, whole, n, &err), &err);
        whole[at] ^= 0x40;
        c = open_cache(folder);
        size_t padding = record - 64 - 3 * DIM * sizeof(float);
        for (size_t k = 0; k < 3; k++) {
            bool hit = at / record == k && at % record < record - padding;
            assert_true(has(c, (int)k, 3) == !hit);
        }
        tl_feature_cache_close(&c);
    }
    for (size_t cut = 0; cut < n; cut += 11) {
        check_ok(tl_file_write(path, whole, cut, &err), &err);
        c = open_cache(folder);
        for (size_t k = 0; k < 3; k++) assert_true(has(c, (int)k, 3) == (cut >= (k + 1) * record));
        add(c, 2, 3);
        tl_feature_cache_close(&c);
        c = open_cache(folder);
        assert_true(has(c, 2, 3));
        tl_feature_cache_close(&c);
    }
    check_ok(tl_file_write(path, "no pack at all", 14, &err), &err);
    c = open_cache(folder);
    add(c, 1, 2);
    tl_feature_cache_close(&c);
    c = open_cache(folder);
    assert_true(has(c, 1, 2));
    tl_feature_cache_close(&c);
    free(whole);
}

static void test_two_writers(void **state)
{
    const char *folder = support_path(*state, "cache");
    pid_t child[2];
    for (int w = 0; w < 2; w++) {
        child[w] = fork();
        if (child[w]) continue;
        struct tl_feature_cache *c = tl_feature_cache_open(folder, &about, TL_F32, "cpu");
        for (int k = 0; c && k < 200; k++) add(c, 2 * k + w, 1 + (size_t)k % 9);
        _exit(c ? 0 : 1);
    }
    for (int w = 0; w < 2; w++) {
        int status;
        assert_int_equal(waitpid(child[w], &status, 0), child[w]);
        assert_int_equal(status, 0);
    }
    struct tl_feature_cache *c = open_cache(folder);
    size_t hits = 0;
    for (int k = 0; k < 16; k++) { /* names repeat every 16 numbers or sooner; any one's rows are whole */
        float *rows;
        size_t n;
        if (!tl_feature_cache_find(c, hash_of(k), &rows, &n)) continue;
        for (size_t i = 0; i < n * DIM; i++) assert_true(rows[i] == rows[0] + 0.25f * (float)i);
        free(rows);
        hits++;
    }
    assert_int_equal(hits, 16);
    tl_feature_cache_close(&c);
}

/* A folder that cannot be made, a pack that is none: a warning, and the work goes on. */
static void test_unusable(void **state)
{
    const char *file = support_path(*state, "file");
    support_write(file, "here");
    support_log_start();
    assert_null(tl_feature_cache_open(support_path(file, "below"), &about, TL_F32, "cpu"));
    assert_non_null(strstr(support_log(), "not kept"));
    assert_false(tl_feature_cache_find(NULL, hash_of(1), NULL, NULL));
    tl_feature_cache_add(NULL, hash_of(1), NULL, 1);
}

/* More than a table begins with. */
static void test_many(void **state)
{
    const char *folder = support_path(*state, "cache");
    struct tl_feature_cache *c = open_cache(folder);
    char hash[65];
    float *rows, row[DIM];
    size_t n;
    for (int round = 0; round < 2; round++) {
        for (int k = 0; k < 700; k++) {
            for (int i = 0; i < DIM; i++) row[i] = (float)(k * DIM + i);
            snprintf(hash, sizeof hash, "%016x%048d", k % 7 ? k : 0, k); /* many begin alike */
            if (round == 0) tl_feature_cache_add(c, hash, row, 1);
            assert_true(tl_feature_cache_find(c, hash, &rows, &n) && n == 1);
            assert_memory_equal(rows, row, sizeof row);
            free(rows);
        }
        tl_feature_cache_close(&c);
        c = open_cache(folder);
    }
    tl_feature_cache_close(&c);
}

/* Another user's cache: read, not written, no word. As root, from a process that is nobody. */
static void test_read_only(void **state)
{
    const char *root = *state;
    char folder[512], pack[512];
    snprintf(folder, sizeof folder, "%s", support_path(root, "cache"));
    struct tl_feature_cache *c = open_cache(folder);
    add(c, 1, 3);
    tl_feature_cache_close(&c);
    snprintf(pack, sizeof pack, "%s", pack_of(folder));
    assert_true(chmod(root, 0755) == 0 && chmod(folder, 0555) == 0 && chmod(pack, 0444) == 0);
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && setuid(65534) != 0) _exit(77);
        if (access(folder, R_OK | X_OK) != 0) _exit(77); /* tests run below a folder of the user alone */
        support_log_start();
        c = tl_feature_cache_open(folder, &about, TL_F32, "cpu");
        if (!c) _exit(1);
        float *rows;
        size_t n;
        if (!tl_feature_cache_find(c, hash_of(1), &rows, &n) || n != 3) _exit(2);
        add(c, 2, 3);
        if (tl_feature_cache_find(c, hash_of(2), &rows, &n)) _exit(3);
        tl_feature_cache_close(&c);
        if (strlen(support_log())) _exit(4);
        c = tl_feature_cache_open(folder, &about, TL_F16, "cpu"); /* there is none, and none can be made */
        _exit(c || !strstr(support_log(), "Permission denied") ? 5 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(chmod(folder, 0755) == 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip();
    assert_int_equal(status, 0);
}

static void test_folder(void **state)
{
    struct tl_str at = {0};
    (void)state;
    setenv("XDG_CACHE_HOME", "/x/y", 1);
    assert_true(tl_feature_cache_folder(&at));
    assert_string_equal(at.data, "/x/y/tiller/embeddings");
    setenv("XDG_CACHE_HOME", "relative", 1); /* the standard: to be ignored */
    setenv("HOME", "/h", 1);
    assert_true(tl_feature_cache_folder(&at));
    assert_string_equal(at.data, "/h/.cache/tiller/embeddings");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_false(tl_feature_cache_folder(&at));
    tl_str_finish(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_found_again, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_damage, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_two_writers, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_unusable, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_many, support_folder_make, support_folder_remove),
        cmocka_unit_test_setup_teardown(test_read_only, support_folder_make, support_folder_remove),
        cmocka_unit_test(test_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
