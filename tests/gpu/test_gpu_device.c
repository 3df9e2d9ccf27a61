/* The layer below the kernels: devices, memory, buffers, hazards, reflection, programs, the cache on disk. */
#include "support_gpu.h"

#include <unistd.h>

#include "gpu/gpu_cache_file.h"
#include "gpu/gpu_hazard.h"
#include "gpu/gpu_memory.h"
#include "gpu/gpu_pipeline.h"
#include "gpu/gpu_reflect.h"

static void test_list_and_pick(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_gpu_facts facts[8];
    size_t n = 0;
    check_ok(tl_gpu_list(facts, 8, &n, &err), &err);
    assert_true(n >= 1);
    for (size_t i = 0; i < n && i < 8; i++) {
        assert_true(facts[i].name[0] != 0);
        assert_true(facts[i].usable == (facts[i].missing[0] == 0));
    }
    struct tl_gpu_facts made[] = {{.type = "cpu", .usable = true},
                                  {.type = "integrated", .usable = true},
                                  {.type = "discrete", .usable = false},
                                  {.type = "discrete", .usable = true}};
    assert_int_equal(tl_gpu_pick(made, 4, false), 3);
    assert_int_equal(tl_gpu_pick(made, 3, false), 1);
    assert_int_equal(tl_gpu_pick(made, 1, false), 0);
    assert_int_equal(tl_gpu_pick(made, 1, true), -1);
    assert_int_equal(tl_gpu_pick(made, 0, false), -1);
}

static void test_wrong_index(void **state)
{
    (void)state;
    struct tl_err err = {0};
    const struct tl_gpu_params params = {.by_index = true, .index = 99};
    assert_null(tl_gpu_open(&params, &err));
    assert_int_equal(err.code, TL_DEVICE);
    assert_non_null(strstr(err.text, "no Vulkan device 99"));
}

static void test_memory(void **state)
{
    (void)state;
    struct tl_gpu *gpu = support_gpu();
    struct tl_err err = {0};
    struct tl_gpu_memory_stats before, after;
    tl_gpu_memory_stats(gpu, &before);
    struct tl_gpu_span s[40];
    for (int i = 0; i < 40; i++) {
        check_ok(tl_gpu_memory_alloc(gpu, TL_GPU_LOCAL, 1000u + 77u * (unsigned)i, 256, &s[i], &err), &err);
        assert_int_equal(s[i].offset % 256, 0);
        for (int j = 0; j < i; j++)
            if (s[i].block == s[j].block)
                assert_true(s[i].offset >= s[j].offset + s[j].bytes ||
                            s[j].offset >= s[i].offset + s[i].bytes);
    }
    /* First fit: a hole in front is used again. */
    const struct tl_gpu_span hole = s[3];
    tl_gpu_memory_free(gpu, &s[3]);
    assert_null(s[3].block);
    check_ok(tl_gpu_memory_alloc(gpu, TL_GPU_LOCAL, 500, 256, &s[3], &err), &err);
    assert_true(s[3].block == hole.block && s[3].offset <= hole.offset);
    for (int i = 0; i < 40; i += 2) tl_gpu_memory_free(gpu, &s[i]);
    for (int i = 1; i < 40; i += 2) tl_gpu_memory_free(gpu, &s[i]);
    tl_gpu_memory_stats(gpu, &after);
    assert_int_equal(after.used, before.used);
    assert_int_equal(after.reserved, before.reserved);
    assert_true(after.peak >= before.used + 40 * 1000);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    struct tl_gpu *gpu = support_gpu();
    struct tl_err err = {0};
    tl_gpu_memory_fail_at(gpu, 2);
    struct tl_gpu_buffer *a = tl_gpu_buffer_create(gpu, TL_GPU_LOCAL, 100, &err);
    struct tl_gpu_buffer *b = tl_gpu_buffer_create(gpu, TL_GPU_LOCAL, 4096, &err);
    tl_gpu_memory_fail_at(gpu, 0);
    assert_non_null(a);
    assert_null(b);
    assert_int_equal(err.code, TL_DEVICE);
    assert_non_null(strstr(err.text, "4096 bytes needed"));
    tl_gpu_buffer_destroy(&a);
    assert_null(a);
    tl_gpu_buffer_destroy(&a);
}

