#include "support/check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tiller/interrupt.h>

#include "io/utf8.h"
#include "run/progress.h"

/* ---- the line ---- */

static void test_line(void **state)
{
    (void)state;
    static const struct {
        struct tl_progress p;
        const char *line;
    } cases[] = {
        {{"sampling", 12, 64, "images", 3.14, 17, "reward 0.312"},
         "sampling 12/64 images, 3.1 images/s, 0:17 left, reward 0.312"},
        {{"sampling", 0, 64, "images", 0, -1, ""}, "sampling 0/64 images"},
        {{"reading", 1234, 0, "files", 250.4, -1, ""}, "reading 1234 files, 250 files/s"},
        {{"training", 3, 10, "updates", 0.4, 17.5, ""}, "training 3/10 updates, 2.5 s each, 0:18 left"},
        {{"training", 3, 10, "updates", 0.01, 700, ""}, "training 3/10 updates, 100 s each, 11:40 left"},
        {{"training", 3, 10, "", 2, 3599.6, ""}, "training 3/10, 2.0 units/s, 1:00:00 left"},
        {{"training", 3, 10, "steps", 2, 2 * 86400 + 4 * 3600 + 60, ""},
         "training 3/10 steps, 2.0 steps/s, 2 d 4 h left"},
        {{"training", 10, 10, "steps", 2, 0, "done"}, "training 10/10 steps, 2.0 steps/s, done"},
        {{"training", 1, 10, "steps", INFINITY, 0, ""}, "training 1/10 steps"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[256];
        assert_string_equal(tl_progress_line(&cases[i].p, out, sizeof out), cases[i].line);
    }
}

/* Cut anywhere: ends in time, and never within a character. */
static void test_line_cut(void **state)
{
    (void)state;
    const struct tl_progress p = {"échantillon", 3, 10, "pièces", 2.5, 3, "état ø"};
    char whole[256], out[256];
    tl_progress_line(&p, whole, sizeof whole);
    for (size_t size = 0; size <= strlen(whole) + 1; size++) {
        memset(out, '#', sizeof out);
        tl_progress_line(&p, out, size);
        assert_int_equal(out[size], '#');
        if (!size) continue;
        size_t n = strlen(out);
        assert_true(n < size && n + 2 > size - (size > 1));
        assert_memory_equal(out, whole, n);
        assert_int_equal(tl_utf8_prefix(out, n), n);
    }
    assert_string_equal(out, whole);
}

/* ---- the meter ---- */

static double fake_now;

static double fake_clock(void)
{
    return fake_now;
}

struct seen {
    int n;
    struct tl_progress last;
};

static void see(void *user, const struct tl_progress *p)
{
    struct seen *s = user;
    s->n++;
    s->last = *p;
}

static struct tl_progress_meter meter(struct seen *s, int64_t total)
{
    fake_now = 1000;
    return (struct tl_progress_meter){
        .fn = see, .user = s, .phase = "x", .unit = "steps", .total = total, .clock = fake_clock};
}

static void test_meter_rate(void **state)
{
    (void)state;
    struct seen s = {0};
    struct tl_progress_meter m = meter(&s, 100);
    tl_progress_begin(&m, 20); /* resumed: what was done before says nothing of the speed */
    assert_int_equal(s.n, 1);
    assert_true(s.last.rate == 0 && s.last.seconds_left < 0);
    assert_string_equal(s.last.health, "");
    for (int i = 21; i <= 30; i++) {
        fake_now += 2;
        tl_progress_advance(&m, i, "fine");
        check_near(s.last.rate, 0.5, 1e-12);
        check_near(s.last.seconds_left, (100 - i) * 2.0, 1e-9);
        assert_true(s.last.done == i);
    }
    assert_string_equal(s.last.health, "fine");
    /* It gets four times as slow: after some minutes the rate has followed. */
    for (int i = 31; i <= 60; i++) {
        fake_now += 8;
        tl_progress_advance(&m, i, NULL);
    }
    check_near(s.last.rate, 0.125, 0.001);
    fake_now += 8;
    tl_progress_advance(&m, 100, NULL);
    assert_true(s.last.seconds_left == 0);
}

static void test_meter_reports(void **state)
{
    (void)state;
    struct seen s = {0};
    struct tl_progress_meter m = meter(&s, 1000);
    tl_progress_begin(&m, 0);
    for (int i = 1; i < 1000; i++) { /* 10 s in steps of 10 ms: a report each 0.2 s */
        fake_now += 0.01;
        tl_progress_advance(&m, i, NULL);
    }
    assert_in_range(s.n, 45, 52);
    int before = s.n;
    tl_progress_advance(&m, 1000, "end"); /* the last one is always told, within the same tick, too */
    assert_int_equal(s.n, before + 1);
    assert_true(s.last.done == 1000);
    m.fn = NULL;
    tl_progress_begin(&m, 0); /* nobody listens */
    tl_progress_advance(&m, 1000, NULL);
    assert_int_equal(s.n, before + 1);
}

static void test_meter_unknown_total(void **state)
{
    (void)state;
    struct seen s = {0};
    struct tl_progress_meter m = meter(&s, 0);
    tl_progress_begin(&m, 0);
    fake_now += 1;
    tl_progress_advance(&m, 4, NULL);
    check_near(s.last.rate, 4, 1e-12);
    assert_true(s.last.seconds_left < 0);
    fake_now -= 5; /* a clock that goes back does no harm */
    tl_progress_advance(&m, 5, NULL);
    assert_true(isfinite(m.sum_done) && m.sum_time > 0);
}

/* ---- interruption ---- */

static void test_interrupt_flag(void **state)
{
    (void)state;
    struct tl_err err = {0};
    assert_false(tl_interrupted());
    assert_true(tl_interrupt_check("training", &err));
    tl_interrupt_request();
    assert_true(tl_interrupted());
    assert_false(tl_interrupt_check("training", &err));
    assert_int_equal(err.code, TL_INTERRUPTED);
    assert_string_equal(err.text, "training was interrupted");
    tl_interrupt_clear();
    assert_false(tl_interrupted());
}

/* In a child: the first signal is answered by the flag, the second by the default. Its exit: 40 if it did not
 * even start right. */
static int child_status(int first, int second, bool ignored)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        if (ignored) signal(first, SIG_IGN);
        tl_interrupt_install();
        if (tl_interrupted()) _exit(40);
        raise(first);
        if (ignored) _exit(tl_interrupted() ? 41 : 0);
        if (!tl_interrupted() || tl_interrupt_signal() != first) _exit(42);
        if (second) raise(second);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_interrupt_signals(void **state)
{
    (void)state;
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(child_status(numbers[i], 0, false), 0);
        assert_int_equal(child_status(numbers[i], 0, true), 0);
        for (int j = 0; j < 3; j++)
            assert_int_equal(child_status(numbers[i], numbers[j], false), 1000 + numbers[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_line_cut),
        cmocka_unit_test(test_meter_rate),
        cmocka_unit_test(test_meter_reports),
        cmocka_unit_test(test_meter_unknown_total),
        cmocka_unit_test(test_interrupt_flag),
        cmocka_unit_test(test_interrupt_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
