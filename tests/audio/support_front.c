#include "audio/support_front.h"

#include "io/safetensors.h"

static const double pi = 3.14159265358979323846;

float *support_two_tones(size_t n, int rate)
{
    float *x = calloc(n, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(0.5 * sin(2 * pi * 440 * (double)i / rate) +
                       0.25 * sin(2 * pi * 3000 * (double)i / rate));
    return x;
}

float *support_signal(size_t n, int rate, uint32_t seed)
{
    float *x = calloc(n, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) {
        double t = (double)i / rate;
        seed = 1664525u * seed + 1013904223u;
        double tone = 0.4 * (0.6 + 0.4 * sin(2 * pi * 1.7 * t)) * sin(2 * pi * (220 * t + 150 * t * t));
        x[i] = (float)(tone + 0.2 * sin(2 * pi * 3000 * t) + 0.05 * (seed / 2147483648.0 - 1));
    }
    return x;
}

struct tl_st_file *support_fixture(void)
{
    struct tl_err err = {0};
    struct tl_st_file *io = tl_st_open(TL_SOURCE_DIR "/tests/fixtures/front_ends/io.safetensors", &err);
    if (!io) fail_msg("%s", err.text);
    return io;
}

static const struct tl_st_tensor *find(const struct tl_st_file *io, const char *name)
{
    const struct tl_st_tensor *t = tl_st_find(io, name);
    if (!t) fail_msg("the fixture has no %s", name);
    return t;
}

int64_t support_number(const struct tl_st_file *io, const char *name, size_t i)
{
    struct tl_err err = {0};
    const struct tl_st_tensor *t = find(io, name);
    int64_t *all = calloc(t->n, sizeof *all);
    assert_non_null(all);
    assert_true(i < t->n);
    check_ok(tl_st_to_i64(t, all, &err), &err);
    int64_t v = all[i];
    free(all);
    return v;
}

void support_compare(const struct tl_st_file *io, const char *name, const struct tl_front *front,
                     bool is_decibel)
{
    struct tl_err err = {0};
    char frames[64];
    const struct tl_st_tensor *t = find(io, name);
    snprintf(frames, sizeof frames, "%s.frames", name);
    float *all = calloc(t->n, sizeof *all);
    assert_non_null(all);
    check_ok(tl_st_to_f32(t, all, &err), &err);
    size_t planes = front->n * front->channels, kept = t->shape[1], bands = front->bands, n_compared = 0;
    assert_int_equal(t->rank, 3);
    assert_int_equal(t->shape[0], planes);
    assert_int_equal(t->shape[2], bands);
    double worst = 0;
    for (size_t p = 0; p < planes; p++)
        for (size_t k = 0; k < kept; k++) {
            size_t frame = (size_t)support_number(io, frames, k);
            const float *want = all + (p * kept + k) * bands,
                        *got = front->x + (p * front->frames + frame) * bands;
            float most = want[0];
            assert_true(frame < front->frames);
            for (size_t b = 0; b < bands; b++) most = want[b] > most ? want[b] : most;
            for (size_t b = 0; b < bands; b++) {
                double e = fabs((double)got[b] - want[b]) / fmax(fabs((double)want[b]), 1);
                if (is_decibel && want[b] < most - 60) continue;
                n_compared++;
                worst = fmax(worst, e);
                if (!(e <= 1e-4))
                    fail_msg("%s: plane %zu, frame %zu, band %zu: %.9g, expected %.9g", name, p, frame, b,
                             got[b], want[b]);
            }
        }
    assert_true(n_compared > planes * kept * bands / 4);
    printf("%-24s worst %.1e of %zu values\n", name, worst, n_compared);
    free(all);
}