static void test_buffer_copies(void **state)
{
    (void)state;
    struct tl_gpu *gpu = support_gpu();
    struct tl_err err = {0};
    float data[100], got[100];
    support_fill(data, 100, 1);
    for (int place = 0; place < TL_GPU_N_PLACES; place++) {
        struct tl_gpu_buffer *b = tl_gpu_buffer_create(gpu, place, sizeof data, &err);
        assert_non_null(b);
        check_ok(tl_gpu_buffer_write(b, 0, data, sizeof data, &err), &err);
        check_ok(tl_gpu_buffer_read(b, 40, got, 200, &err), &err);
        assert_memory_equal(got, data + 10, 200);
        assert_false(tl_gpu_buffer_read(b, 200, got, 400, &err));
        tl_err_clear(&err);
        assert_false(tl_gpu_buffer_write(b, UINT64_MAX, data, 4, &err));
        tl_err_clear(&err);
        if (tl_gpu_buffer_mapped(b)) assert_memory_equal(tl_gpu_buffer_mapped(b), data, sizeof data);
        tl_gpu_buffer_destroy(&b);
    }
}

static void test_hazards(void **state)
{
    (void)state;
    struct tl_gpu_hazard h = {0};
    int one, two;
    const struct tl_gpu_access write = {&one, 100, 200, true}, read = {&one, 100, 200, false};
    const struct tl_gpu_access beside = {&one, 200, 300, true}, other = {&two, 100, 200, true};
    const struct tl_gpu_access inside = {&one, 150, 151, false};
    assert_false(tl_gpu_hazard_clash(&h, &write, 1));
    assert_true(tl_gpu_hazard_add(&h, &write, 1));
    assert_true(tl_gpu_hazard_clash(&h, &read, 1));    /* read after write */
    assert_true(tl_gpu_hazard_clash(&h, &write, 1));   /* write after write */
    assert_true(tl_gpu_hazard_clash(&h, &inside, 1));  /* a part is enough */
    assert_false(tl_gpu_hazard_clash(&h, &beside, 1)); /* touching is not overlapping */
    assert_false(tl_gpu_hazard_clash(&h, &other, 1));
    tl_gpu_hazard_clear(&h);
    assert_true(tl_gpu_hazard_add(&h, &read, 1));
    assert_false(tl_gpu_hazard_clash(&h, &read, 1));
    assert_true(tl_gpu_hazard_clash(&h, &write, 1)); /* write after read */
    tl_gpu_hazard_finish(&h);
}

static const struct tl_shader *shader(const char *name)
{
    for (size_t i = 0; i < tl_n_shaders; i++)
        if (strcmp(tl_shaders[i].name, name) == 0) return &tl_shaders[i];
    fail_msg("no shader %s", name);
    return NULL;
}

static void test_reflection(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_gpu_reflection r;
    const struct tl_shader *s = shader("gemm_nn_plain");
    check_ok(tl_gpu_reflect(s->words, s->n_words, &r, &err), &err);
    assert_int_equal(r.n_bind, 5);
    assert_int_equal(r.push_bytes, 100);
    assert_int_equal(r.kind[0], TL_GPU_BIND_STORAGE);
    assert_true(r.reads[0] && !r.writes[0] && r.reads[2] && r.writes[2]);
    s = shader("gemm_nn_texel");
    check_ok(tl_gpu_reflect(s->words, s->n_words, &r, &err), &err);
    assert_int_equal(r.kind[0], TL_GPU_BIND_TEXEL);
    assert_int_equal(r.kind[2], TL_GPU_BIND_STORAGE);
    assert_true(r.reads[0] && !r.writes[0] && r.writes[2]);
    for (size_t i = 0; i < tl_n_shaders; i++) {
        check_ok(tl_gpu_reflect(tl_shaders[i].words, tl_shaders[i].n_words, &r, &err), &err);
        assert_true(r.push_bytes <= TL_GPU_MAX_PUSH);
    }
}

