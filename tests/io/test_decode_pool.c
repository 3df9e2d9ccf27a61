#include "io/decode_pool.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tiller/interrupt.h>

#include "io/file.h"
#include "io/image_samples.h"
#include "io/resize_cover.h"
#include "io/support_decode.h"
#include "io/support_io.h"

enum { N_SAMPLES = sizeof image_samples / sizeof *image_samples };

static const char *put_sample(size_t i)
{
    char name[128];
    snprintf(name, sizeof name, "samples/%zu-%s", i, image_samples[i].name);
    return io_put(name, image_samples[i].bytes, image_samples[i].n);
}

/* Every sample as it is, brought to a size, and only its size, against the same without workers. */
static void test_formats(void **state)
{
    (void)state;
    struct decode_case *c = decode_case_new(3 * N_SAMPLES);
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const char *path = put_sample(i);
        decode_case_add(c, path, TL_DECODE_PIXELS, 0, 0);
        decode_case_add(c, path, TL_DECODE_PIXELS, 5, 7);
        decode_case_add(c, path, TL_DECODE_SIZE, 0, 0);
    }
    decode_case_run(c, &(struct tl_decode_params){.n_workers = 2});
    for (size_t i = 0; i < N_SAMPLES; i++) {
        struct tl_err err = {0};
        struct tl_image wanted, fitted;
        check_ok(tl_image_load(c->jobs[3 * i].path, &wanted, &err), &err);
        check_ok(tl_resize_cover(&wanted, 5, 7, &fitted, &err), &err);
        decode_case_is(c, 3 * i, &wanted);
        decode_case_is(c, 3 * i + 1, &fitted);
        free(wanted.px);
        wanted.px = NULL;
        decode_case_is(c, 3 * i + 2, &wanted);
        tl_image_finish(&fitted);
    }
    decode_case_free(c);
}

/* 200 pictures, each of its own size and grey, some missing and some damaged: the same with any number of
 * workers. */
static void test_order(void **state)
{
    (void)state;
    enum { N = 200 };
    struct decode_case *c = decode_case_new(N);
    for (int i = 0; i < N; i++) {
        char name[64], pnm[64];
        snprintf(name, sizeof name, "many/%d.pgm", i);
        int head = snprintf(pnm, sizeof pnm, "P5 1 %d 255\n", i % 17 + 1);
        memset(pnm + head, i, (size_t)(i % 17 + 1));
        size_t n = (size_t)head + (size_t)(i % 17 + (i % 50 != 9));
        decode_case_add(c, i % 50 == 33 ? io_path("many/none.pgm") : io_put(name, pnm, n), TL_DECODE_PIXELS,
                        0, 0);
    }
    static const int workers[] = {1, 3};
    for (int k = 0; k < 2; k++) {
        decode_case_run(c, &(struct tl_decode_params){.n_workers = workers[k]});
        for (int i = 0; i < N; i++) {
            if (i % 50 == 33) {
                decode_case_fails(c, (size_t)i, "none.pgm: cannot open: No such file");
            } else if (i % 50 == 9) {
                decode_case_fails(c, (size_t)i, "9.pgm: bad PNM: cut short");
            } else {
                uint8_t px[51];
                memset(px, i, sizeof px);
                decode_case_is(c, (size_t)i,
                               &(struct tl_image){.width = 1, .height = i % 17 + 1, .channels = 3, .px = px});
            }
        }
    }
    decode_case_free(c);
}

