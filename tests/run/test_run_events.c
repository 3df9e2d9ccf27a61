/* The events beside metrics.jsonl: what is in them, when a file begins, and that they never end a run. */
#include "support/check.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include "io/image.h"
#include "io/tb_events.h"
#include "run/run_metrics.h"
#include "support_folder.h"

enum { MOST = 16 };

struct files {
    char name[MOST][256];
    int n;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void list(const char *folder, struct files *out)
{
    DIR *d = opendir(folder);
    assert_non_null(d);
    out->n = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (strncmp(e->d_name, "events.out.tfevents.", 20) == 0 && out->n < MOST)
            snprintf(out->name[out->n++], 256, "%s", e->d_name);
    closedir(d);
    qsort(out->name, (size_t)out->n, sizeof out->name[0], by_name);
}

/* The number of whole records; each must have right checksums. */
static int count_records(const char *path, uint8_t *bytes, size_t size, size_t *out_n)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, size, f);
    fclose(f);
    int records = 0;
    for (size_t at = 0; at < n; records++) {
        size_t length = bytes[at] | (size_t)bytes[at + 1] << 8 | (size_t)bytes[at + 2] << 16;
        uint32_t crc = tl_tb_masked_crc(bytes + at + 12, length);
        for (int i = 0; i < 4; i++) assert_int_equal(bytes[at + 12 + length + (size_t)i], crc >> 8 * i & 255);
        at += length + 16;
        assert_true(at <= n);
    }
    *out_n = n;
    return records;
}

static bool contains(const uint8_t *bytes, size_t n, const void *part, size_t n_part)
{
    for (size_t i = 0; i + n_part <= n; i++)
        if (memcmp(bytes + i, part, n_part) == 0) return true;
    return false;
}

static void write_rows(const char *folder, int64_t resumed, int first, int last)
{
    struct tl_err err = {0};
    struct tl_run_metrics *m = tl_run_metrics_open(folder, resumed, &err);
    check_ok(m != NULL, &err);
    for (int step = first; step <= last; step++) {
        const struct tl_run_metric row[] = {{"loss", 1.0 / (step + 1)}, {"lr", 0.5}};
        check_ok(tl_run_metrics_append(m, "train", step, row, 2, &err), &err);
    }
    tl_run_metrics_image(m, "samples/grid", last, "png", 3, 4, 5);
    tl_run_metrics_picture(m, "samples/absent", last, "no-such.png");
    tl_run_metrics_close(&m);
}

static void test_files(void **state)
{
    const char *folder = *state;
    struct files files;
    uint8_t bytes[65536];
    size_t n;
    write_rows(folder, -1, 0, 5);
    list(folder, &files);
    assert_int_equal(files.n, 1);
    /* version, six rows, a picture */
    assert_int_equal(count_records(support_path(folder, "%s", files.name[0]), bytes, sizeof bytes, &n), 8);
    assert_true(contains(bytes, n, "\x0a\x0atrain/loss\x15", 13));
    assert_true(contains(bytes, n, "\x0a\x08train/lr\x15\0\0\0\x3f", 15));
    assert_true(contains(bytes, n, "\x0a\x0csamples/grid\x22\x0b\x08\x05\x10\x04\x18\x03\x22\x03png", 27));

    /* Resumed from step 3 within the same second: a file that sorts behind, and says what no longer holds. */
    write_rows(folder, 3, 4, 7);
    char first[256];
    snprintf(first, sizeof first, "%s", files.name[0]);
    list(folder, &files);
    assert_int_equal(files.n, 2);
    assert_string_equal(files.name[0], first);
    assert_int_equal(count_records(support_path(folder, "%s", files.name[1]), bytes, sizeof bytes, &n), 7);
    assert_true(contains(bytes, n, "\x10\x04\x3a\x02\x08\x01", 6));
}

/* Opened and closed without a row: no file. */
static void test_lazy(void **state)
{
    struct tl_err err = {0};
    struct files files;
    struct tl_run_metrics *m = tl_run_metrics_open(*state, -1, &err);
    check_ok(m != NULL, &err);
    tl_run_metrics_close(&m);
    list(*state, &files);
    assert_int_equal(files.n, 0);
}

static void test_picture(void **state)
{
    struct tl_err err = {0};
    struct files files;
    uint8_t bytes[4096];
    size_t n;
    struct tl_image image = {0};
    check_ok(tl_image_init(&image, 8, 300, 3, &err), &err);
    check_ok(tl_image_save_png(support_path(*state, "grid.png"), &image, NULL, 0, &err), &err);
    tl_image_finish(&image);
    struct tl_run_metrics *m = tl_run_metrics_open(*state, -1, &err);
    check_ok(m != NULL, &err);
    tl_run_metrics_picture(m, "grid", 7, support_path(*state, "grid.png"));
    tl_run_metrics_close(&m);
    list(*state, &files);
    assert_int_equal(files.n, 1);
    assert_int_equal(count_records(support_path(*state, "%s", files.name[0]), bytes, sizeof bytes, &n), 2);
    assert_true(contains(bytes, n, "\x08\xac\x02\x10\x08\x18\x03\x22", 8)); /* 300 high, 8 wide, RGB */
}

