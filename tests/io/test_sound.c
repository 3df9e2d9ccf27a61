/* Sounds in and out: formats, limits, damage, and the same through workers as without. */
#include "io/sound.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/decode_pool.h"
#include "io/file.h"
#include "io/support_io.h"

#define TONES TL_SOURCE_DIR "/tests/fixtures/sounds/"

/* `most` bounds what the format loses. */
static const struct {
    const char *name;
    size_t frames;
    double most;
} tones[] = {
    {"tone.aiff", 1600, 2e-7},    {"tone.flac", 1600, 2e-7},  {"tone.caf", 1600, 4e-5},
    {"tone.w64", 1600, 4e-5},     {"tone.rf64", 1600, 4e-5},  {"tone.au", 1600, 0.02},
    {"tone.u8.wav", 1600, 0.008}, {"tone.adpcm.wav", 0, 0.5}, {"tone.ogg", 1600, 0.05},
    {"tone.mp3", 1600, 0.1},      {"tone.opus", 1600, 2},
};
enum { N_TONES = sizeof tones / sizeof *tones };

static double tone(size_t i, int channel)
{
    const double pi = 3.14159265358979323846;
    double t = (double)i / 16000;
    return channel ? 0.25 * sin(2 * pi * 1000 * t) : 0.5 * sin(2 * pi * 440 * t);
}

static struct tl_sound make(int rate, int channels, size_t frames)
{
    struct tl_err err = {0};
    struct tl_sound s;
    uint32_t random = 7;
    check_ok(tl_sound_init(&s, rate, channels, frames, &err), &err);
    for (size_t i = 0; i < frames * (size_t)channels; i++) {
        random = random * 1664525u + 1013904223u;
        s.samples[i] = (float)((int)(random >> 16) - 32768) / 32768;
    }
    return s;
}

static void same(const struct tl_sound *a, const struct tl_sound *b)
{
    assert_int_equal(a->rate, b->rate);
    assert_int_equal(a->channels, b->channels);
    assert_int_equal(a->frames, b->frames);
    assert_memory_equal(a->samples, b->samples, a->frames * (size_t)a->channels * sizeof *a->samples);
}

static void test_formats(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_TONES; k++) {
        char path[512];
        struct tl_err err = {0};
        struct tl_sound s, again;
        snprintf(path, sizeof path, TONES "%s", tones[k].name);
        check_ok(tl_sound_load(path, &s, &err), &err);
        assert_int_equal(s.rate, 16000);
        assert_int_equal(s.channels, 2);
        if (tones[k].frames) assert_int_equal(s.frames, tones[k].frames);
        for (size_t i = 0; i < s.frames && i < 1600; i++)
            for (int c = 0; c < 2; c++) {
                double x = (double)s.samples[2 * i + (size_t)c];
                if (!(fabs(x - tone(i, c)) <= tones[k].most))
                    fail_msg("%s: frame %zu is %g, not %g", path, i, x, tone(i, c));
            }
        int fd = open(path, O_RDONLY);
        assert_true(lseek(fd, 5, SEEK_SET) == 5);
        check_ok(tl_sound_load_fd(fd, "it", &again, &err), &err);
        assert_int_equal(close(fd), 0);
        same(&s, &again);
        tl_sound_finish(&s);
        tl_sound_finish(&again);
    }
}

/* Float WAV keeps every bit, also above full scale; 16 bits round to nearest, halves to even, and clip; the
 * same sound gives the same file. */