/* Truncated and bent modules are refused or read, never a crash (run under the sanitizers). */
static void test_reflection_damage(void **state)
{
    (void)state;
    const struct tl_shader *s = shader("gemm_nn_plain");
    struct tl_gpu_reflection r;
    for (size_t n = 0; n < s->n_words; n += 3) {
        uint32_t *cut = malloc((n + 1) * sizeof *cut);
        memcpy(cut, s->words, n * sizeof *cut);
        tl_gpu_reflect(cut, n, &r, NULL);
        free(cut);
    }
    uint32_t *bent = malloc(s->n_words * sizeof *bent);
    for (size_t i = 0; i < s->n_words; i++) {
        memcpy(bent, s->words, s->n_words * sizeof *bent);
        bent[i] ^= 0x00a5f00fu;
        tl_gpu_reflect(bent, s->n_words, &r, NULL);
        bent[i] = 0xffffffffu;
        tl_gpu_reflect(bent, s->n_words, &r, NULL);
    }
    free(bent);
    assert_false(tl_gpu_reflect(s->words, 4, &r, NULL));
}

static bool record_product(struct tl_gpu *gpu, struct tl_gpu_program *p, struct tl_gpu_slice a,
                           struct tl_gpu_slice c, struct tl_err *err);

/* Barriers stand exactly where one command needs what an earlier one made. */
static void test_barriers(void **state)
{
    (void)state;
    struct tl_gpu *gpu = support_gpu();
    struct tl_err err = {0};
    struct tl_gpu_slice a = support_slice(NULL, 64, 0), b = support_slice(NULL, 64, 0),
                        c = support_slice(NULL, 64, 0);
    struct tl_gpu_program *p =
        tl_gpu_program_create(gpu, &(struct tl_gpu_program_params){.timed = true}, &err);
    struct tl_gpu_program_stats stats;
    check_ok(tl_gpu_program_fill(p, a, 0x3f800000u, &err), &err); /* a = 1 */
    check_ok(tl_gpu_program_fill(p, c, 0, &err), &err);
    tl_gpu_program_stats(p, &stats);
    assert_int_equal(stats.n_barriers, 0);
    check_ok(record_product(gpu, p, a, b, &err), &err); /* b = a a = 8 */
    tl_gpu_program_stats(p, &stats);
    assert_int_equal(stats.n_barriers, 1);
    check_ok(record_product(gpu, p, a, c, &err), &err); /* needs nothing newer */
    tl_gpu_program_stats(p, &stats);
    assert_int_equal(stats.n_barriers, 1);
    check_ok(record_product(gpu, p, b, a, &err), &err); /* reads b: a = b b = 512 */
    check_ok(tl_gpu_program_copy(p, a, c, &err), &err);
    tl_gpu_program_stats(p, &stats);
    assert_int_equal(stats.n_barriers, 3);
    assert_int_equal(stats.n_commands, 6);
    assert_false(tl_gpu_program_run(p, &err)); /* not ended */
    tl_err_clear(&err);
    check_ok(tl_gpu_program_end(p, &err), &err);
    for (int i = 0; i < 3; i++) { /* a replay gives the same: the program sets its own inputs */
        check_ok(tl_gpu_program_run(p, &err), &err);
        check_ok(tl_gpu_program_run(p, &err), &err);
        check_ok(tl_gpu_wait(gpu, &err), &err);
        float got[64];
        support_read(&c, got);
        for (int j = 0; j < 64; j++) check_near(got[j], 512, 0);
    }
    struct tl_gpu_time times[8];
    if (tl_gpu_facts(gpu)->timestamp_ns > 0) {
        assert_int_equal(tl_gpu_program_times(p, times, 8), 6);
        double sum = 0;
        for (int i = 0; i < 6; i++) sum += times[i].seconds;
        assert_true(sum > 0 && sum < 10);
        assert_string_equal(times[0].label, "fill");
    }
    tl_gpu_program_destroy(&p);
    support_slice_free(&a);
    support_slice_free(&b);
    support_slice_free(&c);
}