/* A sync hands the waiting events to the file. */
static void test_sync(void **state)
{
    struct tl_err err = {0};
    struct files files;
    uint8_t bytes[4096];
    size_t n;
    const struct tl_run_metric loss = {"loss", 1};
    struct tl_run_metrics *m = tl_run_metrics_open(*state, -1, &err);
    check_ok(m != NULL, &err);
    check_ok(tl_run_metrics_append(m, "train", 1, &loss, 1, &err), &err);
    check_ok(tl_run_metrics_sync(m, &err), &err);
    list(*state, &files);
    assert_int_equal(files.n, 1);
    assert_int_equal(count_records(support_path(*state, "%s", files.name[0]), bytes, sizeof bytes, &n), 2);
    tl_run_metrics_close(&m);
}

static char *rows_without_time(const char *folder)
{
    char *text = support_read(support_path(folder, "metrics.jsonl")), *to = text;
    for (char *line = text; *line;) {
        char *time = strstr(line, ",\"time\""), *end = strchr(line, '\n');
        memmove(to, line, (size_t)(time - line));
        to += time - line;
        *to++ = '\n';
        line = end + 1;
    }
    *to = 0;
    return text;
}

/* The folder takes metrics but no events: one warning, and the same metrics. */
static void test_failure(void **state)
{
    const char *folder = *state;
    char *alone, *with;
    write_rows(folder, -1, 0, 3);
    with = rows_without_time(folder);
    assert_int_equal(mkdir(support_path(folder, "f"), 0777), 0);
    const char *full = support_path(folder, "f");
    struct tl_err err = {0};
    struct tl_run_metrics *m = tl_run_metrics_open(full, -1, &err);
    check_ok(m != NULL, &err);
    support_log_start();
    struct rlimit old, none;
    getrlimit(RLIMIT_NOFILE, &old);
    none = old;
    none.rlim_cur = 3;
    /* no more files can be opened: that is, none for the events */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int step = 0; step <= 3; step++) {
        const struct tl_run_metric row[] = {{"loss", 1.0 / (step + 1)}, {"lr", 0.5}};
        check_ok(tl_run_metrics_append(m, "train", step, row, 2, &err), &err);
    }
    tl_run_metrics_image(m, "samples/grid", 3, "png", 3, 4, 5);
    check_ok(tl_run_metrics_sync(m, &err), &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    tl_run_metrics_close(&m);
    const char *log = support_log(), *said = strstr(log, "TensorBoard");
    assert_non_null(said);
    assert_null(strstr(said + 1, "TensorBoard"));
    struct files files;
    list(full, &files);
    assert_int_equal(files.n, 0);
    alone = rows_without_time(full);
    assert_string_equal(alone, with);
    free(alone);
    free(with);
}

/* The events' file no longer grows: a warning, and the run goes on. */
static void test_full(void **state)
{
    struct tl_err err = {0};
    struct rlimit old, small;
    const struct tl_run_metric loss = {"loss", 1};
    struct tl_run_metrics *m = tl_run_metrics_open(*state, -1, &err);
    check_ok(m != NULL, &err);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 16384;
    static uint8_t png[20000];
    support_log_start();
    check_ok(tl_run_metrics_append(m, "train", 1, &loss, 1, &err), &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    tl_run_metrics_image(m, "samples/grid", 1, png, sizeof png, 4, 5);
    check_ok(tl_run_metrics_sync(m, &err), &err);
    check_ok(tl_run_metrics_append(m, "train", 2, &loss, 1, &err), &err);
    tl_run_metrics_image(m, "samples/grid", 2, png, sizeof png, 4, 5);
    check_ok(tl_run_metrics_sync(m, &err), &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    tl_run_metrics_close(&m);
    const char *said = strstr(support_log(), "no TensorBoard events from here on");
    assert_non_null(said);
    assert_null(strstr(said + 1, "no TensorBoard"));
    char *rows = support_read(support_path(*state, "metrics.jsonl"));
    assert_non_null(strstr(rows, "\"step\":2"));
    free(rows);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, support_folder_make, support_folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {IN_FOLDER(test_files),   IN_FOLDER(test_lazy),
                                       IN_FOLDER(test_picture), IN_FOLDER(test_sync),
                                       IN_FOLDER(test_failure), IN_FOLDER(test_full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