static void test_bad_files(void **state)
{
    (void)state;
    struct decode_case *c = decode_case_new(16);
    static const char bomb[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x75\x30\0\0\x75\x30\x08\2\0\0\0\0\0\0\0";
    const struct image_sample *s = &image_samples[0];
    assert_non_null(strstr(s->name, ".png"));
    assert_int_equal(mkfifo(io_path("pipe.png"), 0600), 0);
    decode_case_add(c, io_put("bomb.png", bomb, sizeof bomb - 1), TL_DECODE_PIXELS, 0, 0);
    decode_case_add(c, io_path("bomb.png"), TL_DECODE_SIZE, 0, 0);
    decode_case_add(c, io_put("cut.png", s->bytes, s->n - 30), TL_DECODE_PIXELS, 2, 2);
    decode_case_add(c, io_put_text("text.jpg", "not a picture\n"), TL_DECODE_SIZE, 0, 0);
    decode_case_add(c, io_put("empty.webp", "", 0), TL_DECODE_PIXELS, 0, 0);
    decode_case_add(c, io_path("pipe.png"), TL_DECODE_PIXELS, 0, 0);
    decode_case_add(c, io_path(""), TL_DECODE_PIXELS, 0, 0);
    decode_case_add(c, io_put_text("thin.pgm", "P5 1 9 255\n123456789"), TL_DECODE_PIXELS, 8000, 8000);
    decode_case_add(c, io_put_text("good.pgm", "P5 2 2 255\n1234"), TL_DECODE_PIXELS, 1, 1);
    decode_case_run(c, &(struct tl_decode_params){.n_workers = 2});
    decode_case_fails(c, 0, "bomb.png: 900000000 pixels, more than the 67108864 allowed");
    decode_case_fails(c, 1, "bomb.png: 900000000 pixels, more than the 67108864 allowed");
    decode_case_fails(c, 2, "cut.png: bad PNG: the file is cut short");
    decode_case_fails(c, 3, "text.jpg: not a picture that can be read");
    decode_case_fails(c, 4, "empty.webp: not a picture, the file is empty");
    decode_case_fails(c, 5, "pipe.png: not a regular file");
    decode_case_fails(c, 6, ": not a regular file");
    decode_case_fails(c, 7, "thin.pgm: a picture of 1x9 cannot be brought to 8000x8000");
    decode_case_is(c, 8, &(struct tl_image){.width = 1, .height = 1, .channels = 3, .px = (uint8_t *)"333"});
    decode_case_free(c);
}

/* The size comes from the header alone, whatever is missing behind it. */
static void test_headers(void **state)
{
    (void)state;
    struct decode_case *c = decode_case_new(N_SAMPLES);
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const struct image_sample *s = &image_samples[i];
        char name[128];
        snprintf(name, sizeof name, "heads/%zu-%s", i, s->name);
        bool is_pnm = strstr(s->name, ".ppm") || strstr(s->name, ".pgm");
        decode_case_add(c, io_put(name, s->bytes, is_pnm ? s->n : s->n - 4), TL_DECODE_SIZE, 0, 0);
    }
    decode_case_run(c, &(struct tl_decode_params){.n_workers = 2});
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const struct image_sample *s = &image_samples[i];
        decode_case_is(c, i, &(struct tl_image){.width = s->width, .height = s->height, .channels = 3});
    }
    decode_case_free(c);
}

/* Samples with one to four bytes changed, or cut: whatever comes is the same with one worker and with three,
 * and where there are pixels the header told their size. */
static void test_damaged(void **state)
{
    (void)state;
    enum { N = 1000 };
    struct decode_case *c = decode_case_new(2 * N), *other = decode_case_new(2 * N);
    unsigned seed = 1;
    for (int i = 0; i < N; i++) {
        const struct image_sample *s = &image_samples[i % N_SAMPLES];
        uint8_t bytes[4096];
        size_t n = s->n < sizeof bytes ? s->n : sizeof bytes;
        memcpy(bytes, s->bytes, n);
        for (int k = 0; k <= i % 4; k++) {
            seed = seed * 1664525u + 1013904223u;
            size_t at = seed >> 8, head = n < 48 ? n : 48;
            bytes[k % 2 ? at % n : at % head] = (uint8_t)(seed >> 3);
        }
        if (i % 8 == 7) n = seed % n;
        char name[128];
        snprintf(name, sizeof name, "damaged/%d-%s", i, s->name);
        const char *path = io_put(name, bytes, n);
        for (int k = 0; k < 2; k++) {
            decode_case_add(k ? other : c, path, TL_DECODE_PIXELS, 0, 0);
            decode_case_add(k ? other : c, path, TL_DECODE_SIZE, 0, 0);
        }
    }
    decode_case_run(c, &(struct tl_decode_params){.n_workers = 1, .most_pixels = 1 << 16});
    decode_case_run(other, &(struct tl_decode_params){.n_workers = 3, .most_pixels = 1 << 16});
    int n_good = 0, n_bad = 0;
    for (size_t i = 0; i < 2 * N; i++) {
        if (c->got[i].err.code) {
            decode_case_fails(other, i, c->got[i].err.text);
            n_bad++;
            continue;
        }
        decode_case_is(other, i, &c->got[i].image);
        if (i % 2 == 0)
            decode_case_is(c, i + 1,
                           &(struct tl_image){c->got[i].image.width, c->got[i].image.height, 3, NULL});
        n_good++;
    }
    assert_true(n_good > 100 && n_bad > 100);
    decode_case_free(c);
    decode_case_free(other);
}