/* c = a a for 8 x 8, by the plain kernel, dispatched by hand. */
static bool record_product(struct tl_gpu *gpu, struct tl_gpu_program *p, struct tl_gpu_slice a,
                           struct tl_gpu_slice c, struct tl_err *err)
{
    const uint32_t spec[6] = {0};
    const struct tl_gpu_kernel *k = tl_gpu_kernel_get(gpu, "gemm_nn_plain", spec, 6, err);
    if (!k) return false;
    const struct tl_gpu_slice bind[] = {a, a, c, a, a};
    const int32_t push[25] = {[0] = 8, 8, 8, 8, 8, 8, 8, 1, [21] = 1, 8, 0, 0x3f800000};
    const struct tl_gpu_dispatch d = {.kernel = k,
                                      .bind = bind,
                                      .n_bind = 5,
                                      .push = push,
                                      .push_bytes = sizeof push,
                                      .groups = {1, 2, 1},
                                      .work = 1024};
    return tl_gpu_program_dispatch(p, &d, err);
}

static void test_submissions_are_cut(void **state)
{
    (void)state;
    struct tl_gpu *gpu = support_gpu();
    struct tl_err err = {0};
    struct tl_gpu_slice a = support_slice(NULL, 64, 0), c = support_slice(NULL, 64, 0);
    struct tl_gpu_program *p = tl_gpu_program_create(gpu, NULL, &err);
    const uint32_t spec[6] = {0};
    const struct tl_gpu_kernel *k = tl_gpu_kernel_get(gpu, "gemm_nn_plain", spec, 6, &err);
    const struct tl_gpu_slice bind[] = {a, a, c, a, a};
    const int32_t push[25] = {[0] = 8, 8, 8, 8, 8, 8, 8, 1, [21] = 1, 8, 0, 0x3f800000};
    for (int i = 0; i < 10; i++) {
        const struct tl_gpu_dispatch d = {.kernel = k,
                                          .bind = bind,
                                          .n_bind = 5,
                                          .push = push,
                                          .push_bytes = sizeof push,
                                          .groups = {1, 2, 1},
                                          .work = 1e15};
        check_ok(tl_gpu_program_dispatch(p, &d, &err), &err);
    }
    struct tl_gpu_program_stats stats;
    tl_gpu_program_stats(p, &stats);
    assert_int_equal(stats.n_submissions, 10);
    support_run(p);
    support_slice_free(&a);
    support_slice_free(&c);
}

static void test_refusals(void **state)
{
    (void)state;
    struct tl_gpu *gpu = support_gpu();
    struct tl_err err = {0};
    assert_null(tl_gpu_kernel_get(gpu, "no_such_kernel", NULL, 0, &err));
    assert_non_null(strstr(err.text, "no_such_kernel"));
    tl_err_clear(&err);
    struct tl_gpu_slice a = support_slice(NULL, 64, 0);
    const uint32_t spec[6] = {0};
    const struct tl_gpu_kernel *k = tl_gpu_kernel_get(gpu, "gemm_nn_plain", spec, 6, &err);
    assert_ptr_equal(k, tl_gpu_kernel_get(gpu, "gemm_nn_plain", spec, 6, &err));
    struct tl_gpu_program *p = tl_gpu_program_create(gpu, NULL, &err);
    struct tl_gpu_slice bind[] = {a, a, a, a, a};
    const int32_t push[25] = {0};
    struct tl_gpu_dispatch d = {
        .kernel = k, .bind = bind, .n_bind = 5, .push = push, .push_bytes = sizeof push, .groups = {1, 1, 1}};
    d.push_bytes = 4;
    assert_false(tl_gpu_program_dispatch(p, &d, &err));
    tl_err_clear(&err);
    d.push_bytes = sizeof push;
    bind[1].bytes = 1 << 20;
    assert_false(tl_gpu_program_dispatch(p, &d, &err));
    assert_non_null(strstr(err.text, "outside of its buffer"));
    tl_err_clear(&err);
    bind[1] = (struct tl_gpu_slice){0};
    assert_false(tl_gpu_program_dispatch(p, &d, &err));
    tl_err_clear(&err);
    bind[1] = a;
    d.groups[1] = tl_gpu_facts(gpu)->max_groups[1] + 1;
    if (d.groups[1]) assert_false(tl_gpu_program_dispatch(p, &d, &err));
    tl_gpu_program_destroy(&p);
    support_slice_free(&a);
}

