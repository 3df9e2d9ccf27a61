#include "support_gpu.h"

#include <dlfcn.h>

#include <tiller/log.h>

enum { GUARD = 64 }; /* elements */
static const float GUARD_VALUE = -12345.678f;

static struct tl_gpu *gpu;

/* The layer of Debian 12 (1.3.239) leaks; everything else, the driver and our code, is held to account. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libVkLayer_khronos_validation.so\n";
}

static void show(void *user, enum tl_log_level level, const char *text)
{
    (void)user;
    if (level <= TL_LOG_WARN) fprintf(stderr, "%s\n", text);
}

struct tl_gpu *support_gpu(void)
{
    if (gpu) return gpu;
    struct tl_err err = {0};
    setenv("TILLER_VALIDATE", "1", 0);
    /* Kept loaded, so that leak checkers can name it: see __lsan_default_suppressions. */
    (void)dlopen("libVkLayer_khronos_validation.so", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    tl_log_set(show, NULL);
    gpu = tl_gpu_open(NULL, &err);
    if (!gpu) check_skip(err.text);
    return gpu;
}

int support_gpu_close(void **state)
{
    (void)state;
    if (!gpu) return 0;
    uint64_t said = tl_gpu_validation_count(gpu);
    if (said) fprintf(stderr, "the validation layer said %llu things\n", (unsigned long long)said);
    tl_gpu_close(&gpu);
    return said ? 1 : 0;
}

void support_fill(float *out, size_t n, uint64_t seed)
{
    uint64_t s = seed * 2654435761u + 12345;
    for (size_t i = 0; i < n; i++) {
        s = s * 6364136223846793005u + 1442695040888963407u;
        out[i] = (float)((double)(s >> 40) / (1 << 23) - 1);
    }
}

struct tl_gpu_slice support_slice(const float *data, size_t n, size_t shift)
{
    struct tl_err err = {0};
    size_t total = GUARD + shift + n + GUARD;
    struct tl_gpu_buffer *b = tl_gpu_buffer_create(support_gpu(), TL_GPU_LOCAL, total * 4, &err);
    if (!b) fail_msg("%s", err.text);
    float *host = malloc(total * 4);
    for (size_t i = 0; i < total; i++) host[i] = GUARD_VALUE;
    if (data) memcpy(host + GUARD + shift, data, n * 4);
    check_ok(tl_gpu_buffer_write(b, 0, host, total * 4, &err), &err);
    free(host);
    return tl_gpu_slice(b, (GUARD + shift) * 4, n * 4);
}

void support_slice_free(struct tl_gpu_slice *slice)
{
    tl_gpu_buffer_destroy(&slice->buffer);
}

void support_read(const struct tl_gpu_slice *slice, float *out)
{
    struct tl_err err = {0};
    size_t before = slice->offset / 4, n = slice->bytes / 4, total = before + n + GUARD;
    float *host = malloc(total * 4);
    check_ok(tl_gpu_buffer_read(slice->buffer, 0, host, total * 4, &err), &err);
    for (size_t i = 0; i < total; i++)
        if ((i < before || i >= before + n) && memcmp(&host[i], &GUARD_VALUE, 4) != 0)
            fail_msg("element %ld beside a result of %zu was written: %g", (long)i - (long)before, n,
                     host[i]);
    memcpy(out, host + before, n * 4);
    free(host);
}

void support_run(struct tl_gpu_program *program)
{
    struct tl_err err = {0};
    check_ok(tl_gpu_program_end(program, &err), &err);
    check_ok(tl_gpu_program_run(program, &err), &err);
    check_ok(tl_gpu_wait(support_gpu(), &err), &err);
    tl_gpu_program_destroy(&program);
}