static void test_save(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_sound s = make(44100, 3, 9001), got;
    s.samples[0] = 1.5f;
    s.samples[1] = -1.5f;
    s.samples[2] = 0.5f / 32768;
    s.samples[3] = 1.5f / 32768;
    s.samples[4] = 1;
    check_ok(tl_sound_save(io_path("a.wav"), &s, TL_SOUND_WAV_FLOAT, &err), &err);
    check_ok(tl_sound_load(io_path("a.wav"), &got, &err), &err);
    same(&got, &s);
    tl_sound_finish(&got);
    static const enum tl_sound_format formats[] = {TL_SOUND_WAV_16, TL_SOUND_FLAC_16};
    for (int k = 0; k < 2; k++) {
        check_ok(tl_sound_save(io_path("b.bin"), &s, formats[k], &err), &err);
        check_ok(tl_sound_load(io_path("b.bin"), &got, &err), &err);
        static const float head[] = {32767, -32768, 0, 2, 32767};
        for (int i = 0; i < 5; i++) check_near(32768 * got.samples[i], head[i], 0);
        for (size_t i = 5; i < 3 * s.frames; i++) assert_true(got.samples[i] == s.samples[i]);
        assert_int_equal(got.rate, 44100);
        assert_int_equal(got.frames, s.frames);
        tl_sound_finish(&got);
        size_t n, n_again;
        uint8_t *first = tl_file_read(io_path("b.bin"), 1 << 20, &n, &err);
        check_ok(tl_sound_save(io_path("b.bin"), &s, formats[k], &err), &err);
        uint8_t *second = tl_file_read(io_path("b.bin"), 1 << 20, &n_again, &err);
        assert_int_equal(n, n_again);
        assert_memory_equal(first, second, n);
        free(first);
        free(second);
    }
    s.samples[7] = NAN;
    check_fails(tl_sound_save(io_path("a.wav"), &s, TL_SOUND_WAV_16, &err), &err, TL_BAD_INPUT,
                "a.wav: the value of frame 2, channel 2 is not finite");
    tl_sound_finish(&s);
    s = make(44100, 9, 4);
    check_fails(tl_sound_save(io_path("c.flac"), &s, TL_SOUND_FLAC_16, &err), &err, TL_OUTPUT,
                "does not hold 9 channels");
    check_fails(tl_sound_save(io_path("no/such/c.wav"), &s, TL_SOUND_WAV_16, &err), &err, TL_OUTPUT, "c.wav");
    assert_int_equal(io_count("c.wav"), 0);
    assert_int_equal(io_count("tmp"), 0);
    tl_sound_finish(&s);
}

/* A WAV of 16 bits by hand. */
static size_t wav(uint8_t *out, unsigned channels, unsigned rate, unsigned told, unsigned n)
{
    uint8_t head[44] = "RIFF....WAVEfmt \x10\0\0\0\1\0";
    unsigned words[][3] = {
        {4, 4, 36 + told},     {22, 2, channels}, {24, 4, rate}, {28, 4, rate * channels * 2},
        {32, 2, channels * 2}, {34, 2, 16},       {40, 4, told}};
    memcpy(head + 36, "data", 4);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (unsigned k = 0; k < words[i][1]; k++) head[words[i][0] + k] = (uint8_t)(words[i][2] >> (8 * k));
    memcpy(out, head, 44);
    memset(out + 44, 1, n);
    return 44 + n;
}

static void refused(const void *data, size_t n, const char *part)
{
    struct tl_err err = {0};
    struct tl_sound s;
    check_fails(tl_sound_decode(data, n, "x", &s, &err), &err, TL_BAD_INPUT, part);
    assert_null(s.samples);
    assert_int_equal(s.frames, 0);
}

static void test_limits(void **state)
{
    (void)state;
    static uint8_t data[1 << 16];
    struct tl_err err = {0};
    struct tl_sound s;
    refused("", 0, "x: not a sound, the file is empty");
    refused("RIFF", 4, "x: not a sound that can be read");
    refused("this is a text\n", 15, "x: not a sound that can be read; there are WAV, FLAC");
    refused(data, wav(data, 17, 16000, 340, 340), "x: 17 channels, more than the 16");
    refused(data, wav(data, 1, 999, 340, 340), "x: a rate of 999 Hz; 1000 to 768000");
    refused(data, wav(data, 1, 768001, 340, 340), "x: a rate of 768001 Hz");
    refused(data, wav(data, 2, 16000, 0, 0), "x: a sound without any samples");
    refused(data, wav(data, 2, 16000, 400, 398), "x: bad WAV: cut short, 398 bytes of 400 are there");
    check_ok(tl_sound_decode(data, wav(data, 16, 768000, 320, 320), "x", &s, &err), &err);
    assert_int_equal(s.frames, 10);
    check_near(32768 * s.samples[159], 0x101, 0);
    tl_sound_finish(&s);
    /* What a writer to a pipe leaves. */
    check_ok(tl_sound_decode(data, wav(data, 1, 8000, 0xffffffffu, 200), "x", &s, &err), &err);
    assert_int_equal(s.frames, 100);
    tl_sound_finish(&s);
    float room[10];
    size_t n = wav(data, 2, 16000, 44, 44);
    check_fails(tl_sound_decode_into(data, n, "x", room, 21, &s, &err), &err, TL_BAD_INPUT,
                "x: 22 samples, more than the 21 allowed here");
    check_fails(tl_sound_init(&s, 16000, 2, SIZE_MAX, &err), &err, TL_BAD_INPUT, "is not one that");
    check_fails(tl_sound_init(&s, 16000, 2, 0, &err), &err, TL_BAD_INPUT, "is not one that");
    check_fails(tl_sound_load(io_path("none.wav"), &s, &err), &err, TL_BAD_INPUT, "none.wav: cannot open");
    check_fails(tl_sound_load(io_path(""), &s, &err), &err, TL_BAD_INPUT, "");
}