/* The cache comes back whole; a damaged file, one of another driver and one that is too short are ignored. */
static void test_cache_file(void **state)
{
    (void)state;
    char path[] = "/tmp/tiller-cache-XXXXXX", bytes[200];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 7);
    struct tl_gpu_facts facts = *tl_gpu_facts(support_gpu());
    size_t n = 0;
    assert_null(tl_gpu_cache_file_read(&facts, path, &n)); /* empty */
    assert_true(tl_gpu_cache_file_write(&facts, path, bytes, sizeof bytes));
    void *got = tl_gpu_cache_file_read(&facts, path, &n);
    assert_non_null(got);
    assert_int_equal(n, sizeof bytes);
    assert_memory_equal(got, bytes, sizeof bytes);
    free(got);
    facts.driver_version++;
    assert_null(tl_gpu_cache_file_read(&facts, path, &n));
    facts.driver_version--;
    FILE *f = fopen(path, "r+b");
    fseek(f, 0, SEEK_END);
    const long size = ftell(f);
    for (long at = 0; at < size; at++) { /* every single byte matters */
        fseek(f, at, SEEK_SET);
        int c = fgetc(f);
        fseek(f, at, SEEK_SET);
        fputc(c ^ 0x55, f);
        fflush(f);
        assert_null(tl_gpu_cache_file_read(&facts, path, &n));
        fseek(f, at, SEEK_SET);
        fputc(c, f);
        fflush(f);
    }
    fclose(f);
    assert_int_equal(truncate(path, size - 1), 0);
    assert_null(tl_gpu_cache_file_read(&facts, path, &n));
    remove(path);
}

/* A loader without drivers is an error with advice. */
static void test_no_driver(void **state)
{
    (void)state;
    struct tl_err err = {0};
    setenv("VK_ICD_FILENAMES", "/nonexistent.json", 1);
    setenv("VK_DRIVER_FILES", "/nonexistent.json", 1);
    struct tl_gpu *gpu = tl_gpu_open(NULL, &err);
    unsetenv("VK_ICD_FILENAMES");
    unsetenv("VK_DRIVER_FILES");
    assert_null(gpu);
    assert_int_equal(err.code, TL_DEVICE);
    assert_non_null(strstr(err.text, "driver"));
}

/* The layer is heard: a deliberate mistake is counted. Runs on a device of its own. */
static void test_validation_counts(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_gpu *gpu = tl_gpu_open(NULL, &err);
    if (!gpu) fail_msg("%s", err.text);
    if (tl_gpu_validation_on(gpu)) {
        assert_int_equal(tl_gpu_validation_count(gpu), 0);
        struct tl_gpu_buffer *b = tl_gpu_buffer_create(gpu, TL_GPU_LOCAL, 64, &err);
        struct tl_gpu_slice s = tl_gpu_slice(b, 0, 64);
        struct tl_gpu_program *p = tl_gpu_program_create(gpu, NULL, &err);
        check_ok(tl_gpu_program_copy(p, s, s, &err), &err); /* source and target overlap */
        tl_gpu_program_destroy(&p);
        assert_true(tl_gpu_validation_count(gpu) > 0);
        tl_gpu_buffer_destroy(&b);
    }
    tl_gpu_close(&gpu);
    assert_null(gpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_and_pick), cmocka_unit_test(test_wrong_index),
        cmocka_unit_test(test_memory),        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_buffer_copies), cmocka_unit_test(test_hazards),
        cmocka_unit_test(test_reflection),    cmocka_unit_test(test_reflection_damage),
        cmocka_unit_test(test_barriers),      cmocka_unit_test(test_submissions_are_cut),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_cache_file),
        cmocka_unit_test(test_no_driver),     cmocka_unit_test(test_validation_counts),
    };
    support_gpu();
    return cmocka_run_group_tests(tests, NULL, support_gpu_close);
}