static void test_fewer_pixels(void **state)
{
    (void)state;
    struct decode_case *c = decode_case_new(3);
    decode_case_add(c, io_put_text("four.pgm", "P5 2 2 255\n1234"), TL_DECODE_PIXELS, 0, 0);
    decode_case_add(c, io_put_text("six.pgm", "P5 2 3 255\n123456"), TL_DECODE_PIXELS, 0, 0);
    decode_case_add(c, io_path("four.pgm"), TL_DECODE_PIXELS, 2, 3);
    decode_case_run(c, &(struct tl_decode_params){.n_workers = 1, .most_pixels = 4});
    assert_int_equal(c->got[0].image.width, 2);
    decode_case_fails(c, 1, "six.pgm: 6 pixels, more than the 4 allowed here");
    decode_case_fails(c, 2, "four.pgm: 6 pixels, more than the 4 allowed here");
    decode_case_free(c);
}

struct stopper {
    size_t n, stop_at;
    bool by_interrupt;
};

static bool stop_take(void *user, size_t i, struct tl_image *image, const struct tl_err *error)
{
    struct stopper *s = user;
    assert_int_equal(i, s->n++);
    assert_non_null(image);
    assert_null(error);
    if (i != s->stop_at) return true;
    if (s->by_interrupt) tl_interrupt_request();
    return s->by_interrupt;
}

/* Ended early, by the taker or by Ctrl-C, a run leaves a pool that works. */
static void test_stop(void **state)
{
    (void)state;
    enum { N = 40 };
    struct tl_decode_job jobs[N];
    const char *path = io_put_text("good.pgm", "P5 2 2 255\n1234");
    for (int i = 0; i < N; i++) jobs[i] = (struct tl_decode_job){.path = path};
    struct tl_err err = {0};
    struct tl_decode_pool *pool = tl_decode_pool_open(&(struct tl_decode_params){.n_workers = 3}, &err);
    check_ok(pool != NULL, &err);
    for (int turn = 0; turn < 4; turn++) {
        struct stopper stop = {.stop_at = 11, .by_interrupt = turn % 2};
        bool ok = tl_decode_pool_run(pool, jobs, N, stop_take, &stop, &err);
        tl_interrupt_clear();
        assert_true(ok == !stop.by_interrupt);
        assert_int_equal(err.code, stop.by_interrupt ? TL_INTERRUPTED : TL_OK);
        assert_int_equal(stop.n, 12);
        tl_err_clear(&err);
    }
    struct stopper all = {.stop_at = N};
    check_ok(tl_decode_pool_run(pool, jobs, N, stop_take, &all, &err), &err);
    assert_int_equal(all.n, N);
    check_ok(tl_decode_pool_run(pool, NULL, 0, stop_take, &all, &err), &err);
    tl_decode_pool_close(&pool);
    assert_null(pool);
    tl_decode_pool_close(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats), cmocka_unit_test(test_order),   cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_headers), cmocka_unit_test(test_damaged), cmocka_unit_test(test_fewer_pixels),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