/* A header that promises hours costs no memory: FLAC with the total of its samples raised. */
static void test_promises(void **state)
{
    (void)state;
    struct tl_err err = {0};
    size_t n;
    uint8_t *data = tl_file_read(TONES "tone.flac", 1 << 20, &n, &err);
    data[21] |= 0x0f; /* 36 bits from here */
    refused(data, n, "s long, more than the 7200");
    data[21] &= 0xf0;
    data[22] = 5;
    refused(data, n, "x: bad FLAC: ");
    struct tl_sound s, whole;
    check_ok(tl_sound_load(TONES "tone.flac", &whole, &err), &err);
    memset(data + 22, 0, 4); /* what a writer to a pipe leaves */
    check_ok(tl_sound_decode(data, n, "x", &s, &err), &err);
    same(&s, &whole);
    tl_sound_finish(&s);
    tl_sound_finish(&whole);
    refused(data, n - 100, "x: bad FLAC: ");
    free(data);
}

/* What is promised is not taken as memory before it is there: 100 million samples in 256 MB of it. */
static void test_promised_memory(void **state)
{
    (void)state;
    struct tl_err err = {0};
    size_t n;
    uint8_t *data = tl_file_read(TONES "tone.flac", 1 << 20, &n, &err);
    check_ok(data, &err);
    data[22] = 5; /* 84 million samples */
    pid_t pid = fork();
    if (pid == 0) {
#ifndef __SANITIZE_ADDRESS__ /* which needs much more */
        const struct rlimit limit = {256 << 20, 256 << 20};
        setrlimit(RLIMIT_DATA, &limit);
#endif
        struct tl_sound s;
        bool ok = tl_sound_decode(data, n, "x", &s, &err);
        _exit(ok || s.samples || err.code != TL_BAD_INPUT || !strstr(err.text, "x: bad FLAC: "));
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(data);
}

/* Longer than what is read at a time: the memory grows. */
static void test_long(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_sound sound, back, into;
    for (size_t frames = 65535; frames < 400000; frames = frames * 3 / 2 + 1) {
        size_t n;
        check_ok(tl_sound_init(&sound, 8000, 2, frames, &err), &err);
        for (size_t i = 0; i < 2 * frames; i++) sound.samples[i] = (float)(i % 1021) / 1024 - 0.5f;
        check_ok(tl_sound_save(io_path("long.wav"), &sound, TL_SOUND_WAV_FLOAT, &err), &err);
        uint8_t *data = tl_file_read(io_path("long.wav"), 1 << 24, &n, &err);
        check_ok(data, &err);
        check_ok(tl_sound_decode(data, n, "x", &back, &err), &err);
        same(&back, &sound);
        memset(back.samples, 0, 2 * frames * sizeof *back.samples);
        check_ok(tl_sound_decode_into(data, n, "x", back.samples, 2 * frames, &into, &err), &err);
        assert_null(into.samples);
        same(&back, &sound);
        check_fails(tl_sound_decode_into(data, n, "x", back.samples, 2 * frames - 1, &into, &err), &err,
                    TL_BAD_INPUT, "more than the");
        tl_sound_finish(&sound);
        tl_sound_finish(&back);
        free(data);
    }
}

static void test_not_finite(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_sound s = make(8000, 2, 50);
    size_t n;
    check_ok(tl_sound_save(io_path("nan.wav"), &s, TL_SOUND_WAV_FLOAT, &err), &err);
    uint8_t *data = tl_file_read(io_path("nan.wav"), 1 << 20, &n, &err);
    memcpy(data + n - 8, "\0\0\xc0\x7f", 4);
    refused(data, n, "x: the value of frame 49, channel 1 is not finite");
    memcpy(data + n - 8, "\0\0\x80\xff", 4);
    refused(data, n, "x: the value of frame 49, channel 1 is not finite");
    free(data);
    tl_sound_finish(&s);
}

/* ---- through workers ---- */

struct got {
    struct tl_sound sound;
    struct tl_err err;
};

static bool keep(void *user, size_t i, struct tl_sound *sound, const struct tl_err *error)
{
    struct got *got = user;
    assert_true((sound == NULL) == (error != NULL));
    if (error) got[i].err = *error;
    if (!sound) return true;
    got[i].sound = *sound;
    *sound = (struct tl_sound){0};
    return true;
}

static void run_pool(const char *const *paths, size_t n, struct got *got,
                     const struct tl_decode_params *params)
{
    struct tl_err err = {0};
    struct tl_decode_pool *pool = tl_decode_pool_open(params, &err);
    check_ok(pool != NULL, &err);
    check_ok(tl_decode_pool_run_sounds(pool, paths, n, keep, got, &err), &err);
    tl_decode_pool_close(&pool);
    assert_true(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

/* Every format, with one worker and with three, has the bits of a load without workers. */
static void test_pool_formats(void **state)
{
    (void)state;
    enum { TURNS = 4, N = TURNS * N_TONES };
    char *paths[N];
    for (size_t i = 0; i < N; i++) {
        paths[i] = malloc(512);
        snprintf(paths[i], 512, TONES "%s", tones[i % N_TONES].name);
    }
    for (int workers = 1; workers <= 3; workers += 2) {
        struct got *got = calloc(N, sizeof *got);
        run_pool((const char *const *)paths, N, got,
                 &(struct tl_decode_params){.n_workers = workers, .most_samples = 1 << 20});
        for (size_t i = 0; i < N; i++) {
            struct tl_err err = {0};
            struct tl_sound wanted;
            if (got[i].err.code) fail_msg("%s", got[i].err.text);
            check_ok(tl_sound_load(paths[i], &wanted, &err), &err);
            same(&got[i].sound, &wanted);
            tl_sound_finish(&wanted);
            tl_sound_finish(&got[i].sound);
        }
        free(got);
    }
    for (size_t i = 0; i < N; i++) free(paths[i]);
}

static void crash(void *user, const char *path)
{
    (void)user;
    if (strstr(path, "crash")) abort();
    while (strstr(path, "hang")) pause();
}

static void test_pool_bad_files(void **state)
{
    (void)state;
    static uint8_t data[1 << 16];
    assert_int_equal(mkfifo(io_path("pipe.wav"), 0600), 0);
    const char *good = io_put("good.wav", data, wav(data, 1, 8000, 8, 8));
    const char *paths[] = {good,
                           io_put_text("text.wav", "hello\n"),
                           io_put("empty.flac", "", 0),
                           io_path("pipe.wav"),
                           io_path("gone.mp3"),
                           io_put("crash.wav", data, 52),
                           io_put("hang.wav", data, 52),
                           io_put("long.wav", data, wav(data, 1, 8000, 402, 402)),
                           io_put("cut.wav", data, wav(data, 1, 8000, 300, 200)),
                           good};
    static const char *const parts[] = {NULL,
                                        "text.wav: not a sound that can be read",
                                        "empty.flac: not a sound, the file is empty",
                                        "pipe.wav: not a regular file",
                                        "gone.mp3: cannot open",
                                        "crash.wav: the decoder crashed (signal 6)",
                                        "hang.wav: decoding took longer than 0.3",
                                        "long.wav: 201 samples, more than the 200 allowed here",
                                        "cut.wav: bad WAV: cut short",
                                        NULL};
    enum { N = sizeof paths / sizeof *paths };
    struct got got[N] = {0};
    run_pool(paths, N, got,
             &(struct tl_decode_params){
                 .n_workers = 2, .most_samples = 200, .most_seconds = 0.3, .before = crash});
    for (size_t i = 0; i < N; i++) {
        if (parts[i]) {
            if (got[i].err.code != TL_BAD_INPUT || !strstr(got[i].err.text, parts[i]))
                fail_msg("%zu: %s; expected %s", i, got[i].err.text, parts[i]);
        } else if (got[i].sound.frames != 4) {
            fail_msg("%zu: %s", i, got[i].err.text);
        }
        tl_sound_finish(&got[i].sound);
    }
}

/* A thousand damaged files: whatever comes, it is what a load without workers says. */
static void test_pool_damaged(void **state)
{
    (void)state;
    enum { PER = 30, N = PER * N_TONES };
    char *paths[N];
    unsigned random = 1;
    for (size_t i = 0; i < N; i++) {
        struct tl_err err = {0};
        char name[512];
        size_t n;
        snprintf(name, sizeof name, TONES "%s", tones[i % N_TONES].name);
        uint8_t *data = tl_file_read(name, 1 << 20, &n, &err);
        check_ok(data != NULL, &err);
        for (unsigned k = 0; k <= i % 3; k++) {
            random = random * 1664525u + 1013904223u;
            size_t at = (random >> 8) % (i % 2 ? n : n < 200 ? n : 200);
            data[at] = (uint8_t)(random >> 3);
        }
        if (i % 5 == 0) n -= (random >> 4) % n;
        snprintf(name, sizeof name, "damaged/%zu", i);
        paths[i] = strdup(io_put(name, data, n));
        free(data);
    }
    struct got *got = calloc(N, sizeof *got);
    run_pool((const char *const *)paths, N, got,
             &(struct tl_decode_params){.n_workers = 2, .most_samples = 1 << 20});
    size_t n_good = 0;
    for (size_t i = 0; i < N; i++) {
        struct tl_err err = {0};
        struct tl_sound s;
        size_t n;
        uint8_t *data = tl_file_read(paths[i], 1 << 20, &n, &err);
        float *room = malloc(sizeof *room << 20);
        bool ok = tl_sound_decode_into(data, n, paths[i], room, 1 << 20, &s, &err);
        assert_true(ok == (got[i].err.code == TL_OK));
        if (!ok) assert_string_equal(err.text, got[i].err.text);
        if (ok) {
            s.samples = room;
            same(&s, &got[i].sound);
            n_good++;
        }
        free(room);
        free(data);
        tl_sound_finish(&got[i].sound);
        free(paths[i]);
    }
    free(got);
    assert_in_range(n_good, N / 20, N - N / 20);
}

static bool no_take(void *user, size_t i, struct tl_sound *sound, const struct tl_err *error)
{
    (void)user, (void)i, (void)sound, (void)error;
    return false;
}

/* A pool for pictures says so; none and one of many sounds are fine; both kinds share a pool. */
static void test_pool_use(void **state)
{
    (void)state;
    static uint8_t data[1 << 12];
    struct tl_err err = {0};
    const char *paths[3];
    for (int i = 0; i < 3; i++) paths[i] = io_put("use.wav", data, wav(data, 1, 8000, 64, 64));
    struct tl_decode_pool *pool = tl_decode_pool_open(&(struct tl_decode_params){.n_workers = 1}, &err);
    check_ok(pool != NULL, &err);
    check_fails(tl_decode_pool_run_sounds(pool, paths, 3, no_take, NULL, &err), &err, TL_FAIL,
                "opened for pictures only");
    tl_decode_pool_close(&pool);
    pool = tl_decode_pool_open(
        &(struct tl_decode_params){.n_workers = 2, .most_samples = TL_SOUND_MAX_SAMPLES}, &err);
    check_ok(pool != NULL, &err);
    check_ok(tl_decode_pool_run_sounds(pool, NULL, 0, no_take, NULL, &err), &err);
    check_ok(tl_decode_pool_run_sounds(pool, paths, 3, no_take, NULL, &err), &err);
    struct got got[3] = {0};
    check_ok(tl_decode_pool_run_sounds(pool, paths, 3, keep, got, &err), &err);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(got[i].sound.frames, 32);
        tl_sound_finish(&got[i].sound);
    }
    tl_decode_pool_close(&pool);
}

/* kB of shared memory that this process has in its page tables. */
static size_t shared_kb(void)
{
    struct tl_err err = {0};
    size_t n;
    char *text = (char *)tl_file_read("/proc/self/status", 1 << 20, &n, &err);
    check_ok(text != NULL, &err);
    char *at = strstr(text, "RssShmem:");
    size_t kb = at ? strtoull(at + 9, NULL, 10) : 0;
    free(text);
    return kb;
}

static bool keep_lean(void *user, size_t i, struct tl_sound *sound, const struct tl_err *error)
{
    assert_true(shared_kb() < 16 << 10);
    return keep(user, i, sound, error);
}

static const char *silence(const char *name, size_t frames)
{
    struct tl_err err = {0};
    struct tl_sound s;
    check_ok(tl_sound_init(&s, 8000, 1, frames, &err), &err);
    s.samples[frames - 1] = 0.5f;
    check_ok(tl_sound_save(io_path(name), &s, TL_SOUND_FLAC_16, &err), &err);
    tl_sound_finish(&s);
    return io_path(name);
}

/* Large sounds among small ones: in order, whole, and no page of the workers' mappings stays behind. */
static void test_pool_large(void **state)
{
    (void)state;
    enum { LARGE = (1 << 24) + 5000, SMALL = 9000, N = 6 };
    struct tl_err err = {0};
    const char *large = silence("large.flac", LARGE), *small = silence("small.flac", SMALL);
    const char *paths[N] = {small, large, small, small, large, small};
    for (int held = 0; held < 2; held++) {
        struct got got[N] = {0};
        struct tl_decode_params params = {
            .n_workers = 3, .most_samples = TL_SOUND_USUAL_SAMPLES, .most_held = held ? 1 : 0};
        struct tl_decode_pool *pool = tl_decode_pool_open(&params, &err);
        check_ok(pool != NULL, &err);
        check_ok(tl_decode_pool_run_sounds(pool, paths, N, keep_lean, got, &err), &err);
        tl_decode_pool_close(&pool);
        for (int i = 0; i < N; i++) {
            size_t n = paths[i] == large ? LARGE : SMALL;
            if (got[i].err.code) fail_msg("%s", got[i].err.text);
            assert_int_equal(got[i].sound.frames, n);
            assert_true(got[i].sound.samples[n - 1] == 0.5f && got[i].sound.samples[n - 2] == 0);
            tl_sound_finish(&got[i].sound);
        }
    }
    struct got got[2] = {0};
    run_pool((const char *const[]){large, small}, 2, got,
             &(struct tl_decode_params){.n_workers = 1, .most_samples = LARGE - 1});
    assert_non_null(strstr(got[0].err.text, "16782216 samples, more than the 16782215 allowed here"));
    assert_int_equal(got[1].sound.frames, SMALL);
    tl_sound_finish(&got[1].sound);
}

/* Where this process has no memory for one sound, the others are decoded all the same. */
static void test_pool_no_room(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip(); /* its allocator ends the process */
#endif
    enum { LARGE = 1 << 23 };
    struct tl_err err = {0};
    struct rlimit old;
    unsigned long pages = 0;
    const char *large = silence("roomy.flac", LARGE), *small = silence("tight.flac", 100);
    struct tl_decode_params params = {.n_workers = 1, .most_samples = TL_SOUND_USUAL_SAMPLES};
    struct tl_decode_pool *pool = tl_decode_pool_open(&params, &err);
    check_ok(pool != NULL, &err);
    FILE *statm = fopen("/proc/self/statm", "r");
    assert_int_equal(fscanf(statm, "%*u %*u %*u %*u %*u %lu", &pages), 1);
    fclose(statm);
    assert_int_equal(getrlimit(RLIMIT_DATA, &old), 0);
    rlim_t most = pages * (rlim_t)sysconf(_SC_PAGESIZE) + (8 << 20);
    assert_int_equal(setrlimit(RLIMIT_DATA, &(struct rlimit){most, old.rlim_max}), 0);
    struct got got[3] = {0};
    bool ok = tl_decode_pool_run_sounds(pool, (const char *const[]){small, large, small}, 3, keep, got, &err);
    setrlimit(RLIMIT_DATA, &old);
    check_ok(ok, &err);
    assert_int_equal(got[1].err.code, TL_BAD_INPUT);
    assert_non_null(strstr(got[1].err.text, "roomy.flac: out of memory for a sound of 8388608 frames"));
    assert_int_equal(got[0].sound.frames, 100);
    assert_int_equal(got[2].sound.frames, 100);
    tl_sound_finish(&got[0].sound);
    tl_sound_finish(&got[2].sound);
    tl_decode_pool_close(&pool);
}

/* libsndfile 1.2.0 loses what libvorbis took for a damaged header. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:vorbis_info_init\n";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),        cmocka_unit_test(test_save),
        cmocka_unit_test(test_limits),         cmocka_unit_test(test_promises),
        cmocka_unit_test(test_not_finite),     cmocka_unit_test(test_pool_formats),
        cmocka_unit_test(test_pool_bad_files), cmocka_unit_test(test_pool_damaged),
        cmocka_unit_test(test_pool_use),       cmocka_unit_test(test_pool_large),
        cmocka_unit_test(test_pool_no_room),   cmocka_unit_test(test_promised_memory),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, io_setup, io_teardown);
}
